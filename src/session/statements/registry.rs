//! The identities that clients share, and the catalog that they were parsed in.

use std::borrow::Borrow;
use std::collections::{HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use parking_lot::Mutex;

use super::identity::Statement;
use crate::session::hidden::Hidden;
use crate::session::settings::Env;

/// One database's catalog: counts the commands seen that change what texts
/// mean. Shared by all pools of that database.
#[derive(Debug, Default)]
pub struct Catalog {
    epoch: AtomicU64,
    /// Transactions under way that may change it.
    changing: AtomicU32,
    /// What its functions do to the session.
    pub hidden: Hidden,
    /// Somebody asks what sequences gave out last.
    uses_sequences: AtomicBool,
}

impl Catalog {
    /// A command has changed it.
    pub fn changed(&self) {
        self.epoch.fetch_add(1, Ordering::AcqRel);
    }

    /// Somebody asks what sequences gave out last.
    pub fn sequences_are_used(&self) {
        self.uses_sequences.store(true, Ordering::Release);
    }

    /// Has anybody ever asked?
    #[inline]
    #[must_use]
    pub fn uses_sequences(&self) -> bool {
        self.uses_sequences.load(Ordering::Acquire)
    }

    /// A transaction begins to change it.
    #[must_use]
    pub fn change(self: &Arc<Self>) -> Changing {
        self.changing.fetch_add(1, Ordering::AcqRel);
        Changing(Arc::clone(self))
    }

    /// May it be changing at this moment? A copy of a statement that is parsed
    /// now may be of before or after.
    #[inline]
    #[must_use]
    pub fn is_changing(&self) -> bool {
        self.changing.load(Ordering::Acquire) > 0
    }

    /// Statements of an earlier epoch may mean something else by now.
    #[inline]
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }
}

/// A transaction that changes the catalog is under way as long as this lives.
#[derive(Debug)]
pub struct Changing(Arc<Catalog>);

impl Drop for Changing {
    fn drop(&mut self) {
        self.0.changed();
        self.0.changing.fetch_sub(1, Ordering::AcqRel);
    }
}

/// All identities of clients with equal startup parameters.
#[derive(Debug, Default)]
pub struct Registry(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// For each parse environment, by its address: the identities keep it there.
    statements: HashMap<usize, HashSet<ByParse>>,
    count: usize,
    bytes: usize,
    /// Those that nobody uses are swept out when either has grown so far.
    sweep_at: usize,
    sweep_at_bytes: usize,
    epoch: u64,
}

/// Identities below this, in number and in bytes of text, are never swept.
const FEW: usize = 1024;
const FEW_BYTES: usize = 4 << 20;

/// Told apart by what their Parse says.
#[derive(Debug)]
struct ByParse(Arc<Statement>);

impl Borrow<[u8]> for ByParse {
    fn borrow(&self) -> &[u8] {
        &self.0.parse
    }
}

impl Hash for ByParse {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.parse.hash(state);
    }
}

impl PartialEq for ByParse {
    fn eq(&self, other: &Self) -> bool {
        self.0.parse == other.0.parse
    }
}

impl Eq for ByParse {}

#[allow(clippy::mutable_key_type)] // Hashed and compared by text alone, which never changes.
impl Registry {
    /// The identity of a Parse body (after the name) under these settings, made
    /// when it is new. After a change of the catalog every text is a new
    /// identity, which every server really parses.
    pub fn intern(
        &self,
        parse: &[u8],
        env: Option<&Arc<Env>>,
        catalog: &Catalog,
    ) -> Arc<Statement> {
        let mut known = self.0.lock();
        let epoch = catalog.epoch();
        if known.epoch != epoch {
            *known = Known {
                epoch,
                ..Known::default()
            };
        }
        let alike = known.statements.get(&address(env));
        if let Some(found) = alike.and_then(|alike| alike.get(parse)) {
            return Arc::clone(&found.0);
        }
        if known.is_due() {
            known.sweep();
        }
        let statement = Statement::new(parse, Some(env.cloned()), epoch);
        known.bytes += parse.len();
        known.count += 1;
        let alike = known.statements.entry(address(env)).or_default();
        alike.insert(ByParse(Arc::clone(&statement)));
        statement
    }

    /// Forgets an identity: the next Parse of its text makes a new one, which
    /// every server really parses.
    pub fn retire(&self, statement: &Arc<Statement>) {
        let mut known = self.0.lock();
        let parse: &[u8] = &statement.parse;
        let alike = known
            .statements
            .get_mut(&address(statement.env.get().and_then(Option::as_ref)));
        let is_it = |found: &ByParse| Arc::ptr_eq(&found.0, statement);
        if let Some(alike) = alike.filter(|alike| alike.get(parse).is_some_and(is_it)) {
            alike.remove(parse);
            known.count -= 1;
            known.bytes -= parse.len();
        }
    }

    /// Gives back the memory of what no client uses any more, if it is much.
    pub fn forget_unused(&self) {
        let mut known = self.0.lock();
        if known.count > FEW || known.bytes > FEW_BYTES {
            known.sweep();
        }
    }

    /// Identities known now, and the bytes of their texts.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        let known = self.0.lock();
        (known.count, known.bytes)
    }
}

impl Known {
    /// May half of it be what only this set knows?
    fn is_due(&self) -> bool {
        self.count >= self.sweep_at.max(FEW) || self.bytes >= self.sweep_at_bytes.max(FEW_BYTES)
    }

    /// Drops what only this set knows.
    fn sweep(&mut self) {
        for alike in self.statements.values_mut() {
            alike.retain(|known| Arc::strong_count(&known.0) > 1);
            alike.shrink_to(2 * alike.len());
        }
        self.statements.retain(|_, alike| !alike.is_empty());
        self.count = self.statements.values().map(HashSet::len).sum();
        let all = self.statements.values().flatten();
        self.bytes = all.map(|statement| statement.0.parse.len()).sum();
        self.sweep_at = 2 * self.count;
        self.sweep_at_bytes = 2 * self.bytes;
    }
}

fn address(env: Option<&Arc<Env>>) -> usize {
    env.map_or(0, |env| Arc::as_ptr(env).addr())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setup() -> (Registry, Catalog) {
        (Registry::default(), Catalog::default())
    }

    #[test]
    fn equal_texts_are_one_identity_until_it_is_retired() {
        let (registry, catalog) = setup();
        let intern = |parse| registry.intern(parse, None, &catalog);
        let first = intern(b"select 1\0\0\0");
        assert!(Arc::ptr_eq(&first, &intern(b"select 1\0\0\0")));
        let typed = intern(b"select 1\0\0\x01\0\0\0\x17");
        assert!(!Arc::ptr_eq(&first, &typed));
        registry.retire(&first);
        assert!(!Arc::ptr_eq(&first, &intern(b"select 1\0\0\0")));
    }

    #[test]
    fn after_a_change_of_the_catalog_every_text_is_new() {
        let (registry, catalog) = setup();
        let first = registry.intern(b"select 1\0\0\0", None, &catalog);
        catalog.changed();
        let second = registry.intern(b"select 1\0\0\0", None, &catalog);
        assert!(!Arc::ptr_eq(&first, &second));
        assert!(first.epoch < second.epoch);
        assert_eq!(registry.size().0, 1);
    }

    #[test]
    fn a_change_of_the_catalog_is_over_when_it_has_begun_a_new_epoch() {
        let catalog = Arc::new(Catalog::default());
        let change = catalog.change();
        assert!(catalog.is_changing());
        let before = catalog.epoch();
        drop(change);
        assert!(!catalog.is_changing() && catalog.epoch() > before);
    }

    #[test]
    fn what_nobody_uses_is_swept() {
        let (registry, catalog) = setup();
        for n in 0..10_000 {
            let _ = registry.intern(format!("select {n}\0\0\0").as_bytes(), None, &catalog);
        }
        assert!(registry.size().0 <= FEW);
        let long = vec![b' '; 1 << 20];
        for n in 0..100 {
            let _ = registry.intern(&[format!("{n}").as_bytes(), &long].concat(), None, &catalog);
        }
        assert!(registry.size().1 <= FEW_BYTES + (2 << 20));
    }

    #[test]
    fn after_a_burst_the_memory_is_given_back() {
        let (registry, catalog) = setup();
        let used: Vec<_> = (0..5000)
            .map(|n| registry.intern(format!("select {n}\0\0\0").as_bytes(), None, &catalog))
            .collect();
        registry.forget_unused();
        assert_eq!(registry.size().0, 5000);
        drop(used);
        registry.forget_unused();
        assert_eq!(registry.size(), (0, 0));
    }

    #[test]
    fn what_is_used_stays() {
        let (registry, catalog) = setup();
        let used: Vec<_> = (0..5000)
            .map(|n| registry.intern(format!("select {n}\0\0\0").as_bytes(), None, &catalog))
            .collect();
        for statement in &used {
            assert!(Arc::ptr_eq(
                statement,
                &registry.intern(&statement.parse, None, &catalog)
            ));
        }
    }
}
