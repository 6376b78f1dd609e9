//! Sockets: streams, TLS, the shared scratch buffer, listening and dialling.
//!
//! The first floor that knows tokio. Moves bytes; never reads a frame.

mod dial;
mod listen;
mod listen_unix;
mod names;
pub mod scratch;
mod socket_lock;
mod stream;
pub mod tls;

pub use dial::{DialError, Place, Target, dial};
pub use listen::{ListenOptions, Listener, listen, listen_unix};
pub use listen_unix::UnixPlace;
pub use names::{Names, Resolve, Resolved, Ttl};
pub use stream::{Outbox, Peer, Stream};
