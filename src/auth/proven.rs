//! SCRAM pass-through: what a client's proof is worth toward a server that has
//! the same verifier (RFC 5802, section 3).

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::keys::{Key, ScramKeys, hmac_sha256, sha256};
use super::secret::ScramVerifier;

/// The keys that a client has shown in a proof: they log in to a server whose
/// verifier has the same salt and iteration count, hence is the same one. Not
/// the password, and worth nothing anywhere else; wiped when dropped.
#[derive(Clone)]
pub struct ProvenKeys(Arc<Shown>);

struct Shown {
    salt: Vec<u8>,
    iterations: NonZeroU32,
    keys: ScramKeys,
}

impl ProvenKeys {
    /// Out of an exchange that was judged to be right. `client_first` is the
    /// whole of the client's first message, its header too.
    pub(super) fn of(
        verifier: &ScramVerifier,
        client_first: &[u8],
        server_first: &str,
        client_final: &[u8],
    ) -> Option<Self> {
        let client_first = str::from_utf8(client_first).ok()?;
        let client_final = str::from_utf8(client_final).ok()?;
        // The header has two commas: `n,,`, `y,,` or `p=...,,`.
        let bare = client_first.splitn(3, ',').nth(2)?;
        let (without_proof, proof) = client_final.rsplit_once(",p=")?;
        let proof = Zeroizing::new(STANDARD.decode(proof).ok()?);
        let message = format!("{bare},{server_first},{without_proof}");
        let mut client_key: Key =
            Zeroizing::new(hmac_sha256(&*verifier.stored_key, message.as_bytes()));
        if proof.len() != client_key.len() {
            return None;
        }
        for (byte, proof) in client_key.iter_mut().zip(proof.iter()) {
            *byte ^= proof;
        }
        let is_right: bool = sha256(&*client_key).ct_eq(&*verifier.stored_key).into();
        is_right.then(|| {
            Self(Arc::new(Shown {
                salt: verifier.salt.clone(),
                iterations: verifier.iterations,
                keys: ScramKeys {
                    client_key,
                    stored_key: verifier.stored_key.clone(),
                    server_key: verifier.server_key.clone(),
                },
            }))
        })
    }

    /// The keys, where a server asks with this salt and count.
    pub(super) fn answer(&self, salt: &[u8], iterations: NonZeroU32) -> Option<&ScramKeys> {
        let shown = &*self.0;
        (shown.salt == salt && shown.iterations == iterations).then_some(&shown.keys)
    }

    /// Salt, iterations and keys.
    pub(super) fn parts(&self) -> (&[u8], NonZeroU32, &ScramKeys) {
        let shown = &*self.0;
        (&shown.salt, shown.iterations, &shown.keys)
    }

    /// Of these parts again.
    pub(super) fn from_parts(salt: Vec<u8>, iterations: NonZeroU32, keys: ScramKeys) -> Self {
        Self(Arc::new(Shown {
            salt,
            iterations,
            keys,
        }))
    }

    pub(super) fn same_as(&self, other: &Self) -> bool {
        let (one, two) = (&*self.0, &*other.0);
        one.salt == two.salt
            && one.iterations == two.iterations
            && bool::from(one.keys.client_key.ct_eq(&*two.keys.client_key))
    }
}

impl fmt::Debug for ProvenKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProvenKeys(..)")
    }
}
