//! The hosts of one database: which is tried first.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::net::{Place, Target};

/// One host, or several that are as good as each other.
#[derive(Debug)]
pub struct Hosts {
    targets: Vec<Target>,
    /// With which the next connection begins.
    next: AtomicUsize,
    /// Do they take turns, or is the first that works kept?
    take_turns: bool,
    /// When each could not be reached last.
    failed: Mutex<Vec<Option<Instant>>>,
    /// The same of single addresses.
    failed_places: Mutex<HashMap<Place, Instant>>,
    /// So long one that could not be reached comes last.
    shunned_for: Duration,
}

impl Hosts {
    /// `hosts` are separated by commas.
    #[must_use]
    pub fn new(hosts: &str, port: u16, take_turns: bool, shunned_for: Duration) -> Self {
        let hosts = hosts.split(',').map(str::trim);
        let targets: Vec<_> = hosts.map(|host| Target::new(host, port)).collect();
        Self {
            failed: Mutex::new(vec![None; targets.len()]),
            failed_places: Mutex::default(),
            targets,
            next: AtomicUsize::new(0),
            take_turns,
            shunned_for,
        }
    }

    /// Is this one of them?
    #[must_use]
    pub fn has(&self, target: &Target) -> bool {
        self.targets.contains(target)
    }

    /// All of them, in the order in which to try them now.
    #[must_use]
    pub fn in_order(&self, now: Instant) -> Vec<Target> {
        let count = self.targets.len();
        if count <= 1 {
            return self.targets.clone();
        }
        let first = match self.take_turns {
            true => self.next.fetch_add(1, Ordering::Relaxed),
            false => self.next.load(Ordering::Relaxed),
        };
        let failed = self.failed.lock();
        let is_shunned = |at: &usize| {
            let failed = failed.get(*at).copied().flatten();
            failed.is_some_and(|when| now.duration_since(when) < self.shunned_for)
        };
        let mut order: Vec<usize> = (0..count).map(|step| (first + step) % count).collect();
        order.sort_by_key(is_shunned);
        let targets = order.into_iter().filter_map(|at| self.targets.get(at));
        targets.cloned().collect()
    }

    /// The addresses of one host: those that could not be reached last.
    #[must_use]
    pub fn best_first(&self, mut places: Vec<Place>, now: Instant) -> Vec<Place> {
        if places.len() > 1 {
            let mut failed = self.failed_places.lock();
            failed.retain(|_, when| now.duration_since(*when) < self.shunned_for);
            places.sort_by_key(|place| failed.contains_key(place));
        }
        places
    }

    /// What became of an attempt at an address.
    pub fn reached(&self, place: &Place, works: bool, now: Instant) {
        let mut failed = self.failed_places.lock();
        failed.retain(|_, when| now.duration_since(*when) < self.shunned_for);
        match works {
            true => drop(failed.remove(place)),
            false => drop(failed.insert(place.clone(), now)),
        }
    }

    /// What became of an attempt.
    pub fn tried(&self, target: &Target, works: bool, now: Instant) {
        if self.targets.len() <= 1 {
            return;
        }
        let found = self.targets.iter().position(|known| known == target);
        let Some(at) = found else { return };
        if let Some(failed) = self.failed.lock().get_mut(at) {
            *failed = (!works).then_some(now);
        }
        if works && !self.take_turns {
            self.next.store(at, Ordering::Relaxed);
        }
    }
}

impl std::fmt::Display for Hosts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, target) in self.targets.iter().enumerate() {
            let gap = if at == 0 { "" } else { "," };
            write!(f, "{gap}{target}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(15);

    fn first(hosts: &Hosts, now: Instant) -> String {
        let order = hosts.in_order(now);
        order.first().map(Target::to_string).unwrap_or_default()
    }

    #[test]
    fn hosts_take_turns_and_one_that_failed_comes_last_for_a_while() {
        let now = Instant::now();
        let hosts = Hosts::new("a, b,/run", 1, true, LONG);
        let turns: Vec<_> = (0..4).map(|_| first(&hosts, now)).collect();
        assert_eq!(turns, ["a:1", "b:1", "/run/.s.PGSQL.1", "a:1"]);
        hosts.tried(&Target::new("b", 1), false, now);
        for _ in 0..6 {
            assert_ne!(first(&hosts, now), "b:1");
            let last = hosts.in_order(now).pop();
            assert_eq!(last, Some(Target::new("b", 1)));
        }
        let later = now + LONG;
        assert!((0..3).any(|_| first(&hosts, later) == "b:1"));
    }

    #[test]
    fn an_address_that_failed_comes_last_for_a_while() {
        let now = Instant::now();
        let hosts = Hosts::new("db", 1, true, LONG);
        let place = |text: &str| Place::Unix(text.into());
        let all = || vec![place("a"), place("b"), place("c")];
        assert_eq!(hosts.best_first(all(), now), all());
        hosts.reached(&place("a"), false, now);
        let expected = [place("b"), place("c"), place("a")];
        assert_eq!(hosts.best_first(all(), now), expected);
        assert_eq!(hosts.best_first(all(), now + LONG), all());
        hosts.reached(&place("b"), false, now);
        hosts.reached(&place("b"), true, now);
        assert_eq!(hosts.best_first(all(), now), all());
    }

    #[test]
    fn without_turns_the_first_that_works_is_kept() {
        let now = Instant::now();
        let hosts = Hosts::new("a,b", 1, false, LONG);
        assert_eq!(first(&hosts, now), "a:1");
        hosts.tried(&Target::new("a", 1), false, now);
        hosts.tried(&Target::new("b", 1), true, now);
        assert_eq!(first(&hosts, now + LONG), "b:1");
    }
}
