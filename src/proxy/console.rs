//! The way to the console: clients that ask for one of its databases log in
//! like others, and are then served by somebody on a floor above.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use tokio::net::UnixStream;

use super::house::{Connected, House};
use crate::net::{Peer, Stream};
use crate::wire::backend;
use crate::wire::startup::Startup;

/// The databases that the console answers to.
pub const NAMES: [&str; 2] = ["pgweave", "pgbouncer"];

/// The user that needs no proof if the system says that it is who runs this process.
const OWNER: &str = "pgbouncer";

/// So many connections beyond `max_client_conn` may be the console's: when
/// there are too many clients, somebody wants to see why.
const BEYOND: u32 = 20;

/// What serves the visit of a client that has logged in to the console.
pub type Served = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Whoever serves the console.
pub trait Console: fmt::Debug + Send + Sync {
    /// Serves one client to its end.
    fn serve(&self, house: Arc<House>, visitor: Visitor) -> Served;
}

/// A client of the console.
#[derive(Debug)]
pub struct Visitor {
    /// Its connection.
    pub stream: Stream,
    /// Where it is.
    pub peer: Peer,
    /// What it has said of itself.
    pub startup: Startup,
    /// It runs as the same user of the system as this process.
    pub is_owner: bool,
    /// What it is told first: that it has proven who it is.
    pub accepted: Vec<u8>,
    /// What it has sent already.
    pub ahead: Vec<u8>,
    /// It counts as a connection.
    pub connected: Connected,
}

/// A visitor before it is known where it is.
pub(super) struct Visit {
    pub startup: Startup,
    pub is_owner: bool,
    pub accepted: Vec<u8>,
    pub ahead: Vec<u8>,
}

impl Visit {
    /// Has it served.
    pub async fn serve(self, house: Arc<House>, stream: Stream, peer: Peer, connected: Connected) {
        let Some(console) = house.console().cloned() else {
            return;
        };
        let visitor = Visitor {
            stream,
            peer,
            startup: self.startup,
            is_owner: self.is_owner,
            accepted: self.accepted,
            ahead: self.ahead,
            connected,
        };
        console.serve(house, visitor).await;
    }
}

/// Does the client ask for the console?
pub(super) fn is_asked_for(startup: &Startup) -> bool {
    NAMES.contains(&startup.database.as_str())
}

/// How many connections there may be for one like this.
pub(super) fn most_connections(startup: &Startup, max_client_conn: u32) -> u32 {
    match is_asked_for(startup) {
        true => max_client_conn.saturating_add(BEYOND),
        false => max_client_conn,
    }
}

/// The frames that let in one who need not prove anything, because the system
/// does: `is_same_uid` says that it runs as the user of this process.
pub(super) fn vouched_for(startup: &Startup, is_same_uid: bool) -> Option<Vec<u8>> {
    let is_owner = is_same_uid && is_asked_for(startup) && startup.user == OWNER;
    is_owner.then(|| backend::AUTHENTICATION_OK.to_vec())
}

/// Does a process of this process's own user of the system stand at the other end?
pub(super) fn is_same_uid(stream: &Stream) -> bool {
    let Stream::Unix(stream) = stream else {
        return false;
    };
    let own = UnixStream::pair().and_then(|(end, _)| end.peer_cred());
    match (stream.peer_cred(), own) {
        (Ok(peer), Ok(own)) => peer.uid() == own.uid(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn startup(user: &str, database: &str) -> Startup {
        Startup {
            user: user.into(),
            database: database.into(),
            ..Startup::default()
        }
    }

    #[test]
    fn only_the_owner_by_its_name_on_the_console_needs_no_proof() {
        let vouched = |user, database, same| vouched_for(&startup(user, database), same).is_some();
        assert!(vouched("pgbouncer", "pgbouncer", true) && vouched("pgbouncer", "pgweave", true));
        assert!(!vouched("pgbouncer", "pgbouncer", false));
        assert!(!vouched("postgres", "pgbouncer", true) && !vouched("pgbouncer", "app", true));
    }

    #[test]
    fn a_few_may_come_to_the_console_when_no_other_may() {
        assert_eq!(most_connections(&startup("a", "app"), 5), 5);
        assert_eq!(most_connections(&startup("a", "pgweave"), 5), 25);
    }

    #[tokio::test]
    async fn a_process_of_ones_own_is_known() {
        let pair = UnixStream::pair();
        assert!(pair.is_ok_and(|(one, _two)| is_same_uid(&Stream::Unix(one))));
        assert!(!is_same_uid(&Stream::Closed));
    }
}
