//! All pools, by database and role.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use parking_lot::Mutex;

use super::budget::Budget;
use super::credentials::Ways;
use super::generation::Generation;
use super::orders::Orders;
use super::passwords::{InFiles, Passwords};
use super::server_pool::{Budgets, ServerPool};
use super::shelf::StartupClass;
use crate::auth::{Credential, KeyCache};
use crate::config::{Config, LoadBalance, PoolSettings};
use crate::net::Names;
use crate::net::tls::Tls;
use crate::server::{Hosts, LoginSpec, Server};
use crate::session::statements::Catalog;
use crate::wire::PgError;

/// Server keys (one for each role and server secret) that are remembered.
const CACHED_KEYS: usize = 1024;

/// What functions do is asked anew every so many rounds, if it is needed.
const LEARN_EVERY: u32 = 60;

/// Statements that nobody uses any more are looked for every so many rounds.
const SWEEP_EVERY: u32 = 10;

/// Finds or makes the pool for a client that has logged in.
#[derive(Debug)]
pub struct Directory {
    pools: Mutex<HashMap<(String, String), Arc<ServerPool>>>,
    databases: Mutex<HashMap<String, Arc<Budget>>>,
    users: Mutex<HashMap<String, Arc<Budget>>>,
    catalogs: Mutex<HashMap<(String, u16, String), Arc<Catalog>>>,
    generations: Mutex<HashMap<(String, u16), Generation>>,
    hosts: Mutex<HashMap<(String, u16, bool), Arc<Hosts>>>,
    orders: Mutex<Orders>,
    /// Pools that no client comes to any more, until the last one has left.
    leaving: Mutex<Vec<Arc<ServerPool>>>,
    ways: Ways,
    /// How often [`Directory::keep`] was called.
    rounds: AtomicU32,
}

impl Directory {
    /// No pools yet; `tls` is what their connections are taken into TLS with, and
    /// `names` knows where hosts are.
    #[must_use]
    pub fn new(tls: Arc<Tls>, names: Names) -> Self {
        Self {
            pools: Mutex::default(),
            databases: Mutex::default(),
            users: Mutex::default(),
            catalogs: Mutex::default(),
            generations: Mutex::default(),
            hosts: Mutex::default(),
            orders: Mutex::default(),
            leaving: Mutex::default(),
            ways: Ways {
                keys: KeyCache::new(CACHED_KEYS),
                passwords: Passwords::default(),
                files: InFiles::default(),
                tls,
                names,
            },
            rounds: AtomicU32::new(0),
        }
    }

    /// The pool of a database for a user, and the settings that hold for that
    /// user in it; `None` when there is no such database.
    #[must_use]
    pub fn pool(
        &self,
        config: &Config,
        database: &str,
        user: &str,
    ) -> Option<(Arc<ServerPool>, PoolSettings)> {
        let settings = config.pool_settings(database, user)?;
        let key = (database.to_owned(), settings.server_user.clone());
        let mut pools = self.pools.lock();
        let pool = pools.entry(key).or_insert_with(|| {
            let budget = |budgets: &Mutex<HashMap<String, Arc<Budget>>>, name: &str, limit| {
                Arc::clone(
                    budgets
                        .lock()
                        .entry(name.to_owned())
                        .or_insert_with(|| Budget::new(limit)),
                )
            };
            let budgets = Budgets {
                pool: Budget::new(0),
                database: budget(&self.databases, database, settings.max_db_connections),
                user: budget(
                    &self.users,
                    &settings.server_user,
                    settings.max_user_connections,
                ),
            };
            let (catalog, generation) = (self.catalog(&settings), self.generation(&settings));
            let hosts = self.hosts(&settings);
            let pool = ServerPool::new(
                database,
                settings.clone(),
                budgets,
                catalog,
                generation,
                hosts,
                self.ways.clone(),
            );
            if self.orders.lock().is_paused(database) {
                pool.gate.pause();
            }
            pool
        });
        Some((Arc::clone(pool), settings))
    }

    /// Goes on with another configuration. Pools whose database is gone, or whose
    /// server user is another, are forgotten: their clients find that out.
    pub fn adopt(&self, config: &Config) {
        self.hosts.lock().clear();
        let mut pools = self.pools.lock();
        pools.retain(|(database, user), pool| {
            let settings = config.pool_settings(database, user);
            match settings.filter(|settings| settings.server_user == *user) {
                Some(settings) => {
                    if **pool.settings() != settings {
                        let hosts = self.hosts(&settings);
                        pool.adopt(settings, hosts);
                    }
                    true
                }
                None => {
                    pool.replace_connections();
                    self.leaving.lock().push(Arc::clone(pool));
                    false
                }
            }
        });
    }

    /// Opens a connection that belongs to no pool, with the password that the
    /// settings name.
    ///
    /// # Errors
    /// The server's own; 08001 when it cannot be reached, or there is no password
    /// to be had.
    ///
    /// # Cancel safety
    /// Dropped before its end, the half-open connection is closed.
    pub async fn connect(
        &self,
        settings: &PoolSettings,
        startup: StartupClass,
    ) -> Result<Server, PgError> {
        let hosts = self.hosts(settings);
        let ways = &self.ways;
        ways.connect(settings, &hosts, Credential::None, startup)
            .await
    }

    /// What it takes to log in to the server of these settings with this.
    ///
    /// # Errors
    /// When the files for TLS to the server cannot be used (08001).
    pub fn login(
        &self,
        settings: &PoolSettings,
        credential: Credential,
        startup: StartupClass,
    ) -> Result<LoginSpec, PgError> {
        let hosts = self.hosts(settings);
        self.ways.login_spec(settings, &hosts, credential, startup)
    }

    /// The catalog of a database, by whatever names clients ask for it.
    fn catalog(&self, settings: &PoolSettings) -> Arc<Catalog> {
        let key = (
            settings.host.clone(),
            settings.port,
            settings.dbname.clone(),
        );
        Arc::clone(self.catalogs.lock().entry(key).or_default())
    }

    /// The hosts of a database, with what is known of them.
    fn hosts(&self, settings: &PoolSettings) -> Arc<Hosts> {
        let take_turns = settings.load_balance_hosts == LoadBalance::RoundRobin;
        let key = (settings.host.clone(), settings.port, take_turns);
        let mut hosts = self.hosts.lock();
        let known = hosts.entry(key).or_insert_with(|| {
            let shunned_for = settings.server_login_retry;
            let hosts = Hosts::new(&settings.host, settings.port, take_turns, shunned_for);
            Arc::new(hosts)
        });
        Arc::clone(known)
    }

    /// What sessions of a server begin with.
    fn generation(&self, settings: &PoolSettings) -> Generation {
        let key = (settings.host.clone(), settings.port);
        self.generations.lock().entry(key).or_default().clone()
    }

    /// The pools of one database, or all of them.
    #[must_use]
    pub fn pools_of(&self, database: Option<&str>) -> Vec<Arc<ServerPool>> {
        let mut pools = self.pools();
        pools.retain(|pool| database.is_none_or(|name| pool.database == name));
        pools.sort_by(|a, b| (&a.database, &a.server_user).cmp(&(&b.database, &b.server_user)));
        pools
    }

    /// Lets nobody in to the server connections of a database, or of all: who
    /// comes waits, who has one keeps it for its turn. False when that was so
    /// already.
    pub fn pause(&self, database: Option<&str>) -> bool {
        let is_news = self.orders.lock().pause(database);
        self.follow_orders();
        is_news
    }

    /// The same for all; it is no reason to close connections.
    pub fn suspend(&self) -> bool {
        let is_news = self.orders.lock().suspend();
        self.follow_orders();
        is_news
    }

    /// Takes that back. False when there was nothing to take back.
    pub fn resume(&self, database: Option<&str>) -> bool {
        let is_news = self.orders.lock().resume(database);
        self.follow_orders();
        is_news
    }

    /// Is this database held?
    #[must_use]
    pub fn is_paused(&self, database: &str) -> bool {
        self.orders.lock().is_paused(database)
    }

    /// Is everything paused, and is everything suspended?
    #[must_use]
    pub fn is_all_paused(&self) -> (bool, bool) {
        self.orders.lock().of_all()
    }

    /// New clients of a database are refused, or let in again.
    pub fn disable(&self, database: &str, disabled: bool) {
        self.orders.lock().disable(database, disabled);
    }

    /// Are new clients of this database refused?
    #[must_use]
    pub fn is_disabled(&self, database: &str) -> bool {
        self.orders.lock().is_disabled(database)
    }

    /// What has been ordered so far.
    #[must_use]
    pub fn orders(&self) -> Orders {
        self.orders.lock().clone()
    }

    /// From now on this holds, which was ordered in the process of before.
    pub fn take_orders(&self, orders: Orders) {
        *self.orders.lock() = orders;
        self.follow_orders();
    }

    fn follow_orders(&self) {
        // A pool that is being made now sees the orders itself.
        for pool in self.pools() {
            match self.is_paused(&pool.database) {
                true => pool.gate.pause(),
                false if pool.gate.is_paused() => pool.gate.resume(),
                false => {}
            }
        }
    }

    /// Server connections open to a database.
    #[must_use]
    pub fn open_on(&self, database: &str) -> u32 {
        let databases = self.databases.lock();
        databases.get(database).map_or(0, |budget| budget.open())
    }

    /// Server connections open for a user.
    #[must_use]
    pub fn open_for(&self, user: &str) -> u32 {
        self.users
            .lock()
            .get(user)
            .map_or(0, |budget| budget.open())
    }

    /// All pools that there are now.
    #[must_use]
    pub fn pools(&self) -> Vec<Arc<ServerPool>> {
        self.pools.lock().values().cloned().collect()
    }

    /// Who knows where hosts are.
    #[must_use]
    pub fn names(&self) -> &Names {
        &self.ways.names
    }

    /// Asks again about names whose time is over, and has server connections
    /// replaced whose name has lost their address, if `reconnects`. To be called
    /// about once a second.
    pub fn keep_names(&self, reconnects: bool) {
        let pools = self.pools();
        let is_used = |name: &str| pools.iter().any(|pool| pool.is_connected_to(name));
        self.names().renew(Instant::now(), is_used);
        if reconnects {
            for pool in &pools {
                pool.leave_lost_addresses(self.names());
            }
        }
    }

    /// What pools need from time to time: about once a second.
    pub async fn keep(&self, config: &Config) {
        let now = Instant::now();
        let round = self.rounds.fetch_add(1, Ordering::Relaxed);
        let sweeps = round.is_multiple_of(SWEEP_EVERY);
        let is_old = round.is_multiple_of(LEARN_EVERY);
        self.ways.passwords.keep(now);
        for pool in self.pools() {
            pool.cool_down(now);
            // Those that were being opened when it was made smaller.
            pool.shed();
            if is_old {
                pool.catalog.hidden.is_old();
            }
            if sweeps {
                pool.forget_unused_statements();
            }
            if pool.settings().min_pool_size > 0 {
                pool.warm_up().await;
            }
        }
        self.forget_deserted(config, now);
    }

    /// Forgets pools that nobody has used for long: `autodb_idle_timeout`,
    /// `pool_idle_timeout`, and those whose last client has left since a reload.
    fn forget_deserted(&self, config: &Config, now: Instant) {
        let general = &config.general;
        self.pools.lock().retain(|(database, _), pool| {
            let by_name = config.databases.contains_key(database);
            let of_auto = (!by_name).then_some(general.autodb_idle_timeout);
            let limits = of_auto.into_iter().chain([general.pool_idle_timeout]);
            let deserted = pool.deserted_for(now);
            let is_over = limits
                .filter(|limit| !limit.is_zero())
                .any(|limit| deserted >= limit);
            // Whoever has just found it is about to use it.
            !(is_over && pool.dissolves())
        });
        self.leaving.lock().retain(|pool| !pool.dissolves());
        // What only they had.
        self.databases
            .lock()
            .retain(|_, budget| Arc::strong_count(budget) > 1);
        self.users
            .lock()
            .retain(|_, budget| Arc::strong_count(budget) > 1);
        self.catalogs
            .lock()
            .retain(|_, catalog| Arc::strong_count(catalog) > 1);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Duration;

    use super::*;
    use crate::config::Database;

    fn settled() -> (Directory, Config) {
        let mut config = Config {
            fallback: Some(Database::named("*".to_owned())),
            ..Config::default()
        };
        config.general.autodb_idle_timeout = Duration::from_secs(60);
        let tls = Arc::new(Tls::load(&config).unwrap());
        (Directory::new(tls, Names::default()), config)
    }

    #[tokio::test]
    async fn a_deserted_pool_is_forgotten_with_all_that_was_its_own() {
        let (directory, config) = settled();
        let (pool, _) = directory.pool(&config, "app", "alice").unwrap();
        let shelf = pool.shelf(Vec::new());
        let weak = Arc::downgrade(&pool);
        let (start, later) = (Instant::now(), Instant::now() + Duration::from_secs(61));
        directory.forget_deserted(&config, start);
        directory.forget_deserted(&config, later);
        assert_eq!(directory.pools().len(), 1, "a client is there");
        drop(shelf);
        directory.forget_deserted(&config, later);
        let much_later = later + Duration::from_secs(61);
        directory.forget_deserted(&config, much_later);
        assert_eq!(directory.pools().len(), 1, "somebody is about to come");
        drop(pool);
        directory.forget_deserted(&config, much_later);
        assert!(directory.pools().is_empty() && weak.upgrade().is_none());
        assert!(directory.catalogs.lock().is_empty() && directory.users.lock().is_empty());
    }

    #[tokio::test]
    async fn a_pool_that_a_reload_has_removed_goes_with_its_last_client() {
        let (directory, mut config) = settled();
        let (pool, _) = directory.pool(&config, "app", "alice").unwrap();
        let shelf = pool.shelf(Vec::new());
        let weak = Arc::downgrade(&pool);
        drop(pool);
        config.fallback = None;
        directory.adopt(&config);
        assert!(directory.pools().is_empty());
        directory.forget_deserted(&config, Instant::now());
        assert!(weak.upgrade().is_some());
        drop(shelf);
        directory.forget_deserted(&config, Instant::now());
        assert!(weak.upgrade().is_none());
    }
}
