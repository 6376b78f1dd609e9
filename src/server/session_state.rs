//! The session behind a server connection: giving it a client's settings, and
//! asking what a client has made of it.

use std::sync::Arc;

use super::Server;
use crate::session::own::{Own, array, bind_into, execute_into, parse_into};
use crate::session::settings::{APPLICATION_NAME, Change, Profile};
use crate::session::statements::Op;
use crate::session::{About, Kind, Pay};
use crate::wire::frontend::sync;

/// What is asked about a session.
#[derive(Debug, Default)]
pub struct Questions {
    /// What these settings are.
    pub names: Vec<Box<str>>,
    /// All that has been set, too.
    pub all: bool,
    /// What is as it was when the session began.
    pub defaults: bool,
    /// What ties it to its server connection.
    pub state: bool,
    /// Has it session advisory locks?
    pub locks: bool,
}

/// A setting's name and value.
pub type Named = (Box<[u8]>, Box<[u8]>);

/// What the server has answered.
#[derive(Debug, Default)]
pub struct Answers {
    /// As asked.
    pub questions: Questions,
    /// For each name asked for, in that order; `None`: there is no such setting.
    pub values: Vec<Option<Box<[u8]>>>,
    /// Names and values of all that has been set.
    pub all: Vec<Named>,
    /// Names and values of what is as it was when the session began.
    pub defaults: Vec<Named>,
    /// A letter for each kind of state, see [`Own::State`].
    pub state: Box<[u8]>,
    /// It has locks.
    pub locks: bool,
    /// The server could not tell.
    pub failed: bool,
}

/// Longest answer that is read, in bytes.
pub(super) const LONGEST_ANSWER: usize = 1 << 20;

impl Server {
    /// Gives the session this profile and `application_name`, ahead of what the
    /// client sends, in a transaction of its own: if something cannot be set,
    /// the server skips what follows up to the next Sync, so that nothing runs
    /// under another client's settings.
    pub fn align(
        &mut self,
        profile: Option<&Arc<Profile>>,
        application_name: &Arc<str>,
        out: &mut Vec<u8>,
    ) {
        let before = std::mem::replace(&mut self.profile, profile.cloned());
        let mut change = Change::between(before.as_deref(), profile.map(Arc::as_ref));
        if change.resets_all || self.application_name != *application_name {
            change
                .sets
                .insert(0, (APPLICATION_NAME, application_name.as_bytes()));
            self.application_name = Arc::clone(application_name);
        }
        self.run_own(Own::Begin, &[], About::ALIGN, out);
        if change.resets_identity {
            self.run_own(Own::ResetIdentity, &[], About::ALIGN, out);
        }
        if change.resets_all {
            self.run_own(Own::ResetAll, &[], About::ALIGN, out);
        }
        if let Some(encoding) = change.encoding {
            self.set(&[("client_encoding", encoding)], About::ALIGN, out);
        }
        self.set(&change.sets, About::ALIGN, out);
        self.run_own(Own::Commit, &[], About::ALIGNED, out);
    }

    /// Begins a transaction of the pooler's own.
    pub fn begin_own(&mut self, out: &mut Vec<u8>) {
        self.run_own(Own::Begin, &[], About::default(), out);
    }

    /// Ends it.
    pub fn commit_own(&mut self, out: &mut Vec<u8>) {
        self.run_own(Own::Commit, &[], About::default(), out);
    }

    /// Sets these, in this order, in whatever transaction there is.
    pub fn set(&mut self, settings: &[(&str, &[u8])], about: About, out: &mut Vec<u8>) {
        if settings.is_empty() {
            return;
        }
        let names = array(settings.iter().map(|(name, _)| name.as_bytes()));
        let values = array(settings.iter().map(|(_, value)| *value));
        self.run_own(Own::Set, &[&names, &values], about, out);
    }

    /// Asks; [`super::Digest::answered`] tells when the answers are there. The
    /// connection stands at a boundary.
    pub fn ask(&mut self, questions: Questions) {
        let mut out = Vec::new();
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
        if questions.state {
            self.run_own(Own::State, &[], About::STATE, &mut out);
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

    /// A row of an answer.
    pub(super) fn hear(&mut self, about: About, body: &[u8]) {
        let Some(answers) = self.answers.as_deref_mut() else {
            return;
        };
        let mut columns = columns(body);
        let first = columns.next().flatten();
        match about {
            About::GET => answers.values.push(first.map(Into::into)),
            About::GET_ALL | About::DEFAULTS => {
                if let (Some(name), Some(Some(value))) = (first, columns.next()) {
                    let pair = (name.into(), value.into());
                    match about {
                        About::GET_ALL => answers.all.push(pair),
                        _ => answers.defaults.push(pair),
                    }
                }
            }
            About::STATE => answers.state = first.unwrap_or_default().into(),
            _ => answers.locks = first.is_some(),
        }
    }

    fn run_own(&mut self, own: Own, parameters: &[&[u8]], about: About, out: &mut Vec<u8>) {
        if !self.own.has(own) {
            self.tracker.owe_about(Kind::Parse, Pay::Swallow, about);
            parse_into(out, own);
            self.tracker.attach(Op::ServerPreparesOwn(own));
            self.own.add(own);
        }
        self.tracker.owe_about(Kind::Bind, Pay::Swallow, about);
        bind_into(out, own, parameters);
        self.tracker.owe_about(Kind::Execute, Pay::Swallow, about);
        execute_into(out);
    }

    /// All prepared statements are gone.
    pub fn forget_statements(&mut self) {
        self.statements.clear();
        self.own = Default::default();
    }
}

/// The columns of a DataRow; `None` is NULL.
fn columns(body: &[u8]) -> impl Iterator<Item = Option<&[u8]>> {
    let mut rest = body.get(2..).unwrap_or_default();
    std::iter::from_fn(move || {
        let (length, after) = rest.split_first_chunk::<4>()?;
        let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) else {
            rest = after;
            return Some(None);
        };
        let value = after.get(..length)?;
        rest = after.get(length..)?;
        Some(Some(value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_cut_at_their_lengths() {
        let row = b"\0\x03\0\0\0\x02ab\xff\xff\xff\xff\0\0\0\0";
        let found: Vec<_> = columns(row).collect();
        assert_eq!(found, [Some(&b"ab"[..]), None, Some(b"")]);
        assert_eq!(columns(b"\0\x01\0\0\0\x09ab").count(), 0);
    }
}
