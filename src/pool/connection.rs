//! A server connection as the pool keeps it, and bb8's view of it.

use std::time::Instant;

use super::budget::Place;
use super::generation::Born;
use super::servers::Enrolled;
use super::watch::Watch;
use crate::net::Stream;
use crate::server::Server;

/// A server connection with its place in every budget it counts against.
#[derive(Debug)]
pub(super) struct Connection {
    pub server: Server,
    /// It is closed rather than handed on after this.
    pub deadline: Option<Instant>,
    /// When it was last given back.
    pub idle_since: Instant,
    /// When it was opened.
    pub opened: Instant,
    /// What its session began with.
    pub born: Born,
    /// When the turn began that is served now; none: its client has it, and
    /// is between transactions.
    pub turn_since: Option<Instant>,
    /// How long it has been busy with the turn.
    #[cfg(feature = "otel")]
    pub busy: std::time::Duration,
    /// Since when something of its client's has run, or waited to.
    pub query_since: Option<Instant>,
    /// What is noted of the turn, where slow ones are looked for.
    pub watch: Option<Box<Watch>>,
    /// Its place among the pool's connections.
    pub enrolled: Enrolled,
    /// The number of the client that used it last.
    pub last_client: u64,
    /// A boundary was proven, and nothing has been sent since.
    pub clean: bool,
    /// Freed after the connection is closed.
    pub _places: [Place; 3],
}

impl Connection {
    /// May it be handed to somebody now?
    pub fn is_fit(&mut self, now: Instant) -> bool {
        self.clean && !self.is_stale(now) && self.server.absorb()
    }

    /// Has its time come?
    pub fn is_stale(&self, now: Instant) -> bool {
        self.enrolled.is_outdated() || self.deadline.is_some_and(|deadline| now >= deadline)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let is_gone = matches!(self.server.stream, Stream::Closed);
        let reason = match self.clean {
            _ if is_gone => "another process goes on with it",
            // Only bb8 lets go of a clean one.
            true => "server idle timeout",
            false if self.born.is_outdated() => "what sessions begin with has changed",
            false if self.enrolled.is_outdated() => "it is to be replaced",
            false if self.is_stale(Instant::now()) => "server lifetime over",
            false => "not fit for another client, or in its way",
        };
        let (identity, age) = (&self.server.identity, self.opened.elapsed().as_secs());
        tracing::info!(server = %identity.target, pid = identity.pid, "closing because: {reason} (age={age}s)");
    }
}

/// bb8 stores idle connections and closes them when their time has come. It
/// opens none: who needs one opens it and is told at once when that fails.
#[derive(Debug)]
pub(super) struct Keeper;

/// bb8 asked for a connection that nobody wants.
#[derive(Debug, thiserror::Error)]
#[error("connections are opened by those who need them")]
pub(super) struct Unasked;

impl bb8::ManageConnection for Keeper {
    type Connection = Box<Connection>;
    type Error = Unasked;

    async fn connect(&self) -> Result<Self::Connection, Unasked> {
        Err(Unasked)
    }

    async fn is_valid(&self, _: &mut Self::Connection) -> Result<(), Unasked> {
        Ok(())
    }

    /// bb8's question on return: only what was proven clean stays.
    fn has_broken(&self, connection: &mut Self::Connection) -> bool {
        !connection.clean
    }
}
