# docker build -t pgweave .
# docker run -p 6432:6432 -e DATABASE_URL=postgres://user:password@host/database pgweave
# With a file: docker run -v ./pgweave.toml:/etc/pgweave/pgweave.toml:ro ... pgweave

FROM rust:1-slim-bookworm AS build
# The allocator is built from C.
RUN apt-get update \
    && apt-get install -y --no-install-recommends make \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /pgweave
COPY . .
RUN cargo build --release --locked --bin pgweave

FROM debian:bookworm-slim
# The authorities for server_tls_sslmode = "verify-full" without a file.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/*
RUN useradd --system --uid 10432 --no-create-home --shell /usr/sbin/nologin pgweave
COPY --from=build /pgweave/target/release/pgweave /usr/local/bin/pgweave
COPY --from=build /pgweave/LICENSE-MIT /pgweave/LICENSE-APACHE /usr/share/doc/pgweave/
USER 10432:10432
# pgweave.toml in the working directory would be read first; this one is empty.
WORKDIR /var/empty
# Inside a container loopback would reach nobody. Set it to override.
ENV PGWEAVE_LISTEN_ADDR=0.0.0.0
EXPOSE 6432
STOPSIGNAL SIGTERM
# An SSLRequest, which pgweave answers with S or N before any login.
HEALTHCHECK --interval=10s --timeout=3s --start-period=2s \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/${PGWEAVE_LISTEN_PORT:-6432} && printf '\\0\\0\\0\\10\\4\\322\\26\\57' >&3 && read -r -n 1 -t 2 answer <&3 && [[ $answer == [SN] ]]"]
ENTRYPOINT ["/usr/local/bin/pgweave"]
