//! What one process needs to verify clients: keys derived so far, and made-up
//! secrets for users who do not exist.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::keys::{Derivation, Key, KeyCache, ScramKeys, hmac_sha256};
use super::md5_hash::Md5Hash;
use super::secret::{ScramVerifier, Secret, StoredSecret};

/// Verifiers of plain passwords kept at a time. Only right passwords enter.
const CACHED_VERIFIERS: usize = 10_000;
/// As long as the salts that PostgreSQL makes, in bytes.
const SALT_BYTES: usize = 16;

/// Per process: the secret behind made-up salts, and the SCRAM keys derived so
/// far of passwords stored as plain text. Clones share both.
///
/// An unknown user must look like a known one, at each attempt with the same
/// salt; so salts are a keyed hash of the user's name, for users with a plain
/// password and for unknown ones alike. A user whose verifier is stored brings
/// its own salt, which outlives this process: whoever wants unknown users to
/// look the same after a restart passes the same `process_secret` again.
#[derive(Clone)]
pub struct Verifiers(Arc<Inner>);

struct Inner {
    process_secret: Key,
    iterations: NonZeroU32,
    unknown_users: Lookalike,
    keys: KeyCache,
}

/// Whom an unknown user resembles where the method alone does not say it.
#[derive(Clone, Copy)]
enum Lookalike {
    Md5,
    Scram,
}

impl Verifiers {
    /// `process_secret` comes from the system's random source. `iterations` is
    /// what clients are told for plain passwords and for unknown users
    /// (PostgreSQL's `scram_iterations`, 4096); 0 is taken as 1.
    #[must_use]
    pub fn new(process_secret: [u8; 32], iterations: u32) -> Self {
        Self(Arc::new(Inner {
            process_secret: Zeroizing::new(process_secret),
            iterations: NonZeroU32::new(iterations).unwrap_or(NonZeroU32::MIN),
            unknown_users: Lookalike::Md5,
            keys: KeyCache::new(CACHED_VERIFIERS),
        }))
    }

    /// The same, where known users mostly have SCRAM verifiers stored: under
    /// the methods md5 and plain an unknown user is then treated as one of
    /// those (SCRAM exchange, or the time of a derivation).
    #[must_use]
    pub fn with_unknown_users_like_scram_users(self) -> Self {
        Self(Arc::new(Inner {
            process_secret: self.0.process_secret.clone(),
            iterations: self.0.iterations,
            unknown_users: Lookalike::Scram,
            keys: self.0.keys.clone(),
        }))
    }

    /// The verifier of a password, of which nothing else is kept. Blocks for a
    /// derivation.
    #[must_use]
    pub fn make(&self, user: &str, password: &Secret) -> ScramVerifier {
        let salt = self.salt(user);
        let keys = ScramKeys::derive(password.bytes(), &salt, self.0.iterations);
        ScramVerifier {
            salt,
            iterations: self.0.iterations,
            stored_key: keys.stored_key,
            server_key: keys.server_key,
        }
    }

    /// Is it the password that this verifier was made of? Blocks for a derivation.
    #[must_use]
    pub fn fits(&self, password: &Secret, verifier: &ScramVerifier) -> bool {
        let keys = ScramKeys::derive(password.bytes(), &verifier.salt, verifier.iterations);
        keys.stored_key.ct_eq(&*verifier.stored_key).into()
    }

    /// A secret of the right looks that no password fits.
    pub(super) fn mock_secret(&self, user: &str, method_is_scram: bool) -> StoredSecret {
        match self.0.unknown_users {
            Lookalike::Md5 if !method_is_scram => {
                StoredSecret::Md5(Md5Hash::of_nobody(&self.keyed_hash("md5", user.as_bytes())))
            }
            Lookalike::Md5 | Lookalike::Scram => StoredSecret::Scram(ScramVerifier {
                salt: self.salt(user),
                iterations: self.0.iterations,
                stored_key: Zeroizing::new(self.keyed_hash("StoredKey", user.as_bytes())),
                server_key: Zeroizing::new(self.keyed_hash("ServerKey", user.as_bytes())),
            }),
        }
    }

    /// The keys of a user whose password is stored in plain text.
    pub(super) fn keys_of(&self, user: &str, password: &Secret) -> Derivation {
        self.0
            .keys
            .keys_of(password, &self.salt(user), self.0.iterations)
    }

    /// The verifier that those keys make.
    pub(super) fn verifier_of(&self, user: &str, derivation: &Derivation) -> ScramVerifier {
        let keys = derivation.keys();
        ScramVerifier {
            salt: self.salt(user),
            iterations: self.0.iterations,
            stored_key: keys.stored_key.clone(),
            server_key: keys.server_key.clone(),
        }
    }

    /// The keys of a password sent in clear, to be held against a verifier.
    pub(super) fn keys_of_claim(&self, password: &Secret, verifier: &ScramVerifier) -> Derivation {
        self.0
            .keys
            .keys_of_claim(password, &verifier.salt, verifier.iterations)
    }

    /// The claim was right: its keys are worth keeping.
    pub(super) fn keep(&self, derivation: &Derivation) {
        self.0.keys.keep(derivation);
    }

    /// Are two passwords the same? Constant time, whatever their lengths.
    pub(super) fn same(&self, one: &[u8], other: &[u8]) -> bool {
        self.keyed_hash("same", one)
            .ct_eq(&self.keyed_hash("same", other))
            .into()
    }

    fn salt(&self, user: &str) -> Vec<u8> {
        self.keyed_hash("salt", user.as_bytes())
            .into_iter()
            .take(SALT_BYTES)
            .collect()
    }

    fn keyed_hash(&self, purpose: &str, of: &[u8]) -> [u8; 32] {
        let message = Zeroizing::new([purpose.as_bytes(), b"\0", of].concat());
        hmac_sha256(&*self.0.process_secret, &message)
    }
}

impl fmt::Debug for Verifiers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifiers(..)")
    }
}
