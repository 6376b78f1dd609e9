//! Who a server connection is, for those who want to cancel what it runs.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use tokio::sync::Notify;

use crate::config::ServerProxyProtocol;
use crate::net::tls::Connector;
use crate::net::{Names, Place, Target};

/// Process, key and address of one server connection, and the cancels that
/// are under way against it. Outlives the lease that uses the connection.
#[derive(Debug)]
pub struct Identity {
    /// Backend process id, as PostgreSQL reported it.
    pub pid: i32,
    /// Secret key of the backend, 4 to 256 bytes.
    pub secret: Vec<u8>,
    /// Where it listens.
    pub target: Target,
    /// By which of its addresses it was reached; a cancel must go there, too.
    pub place: Place,
    /// What took it into TLS; a cancel is no less private than the connection.
    pub tls: Option<Connector>,
    /// What it was begun with; a cancel is begun alike.
    pub header: ServerProxyProtocol,
    cancels: AtomicU32,
    doomed: AtomicBool,
    finished: Notify,
}

/// A cancel under way: as long as it lives, the server connection is not
/// handed on.
#[derive(Debug)]
pub struct CancelUnderWay {
    identity: std::sync::Arc<Identity>,
    delivered: AtomicBool,
}

impl Identity {
    /// A connection that nobody cancels yet.
    #[must_use]
    pub fn new(pid: i32, secret: Vec<u8>, target: Target, place: Place) -> Self {
        Self {
            pid,
            secret,
            target,
            place,
            tls: None,
            header: ServerProxyProtocol::Off,
            cancels: AtomicU32::new(0),
            doomed: AtomicBool::new(false),
            finished: Notify::new(),
        }
    }

    /// Does it lead to a host of this name?
    #[must_use]
    pub fn is_at(&self, name: &str) -> bool {
        matches!(&self.target, Target::Tcp(host, _) if host == name)
    }

    /// Has the name by which it was reached lost its address?
    #[must_use]
    pub fn has_moved(&self, names: &Names) -> bool {
        match (&self.target, &self.place) {
            (Target::Tcp(name, _), Place::Tcp(address)) => names.has_lost(name, address.ip()),
            _ => false,
        }
    }

    /// Announces a cancel. The caller holds the lock under which the lease is
    /// known to last, so that the count is up before the lease can end.
    #[must_use]
    pub fn begin_cancel(self: &std::sync::Arc<Self>) -> CancelUnderWay {
        self.cancels.fetch_add(1, Ordering::AcqRel);
        CancelUnderWay {
            identity: std::sync::Arc::clone(self),
            delivered: AtomicBool::new(false),
        }
    }

    /// Is a cancel under way?
    #[must_use]
    pub fn is_being_canceled(&self) -> bool {
        self.cancels.load(Ordering::Acquire) > 0
    }

    /// The connection must not be handed on: a cancel may still be on its way to
    /// it, say.
    pub fn doom(&self) {
        self.doomed.store(true, Ordering::Release);
    }

    /// See [`Identity::doom`].
    #[must_use]
    pub fn is_doomed(&self) -> bool {
        self.doomed.load(Ordering::Acquire)
    }

    /// Waits until no cancel is under way.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn cancels_finished(&self) {
        loop {
            let finished = self.finished.notified();
            if !self.is_being_canceled() {
                return;
            }
            finished.await;
        }
    }
}

impl CancelUnderWay {
    /// Whose query is being cancelled.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// PostgreSQL has acted on it: it can hit nothing that starts later.
    pub(super) fn is_delivered(&self) {
        self.delivered.store(true, Ordering::Release);
    }
}

impl Drop for CancelUnderWay {
    fn drop(&mut self) {
        // One that was given up may still be on its way.
        if !self.delivered.load(Ordering::Acquire) {
            self.identity.doom();
        }
        if self.identity.cancels.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.identity.finished.notify_waiters();
        }
    }
}
