//! A lock on the place of a Unix socket, so that of several processes that start
//! at once one gets it, and none takes the file of another for abandoned.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use nix::fcntl::OFlag;

/// How often the file may vanish between opening and locking it: others start and
/// end at that moment.
const ATTEMPTS: usize = 100;

/// The place is ours as long as this lives. A process that dies leaves a file that
/// nobody has locked, which disturbs nobody.
#[derive(Debug)]
pub(super) struct SocketLock {
    path: PathBuf,
    file: File,
    /// Another process has it now, and the file is that one's to remove.
    is_passed_on: AtomicBool,
}

impl SocketLock {
    /// Locks the place of the socket at `socket`.
    ///
    /// # Errors
    /// `AddrInUse` if another process has it; else what keeps the file from being
    /// opened.
    pub fn take(socket: &Path) -> io::Result<Self> {
        let path = beside(socket);
        for _ in 0..ATTEMPTS {
            let file = open(&path)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(io::ErrorKind::AddrInUse.into()),
                Err(TryLockError::Error(error)) => return Err(error),
            }
            // Whoever had it before may have removed it: then the next one
            // would lock another file of that name.
            if is_still_there(&file, &path)? {
                return Ok(Self::of(path, file));
            }
        }
        Err(io::ErrorKind::AddrInUse.into())
    }

    /// The lock of another process, which has passed it on: the system keeps it as
    /// long as anybody has the file open.
    pub fn passed(socket: &Path, file: OwnedFd) -> Self {
        let lock = Self::of(beside(socket), file.into());
        lock.is_passed_on(true);
        lock
    }

    fn of(path: PathBuf, file: File) -> Self {
        let is_passed_on = AtomicBool::new(false);
        Self {
            path,
            file,
            is_passed_on,
        }
    }

    /// To be passed on.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// From now on it is another process's, or this one's again.
    pub fn is_passed_on(&self, passed: bool) {
        self.is_passed_on.store(passed, Ordering::Relaxed);
    }
}

impl Drop for SocketLock {
    fn drop(&mut self) {
        // Before the file is closed, and with it unlocked.
        if !self.is_passed_on.load(Ordering::Relaxed) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// The lock's file. Not by PostgreSQL's name for it: that program would look for a
/// process id.
fn beside(socket: &Path) -> PathBuf {
    let mut path = socket.as_os_str().to_owned();
    path.push(".pgweave.lock");
    path.into()
}

/// Follows no link that somebody puts in its place, and writes nothing: this may
/// be root in /tmp.
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(OFlag::O_NOFOLLOW.bits())
        .open(path)
}

fn is_still_there(file: &File, path: &Path) -> io::Result<bool> {
    let ours = file.metadata()?;
    Ok(fs::symlink_metadata(path)
        .is_ok_and(|there| (there.dev(), there.ino()) == (ours.dev(), ours.ino())))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_place_is_locked_once_and_by_the_file_that_is_there() {
        let folder = std::env::temp_dir().join(format!("pgweave-place-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let socket = folder.join("socket");
        let lock = SocketLock::take(&socket).unwrap();
        let again = SocketLock::take(&socket).map(drop).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AddrInUse);
        // One who has opened the file, and comes to lock it when it is gone.
        let path = lock.path.clone();
        let early = open(&path).unwrap();
        assert!(is_still_there(&early, &path).unwrap());
        drop(lock);
        early.try_lock().unwrap();
        assert!(!is_still_there(&early, &path).unwrap());
        let next = SocketLock::take(&socket).unwrap();
        assert!(!is_still_there(&early, &path).unwrap());
        drop(next);
        assert!(!path.exists());
        // A link is not followed.
        let elsewhere = folder.join("elsewhere");
        std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
        assert!(SocketLock::take(&socket).is_err());
        assert!(!elsewhere.exists());
        fs::remove_dir_all(&folder).unwrap();
    }
}
