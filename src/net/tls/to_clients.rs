//! TLS toward clients.

use std::io;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use tokio_rustls::rustls::{RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsStream};

use super::files::{self, Identity};
use super::{ALPN, Encrypted, provider, versions};
use crate::auth::Binding;
use crate::config::{ClientTls, TlsFile, TlsMistake};

/// Takes clients into TLS.
#[derive(Clone)]
pub struct Acceptor {
    config: Arc<ServerConfig>,
    is_required: bool,
    wants_certificate: bool,
    binding: Option<Binding>,
}

impl std::fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Acceptor(..)")
    }
}

impl Acceptor {
    /// Reads the files.
    ///
    /// # Errors
    /// What is wrong with them, all at once.
    pub fn load(tls: &ClientTls) -> Result<Self, Vec<TlsMistake>> {
        let mut mistakes = Vec::new();
        let identity = files::identity(&tls.files, &mut mistakes);
        let authorities = match &tls.files.ca {
            Some(path) if tls.mode.verifies() || tls.asks_certificates => {
                files::authorities(path, &mut mistakes).map(Some)
            }
            Some(_) | None => Some(None),
        };
        let (Some(identity), Some(authorities), true) =
            (identity, authorities, mistakes.is_empty())
        else {
            if mistakes.is_empty() {
                files::note(&mut mistakes, TlsFile::Cert, "is not set".to_owned());
            }
            return Err(mistakes);
        };
        let wants_certificate = tls.mode.verifies();
        let binding = identity.chain.first().and_then(|own| Binding::to(own));
        match config(tls, identity, authorities, &mut mistakes) {
            Some(config) => Ok(Self {
                config: Arc::new(config),
                is_required: tls.mode.is_required(),
                wants_certificate,
                binding,
            }),
            None => Err(mistakes),
        }
    }

    /// Must every client use it?
    #[must_use]
    pub fn is_required(&self) -> bool {
        self.is_required
    }

    /// Must every client show a certificate? One that was shown has been checked.
    #[must_use]
    pub fn wants_certificate(&self) -> bool {
        self.wants_certificate
    }

    /// What binds the proofs of clients to the certificate that is shown to them.
    #[must_use]
    pub fn binding(&self) -> Option<&Binding> {
        self.binding.as_ref()
    }

    /// The handshake.
    ///
    /// # Errors
    /// What failed in it; the client has been told by an alert.
    ///
    /// # Cancel safety
    /// Dropped before its end, the connection is closed.
    pub(in crate::net) async fn accept(&self, stream: TcpStream) -> io::Result<Encrypted> {
        let accepting = TlsAcceptor::from(Arc::clone(&self.config)).accept(stream);
        let stream = accepting.await?;
        Ok(Encrypted::new(TlsStream::Server(stream)))
    }
}

fn config(
    tls: &ClientTls,
    Identity { chain, key }: Identity,
    authorities: Option<RootCertStore>,
    mistakes: &mut Vec<TlsMistake>,
) -> Option<ServerConfig> {
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&versions(tls.protocols))
        .map_err(|error| files::unusable(&tls.files, &error, mistakes))
        .ok()?;
    let builder = match authorities {
        None => builder.with_no_client_auth(),
        Some(roots) => {
            // Without a certificate the handshake goes on, so that the client can
            // be told in words.
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
                .allow_unauthenticated()
                .build()
                .map_err(|error| {
                    files::note(mistakes, TlsFile::Ca, format!("cannot be used: {error}"));
                })
                .ok()?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder
        .with_single_cert(chain, key)
        .map_err(|error| files::unusable(&tls.files, &error, mistakes))
        .ok()?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Some(config)
}
