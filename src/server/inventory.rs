//! What a session holds beside its settings, by name: so what `connect_query` has
//! made is told apart from what clients have.

use super::Answers;

/// The letters of the kinds, in the order of the columns of
/// [`crate::session::own::Own::Inventory`]; locks have none.
const KINDS: [Option<u8>; 5] = [Some(b't'), Some(b'h'), Some(b'p'), Some(b'l'), None];

/// For each kind what there is of it; none is nothing.
pub type Inventory = [Option<Box<[u8]>>; 5];

impl Answers {
    /// Takes out what the session has held since it began: `before`. False when
    /// something of that is gone.
    pub(super) fn leave_out(&mut self, before: &Inventory) -> bool {
        let now = std::mem::take(&mut self.inventory);
        let mut all_there = true;
        for ((kind, before), now) in KINDS.iter().zip(before).zip(&now) {
            all_there &= before.is_none() || now.is_some();
            if before == now {
                self.has_none_of(*kind);
            }
        }
        all_there
    }

    fn has_none_of(&mut self, kind: Option<u8>) {
        match kind {
            Some(letter) => {
                let others = self.state.iter().filter(|other| **other != letter);
                self.state = others.copied().collect();
            }
            None => self.locks = false,
        }
    }

    /// What there is, if there is anything.
    #[must_use]
    pub fn found(&mut self) -> Option<Box<Inventory>> {
        let found = std::mem::take(&mut self.inventory);
        let is_any = found.iter().any(Option::is_some);
        is_any.then(|| Box::new(found))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inventory(texts: [&str; 5]) -> Inventory {
        texts.map(|text| (!text.is_empty()).then(|| text.as_bytes().into()))
    }

    #[test]
    fn only_what_is_the_clients_own_is_left() {
        let before = inventory(["16400", "", "", "news", "7"]);
        let with = |now: Inventory| Answers {
            state: b"tsl"[..].into(),
            locks: true,
            inventory: now,
            ..Answers::default()
        };
        let mut same = with(before.clone());
        assert!(same.leave_out(&before));
        assert_eq!((&*same.state, same.locks), (&b"s"[..], false));
        let mut more = with(inventory(["16400 16500", "", "", "news", "7 8"]));
        assert!(more.leave_out(&before));
        assert_eq!((&*more.state, more.locks), (&b"ts"[..], true));
        let mut less = with(inventory(["16400", "", "", "", "7"]));
        assert!(!less.leave_out(&before));
    }

    #[test]
    fn a_session_that_holds_nothing_has_no_inventory() {
        assert_eq!(Answers::default().found(), None);
        let mut some = Answers {
            inventory: inventory(["", "c", "", "", ""]),
            ..Answers::default()
        };
        assert!(some.found().is_some());
    }
}
