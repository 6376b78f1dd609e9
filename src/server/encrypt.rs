//! From a target to a stream that can be logged in on, in clear text or in TLS
//! (`protocol-flow.html#PROTOCOL-FLOW-SSL`).

use tokio::io::AsyncReadExt;

use super::connect::unreachable;
use crate::config::TlsNegotiation;
use crate::net::tls::{Connector, HandshakeError};
use crate::net::{Stream, Target};
use crate::wire::{PgError, frontend, sqlstate};

/// Why a connection is not encrypted.
#[derive(Debug)]
pub(super) enum NotEncrypted {
    /// The server has no TLS; the stream can be used in clear text.
    Declined,
    /// The handshake failed.
    Handshake(HandshakeError),
    /// Nobody should go on with this server now.
    Broken(PgError),
}

impl NotEncrypted {
    /// What to tell where TLS is insisted on.
    pub fn told(self, target: &Target) -> PgError {
        match self {
            NotEncrypted::Declined => {
                unreachable(target, "TLS is asked for, but the server has none").with_hint(
                    "Switch it on at the server (ssl = on), or set server_tls_sslmode to prefer or disable.",
                )
            }
            NotEncrypted::Handshake(error) => {
                unreachable(target, &format!("the TLS handshake failed: {error}"))
                    .with_hint(error.hint())
            }
            NotEncrypted::Broken(error) => error,
        }
    }
}

/// Takes a fresh connection into TLS.
pub(super) async fn encrypt(
    stream: &mut Stream,
    target: &Target,
    connector: &Connector,
) -> Result<(), NotEncrypted> {
    let Target::Tcp(host, _) = target else {
        return Err(NotEncrypted::Declined);
    };
    match connector.negotiation() {
        TlsNegotiation::Postgres => ask(stream, target).await?,
        TlsNegotiation::Direct => {}
    }
    stream
        .connect_tls(connector, host)
        .await
        .map_err(NotEncrypted::Handshake)
}

/// Sends the SSLRequest and reads the answer, one byte.
async fn ask(stream: &mut Stream, target: &Target) -> Result<(), NotEncrypted> {
    let broken = |why: &str| NotEncrypted::Broken(unreachable(target, why));
    let lost = |error: std::io::Error| broken(&error.to_string());
    stream.send(&frontend::ssl_request()).await.map_err(lost)?;
    // Room for two: whatever comes behind the answer was not sent by the server
    // that will end the handshake, and must not be taken for something it said.
    let mut answer = [0; 2];
    let read = stream.read(&mut answer).await.map_err(lost)?;
    match answer.get(..read) {
        Some([b'S']) => Ok(()),
        Some([b'N']) => Err(NotEncrypted::Declined),
        Some([] | [b'E', ..]) | None => Err(NotEncrypted::Broken(
            unreachable(
                target,
                "it ended the connection instead of answering an SSLRequest",
            )
            .with_hint(
                "Is it PostgreSQL that listens there, and has it room for one more connection?",
            ),
        )),
        Some(_) => Err(NotEncrypted::Broken(PgError::fatal(
            sqlstate::PROTOCOL_VIOLATION,
            "the server sent clear text where TLS begins",
        ))),
    }
}
