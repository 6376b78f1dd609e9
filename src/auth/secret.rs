//! What is stored about a user.

use std::fmt;
use std::num::NonZeroU32;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::keys::Key;
use super::md5_hash::Md5Hash;

/// Bytes that nobody may see: wiped when dropped, hidden in `Debug`.
///
/// Bytes and not text, since a client may send a password in any encoding.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes a copy of the bytes.
    #[must_use]
    pub fn new(bytes: impl AsRef<[u8]>) -> Self {
        Self(Zeroizing::new(bytes.as_ref().to_vec()))
    }

    /// Is it this? Constant time for those of one length.
    #[must_use]
    pub fn is(&self, bytes: &[u8]) -> bool {
        self.0.as_slice().ct_eq(bytes).into()
    }

    /// As text, where it is some.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        str::from_utf8(&self.0).ok()
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// What is stored about a user: a password, or something made of it.
///
/// The forms are those of `pg_authid.rolpassword` (`catalog-pg-authid.html`)
/// and, in addition, plain text. `Debug` shows the kind alone.
#[derive(Clone)]
pub enum StoredSecret {
    /// The password itself.
    Plain(Secret),
    /// `md5` and the hash of password and user name.
    Md5(Md5Hash),
    /// A SCRAM-SHA-256 verifier.
    Scram(ScramVerifier),
}

impl StoredSecret {
    /// Reads a secret as written in a configuration. What is neither an md5
    /// hash nor a SCRAM verifier in PostgreSQL's exact form is plain text, as
    /// it is to PostgreSQL.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        if let Some(hash) = Md5Hash::parse(text) {
            Self::Md5(hash)
        } else if let Some(verifier) = ScramVerifier::parse(text) {
            Self::Scram(verifier)
        } else {
            Self::Plain(Secret::new(text))
        }
    }

    /// An empty password is no password: nobody can log in with it.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Plain(password) => password.bytes().is_empty(),
            Self::Md5(_) | Self::Scram(_) => false,
        }
    }
}

impl fmt::Debug for StoredSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain(_) => "Plain(..)",
            Self::Md5(_) => "Md5(..)",
            Self::Scram(_) => "Scram(..)",
        })
    }
}

/// A SCRAM-SHA-256 verifier: enough to check a password, not enough to log in
/// with (RFC 5803, RFC 7677).
#[derive(Clone)]
pub struct ScramVerifier {
    pub(super) salt: Vec<u8>,
    pub(super) iterations: NonZeroU32,
    pub(super) stored_key: Key,
    pub(super) server_key: Key,
}

impl ScramVerifier {
    /// Reads `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`;
    /// salt and keys in base64.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("SCRAM-SHA-256$")?;
        let (cost, keys) = rest.split_once('$')?;
        let (iterations, salt) = cost.split_once(':')?;
        let (stored_key, server_key) = keys.split_once(':')?;
        Some(Self {
            salt: STANDARD.decode(salt).ok()?,
            iterations: iterations.parse().ok()?,
            stored_key: parse_key(stored_key)?,
            server_key: parse_key(server_key)?,
        })
    }
}

fn parse_key(base64: &str) -> Option<Key> {
    let bytes = Zeroizing::new(STANDARD.decode(base64).ok()?);
    Some(Zeroizing::new(bytes.as_slice().try_into().ok()?))
}

impl fmt::Debug for ScramVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ScramVerifier(..)")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const VERIFIER: &str = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==\
        $WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";

    #[test]
    fn the_form_of_the_text_decides_the_kind() {
        let md5 = format!("md5{}", "0123456789abcdef".repeat(2));
        assert!(matches!(StoredSecret::parse(&md5), StoredSecret::Md5(_)));
        assert!(matches!(
            StoredSecret::parse(VERIFIER),
            StoredSecret::Scram(_)
        ));
        assert!(matches!(
            StoredSecret::parse("secret"),
            StoredSecret::Plain(_)
        ));
        assert!(matches!(StoredSecret::parse(""), StoredSecret::Plain(_)));
    }

    #[test]
    fn what_only_resembles_a_hash_is_plain_text() {
        let almost = [
            format!("md5{}", "0123456789ABCDEF".repeat(2)),
            "md5abc".to_owned(),
            VERIFIER.replace("4096", "0"),
            VERIFIER.replace("4096", "-1"),
            VERIFIER.replace("4096", "many"),
            VERIFIER.replace("W22Z", "W2!Z"),
            VERIFIER.replace("WG5d", ""),
            VERIFIER.replace("$WG5d", ":WG5d"),
            format!("{VERIFIER}x"),
        ];
        for text in almost {
            assert!(
                matches!(StoredSecret::parse(&text), StoredSecret::Plain(_)),
                "{text}"
            );
        }
    }

    #[test]
    fn debug_shows_the_kind_alone() {
        assert_eq!(format!("{:?}", StoredSecret::parse("hunter2")), "Plain(..)");
        assert_eq!(format!("{:?}", StoredSecret::parse(VERIFIER)), "Scram(..)");
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "Secret(..)");
        assert_eq!(
            format!("{:?}", ScramVerifier::parse(VERIFIER).unwrap()),
            "ScramVerifier(..)"
        );
    }
}
