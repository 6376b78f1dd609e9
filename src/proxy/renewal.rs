//! What holds for a client once the configuration has been read again.

use std::sync::Arc;

use super::client::{Client, End, Service};
use super::deadlines::Deadlines;
use super::upstream::MAX_FRAME;
use crate::config::PoolMode;
use crate::session::Rest;
use crate::wire::{PgError, sqlstate};

impl Client {
    /// Looks what holds for it now, if that may have changed and it stands at a
    /// boundary. Whoever has no database any more, or another server user, ends.
    pub(super) fn look_what_holds(&mut self) -> Result<(), End> {
        if !self.handle.has_been_reloaded() || !self.stands_at_a_boundary() {
            return Ok(());
        }
        self.handle.looks();
        let house = Arc::clone(self.connected.house());
        let config = house.config();
        let database = &self.shelf.pool().database;
        let user = self.handle.user().unwrap_or_default();
        let found = house.directory.pool(&config, database, user);
        let Some((pool, settings)) = found else {
            let what = format!("database \"{database}\" is not pooled any more");
            return Err(End::Told(PgError::fatal(sqlstate::ADMIN_SHUTDOWN, what)));
        };
        if !Arc::ptr_eq(&pool, self.shelf.pool()) {
            let error = PgError::fatal(
                sqlstate::ADMIN_SHUTDOWN,
                "the configuration of this database has changed",
            );
            return Err(End::Told(error.with_hint("Connect again.")));
        }
        self.mode = settings.pool_mode;
        if settings.server_fast_close && self.is_in_the_way() {
            let what = "database configuration changed";
            return Err(End::Told(PgError::fatal(
                sqlstate::PROTOCOL_VIOLATION,
                what,
            )));
        }
        self.policy = settings.session_state;
        self.refuses_queries = config.general.disable_pqexec;
        self.max_frame = config.general.max_packet_size.min(MAX_FRAME);
        self.deadlines = Deadlines::renewed(self.deadlines.take(), &house.clients, &settings);
        if matches!(self.service, Service::Idle) {
            self.mark_idle();
        }
        Ok(())
    }

    /// Does it keep a server connection that is to be replaced until it leaves?
    fn is_in_the_way(&self) -> bool {
        match &self.service {
            Service::Leased(lease) => self.mode == PoolMode::Session && lease.is_to_be_replaced(),
            Service::Idle | Service::Waiting(_) => false,
        }
    }

    fn stands_at_a_boundary(&self) -> bool {
        match &self.service {
            Service::Idle => self.body_left == 0 && self.inbox.is_empty(),
            Service::Leased(lease) => {
                self.body_left == 0 && !matches!(lease.tracker.rest(), Rest::Busy)
            }
            Service::Waiting(_) => false,
        }
    }
}
