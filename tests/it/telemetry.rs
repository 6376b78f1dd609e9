//! Metrics and health over HTTP.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use crate::support::frames::query;
use crate::support::pooler::{Plan, Pooler};
use crate::support::postgres::{Cluster, Database};
use crate::support::raw::Connection;
use crate::support::wait;

fn plan(database: &Database) -> Plan {
    Plan::before(database).setting("http_listen", "\"127.0.0.1:0\"")
}

/// Where its pages are, as the log says.
pub fn pages(pooler: &Pooler) -> SocketAddr {
    let log = pooler.log();
    let said = log
        .split("health on http://")
        .nth(1)
        .expect("a line in the log");
    let end = said.find(|c: char| c.is_whitespace()).unwrap_or(said.len());
    said[..end].parse().unwrap()
}

/// What is answered: the status, all of the head, and the body.
struct Page {
    status: u16,
    head: String,
    body: String,
}

fn ask(address: SocketAddr, request: &str, headers: &str) -> Page {
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    let text = format!("{request} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(text.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    Page {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        head: head.to_owned(),
        body: body.to_owned(),
    }
}

/// The value of one line.
pub fn value(metrics: &str, name: &str, with: &[&str]) -> Option<f64> {
    let mut lines = metrics.lines().filter(|line| line.starts_with(name));
    let line = lines.find(|line| with.iter().all(|label| line.contains(label)))?;
    line.rsplit(' ').next().unwrap().parse().ok()
}

/// All metrics.
pub fn metrics(address: SocketAddr) -> String {
    ask(address, "GET /metrics", "").body
}

#[test]
fn the_pages_are_those_that_are_promised() {
    let database = Cluster::shared().database();
    let pooler = plan(&database)
        .setting("http_token", "\"opensesame\"")
        .start();
    let address = pages(&pooler);
    for (request, headers, status) in [
        ("GET /livez", "", 200),
        ("HEAD /livez", "", 200),
        ("GET /readyz", "", 200),
        ("POST /livez", "", 405),
        ("GET /", "", 404),
        ("GET /metrics", "", 401),
        ("GET /status", "", 401),
        ("GET /metrics", "Authorization: Bearer opensesam\r\n", 401),
        ("GET /metrics", "Authorization: Basic opensesame\r\n", 401),
        ("GET /metrics", "Authorization: Bearer opensesame\r\n", 200),
        ("GET /status", "authorization: Bearer opensesame\r\n", 200),
    ] {
        assert_eq!(
            ask(address, request, headers).status,
            status,
            "{request} {headers}"
        );
    }
    let metrics = ask(
        address,
        "GET /metrics",
        "Authorization: Bearer opensesame\r\n",
    );
    assert!(
        metrics
            .head
            .contains("application/openmetrics-text; version=1.0.0")
    );
    assert!(metrics.body.ends_with("# EOF\n"));
    assert!(!pooler.log().contains("opensesame"));
}

#[test]
fn metrics_count_what_was_done() {
    let database = Cluster::shared().database();
    let pooler = plan(&database).pool_size(1).start();
    let address = pages(&pooler);
    let mut client = pooler.client();
    for _ in 0..3 {
        client.rows("SELECT 1");
    }
    client.rows("BEGIN");
    client.rows("SELECT 2");
    client.rows("COMMIT");
    assert_eq!(client.failure("SELECT 1/0"), "22012");
    client.rows("SELECT pg_advisory_lock(1)");
    let mut waiting = pooler.client();
    waiting.send(&query("SELECT 3"));
    let label = format!("database=\"{}\"", database.name);
    // That the other is pinned is found out after it has its answer.
    let metrics = wait::until_some(wait::SOON, "a pinned client and one that waits", || {
        let metrics = ask(address, "GET /metrics", "").body;
        let waits = ["pgweave_pool_clients", "state=\"waiting\""];
        let pinned = ["pgweave_pool_pins", "reason=\"advisory locks\""];
        let is_one = |[name, with]: [&str; 2]| value(&metrics, name, &[&label, with]) == Some(1.0);
        (is_one(waits) && is_one(pinned)).then_some(metrics)
    });
    let of = |name: &str, with: &str| value(&metrics, name, &[&label, with]);
    assert_eq!(of("pgweave_pool_transactions_total", ""), Some(6.0));
    assert_eq!(of("pgweave_pool_queries_total", ""), Some(8.0));
    assert_eq!(of("pgweave_pool_transaction_seconds_count", ""), Some(6.0));
    assert_eq!(of("pgweave_pool_query_seconds_count", ""), Some(8.0));
    assert_eq!(
        of("pgweave_pool_query_seconds_bucket", "le=\"+Inf\""),
        Some(8.0)
    );
    assert_eq!(of("pgweave_pool_errors_total", "class=\"22\""), Some(1.0));
    assert_eq!(
        of("pgweave_pool_server_connections", "state=\"used\""),
        Some(1.0)
    );
    assert_eq!(of("pgweave_pool_reachable", ""), Some(1.0));
    assert!(of("pgweave_pool_oldest_wait_seconds", "").is_some_and(|wait| wait > 0.0));
    client.rows("SELECT pg_advisory_unlock(1)");
    waiting.until_ready(1, "its turn");
}

/// Whether PostgreSQL is there is told, and no reason to be restarted.
#[test]
fn a_server_that_is_away_leaves_it_alive_and_ready() {
    let nobody = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let pooler = Plan::before_address(nobody, "app")
        .setting("http_listen", "\"127.0.0.1:0\"")
        .start();
    let address = pages(&pooler);
    assert!(Connection::try_login(pooler.address, &pooler.startup()).is_err());
    assert_eq!(ask(address, "GET /livez", "").status, 200);
    assert_eq!(ask(address, "GET /readyz", "").status, 200);
    let metrics = ask(address, "GET /metrics", "").body;
    assert_eq!(value(&metrics, "pgweave_pool_reachable", &[]), Some(0.0));
    let status: serde_json::Value =
        serde_json::from_str(&ask(address, "GET /status", "").body).unwrap();
    assert_eq!(status["pools"][0]["reachable"], false);
    assert_eq!(status["pools"][0]["sqlstate"], "08001");
    assert_eq!(status["ready"], true);
    assert_eq!(status["log_lines"]["dropped"], 0);
}

#[test]
fn names_that_clients_choose_cannot_forge_lines() {
    let database = Cluster::shared().database();
    let pooler = plan(&database).start();
    let mut admin = database.direct();
    let name = format!("{}\"}} 1\nforged_total 7", database.name);
    let quoted = name.replace('"', "\"\"");
    admin.rows(&format!("CREATE DATABASE \"{quoted}\""));
    let startup = pooler.startup().database(&name);
    let mut client = Connection::login(pooler.address, &startup);
    client.rows("SELECT 1");
    let metrics = ask(pages(&pooler), "GET /metrics", "").body;
    assert!(metrics.contains("forged_total 7"), "it is there");
    assert!(
        !metrics.lines().any(|line| line.starts_with("forged")),
        "but no line of its own"
    );
}

#[test]
fn whoever_is_about_to_end_says_so_and_lets_clients_in_for_a_while() {
    let database = Cluster::shared().database();
    let mut pooler = plan(&database).setting("shutdown_delay", "\"1h\"").start();
    let address = pages(&pooler);
    assert_eq!(ask(address, "GET /readyz", "").status, 200);
    pooler.signal(15);
    wait::until(wait::SOON, "that it is not ready", || {
        ask(address, "GET /readyz", "").status == 503
    });
    assert_eq!(ask(address, "GET /livez", "").status, 200);
    let mut late = pooler.client();
    assert_eq!(late.value("SELECT 1"), "1");
    // Once more ends the delay, and whoever does nothing is told.
    pooler.signal(15);
    let told = late.until_end("the end");
    assert_eq!(
        crate::support::raw::first_error(&told).as_deref(),
        Some("57P01")
    );
    assert_eq!(pooler.wait().code(), Some(0));
}

/// All names in a text that metrics of ours can have.
fn names_in(text: &str) -> std::collections::BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_lowercase() || c == '_';
    let words = text.split(|c: char| !is_part(c));
    let names = words.filter(|word| word.starts_with("pgweave_") && !word.ends_with('_'));
    names.map(str::to_owned).collect()
}

#[test]
fn what_is_made_for_the_metrics_asks_for_those_that_there_are() {
    let database = Cluster::shared().database();
    let pooler = plan(&database).start();
    let metrics = ask(pages(&pooler), "GET /metrics", "").body;
    let types = metrics
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "));
    let mut known: std::collections::BTreeSet<String> = types
        .flat_map(|line| {
            let (name, kind) = line.split_once(' ').unwrap();
            let suffixes: &[&str] = match kind {
                "counter" => &["_total"],
                "histogram" => &["", "_bucket", "_sum", "_count"],
                "info" => &["_info"],
                _ => &[""],
            };
            suffixes.iter().map(move |suffix| format!("{name}{suffix}"))
        })
        .collect();
    // Told to a collector of OpenTelemetry alone.
    known.insert("pgweave_otel_spans_dropped".to_owned());
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut seen = std::collections::BTreeSet::new();
    for path in [
        "deploy/grafana/pgweave.json",
        "deploy/prometheus/alerts.yml",
        "docs/OPERATIONS.md",
    ] {
        let names = names_in(&std::fs::read_to_string(root.join(path)).unwrap());
        let unknown: Vec<_> = names.difference(&known).collect();
        assert!(
            !names.is_empty() && unknown.is_empty(),
            "{path}: {unknown:?}"
        );
        seen.extend(names);
    }
    // And all are told of somewhere, but for the parts of histograms.
    let told = |name: &String| {
        let is_part = ["_bucket", "_sum", "_count"]
            .iter()
            .any(|part| name.ends_with(part));
        is_part || seen.contains(name)
    };
    let untold: Vec<_> = known.iter().filter(|name| !told(name)).collect();
    assert!(untold.is_empty(), "{untold:?}");
}

#[test]
fn the_dashboard_is_json() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join("deploy/grafana/pgweave.json")).unwrap();
    let dashboard: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert!(
        dashboard["panels"]
            .as_array()
            .is_some_and(|panels| panels.len() > 10)
    );
}
