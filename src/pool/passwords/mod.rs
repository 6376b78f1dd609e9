//! Passwords for servers that come from a command (`password_command`): tokens
//! of a cloud, leases of a vault.
//!
//! One run at a time for each command and server; its answer serves all pools
//! until `password_command_ttl` is over, and is replaced before that, off the
//! path of queries. What fails leaves the old one in force as long as that lasts.

mod run;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::time::timeout;

use self::run::run;
use crate::auth::Secret;
use crate::config::PoolSettings;
use crate::wire::{PgError, sqlstate};

/// A run may take this long.
const RUN: Duration = Duration::from_secs(30);

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
#[derive(Debug, Clone, Default)]
pub struct Passwords(Arc<Mutex<HashMap<Order, Arc<Kept>>>>);

/// What one command has said.
#[derive(Debug, Default)]
struct Kept {
    /// One runs at a time.
    turn: tokio::sync::Mutex<()>,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    password: Option<(Secret, Instant)>,
    failure: Option<(PgError, Instant)>,
    used: Option<Instant>,
    ttl: Duration,
}

impl Passwords {
    /// The password for a server; none where no command is set.
    ///
    /// # Errors
    /// 08001 when the command fails, in words without what it printed.
    ///
    /// # Cancel safety
    /// Dropped before its end, the command is killed.
    pub async fn get(&self, settings: &PoolSettings) -> Option<Result<Secret, PgError>> {
        let order = Order::of(settings)?;
        let kept = Arc::clone(self.0.lock().entry(order.clone()).or_default());
        let ttl = settings.password_command_ttl;
        if let Some(known) = kept.known.lock().use_at(Instant::now(), ttl) {
            return Some(known);
        }
        Some(kept.renew(&order, Instant::now()).await)
    }

    /// The server has refused this password: the next to ask gets a new one.
    /// False where there was none, or it was new.
    pub fn doubt(&self, settings: &PoolSettings) -> bool {
        let kept = Order::of(settings).and_then(|order| self.0.lock().get(&order).cloned());
        let Some(kept) = kept else { return false };
        let mut known = kept.known.lock();
        let is_old = |(_, at): &mut (Secret, Instant)| at.elapsed() > PAUSE;
        known.password.take_if(is_old).is_some()
    }

    /// About once a second: has those run again whose answer ends soon.
    pub fn keep(&self, now: Instant) {
        let mut orders = self.0.lock();
        orders.retain(|_, kept| kept.known.lock().is_wanted(now));
        for (order, kept) in &*orders {
            if kept.known.lock().ends_soon(now) && kept.turn.try_lock().is_ok() {
                let (order, kept) = (order.clone(), Arc::clone(kept));
                tokio::spawn(async move { kept.renew(&order, now).await.map(drop) });
            }
        }
    }
}

impl Known {
    /// What is in force.
    fn use_at(&mut self, now: Instant, ttl: Duration) -> Option<Result<Secret, PgError>> {
        (self.used, self.ttl) = (Some(now), ttl);
        let is_over = |at: Instant| now.saturating_duration_since(at) >= ttl;
        if let Some((password, _)) = self.password.as_ref().filter(|(_, at)| !is_over(*at)) {
            return Some(Ok(password.clone()));
        }
        let failure = self.failure.as_ref();
        let standing = failure.filter(|(_, at)| now.saturating_duration_since(*at) < PAUSE);
        standing.map(|(error, _)| Err(error.clone()))
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

impl Kept {
    /// Runs the command, unless somebody else has since `wanted`.
    async fn renew(&self, order: &Order, wanted: Instant) -> Result<Secret, PgError> {
        let _turn = self.turn.lock().await;
        {
            let known = self.known.lock();
            if let Some((password, _)) = known.password.as_ref().filter(|(_, at)| *at >= wanted) {
                return Ok(password.clone());
            }
            if let Some((error, _)) = known.failure.as_ref().filter(|(_, at)| *at >= wanted) {
                return Err(error.clone());
            }
        }
        let told = match timeout(RUN, run(order)).await {
            Ok(told) => told,
            Err(_) => Err(format!("took longer than {} s", RUN.as_secs())),
        };
        let at = Instant::now();
        let mut known = self.known.lock();
        match told {
            Ok(password) => {
                known.failure = None;
                known.password = Some((password.clone(), at));
                Ok(password)
            }
            Err(what) => {
                let (user, host) = (&order.user, &order.host);
                tracing::warn!(user, host, "password_command {what}");
                let error = PgError::fatal(
                    sqlstate::CANNOT_CONNECT,
                    format!("there is no password for user \"{user}\": password_command {what}"),
                );
                known.failure = Some((error.clone(), at));
                Err(error)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_password_is_renewed_before_its_time_is_over() {
        let now = Instant::now();
        let at = |seconds: u64| now + Duration::from_secs(seconds);
        let mut known = Known {
            password: Some((Secret::new("a"), now)),
            ttl: Duration::from_secs(100),
            ..Known::default()
        };
        assert!(!known.ends_soon(at(79)) && known.ends_soon(at(81)));
        assert!(known.use_at(at(99), known.ttl).is_some());
        assert!(known.use_at(at(100), known.ttl).is_none());
        known.failure = Some((PgError::fatal("08001", "x"), at(81)));
        assert!(!known.ends_soon(at(82)) && known.ends_soon(at(87)));
        assert!(known.use_at(at(81), known.ttl).unwrap().is_ok());
        assert!(known.is_wanted(at(3000)) && !known.is_wanted(at(4000)));
    }
}
