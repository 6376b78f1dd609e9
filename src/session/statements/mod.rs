//! Prepared statements: what a client calls them, what a server holds.
//!
//! A client's name maps to a [`Statement`], an identity shared by all clients
//! whose text, parameter types and parse environment are the same. A server
//! connection keeps a bounded set of identities under names of ours. Maps are
//! changed when a message is sent, and changed back when the server did not
//! do what the message asked ([`Op`]).

mod calls;
mod client;
mod identity;
mod op;
mod registry;
mod server;
mod unnamed;

pub use calls::{Calls, Effect};
pub use client::{ClientStatements, Named, SIGNIFICANT};
pub use identity::{
    FIRST_ID, PREFIX, ServerName, Statement, depends_on_settings, number_from, private,
    private_in_doubt, private_of, touches,
};
pub use op::Op;
pub use registry::{Catalog, Changing, Registry};
pub use server::{Held, ServerStatements, UNKNOWN_SHAPE};
pub use unnamed::{UNNAMED_NONE, UNNAMED_UNKNOWN, Unnamed};
