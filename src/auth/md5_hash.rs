//! PostgreSQL's md5 passwords (`auth-password.html`).

use std::fmt;

use subtle::{Choice, ConstantTimeEq};
use zeroize::Zeroizing;

/// The hex form of `md5(password || user)`, without the leading `md5`.
///
/// It is as good as the password toward a server that asks for md5, so it is
/// kept like one.
#[derive(Clone)]
pub struct Md5Hash(Zeroizing<String>);

impl Md5Hash {
    /// Reads `md5` followed by 32 lower-case hex digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let hex = text.strip_prefix("md5")?;
        let is_hash =
            hex.len() == 32 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        is_hash.then(|| Self(Zeroizing::new(hex.to_owned())))
    }

    /// The hash of a password in any encoding.
    #[must_use]
    pub fn of(password: &[u8], user: &str) -> Self {
        Self(digest(&[password, user.as_bytes()]))
    }

    /// As it is stored: with its `md5`.
    pub(super) fn stored(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("md5{}", *self.0))
    }

    /// A hash that belongs to no password, for users who do not exist.
    pub(super) fn of_nobody(seed: &[u8]) -> Self {
        Self(digest(&[seed]))
    }

    /// What an md5 PasswordMessage must hold for this salt, without the NUL.
    pub(super) fn salted(&self, salt: [u8; 4]) -> Zeroizing<String> {
        Zeroizing::new(format!("md5{}", *digest(&[self.0.as_bytes(), &salt])))
    }

    /// Compares in constant time.
    pub(super) fn equals(&self, other: &Self) -> Choice {
        self.0.as_bytes().ct_eq(other.0.as_bytes())
    }
}

impl fmt::Debug for Md5Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Md5Hash(..)")
    }
}

fn digest(parts: &[&[u8]]) -> Zeroizing<String> {
    let input = Zeroizing::new(parts.concat());
    Zeroizing::new(format!("{:x}", md5::compute(&*input)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_salted_hash_is_the_one_that_pgwire_computes() {
        let salt = [20, 247, 107, 249];
        let ours = Md5Hash::of(b"secret", "alice").salted(salt);
        assert_eq!(
            *ours,
            pgwire::api::auth::md5pass::hash_md5_password("alice", "secret", &salt)
        );
    }

    #[test]
    fn a_stored_hash_equals_the_hash_of_its_password() {
        // printf secretalice | md5sum
        let stored = Md5Hash::parse("md54a0a68b43b6cd5cf266fa02f196e2371").unwrap();
        assert!(!bool::from(stored.equals(&Md5Hash::of(b"other", "alice"))));
        assert!(bool::from(stored.equals(&Md5Hash::of(b"secret", "alice"))));
    }
}
