//! Listening on a Unix socket (`runtime-config-connection.html#GUC-UNIX-SOCKET-DIRECTORIES`).

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, lchown};
use std::os::unix::net::UnixStream as StdStream;
use std::path::{Path, PathBuf};

use nix::sys::stat::{Mode, umask};
use nix::unistd::Group;
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::UnixListener;

use super::socket_lock::SocketLock;

/// Where a socket is to be, and who may use it.
#[derive(Debug, Clone)]
pub struct UnixPlace {
    /// The directory, which is there already.
    pub directory: PathBuf,
    /// The number in the socket's name.
    pub port: u16,
    /// Permission bits.
    pub mode: u32,
    /// A group's name or number.
    pub group: Option<String>,
}

/// A Unix socket that clients connect to. Its file is removed with it, unless
/// somebody else has put another in its place.
#[derive(Debug)]
pub(super) struct UnixSocket {
    pub listener: UnixListener,
    pub path: PathBuf,
    /// Device and inode.
    file: (u64, u64),
    /// Freed last.
    _lock: SocketLock,
}

impl UnixSocket {
    /// Listens there. A file that a process left behind is replaced, one that
    /// somebody listens on is not.
    pub fn bind(place: &UnixPlace, backlog: i32) -> io::Result<Self> {
        let path = place
            .directory
            .join(format!(".s.PGSQL.{port}", port = place.port));
        let lock = SocketLock::take(&path)?;
        remove_abandoned(&path)?;
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        // The file has its permissions from its first moment on, and no link that
        // somebody puts in its place is followed: this may be root.
        let kept = umask(Mode::from_bits_truncate(!place.mode & 0o777));
        let bound = socket.bind(&SockAddr::unix(&path)?);
        umask(kept);
        bound?;
        let about = fs::symlink_metadata(&path)?;
        let file = (about.dev(), about.ino());
        if let Some(group) = &place.group {
            lchown(&path, None, Some(number_of(group)?))?;
        }
        socket.listen(backlog)?;
        Ok(Self {
            listener: UnixListener::from_std(socket.into())?,
            path,
            file,
            _lock: lock,
        })
    }
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        let is_ours = |about: fs::Metadata| (about.dev(), about.ino()) == self.file;
        if fs::symlink_metadata(&self.path).is_ok_and(is_ours) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Removes a socket that nobody listens on, and nothing else.
fn remove_abandoned(path: &Path) -> io::Result<()> {
    if !fs::symlink_metadata(path).is_ok_and(|about| about.file_type().is_socket()) {
        return Ok(());
    }
    match StdStream::connect(path) {
        Ok(_) => Err(io::ErrorKind::AddrInUse.into()),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        // Nothing is there, or something that bind(2) will tell about.
        Err(_) => Ok(()),
    }
}

fn number_of(group: &str) -> io::Result<u32> {
    if let Ok(number) = group.parse() {
        return Ok(number);
    }
    match Group::from_name(group) {
        Ok(Some(group)) => Ok(group.gid.as_raw()),
        Ok(None) => Err(io::Error::other(format!("there is no group {group:?}"))),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Barrier;

    use tokio::runtime::Handle;

    use super::*;

    /// In a directory of its own.
    fn a_place(name: &str) -> UnixPlace {
        let name = format!("pgweave-{name}-{}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir_all(&directory).unwrap();
        UnixPlace {
            directory,
            port: 1,
            mode: 0o600,
            group: None,
        }
    }

    #[tokio::test]
    async fn what_is_no_socket_stays() {
        let place = a_place("unix");
        let directory = &place.directory;
        let file = directory.join(".s.PGSQL.1");
        fs::write(&file, "precious").unwrap();
        assert!(UnixSocket::bind(&place, 1).is_err());
        assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
        fs::remove_file(&file).unwrap();
        let socket = UnixSocket::bind(&place, 1).unwrap();
        assert!(UnixSocket::bind(&place, 1).is_err(), "in use");
        drop(socket);
        assert_eq!(fs::read_dir(directory).unwrap().count(), 0);
        fs::remove_dir_all(directory).unwrap();
    }

    /// Each of some threads binds it once at the same moment.
    fn bind_at_once(place: &UnixPlace) -> Vec<UnixSocket> {
        const THREADS: usize = 8;
        let (start, runtime) = (Barrier::new(THREADS), Handle::current());
        std::thread::scope(|scope| {
            let bind = || {
                let _inside = runtime.enter();
                start.wait();
                UnixSocket::bind(place, 64)
            };
            let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(bind)).collect();
            let bound = threads.into_iter().map(|thread| thread.join().unwrap());
            bound.filter_map(Result::ok).collect()
        })
    }

    #[tokio::test]
    async fn of_those_that_start_at_once_one_gets_the_socket_and_keeps_it() {
        let place = a_place("lock");
        let directory = &place.directory;
        let path = directory.join(".s.PGSQL.1");
        for round in 0..200 {
            // Left behind by one that has died.
            drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
            let bound = bind_at_once(&place);
            assert_eq!(bound.len(), 1, "round {round}");
            assert!(StdStream::connect(&path).is_ok(), "round {round}");
            drop(bound);
            assert!(!path.exists());
        }
        fs::remove_dir_all(directory).unwrap();
    }
}
