//! Listening on a Unix socket (`runtime-config-connection.html#GUC-UNIX-SOCKET-DIRECTORIES`).

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, lchown};
use std::os::unix::net::UnixStream as StdStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::stat::{Mode, umask};
use nix::unistd::Group;
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::UnixListener;

use super::inherited::{Kind, OfUnix, Passed};
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
    /// Device and inode; none where the file is the system's to remove.
    file: Option<(u64, u64)>,
    is_passed_on: AtomicBool,
    /// Freed last.
    lock: Option<SocketLock>,
}

impl UnixPlace {
    /// The socket's path.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.directory
            .join(format!(".s.PGSQL.{port}", port = self.port))
    }
}

impl UnixSocket {
    /// Listens there. A file that a process left behind is replaced, one that
    /// somebody listens on is not.
    pub fn bind(place: &UnixPlace, backlog: i32) -> io::Result<Self> {
        let path = place.path();
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
        let file = Some(number_of_file(&path)?);
        if let Some(group) = &place.group {
            lchown(&path, None, Some(number_of(group)?))?;
        }
        socket.listen(backlog)?;
        Ok(Self {
            listener: UnixListener::from_std(socket.into())?,
            path,
            file,
            is_passed_on: AtomicBool::new(false),
            lock: Some(lock),
        })
    }

    /// One that another process has opened; its file goes with it where its place is
    /// locked, that is, was not the system's.
    pub fn adopt(inherited: OfUnix) -> io::Result<Self> {
        let OfUnix {
            path,
            listener,
            lock,
        } = inherited;
        let file = match lock {
            Some(_) => number_of_file(&path).ok(),
            None => None,
        };
        Ok(Self {
            listener: UnixListener::from_std(listener)?,
            path,
            file,
            // Until the process of before has let go of them.
            is_passed_on: AtomicBool::new(true),
            lock,
        })
    }

    /// To be passed on: the socket, and the lock on its place.
    pub fn passed(&self) -> Passed<'_> {
        let lock = self.lock.as_ref().map(SocketLock::descriptor);
        let all = [Some(self.listener.as_fd()), lock].into_iter().flatten();
        (Kind::Unix(self.path.clone()), all.collect())
    }

    /// From now on its files are another process's, or this one's again.
    pub fn is_passed_on(&self, passed: bool) {
        self.is_passed_on.store(passed, Ordering::Relaxed);
        if let Some(lock) = &self.lock {
            lock.is_passed_on(passed);
        }
    }
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        let is_there = number_of_file(&self.path).ok();
        let is_ours = self.file.is_some() && is_there == self.file;
        if is_ours && !self.is_passed_on.load(Ordering::Relaxed) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Device and inode.
fn number_of_file(path: &Path) -> io::Result<(u64, u64)> {
    let about = fs::symlink_metadata(path)?;
    Ok((about.dev(), about.ino()))
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
