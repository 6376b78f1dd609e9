//! Metrics and health over HTTP, on `http_listen`.
//!
//! Everything is read when somebody asks: nothing is counted twice for it. Reading
//! it, writing it down and sending it happen beside the threads that serve queries.

mod aside;
mod http;
mod metrics;
#[cfg(feature = "otel")]
pub mod otel;
mod sight;
mod status;

pub use http::{Telemetry, serve};
pub use sight::LogCounts;
