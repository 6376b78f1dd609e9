//! A credential on its way to another process of the same user, which goes on with the
//! work of this one.

use std::num::NonZeroU32;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::keys::{Key, ScramKeys};
use super::md5_hash::Md5Hash;
use super::proven::ProvenKeys;
use super::secret::Secret;
use super::server_login::Credential;

/// Bytes in base64, wiped when dropped.
type Text = Zeroizing<String>;

/// The secret itself, to be written for a trusted reader only; wiped when dropped.
#[derive(Clone, Serialize, Deserialize)]
pub enum CarriedCredential {
    /// A password.
    Plain(Text),
    /// With its `md5`.
    Md5(Text),
    /// Salt, iterations, client key, stored key, server key.
    Keys(Text, NonZeroU32, [Text; 3]),
}

impl std::fmt::Debug for CarriedCredential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CarriedCredential(..)")
    }
}

impl Credential {
    /// To be carried; none where there is nothing to carry.
    #[must_use]
    pub fn to_carry(&self) -> Option<CarriedCredential> {
        Some(match self {
            Credential::None => return None,
            Credential::Plain(password) => CarriedCredential::Plain(text(password.bytes())),
            Credential::Md5(hash) => CarriedCredential::Md5(hash.stored()),
            Credential::Keys(keys) => {
                let (salt, iterations, keys) = keys.parts();
                let parts = [&keys.client_key, &keys.stored_key, &keys.server_key];
                let parts = parts.map(|key| text(&**key));
                CarriedCredential::Keys(text(salt), iterations, parts)
            }
        })
    }
}

impl CarriedCredential {
    /// What was carried; `None` where that makes no sense.
    #[must_use]
    pub fn unpacked(&self) -> Option<Credential> {
        Some(match self {
            CarriedCredential::Plain(password) => {
                Credential::Plain(Secret::new(&*bytes(password)?))
            }
            CarriedCredential::Md5(stored) => Credential::Md5(Md5Hash::parse(stored)?),
            CarriedCredential::Keys(salt, iterations, [client, stored, server]) => {
                let keys = ScramKeys {
                    client_key: key(client)?,
                    stored_key: key(stored)?,
                    server_key: key(server)?,
                };
                let salt = bytes(salt)?.to_vec();
                Credential::Keys(ProvenKeys::from_parts(salt, *iterations, keys))
            }
        })
    }
}

fn text(bytes: &[u8]) -> Text {
    Zeroizing::new(STANDARD.encode(bytes))
}

fn bytes(text: &Text) -> Option<Zeroizing<Vec<u8>>> {
    STANDARD.decode(text.as_bytes()).ok().map(Zeroizing::new)
}

fn key(text: &Text) -> Option<Key> {
    let bytes = bytes(text)?;
    let mut key = Key::default();
    (bytes.len() == key.len()).then(|| key.copy_from_slice(&bytes))?;
    Some(key)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_carried_arrives_as_it_was() {
        let keys = ScramKeys {
            client_key: Zeroizing::new([1; 32]),
            stored_key: Zeroizing::new([2; 32]),
            server_key: Zeroizing::new([3; 32]),
        };
        let keys = ProvenKeys::from_parts(vec![9; 16], NonZeroU32::new(4096).unwrap(), keys);
        for credential in [
            Credential::Plain(Secret::new("p\u{e4}ss\0word")),
            Credential::Md5(Md5Hash::of(b"pw", "alice")),
            Credential::Keys(keys),
        ] {
            let written = serde_json::to_string(&credential.to_carry().unwrap()).unwrap();
            let read: CarriedCredential = serde_json::from_str(&written).unwrap();
            assert!(read.unpacked().unwrap().same_as(&credential));
            assert!(!format!("{read:?}").contains(&written));
        }
        assert!(Credential::None.to_carry().is_none());
        let cut = r#"{"Keys":["AAAA",1,["AAAA","AAAA","AAAA"]]}"#;
        let cut: CarriedCredential = serde_json::from_str(cut).unwrap();
        assert!(cut.unpacked().is_none());
    }
}
