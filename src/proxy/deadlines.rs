//! How long a client may idle, wait, run or sit in a transaction.
//!
//! There is no timer a client: it notes by when something must have happened,
//! and the house looks at all notes from time to time.

use std::sync::Arc;
use std::time::Duration;

use super::client::{Client, End, Service};
use crate::config::PoolSettings;
use crate::pool::Clients;
use crate::session::Rest;
use crate::wire::{PgError, sqlstate};

/// The limits that hold for one client, and since when it does what it does.
/// Only clients with a limit have one.
#[derive(Debug)]
pub(super) struct Deadlines {
    clients: Arc<Clients>,
    query: Option<u64>,
    transaction: Option<u64>,
    idle_transaction: Option<u64>,
    idle: Option<u64>,
    /// `idle_session_timeout`, as the client has set it.
    idle_session: Option<u64>,
    transaction_since: Option<u64>,
    doing: Doing,
    since: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doing {
    /// Between transactions.
    Idle,
    /// A query runs or waits.
    Query,
    /// In a transaction, nothing runs.
    IdleInTransaction,
}

impl Deadlines {
    /// None when nothing is limited.
    pub fn new(clients: &Arc<Clients>, settings: &PoolSettings) -> Option<Box<Self>> {
        let limit = |duration: Duration| (!duration.is_zero()).then(|| ms(duration));
        let limits = [
            limit(settings.query_timeout),
            limit(settings.transaction_timeout),
            limit(settings.idle_transaction_timeout),
            limit(settings.client_idle_timeout),
        ];
        let is_any = limits.iter().any(Option::is_some);
        is_any.then(|| Self::with(clients, limits))
    }

    /// The same client with other limits.
    pub fn renewed(
        before: Option<Box<Self>>,
        clients: &Arc<Clients>,
        settings: &PoolSettings,
    ) -> Option<Box<Self>> {
        let own = before.and_then(|before| before.idle_session);
        let limits = Self::new(clients, settings);
        let mut limits = match own {
            Some(_) => limits.unwrap_or_else(|| Self::with(clients, [None; 4])),
            None => return limits,
        };
        limits.idle_session = own;
        Some(limits)
    }

    fn with(clients: &Arc<Clients>, limits: [Option<u64>; 4]) -> Box<Self> {
        let [query, transaction, idle_transaction, idle] = limits;
        clients.expect_deadlines();
        Box::new(Self {
            clients: Arc::clone(clients),
            query,
            transaction,
            idle_transaction,
            idle,
            idle_session: None,
            transaction_since: None,
            doing: Doing::Idle,
            since: 0,
        })
    }

    fn now_does(&mut self, doing: Doing) -> Option<u64> {
        if self.doing != doing || self.since == 0 {
            let now = self.clients.now_ms();
            self.doing = doing;
            self.since = now;
            match doing {
                Doing::Idle => self.transaction_since = None,
                Doing::Query => self.transaction_since = self.transaction_since.or(Some(now)),
                Doing::IdleInTransaction => {}
            }
        }
        self.next().map(|(at, _)| at)
    }

    /// The deadline that comes first, and what is said when it passes.
    fn next(&self) -> Option<(u64, PgError)> {
        let own = match self.doing {
            Doing::Idle => (
                self.idle,
                sqlstate::IDLE_SESSION_TIMEOUT,
                "client_idle_timeout",
            ),
            Doing::Query => (self.query, sqlstate::QUERY_CANCELED, "query_timeout"),
            Doing::IdleInTransaction => (
                self.idle_transaction,
                sqlstate::IDLE_IN_TRANSACTION_TIMEOUT,
                "idle_transaction_timeout",
            ),
        };
        let deadline = |since: Option<u64>, (limit, code, text): (Option<u64>, &str, &str)| {
            Some((since?.saturating_add(limit?), PgError::fatal(code, text)))
        };
        let own = deadline(Some(self.since), own);
        let since = (self.doing == Doing::Idle).then_some(self.since);
        let session = deadline(
            since,
            (
                self.idle_session,
                sqlstate::IDLE_SESSION_TIMEOUT,
                "terminating connection due to idle-session timeout",
            ),
        );
        let whole = deadline(
            self.transaction_since,
            (self.transaction, "25P04", "transaction_timeout"),
        );
        own.into_iter()
            .chain(whole)
            .chain(session)
            .min_by_key(|(at, _)| *at)
    }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Client {
    /// The client is between transactions from now on.
    pub(super) fn mark_idle(&mut self) {
        self.mark(Doing::Idle);
    }

    /// A query of it runs, or waits for a server connection.
    pub(super) fn mark_busy(&mut self) {
        self.mark(Doing::Query);
    }

    /// Everything is answered; it may still be in a transaction.
    pub(super) fn mark_answered(&mut self) {
        let in_transaction = match &self.service {
            Service::Leased(lease) => matches!(lease.tracker.rest(), Rest::Busy),
            Service::Idle | Service::Waiting(_) => false,
        };
        self.mark(if in_transaction {
            Doing::IdleInTransaction
        } else {
            Doing::Idle
        });
    }

    #[inline]
    fn mark(&mut self, doing: Doing) {
        if let Some(deadlines) = &mut self.deadlines {
            let at = deadlines.now_does(doing);
            self.handle.set_deadline(at);
        }
    }

    /// The client's own `idle_session_timeout` is this now.
    pub(super) fn limit_idle_session(&mut self, limit: Option<Duration>) {
        if limit.is_none() && self.deadlines.is_none() {
            return;
        }
        let clients = self.handle.clients();
        let deadlines = self
            .deadlines
            .get_or_insert_with(|| Deadlines::with(clients, [None; 4]));
        deadlines.idle_session = limit.map(ms);
        // It counts from the end of what is done now.
        deadlines.since = 0;
        self.mark_answered();
    }

    /// Somebody saw a deadline pass; it may be another's by now.
    pub(super) fn deadline_passed(&mut self) -> Result<(), End> {
        let Some(deadlines) = &self.deadlines else {
            return Ok(());
        };
        match deadlines.next() {
            Some((at, error)) if at <= deadlines.clients.now_ms() => Err(End::Told(error)),
            _ => Ok(()),
        }
    }
}
