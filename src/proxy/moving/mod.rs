//! Clients that go over to another process, which goes on with the work of this one: at
//! a boundary, with their sockets and all that their sessions are.
//!
//! ```text
//!   this process                                 the other one
//!   Wish::MoveAway -> at a boundary -> Luggage ==========> arrive -> served
//!                                      socket  (SCM_RIGHTS)
//! ```
//!
//! Who is tied to a server connection stays until it no longer is; who is in TLS stays
//! for good: there is more to such a connection than its socket. For one that listens the
//! other process begins to listen first, and marks a position in the order of
//! notifications ([`crate::session::channels`]): what stands before it is told here.

mod arriving;
mod beginnings;
mod leaving;
mod luggage;

use std::os::fd::BorrowedFd;
use std::pin::Pin;
use std::sync::Arc;

pub use arriving::Arrivals;
pub use beginnings::Begins;
pub use luggage::{Listens, Luggage};

use crate::pool::{ServerPool, Shelf};
use crate::wire::CancelKey;
use crate::wire::backend::shape_of;

/// What has become of a client that was to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Departure {
    /// The other process serves it.
    Gone,
    /// It is here.
    Stays,
    /// That cannot be known: nobody may serve it.
    InDoubt,
}

/// See [`Departure`].
pub type Taken<'a> = Pin<Box<dyn Future<Output = Departure> + Send + 'a>>;

/// The way to the other process.
pub trait Exit: std::fmt::Debug + Send + Sync {
    /// Takes a client of this shelf away. Where that fails, it stays.
    fn take<'a>(
        &'a self,
        luggage: Luggage,
        socket: BorrowedFd<'a>,
        shelf: &'a Arc<Shelf>,
    ) -> Taken<'a>;

    /// A client that listens is about to go.
    fn listens(&self, listens: Listens, pool: &Arc<ServerPool>);
}

/// The process of before, which may still have clients.
pub trait Before: std::fmt::Debug + Send + Sync {
    /// Passes a cancel on whose key is not known here; it may be dropped.
    fn cancel(&self, key: &CancelKey);
}

/// Tells whether two processes mean the same by the numbers in
/// [`luggage::Packed::told`]: they come from a hash that may differ between versions.
#[must_use]
pub fn dialect() -> u32 {
    shape_of(b"dialect", b'T', b"\0\0probe").get()
}
