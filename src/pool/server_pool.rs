//! The server connections of one database and role.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, Guard};
use parking_lot::Mutex;

use super::budget::{Budget, Place};
use super::connection::Connection;
use super::credentials::Ways;
use super::gate::Gate;
use super::generation::{Born, Generation};
use super::listener::Listener;
use super::servers::{ServerEntry, Servers};
use super::shelf::{Shelf, StartupClass, Taken};
use super::stats::PoolStats;
use super::trouble::Trouble;
use crate::auth::Credential;
use crate::config::PoolSettings;
use crate::net::Names;
use crate::server::{Hosts, Identity, Server, advice};
use crate::session::statements::Catalog;
use crate::wire::PgError;

/// Startup classes that are kept without a client using them.
const SPARE_SHELVES: usize = 32;

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
    pub(super) renewals: Generation,
    /// So many connections it may have while another process takes the rest.
    pub(super) ceiling: AtomicU32,
    /// What it has open.
    servers: Arc<Servers>,
    /// What its clients listen to.
    pub(super) listener: Arc<Listener>,
    pub(super) gate: Gate<Taken>,
    pub(super) shelves: Mutex<HashMap<StartupClass, Arc<Shelf>>>,
    pub(super) budgets: Budgets,
    pub(super) trouble: Trouble,
    pub(super) hosts: Mutex<Arc<Hosts>>,
    /// What to log in with where the settings name no password.
    learned: Mutex<Credential>,
    ways: Ways,
    /// Since when nobody has used it.
    deserted_since: Mutex<Option<Instant>>,
}

/// The budgets that each connection of a pool counts against.
#[derive(Debug)]
pub(super) struct Budgets {
    pub pool: Arc<Budget>,
    pub database: Arc<Budget>,
    pub user: Arc<Budget>,
}

/// Of which time a connection is.
pub(super) struct Begun {
    /// What sessions began with.
    pub born: Born,
    /// What was ordered.
    pub renewed: Born,
    pub opened: Instant,
}

/// No room to open a connection: the budget that is full.
pub(super) struct Full(pub Arc<Budget>);

/// Why a connection could not be opened.
pub(super) enum NotOpened {
    /// The login failed.
    Refused(PgError),
    /// `connect_query` did: that is nobody's own fault.
    NotBegun(PgError),
}

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
            ceiling: AtomicU32::new(u32::MAX),
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
            deserted_since: Mutex::default(),
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
        self.shed();
        let is_other_server = before.connects_elsewhere(&now);
        *self.hosts.lock() = hosts;
        if is_other_server {
            // Its objects may be others.
            self.catalog.changed();
            self.catalog.hidden.is_old();
            self.trouble.over();
            self.listener.moves();
            // It was shown for the server of before.
            *self.learned.lock() = Credential::None;
        }
        if is_other_server || before.keeps_otherwise(&now) {
            self.replace_connections();
        }
    }

    /// Has all server connections replaced, each when nobody uses it.
    pub fn replace_connections(&self) {
        self.renewals.ends();
        let shelves = self.all_shelves();
        for shelf in shelves {
            shelf.renew_store();
        }
        self.gate.nudge();
    }

    /// Does a server connection lead to a host of this name?
    pub(super) fn is_connected_to(&self, name: &str) -> bool {
        let leads_there = |identity: &Identity| identity.is_at(name);
        let mut servers = self.servers().into_iter();
        servers.any(|server| leads_there(&server.identity)) || self.listener.is_any(leads_there)
    }

    /// Has server connections replaced whose name has lost their address, each
    /// when nobody uses it.
    pub(super) fn leave_lost_addresses(&self, names: &Names) {
        if self.listener.is_any(|identity| identity.has_moved(names)) {
            self.listener.moves();
        }
        let mut lost = self.servers();
        lost.retain(|server| !server.is_outdated() && server.identity.has_moved(names));
        if lost.is_empty() {
            return;
        }
        lost.iter().for_each(|server| server.replace());
        tracing::info!(database = %self.database.escape_debug(), user = %self.server_user.escape_debug(), connections = lost.len(),
            "DNS change: connections to addresses that are gone are replaced");
        // Another server may have other objects, and be there.
        self.catalog.changed();
        self.catalog.hidden.is_old();
        self.trouble.over();
        let shelves = self.all_shelves();
        for shelf in shelves {
            shelf.close_outdated();
        }
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

    /// Why no connection can be opened, while that is so.
    #[must_use]
    pub fn trouble(&self) -> Option<PgError> {
        self.trouble.last()
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
        let shelves = self.all_shelves();
        shelves
            .iter()
            .max_by_key(|shelf| shelf.idle())
            .is_some_and(|shelf| shelf.close_one())
    }

    /// Are more connections open than it may have? So it is once it was made smaller.
    #[inline]
    pub(super) fn has_too_many(&self) -> bool {
        let settings = self.settings();
        self.open()
            > settings
                .pool_size
                .saturating_add(settings.reserve_pool_size)
    }

    /// Closes idle connections beyond those that it may have; those in use are closed
    /// when they come back.
    pub(super) fn shed(&self) {
        while self.has_too_many() && self.close_one_idle() {}
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
        let shelves = self.all_shelves();
        for shelf in shelves {
            shelf.cool_down(now);
        }
    }

    /// For how long it has had neither clients nor connections, as seen by those who
    /// look.
    pub(super) fn deserted_for(&self, now: Instant) -> Duration {
        let mut since = self.deserted_since.lock();
        let is_used = |shelf: &Arc<Shelf>| Arc::strong_count(shelf) > 1;
        if self.open() > 0 || self.shelves.lock().values().any(is_used) {
            *since = None;
            return Duration::ZERO;
        }
        now.saturating_duration_since(*since.get_or_insert(now))
    }

    /// Lets go of its shelves, if nobody knows of it but these and one other, and
    /// nobody of these: they know it in their turn, and nothing would ever be freed.
    pub(super) fn dissolves(self: &Arc<Self>) -> bool {
        let mut shelves = self.shelves.lock();
        let is_forgotten = self.open() == 0
            && Arc::strong_count(self) == 1 + shelves.len()
            && shelves.values().all(|shelf| Arc::strong_count(shelf) == 1);
        if is_forgotten {
            let gone = std::mem::take(&mut *shelves);
            drop(shelves);
            drop(gone);
        }
        is_forgotten
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
    pub(super) fn room(&self) -> Result<[Place; 3], Full> {
        let Budgets {
            pool,
            database,
            user,
        } = &self.budgets;
        let full = |budget: &Arc<Budget>| Full(Arc::clone(budget));
        let limit = self.gate.limit().max(self.gate.used());
        let limit = match self.ceiling.load(Ordering::Acquire) {
            // 0 would be no limit.
            0 => return Err(full(pool)),
            ceiling => limit.min(ceiling),
        };
        let in_pool = pool.take_below(limit).ok_or_else(|| full(pool))?;
        let in_database = database.take().ok_or_else(|| full(database))?;
        let in_user = user.take().ok_or_else(|| full(user))?;
        Ok([in_pool, in_database, in_user])
    }

    /// Logs in to the server.
    pub(super) async fn connect(&self, startup: StartupClass) -> Result<Server, PgError> {
        let (hosts, learned) = (self.hosts(), self.learned.lock().clone());
        let settings = Arc::clone(&self.settings());
        self.ways.connect(&settings, &hosts, learned, startup).await
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

    /// What it logs in with where the settings name no password.
    #[must_use]
    pub fn learned(&self) -> Credential {
        self.learned.lock().clone()
    }

    /// Tells the log that no connection could be opened; what to do about it once, until
    /// one can be.
    pub(super) fn tell_of(&self, error: &PgError) {
        let settings = self.settings();
        let is_news = self
            .trouble
            .last()
            .is_none_or(|last| last.code != error.code);
        let to_do = || advice(error, &settings.server_user, &settings.dbname);
        let hint = is_news.then(to_do).flatten();
        tracing::warn!(server = %self.hosts.lock(), database = %self.database.escape_debug(), user = %self.server_user.escape_debug(), sqlstate = %error.code, hint, "server login failed: {}", error.message.escape_debug());
    }

    /// Opens the connection that listens for all, beside the pool's own.
    pub(super) async fn connect_to_listen(&self) -> Result<Server, PgError> {
        let name = ("application_name".to_owned(), "pgweave listens".to_owned());
        let server = self.connect(vec![name]).await?;
        tracing::info!(server = %server.identity.target, pid = server.identity.pid, tls = server.stream.is_tls(), database = %self.settings().dbname.escape_debug(),
            user = %self.settings().server_user.escape_debug(), "new connection to server, to listen for all clients");
        Ok(server)
    }

    /// Opens a connection and puts it on the shelf.
    pub(super) async fn open_onto(
        &self,
        shelf: &Shelf,
        places: [Place; 3],
    ) -> Result<(), NotOpened> {
        let (born, renewed) = (self.generation.born(), self.renewals.born());
        let connected = self.connect(shelf.class.clone()).await;
        let server = connected.map_err(NotOpened::Refused)?;
        tracing::info!(server = %server.identity.target, pid = server.identity.pid, tls = server.stream.is_tls(), database = %self.settings().dbname.escape_debug(),
            user = %self.settings().server_user.escape_debug(), "new connection to server");
        let begun = Begun {
            born,
            renewed,
            opened: Instant::now(),
        };
        let put = self.put_onto(shelf, server, places, begun).await;
        put.map_err(NotOpened::NotBegun)?;
        self.stats.opened.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Begins the session of a connection and puts it on the shelf.
    pub(super) async fn put_onto(
        &self,
        shelf: &Shelf,
        mut server: Server,
        places: [Place; 3],
        begun: Begun,
    ) -> Result<(), PgError> {
        let Begun {
            born,
            renewed,
            opened,
        } = begun;
        let within = self.settings().server_connect_timeout;
        shelf.has_one_of(&born);
        shelf.begin_session(&mut server, within).await?;
        self.trouble.over();
        let enrolled = self.servers.enrol(&server, [born.clone(), renewed]);
        shelf.put_new(Connection {
            turn_since: None,
            #[cfg(feature = "otel")]
            busy: std::time::Duration::ZERO,
            query_since: None,
            watch: None,
            enrolled,
            server,
            deadline: self.lifetime().map(|lifetime| opened + lifetime),
            idle_since: Instant::now(),
            opened,
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
