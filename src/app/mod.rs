//! Puts the house together: flags, logging, listeners, signals, the end.

mod accept;
mod background;
pub mod cli;
mod conductor;
mod doors;
mod ending;
mod handover;
mod holding;
mod identity;
mod logging;
mod reload;
mod run;
mod signals;
mod syslog;
mod systemd;
mod watch;

pub use run::main;
