//! Metrics and health over HTTP, on `http_listen`.
//!
//! Everything is read when somebody asks: nothing is counted twice for it. Reading
//! and writing it down happens beside the threads that serve queries.

mod http;
mod metrics;
mod sight;
mod status;

pub use http::{Telemetry, serve};
pub use sight::LogCounts;
