//! What frames mean for the frames that follow: the pure heart of pgweave.
//!
//! The tracker of one server connection keeps the queue of owed replies and
//! alone can prove a [`Boundary`]; `statements` keeps who calls which prepared
//! statement what. No I/O, no clock, no async: bytes in, verdicts out.

pub mod channels;
mod findings;
pub mod fingerprint;
pub mod hidden;
mod owed;
pub mod own;
mod scan;
pub mod sequences;
pub mod settings;
pub mod sql;
pub mod statements;
mod traceparent;
mod tracker;

pub use findings::Findings;
pub use owed::{About, Kind, Pay, Refused};
pub use scan::Scan;
pub use traceparent::TraceParent;
pub use tracker::{Boundary, Rest, SyncFate, Tracker, TxStatus, Violation};
