//! Opening a connection to a server.

use std::io;
use std::time::Duration;

use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::time::timeout;

use super::stream::{Peer, Stream};

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// Host name or address, and port.
    Tcp(String, u16),
    /// Path of a Unix-domain socket.
    Unix(std::path::PathBuf),
}

impl Target {
    /// A host that begins with `/` is the directory of a Unix-domain socket,
    /// as for libpq (`libpq-connect.html#LIBPQ-CONNECT-HOST`).
    #[must_use]
    pub fn new(host: &str, port: u16) -> Self {
        if host.starts_with('/') {
            Target::Unix(std::path::Path::new(host).join(format!(".s.PGSQL.{port}")))
        } else {
            Target::Tcp(host.to_owned(), port)
        }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Target::Tcp(host, port) => write!(f, "{host}:{port}"),
            Target::Unix(path) => path.display().fmt(f),
        }
    }
}

/// Why a server could not be reached.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// Nobody answered in time.
    #[error("timed out")]
    TimedOut,
    /// The host name has no address.
    #[error("could not resolve the host name: {0}")]
    Unresolved(io::Error),
    /// Every address refused.
    #[error("{0}")]
    Refused(io::Error),
}

/// Connects to a server: every address of the host in turn. `keepalive` lets
/// the system notice a peer that is gone.
///
/// # Errors
/// [`DialError`]; the last address's error when all refuse.
///
/// # Cancel safety
/// Dropping it closes the half-open socket.
pub async fn dial(
    target: &Target,
    keepalive: bool,
    within: Duration,
) -> Result<(Stream, Peer), DialError> {
    timeout(within, connect(target, keepalive))
        .await
        .unwrap_or(Err(DialError::TimedOut))
}

async fn connect(target: &Target, keepalive: bool) -> Result<(Stream, Peer), DialError> {
    match target {
        Target::Unix(path) => {
            let stream = UnixStream::connect(path)
                .await
                .map_err(DialError::Refused)?;
            Ok((Stream::Unix(stream), Peer::Unix))
        }
        Target::Tcp(host, port) => {
            let addresses = lookup_host((host.as_str(), *port))
                .await
                .map_err(DialError::Unresolved)?;
            let mut last = DialError::Unresolved(io::ErrorKind::AddrNotAvailable.into());
            for address in addresses {
                match TcpStream::connect(address).await {
                    Ok(stream) => {
                        tune(&stream, keepalive);
                        return Ok((Stream::Tcp(stream), Peer::Tcp(address)));
                    }
                    Err(error) => last = DialError::Refused(error),
                }
            }
            Err(last)
        }
    }
}

/// Small messages leave at once; a dead peer is noticed if wanted. A socket that takes
/// neither option still works.
pub(super) fn tune(stream: &TcpStream, keepalive: bool) {
    let _ = stream.set_nodelay(true);
    let _ = socket2::SockRef::from(stream).set_keepalive(keepalive);
}
