//! The server connections of a pool that there are, for those who want to see
//! them. Written to when one is opened and closed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Instant;

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
    /// By what sessions begin with, and by what was ordered.
    born: [Born; 2],
}

impl ServerEntry {
    /// Was it ordered that it be replaced?
    #[must_use]
    pub fn is_to_be_replaced(&self) -> bool {
        let [_, ordered] = &self.born;
        ordered.is_outdated()
    }

    /// Is it to be closed when it comes back?
    #[must_use]
    pub fn is_outdated(&self) -> bool {
        self.born.iter().any(Born::is_outdated)
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
            born,
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

    /// It holds so many statements.
    #[inline]
    pub fn holds(&self, statements: usize) {
        let count = u32::try_from(statements).unwrap_or(u32::MAX);
        self.entry.statements.store(count, Ordering::Relaxed);
    }
}

impl Drop for Enrolled {
    fn drop(&mut self) {
        self.servers.0.lock().remove(&self.entry.id);
    }
}
