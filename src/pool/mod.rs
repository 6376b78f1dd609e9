//! Who may use which server connection, and when.
//!
//! bb8 keeps the idle connections and their life; it never decides and never
//! waits. A strictly fair [`gate`] stands before it. A [`Lease`] is a server
//! connection in use, given back only with a
//! [`Boundary`](crate::session::Boundary).

mod apart;
mod beginning;
mod budget;
mod checking;
mod cleaning;
mod clients;
mod connection;
mod credentials;
mod directory;
mod gate;
mod generation;
mod handing;
mod headcount;
mod histogram;
mod lease;
mod leasing;
mod listener;
mod orders;
mod passwords;
mod peers;
mod server_pool;
mod servers;
mod shelf;
mod stats;
mod trouble;
mod watch;
mod who;

pub use apart::Apart;
pub use budget::Budget;
pub use clients::{ClientHandle, Clients, Registered, Serving, Wish};
pub use directory::Directory;
pub use handing::{Departing, Elsewhere, HandedServer};
pub use headcount::{ClientLimits, TooMany};
pub use histogram::{BOUNDS_US, Histogram};
pub use lease::Lease;
pub use listener::{Mail, Mailbox, Subscription};
pub use orders::Orders;
pub use peers::{PeerPool, Peers, Requests};
pub use server_pool::ServerPool;
pub use servers::ServerEntry;
pub use shelf::{Beginning, Seeker, Shelf, StartupClass, Welcome};
pub use stats::{Counts, Errors, PoolStats};
pub use watch::Watch;
pub use who::{Alias, NotRegistered, Who};
