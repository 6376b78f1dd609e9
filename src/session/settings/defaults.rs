//! What the settings that clients change are in a session that has just begun.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use super::{IDENTITY, goes_along};
use crate::session::own::NULL;

/// Most names that are remembered.
const MOST: usize = 512;

/// How often a default is asked for in vain: clients may have set it each time.
const TRIES: u8 = 8;

/// A setting's name and value, as a server tells them.
pub type Set = (Box<[u8]>, Box<[u8]>);

/// Defaults of the sessions of one shelf, learned one by one.
#[derive(Debug)]
pub struct Defaults {
    login: Box<[u8]>,
    /// The startup parameters' names and values, in lower case.
    startup: Box<str>,
    /// `None`: not known.
    role: Option<Box<[u8]>>,
    known: Mutex<BTreeMap<Box<str>, Known>>,
}

#[derive(Debug)]
enum Known {
    Value(Box<[u8]>),
    /// Asked for so often.
    NotYet(u8),
    /// One with a dot, which PostgreSQL does not list.
    Custom,
}

impl Defaults {
    /// Nothing is known yet of the sessions of this user, begun with these
    /// startup parameters.
    #[must_use]
    pub fn of(login: &str, startup: &[(String, String)]) -> Self {
        let names_role = |text: &String| text.to_ascii_lowercase().contains("role");
        let may_set_role = |(name, value): &(String, String)| {
            names_role(name) || (name == "options" && names_role(value))
        };
        let is_known = !startup.iter().any(may_set_role);
        Self {
            login: login.as_bytes().into(),
            startup: startup
                .iter()
                .map(|(name, value)| format!("{name} {value}\n").to_ascii_lowercase())
                .collect::<String>()
                .into(),
            role: is_known.then(|| b"none"[..].into()),
            known: Mutex::default(),
        }
    }

    /// May sessions begin with a value for this custom setting?
    #[must_use]
    pub fn may_begin_with(&self, name: &str) -> bool {
        self.startup.contains(&name.to_ascii_lowercase())
    }

    /// What this setting is in a session that has just begun, if that is known.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Box<[u8]>> {
        match name {
            "role" => self.role.clone(),
            "session_authorization" => Some(self.login.clone()),
            name => match self.known.lock().get(name)? {
                Known::Value(value) => Some(value.clone()),
                Known::NotYet(_) | Known::Custom => None,
            },
        }
    }

    /// Is it worth asking for the default of one of these?
    pub fn want<'a>(&self, names: impl Iterator<Item = &'a Box<str>>) -> bool {
        let mut known = self.known.lock();
        let mut wanted = false;
        let is_full = known.len() >= MOST;
        for name in names.filter(|name| !name.contains('.') && !IDENTITY.contains(&&***name)) {
            match known.get_mut(name) {
                Some(Known::NotYet(tries)) if *tries < TRIES => {
                    *tries += 1;
                    wanted = true;
                }
                Some(_) => {}
                None if is_full => {}
                None => {
                    known.insert(name.clone(), Known::NotYet(1));
                    wanted = true;
                }
            }
        }
        wanted
    }

    /// This is the default of a setting, if anybody has asked for it.
    pub fn learn(&self, name: &str, value: Box<[u8]>) {
        if let Some(known) = self.known.lock().get_mut(name) {
            *known = Known::Value(value);
        }
    }

    /// What differs from a session that has just begun, of all that has been set
    /// and of names that were asked for.
    #[must_use]
    pub fn differing(
        &self,
        all: Vec<Set>,
        named: impl Iterator<Item = (Box<str>, Option<Box<[u8]>>)>,
    ) -> BTreeMap<Box<str>, Box<[u8]>> {
        let all = all.into_iter();
        let mut settings: BTreeMap<_, _> =
            all.map(|(name, value)| (folded(&name), value)).collect();
        settings.extend(named.filter_map(|(name, value)| Some((name, value?))));
        for (name, value) in &mut settings {
            if value.is_empty() && name.contains('.') && !self.may_begin_with(name) {
                // Reset, which is not the same where a library has loaded it.
                *value = NULL.into();
            }
        }
        settings.retain(|name, value| goes_along(name) && self.get(name).as_ref() != Some(value));
        settings
    }

    /// Sessions begin with something else from now on.
    pub fn forget(&self) {
        for known in self.known.lock().values_mut() {
            if matches!(known, Known::Value(_)) {
                *known = Known::NotYet(0);
            }
        }
    }

    /// Clients have set these names.
    pub fn learn_custom<'a>(&self, names: impl Iterator<Item = &'a Box<str>>) {
        let mut known = self.known.lock();
        for name in names.filter(|name| name.contains('.')) {
            if known.len() < MOST && !known.contains_key(name) {
                known.insert(name.clone(), Known::Custom);
            }
        }
    }

    /// The names with a dot that clients have set so far.
    #[must_use]
    pub fn custom(&self) -> Vec<Box<str>> {
        let known = self.known.lock();
        let custom = known
            .iter()
            .filter(|(_, known)| matches!(known, Known::Custom));
        custom.map(|(name, _)| name.clone()).collect()
    }
}

/// A setting's name as profiles have it.
#[must_use]
pub fn folded(name: &[u8]) -> Box<str> {
    String::from_utf8_lossy(name).to_ascii_lowercase().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_is_asked_for_until_it_is_known_but_not_for_ever() {
        let defaults = Defaults::of("bob", &[]);
        let names: [Box<str>; 3] = ["work_mem".into(), "app.x".into(), "role".into()];
        assert!(defaults.want(names.iter()));
        assert_eq!(defaults.get("work_mem"), None);
        defaults.learn("work_mem", b"4MB"[..].into());
        defaults.learn("never_asked", b"1"[..].into());
        assert!(!defaults.want(names.iter()));
        assert_eq!(defaults.get("work_mem").as_deref(), Some(&b"4MB"[..]));
        assert_eq!(defaults.get("never_asked"), None);
        assert_eq!(
            defaults.get("session_authorization").as_deref(),
            Some(&b"bob"[..])
        );
        let other: [Box<str>; 1] = ["timezone".into()];
        let asked = (0..100).filter(|_| defaults.want(other.iter())).count();
        assert_eq!(asked, usize::from(TRIES));
    }

    #[test]
    fn a_role_of_the_startup_is_no_role_that_is_known() {
        let with = |name: &str, value: &str| {
            Defaults::of("bob", &[(name.to_owned(), value.to_owned())]).get("role")
        };
        assert_eq!(with("DateStyle", "ISO").as_deref(), Some(&b"none"[..]));
        assert_eq!(with("role", "guest"), None);
        assert_eq!(with("options", "-c ROLE=guest"), None);
    }

    #[test]
    fn names_with_a_dot_are_remembered() {
        let defaults = Defaults::of("bob", &[]);
        let names: [Box<str>; 2] = ["app.x".into(), "work_mem".into()];
        defaults.learn_custom(names.iter());
        assert_eq!(defaults.custom(), ["app.x".into()]);
    }
}
