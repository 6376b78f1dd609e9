//! pgweave before a real PostgreSQL: one test binary, one shared cluster.
//! `support` is what the cases stand on, `same_as_direct` compares transcripts
//! with a direct connection, the other modules are about what has no direct
//! counterpart: who waits, who leaves, who dies.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::print_stderr
)]

mod application_names;
mod auth;
mod cancel;
mod check_connect;
mod check_query;
mod client_gone;
mod client_limits;
mod connect_query;
mod console;
mod fast_close;
mod flow;
mod handover;
mod health;
mod host_names;
mod hostile_server;
mod idle_pools;
mod ini;
mod limits;
mod listening;
mod logging;
mod login;
mod modes;
mod no_simple_queries;
mod notices;
#[cfg(feature = "otel")]
mod otel;
mod peers;
mod process;
mod proxy_protocol;
mod reload;
mod replication;
mod reset_query;
mod same_as_direct;
mod server_gone;
mod session_state;
mod statements;
mod support;
mod syslog;
mod systemd;
mod telemetry;
mod timeouts;

mod tls;
mod traceparent;
