//! At a boundary: the server is asked what has become of the session.

use super::ASKS_SETTINGS;
use super::pins::Pins;
use crate::config::{PoolMode, SessionState, Verify};
use crate::proxy::client::{Client, Service};
use crate::server::{Answers, Questions};
use crate::session::settings::{APPLICATION_NAME, IDENTITY, folded};
use crate::session::{Findings, Rest};
use crate::wire::{PgError, sqlstate};

/// After these the server is asked for what ties the session to its connection,
const ASKS_STATE: Findings = Findings::TEMPORARY
    .and(Findings::HOLD)
    .and(Findings::LISTEN)
    .and(Findings::PREPARES)
    .and(Findings::OPAQUE);

/// after these for locks,
const ASKS_LOCKS: Findings = Findings::LOCK.and(Findings::OPAQUE);

/// and after these, if it is tied, whether it still is.
const MAY_FREE: Findings = Findings::REMOVES.and(Findings::DEALLOCATES);

/// What a server is asked about.
pub(super) struct Topics {
    settings: bool,
    state: bool,
    locks: bool,
    functions: bool,
}

impl Client {
    /// Must the server be asked before the turn can end?
    #[inline]
    pub(in crate::proxy) fn must_ask(&self) -> bool {
        !self.dirty.is_empty() && self.mode != PoolMode::Session && self.questions().is_some()
    }

    /// What there is to ask.
    pub(super) fn questions(&self) -> Option<Topics> {
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
                    reset_to: (settings || state || locks).then(|| self.profile.clone()),
                    functions,
                    ..Questions::default()
                };
                let name = lease.name_for(&self.application_name);
                lease.ask(questions, &name);
            }
            return true;
        }
        // An application_name that was reset is set again.
        let renames = self.dirty.has(Findings::RESETS);
        let names = self.names.as_deref();
        let mut questions = Questions {
            state,
            locks,
            prepares_by_sql: names.map_or(0, |names| names.prepares_by_sql),
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
                let custom = self.shelf.defaults.custom();
                let guessed = custom.into_iter().filter(|name| !names.contains(name));
                questions.guessed = guessed.collect();
                names.extend(questions.guessed.iter().cloned());
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
            let name = lease.name_for(&self.application_name);
            lease.ask(questions, &name);
        }
        asks
    }

    /// The server has told what has become of the session.
    pub(in crate::proxy) fn take_answers(&mut self) {
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
        let client = self.handle.id;
        let reasons = pins.reasons();
        tracing::debug!(client, "pinned by {reasons}");
        // In the middle of a row it would be taken for a part of that.
        let is_amid = matches!(&self.service, Service::Leased(lease) if lease.mid_reply());
        if self.shelf.pool().settings().pin_notice && !is_amid {
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
                &self.shelf.pool().settings().pin_functions,
            );
            self.shelf.defaults.learn_custom(learned.custom_settings());
            if learned.custom_settings().next().is_some() && answers.questions.all {
                // It may have set one of these, which nobody had named before.
                self.note_unseen(Findings::OPAQUE);
            }
        }
        if answers.questions.reset_to.is_some() {
            if let Service::Leased(lease) = &mut self.service
                && lease.begins_with.is_some()
            {
                // That is gone, too, and only settings are made again.
                lease.identity.doom();
            }
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
                let is_current = answers.questions.prepares_by_sql == names.prepares_by_sql;
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
        // What others have set on this server connection before is empty there.
        let (guessed, unset) = (answers.questions.guessed, answers.unset);
        let defaults = &self.shelf.defaults;
        let named = named.filter(|(name, value)| {
            let is_empty = value.as_deref() == Some(b"") && !defaults.may_begin_with(name);
            !guessed.contains(name) || !(is_empty || unset.contains(name.as_bytes()))
        });
        let settings = defaults.differing(answers.all, named);
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

    /// At rest the session is asked about, if that is due; true when it was.
    pub(in crate::proxy) fn asks_at_rest(&mut self) -> bool {
        let Service::Leased(lease) = &self.service else {
            return false;
        };
        if !matches!(lease.tracker.rest(), Rest::Boundary(_)) {
            return false;
        }
        let verifies =
            self.shelf.pool().settings().verify == Verify::All || self.pins.has(Pins::UNKNOWN);
        if verifies && std::mem::take(&mut self.unverified) {
            self.note_unseen(Findings::OPAQUE);
        }
        self.must_ask() && self.ask()
    }
}
