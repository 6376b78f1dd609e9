//! Whom servers have let in of late (`auth_type = "passthrough"`).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::auth::ScramVerifier;

/// Most users that are remembered.
const MAX_USERS: usize = 10_000;

/// A database as clients name it, and a user.
type Key = (String, String);

/// A user's place: what was found, and a lock for who finds it out.
type Place = Arc<tokio::sync::Mutex<()>>;

/// See the module. Holds no password: only what tells whether one is the same.
#[derive(Debug, Default)]
pub struct Verified(Mutex<HashMap<Key, Entry>>);

#[derive(Debug)]
struct Entry {
    place: Place,
    verifier: Option<(ScramVerifier, Instant)>,
    used: Instant,
}

impl Verified {
    /// What the server took last, if that is not too long ago.
    pub fn get(&self, database: &str, user: &str) -> Option<ScramVerifier> {
        let users = self.0.lock();
        let (verifier, until) = users.get(&key(database, user))?.verifier.as_ref()?;
        (Instant::now() < *until).then(|| verifier.clone())
    }

    /// One at a time asks the server about a user.
    pub fn place(&self, database: &str, user: &str) -> Place {
        let mut users = self.0.lock();
        if users.len() >= MAX_USERS {
            // Places that somebody holds stay.
            users.retain(|_, entry| Arc::strong_count(&entry.place) > 1);
        }
        let now = Instant::now();
        let entry = users.entry(key(database, user)).or_insert_with(|| Entry {
            place: Place::default(),
            verifier: None,
            used: now,
        });
        entry.used = now;
        Arc::clone(&entry.place)
    }

    /// The server has let the user in, with a password that makes this verifier.
    pub fn put(&self, database: &str, user: &str, verifier: ScramVerifier, ttl: Duration) {
        if let Some(entry) = self.0.lock().get_mut(&key(database, user)) {
            entry.verifier = Some((verifier, Instant::now() + ttl));
        }
    }

    /// What was found out is old.
    pub fn forget(&self) {
        for entry in self.0.lock().values_mut() {
            entry.verifier = None;
        }
    }

    /// Drops what is not to be used any more.
    pub fn keep(&self, now: Instant) {
        let is_old = |entry: &Entry| match &entry.verifier {
            Some((_, until)) => *until <= now,
            None => entry.used < now,
        };
        self.0
            .lock()
            .retain(|_, entry| !is_old(entry) || Arc::strong_count(&entry.place) > 1);
    }
}

fn key(database: &str, user: &str) -> Key {
    (database.to_owned(), user.to_owned())
}
