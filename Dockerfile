# docker build -t pgweave .
# docker run -p 6432:6432 -e DATABASE_URL=postgres://user:password@host/database pgweave
# With a file: docker run -v ./pgweave.toml:/etc/pgweave/pgweave.toml:ro ... pgweave
#
# tests/container/run runs these steps, with an engine or without one.

FROM rust:1-slim-bookworm AS build
# "dev" builds faster, and what comes out is larger and slower.
ARG PROFILE=release
# Those that need no library of the system's. The feature pam would need libpam and its modules.
ARG FEATURES=oauth,ldap
# The allocator is built from C.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates make \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /pgweave
COPY Cargo.toml Cargo.lock ./
COPY src ./src
# What it depends on is built once: the caches outlast this step.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/pgweave/target \
    cargo build --locked --bin pgweave --profile "$PROFILE" --features "$FEATURES" \
    && mkdir -p /image/usr/local/bin \
    && strip -o /image/usr/local/bin/pgweave "target/$(echo "$PROFILE" | sed 's/^dev$/debug/')/pgweave"
# All that it needs, in the places where it looks: the libraries that it names, with which names
# are resolved as anywhere (glibc holds what asks /etc/hosts and DNS), and the authorities for
# server_tls_sslmode = "verify-full" without a file.
RUN mkdir -p /image/etc/ssl/certs /image/etc/pgweave \
    && ldd /image/usr/local/bin/pgweave | grep -o '/[^ ]*' | xargs cp -L --parents -t /image \
    && cp /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ \
    && echo 'hosts: files dns' > /image/etc/nsswitch.conf \
    && echo 'pgweave:x:10432:10432::/:/sbin/nologin' > /image/etc/passwd \
    && echo 'pgweave:x:10432:' > /image/etc/group
COPY LICENSE-MIT LICENSE-APACHE /image/usr/share/doc/pgweave/

# No shell, no package manager: nothing is in it that pgweave does not use.
FROM scratch
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="pgweave" \
      org.opencontainers.image.description="A transaction-aware connection pooler for PostgreSQL" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
COPY --from=build /image/ /
USER 10432:10432
# pgweave.toml in the working directory would be read first; there is none.
WORKDIR /
# Inside a container loopback would reach nobody. These come before a file: set them to override.
ENV PGWEAVE_LISTEN_ADDR=* \
    PGWEAVE_HTTP_LISTEN=0.0.0.0:9127 \
    PGWEAVE_LOG_FORMAT=json
EXPOSE 6432 9127
STOPSIGNAL SIGTERM
# Asks /readyz: no shell and no curl are needed.
HEALTHCHECK --interval=10s --timeout=3s --start-period=2s --retries=3 \
    CMD ["/usr/local/bin/pgweave", "health"]
ENTRYPOINT ["/usr/local/bin/pgweave"]
