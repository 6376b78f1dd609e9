//! The session that a client believes to have: its settings go with it from
//! server connection to server connection, what cannot go keeps it where it is.
//!
//! ```text
//!   a text that can change the session     the transaction ends
//!   Clean -----------------------> Dirty ----------------------> Asked
//!     ^                                                            |
//!     |_____ the server tells: new profile, pinned or not _________|
//! ```

mod asking;
mod listening;
mod moment;
mod naming;
mod noting;
mod pins;

pub(super) use listening::Listening;
pub(super) use naming::Names;
pub(super) use pins::{Left, Pins, findings_of_function};
pub use pins::{pin_names, pin_reasons};

use std::collections::BTreeMap;
use std::sync::Arc;

use super::client::{Client, Service};
use crate::config::{PoolMode, SessionState};
use crate::pool::Lease;
use crate::server::Answers;
use crate::session::settings::IDLE_SESSION_TIMEOUT;
use crate::session::statements::ClientStatements;
use crate::session::{Findings, Rest};

/// After these the server is asked for the settings.
const ASKS_SETTINGS: Findings = Findings::SETTINGS
    .and(Findings::RESETS)
    .and(Findings::OPAQUE);

impl Client {
    /// Has it something in the session that it would not find elsewhere?
    pub(in crate::proxy) fn is_pinned(&self) -> bool {
        !self.pins.is_empty() || self.names.as_deref().is_some_and(ClientStatements::ties)
    }

    /// What keeps it on its server connection, for who looks from outside.
    pub(in crate::proxy) fn pins_shown(&self) -> u16 {
        let mut pins = self.pins;
        if self.names.as_deref().is_some_and(ClientStatements::ties) {
            pins.set(Pins::NAMED, true);
        }
        pins.set(Pins::UNNAMED, self.unnamed.is_on_server());
        pins.bits()
    }

    /// What a client that leaves now leaves in the session.
    pub(in crate::proxy) fn leaves_behind(&self) -> Left {
        let Service::Leased(lease) = &self.service else {
            return Left::Clean;
        };
        let is_known = self.questions().is_none()
            && lease.answers.is_none()
            && self.aligning == super::client::Aligning::No;
        match self.mode {
            _ if self.pins.has(Pins::FOR_GOOD) => Left::ForGood,
            // Nobody looks, and the configuration says what is to be done.
            PoolMode::Session if self.policy == SessionState::Pgbouncer => Left::Clean,
            PoolMode::Session => Left::Resettable,
            PoolMode::Transaction | PoolMode::Statement if is_known && !self.is_pinned() => {
                Left::Clean
            }
            PoolMode::Transaction | PoolMode::Statement => Left::Resettable,
        }
    }

    /// The server has ended while it was asked on a mere guess: the client, which
    /// waits for nothing, need not hear of it.
    pub(in crate::proxy) fn shrugs_off(&mut self) -> bool {
        let Service::Leased(lease) = &self.service else {
            return false;
        };
        let is_guess = |answers: &Answers| answers.questions.is_guess;
        let shrugs = lease.answers.as_deref().is_some_and(is_guess)
            && lease.tracker.owes_nobody_but_us()
            && self.dirty.is_empty()
            && !self.is_pinned()
            && self.mode != PoolMode::Session;
        if shrugs {
            // Dropped without a boundary.
            self.service = Service::Idle;
            self.handle.served_by_nobody();
            self.transaction_ended();
            self.mark_idle();
        }
        shrugs
    }

    /// Before a server connection rests, the client's `idle_session_timeout` is
    /// taken from it. True while that goes on.
    pub(in crate::proxy) fn calms(&mut self) -> bool {
        if self.is_pinned() || self.mode == PoolMode::Session {
            return false;
        }
        let Service::Leased(lease) = &mut self.service else {
            return false;
        };
        let is_due = lease.would_time_out() && matches!(lease.tracker.rest(), Rest::Boundary(_));
        if is_due {
            lease.calm();
        }
        is_due
    }

    /// That is done.
    pub(in crate::proxy) fn calmed(&mut self) {
        let Service::Leased(lease) = &mut self.service else {
            return;
        };
        let settings = lease
            .profile
            .as_deref()
            .map(|profile| profile.settings.iter());
        let mut settings: BTreeMap<_, _> = settings.into_iter().flatten().cloned().collect();
        match self.shelf.defaults.get(IDLE_SESSION_TIMEOUT).as_deref() {
            Some(b"0") => settings.remove(IDLE_SESSION_TIMEOUT),
            _ => settings.insert(IDLE_SESSION_TIMEOUT.into(), b"0"[..].into()),
        };
        lease.profile = self.shelf.profiles.intern(settings);
    }

    /// Are these the settings that the client has now?
    pub(in crate::proxy) fn has_profile_of(&self, lease: &Lease) -> bool {
        match (&lease.profile, &self.profile) {
            (None, None) => true,
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }
}
