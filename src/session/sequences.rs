//! Who asks what sequences gave out last.

use std::collections::HashSet;

use parking_lot::Mutex;

/// More names are not remembered: clients that change theirs all the time are not
/// told apart by it.
const MOST: usize = 1000;

/// The `application_name`s whose clients have asked for `lastval` or `currval`:
/// whoever of them draws a number will ask for it.
#[derive(Debug, Default)]
pub struct Askers(Mutex<HashSet<Box<str>>>);

impl Askers {
    /// One of this name has asked.
    pub fn add(&self, name: &str) {
        let mut names = self.0.lock();
        if names.len() < MOST && !names.contains(name) {
            names.insert(name.into());
        }
    }

    /// Do those of this name ask?
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.0.lock().contains(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_who_ask_are_known_within_bounds() {
        let askers = Askers::default();
        askers.add("shop");
        assert!(askers.has("shop") && !askers.has("report"));
        (0..2 * MOST).for_each(|n| askers.add(&n.to_string()));
        assert!(askers.0.lock().len() <= MOST);
    }
}
