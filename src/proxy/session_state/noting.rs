//! What is about to run, and what that can do to the session.

use super::ASKS_SETTINGS;
use super::pins::Pins;
use crate::config::SessionState;
use crate::pool::Lease;
use crate::proxy::client::Client;
use crate::session::hidden::{Called, Hidden, Learned};
use crate::session::settings::{Touched, is_parse_relevant};
use crate::session::statements::Statement;
use crate::session::{Findings, TxStatus};
use crate::wire::run::Run;

/// What may change what others' texts mean, as soon as it is committed.
const CHANGES_CATALOG: Findings = Findings::CATALOG.and(Findings::OPAQUE);

/// What is dealt with at once, or by time.
const AT_ONCE: Findings = Findings::SEQUENCES
    .and(Findings::CATALOG)
    .and(Findings::DRAWS)
    .and(Findings::PROCESS)
    .and(Findings::LISTS_STATEMENTS)
    .and(Findings::TEMPORARY_SCHEMA);

/// What `session_state = "error"` forbids.
const MAKES_STATE: Findings = Findings::SETTINGS
    .and(Findings::TEMPORARY)
    .and(Findings::HOLD)
    .and(Findings::LISTEN)
    .and(Findings::LOCK)
    .and(Findings::PREPARES)
    .and(Findings::TAINTS);

impl Client {
    /// What is about to run can do this to the session.
    pub(in crate::proxy) fn note(
        &mut self,
        lease: &mut Lease,
        can: Findings,
        touches: Option<&Touched>,
        text: &[u8],
        run: &mut Run<'_>,
    ) {
        let can = self.what_matters(can);
        let is_plain = can.is_empty() && !self.hidden().is_loud();
        if is_plain || self.policy == SessionState::Pgbouncer {
            self.may_forget |= can.has(Findings::DEALLOCATES);
            return;
        }
        if can.has(Findings::CALLS) {
            self.take_sequences(lease, run);
        }
        self.note_seen(lease, can.without(Findings::CALLS), touches, run);
        let may_call = can.has(Findings::CALLS) && !self.hidden().is_quiet();
        if may_call || self.hidden().is_loud() {
            self.note_called(lease, text, run);
        }
    }

    /// What need be looked at: that a number is drawn matters only where somebody
    /// asks for the last one.
    #[inline]
    pub(in crate::proxy) fn what_matters(&self, can: Findings) -> Findings {
        match self.shelf.pool().catalog.uses_sequences() {
            true => can,
            false => can.without(Findings::DRAWS),
        }
    }

    /// The same of a prepared statement.
    pub(in crate::proxy) fn note_statement(
        &mut self,
        lease: &mut Lease,
        statement: &Statement,
        run: &mut Run<'_>,
    ) {
        let touches = statement.touches.as_deref();
        self.name_if_spoken_of(lease, &statement.parse, run);
        self.note(lease, statement.can, touches, &statement.parse, run);
    }

    /// It may draw numbers, or ask for the last: those of others must not show,
    /// nor its own of before it has drawn elsewhere. As long as nobody asks,
    /// nobody need forget.
    pub(in crate::proxy) fn take_sequences(&mut self, lease: &mut Lease, run: &mut Run<'_>) {
        let (me, here) = (self.handle.id, lease.identity.pid);
        let are_old = match lease.sequences_of {
            0 => false,
            whose => whose != me || self.sequences_at != here,
        };
        lease.sequences_are_mixed |= are_old;
        lease.sequences_of = me;
        self.sequences_at = here;
        if lease.sequences_are_mixed && self.shelf.pool().catalog.uses_sequences() {
            let tracker = &lease.tracker;
            let is_apart = tracker.settled()
                && tracker.status() == TxStatus::Idle
                && (!tracker.unsynced() || tracker.only_own_unsynced());
            lease.discard_sequences(is_apart, run.insert());
            lease.sequences_are_mixed = false;
        }
    }

    /// May a statement set what the values bound to it name?
    pub(in crate::proxy) fn sets_what_is_bound(&self, statement: &Statement) -> bool {
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

    pub(super) fn hidden(&self) -> &Hidden {
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
                let pinning = Learned::from(&[], &self.shelf.pool().settings().pin_functions);
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
        if can.has(Findings::LISTS_STATEMENTS) {
            self.close_copies(lease, run);
        }
        self.dirty |= can.without(AT_ONCE);
        // `application_name` goes back to what only the client's own startup says.
        if can.has(Findings::RESETS) {
            lease.must_report = true;
            self.name_now(lease, run);
        }
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
    pub(in crate::proxy) fn forbids(&self, can: Findings) -> bool {
        self.policy == SessionState::Error && can.has(MAKES_STATE)
    }

    /// The same, where the text is not at hand any more.
    pub(in crate::proxy) fn note_unseen(&mut self, can: Findings) {
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
    pub(in crate::proxy) fn note_bound(&mut self, value: &[u8]) {
        self.touched.get_or_insert_default().insert_bound(value);
    }
}
