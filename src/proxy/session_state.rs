//! The session that a client believes to have: its settings go with it from
//! server connection to server connection, what cannot go keeps it where it is.
//!
//! ```text
//!   a text that can change the session     the transaction ends
//!   Clean -----------------------> Dirty ----------------------> Asked
//!     ^                                                            |
//!     |_____ the server tells: new profile, pinned or not _________|
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use super::client::{Client, Service};
use super::pin::{Left, Pins};
use crate::config::PoolMode;
use crate::pool::Lease;
use crate::server::{Answers, Questions};
use crate::session::settings::{APPLICATION_NAME, IDENTITY, Touched, is_parse_relevant};
use crate::session::statements::ClientStatements;
use crate::session::{Findings, Rest};
use crate::wire::run::Run;

/// After these the server is asked for the settings,
const ASKS_SETTINGS: Findings = Findings::SETTINGS.and(Findings::OPAQUE);

/// after these for what ties the session to its connection,
const ASKS_STATE: Findings = Findings::TEMPORARY
    .and(Findings::HOLD)
    .and(Findings::LISTEN)
    .and(Findings::PREPARES)
    .and(Findings::OPAQUE);

/// after these for locks,
const ASKS_LOCKS: Findings = Findings::LOCK.and(Findings::OPAQUE);

/// and after these, if it is tied, whether it still is.
const MAY_FREE: Findings = Findings::REMOVES.and(Findings::DEALLOCATES);

impl Client {
    /// What is about to run can do this to the session.
    pub(super) fn note(
        &mut self,
        lease: &mut Lease,
        can: Findings,
        touches: Option<&Touched>,
        run: &mut Run<'_>,
    ) {
        if can.is_empty() {
            return;
        }
        self.may_forget |= can.has(Findings::DEALLOCATES);
        self.pins.set(
            Pins::FOR_GOOD,
            self.pins.has(Pins::FOR_GOOD) || can.has(Findings::TAINTS),
        );
        self.dirty |= can;
        let Some(touches) = touches else {
            return;
        };
        if !self.env_in_doubt && touches.any(is_parse_relevant) {
            self.bring_statements(lease, run);
            self.env_in_doubt = true;
        }
        if can.has(ASKS_SETTINGS) {
            self.touched.get_or_insert_default().add(touches);
        }
    }

    /// The same, where the text is not at hand any more.
    pub(super) fn note_unseen(&mut self, can: Findings) {
        self.may_forget |= can.has(Findings::DEALLOCATES);
        self.pins.set(
            Pins::FOR_GOOD,
            self.pins.has(Pins::FOR_GOOD) || can.has(Findings::TAINTS),
        );
        self.dirty |= can;
        if can.has(ASKS_SETTINGS.and(Findings::LOCAL_SETTINGS)) {
            self.env_in_doubt = true;
        }
        if can.has(ASKS_SETTINGS) {
            self.touched.get_or_insert_default().unknown = true;
        }
    }

    /// A value bound where the name of a setting may stand.
    pub(super) fn note_bound(&mut self, value: &[u8]) {
        self.touched.get_or_insert_default().insert_bound(value);
    }

    /// Must the server be asked before the turn can end?
    #[inline]
    pub(super) fn must_ask(&self) -> bool {
        !self.dirty.is_empty() && self.mode != PoolMode::Session && self.questions().is_some()
    }

    /// Which of the three there are to ask: settings, state, locks.
    fn questions(&self) -> Option<(bool, bool, bool)> {
        let may_free = !self.pins.is_empty() && self.dirty.has(MAY_FREE);
        let settings = self.dirty.has(ASKS_SETTINGS);
        let state = self.dirty.has(ASKS_STATE) || may_free;
        let locks = self.dirty.has(ASKS_LOCKS) || (may_free && self.pins.has(Pins::LOCK));
        (settings || state || locks).then_some((settings, state, locks))
    }

    /// Asks what has become of the session, if there is something to ask.
    fn ask(&mut self) -> bool {
        let Some((settings, state, locks)) = self.questions() else {
            return false;
        };
        let touched = self.touched.take().unwrap_or_default();
        let mut questions = Questions {
            state,
            locks,
            ..Questions::default()
        };
        if settings {
            questions.all = touched.unknown;
            let mut names = touched.names;
            if let Some(profile) = &self.profile {
                names.extend(profile.settings.iter().map(|(name, _)| name.clone()));
            }
            if touched.unknown {
                names.extend(IDENTITY.map(Into::into));
                names.extend(self.shelf.defaults.custom());
            }
            names.remove(APPLICATION_NAME);
            questions.defaults = self.shelf.defaults.want(names.iter());
            questions.names = names.into_iter().collect();
        }
        self.dirty = Findings::NONE;
        let asks = state || locks || questions.all || !questions.names.is_empty();
        if let Service::Leased(lease) = &mut self.service
            && asks
        {
            lease.ask(questions);
        }
        asks
    }

    /// The server has told what has become of the session.
    pub(super) fn take_answers(&mut self) {
        let Service::Leased(lease) = &mut self.service else {
            return;
        };
        let Some(answers) = lease.answers.take() else {
            return;
        };
        let before = self.pins;
        if answers.failed {
            self.pins.set(Pins::UNKNOWN, true);
        } else {
            self.follow_answers(*answers);
        }
        if self.pins != before {
            let client = self.handle.pid;
            tracing::debug!(client, "pinned by {}", self.pins.reasons());
        }
        if !self.dirty.has(ASKS_SETTINGS.and(Findings::LOCAL_SETTINGS)) {
            self.env_in_doubt = false;
        }
    }

    fn follow_answers(&mut self, answers: Answers) {
        if answers.questions.state {
            self.pins.set_state(&answers.state);
            // Those that were seen to be prepared are counted there.
            let seen = self.names.as_deref();
            let seen = seen.is_some_and(|names| !names.prepared_by_sql.is_empty());
            self.pins
                .set(Pins::PREPARED, self.pins.has(Pins::PREPARED) && !seen);
        }
        if answers.questions.locks {
            self.pins.set(Pins::LOCK, answers.locks);
        }
        if answers.questions.names.is_empty() && !answers.questions.all {
            return;
        }
        let defaults = &self.shelf.defaults;
        for (name, value) in answers.defaults {
            defaults.learn(&folded(&name), value);
        }
        let all = answers.all.into_iter();
        let mut settings: BTreeMap<_, _> =
            all.map(|(name, value)| (folded(&name), value)).collect();
        for (name, value) in answers.questions.names.into_iter().zip(answers.values) {
            if let Some(value) = value {
                settings.insert(name, value);
            }
        }
        settings.retain(|name, value| {
            &**name != APPLICATION_NAME && defaults.get(name).as_ref() != Some(value)
        });
        defaults.learn_custom(settings.keys());
        self.profile = self.shelf.profiles.intern(settings);
        if let Service::Leased(lease) = &mut self.service {
            lease.profile = self.profile.clone();
        }
    }

    /// Has it something in the session that it would not find elsewhere?
    pub(super) fn is_pinned(&self) -> bool {
        !self.pins.is_empty() || self.names.as_deref().is_some_and(ClientStatements::ties)
    }

    /// What a client that leaves now leaves in the session.
    pub(super) fn leaves_behind(&self) -> Left {
        let Service::Leased(lease) = &self.service else {
            return Left::Clean;
        };
        let is_known = self.questions().is_none()
            && lease.answers.is_none()
            && self.aligning == super::client::Aligning::No;
        match self.mode {
            _ if self.pins.has(Pins::FOR_GOOD) => Left::ForGood,
            PoolMode::Session => Left::Resettable,
            PoolMode::Transaction | PoolMode::Statement if is_known && !self.is_pinned() => {
                Left::Clean
            }
            PoolMode::Transaction | PoolMode::Statement => Left::Resettable,
        }
    }

    /// At rest the session is asked about, if that is due; true when it was.
    pub(super) fn asks_at_rest(&mut self) -> bool {
        let Service::Leased(lease) = &self.service else {
            return false;
        };
        matches!(lease.tracker.rest(), Rest::Boundary(_)) && self.must_ask() && self.ask()
    }

    /// Are these the settings that the client has now?
    pub(super) fn has_profile_of(&self, lease: &Lease) -> bool {
        match (&lease.profile, &self.profile) {
            (None, None) => true,
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }
}

/// A setting's name as profiles have it.
fn folded(name: &[u8]) -> Box<str> {
    String::from_utf8_lossy(name).to_ascii_lowercase().into()
}
