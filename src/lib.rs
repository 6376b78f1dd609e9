//! pgweave: a transaction-aware connection pooler for PostgreSQL.
//!
//! The folders of `src` are rooms on floors. A room uses only rooms of lower
//! floors; `tests/floors.rs` keeps it so. docs/ARCHITECTURE.md tells the rest.

pub mod admin;
pub mod app;
pub mod auth;
pub mod config;
pub mod net;
pub mod pool;
pub mod proxy;
pub mod server;
pub mod session;
pub mod telemetry;
pub mod wire;
