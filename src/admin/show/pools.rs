//! `SHOW POOLS`.

use std::sync::Arc;
use std::time::Instant;

use super::process::CONSOLE;
use super::view::{ServerState, View};
use crate::admin::table::{Cell, Row, row};
use crate::config::{PoolSettings, Word};
use crate::pool::ServerPool;

pub(super) fn pools(view: &View<'_>) -> Vec<Row> {
    let mut rows: Vec<Row> = view.pools.iter().map(|pool| of(view, pool)).collect();
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

fn of(view: &View<'_>, pool: &Arc<ServerPool>) -> Row {
    let (mut active, mut waiting) = (0_u32, 0_u32);
    for client in view.clients_of(pool) {
        match client.waits() {
            true => waiting += 1,
            false => active += 1,
        }
    }
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
