//! The house at one moment, as metrics and status tell it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::pool::{ServerPool, Serving};
use crate::proxy::{House, pin_names};

/// Pools that are told apart; the metrics of all further ones are left out, but
/// their number.
pub(super) const MOST_POOLS: usize = 2_000;

/// Lines of the log that came to nothing, since the process began.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct LogCounts {
    /// They could not be written to stderr or the log file, or found no room on
    /// their way there.
    pub dropped: u64,
    /// The same of the system's log.
    pub syslog_dropped: u64,
    /// There were too many of their kind.
    pub suppressed: u64,
}

/// What there is.
#[derive(Debug)]
pub(super) struct Sight {
    pub is_ending: bool,
    pub log: LogCounts,
    pub uptime: Duration,
    /// Client connections, those that log in with them.
    pub connected: u32,
    pub most_connected: u32,
    pub pools: Vec<PoolSight>,
    /// How many pools there are beyond these.
    pub left_out: usize,
}

/// A pool.
#[derive(Debug)]
pub(super) struct PoolSight {
    pub pool: Arc<ServerPool>,
    pub is_paused: bool,
    pub clients: Clients,
    /// How many clients keep a server connection for what reason.
    pub pins: BTreeMap<&'static str, u64>,
    /// How long the one at the head of the queue has waited.
    pub oldest_wait: Duration,
    /// What keeps the pool from opening connections, if something does.
    pub trouble: Option<String>,
}

/// Its clients, by what they do.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Clients {
    pub idle: u64,
    pub waiting: u64,
    pub served: u64,
}

impl Sight {
    /// Looks around. It takes as long as there are clients and pools: not for a
    /// thread that serves queries.
    pub fn of(house: &House, started: Instant, is_ending: bool, log: LogCounts) -> Self {
        let mut of_pool: HashMap<*const ServerPool, (Clients, BTreeMap<&'static str, u64>)> =
            HashMap::new();
        for client in house.clients.all() {
            let Some(pool) = client.who.pool() else {
                continue;
            };
            let (clients, pins) = of_pool.entry(Arc::as_ptr(pool)).or_default();
            match client.serving() {
                Serving::Nobody => clients.idle += 1,
                Serving::Waiting => clients.waiting += 1,
                Serving::Server(_) => clients.served += 1,
            }
            for name in pin_names(client.pinned().0) {
                *pins.entry(name).or_default() += 1;
            }
        }
        let mut pools = house.directory.pools_of(None);
        let left_out = pools.len().saturating_sub(MOST_POOLS);
        pools.truncate(MOST_POOLS);
        let now = Instant::now();
        let pools = pools.into_iter().map(|pool| {
            let (clients, pins) = of_pool.remove(&Arc::as_ptr(&pool)).unwrap_or_default();
            let oldest = pool.waiting().1;
            PoolSight {
                is_paused: pool.is_paused(),
                clients,
                pins,
                oldest_wait: oldest
                    .map_or(Duration::ZERO, |since| now.saturating_duration_since(since)),
                trouble: pool.trouble().map(|error| error.code),
                pool,
            }
        });
        Self {
            is_ending,
            log,
            uptime: started.elapsed(),
            connected: house.connected(),
            most_connected: house.config().general.max_client_conn,
            pools: pools.collect(),
            left_out,
        }
    }
}
