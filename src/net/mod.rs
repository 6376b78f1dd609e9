//! Sockets: streams, TLS, the shared scratch buffer, listening and dialling.
//!
//! The first floor that knows tokio. Moves bytes; never reads a frame.

mod courier;
mod dial;
mod inherited;
mod listen;
mod listen_unix;
mod names;
pub mod scratch;
mod socket_lock;
mod stream;
pub mod tls;

pub use courier::{Courier, Delivery};
pub use dial::{DialError, Place, Target, dial};
pub use inherited::{Inherited, Kind as ListenerKind, Passed, tcp_passed};
pub use listen::{ListenOptions, Listener, listen, listen_on_all, listen_unix};
pub use listen_unix::UnixPlace;
pub use names::{Names, Resolve, Resolved, Ttl};
pub use stream::{Outbox, Peer, Stream};
