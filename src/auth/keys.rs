//! SCRAM keys, and the cache that spares their derivation.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::num::NonZeroU32;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use ring::{digest, hmac, pbkdf2};
use zeroize::Zeroizing;

use super::secret::Secret;

/// A SHA-256 output that is worth protecting.
pub(super) type Key = Zeroizing<[u8; 32]>;

/// What SCRAM makes of a password, a salt and an iteration count (RFC 5802).
pub(super) struct ScramKeys {
    /// Proves to a server that we know the password.
    pub(super) client_key: Key,
    /// Its hash: what a server compares with.
    pub(super) stored_key: Key,
    /// Proves that the other side has a verifier of the password.
    pub(super) server_key: Key,
}

impl ScramKeys {
    pub(super) fn derive(password: &[u8], salt: &[u8], iterations: NonZeroU32) -> Self {
        let salted = salted_password(password, salt, iterations);
        let client_key = Zeroizing::new(hmac_sha256(&*salted, b"Client Key"));
        Self {
            stored_key: Zeroizing::new(sha256(&*client_key)),
            server_key: Zeroizing::new(hmac_sha256(&*salted, b"Server Key")),
            client_key,
        }
    }
}

/// RFC 5802's `Hi` over the prepared password.
fn salted_password(password: &[u8], salt: &[u8], iterations: NonZeroU32) -> Key {
    let mut salted = Key::default();
    let prepared = prepared(password);
    pbkdf2::derive(
        pbkdf2::PBKDF2_HMAC_SHA256,
        iterations,
        salt,
        &prepared,
        &mut *salted,
    );
    salted
}

/// SASLprep where the password is UTF-8 that SASLprep accepts and leaves
/// something of, else the bytes as they are: PostgreSQL's rule on both sides.
fn prepared(password: &[u8]) -> Zeroizing<Vec<u8>> {
    let text = str::from_utf8(password)
        .ok()
        .and_then(|text| stringprep::saslprep(text).ok());
    let bytes = text
        .as_deref()
        .filter(|text| !text.is_empty())
        .map_or(password, str::as_bytes);
    Zeroizing::new(bytes.to_vec())
}

pub(super) fn hmac_sha256(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut output = [0; 32];
    output.copy_from_slice(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message).as_ref());
    output
}

pub(super) fn sha256(message: &[u8]) -> [u8; 32] {
    let mut output = [0; 32];
    output.copy_from_slice(digest::digest(&digest::SHA256, message).as_ref());
    output
}

/// Filled once; whoever comes second waits for the first instead of deriving.
type Slot = OnceLock<ScramKeys>;
/// A hash of password, salt and iteration count: the cache holds no password.
type Name = [u8; 32];

/// SCRAM keys by password, salt and iteration count, so that a storm of logins
/// costs one PBKDF2 for each user (toward clients) or each user and server
/// secret (toward servers). Clones share one cache.
///
/// Bounded: beyond `capacity` entries the oldest goes.
#[derive(Clone)]
pub struct KeyCache {
    shelf: Arc<Mutex<Shelf>>,
    capacity: usize,
}

#[derive(Default)]
struct Shelf {
    slots: HashMap<Name, Arc<Slot>>,
    /// The names in `slots`, oldest first.
    age: VecDeque<Name>,
}

impl KeyCache {
    /// A cache for `capacity` sets of keys, of some 300 bytes each.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self {
            shelf: Arc::default(),
            capacity,
        }
    }

    /// The keys of a password that is known to be the right one: simultaneous
    /// logins share one derivation.
    pub(super) fn keys_of(
        &self,
        password: &Secret,
        salt: &[u8],
        iterations: NonZeroU32,
    ) -> Derivation {
        let name = name_of(password, salt, iterations);
        let slot = self.shelf.lock().enter(name, Arc::default(), self.capacity);
        Derivation::new(password, salt, iterations, name, slot)
    }

    /// The keys of a password that somebody claims to be the right one. They
    /// are cached only by [`KeyCache::keep`], so that guesses evict nobody.
    pub(super) fn keys_of_claim(
        &self,
        password: &Secret,
        salt: &[u8],
        iterations: NonZeroU32,
    ) -> Derivation {
        let name = name_of(password, salt, iterations);
        let slot = self
            .shelf
            .lock()
            .slots
            .get(&name)
            .cloned()
            .unwrap_or_default();
        Derivation::new(password, salt, iterations, name, slot)
    }

    /// Enters keys into the cache.
    pub(super) fn keep(&self, derivation: &Derivation) {
        let Work { name, slot, .. } = &*derivation.0;
        self.shelf
            .lock()
            .enter(*name, Arc::clone(slot), self.capacity);
    }
}

impl Shelf {
    /// The slot of this name: the one that is there, else the one given.
    fn enter(&mut self, name: Name, slot: Arc<Slot>, capacity: usize) -> Arc<Slot> {
        if let Some(present) = self.slots.get(&name) {
            return Arc::clone(present);
        }
        while self.age.len() >= capacity {
            let Some(oldest) = self.age.pop_front() else {
                return slot;
            };
            self.slots.remove(&oldest);
        }
        self.age.push_back(name);
        self.slots.insert(name, Arc::clone(&slot));
        slot
    }
}

impl fmt::Debug for KeyCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyCache")
            .field("capacity", &self.capacity)
            .finish_non_exhaustive()
    }
}

fn name_of(password: &Secret, salt: &[u8], iterations: NonZeroU32) -> Name {
    let mut context = digest::Context::new(&digest::SHA256);
    // The salt comes first, with its length, so that the parts cannot be shifted.
    context.update(&salt.len().to_be_bytes());
    context.update(salt);
    context.update(&iterations.get().to_be_bytes());
    context.update(password.bytes());
    let mut name = [0; 32];
    name.copy_from_slice(context.finish().as_ref());
    name
}

/// One PBKDF2 that somebody has to do: 0.17 microseconds of CPU time for each
/// iteration, 0.7 ms at PostgreSQL's usual 4096 and 170 ms at the most that a
/// server may ask for.
///
/// Owns all it needs: run it where it stalls nobody (a blocking thread), then
/// call `resume` on the machine that handed it out. To drop it instead does no
/// harm: `resume` then derives by itself.
#[derive(Clone)]
pub struct Derivation(Arc<Work>);

struct Work {
    password: Secret,
    salt: Vec<u8>,
    iterations: NonZeroU32,
    name: Name,
    slot: Arc<Slot>,
}

impl Derivation {
    fn new(
        password: &Secret,
        salt: &[u8],
        iterations: NonZeroU32,
        name: Name,
        slot: Arc<Slot>,
    ) -> Self {
        Self(Arc::new(Work {
            password: password.clone(),
            salt: salt.to_vec(),
            iterations,
            name,
            slot,
        }))
    }

    /// Does the work. Blocks; idempotent; waits if another thread is at it.
    pub fn run(&self) {
        self.keys();
    }

    /// Has the work been done, by whomever?
    pub(super) fn is_done(&self) -> bool {
        self.0.slot.get().is_some()
    }

    pub(super) fn password(&self) -> &Secret {
        &self.0.password
    }

    pub(super) fn keys(&self) -> &ScramKeys {
        let work = &*self.0;
        work.slot
            .get_or_init(|| ScramKeys::derive(work.password.bytes(), &work.salt, work.iterations))
    }
}

impl fmt::Debug for Derivation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Derivation(..)")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const FEW: NonZeroU32 = NonZeroU32::new(2).unwrap();

    #[test]
    fn the_second_asker_finds_the_keys_of_the_first() {
        let cache = KeyCache::new(8);
        let first = cache.keys_of(&Secret::new("a"), b"salt", FEW);
        let meanwhile = cache.keys_of(&Secret::new("a"), b"salt", FEW);
        assert!(!meanwhile.is_done());
        first.run();
        assert!(meanwhile.is_done());
        assert!(cache.keys_of(&Secret::new("a"), b"salt", FEW).is_done());
    }

    #[test]
    fn password_salt_and_iterations_all_tell_entries_apart() {
        let cache = KeyCache::new(8);
        cache.keys_of(&Secret::new("a"), b"salt", FEW).run();
        assert!(
            !cache
                .keys_of_claim(&Secret::new("b"), b"salt", FEW)
                .is_done()
        );
        assert!(
            !cache
                .keys_of_claim(&Secret::new("a"), b"salz", FEW)
                .is_done()
        );
        assert!(
            !cache
                .keys_of_claim(&Secret::new("a"), b"salt", FEW.saturating_add(1))
                .is_done()
        );
    }

    #[test]
    fn the_oldest_entry_leaves_a_full_cache() {
        let cache = KeyCache::new(2);
        for password in ["a", "b", "c"] {
            cache.keys_of(&Secret::new(password), b"salt", FEW).run();
        }
        let cached = |password| {
            cache
                .keys_of_claim(&Secret::new(password), b"salt", FEW)
                .is_done()
        };
        assert_eq!([cached("a"), cached("b"), cached("c")], [false, true, true]);
        assert_eq!(cache.shelf.lock().slots.len(), 2);
    }

    #[test]
    fn a_claim_is_cached_only_when_kept() {
        let cache = KeyCache::new(2);
        let claim = cache.keys_of_claim(&Secret::new("a"), b"salt", FEW);
        claim.run();
        assert!(
            !cache
                .keys_of_claim(&Secret::new("a"), b"salt", FEW)
                .is_done()
        );
        cache.keep(&claim);
        assert!(
            cache
                .keys_of_claim(&Secret::new("a"), b"salt", FEW)
                .is_done()
        );
    }

    #[test]
    fn passwords_are_prepared_as_postgresql_does() {
        let cases: [(&[u8], &[u8]); 8] = [
            (b"pencil", b"pencil"),
            ("I\u{ad}X".as_bytes(), b"IX"),
            ("a\u{a0}b".as_bytes(), b"a b"),
            ("e\u{301}".as_bytes(), "\u{e9}".as_bytes()),
            // Prohibited, unassigned, nothing left, not UTF-8: as they are.
            (b"a\x07b", b"a\x07b"),
            ("\u{221}x".as_bytes(), "\u{221}x".as_bytes()),
            ("\u{ad}".as_bytes(), "\u{ad}".as_bytes()),
            (b"caf\xe9", b"caf\xe9"),
        ];
        for (password, bytes) in cases {
            assert_eq!(*prepared(password), bytes);
        }
    }

    #[test]
    fn debug_shows_no_key() {
        let derivation = KeyCache::new(1).keys_of(&Secret::new("hunter2"), b"salt", FEW);
        derivation.run();
        assert_eq!(format!("{derivation:?}"), "Derivation(..)");
    }
}
