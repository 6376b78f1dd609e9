//! The prepared statements that one server connection holds.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use super::Catalog;
use super::identity::Statement;

/// What one server connection holds, least recently used first out.
#[derive(Debug, Default)]
pub struct ServerStatements {
    held: HashMap<u64, (u64, Held), rustc_hash::FxBuildHasher>,
    bytes: usize,
    tick: u64,
    changed_in: Option<u64>,
    /// Those it has been told to prepare in the turn under way.
    prepared: Vec<u64>,
}

/// What a statement takes and returns has changed before its client was told.
pub const UNKNOWN_SHAPE: NonZeroU32 = NonZeroU32::MAX;

/// A server's copy of a statement.
#[derive(Debug)]
pub struct Held {
    /// The identity.
    pub statement: Arc<Statement>,
    /// When the server parsed it, in the order of all Parses.
    pub parsed: u64,
    /// The state of the catalog ([`super::Catalog`]) then.
    pub epoch: u64,
    /// The segment of the server connection in which it did.
    pub segment: u64,
    /// What it takes and returns, once the server has said so.
    pub shape: Option<NonZeroU32>,
    /// The server has been asked for that.
    pub asked: bool,
    /// It may have another meaning by now.
    pub is_outdated: bool,
}

impl ServerStatements {
    /// The server's copy of this identity. Marks it as used.
    #[inline]
    pub fn touch(&mut self, id: u64) -> Option<&Held> {
        self.tick += 1;
        let (used, held) = self.held.get_mut(&id)?;
        *used = self.tick;
        Some(held)
    }

    /// The server holds it.
    pub fn insert(&mut self, held: Held) {
        self.tick += 1;
        self.bytes += held.statement.parse.len();
        let id = held.statement.id;
        if let Some((_, before)) = self.held.insert(id, (self.tick, held)) {
            self.bytes -= before.statement.parse.len();
        }
    }

    /// The server is being told to prepare it, for the client of this turn.
    pub fn prepare(&mut self, held: Held) {
        self.prepared.push(held.statement.id);
        self.insert(held);
    }

    /// The server is being told to forget it.
    pub fn remove(&mut self, id: u64) -> Option<Held> {
        let (_, held) = self.held.remove(&id)?;
        self.bytes -= held.statement.parse.len();
        Some(held)
    }

    /// The server is being asked what its copy takes and returns, or will not
    /// answer.
    pub fn ask(&mut self, id: u64, asked: bool) {
        if let Some((_, held)) = self.held.get_mut(&id) {
            held.asked = asked;
        }
    }

    /// The server has described its copy.
    pub fn described(&mut self, id: u64, shape: NonZeroU32) {
        if let Some((_, held)) = self.held.get_mut(&id) {
            held.shape = Some(shape);
        }
    }

    /// A turn is over, and all of it answered: how many the server has been told to
    /// prepare in it. Where others have changed the `catalog` meanwhile nobody knows
    /// whether they were parsed before or after: they are to be made anew. It is known
    /// where the change is the client's own (`is_own`).
    pub fn turn_is_over(&mut self, catalog: &Catalog, is_own: bool) -> u32 {
        let count = u32::try_from(self.prepared.len()).unwrap_or(u32::MAX);
        if count > 0 && !is_own {
            // In this order: a change that ends in between is seen by its epoch.
            let (changing, epoch) = (catalog.is_changing(), catalog.epoch());
            for id in &self.prepared {
                if let Some((_, held)) = self.held.get_mut(id) {
                    held.is_outdated |= changing || held.epoch != epoch;
                }
            }
        }
        self.prepared.clear();
        count
    }

    /// All copies are to be made anew before they are used again.
    pub fn outdate(&mut self) {
        for (_, held) in self.held.values_mut() {
            held.is_outdated = true;
        }
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
        let oldest = self.held.iter().min_by_key(|(_, (used, _))| *used);
        oldest.map(|(id, _)| *id)
    }

    /// Any one of them.
    #[must_use]
    pub fn any(&self) -> Option<u64> {
        self.held.keys().next().copied()
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

#[cfg(test)]
mod tests {
    use super::super::private;
    use super::*;

    fn held(statement: &Arc<Statement>) -> Held {
        Held {
            statement: Arc::clone(statement),
            parsed: 0,
            epoch: 0,
            segment: 0,
            shape: None,
            asked: false,
            is_outdated: false,
        }
    }

    #[test]
    fn the_least_recently_used_statement_is_the_first_to_go() {
        let [a, b] = [private(b"a\0\0\0", None), private(b"b\0\0\0", None)];
        let mut set = ServerStatements::default();
        set.insert(held(&a));
        set.insert(held(&b));
        assert!(set.touch(a.id).is_some());
        assert_eq!(set.over(2, 1000), None);
        assert_eq!(set.over(1, 1000), Some(b.id));
        assert_eq!(set.over(2, 5), Some(b.id));
        assert!(set.remove(b.id).is_some());
        assert!(set.touch(b.id).is_none());
    }
}
