//! What a prepared statement is, whatever its clients call it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use crate::session::findings::Findings;
use crate::session::scan::Scan;
use crate::session::settings::{Env, Touched};
use crate::session::sql::{Call, statement_call};

/// Every name that pgweave gives to a statement on a server begins so.
pub const PREFIX: &str = "_pw";

/// One statement identity. Equal text, types and environment, equal `Arc`.
#[derive(Debug)]
pub struct Statement {
    /// Unique in this process; part of the name on servers.
    pub id: u64,
    /// The Parse message's body after the name: text, NUL, parameter types.
    pub parse: Box<[u8]>,
    /// What running it can do to the session.
    pub can: Findings,
    /// Which settings it can change, if it can.
    pub touches: Option<Box<Touched>>,
    /// Can what it means depend on settings, its own and not that of what it
    /// calls? Else no query of ours may stand
    /// ahead of it: `SET TRANSACTION` must come before any.
    pub depends_on_settings: bool,
    /// The settings under which it was parsed, once they are known; `None` for
    /// those that server connections are opened with.
    pub env: OnceLock<Option<Arc<Env>>>,
    /// It is EXECUTE, DEALLOCATE or PREPARE of one statement, by this name.
    pub call: Option<Box<Call>>,
    /// The state of the catalog ([`super::Catalog`]) in which it was first parsed.
    pub epoch: u64,
    /// How many client names stand for it.
    pub(super) users: AtomicU64,
}

impl Statement {
    pub(super) fn new(parse: &[u8], env: Option<Option<Arc<Env>>>, epoch: u64) -> Arc<Self> {
        let can = Scan::of(parse);
        Arc::new(Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            parse: parse.into(),
            can,
            touches: touches(can, text_of(parse)),
            depends_on_settings: depends_on_settings(parse),
            env: env.map_or_else(OnceLock::new, OnceLock::from),
            call: statement_call(text_of(parse)).map(Box::new),
            epoch,
            users: AtomicU64::new(0),
        })
    }

    /// Is it not known under which settings it was parsed? Then no other server
    /// connection can be given the like.
    #[must_use]
    pub fn is_in_doubt(&self) -> bool {
        self.env.get().is_none()
    }

    /// Is it one that nobody shares?
    #[must_use]
    pub fn is_private(&self) -> bool {
        self.epoch == u64::MAX
    }

    /// Its text.
    #[must_use]
    pub fn text(&self) -> &[u8] {
        text_of(&self.parse)
    }

    /// Its name on every server connection that holds it.
    #[must_use]
    pub fn server_name(&self) -> ServerName {
        ServerName::of(self.id)
    }

    /// Its text and types, with another statement's name in place of the one
    /// that it calls.
    #[must_use]
    pub fn calling(&self, name: &[u8]) -> Vec<u8> {
        let at = self.call.as_ref().map_or(0..0, |call| call.at.clone());
        let (head, tail) = (self.parse.get(..at.start), self.parse.get(at.end..));
        [head.unwrap_or_default(), name, tail.unwrap_or_default()].concat()
    }
}

/// The query text of a Parse body.
fn text_of(parse: &[u8]) -> &[u8] {
    let end = parse.iter().position(|byte| *byte == 0);
    parse.get(..end.unwrap_or(0)).unwrap_or_default()
}

/// An identity that nobody shares, and that is not compared after changes of the
/// catalog.
#[must_use]
pub fn private(parse: &[u8], env: Option<Arc<Env>>) -> Arc<Statement> {
    Statement::new(parse, Some(env), u64::MAX)
}

/// An identity that nobody shares, of this state of the catalog.
#[must_use]
pub fn private_of(parse: &[u8], env: Option<Arc<Env>>, epoch: u64) -> Arc<Statement> {
    Statement::new(parse, Some(env), epoch)
}

/// One of which it is yet to be found out under which settings it was parsed.
#[must_use]
pub fn private_in_doubt(parse: &[u8], epoch: u64) -> Arc<Statement> {
    Statement::new(parse, None, epoch)
}

/// Commands of which nothing is read before they are executed
/// (`protocol-flow.html#PROTOCOL-FLOW-EXT-QUERY`), and that some of which must
/// stand alone.
const PLAIN: [&str; 37] = [
    "abort",
    "alter",
    "analyze",
    "analyse",
    "begin",
    "checkpoint",
    "close",
    "cluster",
    "comment",
    "commit",
    "copy",
    "deallocate",
    "discard",
    "do",
    "drop",
    "end",
    "fetch",
    "grant",
    "listen",
    "load",
    "lock",
    "move",
    "notify",
    "prepare",
    "refresh",
    "reindex",
    "release",
    "reset",
    "revoke",
    "rollback",
    "savepoint",
    "set",
    "show",
    "start",
    "truncate",
    "unlisten",
    "vacuum",
];

/// Can what a text means depend on settings?
#[must_use]
pub fn depends_on_settings(parse: &[u8]) -> bool {
    if statement_call(text_of(parse)).is_some() {
        return false;
    }
    let text = text_of(parse).trim_ascii_start();
    let length = text
        .iter()
        .take_while(|byte| byte.is_ascii_alphabetic())
        .count();
    let word = text.get(..length).unwrap_or_default();
    !PLAIN
        .iter()
        .any(|plain| word.eq_ignore_ascii_case(plain.as_bytes()))
}

/// Which settings a text can change of which this was found.
#[must_use]
pub fn touches(can: Findings, text: &[u8]) -> Option<Box<Touched>> {
    const CHANGE: Findings = Findings::SETTINGS
        .and(Findings::LOCAL_SETTINGS)
        .and(Findings::RESETS)
        .and(Findings::OPAQUE);
    can.has(CHANGE).then(|| Box::new(Touched::by(text)))
}

/// Identities are numbered over the whole process, so that no two pools'
/// names can be confused in a log.
static NEXT_ID: AtomicU64 = AtomicU64::new(FIRST_ID);

/// Smaller numbers are no identities: see [`crate::session::About`].
pub const FIRST_ID: u64 = 1024;

/// From now on identities are numbered from here: from a number that clients
/// cannot guess, so that nobody names another's statement.
pub fn number_from(start: u64) {
    let free = crate::session::own::number_from((start >> 2).max(FIRST_ID));
    NEXT_ID.store(free, Ordering::Relaxed);
}

/// A statement's name on a server, without allocation.
#[derive(Debug, Clone, Copy)]
pub struct ServerName {
    bytes: [u8; 24],
    from: usize,
}

impl ServerName {
    /// The name of the statement with this id.
    #[must_use]
    pub fn of(mut id: u64) -> Self {
        let mut bytes = [0; 24];
        let mut from = bytes.len();
        let mut put = |byte: u8| {
            from = from.saturating_sub(1);
            if let Some(slot) = bytes.get_mut(from) {
                *slot = byte;
            }
        };
        loop {
            put(b'0' + u8::try_from(id % 10).unwrap_or(0));
            id /= 10;
            if id == 0 {
                break;
            }
        }
        PREFIX.bytes().rev().for_each(put);
        Self { bytes, from }
    }

    /// The name's bytes, without a terminator.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(self.from..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_name_is_the_prefix_and_the_id() {
        assert_eq!(ServerName::of(0).as_bytes(), b"_pw0");
        assert_eq!(ServerName::of(1234).as_bytes(), b"_pw1234");
        assert_eq!(
            ServerName::of(u64::MAX).as_bytes(),
            b"_pw18446744073709551615"
        );
    }

    #[test]
    fn a_call_is_sent_under_another_name() {
        let statement = private(b"EXECUTE s1 (4)\0\0\0", None);
        assert_eq!(statement.calling(b"_pw7"), b"EXECUTE _pw7 (4)\0\0\0");
        assert_eq!(private(b"SELECT 1\0\0\0", None).call, None);
    }
}
