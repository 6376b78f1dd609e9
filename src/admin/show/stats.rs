//! `SHOW STATS` and its kin.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::admin::table::{Cell, Row, row};
use crate::admin::totals::{ByDatabase, Periods, Totals};
use crate::pool::{PoolStats, ServerPool};

/// The counts of all databases.
pub(in crate::admin) fn totals(pools: &[Arc<ServerPool>]) -> ByDatabase {
    let mut all = ByDatabase::new();
    for pool in pools {
        let of_database = all.entry(pool.database.clone()).or_default();
        *of_database = of_database.and(of_pool(&pool.stats));
    }
    all
}

fn of_pool(stats: &PoolStats) -> Totals {
    let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
    Totals([
        count(&stats.assignments),
        count(&stats.transactions),
        count(&stats.queries),
        count(&stats.received),
        count(&stats.sent),
        stats.transaction.sum_us(),
        stats.query.sum_us(),
        stats.wait.sum_us(),
        count(&stats.client_parses),
        count(&stats.server_parses),
        count(&stats.binds),
        count(&stats.logins),
    ])
}

fn cells(totals: Totals) -> impl Iterator<Item = Cell> {
    totals.0.into_iter().map(Cell::from)
}

/// A database's name, and its counts.
fn row_of(name: String, counts: impl Iterator<Item = Cell>) -> Row {
    let mut row = row![name];
    row.extend(counts);
    row
}

pub(super) fn stats(pools: &[Arc<ServerPool>], periods: &Periods) -> Vec<Row> {
    let row = |(name, totals): (String, Totals)| {
        let averages = periods.average(&name);
        row_of(name, cells(totals).chain(cells(averages)))
    };
    totals(pools).into_iter().map(row).collect()
}

pub(super) fn stats_totals(pools: &[Arc<ServerPool>]) -> Vec<Row> {
    let row = |(name, totals): (String, Totals)| row_of(name, cells(totals));
    totals(pools).into_iter().map(row).collect()
}

pub(super) fn stats_averages(pools: &[Arc<ServerPool>], periods: &Periods) -> Vec<Row> {
    let row = |name: String| {
        let averages = periods.average(&name);
        row_of(name, cells(averages))
    };
    totals(pools).into_keys().map(row).collect()
}

/// The counts in their order, as `SHOW TOTALS` calls them.
const NAMES: [&str; 12] = [
    "server_assignment_count",
    "xact_count",
    "query_count",
    "client_bytes",
    "server_bytes",
    "xact_time",
    "query_time",
    "wait_time",
    "ps_client_parse_count",
    "ps_server_parse_count",
    "ps_bind_count",
    "client_login_count",
];

pub(super) fn all_together(pools: &[Arc<ServerPool>], periods: &Periods) -> Vec<Row> {
    let by_database = totals(pools);
    let sum = by_database
        .values()
        .copied()
        .fold(Totals::default(), Totals::and);
    let named = |prefix: &'static str, totals: Totals| {
        let pairs = NAMES.into_iter().zip(totals.0);
        pairs.map(move |(name, value)| row![format!("{prefix}_{name}"), value])
    };
    named("total", sum)
        .chain(named("avg", periods.of_all()))
        .collect()
}
