//! What has been ordered for databases while the process runs: to hold their
//! clients back, to let no new ones in. Holds for pools that are made later, too.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Orders {
    /// Everything is held.
    all_paused: bool,
    /// Everything is held, and connections stay open.
    suspended: bool,
    paused: BTreeSet<String>,
    disabled: BTreeSet<String>,
}

impl Orders {
    /// Holds one database, or all. False when that was so already.
    pub fn pause(&mut self, database: Option<&str>) -> bool {
        match database {
            Some(_) if self.all_paused || self.suspended => false,
            // Twice is as good as once, as with PgBouncer.
            Some(name) => {
                self.paused.insert(name.to_owned());
                true
            }
            None if self.suspended => false,
            None => !std::mem::replace(&mut self.all_paused, true),
        }
    }

    /// Holds everything with its connections open. False when something of
    /// that kind was ordered already.
    pub fn suspend(&mut self) -> bool {
        if self.all_paused || self.suspended {
            return false;
        }
        self.suspended = true;
        true
    }

    /// Takes that back, for one database or for all. False when there was
    /// nothing to take back.
    pub fn resume(&mut self, database: Option<&str>) -> bool {
        match database {
            Some(name) => self.paused.remove(name),
            None => {
                let some = !std::mem::take(&mut self.paused).is_empty();
                some | std::mem::take(&mut self.all_paused) | std::mem::take(&mut self.suspended)
            }
        }
    }

    /// Is this database held?
    pub fn is_paused(&self, database: &str) -> bool {
        self.all_paused || self.suspended || self.paused.contains(database)
    }

    /// Is everything paused, and is everything suspended?
    pub fn of_all(&self) -> (bool, bool) {
        (self.all_paused, self.suspended)
    }

    /// New clients of this database are refused, or let in again.
    pub fn disable(&mut self, database: &str, disabled: bool) {
        match disabled {
            true => drop(self.disabled.insert(database.to_owned())),
            false => drop(self.disabled.remove(database)),
        }
    }

    /// Are new clients of this database refused?
    pub fn is_disabled(&self, database: &str) -> bool {
        self.disabled.contains(database)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_database_is_held_and_let_go_alone() {
        let mut orders = Orders::default();
        assert!(orders.pause(Some("a")) && orders.pause(Some("a")));
        assert!(orders.is_paused("a") && !orders.is_paused("b"));
        assert!(!orders.resume(Some("b")) && orders.resume(Some("a")));
        assert!(!orders.is_paused("a"));
    }

    #[test]
    fn all_are_held_and_let_go_together() {
        let mut orders = Orders::default();
        assert!(orders.pause(Some("a")) && orders.pause(None) && !orders.pause(None));
        assert!(orders.is_paused("never heard of") && !orders.pause(Some("b")));
        // Of one alone nothing was ordered.
        assert!(!orders.resume(Some("b")));
        assert!(orders.resume(None) && !orders.resume(None));
        assert!(!orders.is_paused("a"));
    }

    #[test]
    fn nothing_is_suspended_that_is_paused() {
        let mut orders = Orders::default();
        assert!(orders.suspend() && !orders.suspend() && !orders.pause(None));
        assert_eq!(orders.of_all(), (false, true));
        assert!(orders.resume(None) && orders.pause(None) && !orders.suspend());
    }

    #[test]
    fn who_is_disabled_is_not_paused() {
        let mut orders = Orders::default();
        orders.disable("a", true);
        assert!(orders.is_disabled("a") && !orders.is_disabled("b") && !orders.is_paused("a"));
        orders.disable("a", false);
        assert!(!orders.is_disabled("a"));
    }
}
