//! What turns one client's settings into another's.

use super::IDENTITY;
use super::profile::Profile;

/// The steps from one profile to another, to be taken in this order.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Change<'a> {
    /// `SET SESSION AUTHORIZATION DEFAULT`, which resets the role as well.
    pub resets_identity: bool,
    /// `RESET ALL`.
    pub resets_all: bool,
    /// Before all others, since it says how the values are to be read.
    pub encoding: Option<&'a [u8]>,
    /// What is set then; who one is comes last.
    pub sets: Vec<(&'a str, &'a [u8])>,
}

const ENCODING: &str = "client_encoding";

impl<'a> Change<'a> {
    /// From what a server connection has to what a client wants.
    #[must_use]
    pub fn between(from: Option<&Profile>, to: Option<&'a Profile>) -> Self {
        let lacks = |name: &str| to.is_none_or(|to| to.get(name).is_none());
        let resets_identity = from.is_some_and(Profile::has_identity);
        let removes = |from: &Profile| from.settings.iter().any(|(name, _)| lacks(name));
        let resets_all = from.is_some_and(|from| resets_identity || removes(from));
        let mut change = Self {
            resets_identity,
            resets_all,
            ..Self::default()
        };
        let is_there = |name: &str, value: &[u8]| {
            !resets_all && from.and_then(|from| from.get(name)) == Some(value)
        };
        let wanted = to.map_or(&[][..], |to| &to.settings);
        for (name, value) in wanted.iter().filter(|(name, value)| !is_there(name, value)) {
            match &**name {
                ENCODING => change.encoding = Some(value),
                name if IDENTITY.contains(&name) => {}
                name => change.sets.push((name, value)),
            }
        }
        for name in IDENTITY {
            if let Some(value) = to.and_then(|to| to.get(name)) {
                change.sets.push((name, value));
            }
        }
        change
    }
}

#[cfg(test)]
mod tests {
    use super::super::profile::Profiles;
    use super::super::profile::tests::profile;
    use super::*;

    #[test]
    fn what_is_there_already_is_not_set_again() {
        let profiles = Profiles::default();
        let from = profile(&profiles, &[("a", "1"), ("b", "2")]);
        let to = profile(&profiles, &[("a", "1"), ("b", "3"), ("c", "4")]);
        let change = Change::between(from.as_deref(), to.as_deref());
        assert!(!change.resets_all);
        assert_eq!(change.sets, [("b", &b"3"[..]), ("c", b"4")]);
        assert_eq!(Change::between(None, None), Change::default());
    }

    #[test]
    fn what_is_not_wanted_goes_and_the_rest_is_set_anew() {
        let profiles = Profiles::default();
        let from = profile(&profiles, &[("a", "1"), ("b", "2")]);
        let to = profile(&profiles, &[("a", "1")]);
        let change = Change::between(from.as_deref(), to.as_deref());
        assert!(change.resets_all);
        assert_eq!(change.sets, [("a", &b"1"[..])]);
        let change = Change::between(from.as_deref(), None);
        assert!(change.resets_all && change.sets.is_empty());
    }

    #[test]
    fn who_one_is_comes_last_and_the_encoding_first() {
        let profiles = Profiles::default();
        let to = [
            ("client_encoding", "LATIN1"),
            ("role", "r"),
            ("session_authorization", "u"),
            ("work_mem", "1MB"),
        ];
        let to = profile(&profiles, &to);
        let change = Change::between(None, to.as_deref());
        assert_eq!(change.encoding, Some(&b"LATIN1"[..]));
        let names: Vec<_> = change.sets.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["work_mem", "session_authorization", "role"]);
        let back = Change::between(to.as_deref(), None);
        assert!(back.resets_identity && back.resets_all);
    }
}
