//! One client's names for its prepared statements.

use std::collections::{HashMap, HashSet};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::calls::Calls;
use super::identity::Statement;
use crate::session::owed::About;

/// What a name stands for.
#[derive(Debug, Clone)]
pub struct Named {
    /// The identity.
    pub statement: Arc<Statement>,
    /// When the client prepared it, in the order of all Parses.
    pub since: u64,
    /// What the client was told that it takes and returns, if it has asked.
    pub told: Option<NonZeroU32>,
}

/// One client's names.
#[derive(Debug, Default)]
pub struct ClientStatements {
    names: HashMap<Box<[u8]>, Named>,
    bytes: usize,
    /// So many names stand for statements that only the server connection in use
    /// has: see [`Statement::is_in_doubt`].
    in_doubt: usize,
    /// The segment in which the names last changed: until it is answered, the
    /// next segment cannot know what a name stands for.
    pub changed_in: Option<u64>,
    /// Names of statements that the client prepared by SQL on the server
    /// connection that it therefore keeps.
    pub prepared_by_sql: HashSet<Box<[u8]>>,
    /// How often something was prepared so.
    pub prepares_by_sql: u64,
    /// Identities that servers have parsed for it since its last boundary: an
    /// error or a rollback may take back what they are about.
    pub unsettled: Vec<Arc<Statement>>,
    /// What its open portals call.
    pub calls: Calls,
}

/// PostgreSQL tells names apart by so many bytes (`NAMEDATALEN` less one).
pub const SIGNIFICANT: usize = 63;

fn significant(name: &[u8]) -> &[u8] {
    name.get(..SIGNIFICANT).unwrap_or(name)
}

impl ClientStatements {
    /// What a name stands for.
    #[inline]
    #[must_use]
    pub fn get(&self, name: &[u8]) -> Option<&Named> {
        self.names.get(significant(name))
    }

    /// Gives a name to a statement, or takes it away; returns what it stood
    /// for before.
    pub fn set(&mut self, name: &[u8], to: Option<Named>) -> Option<Named> {
        if let Some(named) = &to {
            self.count_in(named);
        }
        let before = match to {
            Some(named) => self.names.insert(significant(name).into(), named),
            None => self.names.remove(significant(name)),
        };
        if let Some(named) = &before {
            self.count_out(named);
        }
        before
    }

    fn count_in(&mut self, named: &Named) {
        named.statement.users.fetch_add(1, Ordering::Relaxed);
        self.bytes += named.statement.parse.len();
        self.in_doubt += usize::from(named.statement.is_in_doubt());
    }

    fn count_out(&mut self, named: &Named) {
        named.statement.users.fetch_sub(1, Ordering::Relaxed);
        self.bytes -= named.statement.parse.len();
        self.in_doubt -= usize::from(named.statement.is_in_doubt());
    }

    /// Is this name the only one, of all clients, for its statement?
    #[must_use]
    pub fn is_last_user(&self, statement: &Statement) -> bool {
        statement.users.load(Ordering::Relaxed) <= 1
    }

    /// Has it statements that only the server connection in use has?
    #[must_use]
    pub fn ties(&self) -> bool {
        self.in_doubt > 0 || !self.prepared_by_sql.is_empty()
    }

    /// It has been found out under which settings a statement was parsed.
    pub fn doubt_is_over(&mut self) {
        let in_doubt = |named: &&Named| named.statement.is_in_doubt();
        self.in_doubt = self.names.values().filter(in_doubt).count();
    }

    /// The client's own name for the statement that a message was about.
    #[must_use]
    pub fn name_of(&self, about: About) -> Option<&[u8]> {
        let is_it = |name: &[u8], id| id == about.id && about.is_called(name);
        let found = self
            .names
            .iter()
            .find(|(name, named)| is_it(name, named.statement.id));
        found.map(|(name, _)| &**name)
    }

    /// The client was told what a statement takes and returns; what it was told
    /// first counts.
    pub fn told(&mut self, about: About, shape: NonZeroU32) {
        let is_it = |name: &[u8], named: &Named| {
            let it_or_what_it_calls =
                named.statement.id == about.id || named.statement.call.is_some();
            it_or_what_it_calls && about.is_called(name)
        };
        let mut names = self.names.iter_mut();
        if let Some((_, named)) = names.find(|(name, named)| is_it(name, named)) {
            named.told.get_or_insert(shape);
        }
    }

    /// Shows each name, and what it stands for.
    pub fn each(&self, mut see: impl FnMut(&[u8], &Named)) {
        self.names.iter().for_each(|(name, named)| see(name, named));
    }

    /// Forgets all names (DEALLOCATE ALL, DISCARD ALL).
    pub fn clear(&mut self) {
        self.prepared_by_sql.clear();
        for (_, named) in std::mem::take(&mut self.names) {
            self.count_out(&named);
        }
    }

    /// How many names there are, and how many bytes the texts have that they
    /// stand for.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        (self.names.len(), self.bytes)
    }
}

impl Drop for ClientStatements {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Catalog, Registry};
    use super::*;

    fn named(statement: &Arc<Statement>) -> Option<Named> {
        Some(Named {
            statement: Arc::clone(statement),
            since: 0,
            told: None,
        })
    }

    #[test]
    fn users_are_counted_over_all_clients() {
        let statement = Registry::default().intern(b"a\0\0\0", None, &Catalog::default());
        let [mut one, mut two] = [ClientStatements::default(), ClientStatements::default()];
        one.set(b"s", named(&statement));
        assert!(one.is_last_user(&statement));
        two.set(b"t", named(&statement));
        assert!(!one.is_last_user(&statement));
        assert_eq!(two.name_of(About::new(statement.id, b"t")), Some(&b"t"[..]));
        assert_eq!(two.name_of(About::new(statement.id, b"s")), None);
        drop(two);
        assert!(one.is_last_user(&statement));
    }

    #[test]
    fn each_name_was_told_something() {
        let statement = Registry::default().intern(b"ab\0\0\0", None, &Catalog::default());
        let mut names = ClientStatements::default();
        names.set(b"s", named(&statement));
        names.set(b"t", named(&statement));
        let [one, two] = [NonZeroU32::MIN, NonZeroU32::MAX];
        names.told(About::new(statement.id, b"s"), one);
        names.told(About::new(statement.id, b"s"), two);
        names.told(About::new(statement.id + 1, b"t"), two);
        let told = |name| names.get(name).and_then(|named| named.told);
        assert_eq!((told(b"s"), told(b"t")), (Some(one), None));
    }

    #[test]
    fn names_and_texts_are_counted() {
        let statement = Registry::default().intern(b"ab\0\0\0", None, &Catalog::default());
        let mut names = ClientStatements::default();
        names.set(b"s", named(&statement));
        names.set(b"t", named(&statement));
        names.set(b"s", named(&statement));
        assert_eq!(names.size(), (2, 10));
        names.set(b"s", None);
        assert_eq!(names.size(), (1, 5));
        names.clear();
        assert_eq!(names.size(), (0, 0));
    }

    #[test]
    fn a_statement_that_only_one_server_has_ties_its_client() {
        let mut names = ClientStatements::default();
        let statement = super::super::private_in_doubt(b"a\0\0\0", 0);
        names.set(b"s", named(&statement));
        assert!(names.ties());
        names.set(b"s", None);
        assert!(!names.ties());
        names.set(b"s", named(&statement));
        assert!(statement.env.set(None).is_ok());
        names.doubt_is_over();
        assert!(!names.ties());
    }
}
