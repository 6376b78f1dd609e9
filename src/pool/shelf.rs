//! The idle connections of one pool that were opened with the same startup
//! parameters, and so have the same defaults to return to.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bb8::{PooledConnection, QueueStrategy};
use parking_lot::{Mutex, RwLock};

use super::connection::{Connection, Keeper};
use super::generation::Born;
use super::server_pool::ServerPool;
use crate::config::AssignPolicy;
use crate::session::sequences::Askers;
use crate::session::settings::{Defaults, Profile, Profiles};
use crate::session::statements::Registry;

/// How often bb8 looks for connections whose time has come.
const REAPER_RATE: Duration = Duration::from_secs(1);

/// A connection that is idle for longer is left to bb8.
const COOL_AFTER: Duration = Duration::from_secs(1);

/// So many of the warm connections are looked at for one that suits.
const LOOKED_AT: usize = 16;

/// Who looks for a connection.
#[derive(Debug, Clone, Copy)]
pub struct Seeker<'a> {
    /// The client's number: process ids need not differ.
    pub client: u64,
    /// Its settings.
    pub profile: Option<&'a Arc<Profile>>,
}

/// A connection taken from a shelf.
pub(super) type Taken = PooledConnection<'static, Keeper>;

/// ParameterStatus names and values in the order in which a server of this
/// shelf reports them.
pub type Welcome = Arc<[(String, String)]>;

/// What sessions of a shelf begin with.
#[derive(Debug, Clone)]
pub struct Beginning {
    /// What is reported.
    pub greeting: Welcome,
    /// What `connect_query` has set.
    pub profile: Option<Arc<Profile>>,
}

/// Startup parameters that a server connection is opened with, besides user,
/// database and `application_name`.
pub type StartupClass = Vec<(String, String)>;

/// See the module.
#[derive(Debug)]
pub struct Shelf {
    pub(super) id: u64,
    pub(super) pool: Arc<ServerPool>,
    pub(super) class: StartupClass,
    /// Prepared statements of this shelf's clients.
    pub statements: Registry,
    /// Settings of this shelf's clients.
    pub profiles: Profiles,
    /// What sessions begin with.
    pub defaults: Defaults,
    /// Who asks for numbers of sequences.
    pub askers: Askers,
    store: RwLock<bb8::Pool<Keeper>>,
    /// Those given back within the last moment, the latest last: under load a
    /// connection is taken again before bb8 need hear of it.
    warm: Mutex<Vec<Taken>>,
    beginning: Mutex<Option<Beginning>>,
    /// Of the connection opened last.
    generation: AtomicU64,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

fn new_store(pool: &ServerPool) -> bb8::Pool<Keeper> {
    let settings = pool.settings();
    let queue = match settings.assign_policy {
        AssignPolicy::Fifo => QueueStrategy::Fifo,
        AssignPolicy::Lifo | AssignPolicy::Adversarial => QueueStrategy::Lifo,
    };
    let unless_zero = |duration: Duration| (!duration.is_zero()).then_some(duration);
    bb8::Pool::builder()
        .max_size(100_000)
        .test_on_check_out(false)
        .retry_connection(false)
        .queue_strategy(queue)
        .reaper_rate(REAPER_RATE)
        .idle_timeout(unless_zero(settings.server_idle_timeout))
        .max_lifetime(unless_zero(settings.server_lifetime))
        .build_unchecked(Keeper)
}

impl Shelf {
    pub(super) fn new(pool: Arc<ServerPool>, class: StartupClass) -> Self {
        let store = RwLock::new(new_store(&pool));
        let defaults = Defaults::of(&pool.settings().server_user, &class);
        Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            pool,
            class,
            statements: Registry::default(),
            profiles: Profiles::default(),
            defaults,
            askers: Askers::default(),
            store,
            warm: Mutex::default(),
            beginning: Mutex::new(None),
            generation: AtomicU64::new(0),
        }
    }

    /// Closes what is idle; what is in use comes back to a store that is gone, and
    /// is closed as well.
    pub(super) fn renew_store(&self) {
        *self.store.write() = new_store(&self.pool);
        *self.beginning.lock() = None;
        self.defaults.forget();
        let warm = std::mem::take(&mut *self.warm.lock());
        for mut taken in warm {
            taken.clean = false;
        }
    }

    /// Closes what is idle and is to be replaced; the rest is idle again at once.
    pub(super) fn close_outdated(&self) {
        self.defaults.forget();
        let stored = self.store().state().idle_connections;
        let mut idle: Vec<Taken> = (0..stored).map_while(|_| self.pop_stored()).collect();
        if self.pool.settings().assign_policy != AssignPolicy::Fifo {
            // The latest came first.
            idle.reverse();
        }
        idle.append(&mut self.warm.lock());
        for mut taken in idle {
            match taken.enrolled.is_outdated() {
                true => {
                    taken.clean = false;
                    drop(taken);
                }
                false => self.shelve(taken),
            }
            // Who looked meanwhile found nothing.
            self.pool.gate.nudge();
        }
    }

    fn store(&self) -> bb8::Pool<Keeper> {
        self.store.read().clone()
    }

    /// The pool that this shelf belongs to.
    #[must_use]
    pub fn pool(&self) -> &Arc<ServerPool> {
        &self.pool
    }

    /// What its connections are opened with.
    #[must_use]
    pub fn class(&self) -> &StartupClass {
        &self.class
    }

    /// What the session of the server connection began with that was opened last.
    #[must_use]
    pub fn beginning(&self) -> Option<Beginning> {
        self.beginning.lock().clone()
    }

    /// That is what sessions begin with, as another process has found, unless this one
    /// has found out already.
    pub fn begins_as(&self, greeting: Welcome, profile: Option<Arc<Profile>>) {
        let found = || Beginning { greeting, profile };
        self.beginning.lock().get_or_insert_with(found);
    }

    /// Is `client_encoding` UTF8 on a server of this shelf that has logged in?
    #[must_use]
    pub fn speaks_utf8(&self) -> bool {
        let is_utf8 =
            |(name, value): &(String, String)| name == "client_encoding" && value == "UTF8";
        let beginning = self.beginning.lock();
        let greeting = beginning.as_ref().map(|beginning| &beginning.greeting);
        greeting.is_some_and(|greeting| greeting.iter().any(is_utf8))
    }

    /// Idle connections.
    pub(super) fn idle(&self) -> u32 {
        let warm = u32::try_from(self.warm.lock().len()).unwrap_or(u32::MAX);
        warm.saturating_add(self.store().state().idle_connections)
    }

    /// A clean connection becomes idle.
    pub(super) fn shelve(&self, taken: Taken) {
        match self.pool.settings().assign_policy {
            // Dropped, it goes to bb8, which hands out the oldest first.
            AssignPolicy::Fifo => drop(taken),
            AssignPolicy::Lifo | AssignPolicy::Adversarial => self.warm.lock().push(taken),
        }
    }

    /// Leaves to bb8 what nobody has taken again at once: from then on it
    /// ages. Called about once a second.
    pub(super) fn cool_down(&self, now: Instant) {
        let cold = {
            let mut warm = self.warm.lock();
            let is_cold = |taken: &Taken| now.duration_since(taken.idle_since) >= COOL_AFTER;
            let count = warm.iter().take_while(|taken| is_cold(taken)).count();
            warm.drain(..count).collect::<Vec<_>>()
        };
        drop(cold);
    }

    /// The idle connection whose turn it is, if there is one that is fit.
    pub(super) fn pop(&self, now: Instant, who: Seeker<'_>) -> Option<Taken> {
        loop {
            let mut taken = self.pop_for(who)?;
            if taken.is_fit(now) {
                return Some(taken);
            }
            taken.clean = false;
        }
    }

    /// Takes the idle connection that suits the client best: of the warm ones
    /// that which it had last, or one that has its settings already.
    fn pop_for(&self, who: Seeker<'_>) -> Option<Taken> {
        let is_adverse = self.pool.settings().assign_policy == AssignPolicy::Adversarial;
        let was_its_own = |taken: &Taken| (taken.last_client == who.client) != is_adverse;
        let has_settings = |taken: &Taken| {
            taken.server.profile.as_ref().map(Arc::as_ptr) == who.profile.map(Arc::as_ptr)
        };
        let mut warm = self.warm.lock();
        let latest = warm.len().saturating_sub(LOOKED_AT);
        let looked_at = || warm.iter().skip(latest);
        let fit = looked_at().rposition(was_its_own);
        let fit = fit.or_else(|| looked_at().rposition(has_settings));
        let taken = match fit {
            Some(at) => Some(warm.remove(latest + at)),
            None => warm.pop(),
        };
        drop(warm);
        taken.or_else(|| self.pop_stored())
    }

    fn pop_stored(&self) -> Option<Taken> {
        let store = self.store();
        if store.state().idle_connections == 0 {
            return None;
        }
        let mut get = std::pin::pin!(store.get_owned());
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        match get.as_mut().poll(&mut cx) {
            std::task::Poll::Ready(Ok(taken)) => Some(taken),
            // Somebody was faster.
            std::task::Poll::Ready(Err(_)) | std::task::Poll::Pending => None,
        }
    }

    /// A connection has been opened: its session may begin with other values.
    pub(super) fn has_one_of(&self, born: &Born) {
        let generation = born.at();
        if self.generation.swap(generation, Ordering::AcqRel) != generation {
            self.defaults.forget();
        }
    }

    /// Puts a connection that has just been opened on the shelf.
    pub(super) fn put_new(&self, connection: Connection) {
        *self.beginning.lock() = Some(Beginning {
            greeting: connection.server.parameters.as_slice().into(),
            profile: connection.server.profile.clone(),
        });
        // Refused only beyond max_size, which the budgets never reach.
        let _ = self.store().add(Box::new(connection));
    }

    /// Closes one idle connection, rather one that has long been; false when
    /// there is none.
    pub(super) fn close_one(&self) -> bool {
        let oldest_warm = || {
            let mut warm = self.warm.lock();
            (!warm.is_empty()).then(|| warm.remove(0))
        };
        match self.pop_stored().or_else(oldest_warm) {
            Some(mut taken) => {
                taken.clean = false;
                true
            }
            None => false,
        }
    }
}
