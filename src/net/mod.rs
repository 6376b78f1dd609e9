//! Sockets: streams, TLS, the shared scratch buffer, listening and dialling.
//!
//! The first floor that knows tokio. Moves bytes; never reads a frame.

mod dial;
mod listen;
pub mod scratch;
mod stream;
pub mod tls;

pub use dial::{DialError, Target, dial};
pub use listen::{ListenOptions, Listener, listen};
pub use stream::{Outbox, Peer, Stream};
