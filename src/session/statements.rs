//! Prepared statements: what a client calls them, what a server holds.
//!
//! A client's name maps to a [`Statement`], an identity shared by all clients
//! whose text, parameter types and parse environment are the same. A server
//! connection keeps a bounded set of identities under names of ours. Maps are
//! changed when a message is sent, and changed back when the server did not
//! do what the message asked ([`Op`]).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::owed::About;
use super::scan::{Findings, Scan};

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
    /// How many client names stand for it.
    users: AtomicU64,
}

impl Statement {
    /// Its name on every server connection that holds it.
    #[must_use]
    pub fn server_name(&self) -> ServerName {
        ServerName::of(self.id)
    }
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

/// All identities of one parse environment's pool.
#[derive(Debug, Default)]
pub struct Registry {
    by_parse: Mutex<HashMap<Box<[u8]>, Arc<Statement>>>,
}

/// An identity that nobody shares.
#[must_use]
pub fn private(parse: &[u8]) -> Arc<Statement> {
    Arc::new(Statement {
        id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
        parse: parse.into(),
        can: Scan::of(parse),
        users: AtomicU64::new(0),
    })
}

/// Identities are numbered over the whole process, so that no two pools'
/// names can be confused in a log.
static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// From now on identities are numbered from here: from a number that clients
/// cannot guess, so that nobody names another's statement.
pub fn number_from(start: u64) {
    NEXT_ID.store(start >> 2, Ordering::Relaxed);
}

/// The registry is swept of forgotten identities when it has grown by this.
const SWEEP_EVERY: usize = 1024;

impl Registry {
    /// The identity of a Parse body (after the name), made when it is new.
    pub fn intern(&self, parse: &[u8]) -> Arc<Statement> {
        let mut map = self.by_parse.lock();
        if let Some(known) = map.get(parse) {
            return Arc::clone(known);
        }
        if map.len() % SWEEP_EVERY == SWEEP_EVERY - 1 {
            map.retain(|_, statement| Arc::strong_count(statement) > 1);
        }
        let statement = private(parse);
        map.insert(parse.into(), Arc::clone(&statement));
        statement
    }

    /// Forgets an identity: the next Parse of its text makes a new one, which
    /// every server really parses.
    pub fn retire(&self, statement: &Arc<Statement>) {
        let mut map = self.by_parse.lock();
        if map
            .get(&statement.parse)
            .is_some_and(|known| Arc::ptr_eq(known, statement))
        {
            map.remove(&statement.parse);
        }
    }

    /// Forgets all identities: the catalog has changed, and with it what texts
    /// mean.
    pub fn forget_all(&self) {
        self.by_parse.lock().clear();
    }

    /// Identities known now.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_parse.lock().len()
    }

    /// Is no identity known?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// PostgreSQL tells names apart by so many bytes.
fn significant(name: &[u8]) -> &[u8] {
    name.get(..63).unwrap_or(name)
}

/// One client's names.
#[derive(Debug, Default)]
pub struct ClientStatements {
    names: HashMap<Box<[u8]>, Arc<Statement>>,
    /// The segment in which the names last changed: until it is answered, the
    /// next segment cannot know what a name stands for.
    pub changed_in: Option<u64>,
    /// Names of statements that the client prepared by SQL on the server
    /// connection that it therefore keeps.
    pub prepared_by_sql: HashSet<Box<[u8]>>,
}

impl ClientStatements {
    /// What a name stands for.
    #[inline]
    #[must_use]
    pub fn get(&self, name: &[u8]) -> Option<&Arc<Statement>> {
        self.names.get(significant(name))
    }

    /// Gives a name to a statement, or takes it away; returns what it stood
    /// for before.
    pub fn set(&mut self, name: &[u8], to: Option<Arc<Statement>>) -> Option<Arc<Statement>> {
        if let Some(statement) = &to {
            statement.users.fetch_add(1, Ordering::Relaxed);
        }
        let before = match to {
            Some(statement) => self.names.insert(significant(name).into(), statement),
            None => self.names.remove(significant(name)),
        };
        if let Some(statement) = &before {
            statement.users.fetch_sub(1, Ordering::Relaxed);
        }
        before
    }

    /// Is this name the only one, of all clients, for its statement?
    #[must_use]
    pub fn is_last_user(&self, statement: &Statement) -> bool {
        statement.users.load(Ordering::Relaxed) <= 1
    }

    /// The client's own name for the statement that a message was about.
    #[must_use]
    pub fn name_of(&self, about: About) -> Option<&[u8]> {
        let is_it =
            |name: &[u8], statement: &Statement| statement.id == about.id && about.is_called(name);
        let found = self
            .names
            .iter()
            .find(|(name, statement)| is_it(name, statement));
        found.map(|(name, _)| &**name)
    }

    /// Shows every statement that a name stands for.
    pub fn each(&self, see: impl FnMut(&Arc<Statement>)) {
        self.names.values().for_each(see);
    }

    /// Forgets all names (DEALLOCATE ALL, DISCARD ALL).
    pub fn clear(&mut self) {
        self.prepared_by_sql.clear();
        for (_, statement) in self.names.drain() {
            statement.users.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// How many names there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Are there no names?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }
}

impl Drop for ClientStatements {
    fn drop(&mut self) {
        self.clear();
    }
}

/// What one server connection holds, least recently used first out.
#[derive(Debug, Default)]
pub struct ServerStatements {
    held: HashMap<u64, Held, rustc_hash::FxBuildHasher>,
    bytes: usize,
    tick: u64,
    changed_in: Option<u64>,
}

#[derive(Debug)]
struct Held {
    statement: Arc<Statement>,
    used: u64,
}

impl ServerStatements {
    /// Does the server hold this identity? Marks it as used.
    #[inline]
    pub fn touch(&mut self, id: u64) -> bool {
        self.tick += 1;
        match self.held.get_mut(&id) {
            Some(held) => {
                held.used = self.tick;
                true
            }
            None => false,
        }
    }

    /// The server is being told to prepare it.
    pub fn insert(&mut self, statement: Arc<Statement>) {
        self.tick += 1;
        self.bytes += statement.parse.len();
        if let Some(before) = self.held.insert(
            statement.id,
            Held {
                statement,
                used: self.tick,
            },
        ) {
            self.bytes -= before.statement.parse.len();
        }
    }

    /// The server is being told to forget it.
    pub fn remove(&mut self, id: u64) -> Option<Arc<Statement>> {
        let held = self.held.remove(&id)?;
        self.bytes -= held.statement.parse.len();
        Some(held.statement)
    }

    /// The server has forgotten all.
    pub fn clear(&mut self) {
        self.held.clear();
        self.bytes = 0;
    }

    /// The segment in which the set last changed: until it is answered, the
    /// next segment cannot know what is held.
    pub fn changed_in(&mut self, segment: u64) {
        self.changed_in = Some(segment);
    }

    /// See [`ServerStatements::changed_in`].
    #[must_use]
    pub fn last_change(&self) -> Option<u64> {
        self.changed_in
    }

    /// The least recently used identity while there are more than `max`, or
    /// their texts take more than `max_bytes`.
    #[must_use]
    pub fn over(&self, max: usize, max_bytes: usize) -> Option<u64> {
        if self.held.len() <= max && self.bytes <= max_bytes {
            return None;
        }
        self.held
            .iter()
            .min_by_key(|(_, held)| held.used)
            .map(|(id, _)| *id)
    }

    /// How many are held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Are none held?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }
}

/// A client's unnamed statement.
#[derive(Debug, Default, PartialEq, Eq)]
pub enum Unnamed {
    /// There is none.
    #[default]
    None,
    /// Its Parse body after the (empty) name, to be sent again to a server
    /// that does not have it.
    Kept {
        /// Unique; a server connection has this very one, or not.
        version: u64,
        /// Text, NUL, parameter types.
        parse: Box<[u8]>,
        /// It may drop prepared statements when it is executed.
        deallocates: bool,
    },
    /// Too long to be kept: only the server connection in use has it, and the
    /// client keeps that.
    OnServer,
}

/// A server connection's unnamed statement is not known.
pub const UNNAMED_UNKNOWN: u64 = 0;

/// A server connection has no unnamed statement.
pub const UNNAMED_NONE: u64 = 1;

impl Unnamed {
    /// One that can be sent again.
    #[must_use]
    pub fn keep(parse: &[u8]) -> Self {
        Self::Kept {
            version: NEXT_VERSION.fetch_add(1, Ordering::Relaxed),
            parse: parse.into(),
            deallocates: Scan::of(parse).deallocates,
        }
    }

    /// May it drop prepared statements when it is executed?
    #[must_use]
    pub fn deallocates(&self) -> bool {
        matches!(
            self,
            Unnamed::OnServer
                | Unnamed::Kept {
                    deallocates: true,
                    ..
                }
        )
    }

    /// What a server connection that has it is marked with.
    #[must_use]
    pub fn mark(&self) -> u64 {
        match self {
            Unnamed::None => UNNAMED_NONE,
            Unnamed::Kept { version, .. } => *version,
            Unnamed::OnServer => UNNAMED_UNKNOWN,
        }
    }
}

static NEXT_VERSION: AtomicU64 = AtomicU64::new(UNNAMED_NONE + 1);

/// A change made ahead of the server's confirmation, with what takes it back.
#[derive(Debug)]
pub enum Op {
    /// A client's name was set or removed; before, it stood for this.
    ClientName {
        /// The name.
        name: Box<[u8]>,
        /// What it stood for before.
        before: Option<Arc<Statement>>,
    },
    /// A name was prepared (or, if it was before, deallocated) by SQL.
    SqlName {
        /// The name.
        name: Box<[u8]>,
        /// Was it a prepared one before?
        before: bool,
    },
    /// The server was told to prepare this.
    ServerPrepares(u64),
    /// The server was told to forget this.
    ServerForgets(Arc<Statement>),
    /// The client replaced or lost its unnamed statement.
    Unnamed {
        /// What it was before.
        before: Unnamed,
        /// What the server connection was marked with.
        mark: u64,
    },
    /// The server's unnamed statement was made to agree with the client's.
    UnnamedAgrees,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_are_one_identity_until_it_is_retired() {
        let registry = Registry::default();
        let first = registry.intern(b"select 1\0\0\0");
        assert!(Arc::ptr_eq(&first, &registry.intern(b"select 1\0\0\0")));
        assert!(!Arc::ptr_eq(
            &first,
            &registry.intern(b"select 1\0\0\x01\0\0\0\x17")
        ));
        registry.retire(&first);
        assert!(!Arc::ptr_eq(&first, &registry.intern(b"select 1\0\0\0")));
    }

    #[test]
    fn forgotten_identities_are_swept() {
        let registry = Registry::default();
        for n in 0..10_000 {
            let _ = registry.intern(format!("select {n}\0\0\0").as_bytes());
        }
        assert!(registry.len() <= SWEEP_EVERY);
    }

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
    fn the_least_recently_used_statement_is_the_first_to_go() {
        let registry = Registry::default();
        let [a, b] = [registry.intern(b"a\0\0\0"), registry.intern(b"b\0\0\0")];
        let mut held = ServerStatements::default();
        held.insert(Arc::clone(&a));
        held.insert(Arc::clone(&b));
        assert!(held.touch(a.id));
        assert_eq!(held.over(2, 1000), None);
        assert_eq!(held.over(1, 1000), Some(b.id));
        assert_eq!(held.over(2, 5), Some(b.id));
        assert!(held.remove(b.id).is_some());
        assert!(!held.touch(b.id));
    }

    #[test]
    fn users_are_counted_over_all_clients() {
        let registry = Registry::default();
        let statement = registry.intern(b"a\0\0\0");
        let [mut one, mut two] = [ClientStatements::default(), ClientStatements::default()];
        one.set(b"s", Some(Arc::clone(&statement)));
        assert!(one.is_last_user(&statement));
        two.set(b"t", Some(Arc::clone(&statement)));
        assert!(!one.is_last_user(&statement));
        assert_eq!(two.name_of(About::new(statement.id, b"t")), Some(&b"t"[..]));
        assert_eq!(two.name_of(About::new(statement.id, b"s")), None);
        drop(two);
        assert!(one.is_last_user(&statement));
    }
}
