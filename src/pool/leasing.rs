//! How a client comes to a lease: through the gate, then a connection from the
//! shelf, one that comes back, or a new one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::{Instant as TokioInstant, sleep_until, timeout_at};

use super::budget::Budget;
use super::gate::{Handed, Turn};
use super::lease::{Lease, Permit};
use super::server_pool::{Full, NotOpened, ServerPool};
use super::shelf::{Seeker, Shelf, Taken};
use crate::session::settings::Profile;
use crate::wire::{PgError, Severity, sqlstate};

/// How long a PostgreSQL that says that it is starting up is waited for.
const STARTING_UP: Duration = Duration::from_secs(5);

/// "Never", for a wait without a limit: a year is beyond any client and below
/// what timers can hold.
const NEVER: Duration = Duration::from_secs(365 * 24 * 3600);

impl Shelf {
    /// A lease at once, when nobody waits and a connection is idle.
    #[inline]
    #[must_use]
    pub fn try_lease(self: &Arc<Self>, who: Seeker<'_>) -> Option<Lease> {
        self.lease_if(who, |taken, now| {
            // Else back on the shelf; the caller comes again by `lease`.
            !self.wants_check(taken, now)
        })
    }

    /// The same, of a connection that is about to be used by nobody: however long it has
    /// rested, it is taken as it is.
    pub(super) fn lease_unchecked(self: &Arc<Self>, who: Seeker<'_>) -> Option<Lease> {
        self.lease_if(who, |_, _| true)
    }

    #[inline]
    fn lease_if(
        self: &Arc<Self>,
        who: Seeker<'_>,
        suits: impl Fn(&Taken, Instant) -> bool,
    ) -> Option<Lease> {
        if !self.pool.gate.try_enter() {
            return None;
        }
        let permit = Permit::new(&self.pool);
        let now = Instant::now();
        let taken = self.pop(now, who)?;
        if !suits(&taken, now) {
            return None;
        }
        Some(Lease::new(taken, permit, Arc::clone(self), who.client, now))
    }

    /// A lease, in strict order of asking.
    ///
    /// # Errors
    /// After `query_wait_timeout`; the server's own error when none can be
    /// opened and none is open.
    ///
    /// # Cancel safety
    /// Dropping it leaves the queue; nothing is lost.
    pub async fn lease(
        self: Arc<Self>,
        client: u64,
        profile: Option<Arc<Profile>>,
    ) -> Result<Lease, PgError> {
        let who = Seeker {
            client,
            profile: profile.as_ref(),
        };
        let patience = match self.pool.settings().query_wait_timeout {
            Duration::ZERO => NEVER,
            patience => patience,
        };
        let _wait = Wait {
            pool: &self.pool,
            since: Instant::now(),
        };
        let deadline = TokioInstant::now() + patience;
        let (permit, handed) = self.enter(deadline).await?;
        if let Some(mut taken) = handed {
            let now = Instant::now();
            if taken.is_fit(now) {
                return Ok(Lease::new(taken, permit, Arc::clone(&self), client, now));
            }
            // It broke on its way here.
            taken.clean = false;
        }
        match timeout_at(deadline, self.obtain(who)).await {
            Ok(taken) => {
                let now = Instant::now();
                Ok(Lease::new(taken?, permit, Arc::clone(&self), client, now))
            }
            Err(_) => Err(waited_too_long()),
        }
    }

    /// Through the gate, with a connection where one is handed over.
    async fn enter(&self, deadline: TokioInstant) -> Result<(Permit, Option<Taken>), PgError> {
        let pool = &self.pool;
        if pool.open() == 0
            && let Some((error, _)) = pool.trouble.standing(Instant::now())
            && error.code != sqlstate::CANNOT_CONNECT_NOW
        {
            return Err(error.with_severity(Severity::Error));
        }
        if pool.gate.try_enter() {
            return Ok((Permit::new(pool), None));
        }
        let mut place = InQueue {
            pool,
            turn: pool.gate.queue(self.id, Instant::now()),
        };
        let reserve_after = pool.settings().reserve_pool_timeout;
        if pool.settings().reserve_pool_size > 0 && !reserve_after.is_zero() {
            let early = TokioInstant::now() + reserve_after;
            match timeout_at(early.min(deadline), &mut place.turn).await {
                Ok(handed) => return pool.entered(handed),
                Err(_) => pool.gate.pump_up_to(pool.settings().reserve_pool_size),
            }
        }
        match timeout_at(deadline, &mut place.turn).await {
            Ok(handed) => pool.entered(handed),
            Err(_) => Err(waited_too_long()),
        }
    }

    /// Inside the gate: a connection from the shelf, or a new one.
    async fn obtain(&self, who: Seeker<'_>) -> Result<Taken, PgError> {
        let pool = &self.pool;
        let since = Instant::now();
        let mut opened = 0;
        loop {
            let now = Instant::now();
            if let Some(taken) = self.pop(now, who) {
                if let Some(alive) = self.checked(taken, now).await {
                    return Ok(alive);
                }
                continue;
            }
            let next = match pool.trouble.standing(now) {
                Some((error, until)) => {
                    self.give_up_or_wait(error, since)?;
                    self.next_to_come_back(who, None, since, Some(until))
                        .await?
                }
                None => match pool.room() {
                    Ok(places) => {
                        once_more(&mut opened)?;
                        if let Err(error) = pool.open_onto(self, places).await {
                            self.could_not_open(error)?;
                        }
                        None
                    }
                    Err(Full(budget)) if budget.evict() => None,
                    Err(Full(budget)) => {
                        self.next_to_come_back(who, Some(&budget), since, None)
                            .await?
                    }
                },
            };
            if let Some(taken) = next {
                return Ok(taken);
            }
        }
    }

    /// An error about the server is remembered for all; one about what this
    /// client asked for in its startup message is its own.
    fn could_not_open(&self, why: NotOpened) -> Result<(), PgError> {
        let (error, is_everybodys) = match why {
            NotOpened::Refused(error) => (error, false),
            NotOpened::NotBegun(error) => (error, true),
        };
        self.pool.tell_of(&error);
        let about_the_server = is_everybodys
            || ["08", "28", "3D", "53", "57", "58", "XX"]
                .iter()
                .any(|class| error.code.starts_with(class));
        if !about_the_server {
            return Err(error.with_severity(Severity::Error));
        }
        let longest = self.pool.settings().server_login_retry;
        self.pool.trouble.failed(&error, Instant::now(), longest);
        Ok(())
    }

    /// No connection can be opened now. While others are open one may still
    /// come back, and a PostgreSQL that is starting is given a moment;
    /// otherwise everybody who waits hears the server's own error.
    fn give_up_or_wait(&self, error: PgError, since: Instant) -> Result<(), PgError> {
        let is_starting =
            error.code == sqlstate::CANNOT_CONNECT_NOW && since.elapsed() < STARTING_UP;
        if self.pool.open() > 0 || is_starting {
            return Ok(());
        }
        // It ends no client's connection: the next query may find a server.
        let error = error.with_severity(Severity::Error);
        self.pool.gate.fail_all(&error);
        Err(error)
    }

    /// Waits for the next connection that comes back, for room in a budget, or
    /// until the time comes to look again (`None`).
    async fn next_to_come_back(
        &self,
        who: Seeker<'_>,
        budget: Option<&Arc<Budget>>,
        since: Instant,
        until: Option<Instant>,
    ) -> Result<Option<Taken>, PgError> {
        let mut turn = self.pool.gate.wait_for_connection(self.id, since);
        // One may have come back between the last look and the line.
        if let Some(taken) = self.pop(Instant::now(), who) {
            turn.close();
            return Ok(turn
                .try_recv()
                .ok()
                .and_then(Result::ok)
                .flatten()
                .or(Some(taken)));
        }
        let until = until.map_or_else(|| TokioInstant::now() + NEVER, TokioInstant::from_std);
        let freed = async {
            match budget {
                Some(budget) => budget.freed(since).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            handed = &mut turn => handed.unwrap_or(Ok(None)),
            () = freed => Ok(None),
            () = sleep_until(until) => Ok(None),
        }
    }

    fn wants_check(&self, taken: &Taken, now: Instant) -> bool {
        let settings = self.pool.settings();
        now.duration_since(taken.idle_since) > settings.server_check_delay
            && settings.server_check_query.is_some()
    }

    /// The connection, once it has shown that it is alive, where it has been
    /// idle for longer than `server_check_delay`.
    async fn checked(&self, mut taken: Taken, now: Instant) -> Option<Taken> {
        if !self.wants_check(&taken, now) {
            return Some(taken);
        }
        taken.clean = false;
        match self.check(&mut taken.server).await {
            Ok(()) => Some(taken),
            Err(error) => {
                let pid = taken.server.identity.pid;
                tracing::info!(target: "limited", pid, sqlstate = %error.code, "server_check_query failed: {}", error.message.escape_debug());
                None
            }
        }
    }
}

impl ServerPool {
    fn entered(
        self: &Arc<Self>,
        handed: Result<Handed<Taken>, tokio::sync::oneshot::error::RecvError>,
    ) -> Result<(Permit, Option<Taken>), PgError> {
        match handed {
            Ok(handed) => handed.map(|taken| (Permit::new(self), taken)),
            Err(_) => Err(PgError::fatal(sqlstate::INTERNAL_ERROR, "the pool is gone")),
        }
    }
}

/// One who waits for a server connection, for how long is counted on drop.
struct Wait<'a> {
    pool: &'a ServerPool,
    since: Instant,
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        self.pool.stats.wait.add(self.since.elapsed());
    }
}

/// A place in the queue. Whoever leaves it early passes on what was being
/// handed over.
struct InQueue<'a> {
    pool: &'a Arc<ServerPool>,
    turn: Turn<Taken>,
}

impl Drop for InQueue<'_> {
    fn drop(&mut self) {
        self.turn.close();
        if let Ok(Ok(taken)) = self.turn.try_recv() {
            // The connection goes to its shelf, then the permit goes on.
            drop(taken);
            self.pool.gate.leave();
        }
    }
}

/// A connection that is not fit as soon as it is open, or that others take
/// each time, must not become a storm of logins.
fn once_more(opened: &mut u32) -> Result<(), PgError> {
    *opened += 1;
    match *opened {
        1..=20 => Ok(()),
        _ => Err(PgError::fatal(
            sqlstate::CONNECTION_FAILURE,
            "server connections break as soon as they are open",
        )),
    }
}

fn waited_too_long() -> PgError {
    PgError::fatal(sqlstate::PROTOCOL_VIOLATION, "query_wait_timeout")
        .with_hint("all server connections were in use for longer than query_wait_timeout")
}
