//! The server connections of one database and role.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, Guard};
use parking_lot::Mutex;
use tokio::time::{Instant as TokioInstant, sleep_until, timeout_at};

use super::budget::{Budget, Place};
use super::connection::Connection;
use super::credentials::{Ways, credential_of, login_spec};
use super::gate::{Gate, Handed, Turn};
use super::generation::Generation;
use super::lease::{Lease, Permit};
use super::listener::Listener;
use super::servers::{ServerEntry, Servers};
use super::shelf::{Seeker, Shelf, StartupClass, Taken};
use super::stats::PoolStats;
use super::trouble::Trouble;
use crate::auth::Credential;
use crate::config::PoolSettings;
use crate::server::{Hosts, LoginSpec, Server, connect};
use crate::session::settings::Profile;
use crate::session::statements::Catalog;
use crate::wire::{PgError, Severity, sqlstate};

/// Startup classes that are kept without a client using them.
const SPARE_SHELVES: usize = 32;

/// How long a PostgreSQL that says that it is starting up is waited for.
const STARTING_UP: Duration = Duration::from_secs(5);

/// "Never", for a wait without a limit: a year is beyond any client and below
/// what timers can hold.
const NEVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// See the module.
#[derive(Debug)]
pub struct ServerPool {
    /// The name that its clients ask for.
    pub database: String,
    /// The user that it logs in to the server as.
    pub server_user: String,
    /// What holds for this pool, until the configuration is read again.
    settings: ArcSwap<PoolSettings>,
    /// What it has done.
    pub stats: PoolStats,
    /// The database's catalog, which its other pools see as well.
    pub catalog: Arc<Catalog>,
    /// What sessions of its server begin with.
    pub generation: Generation,
    /// Connections of before its last change are to be replaced.
    renewals: Generation,
    /// What it has open.
    servers: Arc<Servers>,
    /// What its clients listen to.
    pub(super) listener: Arc<Listener>,
    pub(super) gate: Gate<Taken>,
    shelves: Mutex<HashMap<StartupClass, Arc<Shelf>>>,
    budgets: Budgets,
    trouble: Trouble,
    hosts: Mutex<Arc<Hosts>>,
    /// What to log in with where the settings name no password.
    learned: Mutex<Credential>,
    ways: Ways,
}

/// The budgets that each connection of a pool counts against.
#[derive(Debug)]
pub(super) struct Budgets {
    pub pool: Arc<Budget>,
    pub database: Arc<Budget>,
    pub user: Arc<Budget>,
}

/// No room to open a connection: the budget that is full.
struct Full(Arc<Budget>);

impl ServerPool {
    pub(super) fn new(
        database: &str,
        settings: PoolSettings,
        budgets: Budgets,
        catalog: Arc<Catalog>,
        generation: Generation,
        hosts: Arc<Hosts>,
        ways: Ways,
    ) -> Arc<Self> {
        let pool = Arc::new(Self {
            database: database.to_owned(),
            server_user: settings.server_user.clone(),
            renewals: Generation::default(),
            servers: Arc::default(),
            gate: Gate::new(settings.pool_size),
            stats: PoolStats::default(),
            catalog,
            generation,
            listener: Arc::default(),
            shelves: Mutex::default(),
            trouble: Trouble::default(),
            hosts: Mutex::new(hosts),
            learned: Mutex::new(Credential::None),
            settings: ArcSwap::from_pointee(settings),
            budgets,
            ways,
        });
        for budget in [
            &pool.budgets.pool,
            &pool.budgets.database,
            &pool.budgets.user,
        ] {
            budget.join(&pool);
        }
        pool
    }

    /// What holds for this pool now.
    #[inline]
    #[must_use]
    pub fn settings(&self) -> Guard<Arc<PoolSettings>> {
        self.settings.load()
    }

    /// Goes on with other settings. Where they are about the server connections
    /// themselves those that are open are replaced, each when nobody uses it.
    pub(super) fn adopt(&self, settings: PoolSettings, hosts: Arc<Hosts>) {
        let before = self.settings.swap(Arc::new(settings));
        let now = self.settings();
        self.gate.resize(now.pool_size);
        self.budgets.database.resize(now.max_db_connections);
        self.budgets.user.resize(now.max_user_connections);
        let is_other_server = before.connects_elsewhere(&now);
        *self.hosts.lock() = hosts;
        if is_other_server {
            // Its objects may be others.
            self.catalog.changed();
            self.catalog.hidden.is_old();
            self.trouble.over();
            self.listener.moves();
        }
        if is_other_server || before.keeps_otherwise(&now) {
            self.replace_connections();
        }
    }

    /// Has all server connections replaced, each when nobody uses it.
    pub fn replace_connections(&self) {
        self.renewals.ends();
        let shelves: Vec<_> = self.shelves.lock().values().cloned().collect();
        for shelf in shelves {
            shelf.renew_store();
        }
        self.gate.nudge();
    }

    /// The shelf for these startup parameters.
    pub fn shelf(self: &Arc<Self>, class: StartupClass) -> Arc<Shelf> {
        let mut shelves = self.shelves.lock();
        if let Some(shelf) = shelves.get(&class) {
            return Arc::clone(shelf);
        }
        if shelves.len() >= SPARE_SHELVES {
            // Those that only this map knows: their idle connections close with them.
            shelves.retain(|_, shelf| Arc::strong_count(shelf) > 1);
        }
        let shelf = Arc::new(Shelf::new(Arc::clone(self), class.clone()));
        shelves.insert(class, Arc::clone(&shelf));
        shelf
    }

    /// Connections open or being opened.
    #[must_use]
    pub fn open(&self) -> u32 {
        self.budgets.pool.open()
    }

    /// Connections that are open, the oldest first.
    #[must_use]
    pub fn servers(&self) -> Vec<Arc<ServerEntry>> {
        self.servers.all()
    }

    /// Statements that its clients have prepared, and the bytes of their texts.
    #[must_use]
    pub fn statements(&self) -> (usize, usize) {
        let shelves = self.shelves.lock();
        let sizes = shelves.values().map(|shelf| shelf.statements.size());
        sizes.fold((0, 0), |all, each| (all.0 + each.0, all.1 + each.1))
    }

    /// Where its connections go.
    #[must_use]
    pub fn hosts(&self) -> Arc<Hosts> {
        Arc::clone(&self.hosts.lock())
    }

    /// How many connections it may have.
    #[must_use]
    pub fn size(&self) -> u32 {
        self.gate.limit()
    }

    /// Is nobody let in?
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.gate.is_paused()
    }

    /// How many clients are inside: with a connection, or about to have one.
    #[must_use]
    pub fn in_use(&self) -> u32 {
        self.gate.used()
    }

    /// Closes what is idle.
    pub fn close_idle(&self) {
        while self.close_one_idle() {}
    }

    /// Idle connections.
    #[must_use]
    pub fn idle(&self) -> u32 {
        self.shelves.lock().values().map(|shelf| shelf.idle()).sum()
    }

    /// Clients that wait, and since when the oldest does.
    #[must_use]
    pub fn waiting(&self) -> (usize, Option<Instant>) {
        self.gate.waiting()
    }

    pub(super) fn close_one_idle(&self) -> bool {
        let shelves: Vec<_> = self.shelves.lock().values().cloned().collect();
        shelves
            .iter()
            .max_by_key(|shelf| shelf.idle())
            .is_some_and(|shelf| shelf.close_one())
    }

    /// Has another pool waited for a place in a shared budget for longer than
    /// anybody here? A connection that comes back now is closed for it.
    pub(super) fn owes_a_place(&self) -> bool {
        let Budgets { database, user, .. } = &self.budgets;
        let elsewhere = database.oldest().into_iter().chain(user.oldest()).min();
        elsewhere.is_some_and(|since| self.gate.waiting().1.is_none_or(|here| since < here))
    }

    /// See [`Shelf::cool_down`].
    pub(super) fn cool_down(&self, now: Instant) {
        let shelves: Vec<_> = self.shelves.lock().values().cloned().collect();
        for shelf in shelves {
            shelf.cool_down(now);
        }
    }

    /// See [`crate::session::statements::Registry::forget_unused`].
    pub(super) fn forget_unused_statements(&self) {
        for shelf in self.shelves.lock().values() {
            shelf.statements.forget_unused();
        }
    }

    /// Opens connections up to `min_pool_size`, on the shelf used by most.
    pub(super) async fn warm_up(self: &Arc<Self>) {
        while self.open() < self.settings().min_pool_size
            && !self.gate.is_paused()
            && self.trouble.standing(Instant::now()).is_none()
        {
            let busiest = self
                .shelves
                .lock()
                .values()
                .max_by_key(|shelf| Arc::strong_count(shelf))
                .cloned();
            let (Some(shelf), Ok(places)) = (busiest, self.room()) else {
                return;
            };
            if self.open_onto(&shelf, places).await.is_err() {
                return;
            }
            self.gate.nudge();
        }
    }

    /// A place in every budget.
    fn room(&self) -> Result<[Place; 3], Full> {
        let Budgets {
            pool,
            database,
            user,
        } = &self.budgets;
        let full = |budget: &Arc<Budget>| Full(Arc::clone(budget));
        let limit = self.gate.limit().max(self.gate.used());
        let in_pool = pool.take_below(limit).ok_or_else(|| full(pool))?;
        let in_database = database.take().ok_or_else(|| full(database))?;
        let in_user = user.take().ok_or_else(|| full(user))?;
        Ok([in_pool, in_database, in_user])
    }

    /// Opens a connection that one client has for itself, beside the `pool_size`;
    /// it counts for the database and the user.
    ///
    /// # Errors
    /// 53300 where those may have no more; otherwise as of the server.
    pub async fn open_apart(&self, startup: StartupClass) -> Result<Apart, PgError> {
        let Budgets { database, user, .. } = &self.budgets;
        let place = |budget: &Arc<Budget>| {
            let taken = budget.take().or_else(|| {
                budget.evict();
                budget.take()
            });
            taken.ok_or_else(|| {
                PgError::fatal(
                    sqlstate::TOO_MANY_CONNECTIONS,
                    "no more server connections allowed (max_db_connections, max_user_connections)",
                )
            })
        };
        let places = [place(database)?, place(user)?];
        let server = self.connect(startup).await?;
        Ok(Apart {
            server,
            _places: places,
        })
    }

    async fn login(&self, startup: StartupClass) -> Result<LoginSpec, PgError> {
        let Ways {
            keys,
            passwords,
            tls,
        } = &self.ways;
        let named = credential_of(&self.settings(), passwords).await?;
        let credential = named.unwrap_or_else(|| self.learned.lock().clone());
        let hosts = Arc::clone(&self.hosts.lock());
        login_spec(&self.settings(), &hosts, credential, startup, keys, tls)
    }

    /// Logs in to the server; once more where it refuses a password of which
    /// there is a newer one.
    async fn connect(&self, startup: StartupClass) -> Result<Server, PgError> {
        let spec = self.login(startup.clone()).await?;
        match connect(&spec).await {
            Err(error)
                if error.code == sqlstate::INVALID_PASSWORD
                    && self.ways.passwords.doubt(&self.settings()) =>
            {
                connect(&self.login(startup).await?).await
            }
            connected => connected,
        }
    }

    /// From now on it logs in with this: a client has shown it.
    pub fn learn(&self, credential: &Credential) {
        let mut known = self.learned.lock();
        if !known.same_as(credential) {
            known.clone_from(credential);
            drop(known);
            // What kept it out may be over.
            self.trouble.over();
        }
    }

    /// Opens the connection that listens for all, beside the pool's own.
    pub(super) async fn connect_to_listen(&self) -> Result<Server, PgError> {
        let name = ("application_name".to_owned(), "pgweave listens".to_owned());
        let server = self.connect(vec![name]).await?;
        tracing::info!(server = %server.identity.target, pid = server.identity.pid, tls = server.stream.is_tls(), database = %self.settings().dbname,
            user = %self.settings().server_user, "new connection to server, to listen for all clients");
        Ok(server)
    }

    /// Opens a connection and puts it on the shelf.
    async fn open_onto(&self, shelf: &Shelf, places: [Place; 3]) -> Result<(), PgError> {
        let (born, renewed) = (self.generation.born(), self.renewals.born());
        let server = self.connect(shelf.class.clone()).await?;
        tracing::info!(server = %server.identity.target, pid = server.identity.pid, tls = server.stream.is_tls(), database = %self.settings().dbname,
            user = %self.settings().server_user, "new connection to server");
        self.stats.opened.fetch_add(1, Ordering::Relaxed);
        self.trouble.over();
        let now = Instant::now();
        let enrolled = self.servers.enrol(&server, [born.clone(), renewed]);
        shelf.put_new(Connection {
            turn_since: None,
            enrolled,
            server,
            deadline: self.lifetime().map(|lifetime| now + lifetime),
            idle_since: now,
            opened: now,
            born,
            last_client: 0,
            clean: true,
            _places: places,
        });
        Ok(())
    }

    /// `server_lifetime`, up to a tenth shorter, so that connections opened
    /// together do not end together.
    fn lifetime(&self) -> Option<Duration> {
        let lifetime = self.settings().server_lifetime;
        let mut byte = [0];
        let _ = getrandom::fill(&mut byte);
        (!lifetime.is_zero()).then(|| lifetime.mul_f64(1.0 - f64::from(byte[0]) / 2560.0))
    }
}

impl Shelf {
    /// A lease at once, when nobody waits and a connection is idle.
    #[inline]
    #[must_use]
    pub fn try_lease(self: &Arc<Self>, who: Seeker<'_>) -> Option<Lease> {
        if !self.pool.gate.try_enter() {
            return None;
        }
        let permit = Permit::new(&self.pool);
        let now = Instant::now();
        let taken = self.pop(now, who)?;
        if self.wants_check(&taken, now) {
            // Back on the shelf; the caller comes again by `lease`.
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
        client: i32,
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
    fn could_not_open(&self, error: PgError) -> Result<(), PgError> {
        tracing::warn!(server = %self.pool.hosts.lock(), sqlstate = %error.code, "server login failed: {}", error.message.escape_debug());
        let about_the_server = ["08", "28", "3D", "53", "57", "58", "XX"]
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
        now.duration_since(taken.idle_since) > self.pool.settings().server_check_delay
    }

    /// The connection, once it has shown that it is alive, where it has been
    /// idle for longer than `server_check_delay`.
    async fn checked(&self, mut taken: Taken, now: Instant) -> Option<Taken> {
        if !self.wants_check(&taken, now) {
            return Some(taken);
        }
        taken.clean = false;
        let within = self.pool.settings().server_connect_timeout;
        taken.server.check(within).await.ok().map(|_boundary| taken)
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
        self.pool.stats.waited(self.since.elapsed());
    }
}

/// A server connection that is never pooled.
#[derive(Debug)]
pub struct Apart {
    server: Server,
    _places: [Place; 2],
}

impl std::ops::Deref for Apart {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl std::ops::DerefMut for Apart {
    fn deref_mut(&mut self) -> &mut Server {
        &mut self.server
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
