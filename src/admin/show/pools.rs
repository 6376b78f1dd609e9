//! `SHOW POOLS`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use super::process::CONSOLE;
use super::view::{ServerState, View};
use crate::admin::table::{Cell, Row, row};
use crate::config::{PoolSettings, Word};
use crate::pool::ServerPool;

pub(super) fn pools(view: &View<'_>) -> Vec<Row> {
    let mut counts: HashMap<*const ServerPool, Counted> = HashMap::new();
    for client in &view.clients {
        let Some(pool) = client.pool() else {
            continue;
        };
        let of_pool = counts.entry(Arc::as_ptr(pool)).or_default();
        match client.waits() {
            true => of_pool.waiting += 1,
            false => of_pool.active += 1,
        }
    }
    let counted = |pool| counts.get(&Arc::as_ptr(pool)).copied().unwrap_or_default();
    let pools = view.pools.iter();
    let mut rows: Vec<Row> = pools.map(|pool| of(view, pool, counted(pool))).collect();
    rows.push(row![
        CONSOLE,
        CONSOLE,
        view.visitors(),
        0_u32,
        0_u32,
        0_u32,
        0_u32,
        0_u32,
        0_u32,
        0_u32,
        0_u32,
        0_u32,
        0_u32,
        0_u32,
        0_u32,
        "statement",
        Cell::Null,
    ]);
    rows
}

/// As PgBouncer has it: nothing where there is no choice.
pub(super) fn load_balancing(settings: &PoolSettings) -> Option<&'static str> {
    let has_several = settings.host.contains(',');
    has_several.then(|| settings.load_balance_hosts.as_str())
}

/// The clients of one pool.
#[derive(Default, Clone, Copy)]
struct Counted {
    active: u32,
    waiting: u32,
}

fn of(view: &View<'_>, pool: &Arc<ServerPool>, Counted { active, waiting }: Counted) -> Row {
    let servers = pool.servers();
    let (mut in_use, mut canceled, mut idle) = (0_u32, 0_u32, 0_u32);
    for server in &servers {
        match view.state_of(server) {
            ServerState::BeingCanceled => canceled += 1,
            ServerState::Active => in_use += 1,
            ServerState::Idle => idle += 1,
        }
    }
    let opening = pool
        .open()
        .saturating_sub(u32::try_from(servers.len()).unwrap_or(0));
    let oldest = pool.waiting().1;
    let longest = oldest.map(|since| Instant::now().saturating_duration_since(since));
    let longest = longest.unwrap_or_default();
    row![
        pool.database.as_str(),
        pool.server_user.as_str(),
        active,
        waiting,
        0_u32,
        0_u32,
        in_use,
        0_u32,
        canceled,
        idle,
        0_u32,
        0_u32,
        opening,
        longest.as_secs(),
        longest.subsec_micros(),
        pool.settings().pool_mode.as_str(),
        load_balancing(&pool.settings()),
    ]
}
