//! Puts the house together: flags, logging, listeners, signals, the end.

mod accept;
mod background;
mod check;
pub mod cli;
mod conductor;
mod doors;
mod ending;
mod handover;
mod health;
mod holding;
mod identity;
mod life;
mod limiter;
mod lines;
mod logging;
mod output;
mod paper;
mod reload;
mod report;
mod run;
mod signals;
mod syslog;
mod systemd;
mod watch;
mod welcome;

pub use run::main;
