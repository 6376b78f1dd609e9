//! TLS, with rustls: what a side is made of, handshakes, the encrypted stream.
//!
//! Sessions are not resumed and no tickets are given out, as with PostgreSQL: so
//! files that were read again hold for every new connection.

mod encrypted;
mod files;
mod hall;
mod to_clients;
mod to_servers;
mod verify;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests;

pub(in crate::net) use encrypted::now;
pub use encrypted::{Encrypted, Shown};
pub use hall::{Tls, mistakes};
pub use to_clients::Acceptor;
pub use to_servers::{Connector, HandshakeError};

use std::sync::Arc;

use tokio_rustls::rustls::SupportedProtocolVersion;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::version::{TLS12, TLS13};

use crate::config::TlsProtocols;

/// The protocol's name in ALPN (`protocol-flow.html#PROTOCOL-FLOW-SSL`): whoever
/// speaks something else inside of TLS finds out at once.
const ALPN: &[u8] = b"postgresql";

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn versions(protocols: TlsProtocols) -> Vec<&'static SupportedProtocolVersion> {
    let mut versions = Vec::new();
    if protocols.v1_3 {
        versions.push(&TLS13);
    }
    if protocols.v1_2 {
        versions.push(&TLS12);
    }
    versions
}
