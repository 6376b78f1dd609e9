//! What a client has set, as a value that is compared by its address.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;

use super::IDENTITY;
use super::env::is_parse_relevant;
use super::idle::{IDLE_SESSION_TIMEOUT, limit};

/// Names in order, in lower case but for those with a dot, and what they are
/// set to, as PostgreSQL shows it.
pub type Settings = Box<[(Box<str>, Box<[u8]>)]>;

/// Those settings of a profile that change what a text means when it is parsed.
#[derive(Debug, PartialEq, Eq)]
pub struct Env {
    /// See there.
    pub settings: Settings,
}

/// All that a client has set: what differs from what its server connections
/// are opened with. No profile at all means that nothing does.
#[derive(Debug, PartialEq, Eq)]
pub struct Profile {
    /// See there.
    pub settings: Settings,
    /// `None`: texts mean what they mean without it.
    pub env: Option<Arc<Env>>,
    /// So long may a session idle that has it.
    pub idle: Option<Duration>,
}

impl Profile {
    /// What a name is set to.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        value_of(&self.settings, name)
    }

    /// Does it say who one is?
    #[must_use]
    pub fn has_identity(&self) -> bool {
        IDENTITY.iter().any(|name| self.get(name).is_some())
    }
}

/// What a name is set to.
#[must_use]
pub fn value_of<'a>(settings: &'a Settings, name: &str) -> Option<&'a [u8]> {
    let found = settings
        .iter()
        .find(|(other, _)| other.eq_ignore_ascii_case(name));
    found.map(|(_, value)| &**value)
}

/// The profiles in use by the clients of equal startup parameters: equal
/// settings, one profile.
#[derive(Debug, Default)]
pub struct Profiles(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    profiles: Interned<Profile>,
    envs: Interned<Env>,
}

impl Profiles {
    /// The profile with these settings; `None` for none at all.
    #[must_use]
    pub fn intern(&self, settings: BTreeMap<Box<str>, Box<[u8]>>) -> Option<Arc<Profile>> {
        if settings.is_empty() {
            return None;
        }
        let settings: Settings = settings.into_iter().collect();
        let mut known = self.0.lock();
        if let Some(found) = known.profiles.get(&settings) {
            return Some(found);
        }
        let env = known.env(settings.iter().map(|(name, value)| (name, value)));
        let idle = value_of(&settings, IDLE_SESSION_TIMEOUT).and_then(limit);
        let make = |settings| Profile {
            settings,
            env,
            idle,
        };
        Some(known.profiles.get_or_make(settings, make))
    }

    /// The environment that these settings make; `None` where they make none.
    #[must_use]
    pub fn intern_env(&self, settings: &BTreeMap<Box<str>, Box<[u8]>>) -> Option<Arc<Env>> {
        self.0.lock().env(settings.iter())
    }

    /// Profiles in use now.
    #[must_use]
    pub fn count(&self) -> usize {
        let known = self.0.lock();
        let in_use = |weak: &&Weak<Profile>| weak.strong_count() > 0;
        known.profiles.by_settings.values().filter(in_use).count()
    }
}

impl Known {
    fn env<'a>(
        &mut self,
        settings: impl Iterator<Item = (&'a Box<str>, &'a Box<[u8]>)>,
    ) -> Option<Arc<Env>> {
        let relevant = settings.filter(|(name, _)| is_parse_relevant(name));
        let relevant: Settings = relevant
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        let make = |settings| Env { settings };
        (!relevant.is_empty()).then(|| self.envs.get_or_make(relevant, make))
    }
}

/// Those that nobody holds are forgotten when so many more have come.
const FEW: usize = 256;

#[derive(Debug)]
struct Interned<T> {
    by_settings: HashMap<Settings, Weak<T>>,
    sweep_at: usize,
}

impl<T> Default for Interned<T> {
    fn default() -> Self {
        Self {
            by_settings: HashMap::new(),
            sweep_at: FEW,
        }
    }
}

impl<T> Interned<T> {
    fn get(&self, settings: &Settings) -> Option<Arc<T>> {
        self.by_settings.get(settings).and_then(Weak::upgrade)
    }

    fn get_or_make(&mut self, settings: Settings, make: impl FnOnce(Settings) -> T) -> Arc<T> {
        if let Some(found) = self.get(&settings) {
            return found;
        }
        if self.by_settings.len() >= self.sweep_at {
            self.by_settings.retain(|_, weak| weak.strong_count() > 0);
            self.sweep_at = FEW.max(2 * self.by_settings.len());
        }
        let made = Arc::new(make(settings.clone()));
        self.by_settings.insert(settings, Arc::downgrade(&made));
        made
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(super) mod tests {
    use super::*;

    pub fn profile(profiles: &Profiles, settings: &[(&str, &str)]) -> Option<Arc<Profile>> {
        let settings = settings
            .iter()
            .map(|(name, value)| ((*name).into(), value.as_bytes().into()));
        profiles.intern(settings.collect())
    }

    #[test]
    fn equal_settings_are_one_profile() {
        let profiles = Profiles::default();
        let one = profile(&profiles, &[("a", "1"), ("b", "2")]).unwrap();
        let same = profile(&profiles, &[("b", "2"), ("a", "1")]).unwrap();
        let other = profile(&profiles, &[("a", "1")]).unwrap();
        assert!(Arc::ptr_eq(&one, &same));
        assert!(!Arc::ptr_eq(&one, &other));
        assert_eq!(one.get("b"), Some(&b"2"[..]));
        assert_eq!(one.get("c"), None);
        assert!(profile(&profiles, &[]).is_none());
    }

    #[test]
    fn profiles_that_differ_in_execution_share_an_environment() {
        let profiles = Profiles::default();
        let one = profile(&profiles, &[("datestyle", "German"), ("work_mem", "1MB")]).unwrap();
        let two = profile(&profiles, &[("datestyle", "German"), ("app.x", "1")]).unwrap();
        let (Some(env), Some(same)) = (&one.env, &two.env) else {
            panic!("no environment");
        };
        assert!(Arc::ptr_eq(env, same));
        assert!(profile(&profiles, &[("app.x", "1")]).unwrap().env.is_none());
    }

    #[test]
    fn what_nobody_uses_is_forgotten() {
        let profiles = Profiles::default();
        for n in 0..10_000 {
            let _ = profile(&profiles, &[("app.tenant", &n.to_string())]);
        }
        assert!(profiles.0.lock().profiles.by_settings.len() <= FEW);
        assert_eq!(profiles.count(), 0);
    }
}
