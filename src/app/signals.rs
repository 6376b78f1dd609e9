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
    /// When nobody uses a server connection any more (the console).
    WhenServersAreFree,
    /// When the last client has left (the console).
    WhenClientsAreGone,
}

/// The signals that end the pooler.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
}

impl Signals {
    /// From now on these signals are ours.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
        })
    }

    /// The next signal.
    ///
    /// # Cancel safety
    /// No signal is lost.
    pub async fn next(&mut self) -> Stop {
        tokio::select! {
            _ = self.terminate.recv() => Stop::Orderly,
            _ = self.interrupt.recv() => Stop::Orderly,
            _ = self.quit.recv() => Stop::AtOnce,
        }
    }
}

/// The signal that asks to read files again (SIGHUP).
pub(super) struct Hangups(Signal);

impl Hangups {
    /// From now on this signal is ours.
    pub fn listen() -> io::Result<Self> {
        signal(SignalKind::hangup()).map(Self)
    }

    /// The next one.
    ///
    /// # Cancel safety
    /// No signal is lost.
    pub async fn next(&mut self) {
        self.0.recv().await;
    }
}
