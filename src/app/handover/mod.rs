//! A process goes over into the next one, and no client hears of it.
//!
//! ```text
//!   the old process                         the new one (-R)
//!   listens on takeover_socket  <---------  Hello
//!   its listening sockets       --------->  listens on them, accepts
//!   stops accepting             <---------  Serving
//!   credentials, idle server connections,
//!   clients at their boundaries --------->  serves them
//!   cancels what it still has   <---------  Cancel (keys it does not know)
//!   its last client has left    --------->  Done
//! ```
//!
//! Until `Serving` has come nothing has changed for the old process; and when the new
//! one dies before `Done`, it listens again and keeps whom it still has.

mod giving;
mod messages;
mod offer;
mod spawn;
mod taking;
mod way;

pub(super) use giving::{Outcome, hand_over};
pub(super) use offer::{Door, Offer, Successor};
pub(super) use spawn::{FROM, Program};
pub(super) use taking::{Taking, take_over};
