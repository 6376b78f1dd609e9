//! Idle server connections that another process goes on with: so that a restart opens
//! none anew, and the server never has more than before.

use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::budget::Place as BudgetPlace;
use super::lease::Lease;
use super::server_pool::{Begun, ServerPool};
use super::shelf::{Seeker, Shelf, StartupClass};
use crate::net::{Place, Stream, Target};
use crate::server::{Identity, Server};
use crate::session::Rest;

/// All that is to be known of a server connection besides its socket. Its session is as
/// it was when it was opened.
#[derive(Clone, Serialize, Deserialize)]
pub struct HandedServer {
    /// The database, by the name that clients ask for.
    pub database: String,
    /// The role.
    pub user: String,
    dbname: String,
    startup: StartupClass,
    target: Address<(String, u16)>,
    place: Address<SocketAddr>,
    pid: i32,
    secret: Vec<u8>,
    parameters: Vec<(String, String)>,
    age: Duration,
}

/// What cancels it is a secret.
impl std::fmt::Debug for HandedServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "HandedServer({} of {})", self.pid, self.database)
    }
}

impl HandedServer {
    /// The number of its process.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
enum Address<T> {
    Tcp(T),
    Unix(PathBuf),
}

/// One that is about to leave. Dropped before it is gone, it is closed.
#[derive(Debug)]
pub struct Departing {
    lease: Lease,
    /// What goes with it.
    pub about: HandedServer,
}

/// The connections of a pool that another process still has: they take up room here,
/// so that the two together have no more than one may.
#[derive(Debug, Default)]
pub struct Elsewhere(Vec<[BudgetPlace; 3]>);

impl Elsewhere {
    /// So many they are now.
    pub fn are(&mut self, count: u32, pool: &ServerPool) {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        self.0.truncate(count);
        let more = count - self.0.len();
        self.0.extend((0..more).map_while(|_| pool.room().ok()));
    }
}

impl Departing {
    /// Its socket.
    #[must_use]
    pub fn socket(&self) -> Option<BorrowedFd<'_>> {
        self.lease.stream.descriptor()
    }

    /// The other process has it: nothing more is said to it from here.
    pub fn is_gone(mut self) {
        self.lease.stream = Stream::Closed;
    }
}

impl Shelf {
    /// Parts with an idle connection, its session as it was at its beginning; nobody
    /// who waits for one is passed over. One that cannot go is closed, so that there is
    /// room for another in its place.
    ///
    /// # Cancel safety
    /// Dropped before its end, the connection is closed.
    pub async fn part_with_one(self: &Arc<Self>) -> Option<Departing> {
        let nobody = Seeker {
            client: 0,
            profile: None,
        };
        let mut lease = self.lease_unchecked(nobody)?;
        lease.stream.descriptor()?;
        let within = self.pool.settings().server_connect_timeout;
        lease.run_alone("DISCARD ALL", within).await.ok()?;
        let at_rest = matches!(lease.tracker.rest(), Rest::Boundary(_)) && lease.between_frames();
        let identity = &lease.identity;
        if !at_rest || identity.is_being_canceled() || identity.is_doomed() {
            return None;
        }
        let about = HandedServer {
            database: self.pool.database.clone(),
            user: self.pool.server_user.clone(),
            dbname: self.pool.settings().dbname.clone(),
            startup: self.class.clone(),
            target: match &identity.target {
                Target::Tcp(host, port) => Address::Tcp((host.clone(), *port)),
                Target::Unix(path) => Address::Unix(path.clone()),
            },
            place: match &identity.place {
                Place::Tcp(address) => Address::Tcp(*address),
                Place::Unix(path) => Address::Unix(path.clone()),
            },
            pid: identity.pid,
            secret: identity.secret.clone(),
            parameters: lease.parameters.clone(),
            age: lease.age(),
        };
        Some(Departing { lease, about })
    }
}

impl ServerPool {
    /// Shelves on which there may be connections.
    #[must_use]
    pub fn all_shelves(&self) -> Vec<Arc<Shelf>> {
        self.shelves.lock().values().cloned().collect()
    }

    /// Goes on with a connection that another process has opened, if it leads where
    /// those of this pool lead and there is room: the room of one that was `elsewhere`.
    ///
    /// # Errors
    /// Why not. The connection is closed then.
    pub fn go_on_with(
        self: &Arc<Self>,
        about: HandedServer,
        stream: Stream,
        elsewhere: &mut Elsewhere,
    ) -> Result<(), String> {
        let target = match about.target {
            Address::Tcp((host, port)) => Target::Tcp(host, port),
            Address::Unix(path) => Target::Unix(path),
        };
        let place = match about.place {
            Address::Tcp(address) => Place::Tcp(address),
            Address::Unix(path) => Place::Unix(path),
        };
        let mut identity = Identity::new(about.pid, about.secret, target, place);
        let leads_elsewhere = self.server_user != about.user
            || self.settings().dbname != about.dbname
            || !self.hosts().has(&identity.target);
        identity.header = self.settings().server_proxy_protocol;
        let server = Server::at_rest(stream, identity, about.parameters);
        if leads_elsewhere {
            return Err("it leads elsewhere".to_owned());
        }
        if matches!(server.identity.target, Target::Tcp(..)) && self.wants_tls() {
            return Err("it is not in TLS".to_owned());
        }
        let known = elsewhere.0.pop();
        let Some(places) = known.or_else(|| self.room().ok()) else {
            return Err("there is no room".to_owned());
        };
        let shelf = self.shelf(about.startup);
        let now = Instant::now();
        let begun = Begun {
            born: self.generation.born(),
            renewed: self.renewals.born(),
            opened: now.checked_sub(about.age).unwrap_or(now),
        };
        let pool = Arc::clone(self);
        // `connect_query` may take its time.
        tokio::spawn(async move {
            match pool.put_onto(&shelf, server, places, begun).await {
                Ok(()) => pool.gate.nudge(),
                Err(error) => pool.tell_of(&error),
            }
        });
        Ok(())
    }

    /// It opens no connection beyond so many: another process has the rest.
    pub fn freeze(&self, open: u32) {
        self.ceiling.store(open, Ordering::Release);
    }

    /// That is over.
    pub fn thaw(&self) {
        self.ceiling.store(u32::MAX, Ordering::Release);
        self.budgets.pool.wake();
        self.gate.nudge();
    }

    /// Are its connections to be in TLS, whatever the server offers?
    fn wants_tls(&self) -> bool {
        self.settings().server_tls.mode.is_required()
    }
}
