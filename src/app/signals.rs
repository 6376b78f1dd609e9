//! What the system tells us.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// How to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// Clients end at their next boundary (SIGTERM, SIGINT).
    Orderly,
    /// At once (SIGQUIT, or a second signal).
    AtOnce,
}

/// The signals that end the pooler.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
    hangup: Signal,
}

impl Signals {
    /// From now on these signals are ours.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// The next signal.
    ///
    /// # Cancel safety
    /// No signal is lost.
    pub async fn next(&mut self) -> Stop {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return Stop::Orderly,
                _ = self.interrupt.recv() => return Stop::Orderly,
                _ = self.quit.recv() => return Stop::AtOnce,
                // Whoever expects a reload must not lose the pooler instead.
                _ = self.hangup.recv() => tracing::warn!("SIGHUP: the configuration is read at start only"),
            }
        }
    }
}
