//! The metrics, in the OpenMetrics text format.

use std::fmt::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use super::sight::{PoolSight, Sight};
use crate::pool::{BOUNDS_US, Histogram, PoolStats};

/// What `Content-Type` says.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All metrics as text.
pub(super) fn text(sight: Sight) -> Result<String, Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(All(Arc::new(sight))));
    let mut text = String::with_capacity(64 * 1024);
    encode(&mut text, &registry)?;
    Ok(text)
}

#[derive(Debug)]
struct All(Arc<Sight>);

/// The labels of a pool, and one more.
type Labels<'a> = Vec<(&'static str, &'a str)>;

fn labels(pool: &PoolSight) -> Labels<'_> {
    vec![
        ("database", pool.pool.database.as_str()),
        ("user", pool.pool.server_user.as_str()),
    ]
}

impl Collector for All {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let sight = &*self.0;
        process(sight, &mut encoder)?;
        for (name, help, count) in COUNTERS {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for pool in &sight.pools {
                let count = count(&pool.pool.stats).load(Ordering::Relaxed);
                counter(&mut family, &labels(pool), count)?;
            }
        }
        for (name, help, value) in GAUGES {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for pool in &sight.pools {
                gauge(&mut family, &labels(pool), value(pool))?;
            }
        }
        for (name, help, histogram) in HISTOGRAMS {
            let mut family = encoder.encode_descriptor(
                name,
                help,
                Some(&Unit::Seconds),
                MetricType::Histogram,
            )?;
            for pool in &sight.pools {
                times(&mut family, &labels(pool), histogram(&pool.pool.stats))?;
            }
        }
        by_state(sight, &mut encoder, CLIENTS, client_states)?;
        by_state(sight, &mut encoder, SERVERS, server_states)?;
        pins(sight, &mut encoder)?;
        errors(sight, &mut encoder)
    }
}

/// A count of [`PoolStats`].
pub(super) type Count = fn(&PoolStats) -> &AtomicU64;

pub(super) const COUNTERS: [(&str, &str, Count); 10] = [
    (
        "pgweave_pool_server_assignments",
        "Times that a client got a server connection",
        |stats| &stats.assignments,
    ),
    (
        "pgweave_pool_transactions",
        "Transactions that have ended",
        |stats| &stats.transactions,
    ),
    ("pgweave_pool_queries", "Queries that have ended", |stats| {
        &stats.queries
    }),
    (
        "pgweave_pool_received_bytes",
        "Bytes received from clients",
        |stats| &stats.received,
    ),
    (
        "pgweave_pool_sent_bytes",
        "Bytes sent to clients",
        |stats| &stats.sent,
    ),
    (
        "pgweave_pool_client_parses",
        "Named statements that clients prepared",
        |stats| &stats.client_parses,
    ),
    (
        "pgweave_pool_server_parses",
        "Named statements that server connections were given",
        |stats| &stats.server_parses,
    ),
    (
        "pgweave_pool_binds",
        "Named statements that clients bound",
        |stats| &stats.binds,
    ),
    (
        "pgweave_pool_client_logins",
        "Clients that logged in",
        |stats| &stats.logins,
    ),
    (
        "pgweave_pool_server_connections_opened",
        "Server connections opened",
        |stats| &stats.opened,
    ),
];

pub(super) type Value = fn(&PoolSight) -> f64;

pub(super) const GAUGES: [(&str, &str, Value); 5] = [
    (
        "pgweave_pool_size",
        "Server connections that the pool may have",
        |pool| f64::from(pool.pool.size()),
    ),
    (
        "pgweave_pool_paused",
        "1 while nobody is let in, by PAUSE for instance",
        |pool| truth(pool.is_paused),
    ),
    (
        "pgweave_pool_reachable",
        "0 while no connection to the server can be opened",
        |pool| truth(pool.trouble.is_none()),
    ),
    (
        "pgweave_pool_oldest_wait_seconds",
        "How long the client has waited that waits longest",
        |pool| pool.oldest_wait.as_secs_f64(),
    ),
    (
        "pgweave_pool_statements",
        "Statements that clients have prepared, each text once",
        |pool| f64::from(u32::try_from(pool.pool.statements().0).unwrap_or(u32::MAX)),
    ),
];

fn truth(is_so: bool) -> f64 {
    f64::from(u8::from(is_so))
}

pub(super) type Times = fn(&PoolStats) -> &Histogram;

pub(super) const HISTOGRAMS: [(&str, &str, Times); 3] = [
    (
        "pgweave_pool_wait",
        "How long clients waited for a server connection",
        |stats| &stats.wait,
    ),
    (
        "pgweave_pool_query",
        "How long what clients sent at once took to be answered",
        |stats| &stats.query,
    ),
    (
        "pgweave_pool_transaction",
        "How long transactions took",
        |stats| &stats.transaction,
    ),
];

fn counter(family: &mut MetricEncoder<'_>, labels: &Labels<'_>, count: u64) -> Result<(), Error> {
    family
        .encode_family(labels)?
        .encode_counter::<NoLabelSet, u64, u64>(&count, None)
}

fn gauge(family: &mut MetricEncoder<'_>, labels: &Labels<'_>, value: f64) -> Result<(), Error> {
    family.encode_family(labels)?.encode_gauge(&value)
}

#[allow(clippy::cast_precision_loss)] // Seconds to print.
fn times(
    family: &mut MetricEncoder<'_>,
    labels: &Labels<'_>,
    histogram: &Histogram,
) -> Result<(), Error> {
    let counts = histogram.counts();
    let bounds = BOUNDS_US
        .iter()
        .map(|us| *us as f64 / 1e6)
        .chain([f64::INFINITY]);
    let buckets: Vec<(f64, u64)> = bounds.zip(counts).collect();
    let sum = histogram.sum_us() as f64 / 1e6;
    family
        .encode_family(labels)?
        .encode_histogram::<NoLabelSet>(sum, counts.iter().sum(), &buckets, None)
}

/// What is about the process as a whole.
fn process(sight: &Sight, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    let help = "The version of pgweave";
    encoder
        .encode_descriptor("pgweave_build", help, None, MetricType::Info)?
        .encode_info(&version)?;
    for (name, help, value) in of_process(sight) {
        encoder
            .encode_descriptor(name, help, None, MetricType::Gauge)?
            .encode_gauge(&value)?;
    }
    log(sight, encoder)
}

/// The same, as name, help and value.
pub(super) fn of_process(sight: &Sight) -> [(&'static str, &'static str, f64); 6] {
    let count = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    [
        (
            "pgweave_uptime_seconds",
            "Since when it runs",
            sight.uptime.as_secs_f64(),
        ),
        (
            "pgweave_ending",
            "1 while it is about to end",
            truth(sight.is_ending),
        ),
        (
            "pgweave_client_connections",
            "Client connections",
            f64::from(sight.connected),
        ),
        (
            "pgweave_max_client_connections",
            "How many there may be",
            f64::from(sight.most_connected),
        ),
        (
            "pgweave_pools",
            "Pools",
            count(sight.pools.len() + sight.left_out),
        ),
        (
            "pgweave_pools_left_out",
            "Pools that no metric here tells of",
            count(sight.left_out),
        ),
    ]
}

/// Lines of the log that came to nothing.
fn log(sight: &Sight, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
    let [(dropped, help), suppressed] = LINES;
    let mut family = encoder.encode_descriptor(dropped, help, None, MetricType::Counter)?;
    for (output, count) in lines_dropped(sight) {
        counter(&mut family, &vec![("output", output)], count)?;
    }
    let (suppressed, help) = suppressed;
    encoder
        .encode_descriptor(suppressed, help, None, MetricType::Counter)?
        .encode_counter::<NoLabelSet, u64, u64>(&sight.log.suppressed, None)
}

/// Lines that came to nothing, as name and help.
pub(super) const LINES: [(&str, &str); 2] = [
    (
        "pgweave_log_lines_dropped",
        "Lines of the log that found no room or could not be written",
    ),
    (
        "pgweave_log_lines_suppressed",
        "Lines of the log that were left out since there were too many of their kind",
    ),
];

/// The first of these, by where they were to go.
pub(super) fn lines_dropped(sight: &Sight) -> [(&'static str, u64); 2] {
    [
        ("log", sight.log.dropped),
        ("syslog", sight.log.syslog_dropped),
    ]
}

/// Metrics that are told by one label more, as name, help and the name of that label.
pub(super) const CLIENTS: [&str; 3] = [
    "pgweave_pool_clients",
    "Clients that have logged in, by what they do",
    "state",
];
pub(super) const SERVERS: [&str; 3] = [
    "pgweave_pool_server_connections",
    "Server connections, open or being opened, by what they do",
    "state",
];
pub(super) const PINS: [&str; 3] = [
    "pgweave_pool_pins",
    "Clients that keep a server connection between transactions, by the reason",
    "reason",
];
pub(super) const ERRORS: [&str; 3] = [
    "pgweave_pool_errors",
    "Errors that clients were told, by the class of the SQLSTATE",
    "class",
];

/// Its clients, by what they do.
pub(super) fn client_states(pool: &PoolSight) -> [(&'static str, u64); 3] {
    let clients = pool.clients;
    [
        ("idle", clients.idle),
        ("waiting", clients.waiting),
        ("served", clients.served),
    ]
}

/// Its server connections, by what they do.
pub(super) fn server_states(pool: &PoolSight) -> [(&'static str, u64); 2] {
    let (open, idle) = (pool.pool.open(), pool.pool.idle());
    [
        ("idle", idle.into()),
        ("used", open.saturating_sub(idle).into()),
    ]
}

/// A gauge for each of several states of a pool.
fn by_state<const N: usize>(
    sight: &Sight,
    encoder: &mut DescriptorEncoder<'_>,
    [name, help, label]: [&'static str; 3],
    states: impl Fn(&PoolSight) -> [(&'static str, u64); N],
) -> Result<(), Error> {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for pool in &sight.pools {
        for (state, count) in states(pool) {
            let mut labels = labels(pool);
            labels.push((label, state));
            family.encode_family(&labels)?.encode_gauge(&count)?;
        }
    }
    Ok(())
}

fn pins(sight: &Sight, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
    let [name, help, label] = PINS;
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for pool in &sight.pools {
        for (reason, count) in &pool.pins {
            let mut labels = labels(pool);
            labels.push((label, reason));
            family.encode_family(&labels)?.encode_gauge(count)?;
        }
    }
    Ok(())
}

fn errors(sight: &Sight, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
    let [name, help, label] = ERRORS;
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for pool in &sight.pools {
        for (class, count) in pool.pool.stats.errors.by_class() {
            let mut labels = labels(pool);
            labels.push((label, &class));
            counter(&mut family, &labels, count)?;
        }
    }
    Ok(())
}
