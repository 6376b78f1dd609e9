//! Replication connections (`protocol-replication.html`): each has a server
//! connection of its own, through which everything passes as it is.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use tokio::io::copy_bidirectional_with_sizes;

use super::house::{Connected, House};
use super::login::{is_ignored, register, who};
use super::upstream::no_simple_queries;
use crate::config::{Config, PoolSettings};
use crate::net::{Peer, Stream};
use crate::pool::{Apart, Registered, ServerPool, Wish};
use crate::wire::startup::Startup;
use crate::wire::{PgError, backend, sqlstate};

/// Bytes that are on their way at a time, in each direction.
const ON_THEIR_WAY: usize = 64 * 1024;

/// A client and its server connection, before they are joined.
pub(super) struct Replication {
    server: Apart,
    pool: Arc<ServerPool>,
    handle: Registered,
    /// What the client is told first.
    reply: Vec<u8>,
    /// What it has sent already.
    ahead: Vec<u8>,
}

/// What a client asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// An ordinary session.
    None,
    /// All that the server writes, of no database.
    Physical,
    /// Of one database.
    Logical,
}

impl Kind {
    /// As PostgreSQL takes `replication`: `database`, or a boolean, which may be
    /// cut short (`protocol-message-formats.html`, StartupMessage).
    ///
    /// # Errors
    /// 22023 for anything else.
    pub fn of(startup: &Startup) -> Result<Self, PgError> {
        let Some(value) = startup.replication.as_deref() else {
            return Ok(Kind::None);
        };
        if value == "database" {
            return Ok(Kind::Logical);
        }
        let value = value.to_ascii_lowercase();
        let is = |word: &str, least: usize| value.len() >= least && word.starts_with(&*value);
        if is("true", 1) || is("yes", 1) || is("on", 2) || value == "1" {
            return Ok(Kind::Physical);
        }
        if is("false", 1) || is("no", 1) || is("off", 2) || value == "0" {
            return Ok(Kind::None);
        }
        Err(PgError::fatal(
            sqlstate::INVALID_PARAMETER_VALUE,
            format!("invalid value for parameter \"replication\": {value:?}"),
        ))
    }

    /// What the server is told: never the client's own word.
    fn word(self) -> &'static str {
        match self {
            Kind::None => "false",
            Kind::Physical => "true",
            Kind::Logical => "database",
        }
    }
}

/// Opens the server connection of a client that has proven who it is.
pub(super) async fn open(
    house: &Arc<House>,
    config: &Config,
    startup: &Startup,
    (pool, settings): (Arc<ServerPool>, PoolSettings),
    at: (Peer, bool),
    ahead: Vec<u8>,
) -> Result<Replication, PgError> {
    if config.general.disable_pqexec {
        // It knows no other queries.
        return Err(no_simple_queries());
    }
    let mut parameters = startup.settings.clone();
    let ignored = config.general.ignore_startup_parameters.as_deref();
    parameters.retain(|(name, _)| !is_ignored(ignored.unwrap_or_default(), name));
    let word = Kind::of(startup)?.word();
    parameters.push(("replication".to_owned(), word.to_owned()));
    let server = pool.open_apart(parameters).await?;
    let called = server.parameter("application_name").unwrap_or_default();
    let who = who(startup, &pool.shelf(Vec::new()), called.into(), at);
    let handle = register(house, startup, who, &settings)?;
    let told = server.parameters.iter();
    let told = told.map(|(name, value)| (name.as_str(), value.as_str()));
    let reply = backend::session_begins(told, handle.pid, handle.secret(), b"");
    Ok(Replication {
        server,
        pool,
        handle,
        reply,
        ahead,
    })
}

impl Replication {
    /// The client hears this first.
    #[must_use]
    pub fn greeted_by(mut self, accepted: Vec<u8>) -> Self {
        self.reply.splice(0..0, accepted);
        self
    }

    /// Joins the two until one of them ends, or the process does.
    pub async fn serve(mut self, mut stream: Stream, peer: Peer, connected: Connected) {
        self.handle.served_by(&self.server.identity, Instant::now());
        let config = connected.house().config();
        let (pool, user) = (Arc::clone(&self.pool), self.handle.user());
        if config.general.log_connections {
            tracing::info!(client = %peer, database = pool.database, user, pid = self.server.identity.pid, "replication begins");
        }
        if stream.send(&self.reply).await.is_ok()
            && self.server.stream.send(&self.ahead).await.is_ok()
        {
            let joined = copy_bidirectional_with_sizes(
                &mut stream,
                &mut self.server.stream,
                ON_THEIR_WAY,
                ON_THEIR_WAY,
            );
            tokio::select! {
                passed = joined => self.count(passed.unwrap_or_default()),
                // It stands at no boundary ever.
                _ = self.handle.wished(Wish::EndAtBoundary) => {}
            }
        }
        self.handle.served_by_nobody();
        // Whatever was under way, nothing must follow it.
        self.server.mid_frame = true;
        if connected.house().config().general.log_disconnections {
            let user = self.handle.user();
            tracing::info!(client = %peer, database = pool.database, user, "closing because: replication ends (age={}s)", self.handle.age_s());
        }
    }

    fn count(&self, (received, sent): (u64, u64)) {
        let stats = &self.pool.stats;
        stats.received.fetch_add(received, Ordering::Relaxed);
        stats.sent.fetch_add(sent, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replication_is_a_boolean_or_a_word_as_the_server_reads_it() {
        let kind = |value: &str| {
            let startup = Startup {
                replication: Some(value.to_owned()),
                ..Startup::default()
            };
            Kind::of(&startup).map_err(|error| error.code)
        };
        for value in ["true", "TRUE", "t", "tr", "on", "1", "yes", "y"] {
            assert_eq!(kind(value), Ok(Kind::Physical), "{value}");
        }
        assert_eq!(kind("database"), Ok(Kind::Logical));
        for value in ["false", "f", "fa", "FALS", "off", "of", "0", "no", "n"] {
            assert_eq!(kind(value), Ok(Kind::None), "{value}");
        }
        for value in ["", "o", "2", "Database", "database ", "truely", "\u{131}"] {
            assert_eq!(
                kind(value),
                Err(sqlstate::INVALID_PARAMETER_VALUE.to_owned()),
                "{value}"
            );
        }
        assert_eq!(Kind::of(&Startup::default()).ok(), Some(Kind::None));
    }
}
