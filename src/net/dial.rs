//! Opening a connection to a server.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use socket2::TcpKeepalive;
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::time::timeout;

use super::stream::{Peer, Stream};
use crate::config::Tcp;

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

/// Connects to a server: every address of the host in turn.
///
/// # Errors
/// [`DialError`]; the last address's error when all refuse.
///
/// # Cancel safety
/// Dropping it closes the half-open socket.
pub async fn dial(
    target: &Target,
    tcp: Tcp,
    within: Duration,
) -> Result<(Stream, Peer), DialError> {
    timeout(within, connect(target, tcp))
        .await
        .unwrap_or(Err(DialError::TimedOut))
}

async fn connect(target: &Target, tcp: Tcp) -> Result<(Stream, Peer), DialError> {
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
                        tune(&stream, tcp);
                        return Ok((Stream::Tcp(stream), Peer::Tcp(address)));
                    }
                    Err(error) => last = DialError::Refused(error),
                }
            }
            Err(last)
        }
    }
}

/// Small messages leave at once, and what else is wanted. A socket that takes some
/// of it not still works.
pub(super) fn tune<S: AsFd>(socket: &S, tcp: Tcp) {
    let socket = socket2::SockRef::from(socket);
    let _ = socket.set_tcp_nodelay(true);
    let _ = socket.set_keepalive(tcp.keepalive);
    if tcp.keepalive {
        let mut keepalive = TcpKeepalive::new();
        if !tcp.idle.is_zero() {
            keepalive = keepalive.with_time(tcp.idle);
        }
        if !tcp.interval.is_zero() {
            keepalive = keepalive.with_interval(tcp.interval);
        }
        if tcp.count > 0 {
            keepalive = keepalive.with_retries(tcp.count);
        }
        let _ = socket.set_tcp_keepalive(&keepalive);
    }
    #[cfg(target_os = "linux")]
    if !tcp.user_timeout.is_zero() {
        let _ = socket.set_tcp_user_timeout(Some(tcp.user_timeout));
    }
    if tcp.buffer > 0 {
        let bytes = usize::try_from(tcp.buffer).unwrap_or(usize::MAX);
        let _ = socket.set_recv_buffer_size(bytes);
        let _ = socket.set_send_buffer_size(bytes);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn a_socket_is_set_up_as_wanted() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let target = Target::new("127.0.0.1", listener.local_addr().unwrap().port());
        let tcp = Tcp {
            keepalive: true,
            idle: Duration::from_secs(77),
            interval: Duration::from_secs(7),
            count: 3,
            ..Tcp::default()
        };
        let (stream, _) = dial(&target, tcp, Duration::from_secs(5)).await.unwrap();
        let Stream::Tcp(stream) = stream else {
            panic!("not TCP")
        };
        let socket = socket2::SockRef::from(&stream);
        assert!(socket.keepalive().unwrap() && socket.tcp_nodelay().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), tcp.idle);
        assert_eq!(socket.tcp_keepalive_interval().unwrap(), tcp.interval);
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), 3);
    }
}
