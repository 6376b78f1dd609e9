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
use crate::config::{PoolMode, SessionState, Verify};
use crate::pool::Lease;
use crate::server::{Answers, Named, Questions};
use crate::session::hidden::{Called, Hidden, Learned};
use crate::session::settings::{
    APPLICATION_NAME, IDENTITY, IDLE_SESSION_TIMEOUT, Touched, goes_along, is_parse_relevant,
};
use crate::session::statements::{ClientStatements, Statement};
use crate::session::{Findings, Rest};
use crate::wire::run::Run;
use crate::wire::{PgError, sqlstate};

/// After these the server is asked for the settings,
const ASKS_SETTINGS: Findings = Findings::SETTINGS
    .and(Findings::RESETS)
    .and(Findings::OPAQUE);

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

/// What may change what others' texts mean, as soon as it is committed.
const CHANGES_CATALOG: Findings = Findings::CATALOG.and(Findings::OPAQUE);

/// What is dealt with at once, or by time.
const AT_ONCE: Findings = Findings::SEQUENCES
    .and(Findings::CATALOG)
    .and(Findings::DRAWS)
    .and(Findings::PROCESS)
    .and(Findings::TEMPORARY_SCHEMA);

/// What `session_state = "error"` forbids.
const MAKES_STATE: Findings = Findings::SETTINGS
    .and(Findings::TEMPORARY)
    .and(Findings::HOLD)
    .and(Findings::LISTEN)
    .and(Findings::LOCK)
    .and(Findings::PREPARES)
    .and(Findings::TAINTS);

/// What a server is asked about.
struct Topics {
    settings: bool,
    state: bool,
    locks: bool,
    functions: bool,
}

impl Client {
    /// What is about to run can do this to the session.
    pub(super) fn note(
        &mut self,
        lease: &mut Lease,
        can: Findings,
        touches: Option<&Touched>,
        text: &[u8],
        run: &mut Run<'_>,
    ) {
        let can = match self.shelf.pool().catalog.uses_sequences() {
            true => can,
            false => can.without(Findings::DRAWS),
        };
        let is_plain = can.is_empty() && !self.hidden().is_loud();
        if is_plain || self.policy == SessionState::Pgbouncer {
            self.may_forget |= can.has(Findings::DEALLOCATES);
            return;
        }
        self.note_seen(lease, can.without(Findings::CALLS), touches, run);
        if can.has(Findings::CALLS) {
            self.take_sequences(lease, run);
        }
        let may_call = can.has(Findings::CALLS) && !self.hidden().is_quiet();
        if may_call || self.hidden().is_loud() {
            self.note_called(lease, text, run);
        }
    }

    /// The same of a prepared statement.
    pub(super) fn note_statement(
        &mut self,
        lease: &mut Lease,
        statement: &Statement,
        run: &mut Run<'_>,
    ) {
        let touches = statement.touches.as_deref();
        self.note(lease, statement.can, touches, &statement.parse, run);
    }

    /// It may draw numbers, or ask for the last: those of others must not show.
    /// As long as nobody asks, nobody need forget.
    pub(super) fn take_sequences(&self, lease: &mut Lease, run: &mut Run<'_>) {
        let me = self.handle.pid;
        let are_others = lease.sequences_of != me && lease.sequences_of != 0;
        lease.sequences_are_mixed |= are_others;
        lease.sequences_of = me;
        if lease.sequences_are_mixed && self.shelf.pool().catalog.uses_sequences() {
            lease.discard_sequences_amid(run.insert());
            lease.sequences_are_mixed = false;
        }
    }

    /// May a statement set what the values bound to it name?
    pub(super) fn sets_what_is_bound(&self, statement: &Statement) -> bool {
        let touches = statement.touches.as_deref();
        if touches.is_some_and(|touches| touches.unknown) {
            return true;
        }
        let hidden = self.hidden();
        statement.can.has(Findings::CALLS)
            && !hidden.is_quiet()
            && match hidden.by(&statement.parse) {
                Called::Nothing => false,
                Called::Does(does) => does.touches.unknown,
                Called::Unknown => true,
            }
    }

    fn hidden(&self) -> &Hidden {
        &self.shelf.pool().catalog.hidden
    }

    /// What a text does by the functions, or tables with triggers, in it.
    fn note_called(&mut self, lease: &mut Lease, text: &[u8], run: &mut Run<'_>) {
        match self.hidden().by(text) {
            Called::Nothing => {}
            Called::Does(does) => self.note_seen(lease, does.can, Some(&does.touches), run),
            Called::Unknown => {
                let mut unknown = Touched {
                    unknown: true,
                    ..Touched::default()
                };
                unknown.add_literals(text);
                let mut can = Findings::OPAQUE | Findings::CALLS | Findings::GUESS;
                let pinning = Learned::from(&[], &self.shelf.pool().settings.pin_functions);
                if let Some(does) = pinning.by(text) {
                    can |= does.can;
                }
                self.note_seen(lease, can, Some(&unknown), run);
            }
        }
        if self.hidden().is_due() {
            self.dirty |= Findings::CALLS;
        }
    }

    fn note_seen(
        &mut self,
        lease: &mut Lease,
        can: Findings,
        touches: Option<&Touched>,
        run: &mut Run<'_>,
    ) {
        self.may_forget |= can.has(Findings::DEALLOCATES);
        self.taint(can);
        if can.has(CHANGES_CATALOG) {
            let catalog = &self.shelf.pool().catalog;
            self.changing.get_or_insert_with(|| catalog.change());
        }
        if can.has(Findings::SEQUENCES) {
            self.shelf.pool().catalog.sequences_are_used();
            self.take_sequences(lease, run);
        }
        self.note_moment(can);
        if can.has(Findings::TEMPORARY_SCHEMA) {
            lease.may_have_temporary_schema();
        }
        self.dirty |= can.without(AT_ONCE);
        // `application_name` goes back to what only the client's own startup says.
        lease.must_report |= can.has(Findings::RESETS);
        let Some(touches) = touches else {
            return;
        };
        if touches.any(is_parse_relevant) {
            if !self.env_in_doubt {
                // What has changed is not known later on; where all statements
                // are dropped it need not be.
                let drops_all = can.has(Findings::DEALLOCATES) && !can.has(Findings::OPAQUE);
                if touches.unknown && !drops_all {
                    self.bring_statements(lease, run);
                }
                self.env_in_doubt = true;
                self.env_touched = Some(Box::default());
            }
            if let Some(touched) = &mut self.env_touched {
                touched.add(touches);
            }
        }
        if can.has(ASKS_SETTINGS) {
            self.touched.get_or_insert_default().add(touches);
        } else {
            self.note_defined(touches);
        }
    }

    /// A custom setting that was set for a transaction is empty afterwards,
    /// where it was unknown before.
    fn note_defined(&mut self, touches: &Touched) {
        let profile = self.profile.as_deref();
        let is_known = |name: &str| profile.is_some_and(|profile| profile.get(name).is_some());
        let names = touches.names.iter();
        let names = names.filter(|name| name.contains('.') && !is_known(name));
        for name in names {
            self.touched.get_or_insert_default().insert(name);
            self.dirty |= Findings::SETTINGS;
        }
    }

    fn taint(&mut self, can: Findings) {
        if can.has(Findings::TAINTS) {
            self.pins.set(Pins::FOR_GOOD, true);
        }
    }

    /// May a text that can do this not be run at all?
    #[inline]
    pub(super) fn forbids(&self, can: Findings) -> bool {
        self.policy == SessionState::Error && can.has(MAKES_STATE)
    }

    /// The same, where the text is not at hand any more.
    pub(super) fn note_unseen(&mut self, can: Findings) {
        self.may_forget |= can.has(Findings::DEALLOCATES);
        if self.policy == SessionState::Pgbouncer {
            return;
        }
        let can = match can.has(Findings::CALLS) && !self.hidden().is_quiet() {
            true => can | Findings::OPAQUE,
            false => can.without(Findings::CALLS),
        };
        self.taint(can);
        self.note_moment(can);
        self.dirty |= can.without(AT_ONCE);
        if can.has(ASKS_SETTINGS.and(Findings::LOCAL_SETTINGS)) {
            self.env_in_doubt = true;
            self.env_touched = None;
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

    /// What there is to ask.
    fn questions(&self) -> Option<Topics> {
        let may_free = self.dirty.has(MAY_FREE) && self.is_pinned();
        let settings = self.dirty.has(ASKS_SETTINGS);
        let state = self.dirty.has(ASKS_STATE) || may_free;
        let locks = self.dirty.has(ASKS_LOCKS) || (may_free && self.pins.has(Pins::LOCK));
        let functions = self.dirty.has(Findings::CALLS);
        (settings || state || locks || functions).then_some(Topics {
            settings,
            state,
            locks,
            functions,
        })
    }

    /// Asks what has become of the session, if there is something to ask.
    fn ask(&mut self) -> bool {
        let Some(topics) = self.questions() else {
            return false;
        };
        let Topics {
            settings,
            state,
            locks,
            functions,
        } = topics;
        let touched = self.touched.take().unwrap_or_default();
        if self.policy == SessionState::Reset {
            self.dirty = Findings::NONE;
            if let Service::Leased(lease) = &mut self.service {
                let questions = Questions {
                    reset: settings || state || locks,
                    functions,
                    ..Questions::default()
                };
                lease.ask(questions, &self.application_name);
            }
            return true;
        }
        // An application_name that was reset is set again.
        let renames = self.dirty.has(Findings::RESETS);
        let mut questions = Questions {
            state,
            locks,
            ..Questions::default()
        };
        if settings {
            questions.all = touched.unknown;
            let mut names = touched.names;
            if let Some(profile) = &self.profile {
                names.retain(|name| profile.get(name).is_none());
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
        questions.functions = functions;
        const GUESSED: Findings = Findings::OPAQUE.and(Findings::CALLS).and(Findings::GUESS);
        questions.is_guess =
            self.dirty.has(Findings::GUESS) && self.dirty.without(GUESSED).is_empty();
        self.dirty = Findings::NONE;
        let asks =
            renames || state || locks || functions || questions.all || !questions.names.is_empty();
        if let Service::Leased(lease) = &mut self.service
            && asks
        {
            lease.ask(questions, &self.application_name);
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
            lease.own.suspect();
        }
        if answers.all_forgotten() {
            // What it ran has dropped them, out of sight.
            lease.statements.clear();
            if let Some(names) = &mut self.names {
                names.clear();
            }
            self.pins.set(Pins::NAMED, false);
        }
        if answers.failed && !before.has(Pins::UNKNOWN) {
            // Once more, at once.
            self.note_unseen(Findings::OPAQUE);
        }
        self.pins.set(Pins::UNKNOWN, answers.failed);
        if !answers.failed {
            self.follow_answers(*answers);
        }
        // Who listens soon does so elsewhere.
        let (mut now, mut then) = (self.pins, before);
        if self.listening.is_some() {
            now.set(Pins::LISTEN, false);
            then.set(Pins::LISTEN, false);
        }
        if now != then {
            self.tell_pins(now);
        }
        if !self.dirty.has(ASKS_SETTINGS.and(Findings::LOCAL_SETTINGS)) {
            self.env_in_doubt = false;
            self.env_touched = None;
        }
    }

    /// Tells by what the client is pinned now.
    fn tell_pins(&mut self, pins: Pins) {
        let client = self.handle.pid;
        let reasons = pins.reasons();
        tracing::debug!(client, "pinned by {reasons}");
        // In the middle of a row it would be taken for a part of that.
        let is_amid = matches!(&self.service, Service::Leased(lease) if lease.mid_reply());
        if self.shelf.pool().settings.pin_notice && !is_amid {
            let text = match pins.is_empty() {
                true => "this session no longer keeps its server connection".to_owned(),
                false => format!("this session keeps its server connection: {reasons}"),
            };
            let notice = PgError::error(sqlstate::SUCCESSFUL_COMPLETION, text).to_notice("NOTICE");
            self.outbox.push(&notice);
        }
    }

    fn follow_answers(&mut self, answers: Answers) {
        if answers.questions.functions {
            let learned = self.hidden().learn(
                &answers.functions,
                &self.shelf.pool().settings.pin_functions,
            );
            self.shelf.defaults.learn_custom(learned.custom_settings());
            if learned.custom_settings().next().is_some() && answers.questions.all {
                // It may have set one of these, which nobody had named before.
                self.note_unseen(Findings::OPAQUE);
            }
        }
        if answers.questions.reset {
            let tainted = self.pins.has(Pins::FOR_GOOD);
            self.pins = Pins::NONE;
            self.pins.set(Pins::FOR_GOOD, tainted);
            return;
        }
        if answers.questions.state {
            self.pins.set_state(&answers.state);
            if let Service::Leased(lease) = &mut self.service
                && answers.state.contains(&b's')
            {
                lease.may_have_temporary_schema();
            }
            self.follow_channels(&answers);
            // Those that were seen to be prepared are counted there.
            if let Some(names) = self.names.as_deref_mut() {
                let is_current =
                    matches!(&self.service, Service::Leased(lease) if !lease.tracker.owes());
                match self.pins.has(Pins::PREPARED) {
                    true => self
                        .pins
                        .set(Pins::PREPARED, names.prepared_by_sql.is_empty()),
                    // Unless more has been prepared since it was asked.
                    false if is_current => names.prepared_by_sql.clear(),
                    false => {}
                }
            }
        }
        if answers.questions.locks {
            self.pins.set(Pins::LOCK, answers.locks);
        }
        if answers.questions.names.is_empty() && !answers.questions.all {
            return;
        }
        for (name, value) in answers.defaults {
            self.shelf.defaults.learn(&folded(&name), value);
        }
        let named = answers.questions.names.into_iter().zip(answers.values);
        let settings = self.settings_of(answers.all, named);
        self.shelf.defaults.learn_custom(settings.keys());
        let idled = self.profile.as_deref().and_then(|profile| profile.idle);
        self.profile = self.shelf.profiles.intern(settings);
        let idles = self.profile.as_deref().and_then(|profile| profile.idle);
        if idles != idled {
            self.limit_idle_session(idles);
        }
        if let Service::Leased(lease) = &mut self.service {
            lease.profile = self.profile.clone();
        }
    }

    /// What differs from a session that has just begun, of all that has been set
    /// and of names that were asked for.
    pub(super) fn settings_of(
        &self,
        all: Vec<Named>,
        named: impl Iterator<Item = (Box<str>, Option<Box<[u8]>>)>,
    ) -> BTreeMap<Box<str>, Box<[u8]>> {
        let all = all.into_iter();
        let mut settings: BTreeMap<_, _> =
            all.map(|(name, value)| (folded(&name), value)).collect();
        settings.extend(named.filter_map(|(name, value)| Some((name, value?))));
        settings.retain(|name, value| {
            goes_along(name) && self.shelf.defaults.get(name).as_ref() != Some(value)
        });
        settings
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

    /// The server has ended while it was asked on a mere guess: the client, which
    /// waits for nothing, need not hear of it.
    pub(super) fn shrugs_off(&mut self) -> bool {
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

    /// At rest the session is asked about, if that is due; true when it was.
    pub(super) fn asks_at_rest(&mut self) -> bool {
        let Service::Leased(lease) = &self.service else {
            return false;
        };
        if !matches!(lease.tracker.rest(), Rest::Boundary(_)) {
            return false;
        }
        let verifies =
            self.shelf.pool().settings.verify == Verify::All || self.pins.has(Pins::UNKNOWN);
        if verifies && std::mem::take(&mut self.unverified) {
            self.note_unseen(Findings::OPAQUE);
        }
        self.must_ask() && self.ask()
    }

    /// Before a server connection rests, the client's `idle_session_timeout` is
    /// taken from it. True while that goes on.
    pub(super) fn calms(&mut self) -> bool {
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
    pub(super) fn calmed(&mut self) {
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
