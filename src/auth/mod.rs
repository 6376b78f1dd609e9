//! Who a client is, and how we prove to a server who we are
//! (`auth-password.html`, `sasl-authentication.html`).
//!
//! Two small machines, each fed with message bodies by its caller:
//! [`Exchange`] judges a client, [`ServerLogin`] answers a server. Both treat
//! what they are fed as hostile.
//!
//! Three readers of files say who may log in and how: [`userlist`] (PgBouncer's
//! `auth_file`), [`hba`] (pg_hba.conf) and [`ident`] (pg_ident.conf).
//!
//! Pure: no sockets, no clock, no tasks. The only costly step, the key
//! derivation of SCRAM (PBKDF2, about 0.7 ms at 4096 iterations), is handed out
//! as a [`Derivation`] for the caller to run where it does not stall queries.
//! Randomness comes in as an argument, but for the nonce that pgwire draws in
//! the server half of SCRAM.
//!
//! Never here: where secrets come from (`config`), who may use which database
//! (`proxy`), TLS itself (what an exchange is bound to comes in as bytes).

mod binding;
mod carried;
mod client_messages;
mod exchange;
pub mod hba;
pub mod ident;
mod keys;
mod md5_hash;
#[cfg(feature = "oauth")]
pub mod oauth;
mod pattern;
mod proven;
mod scram_client;
mod secret;
mod server_login;
pub mod userlist;
mod verifiers;

#[cfg(test)]
mod duet;

pub use binding::{Binding, end_point};
pub use carried::CarriedCredential;
pub use client_messages::password_of;
pub use exchange::{Exchange, Method, Step};
pub use keys::{Derivation, KeyCache};
pub use md5_hash::Md5Hash;
pub use proven::ProvenKeys;
pub use secret::{ScramVerifier, Secret, StoredSecret};
pub use server_login::{Credential, Reply, ServerLogin};
pub use verifiers::Verifiers;

use pgwire::messages::startup::Authentication;

use crate::wire::encode;

/// The longest body of a client's `p` message that is looked at, in bytes.
/// PostgreSQL's own limit for authentication tokens.
pub const MAX_ANSWER_BYTES: usize = 65_535;

/// AuthenticationOk (`protocol-message-formats.html`).
#[must_use]
pub fn accepted() -> Vec<u8> {
    encode(Authentication::Ok)
}

/// AuthenticationCleartextPassword.
#[must_use]
pub fn ask_for_password() -> Vec<u8> {
    encode(Authentication::CleartextPassword)
}

/// The longest SCRAM message of either side that is looked at, in bytes. Real
/// ones have some hundred; a frame of ours that echoes the peer's nonce must
/// stay below pgwire's own limit of 10,000.
const MAX_SCRAM_BYTES: usize = 8_192;

/// The SASL mechanism that is always offered.
const SCRAM_SHA_256: &str = "SCRAM-SHA-256";

/// The same bound to the server's certificate: inside of TLS only.
const SCRAM_SHA_256_PLUS: &str = "SCRAM-SHA-256-PLUS";
