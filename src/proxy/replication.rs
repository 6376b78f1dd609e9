//! Replication connections (`protocol-replication.html`): each has a server
//! connection of its own, through which everything passes as it is.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;

use tokio::io::copy_bidirectional_with_sizes;

use super::house::{Connected, House};
use super::login::{register, who};
use crate::config::{Config, PoolSettings};
use crate::net::{Peer, Stream};
use crate::pool::{Apart, Registered, ServerPool, Wish};
use crate::wire::startup::Startup;
use crate::wire::{PgError, backend};

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

/// PostgreSQL takes `replication` as a boolean, or `database`.
pub(super) fn is_asked_for(startup: &Startup) -> bool {
    let is_word = |value: &str| {
        let value = value.to_ascii_lowercase();
        !matches!(
            value.as_str(),
            "false" | "off" | "no" | "0" | "f" | "n" | ""
        )
    };
    startup.replication.as_deref().is_some_and(is_word)
}

/// Does it ask for all that the server writes, of no database?
pub(super) fn is_physical(startup: &Startup) -> bool {
    is_asked_for(startup) && startup.replication.as_deref() != Some("database")
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
    let mut parameters = startup.settings.clone();
    let ignored = config.general.ignore_startup_parameters.as_deref();
    parameters.retain(|(name, _)| {
        !ignored
            .unwrap_or_default()
            .iter()
            .any(|ignored| ignored.eq_ignore_ascii_case(name))
    });
    let value = startup.replication.clone().unwrap_or_default();
    parameters.push(("replication".to_owned(), value));
    let server = pool.open_apart(parameters).await?;
    let called = server.parameter("application_name").unwrap_or_default();
    let who = who(startup, &pool.shelf(Vec::new()), called.into(), at);
    let handle = register(house, startup, who, &settings)?;
    let mut reply = Vec::new();
    for (name, value) in &server.parameters {
        reply.extend_from_slice(&backend::parameter_status(name, value));
    }
    reply.extend_from_slice(&backend::backend_key_data(handle.pid, handle.secret()));
    reply.extend_from_slice(&backend::READY_IDLE);
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
    pub async fn serve(mut self, mut stream: Stream, peer: Peer, _connected: Connected) {
        self.handle.served_by(&self.server.identity);
        tracing::info!(client = %peer, pid = self.server.identity.pid, "replication begins");
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
                () = is_to_end(&self.handle) => {}
            }
        }
        self.handle.served_by_nobody();
        // Whatever was under way, nothing must follow it.
        self.server.mid_frame = true;
        tracing::info!(client = %peer, "closing because: replication ends (age={}s)", self.handle.age_s());
    }

    fn count(&self, (received, sent): (u64, u64)) {
        let stats = &self.pool.stats;
        stats.received.fetch_add(received, Ordering::Relaxed);
        stats.sent.fetch_add(sent, Ordering::Relaxed);
    }
}

/// Waits until somebody wants the client's end: it stands at no boundary ever.
async fn is_to_end(handle: &Registered) {
    poll_fn(|cx| {
        handle.wake_by(cx.waker());
        match handle.wish() {
            Wish::EndAtBoundary | Wish::EndNow => Poll::Ready(()),
            _ => Poll::Pending,
        }
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replication_is_a_boolean_or_a_word() {
        let asked = |value: &str| {
            let startup = Startup {
                replication: Some(value.to_owned()),
                ..Startup::default()
            };
            (is_asked_for(&startup), is_physical(&startup))
        };
        for value in ["true", "on", "1", "yes"] {
            assert_eq!(asked(value), (true, true), "{value}");
        }
        assert_eq!(asked("database"), (true, false));
        for value in ["false", "off", "0", "no"] {
            assert_eq!(asked(value), (false, false), "{value}");
        }
        assert!(!is_asked_for(&Startup::default()));
    }
}
