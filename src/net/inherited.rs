//! Listening sockets that another process has opened: the one that ran before this
//! one, or the system (socket activation).

use std::io;
use std::net::{SocketAddr, TcpListener as StdTcp};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener as StdUnix;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::socket_lock::SocketLock;

/// A listening socket as it is told of to another process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// TCP; the socket itself knows where.
    Tcp,
    /// A Unix socket by this path.
    Unix(PathBuf),
}

/// The sockets that nobody listens on yet in this process.
#[derive(Debug, Default)]
pub struct Inherited {
    tcp: Vec<(SocketAddr, StdTcp)>,
    unix: Vec<OfUnix>,
    /// They are all that is to be listened on, whatever the configuration says.
    pub are_all: bool,
}

/// A Unix socket, and the lock on its place, if somebody has one.
#[derive(Debug)]
pub(super) struct OfUnix {
    pub path: PathBuf,
    pub listener: StdUnix,
    pub lock: Option<SocketLock>,
}

impl Inherited {
    /// What the system has opened for this process (`sd_listen_fds(3)`), if it has;
    /// to be called before there are threads.
    ///
    /// # Errors
    /// One of them does not listen.
    pub fn from_system() -> io::Result<Self> {
        let mut given = listenfd::ListenFd::from_env();
        let mut inherited = Self::default();
        for at in 0..given.len() {
            if let Ok(Some(socket)) = given.take_tcp_listener(at) {
                inherited.add_tcp(socket)?;
            } else if let Some(listener) = given.take_unix_listener(at)? {
                let path = listener.local_addr()?;
                let path = path.as_pathname().unwrap_or(Path::new("")).to_owned();
                listener.set_nonblocking(true)?;
                let lock = None;
                inherited.unix.push(OfUnix {
                    path,
                    listener,
                    lock,
                });
            }
            inherited.are_all = true;
        }
        Ok(inherited)
    }

    /// One that another process has passed on, with the descriptors that came with it.
    ///
    /// # Errors
    /// They are not what they should be.
    pub fn add(&mut self, kind: Kind, descriptors: Vec<OwnedFd>) -> io::Result<()> {
        let mut descriptors = descriptors.into_iter();
        let socket = descriptors.next();
        let socket = socket.ok_or(io::ErrorKind::InvalidData)?;
        match kind {
            Kind::Tcp => self.add_tcp(StdTcp::from(socket)),
            Kind::Unix(path) => {
                let lock = descriptors
                    .next()
                    .map(|file| SocketLock::passed(&path, file));
                let listener = StdUnix::from(socket);
                listener.set_nonblocking(true)?;
                self.unix.push(OfUnix {
                    path,
                    listener,
                    lock,
                });
                Ok(())
            }
        }
    }

    fn add_tcp(&mut self, socket: StdTcp) -> io::Result<()> {
        socket.set_nonblocking(true)?;
        self.tcp.push((socket.local_addr()?, socket));
        Ok(())
    }

    /// The one at this address; port 0 is any.
    #[must_use]
    pub fn tcp_at(&mut self, address: SocketAddr) -> Option<StdTcp> {
        let is_it = |(other, _): &(SocketAddr, StdTcp)| {
            other.ip() == address.ip() && (address.port() == 0 || other.port() == address.port())
        };
        let at = self.tcp.iter().position(is_it)?;
        Some(self.tcp.remove(at).1)
    }

    /// The one that is left and was opened first.
    pub(super) fn any_tcp(&mut self) -> Option<StdTcp> {
        (!self.tcp.is_empty()).then(|| self.tcp.remove(0).1)
    }

    /// The one with this path.
    pub(super) fn unix_at(&mut self, path: &Path) -> Option<OfUnix> {
        let at = self.unix.iter().position(|other| other.path == path)?;
        Some(self.unix.remove(at))
    }

    pub(super) fn any_unix(&mut self) -> Option<OfUnix> {
        (!self.unix.is_empty()).then(|| self.unix.remove(0))
    }
}

/// A socket that can be passed on: what it is, and its descriptors.
pub type Passed<'a> = (Kind, Vec<BorrowedFd<'a>>);

/// A TCP socket, to be passed on.
pub fn tcp_passed(socket: &impl AsFd) -> Passed<'_> {
    (Kind::Tcp, vec![socket.as_fd()])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn each_socket_is_taken_once_and_where_it_belongs() {
        let [one, two] = [(); 2].map(|()| StdTcp::bind("127.0.0.1:0").unwrap());
        let [first, second] = [&one, &two].map(|socket| socket.local_addr().unwrap());
        let mut inherited = Inherited::default();
        inherited.add(Kind::Tcp, vec![one.into()]).unwrap();
        inherited.add(Kind::Tcp, vec![two.into()]).unwrap();
        assert!(inherited.tcp_at("127.0.0.2:0".parse().unwrap()).is_none());
        let taken = inherited.tcp_at(second).unwrap();
        assert_eq!(taken.local_addr().unwrap(), second);
        assert!(inherited.tcp_at(second).is_none());
        let any = inherited.tcp_at("127.0.0.1:0".parse().unwrap()).unwrap();
        assert_eq!(any.local_addr().unwrap(), first);
        assert!(inherited.any_tcp().is_none() && inherited.any_unix().is_none());
        assert!(inherited.add(Kind::Tcp, Vec::new()).is_err());
    }
}
