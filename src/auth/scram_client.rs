//! The client half of SCRAM-SHA-256 (RFC 5802, RFC 7677), message by message,
//! against a server that is not trusted.
//!
//! Our own, since pgwire's derives the keys at each login, accepts any
//! iteration count (0 panics) and any server nonce.

use std::num::NonZeroU32;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use subtle::ConstantTimeEq;

use super::MAX_SCRAM_BYTES;
use super::binding::{BOUND_HEADER, input};
use super::keys::{Key, ScramKeys, hmac_sha256};

/// More iterations would let a server burn our CPU; PostgreSQL's default is 4096.
const MAX_ITERATIONS: u32 = 1_000_000;
/// PostgreSQL's own nonce and salt have 24 and 16 bytes.
const MAX_NONCE_BYTES: usize = 1_024;
const MAX_SALT_BYTES: usize = 1_024;
/// What our first message says about channel binding; no authorization identity.
pub(super) enum Header<'a> {
    /// We cannot be bound to anything.
    Unbound,
    /// We could be, but the server has not offered it: if it has, somebody in
    /// between took that away, and it must refuse.
    NotOffered,
    /// Bound to this hash of the server's certificate.
    Bound(&'a [u8]),
}

impl Header<'_> {
    fn text(&self) -> &'static str {
        match self {
            Header::Unbound => "n,,",
            Header::NotOffered => "y,,",
            Header::Bound(_) => BOUND_HEADER,
        }
    }

    fn input(&self) -> String {
        match self {
            Header::Unbound | Header::NotOffered => input(self.text(), &[]),
            Header::Bound(end_point) => input(self.text(), end_point),
        }
    }
}

/// What is wrong with a server's message, as the end of a sentence that
/// begins with "the server".
pub(super) type Fault = &'static str;

/// Our first message is sent.
pub(super) struct FirstSent {
    /// The message without its header.
    bare: String,
    nonce: String,
    /// The header and what we are bound to, as the final message repeats them.
    binding: String,
}

impl FirstSent {
    /// The first message. The user's name is left empty: PostgreSQL takes it
    /// from the startup packet.
    pub(super) fn start(nonce: [u8; 18], header: &Header<'_>) -> (Self, String) {
        let nonce = STANDARD.encode(nonce);
        let bare = format!("n=,r={nonce}");
        let message = format!("{}{bare}", header.text());
        let binding = header.input();
        let first = Self {
            bare,
            nonce,
            binding,
        };
        (first, message)
    }

    /// Reads `r=<nonce>,s=<salt>,i=<iterations>[,extensions]`.
    pub(super) fn read_server_first(self, message: &[u8]) -> Result<Challenge, Fault> {
        let text = text_of(message)?;
        let mut attributes = text.split(',');
        let mut attribute = |name: &str| {
            attributes
                .next()
                .and_then(|next| next.strip_prefix(name))
                .ok_or("sent a malformed SCRAM message")
        };
        let nonce = attribute("r=")?;
        let salt = attribute("s=")?;
        let iterations = attribute("i=")?;

        let is_extension = nonce.len() > self.nonce.len() && nonce.starts_with(&self.nonce);
        let is_printable = nonce.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_extension || !is_printable || nonce.len() > MAX_NONCE_BYTES {
            return Err("sent an invalid SCRAM nonce");
        }
        let salt = STANDARD
            .decode(salt)
            .map_err(|_| "sent an invalid SCRAM salt")?;
        if salt.is_empty() || salt.len() > MAX_SALT_BYTES {
            return Err("sent a SCRAM salt of invalid length");
        }
        let iterations: NonZeroU32 = iterations
            .parse()
            .map_err(|_| "sent an invalid SCRAM iteration count")?;
        if iterations.get() > MAX_ITERATIONS {
            return Err("asks for more than 1000000 SCRAM iterations");
        }
        let final_without_proof = format!("c={},r={nonce}", self.binding);
        let auth_message = format!("{},{text},{final_without_proof}", self.bare);
        Ok(Challenge {
            salt,
            iterations,
            final_without_proof,
            auth_message,
        })
    }
}

/// The server told salt and iteration count: the keys can be derived.
pub(super) struct Challenge {
    pub(super) salt: Vec<u8>,
    pub(super) iterations: NonZeroU32,
    final_without_proof: String,
    auth_message: String,
}

impl Challenge {
    /// The final message, which proves that we know the password.
    pub(super) fn prove(self, keys: &ScramKeys) -> (ProofSent, String) {
        let message = self.auth_message.as_bytes();
        let mut proof = hmac_sha256(&*keys.stored_key, message);
        for (byte, key) in proof.iter_mut().zip(keys.client_key.iter()) {
            *byte ^= key;
        }
        let signature = Key::new(hmac_sha256(&*keys.server_key, message));
        (
            ProofSent { signature },
            format!("{},p={}", self.final_without_proof, STANDARD.encode(proof)),
        )
    }
}

/// Our proof is sent: now it is the server's turn to prove itself.
pub(super) struct ProofSent {
    signature: Key,
}

impl ProofSent {
    /// Reads `v=<signature>[,extensions]`. A server that does not know the
    /// password's verifier cannot make it.
    pub(super) fn read_server_final(self, message: &[u8]) -> Result<(), Fault> {
        let text = text_of(message)?;
        let first = text.split(',').next().unwrap_or_default();
        if first.starts_with("e=") {
            return Err("refused the SCRAM exchange");
        }
        let signature = first
            .strip_prefix("v=")
            .ok_or("sent a malformed SCRAM message")?;
        let signature = STANDARD
            .decode(signature)
            .map_err(|_| "sent a malformed SCRAM signature")?;
        // Of different lengths: unequal.
        if bool::from(signature.as_slice().ct_eq(self.signature.as_slice())) {
            Ok(())
        } else {
            Err("did not prove that it knows the password")
        }
    }
}

fn text_of(message: &[u8]) -> Result<&str, Fault> {
    if message.len() > MAX_SCRAM_BYTES {
        return Err("sent a SCRAM message that is too long");
    }
    str::from_utf8(message).map_err(|_| "sent a malformed SCRAM message")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::auth::{KeyCache, Secret};

    /// RFC 7677, section 3.
    const SERVER_FIRST: &str =
        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
    const CLIENT_FINAL: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
        p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
    const SERVER_FINAL: &str = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

    fn first_of_the_rfc() -> FirstSent {
        FirstSent {
            bare: "n=user,r=rOprNGfwEbeRWgbNEkqO".to_owned(),
            nonce: "rOprNGfwEbeRWgbNEkqO".to_owned(),
            binding: Header::Unbound.input(),
        }
    }

    fn proof_of_the_rfc() -> (ProofSent, String) {
        let challenge = first_of_the_rfc()
            .read_server_first(SERVER_FIRST.as_bytes())
            .unwrap();
        let cache = KeyCache::new(1);
        let keys = cache.keys_of(
            &Secret::new("pencil"),
            &challenge.salt,
            challenge.iterations,
        );
        challenge.prove(keys.keys())
    }

    #[test]
    fn the_exchange_of_rfc_7677_comes_out_the_same() {
        let (proof, message) = proof_of_the_rfc();
        assert_eq!(message, CLIENT_FINAL);
        assert_eq!(proof.read_server_final(SERVER_FINAL.as_bytes()), Ok(()));
    }

    #[test]
    fn extensions_are_ignored_yet_signed() {
        let message = format!("{SERVER_FIRST},x=1");
        let challenge = first_of_the_rfc()
            .read_server_first(message.as_bytes())
            .unwrap();
        assert!(challenge.auth_message.contains("i=4096,x=1,c=biws"));
        let (proof, _) = proof_of_the_rfc();
        assert_eq!(
            proof.read_server_final(format!("{SERVER_FINAL},x=1").as_bytes()),
            Ok(())
        );
    }

    #[test]
    fn a_server_without_the_right_signature_is_not_believed() {
        let wrong = [
            "v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
            "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95A==",
            "v=",
            "v=!",
            "",
            "e=other-error",
            "x=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
        ];
        for message in wrong {
            assert!(
                proof_of_the_rfc()
                    .0
                    .read_server_final(message.as_bytes())
                    .is_err(),
                "{message}"
            );
        }
    }

    #[test]
    fn a_bad_challenge_is_refused() {
        let long = "A".repeat(4 * MAX_SALT_BYTES);
        let bad = [
            SERVER_FIRST.replace("rOprN", "xOprN"),
            SERVER_FIRST.replace("%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0", ""),
            SERVER_FIRST.replace("%hv", "\u{e9}"),
            SERVER_FIRST.replace("%hv", "\n"),
            SERVER_FIRST.replace("%hv", &long),
            SERVER_FIRST.replace("W22Z", &long),
            SERVER_FIRST.replace("W22Z", "W2!Z"),
            SERVER_FIRST.replace("W22ZaJ0SNY7soEsUEjb6gQ==", ""),
            SERVER_FIRST.replace("4096", "0"),
            SERVER_FIRST.replace("4096", "-1"),
            SERVER_FIRST.replace("4096", ""),
            SERVER_FIRST.replace("4096", "1000001"),
            SERVER_FIRST.replace("4096", "99999999999999999999"),
            format!("m=ext,{SERVER_FIRST}"),
            SERVER_FIRST.replace(",i=", ",j="),
            format!("{SERVER_FIRST},{}", "x".repeat(MAX_SCRAM_BYTES)),
            String::new(),
        ];
        for message in bad {
            assert!(
                first_of_the_rfc()
                    .read_server_first(message.as_bytes())
                    .is_err(),
                "{message}"
            );
        }
        assert!(first_of_the_rfc().read_server_first(b"r=\xff").is_err());
    }
}
