//! One client's life: login, wait, relay, end.
//!
//! One task a client drives its socket and the leased server's. This room
//! joins the machines of the lower floors; what frames mean is `session`'s
//! knowledge, who gets which connection is `pool`'s.

mod access;
mod client;
pub mod console;
mod deadlines;
mod downstream;
mod house;
mod intro;
mod login;
mod moving;
mod proxy_protocol;
mod rehearsal;
mod renewal;
mod replication;
mod session_state;
mod slow;
#[cfg(feature = "otel")]
pub mod spans;
mod statements;
mod traced;
mod unleased;
mod upstream;
mod wrap_up;

pub use access::{Access, files_of as login_files, mistakes as login_mistakes};
pub use house::{Connected, House};
pub use login::serve;
pub use moving::{Arrivals, Before, Begins, Departure, Exit, Listens, Luggage, Taken, dialect};
pub use rehearsal::{Attempt, Facts, Fine, Limits, Load, Purpose, Rehearsal, Share, Whose, Wrong};
pub use session_state::{pin_names, pin_reasons};
