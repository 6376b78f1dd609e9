//! Puts the house together: flags, logging, listeners, signals, the end.

mod accept;
pub mod cli;
mod conductor;
mod ending;
mod holding;
mod identity;
mod logging;
mod reload;
mod run;
mod signals;

pub use run::main;
