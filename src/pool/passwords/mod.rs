//! Passwords for servers that come from a command (`password_command`): tokens
//! of a cloud, leases of a vault.
//!
//! One run at a time for each command and server; its answer serves all pools
//! until `password_command_ttl` is over, and is replaced before that, off the
//! path of queries. What fails leaves the old one in force as long as that lasts.

mod in_files;
mod run;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{OwnedMutexGuard, Semaphore};
use tokio::time::timeout;

pub use self::in_files::InFiles;
use self::run::run;
use crate::auth::{Credential, Secret};
use crate::config::PoolSettings;
use crate::wire::{PgError, sqlstate};

/// So many commands run at a time, however many users ask.
const AT_A_TIME: usize = 16;

/// After a failure nobody runs the command again for so long.
const PAUSE: Duration = Duration::from_secs(1);

/// What nobody has asked for within this time is not kept fresh any more.
const UNUSED: Duration = Duration::from_secs(3600);

/// A command and what it is told.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Order {
    command: Vec<String>,
    host: String,
    port: u16,
    database: String,
    user: String,
}

impl Order {
    fn of(settings: &PoolSettings) -> Option<Self> {
        Some(Self {
            command: settings.password_command.clone()?,
            host: settings.host.clone(),
            port: settings.port,
            database: settings.dbname.clone(),
            user: settings.server_user.clone(),
        })
    }
}

/// See the module. Clones share what is known.
#[derive(Debug, Clone)]
pub struct Passwords(Arc<All>);

#[derive(Debug)]
struct All {
    kept: Mutex<HashMap<Order, Arc<Kept>>>,
    room: Semaphore,
}

/// What one command has said.
#[derive(Debug, Default)]
struct Kept {
    /// One runs at a time.
    turn: Arc<tokio::sync::Mutex<()>>,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    password: Option<(Secret, Instant)>,
    failure: Option<(PgError, Instant)>,
    used: Option<Instant>,
    ttl: Duration,
    /// A run may take so long.
    patience: Duration,
}

impl Default for Passwords {
    fn default() -> Self {
        Self(Arc::new(All {
            kept: Mutex::default(),
            room: Semaphore::new(AT_A_TIME),
        }))
    }
}

impl Passwords {
    /// The password for a server; none where no command is set.
    ///
    /// # Errors
    /// 08001 when the command fails, in words without what it printed.
    ///
    /// # Cancel safety
    /// Dropped before its end, the command runs on, for whoever asks next.
    pub async fn get(&self, settings: &PoolSettings) -> Option<Result<Secret, PgError>> {
        let order = Order::of(settings)?;
        let kept = Arc::clone(self.0.kept.lock().entry(order.clone()).or_default());
        let now = Instant::now();
        if let Some(known) = kept.known.lock().use_at(now, settings) {
            return Some(known);
        }
        let turn = Arc::clone(&kept.turn).lock_owned().await;
        if let Some(told) = kept.known.lock().told_since(now) {
            return Some(told);
        }
        let running = tokio::spawn(Arc::clone(&self.0).renew(order, kept, turn));
        Some(running.await.unwrap_or_else(|_| {
            Err(PgError::fatal(
                sqlstate::INTERNAL_ERROR,
                "password_command was lost",
            ))
        }))
    }

    /// The server has refused this: the next to ask gets another, unless the
    /// command has just printed this one.
    pub fn doubt(&self, settings: &PoolSettings, refused: &Credential) {
        let order = Order::of(settings);
        let kept = order.and_then(|order| self.0.kept.lock().get(&order).cloned());
        if let Some(kept) = kept {
            kept.known.lock().doubt(refused, Instant::now());
        }
    }

    /// About once a second: has those run again whose answer ends soon.
    pub fn keep(&self, now: Instant) {
        let mut all = self.0.kept.lock();
        all.retain(|_, kept| kept.known.lock().is_wanted(now));
        for (order, kept) in &*all {
            if kept.known.lock().ends_soon(now)
                && let Ok(turn) = Arc::clone(&kept.turn).try_lock_owned()
            {
                let (order, kept) = (order.clone(), Arc::clone(kept));
                tokio::spawn(Arc::clone(&self.0).renew(order, kept, turn));
            }
        }
    }
}

impl Known {
    /// What is in force.
    fn use_at(&mut self, now: Instant, by: &PoolSettings) -> Option<Result<Secret, PgError>> {
        self.used = Some(now);
        (self.ttl, self.patience) = (by.password_command_ttl, by.password_command_timeout);
        let is_over = |at: Instant| now.saturating_duration_since(at) >= self.ttl;
        if let Some((password, _)) = self.password.as_ref().filter(|(_, at)| !is_over(*at)) {
            return Some(Ok(password.clone()));
        }
        let failure = self.failure.as_ref();
        let standing = failure.filter(|(_, at)| now.saturating_duration_since(*at) < PAUSE);
        standing.map(|(error, _)| Err(error.clone()))
    }

    /// What a run has told since then.
    fn told_since(&self, then: Instant) -> Option<Result<Secret, PgError>> {
        if let Some((password, _)) = self.password.as_ref().filter(|(_, at)| *at >= then) {
            return Some(Ok(password.clone()));
        }
        let failure = self.failure.as_ref().filter(|(_, at)| *at >= then);
        failure.map(|(error, _)| Err(error.clone()))
    }

    fn learn(&mut self, told: &Result<Secret, PgError>) {
        let at = Instant::now();
        match told {
            Ok(password) => (self.password, self.failure) = (Some((password.clone(), at)), None),
            Err(error) => self.failure = Some((error.clone(), at)),
        }
    }

    /// See [`Passwords::doubt`].
    fn doubt(&mut self, refused: &Credential, now: Instant) {
        let is_refused = |(password, at): &mut (Secret, Instant)| {
            now.saturating_duration_since(*at) > PAUSE
                && Credential::Plain(password.clone()).same_as(refused)
        };
        self.password.take_if(is_refused);
    }

    fn is_wanted(&self, now: Instant) -> bool {
        self.used
            .is_none_or(|used| now.saturating_duration_since(used) < UNUSED)
    }

    /// Has four fifths of its time gone by, and nothing failed just now?
    fn ends_soon(&self, now: Instant) -> bool {
        let since = |at: Instant| now.saturating_duration_since(at);
        let failed_lately = |(_, at): &(PgError, Instant)| since(*at) < (self.ttl / 20).max(PAUSE);
        self.password
            .as_ref()
            .is_some_and(|(_, at)| since(*at) >= self.ttl.mul_f64(0.8))
            && !self.failure.as_ref().is_some_and(failed_lately)
    }
}

impl All {
    /// Runs the command, whoever waits for it.
    async fn renew(
        self: Arc<Self>,
        order: Order,
        kept: Arc<Kept>,
        turn: OwnedMutexGuard<()>,
    ) -> Result<Secret, PgError> {
        let _room = self.room.acquire().await;
        let patience = kept.known.lock().patience;
        let told = match timeout(patience, run(&order)).await {
            Ok(told) => told,
            Err(_) => Err(format!("took longer than {} s", patience.as_secs_f64())),
        };
        let told = told.map_err(|what| no_password(&order, &what));
        kept.known.lock().learn(&told);
        drop(turn);
        told
    }
}

fn no_password(order: &Order, what: &str) -> PgError {
    let (user, host) = (&order.user, &order.host);
    tracing::warn!(user, host, "password_command {what}");
    PgError::fatal(
        sqlstate::CANNOT_CONNECT,
        format!("there is no password for user \"{user}\": password_command {what}"),
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::config::{Config, Database};

    fn known(at: Instant, ttl: Duration) -> Known {
        Known {
            password: Some((Secret::new("a"), at)),
            ttl,
            ..Known::default()
        }
    }

    #[test]
    fn a_password_is_doubted_if_it_is_the_one_that_was_refused_and_not_new() {
        let now = Instant::now();
        let later = now + Duration::from_secs(2);
        let [a, b] = ["a", "b"].map(|text| Credential::Plain(Secret::new(text)));
        // Just printed, and refused: there is nothing better to be had.
        let mut known = known(now, PAUSE);
        known.doubt(&a, now);
        assert!(known.password.is_some());
        // Another one came while that was refused.
        known.doubt(&b, later);
        assert!(known.password.is_some());
        known.doubt(&a, later);
        assert!(known.password.is_none());
    }

    #[test]
    fn a_password_is_renewed_before_its_time_is_over() {
        let now = Instant::now();
        let at = |seconds: u64| now + Duration::from_secs(seconds);
        let config = Config {
            fallback: Some(Database::named("*")),
            ..Config::default()
        };
        let mut settings = config.pool_settings("d", "u").unwrap();
        settings.password_command_ttl = Duration::from_secs(100);
        let mut known = known(now, settings.password_command_ttl);
        assert!(!known.ends_soon(at(79)) && known.ends_soon(at(81)));
        assert!(known.use_at(at(99), &settings).is_some());
        assert!(known.use_at(at(100), &settings).is_none());
        known.failure = Some((PgError::fatal("08001", "x"), at(81)));
        assert!(!known.ends_soon(at(82)) && known.ends_soon(at(87)));
        assert!(known.use_at(at(81), &settings).unwrap().is_ok());
        assert!(known.is_wanted(at(3000)) && !known.is_wanted(at(4000)));
    }
}
