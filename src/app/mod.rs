//! Puts the house together: flags, logging, listeners, signals, the end.

mod accept;
mod background;
pub mod cli;
mod conductor;
mod ending;
mod health;
mod holding;
mod identity;
mod logging;
mod reload;
mod run;
mod signals;
mod syslog;
mod watch;

pub use run::main;
