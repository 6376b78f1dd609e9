//! The old process waits for one that goes on with its work.

use std::fs;
use std::io;
use std::net::TcpListener as StdTcp;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UnixListener;
use tokio::sync::mpsc::Sender;
use tokio::time::{sleep, timeout};

use super::messages::{Ask, Open, Tell, VERSION, hear, say};
use crate::net::{Courier, Listener, tcp_passed};
use crate::proxy::{Begins, House, dialect};

/// The other process says at once what it wants.
const HELLO: Duration = Duration::from_secs(5);

/// And begins to listen within this.
const SERVING: Duration = Duration::from_secs(60);

/// After accept(2) has failed.
const PAUSE: Duration = Duration::from_millis(100);

/// So often the place of another process is looked at before it is taken for one that
/// stays.
const ATTEMPTS: usize = 50;

/// One that has begun to serve.
#[derive(Debug)]
pub(in crate::app) struct Successor {
    /// Talks with it.
    pub courier: Arc<Courier>,
}

impl Successor {
    /// It has those who come from now on.
    ///
    /// # Errors
    /// It is gone.
    pub async fn let_in(&self) -> io::Result<()> {
        timeout(HELLO, say(&self.courier, &Tell::PlaceIsFree, &[])).await?
    }

    /// It has all that there was.
    pub async fn finish(&self) {
        let _ = timeout(HELLO, say(&self.courier, &Tell::Done, &[])).await;
    }
}

/// What can be taken over.
#[derive(Debug)]
pub(in crate::app) struct Offer {
    pub house: Arc<House>,
    /// Where clients come.
    pub listeners: Vec<Arc<Listener>>,
    /// Where HTTP is spoken.
    pub http: Option<Arc<StdTcp>>,
    /// The system has opened these.
    pub are_all: bool,
}

/// The socket at which it is offered; its file goes with it.
pub(in crate::app) struct Door {
    listener: UnixListener,
    path: PathBuf,
    file: (u64, u64),
}

impl Door {
    /// Opens it, as soon as a process that is ending has left; where that is not possible,
    /// that is logged.
    ///
    /// # Cancel safety
    /// Dropped before its end, there is none.
    pub async fn at(path: &Path) -> Option<Self> {
        let mut opened = Self::open(path);
        for _ in 0..ATTEMPTS {
            match &opened {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => sleep(PAUSE).await,
                Ok(_) | Err(_) => break,
            }
            opened = Self::open(path);
        }
        match opened {
            Ok(door) => Some(door),
            Err(error) => {
                let path = path.display();
                tracing::warn!("takeover_socket {path}: {error}: no process can take over");
                None
            }
        }
    }

    /// A file that nobody listens on is replaced.
    fn open(path: &Path) -> io::Result<Self> {
        if std::os::unix::net::UnixStream::connect(path).is_ok() {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        match fs::symlink_metadata(path) {
            Ok(about) if is_socket(&about) => fs::remove_file(path)?,
            Ok(_) => return Err(io::ErrorKind::AlreadyExists.into()),
            Err(_) => {}
        }
        let listener = UnixListener::bind(path)?;
        // Who could open it before is asked who he is all the same.
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        let about = fs::symlink_metadata(path)?;
        Ok(Self {
            listener,
            path: path.to_owned(),
            file: (about.dev(), about.ino()),
        })
    }
}

fn is_socket(about: &fs::Metadata) -> bool {
    std::os::unix::fs::FileTypeExt::is_socket(&about.file_type())
}

impl Drop for Door {
    fn drop(&mut self) {
        let is_ours = |about: fs::Metadata| (about.dev(), about.ino()) == self.file;
        if fs::symlink_metadata(&self.path).is_ok_and(is_ours) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Offer {
    /// Waits for a process that takes over, as long as it takes, and sends it when it
    /// has begun to serve. Returns when that is so.
    ///
    /// # Cancel safety
    /// Dropped before its end, all stays as it is.
    pub async fn wait(self: Arc<Self>, door: Door, found: Sender<Successor>) {
        loop {
            let Ok((stream, _)) = door.listener.accept().await else {
                sleep(PAUSE).await;
                continue;
            };
            let met = match Courier::new(stream, None) {
                Ok(courier) => self.meet(Arc::new(courier)).await,
                Err(error) => Err(error),
            };
            match met {
                Ok(successor) => {
                    drop(door);
                    let _ = found.send(successor).await;
                    return;
                }
                Err(error) => tracing::warn!("nobody has taken over: {error}"),
            }
        }
    }

    async fn meet(&self, courier: Arc<Courier>) -> io::Result<Successor> {
        let over = || io::Error::from(io::ErrorKind::UnexpectedEof);
        let hello = timeout(HELLO, hear(&courier)).await??;
        match hello.ok_or_else(over)?.0 {
            Ask::Hello { version: VERSION } => {}
            Ask::Hello { .. } | Ask::Serving | Ask::Took(_) | Ask::Left(_) | Ask::Cancel(_) => {
                let why = format!("this process speaks version {VERSION} and no other");
                say(&courier, &Tell::Refusal(why.clone()), &[]).await?;
                return Err(io::Error::other(why));
            }
        }
        let within = timeout(SERVING, async {
            self.tell(&courier).await?;
            match hear(&courier).await?.ok_or_else(over)?.0 {
                Ask::Serving => io::Result::Ok(()),
                Ask::Hello { .. } | Ask::Took(_) | Ask::Left(_) | Ask::Cancel(_) => {
                    Err(io::ErrorKind::InvalidData.into())
                }
            }
        });
        within.await??;
        Ok(Successor { courier })
    }

    async fn tell(&self, courier: &Courier) -> io::Result<()> {
        let pools = self.house.directory.pools();
        let welcome = Tell::Welcome {
            version: VERSION,
            dialect: dialect(),
            orders: self.house.directory.orders(),
            open: pools.iter().map(|pool| Open::of(pool)).collect(),
            begins: pools.iter().flat_map(Begins::of_all).collect(),
            are_all: self.are_all,
            sockets: self.listeners.len() + usize::from(self.http.is_some()),
        };
        say(courier, &welcome, &[]).await?;
        for listener in &self.listeners {
            let (kind, descriptors) = listener.passed();
            say(courier, &Tell::Socket(kind), &descriptors).await?;
        }
        if let Some(http) = &self.http {
            let (_, descriptors) = tcp_passed(&**http);
            say(courier, &Tell::Http, &descriptors).await?;
        }
        Ok(())
    }
}
