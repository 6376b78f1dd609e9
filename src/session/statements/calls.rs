//! Statements that call, or drop, another one by its name in SQL.

use std::collections::VecDeque;
use std::sync::Arc;

use super::identity::{Statement, private};
use crate::session::sql::Verb;

/// What executing such a statement does to its client's names.
#[derive(Debug, Clone)]
pub struct Effect {
    /// What it does.
    pub verb: Verb,
    /// To which name.
    pub name: Box<[u8]>,
    /// Does the name stand for a statement of the protocol?
    pub of_protocol: bool,
    /// The statements that it calls, or that those call, and the client's
    /// names for them: errors speak of them. The innermost first.
    pub callees: Vec<(u64, Box<[u8]>)>,
    /// How many characters more its text has than what the client sent.
    pub shift: i16,
}

/// Most portals, and most derived texts, that are kept for one client.
const MOST: usize = 64;

/// What one client's portals call, and the texts made for it.
#[derive(Debug, Default)]
pub struct Calls {
    portals: VecDeque<(Box<[u8]>, Effect)>,
    derived: VecDeque<(u64, Box<[u8]>, Arc<Statement>)>,
}

impl Calls {
    /// A portal was bound, to a statement that calls another one or not.
    pub fn bound(&mut self, portal: &[u8], effect: Option<Effect>) {
        self.portals.retain(|(name, _)| **name != *portal);
        if let Some(effect) = effect {
            if self.portals.len() >= MOST {
                self.portals.pop_front();
            }
            self.portals.push_back((portal.into(), effect));
        }
    }

    /// Does any portal call?
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.portals.is_empty()
    }

    /// What executing this portal does.
    #[must_use]
    pub fn of(&self, portal: &[u8]) -> Option<&Effect> {
        let found = self.portals.iter().find(|(name, _)| **name == *portal);
        found.map(|(_, effect)| effect)
    }

    /// All portals are gone: the transaction has ended.
    pub fn close_all(&mut self) {
        self.portals.clear();
    }

    /// This statement with `called` in place of the name that it calls. It is
    /// shared with no other client, whose settings may read the text otherwise.
    pub fn derive(&mut self, statement: &Arc<Statement>, called: &[u8]) -> Arc<Statement> {
        let is_it = |(id, name, _): &&(u64, Box<[u8]>, _)| *id == statement.id && **name == *called;
        if let Some((_, _, derived)) = self.derived.iter().find(is_it) {
            return Arc::clone(derived);
        }
        let derived = private(
            &statement.calling(called),
            statement.env.get().cloned().flatten(),
        );
        if self.derived.len() >= MOST {
            self.derived.pop_front();
        }
        let entry = (statement.id, called.into(), Arc::clone(&derived));
        self.derived.push_back(entry);
        derived
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn effect() -> Effect {
        Effect {
            verb: Verb::Execute,
            name: b"s1"[..].into(),
            of_protocol: false,
            callees: Vec::new(),
            shift: 0,
        }
    }

    #[test]
    fn a_portal_bound_anew_calls_nothing_any_more() {
        let mut calls = Calls::default();
        calls.bound(b"", Some(effect()));
        assert!(calls.of(b"").is_some());
        calls.bound(b"", None);
        assert!(calls.is_empty());
    }

    #[test]
    fn the_portals_kept_are_bounded() {
        let mut calls = Calls::default();
        for n in 0..1000 {
            calls.bound(format!("p{n}").as_bytes(), Some(effect()));
        }
        assert_eq!(calls.portals.len(), MOST);
        assert!(calls.of(b"p999").is_some());
    }

    #[test]
    fn the_same_call_is_derived_once() {
        let mut calls = Calls::default();
        let statement = private(b"EXECUTE s1\0\0\0", None);
        let one = calls.derive(&statement, b"_pw5");
        assert!(Arc::ptr_eq(&one, &calls.derive(&statement, b"_pw5")));
        assert!(!Arc::ptr_eq(&one, &calls.derive(&statement, b"_pw6")));
        assert_eq!(&*one.parse, b"EXECUTE _pw5\0\0\0");
    }
}
