//! Listening on a Unix socket (`runtime-config-connection.html#GUC-UNIX-SOCKET-DIRECTORIES`).

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::net::UnixStream as StdStream;
use std::path::{Path, PathBuf};

use nix::unistd::Group;
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::UnixListener;

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
}

impl UnixSocket {
    /// Listens there. A file that a process left behind is replaced, one that
    /// somebody listens on is not.
    pub fn bind(place: &UnixPlace, backlog: i32) -> io::Result<Self> {
        let path = place
            .directory
            .join(format!(".s.PGSQL.{port}", port = place.port));
        remove_abandoned(&path)?;
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.bind(&SockAddr::unix(&path)?)?;
        let about = fs::metadata(&path)?;
        let file = (about.dev(), about.ino());
        if let Some(group) = &place.group {
            chown(&path, None, Some(number_of(group)?))?;
        }
        fs::set_permissions(&path, Permissions::from_mode(place.mode))?;
        socket.listen(backlog)?;
        Ok(Self {
            listener: UnixListener::from_std(socket.into())?,
            path,
            file,
        })
    }
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        let is_ours = |about: fs::Metadata| (about.dev(), about.ino()) == self.file;
        if fs::metadata(&self.path).is_ok_and(is_ours) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Removes a socket that nobody listens on.
fn remove_abandoned(path: &Path) -> io::Result<()> {
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
