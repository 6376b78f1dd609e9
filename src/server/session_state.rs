//! The session behind a server connection: giving it a client's settings, and
//! asking what a client has made of it.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Inventory, Server};
use crate::session::hidden::Told;
use crate::session::own::{
    Own, PORTAL, array, bind_into, close_into, drop_into, execute_into, parse_into,
};
use crate::session::settings::{
    APPLICATION_NAME, Change, IDENTITY, IDLE_SESSION_TIMEOUT, Profile, Set,
};
use crate::session::statements::{Op, ServerName, Statement, UNNAMED_NONE};
use crate::session::{About, Kind, Pay};
use crate::wire::backend;
use crate::wire::frontend::{query, sync};

/// What is asked about a session.
#[derive(Debug, Default)]
pub struct Questions {
    /// What these settings are.
    pub names: Vec<Box<str>>,
    /// All that has been set, too.
    pub all: bool,
    /// Of the names those that the client need not have anything to do with.
    pub guessed: BTreeSet<Box<str>>,
    /// What is as it was when the session began.
    pub defaults: bool,
    /// What ties it to its server connection.
    pub state: bool,
    /// Has it session advisory locks?
    pub locks: bool,
    /// What functions and triggers there are.
    pub functions: bool,
    /// Nothing need have changed.
    pub is_guess: bool,
    /// How often the client had prepared a statement by SQL.
    pub prepares_by_sql: u64,
    /// What does, by name.
    pub inventory: bool,
    /// It holds prepared statements, unless they were dropped out of sight.
    pub expects_kept: bool,
    /// Nothing is asked: all that can be ended is ended, but for prepared
    /// statements, and the session has these settings then.
    pub reset_to: Option<Option<Arc<Profile>>>,
}

/// What the server has answered.
#[derive(Debug, Default)]
pub struct Answers {
    /// As asked.
    pub questions: Questions,
    /// For each name asked for, in that order; `None`: there is no such setting.
    pub values: Vec<Option<Box<[u8]>>>,
    /// Names and values of all that has been set.
    pub all: Vec<Set>,
    /// Libraries' settings that have not.
    pub unset: BTreeSet<Box<[u8]>>,
    /// Names and values of what is as it was when the session began.
    pub defaults: Vec<Set>,
    /// A letter for each kind of state, see [`Own::State`].
    pub state: Box<[u8]>,
    /// The channels that are listened to, and how many they are.
    pub channels: (Box<[u8]>, Box<[u8]>),
    /// It has locks.
    pub locks: bool,
    /// What there is of each kind.
    pub inventory: Inventory,
    /// Functions and triggers.
    pub functions: Vec<Told>,
    /// The server could not tell.
    pub failed: bool,
    /// It has not got a question any more that it had.
    pub lost: bool,
}

/// The steps from any session to one that has just begun.
const RESET: [Own; 8] = [
    Own::ResetAuthorization,
    Own::ResetRole,
    Own::ResetAll,
    Own::CloseAll,
    Own::UnlistenAll,
    Own::UnlockAll,
    Own::DiscardTemporary,
    Own::DiscardSequences,
];

/// Under which settings is a statement parsed?
#[derive(Debug)]
pub struct EnvQuestion {
    /// The statement.
    pub statement: Arc<Statement>,
    /// The names asked for.
    pub names: Vec<Box<str>>,
    /// What they are, in that order.
    pub values: Vec<Option<Box<[u8]>>>,
    /// Names and values of all that has been set, if that was asked.
    pub all: Vec<Set>,
}

/// Longest answer that is read, in bytes.
pub(super) const LONGEST_ANSWER: usize = 1 << 20;

impl Answers {
    /// Are all prepared statements gone, dropped by something that could not be
    /// seen?
    #[must_use]
    pub fn all_forgotten(&self) -> bool {
        self.lost || (!self.failed && self.questions.expects_kept && !self.state.contains(&b'k'))
    }
}

impl Server {
    /// Gives the session this profile and, if it `names_it` or resets all,
    /// `application_name`, ahead of what the client sends, in a transaction of its own: if something cannot be set,
    /// the server skips what follows up to the next Sync, so that nothing runs
    /// under another client's settings.
    pub fn align(
        &mut self,
        profile: Option<&Arc<Profile>>,
        application_name: &Arc<str>,
        names_it: bool,
        out: &mut Vec<u8>,
    ) {
        self.must_report = true;
        let before = std::mem::replace(&mut self.profile, profile.cloned());
        let mut change = Change::between(before.as_deref(), profile.map(Arc::as_ref));
        let names_it = names_it && self.application_name != *application_name;
        if change.resets_all || names_it {
            change
                .sets
                .insert(0, (APPLICATION_NAME, application_name.as_bytes()));
            self.application_name = Arc::clone(application_name);
        }
        self.run_own(Own::Begin, &[], About::ALIGN, out);
        if change.resets_identity {
            self.run_own(Own::ResetAuthorization, &[], About::ALIGN, out);
            self.run_own(Own::ResetRole, &[], About::ALIGN, out);
        }
        if change.resets_all {
            self.run_own(Own::ResetAll, &[], About::ALIGN, out);
        }
        if let Some(encoding) = change.encoding {
            self.set(&[("client_encoding", encoding)], out);
        }
        self.set(&change.sets, out);
        self.run_own(Own::Commit, &[], About::ALIGNED, out);
    }

    /// A simple query of the pooler's own, whose answer nobody sees. The unnamed
    /// statement is gone then.
    pub fn say(&mut self, text: &str, about: About, out: &mut Vec<u8>) {
        self.tracker.owe_about(Kind::Query, Pay::Swallow, about);
        self.unnamed = UNNAMED_NONE;
        out.extend_from_slice(&query(text));
    }

    /// Would the session that it has end while it rests?
    #[must_use]
    pub fn would_time_out(&self) -> bool {
        let profile = self.profile.as_deref();
        profile.is_some_and(|profile| profile.idle.is_some())
    }

    /// Before it rests: a server connection must not be ended by the client's
    /// `idle_session_timeout`. [`super::Digest::calmed`] tells when that is done.
    pub fn calm(&mut self) {
        let mut out = Vec::new();
        let [names, values] = arrays(&[(IDLE_SESSION_TIMEOUT, b"0")]);
        self.run_own(Own::Set, &[&names, &values], About::CALMED, &mut out);
        self.tracker
            .owe_about(Kind::Sync, Pay::Swallow, About::CALMED);
        out.extend_from_slice(&sync());
        self.outbox.push(&out);
    }

    /// What sequences gave out last is nobody's any more. Where nothing of the
    /// client's comes before, that is a transaction of its own: some commands must
    /// be the first of theirs.
    pub fn discard_sequences(&mut self, is_apart: bool, out: &mut Vec<u8>) {
        if is_apart {
            self.run_own_amid(Own::Begin, &[], About::default(), out);
        }
        self.run_own_amid(Own::DiscardSequences, &[], About::default(), out);
        if is_apart {
            self.run_own_amid(Own::Commit, &[], About::default(), out);
        }
    }

    /// Sets the name of the session, in a transaction of its own.
    pub(super) fn set_name_apart(&mut self, name: &str, out: &mut Vec<u8>) {
        let [names, values] = arrays(&[(APPLICATION_NAME, name.as_bytes())]);
        self.run_own_amid(Own::Begin, &[], About::default(), out);
        self.run_own_amid(Own::Set, &[&names, &values], About::default(), out);
        self.run_own_amid(Own::Commit, &[], About::default(), out);
    }

    /// The same for the transaction.
    pub(super) fn set_local_name(&mut self, name: &str, out: &mut Vec<u8>) {
        self.set_local(&[(APPLICATION_NAME, name.as_bytes())], out);
    }

    fn set(&mut self, settings: &[(&str, &[u8])], out: &mut Vec<u8>) {
        if settings.is_empty() {
            return;
        }
        let [names, values] = arrays(settings);
        self.run_own(Own::Set, &[&names, &values], About::ALIGN, out);
    }

    /// Puts these settings aside, in whatever transaction there is and for no
    /// longer.
    pub fn put_settings_aside(&mut self, names: &[&str], out: &mut Vec<u8>) {
        let names = array(names.iter().map(|name| name.as_bytes()));
        self.run_own_amid(Own::Stash, &[&names], About::default(), out);
    }

    /// Has these be what they were when the session began, for the transaction.
    pub fn set_local_defaults(&mut self, names: &[&str], out: &mut Vec<u8>) {
        if !names.is_empty() {
            let names = array(names.iter().map(|name| name.as_bytes()));
            self.run_own_amid(Own::SetLocalDefaults, &[&names], About::default(), out);
        }
    }

    /// Back to the settings that were put aside.
    pub fn come_back_to_settings(&mut self, names: &[&str], out: &mut Vec<u8>) {
        if names.contains(&"role") {
            // Whose rights would do for the others.
            self.set_local(&[("role", b"none")], out);
        }
        // Who one is comes last: it may not be somebody who may set the others.
        let plain = names.iter().filter(|name| !IDENTITY.contains(name));
        let last = IDENTITY.iter().filter(|name| names.contains(name));
        let aside = array(plain.chain(last).map(|name| name.as_bytes()));
        self.run_own_amid(Own::Unstash, &[&aside], About::default(), out);
    }

    /// Sets these, in this order, for the transaction.
    pub fn set_local(&mut self, settings: &[(&str, &[u8])], out: &mut Vec<u8>) {
        if settings.is_empty() {
            return;
        }
        let [names, values] = arrays(settings);
        self.run_own_amid(Own::SetLocal, &[&names, &values], About::default(), out);
    }

    /// Asks; [`super::Digest::answered`] tells when the answers are there. The
    /// connection stands at a boundary. If the client has reset its
    /// `application_name`, it gets it back.
    pub fn ask(&mut self, mut questions: Questions, application_name: &Arc<str>) {
        let mut out = Vec::new();
        if self.application_name != *application_name {
            self.application_name = Arc::clone(application_name);
            let named = [(APPLICATION_NAME, application_name.as_bytes())];
            let [names, values] = arrays(&named);
            self.run_own(Own::Set, &[&names, &values], About::STATE, &mut out);
        }
        if !questions.names.is_empty() {
            let names = array(questions.names.iter().map(|name| name.as_bytes()));
            self.run_own(Own::Get, &[&names], About::GET, &mut out);
        }
        if questions.all {
            self.run_own(Own::GetAll, &[], About::GET_ALL, &mut out);
        }
        if questions.defaults {
            self.run_own(Own::Defaults, &[], About::DEFAULTS, &mut out);
        }
        if let Some(profile) = &questions.reset_to {
            for own in RESET {
                self.run_own(own, &[], About::STATE, &mut out);
            }
            self.begin_with(profile, &mut out);
        }
        if questions.state {
            let kept = self.statements.any().map(ServerName::of);
            let kept = kept.as_ref().map_or(&b""[..], ServerName::as_bytes);
            questions.expects_kept = !kept.is_empty();
            self.run_own(Own::State, &[kept], About::STATE, &mut out);
        }
        questions.inventory |= self.begins_with.is_some() && (questions.state || questions.locks);
        if questions.inventory {
            self.run_own(Own::Inventory, &[], About::INVENTORY, &mut out);
        }
        if questions.functions {
            self.run_own(Own::Functions, &[], About::FUNCTIONS, &mut out);
        }
        if questions.locks {
            self.run_own(Own::Locks, &[], About::LOCKS, &mut out);
        }
        self.tracker
            .owe_about(Kind::Sync, Pay::Swallow, About::ASKED);
        out.extend_from_slice(&sync());
        self.outbox.push(&out);
        self.answers = Some(Box::new(Answers {
            questions,
            ..Answers::default()
        }));
    }

    /// A session that has been reset gets what it began with.
    fn begin_with(&mut self, profile: &Option<Arc<Profile>>, out: &mut Vec<u8>) {
        let change = Change::between(None, profile.as_deref());
        let encoding = change
            .encoding
            .map(|encoding| ("client_encoding", encoding));
        let first: Vec<_> = encoding.into_iter().collect();
        for settings in [&first, &change.sets] {
            if !settings.is_empty() {
                let [names, values] = arrays(settings);
                self.run_own(Own::Set, &[&names, &values], About::STATE, out);
            }
        }
        self.profile.clone_from(profile);
    }

    /// Everything that was asked is answered: what the session holds since it
    /// began is nobody's.
    pub(super) fn leave_out_what_it_began_with(&mut self) {
        let (Some(before), Some(answers)) = (&self.begins_with, &mut self.answers) else {
            return;
        };
        let is_asked = answers.questions.inventory && !answers.failed;
        if is_asked && !answers.leave_out(before) {
            // A client has taken from it what others count on.
            self.identity.doom();
        }
    }

    /// Asks, ahead of its Parse, under which settings a statement is parsed, in
    /// whatever transaction there is.
    pub fn ask_env(
        &mut self,
        statement: &Arc<Statement>,
        names: Vec<Box<str>>,
        all: bool,
        out: &mut Vec<u8>,
    ) {
        let asked = array(names.iter().map(|name| name.as_bytes()));
        self.run_own_amid(Own::Get, &[&asked], About::ENV, out);
        if all {
            self.run_own_amid(Own::GetAll, &[], About::ENV_ALL, out);
        }
        self.tracker
            .owe_about(Kind::Close, Pay::Swallow, About::ENV_KNOWN);
        close_into(out, PORTAL);
        self.tracker.attach(Op::AsksEnv(statement.id));
        self.env_questions.push_back(EnvQuestion {
            statement: Arc::clone(statement),
            names,
            values: Vec::new(),
            all: Vec::new(),
        });
    }

    /// After an error: the next answer is to a question that was not skipped.
    pub(super) fn drop_skipped_questions(&mut self) {
        let skipped = self.tracker.undone();
        self.env_questions.retain(|asked| {
            let id = asked.statement.id;
            !skipped
                .iter()
                .any(|op| matches!(op, Op::AsksEnv(skipped) if *skipped == id))
        });
    }

    /// A row of an answer.
    pub(super) fn hear(&mut self, about: About, body: &[u8]) {
        if matches!(about, About::ENV | About::ENV_ALL) {
            self.hear_env(about, body);
            return;
        }
        let Some(answers) = self.answers.as_deref_mut() else {
            return;
        };
        let mut columns = backend::columns(body);
        let first = columns.next().flatten();
        match about {
            About::GET => answers.values.push(first.map(Into::into)),
            About::GET_ALL | About::DEFAULTS => {
                let (Some(name), Some(Some(value))) = (first, columns.next()) else {
                    return;
                };
                match (about, columns.next().flatten()) {
                    (About::DEFAULTS, _) => answers.defaults.push((name.into(), value.into())),
                    (_, Some(b"t")) => answers.all.push((name.into(), value.into())),
                    _ => drop(answers.unset.insert(name.into())),
                }
            }
            About::FUNCTIONS => {
                let row = (columns.next().flatten(), columns.next().flatten());
                if let (Some(name), Some(text)) = row {
                    let (name, text) = (name.into(), text.into());
                    answers.functions.push(match first {
                        Some(b"f") => Told::Function(name, text),
                        _ => Told::Trigger(name, text),
                    });
                }
            }
            About::INVENTORY => {
                let mut rest = columns.map(|column| column.map(Into::into));
                let mut next = || rest.next().flatten();
                answers.inventory = [first.map(Into::into), next(), next(), next(), next()];
            }
            About::STATE => {
                answers.state = first.unwrap_or_default().into();
                let list = columns.next().flatten().unwrap_or_default();
                let count = columns.next().flatten().unwrap_or_default();
                answers.channels = (list.into(), count.into());
            }
            _ => answers.locks = first.is_some(),
        }
    }

    fn hear_env(&mut self, about: About, body: &[u8]) {
        let Some(question) = self.env_questions.front_mut() else {
            return;
        };
        let mut columns = backend::columns(body);
        let first = columns.next().flatten();
        match about {
            About::ENV => question.values.push(first.map(Into::into)),
            _ => {
                let row = (first, columns.next().flatten(), columns.next().flatten());
                if let (Some(name), Some(value), Some(b"t")) = row {
                    question.all.push((name.into(), value.into()));
                }
            }
        }
    }

    /// Runs one of the pooler's own amid a client's messages, whose unnamed portal
    /// it leaves alone.
    fn run_own_amid(&mut self, own: Own, parameters: &[&[u8]], about: About, out: &mut Vec<u8>) {
        self.hold_own(own, about, out);
        self.tracker.owe_about(Kind::Bind, Pay::Swallow, about);
        bind_into(out, PORTAL, own, parameters);
        self.tracker.owe_about(Kind::Execute, Pay::Swallow, about);
        execute_into(out, PORTAL);
        self.tracker.owe_about(Kind::Close, Pay::Swallow, about);
        close_into(out, PORTAL);
    }

    fn run_own(&mut self, own: Own, parameters: &[&[u8]], about: About, out: &mut Vec<u8>) {
        self.hold_own(own, about, out);
        self.tracker.owe_about(Kind::Bind, Pay::Swallow, about);
        bind_into(out, b"", own, parameters);
        self.tracker.owe_about(Kind::Execute, Pay::Swallow, about);
        execute_into(out, b"");
    }

    fn hold_own(&mut self, own: Own, about: About, out: &mut Vec<u8>) {
        let segment = self.tracker.segment();
        let is_open = |prepared: &u64| *prepared != segment && !self.tracker.is_done(*prepared);
        if self.own.prepared_in.as_ref().is_some_and(is_open) {
            self.own.suspect();
        }
        if !self.own.has(own) {
            self.own.prepared_in = Some(segment);
            if self.own.is_suspect() {
                self.tracker.owe_about(Kind::Close, Pay::Swallow, about);
                drop_into(out, own);
            }
            self.tracker.owe_about(Kind::Parse, Pay::Swallow, about);
            parse_into(out, own);
            self.tracker.attach(Op::ServerPreparesOwn(own));
            self.own.add(own);
        }
    }

    /// Closes all of the pooler's own statements that may be there.
    pub fn close_own(&mut self, out: &mut Vec<u8>) {
        for own in Own::ALL {
            if self.own.has(own) || self.own.is_suspect() {
                self.tracker.owe(Kind::Close, Pay::Swallow);
                drop_into(out, own);
            }
        }
        // An error before them would have them skipped.
        self.own.suspect();
    }

    /// All prepared statements are gone.
    pub fn forget_statements(&mut self) {
        self.statements.clear();
        // Some may have been prepared since.
        self.own.suspect();
    }
}

/// Names and values as two arrays.
fn arrays(settings: &[(&str, &[u8])]) -> [Vec<u8>; 2] {
    let names = settings.iter().map(|(name, _)| name.as_bytes());
    let values = settings.iter().map(|(_, value)| *value);
    [array(names), array(values)]
}
