//! TLS toward servers.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{AlertDescription, CertificateError, ClientConfig, Error};
use tokio_rustls::{TlsConnector, TlsStream};

use super::files;
use super::verify::{Trust, Verifier};
use super::{ALPN, Encrypted, provider, versions};
use crate::config::{ServerTls, SslMode, TlsMistake, TlsNegotiation};

/// Takes connections to servers into TLS.
#[derive(Clone)]
pub struct Connector {
    config: Arc<ClientConfig>,
    mode: SslMode,
    negotiation: TlsNegotiation,
}

/// Why a server could not be talked to in TLS.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// `verify-full` has nothing to compare the certificate with.
    #[error("{0:?} is no name that a certificate can be for")]
    Name(String),
    /// It did not speak ALPN, which direct TLS must.
    #[error("it did not confirm by ALPN that it speaks PostgreSQL's protocol")]
    Alpn,
    /// The handshake failed.
    #[error("{0}")]
    Failed(#[from] io::Error),
}

impl HandshakeError {
    /// What may be behind it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            HandshakeError::Name(_) => {
                "Name the host as the certificate does, or set server_tls_sslmode to verify-ca."
            }
            HandshakeError::Alpn => {
                "Servers before PostgreSQL 17 need server_tls_negotiation = \"postgres\"."
            }
            HandshakeError::Failed(error) => {
                let inner = error.get_ref().and_then(|error| error.downcast_ref());
                inner.map_or(UNSPOKEN, hint_of)
            }
        }
    }
}

const UNSPOKEN: &str = "Is it PostgreSQL that listens there, and does it take TLS 1.2 or 1.3 \
     (server_tls_protocols, ssl_min_protocol_version of the server)?";

fn hint_of(error: &Error) -> &'static str {
    use CertificateError as Certificate;
    match error {
        Error::InvalidCertificate(
            Certificate::Expired
            | Certificate::ExpiredContext { .. }
            | Certificate::NotValidYet
            | Certificate::NotValidYetContext { .. },
        ) => {
            "The server's certificate is not valid at this time: replace it, or set this machine's clock."
        }
        Error::InvalidCertificate(
            Certificate::NotValidForName | Certificate::NotValidForNameContext { .. },
        ) => {
            "The server's certificate is for another name: connect by the name that it is for, have one made \
             for this name, or set server_tls_sslmode to verify-ca."
        }
        Error::InvalidCertificate(
            Certificate::UnknownIssuer | Certificate::BadSignature | Certificate::Other(_),
        ) => {
            "The server's certificate is of nobody whom pgweave trusts: set server_tls_ca_file to the \
             authority that has signed it (of a cloud: the bundle that it offers for download)."
        }
        Error::InvalidCertificate(_) => {
            "The server's certificate is not sound: have another one made."
        }
        Error::AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnknownCA
            | AlertDescription::CertificateUnknown,
        ) => {
            "The server wants a client certificate that it trusts: set server_tls_cert_file and \
             server_tls_key_file."
        }
        _ => UNSPOKEN,
    }
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Connector({}, {})", self.mode, self.negotiation)
    }
}

impl Connector {
    /// Reads the files.
    ///
    /// # Errors
    /// What is wrong with them, all at once.
    pub fn load(tls: &ServerTls) -> Result<Self, Vec<TlsMistake>> {
        let mut mistakes = Vec::new();
        match config(tls, &mut mistakes) {
            Some(config) if mistakes.is_empty() => Ok(Self {
                config: Arc::new(config),
                mode: tls.mode,
                negotiation: tls.negotiation,
            }),
            Some(_) | None => Err(mistakes),
        }
    }

    /// How far it is insisted on.
    #[must_use]
    pub fn mode(&self) -> SslMode {
        self.mode
    }

    /// How it begins.
    #[must_use]
    pub fn negotiation(&self) -> TlsNegotiation {
        self.negotiation
    }

    /// The handshake with `host`, which was reached at `address`.
    ///
    /// # Errors
    /// See [`HandshakeError`].
    ///
    /// # Cancel safety
    /// Dropped before its end, the connection is closed.
    pub(in crate::net) async fn connect(
        &self,
        stream: TcpStream,
        host: &str,
    ) -> Result<Encrypted, HandshakeError> {
        let name = match ServerName::try_from(host.to_owned()) {
            Ok(name) => name,
            Err(_) if self.mode == SslMode::VerifyFull => {
                return Err(HandshakeError::Name(host.to_owned()));
            }
            // Nobody compares it: an address is not sent as SNI.
            Err(_) => ServerName::from(
                stream
                    .peer_addr()
                    .map(|at| at.ip())
                    .unwrap_or_else(|_| IpAddr::from([0, 0, 0, 0])),
            ),
        };
        let connecting = TlsConnector::from(Arc::clone(&self.config)).connect(name, stream);
        let stream = connecting.await?;
        let agreed = stream.get_ref().1.alpn_protocol() == Some(ALPN);
        if self.negotiation == TlsNegotiation::Direct && !agreed {
            return Err(HandshakeError::Alpn);
        }
        Ok(Encrypted::new(TlsStream::Client(stream)))
    }
}

fn config(tls: &ServerTls, mistakes: &mut Vec<TlsMistake>) -> Option<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&versions(tls.protocols))
        .map_err(|error| files::unusable(&tls.files, &error, mistakes))
        .ok()?;
    let authorities = match &tls.files.ca {
        Some(path) => files::authorities(path, mistakes),
        None if tls.mode.verifies() => files::system_authorities(mistakes),
        None => None,
    };
    let identity = files::identity(&tls.files, mistakes);
    if !mistakes.is_empty() {
        return None;
    }
    let trust = match (tls.mode, authorities) {
        (SslMode::VerifyCa, Some(roots)) => Trust::Chain(roots),
        (SslMode::VerifyFull, Some(roots)) => Trust::ChainAndName(roots),
        (SslMode::VerifyCa | SslMode::VerifyFull, None) => return None,
        (SslMode::Disable | SslMode::Allow | SslMode::Prefer | SslMode::Require, _) => {
            Trust::Anybody
        }
    };
    let builder = builder
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Verifier::new(trust, provider())));
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => builder
            .with_client_auth_cert(identity.chain, identity.key)
            .map_err(|error| files::unusable(&tls.files, &error, mistakes))
            .ok()?,
    };
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    Some(config)
}
