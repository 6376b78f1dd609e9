//! Opening a connection to a server.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::time::Duration;

use socket2::TcpKeepalive;
use tokio::net::{TcpStream, UnixStream};
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

/// One address that a server is reached by; a name may have several.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Place {
    /// Address and port.
    Tcp(SocketAddr),
    /// Path of a Unix-domain socket.
    Unix(std::path::PathBuf),
}

/// Why a server could not be reached.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// Nobody answered in time.
    #[error("timed out")]
    TimedOut,
    /// It refused.
    #[error("{0}")]
    Refused(io::Error),
}

impl DialError {
    /// What may be behind it.
    #[must_use]
    pub fn hint(&self, place: &Place) -> Option<&'static str> {
        use io::ErrorKind as Kind;
        let DialError::Refused(error) = self else {
            return Some(NOBODY_ANSWERS);
        };
        Some(match (error.kind(), place) {
            (Kind::ConnectionRefused, Place::Tcp(_)) => {
                "Nothing listens at that address and port: does PostgreSQL run there, is it the right port, \
                 and do its listen_addresses hold that address?"
            }
            (Kind::ConnectionRefused | Kind::NotFound, Place::Unix(_)) => {
                "Nobody listens at that socket: does PostgreSQL run on this machine, is host one of its \
                 unix_socket_directories, and is it the right port?"
            }
            (Kind::PermissionDenied, Place::Unix(_)) => {
                "The user that pgweave runs as may not use that socket: see unix_socket_permissions of the server."
            }
            (Kind::HostUnreachable | Kind::NetworkUnreachable, _) => {
                "There is no way from here to that network: look at routes and firewalls, and whether the \
                 address is one of IPv6 where only IPv4 works."
            }
            (Kind::TimedOut, _) => NOBODY_ANSWERS,
            _ => return None,
        })
    }
}

const NOBODY_ANSWERS: &str = "Nothing answers: a firewall or a security group between here and there may drop \
     what is sent, or the address is nobody's.";

/// Connects to a server.
///
/// # Errors
/// [`DialError`].
///
/// # Cancel safety
/// Dropping it closes the half-open socket.
pub async fn dial(place: &Place, tcp: Tcp, within: Duration) -> Result<(Stream, Peer), DialError> {
    let connected = timeout(within, connect(place, tcp)).await;
    match connected {
        Ok(connected) => connected.map_err(DialError::Refused),
        Err(_) => Err(DialError::TimedOut),
    }
}

async fn connect(place: &Place, tcp: Tcp) -> io::Result<(Stream, Peer)> {
    match place {
        Place::Unix(path) => {
            let stream = UnixStream::connect(path).await?;
            Ok((Stream::Unix(stream), Peer::Unix))
        }
        Place::Tcp(address) => {
            let stream = TcpStream::connect(address).await?;
            tune(&stream, tcp);
            Ok((Stream::Tcp(stream), Peer::Tcp(*address)))
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
        let place = Place::Tcp(listener.local_addr().unwrap());
        let tcp = Tcp {
            keepalive: true,
            idle: Duration::from_secs(77),
            interval: Duration::from_secs(7),
            count: 3,
            ..Tcp::default()
        };
        let (stream, _) = dial(&place, tcp, Duration::from_secs(5)).await.unwrap();
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
