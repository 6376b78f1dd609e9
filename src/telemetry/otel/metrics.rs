//! The numbers of `/metrics`, under their names there: whoever hands them on to
//! Prometheus, which adds `_total` and the unit, gets the same.

use std::sync::atomic::Ordering;
use std::time::Instant;

use super::json::{Clock, attribute, framed, quoted};
use crate::pool::{BOUNDS_US, Histogram};
use crate::telemetry::metrics::{
    CLIENTS, COUNTERS, ERRORS, GAUGES, HISTOGRAMS, LINES, PINS, SERVERS, client_states,
    lines_dropped, of_process, server_states,
};
use crate::telemetry::sight::{PoolSight, Sight};

/// What is posted. `dropped`: spans that nobody was told of.
pub(super) fn text(
    resource: &[(String, String)],
    sight: &Sight,
    started: Instant,
    dropped: u64,
) -> String {
    let clock = Clock::read();
    let sheet = Sheet {
        times: format!(
            "\"startTimeUnixNano\":\"{}\",\"timeUnixNano\":\"{}\"",
            clock.nanos(started),
            clock.nanos(Instant::now())
        ),
        labels: sight.pools.iter().map(labels).collect(),
        sight,
    };
    let mut all = sheet.of_process(dropped);
    all.extend(sheet.of_pools());
    let signal = ["resourceMetrics", "scopeMetrics", "metrics"];
    framed(resource, signal, &all.join(","))
}

/// The labels of a pool, as they stand in each of its points.
fn labels(pool: &PoolSight) -> String {
    let database = attribute("database", &pool.pool.database);
    format!("{database},{}", attribute("user", &pool.pool.server_user))
}

struct Sheet<'a> {
    times: String,
    labels: Vec<String>,
    sight: &'a Sight,
}

impl Sheet<'_> {
    fn of_process(&self, dropped: u64) -> Vec<String> {
        let gauges = of_process(self.sight).into_iter();
        let mut all: Vec<String> = gauges
            .map(|(name, help, value)| gauge(name, help, &[self.number("", value)]))
            .collect();
        let version = attribute("version", env!("CARGO_PKG_VERSION"));
        let build = self.count(&version, 1);
        all.push(gauge(
            "pgweave_build_info",
            "The version of pgweave",
            &[build],
        ));
        all.push(counter(
            "pgweave_otel_spans_dropped",
            "Spans for which there was no room, or that the collector did not take",
            &[self.count("", dropped)],
        ));
        let [dropped, suppressed] = LINES;
        let points: Vec<_> = lines_dropped(self.sight)
            .into_iter()
            .map(|(output, count)| self.count(&attribute("output", output), count))
            .collect();
        all.push(counter(dropped.0, dropped.1, &points));
        let count = self.count("", self.sight.log.suppressed);
        all.push(counter(suppressed.0, suppressed.1, &[count]));
        all
    }

    fn of_pools(&self) -> Vec<String> {
        let mut all = Vec::new();
        for (name, help, count) in COUNTERS {
            let count = |pool: &PoolSight| count(&pool.pool.stats).load(Ordering::Relaxed);
            let points = self.each(|pool, labels| vec![self.count(labels, count(pool))]);
            all.push(counter(name, help, &points));
        }
        for (name, help, value) in GAUGES {
            let points = self.each(|pool, labels| vec![self.number(labels, value(pool))]);
            all.push(gauge(name, help, &points));
        }
        for (name, help, times) in HISTOGRAMS {
            let points =
                self.each(|pool, labels| vec![self.times(labels, times(&pool.pool.stats))]);
            all.push(histogram(name, help, &points));
        }
        let [name, help, label] = CLIENTS;
        let points = self.by_label(label, |pool| client_states(pool).to_vec());
        all.push(gauge(name, help, &points));
        let [name, help, label] = SERVERS;
        let points = self.by_label(label, |pool| server_states(pool).to_vec());
        all.push(gauge(name, help, &points));
        let [name, help, label] = PINS;
        let pins = |pool: &PoolSight| {
            pool.pins
                .iter()
                .map(|(pin, count)| (*pin, *count))
                .collect()
        };
        all.push(gauge(name, help, &self.by_label(label, pins)));
        let [name, help, label] = ERRORS;
        let classes = |pool: &PoolSight| pool.pool.stats.errors.by_class().into_iter().collect();
        all.push(counter(
            name,
            help,
            &self.by_label::<String>(label, classes),
        ));
        all
    }

    /// The points of all pools.
    fn each(&self, points: impl Fn(&PoolSight, &str) -> Vec<String>) -> Vec<String> {
        let pools = self.sight.pools.iter().zip(&self.labels);
        pools
            .flat_map(|(pool, labels)| points(pool, labels))
            .collect()
    }

    fn by_label<T: AsRef<str>>(
        &self,
        label: &str,
        counts: impl Fn(&PoolSight) -> Vec<(T, u64)>,
    ) -> Vec<String> {
        self.each(|pool, labels| {
            let counts = counts(pool).into_iter();
            counts
                .map(|(value, count)| {
                    let more = attribute(label, value.as_ref());
                    self.count(&format!("{labels},{more}"), count)
                })
                .collect()
        })
    }

    fn count(&self, labels: &str, count: u64) -> String {
        format!(
            "{{\"attributes\":[{labels}],{},\"asInt\":\"{count}\"}}",
            self.times
        )
    }

    fn number(&self, labels: &str, value: f64) -> String {
        format!(
            "{{\"attributes\":[{labels}],{},\"asDouble\":{value}}}",
            self.times
        )
    }

    #[allow(clippy::cast_precision_loss)] // Seconds to print.
    fn times(&self, labels: &str, histogram: &Histogram) -> String {
        let counts = histogram.counts();
        let each = counts.map(|count| format!("\"{count}\"")).join(",");
        let bounds = BOUNDS_US.map(|us| (us as f64 / 1e6).to_string()).join(",");
        format!(
            "{{\"attributes\":[{labels}],{},\"count\":\"{}\",\"sum\":{},\"bucketCounts\":[{each}],\
             \"explicitBounds\":[{bounds}]}}",
            self.times,
            counts.iter().sum::<u64>(),
            histogram.sum_us() as f64 / 1e6,
        )
    }
}

fn gauge(name: &str, help: &str, points: &[String]) -> String {
    metric(name, help, "\"gauge\":{", points)
}

fn counter(name: &str, help: &str, points: &[String]) -> String {
    // 2: since the beginning, not since the last time.
    let kind = "\"sum\":{\"aggregationTemporality\":2,\"isMonotonic\":true,";
    metric(name, help, kind, points)
}

fn histogram(name: &str, help: &str, points: &[String]) -> String {
    let kind = "\"unit\":\"s\",\"histogram\":{\"aggregationTemporality\":2,";
    metric(name, help, kind, points)
}

fn metric(name: &str, help: &str, kind: &str, points: &[String]) -> String {
    format!(
        "{{\"name\":\"{name}\",\"description\":{},{kind}\"dataPoints\":[{}]}}}}",
        quoted(help),
        points.join(",")
    )
}
