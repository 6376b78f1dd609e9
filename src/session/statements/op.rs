//! Changes made ahead of the server's confirmation.

use super::client::Named;
use super::server::Held;
use super::unnamed::Unnamed;
use crate::session::own::Own;

/// A change made ahead of the server's confirmation, with what takes it back.
#[derive(Debug)]
pub enum Op {
    /// A client's name was set or removed; before, it stood for this.
    ClientName {
        /// The name.
        name: Box<[u8]>,
        /// What it stood for before.
        before: Option<Named>,
    },
    /// A name was prepared (or, if it was before, deallocated) by SQL.
    SqlName {
        /// The name.
        name: Box<[u8]>,
        /// Was it a prepared one before?
        before: bool,
    },
    /// No change: the client used this name, longer than PostgreSQL reads it.
    Called {
        /// The statement's identity.
        id: u64,
        /// The name in its full length.
        name: Box<[u8]>,
    },
    /// The server was told to prepare this.
    ServerPrepares(u64),
    /// The server was told to forget this.
    ServerForgets(Held),
    /// The server was asked what this takes and returns.
    AsksShape(u64),
    /// The server was asked under which settings this is parsed.
    AsksEnv(u64),
    /// The server was told to prepare one of the pooler's own.
    ServerPreparesOwn(Own),
    /// The client replaced or lost its unnamed statement.
    Unnamed {
        /// What it was before.
        before: Unnamed,
        /// What the server connection was marked with.
        mark: u64,
    },
    /// The server's unnamed statement was made to agree with the client's.
    UnnamedAgrees,
}
