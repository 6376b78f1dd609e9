//! `log_min_duration_transaction`: transactions that take long are logged.

use std::time::{Duration, Instant};

use super::client::{Client, Service};
use crate::pool::{ClientHandle, Lease, Watch};
use crate::session::statements::Unnamed;

impl Client {
    /// A turn begins: it is noted what runs in it, where anybody wants to know.
    #[inline]
    pub(super) fn watch(&self, lease: &mut Lease) {
        if self.connected.house().slow_after().is_some() {
            lease.watch_turn(self.handle.waits_for().unwrap_or_default());
        } else {
            lease.leave_unwatched();
        }
    }

    /// The statement of this name is bound.
    pub(super) fn watch_bind(&self, lease: &mut Lease, name: &[u8]) {
        let Some(watch) = lease.watch() else {
            return;
        };
        let statement = match (name, &self.unnamed) {
            (b"", Unnamed::Kept(statement) | Unnamed::Calls(statement)) => Some(statement),
            (b"", Unnamed::None | Unnamed::OnServer(_)) => None,
            (name, _) => {
                let named = self.names.as_deref().and_then(|names| names.get(name));
                named.map(|named| &named.statement)
            }
        };
        if let Some(statement) = statement {
            watch.runs_prepared(statement);
        }
    }

    /// The turn is over.
    #[inline]
    pub(super) fn end_turn(&mut self, now: Instant) {
        if let Service::Leased(lease) = &mut self.service {
            let took = lease.turn_ends(now, self.changing.is_some());
            if lease.watch().is_some() {
                self.tell_if_slow(took);
            }
        }
    }

    /// The client goes, in the middle of a turn maybe.
    pub(super) fn cut_turn_off(&mut self) {
        if let Service::Leased(lease) = &mut self.service
            && lease.watch().is_some()
        {
            let took = lease.turn_so_far();
            self.tell_if_slow(took);
        }
    }

    /// A turn took so long.
    fn tell_if_slow(&mut self, took: Option<Duration>) {
        let (Service::Leased(lease), Some(after), Some(took)) =
            (&mut self.service, self.connected.house().slow_after(), took)
        else {
            return;
        };
        let pid = lease.identity.pid;
        let Some(watch) = lease.watch() else {
            return;
        };
        if watch.waited() + took >= after {
            let slow = Slow {
                took,
                client: &self.handle,
                application_name: &self.application_name,
                pid,
                queries: self.counts.queries,
            };
            slow.log(watch);
        }
        watch.forget();
    }
}

/// What is told of a slow transaction besides what was noted of it.
struct Slow<'a> {
    took: Duration,
    client: &'a ClientHandle,
    application_name: &'a str,
    pid: i32,
    /// Answered in it.
    queries: u32,
}

impl Slow<'_> {
    #[cold]
    fn log(&self, watch: &Watch) {
        let pool = self.client.who.pool();
        let ran = watch.slowest();
        let number = ran.as_ref().map(|ran| format!("{:016x}", ran.number));
        tracing::info!(
            target: "limited",
            duration_ms = ms(self.took),
            wait_ms = ms(watch.waited()),
            queries = self.queries,
            client = %self.client.who.peer,
            database = pool.map(|pool| pool.database.as_str()),
            user = self.client.user(),
            application_name = self.application_name,
            pid = self.pid,
            fingerprint = number.as_deref().map(tracing::field::display),
            statement = ran.as_ref().and_then(|ran| ran.text.as_deref()),
            "slow transaction"
        );
    }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
