//! The server connections of a pool that there are, for those who want to see
//! them. Written to when one is opened and closed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::generation::Born;
use crate::server::{Identity, Server};

/// One server connection, as the rest of the house sees it.
#[derive(Debug)]
pub struct ServerEntry {
    /// Unique over the life of this process.
    pub id: u64,
    /// Who it is.
    pub identity: Arc<Identity>,
    /// When it was opened.
    pub since: Instant,
    /// Is it in TLS?
    pub is_tls: bool,
    /// Statements that it holds, when it was last given back.
    statements: AtomicU32,
    /// When that was: seconds after it was opened.
    rested_s: AtomicU32,
    /// By what sessions begin with, and by what was ordered.
    born: [Born; 2],
    /// It alone, whatever its generation.
    is_replaced: AtomicBool,
}

impl ServerEntry {
    /// Was it ordered that it be replaced?
    #[must_use]
    pub fn is_to_be_replaced(&self) -> bool {
        let [_, ordered] = &self.born;
        ordered.is_outdated() || self.is_replaced.load(Ordering::Relaxed)
    }

    /// Is it to be closed when it comes back?
    #[must_use]
    pub fn is_outdated(&self) -> bool {
        let [begun, _] = &self.born;
        begun.is_outdated() || self.is_to_be_replaced()
    }

    /// It is to be closed when it comes back.
    pub(super) fn replace(&self) {
        self.is_replaced.store(true, Ordering::Relaxed);
    }

    /// How long ago it was last given back; before that, how long ago it was opened.
    #[must_use]
    pub fn rested_ago(&self) -> Duration {
        let rested = Duration::from_secs(self.rested_s.load(Ordering::Relaxed).into());
        self.since.elapsed().saturating_sub(rested)
    }

    /// Prepared statements that it held when it was last given back.
    #[must_use]
    pub fn statements(&self) -> u32 {
        self.statements.load(Ordering::Relaxed)
    }
}

/// All of one pool, by their number.
#[derive(Debug, Default)]
pub(super) struct Servers(Mutex<BTreeMap<u64, Arc<ServerEntry>>>);

/// A place in the registry, left on drop.
#[derive(Debug)]
pub(super) struct Enrolled {
    entry: Arc<ServerEntry>,
    servers: Arc<Servers>,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

impl Servers {
    /// A server connection has been opened.
    pub fn enrol(self: &Arc<Self>, server: &Server, born: [Born; 2]) -> Enrolled {
        let entry = Arc::new(ServerEntry {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            identity: Arc::clone(&server.identity),
            since: Instant::now(),
            is_tls: server.stream.is_tls(),
            statements: AtomicU32::new(0),
            rested_s: AtomicU32::new(0),
            born,
            is_replaced: AtomicBool::new(false),
        });
        self.0.lock().insert(entry.id, Arc::clone(&entry));
        Enrolled {
            entry,
            servers: Arc::clone(self),
        }
    }

    /// All of them, the oldest first.
    pub fn all(&self) -> Vec<Arc<ServerEntry>> {
        self.0.lock().values().cloned().collect()
    }
}

impl Enrolled {
    /// Was it ordered that it be replaced?
    pub fn is_to_be_replaced(&self) -> bool {
        self.entry.is_to_be_replaced()
    }

    /// Is it to be closed when it comes back?
    #[inline]
    pub fn is_outdated(&self) -> bool {
        self.entry.is_outdated()
    }

    /// It is given back, and holds so many statements.
    #[inline]
    pub fn rests(&self, statements: usize, now: Instant) {
        let count = u32::try_from(statements).unwrap_or(u32::MAX);
        self.entry.statements.store(count, Ordering::Relaxed);
        let after = now.saturating_duration_since(self.entry.since).as_secs();
        let after = u32::try_from(after).unwrap_or(u32::MAX);
        self.entry.rested_s.store(after, Ordering::Relaxed);
    }
}

impl Drop for Enrolled {
    fn drop(&mut self) {
        self.servers.0.lock().remove(&self.entry.id);
    }
}
