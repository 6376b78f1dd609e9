//! A client is served under the `application_name` that the session happens to have:
//! that is not worth a `SET` to its database. It must not find that out: what the
//! server reports of the other's name is taken for its own.

use std::sync::Arc;

use super::Server;

/// The other's name, for the client's.
#[derive(Debug)]
pub struct StandIn {
    there: Arc<str>,
    client: Arc<str>,
    /// The session has the other's: nobody has changed it, or that was undone.
    is_there: bool,
    /// A transaction, or a part of one, has ended since the last ReadyForQuery: with
    /// it may have ended what was set in it.
    may_revert: bool,
}

/// What a reported name is to the client.
#[derive(Debug, PartialEq, Eq)]
enum Meaning {
    /// It is still called as it was when the turn began.
    AsBefore,
    /// It has set this name.
    Set,
    /// It has set this name, which is the other's as well.
    SetAlike,
}

impl StandIn {
    fn new(there: &Arc<str>, client: &Arc<str>) -> Self {
        Self {
            there: Arc::clone(there),
            client: Arc::clone(client),
            is_there: true,
            may_revert: false,
        }
    }

    fn is_told(&mut self, name: &str) -> Meaning {
        let was_there = self.is_there;
        self.is_there = name == &*self.there;
        match (self.is_there, was_there || self.may_revert) {
            (false, _) => Meaning::Set,
            (true, true) => Meaning::AsBefore,
            (true, false) => Meaning::SetAlike,
        }
    }
}

impl Server {
    /// The name that the session has stands in for the client's.
    pub fn stands_in_for(&mut self, client: &Arc<str>) {
        self.stand_in = Some(StandIn::new(&self.application_name, client));
    }

    /// Has the session another's name?
    #[inline]
    #[must_use]
    pub fn has_anothers_name(&self) -> bool {
        let stand_in = self.stand_in.as_ref();
        stand_in.is_some_and(|stand_in| *stand_in.there == *self.application_name)
    }

    /// The name that is to be in the session at a boundary: one that stands in for the
    /// client's stays.
    #[must_use]
    pub fn name_for(&self, client: &Arc<str>) -> Arc<str> {
        match self.has_anothers_name() {
            true => Arc::clone(&self.application_name),
            false => Arc::clone(client),
        }
    }

    /// Gives it the client's name after all, ahead of what the client sends, of which
    /// nothing is under way: in a transaction of its own, since some commands must be
    /// the first of theirs.
    pub fn take_name(&mut self, out: &mut Vec<u8>) {
        if let Some(stand_in) = self.stand_in.take() {
            self.set_name_apart(&stand_in.client, out);
            self.application_name = stand_in.client;
        }
    }

    /// The same for the transaction that is under way.
    pub fn take_name_for_now(&mut self, out: &mut Vec<u8>) {
        if let Some(stand_in) = self.stand_in.take() {
            self.set_local_name(&stand_in.client, out);
            self.application_name = Arc::clone(&stand_in.client);
            self.stand_in = Some(stand_in);
        }
    }

    /// What is set may be gone again.
    #[inline]
    pub(super) fn name_may_revert(&mut self) {
        if let Some(stand_in) = &mut self.stand_in {
            stand_in.may_revert = true;
        }
    }

    /// The session has this name, before a ReadyForQuery: the one that it stands in
    /// for, if the client does not know it.
    pub(super) fn name_of_client(&mut self, name: &str) -> Option<Arc<str>> {
        let stand_in = self.stand_in.as_mut()?;
        match stand_in.is_told(name) {
            Meaning::AsBefore => Some(Arc::clone(&stand_in.client)),
            Meaning::Set => None,
            Meaning::SetAlike => {
                self.stand_in = None;
                None
            }
        }
    }

    /// A ReadyForQuery has come.
    #[inline]
    pub(super) fn name_has_settled(&mut self) {
        if let Some(stand_in) = &mut self.stand_in {
            stand_in.may_revert = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_others_name_is_the_clients_unless_the_client_has_set_it() {
        let mut it = StandIn::new(&"other".into(), &"own".into());
        assert_eq!(it.is_told("other"), Meaning::AsBefore);
        assert_eq!(it.is_told("new"), Meaning::Set);
        it.may_revert = true;
        assert_eq!(it.is_told("other"), Meaning::AsBefore, "rolled back");
        it.may_revert = false;
        assert_eq!(it.is_told("new"), Meaning::Set);
        assert_eq!(it.is_told("other"), Meaning::SetAlike);
    }
}
