//! A server connection in use by one client.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::server_pool::ServerPool;
use super::shelf::{Shelf, Taken};
use super::watch::Watch;
use crate::server::Server;
use crate::session::Boundary;

/// The right to use a server connection, from the first message of a turn to
/// its boundary.
///
/// [`Lease::give_back`] wants the proof of a boundary. A lease that is dropped
/// without it closes its server connection.
#[derive(Debug)]
pub struct Lease {
    /// `None` only while it is being given back.
    taken: Option<Taken>,
    permit: Option<Permit>,
    shelf: Arc<Shelf>,
}

/// The right to hold one connection of a pool; goes back to the gate on drop.
#[derive(Debug)]
pub(super) struct Permit(Option<Arc<ServerPool>>);

impl Permit {
    /// For one whom the gate let in.
    pub fn new(pool: &Arc<ServerPool>) -> Self {
        Self(Some(Arc::clone(pool)))
    }

    /// The gate has passed it on to somebody else already.
    pub fn forget(mut self) {
        self.0 = None;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(pool) = self.0.take() {
            pool.gate.leave();
        }
    }
}

impl Lease {
    pub(super) fn new(
        mut taken: Taken,
        permit: Permit,
        shelf: Arc<Shelf>,
        client: u64,
        now: Instant,
    ) -> Self {
        taken.clean = false;
        taken.turn_since = Some(now);
        taken.query_since = Some(now);
        taken.last_client = client;
        taken.server.ear = None;
        Self {
            taken: Some(taken),
            permit: Some(permit),
            shelf,
        }
    }

    /// The shelf that it came from.
    #[must_use]
    pub fn shelf(&self) -> &Arc<Shelf> {
        &self.shelf
    }

    /// How long ago its connection was opened.
    #[must_use]
    pub fn age(&self) -> Duration {
        let taken = self.taken.as_ref();
        taken.map_or(Duration::ZERO, |taken| taken.opened.elapsed())
    }

    /// Was it ordered that it be replaced?
    #[must_use]
    pub fn is_to_be_replaced(&self) -> bool {
        let taken = self.taken.as_ref();
        taken.is_some_and(|taken| taken.enrolled.is_to_be_replaced())
    }

    /// Its client, who keeps it, begins a transaction, or is in one.
    /// If it begins now, the time.
    #[inline]
    pub fn turn_goes_on(&mut self) -> Option<Instant> {
        let taken = self.taken.as_mut()?;
        if taken.query_since.is_some() {
            return None;
        }
        let now = Instant::now();
        taken.query_since = Some(now);
        if taken.turn_since.is_none() {
            taken.turn_since = Some(now);
            return Some(now);
        }
        None
    }

    /// When the turn began, if there is one.
    #[inline]
    #[must_use]
    pub fn turn_since(&self) -> Option<Instant> {
        self.taken.as_ref()?.turn_since
    }

    /// All is answered, in a transaction: what comes now is its client's own time.
    pub fn query_ends(&mut self) {
        let Some(taken) = &mut self.taken else {
            return;
        };
        if let Some(since) = taken.query_since.take() {
            let took = since.elapsed();
            self.shelf.pool.stats.query.add(took);
            if let Some(watch) = &mut taken.watch {
                watch.answered(took);
            }
            #[cfg(feature = "otel")]
            {
                taken.busy += took;
            }
        }
    }

    /// What runs in the turn that begins is noted; its client has waited so long.
    pub fn watch_turn(&mut self, waited: Duration) {
        if let Some(taken) = &mut self.taken {
            taken.watch.get_or_insert_default().begins(waited);
        }
    }

    /// Nothing is noted of the turn that begins.
    #[inline]
    pub fn leave_unwatched(&mut self) {
        if let Some(taken) = &mut self.taken
            && taken.watch.is_some()
        {
            taken.watch = None;
        }
    }

    /// What is noted of the turn, where something is.
    #[inline]
    pub fn watch(&mut self) -> Option<&mut Watch> {
        self.taken.as_mut()?.watch.as_deref_mut()
    }

    /// How long the turn has taken, if there is one, which is cut off now.
    pub fn turn_so_far(&mut self) -> Option<Duration> {
        let taken = self.taken.as_mut()?;
        if let (Some(since), Some(watch)) = (taken.query_since, &mut taken.watch) {
            watch.answered(since.elapsed());
        }
        Some(taken.turn_since?.elapsed())
    }

    /// How long the server connection has been busy with the turn that is over.
    #[cfg(feature = "otel")]
    pub fn take_busy(&mut self) -> std::time::Duration {
        let taken = self.taken.as_mut();
        taken
            .map(|taken| std::mem::take(&mut taken.busy))
            .unwrap_or_default()
    }

    /// A transaction is over, now; in it its client has changed the catalog, or not
    /// ([`ServerStatements::turn_is_over`]). Returns how long it took, if there was
    /// one.
    ///
    /// [`ServerStatements::turn_is_over`]: crate::session::statements::ServerStatements::turn_is_over
    pub fn turn_ends(&mut self, now: Instant, has_changed_catalog: bool) -> Option<Duration> {
        let taken = self.taken.as_mut()?;
        let pool = &self.shelf.pool;
        let stats = &pool.stats;
        #[cfg(feature = "otel")]
        if let Some(since) = taken.query_since {
            taken.busy += now.saturating_duration_since(since);
        }
        let so_far = |since: Instant| now.saturating_duration_since(since);
        let took = taken.turn_since.take().map(so_far);
        if let Some(took) = took {
            stats.transaction.add(took);
        }
        if let Some(took) = taken.query_since.take().map(so_far) {
            stats.query.add(took);
            if let Some(watch) = &mut taken.watch {
                watch.answered(took);
            }
        }
        let statements = &mut taken.server.statements;
        let parses = statements.turn_is_over(&pool.catalog, has_changed_catalog);
        if parses > 0 {
            stats
                .server_parses
                .fetch_add(parses.into(), Ordering::Relaxed);
        }
        took
    }

    /// Gives a server connection back that is clean: to the client that has waited
    /// longest, or to the shelf.
    pub fn give_back(self, boundary: Boundary) {
        self.hand_on(boundary, Instant::now(), false);
    }

    /// Gives it back at the end of a turn, by a clock that has just been read.
    pub fn give_back_at(self, boundary: Boundary, now: Instant) {
        self.hand_on(boundary, now, true);
    }

    fn hand_on(mut self, boundary: Boundary, now: Instant, was_used: bool) {
        if self
            .server()
            .is_some_and(|server| server.identity.is_being_canceled())
        {
            tokio::spawn(self.hand_on_after_cancel(boundary, was_used));
            return;
        }
        let settings = self.shelf.pool.settings();
        let is_for_one_use = settings.server_lifetime.is_zero();
        let is_reset = was_used && settings.server_reset_query_always;
        drop(settings);
        if is_reset {
            tokio::spawn(self.reset_and_hand_on());
            return;
        }
        let (Some(mut taken), Some(permit)) = (self.taken.take(), self.permit.take()) else {
            return;
        };
        let pool = &self.shelf.pool;
        // Closed when its time has come, or when its lifetime is one use.
        if taken.is_stale(now)
            || is_for_one_use
            || taken.server.identity.is_doomed()
            || pool.owes_a_place()
            || pool.has_too_many()
        {
            // Closed before the permit brings somebody who wants its place.
            drop(taken);
            return;
        }
        taken.clean = true;
        taken.idle_since = now;
        taken.enrolled.rests(taken.server.statements.len(), now);
        match pool.gate.offer(taken, self.shelf.id) {
            // Handed on with the permit.
            None => permit.forget(),
            // Onto the shelf, before the permit can bring somebody who looks there.
            Some(taken) => self.shelf.shelve(taken),
        }
    }

    /// A cancel is under way: until it has ended it could hit whoever is next.
    async fn hand_on_after_cancel(self, boundary: Boundary, was_used: bool) {
        let Some(identity) = self.server().map(|server| Arc::clone(&server.identity)) else {
            return;
        };
        let within = self.shelf.pool.settings().cancel_wait_timeout;
        if timeout(within, identity.cancels_finished()).await.is_ok() && !identity.is_doomed() {
            self.hand_on(boundary, Instant::now(), was_used);
        }
    }

    /// `server_reset_query_always`: its client goes on meanwhile.
    async fn reset_and_hand_on(mut self) {
        match self.clean(true, false).await {
            Ok(boundary) => self.give_back(boundary),
            Err(why) => {
                let pid = self.identity.pid;
                let (database, user) = (&self.shelf.pool.database, &self.shelf.pool.server_user);
                tracing::warn!(pid, database, user, "closing because: {why}");
            }
        }
    }

    fn server(&self) -> Option<&Server> {
        self.taken.as_ref().map(|taken| &taken.server)
    }
}

impl Deref for Lease {
    type Target = Server;

    #[inline]
    #[allow(clippy::expect_used)] // `taken` is empty only inside `give_back`, which owns the lease.
    fn deref(&self) -> &Server {
        &self
            .taken
            .as_ref()
            .expect("a lease holds its connection")
            .server
    }
}

impl DerefMut for Lease {
    #[inline]
    #[allow(clippy::expect_used)] // As above.
    fn deref_mut(&mut self) -> &mut Server {
        &mut self
            .taken
            .as_mut()
            .expect("a lease holds its connection")
            .server
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // Not clean: bb8 closes it. Only then, with its place in the budgets
        // free, does the permit go on.
        drop(self.taken.take());
        drop(self.permit.take());
    }
}
