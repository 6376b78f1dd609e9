//! The settings of a client, which follow it from server connection to server
//! connection.
//!
//! A text that can change settings is looked at for their names ([`Touched`]).
//! When its transaction has ended the server is asked what they are now: that
//! is the client's [`Profile`]. A server connection with another profile is
//! given this one ahead of the client's next message ([`Change`]).

mod change;
mod defaults;
mod env;
mod idle;
mod profile;
mod reported;
mod spoken_of;
mod touched;

pub use change::Change;
pub use defaults::{Defaults, Set, folded};
pub use env::is_parse_relevant;
pub use idle::IDLE_SESSION_TIMEOUT;
pub use profile::{Env, Profile, Profiles, Settings, value_of};
pub use reported::{Greeting, Reported};
pub use spoken_of::{may_reset_name, speaks_of_name};
pub use touched::Touched;

/// Names that PostgreSQL does not list among the settings, set last and in
/// this order: who one is decides what else one may set.
pub const IDENTITY: [&str; 2] = ["session_authorization", "role"];

/// Set for each client by other means.
pub const APPLICATION_NAME: &str = "application_name";

/// Does a setting go with its client? Not those of the transaction under way,
/// nor what is set by other means.
#[must_use]
pub fn goes_along(name: &str) -> bool {
    name != APPLICATION_NAME && !name.starts_with("transaction_") || name == "transaction_timeout"
}
