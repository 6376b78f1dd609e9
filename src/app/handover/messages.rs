//! What the two processes say to each other: JSON, since they may be of different
//! versions.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::auth::CarriedCredential;
use crate::net::{Courier, ListenerKind};
use crate::pool::{HandedServer, Orders, ServerPool};
use crate::proxy::{Begins, Listens, Luggage};

/// Raised when what is said changes so that an older process would go wrong.
pub(super) const VERSION: u32 = 2;

/// By the new process.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Ask {
    /// It wants to go on with the work.
    Hello {
        /// [`VERSION`].
        version: u32,
    },
    /// It is ready: as soon as it hears [`Tell::PlaceIsFree`] it has those who come.
    Serving,
    /// It has this client, by its number, and is about to serve it.
    Took(u64),
    /// It cannot have it.
    Left(u64),
    /// A cancel request whose key it does not know.
    Cancel(Vec<u8>),
}

/// The server connections of one pool in the old process.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Open {
    /// The database.
    pub database: String,
    /// The role.
    pub user: String,
    /// How many there are.
    pub count: u32,
}

impl Open {
    /// As it is now.
    pub fn of(pool: &ServerPool) -> Self {
        Self {
            database: pool.database.clone(),
            user: pool.server_user.clone(),
            count: pool.open(),
        }
    }
}

/// By the old process.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Tell {
    /// It lets the other one. The sockets follow.
    Welcome {
        /// [`VERSION`].
        version: u32,
        /// [`crate::proxy::dialect`].
        dialect: u32,
        /// What has been ordered on the console.
        orders: Orders,
        /// The server connections that there are.
        open: Vec<Open>,
        /// What sessions begin with.
        begins: Vec<Begins>,
        /// The sockets are those that the system has opened, and all that is to be
        /// listened on.
        are_all: bool,
        /// So many follow.
        sockets: usize,
    },
    /// It does not, for this reason.
    Refusal(String),
    /// So be it: this one lets nobody in any more, and the place where the next process
    /// asks is free.
    PlaceIsFree,
    /// A listening socket goes with it.
    Socket(ListenerKind),
    /// That of HTTP.
    Http,
    /// What clients have shown, for a pool that has it from them.
    Credential {
        /// The database.
        database: String,
        /// The role.
        user: String,
        /// It.
        credential: CarriedCredential,
    },
    /// An idle server connection; so many others of its pool are left.
    Server(HandedServer, u32),
    /// The server connections of a pool are these by now.
    Open(Open),
    /// A client that is about to come listens.
    Listens(Listens),
    /// A client.
    Client(Box<Luggage>),
    /// That was all.
    Done,
}

/// Says something, with descriptors beside it.
///
/// # Errors
/// Whatever the connection reports.
pub(super) async fn say(
    courier: &Courier,
    what: &impl Serialize,
    beside: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let written = Zeroizing::new(serde_json::to_vec(what)?);
    courier.send(&written, beside).await
}

/// The next that is said; `None` at the end.
///
/// # Errors
/// Whatever the connection reports, and `InvalidData` for what makes no sense.
pub(super) async fn hear<T: DeserializeOwned>(
    courier: &Courier,
) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    match courier.receive().await? {
        Some((message, beside)) => {
            // What is wrong with it is not told: it may be secret.
            let what = serde_json::from_slice(&message);
            let what = what.map_err(|_| io::Error::other("what was said makes no sense"))?;
            Ok(Some((what, beside)))
        }
        None => Ok(None),
    }
}
