//! Traces and metrics to a collector of OTLP, which is one of the test's own here.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::support::frames::query;
use crate::support::pooler::{Plan, Pooler};
use crate::support::postgres::{Cluster, Database};
use crate::support::wait;

/// What was posted: where to, with which lines in the head, and what.
struct Posted {
    path: String,
    head: String,
    text: String,
}

/// Takes what it is sent, unless it is told to refuse it.
struct Collector {
    port: u16,
    posted: Arc<Mutex<Vec<Posted>>>,
    refuses: Arc<AtomicBool>,
}

impl Collector {
    fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let collector = Self {
            port: listener.local_addr().unwrap().port(),
            posted: Arc::default(),
            refuses: Arc::default(),
        };
        let (posted, refuses) = (
            Arc::clone(&collector.posted),
            Arc::clone(&collector.refuses),
        );
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                take(&stream, &posted, &refuses);
            }
        });
        collector
    }

    /// All spans so far.
    fn spans(&self) -> Vec<Value> {
        let posted = self.posted.lock().unwrap();
        let traces = posted.iter().filter(|posted| posted.path == "/v1/traces");
        traces
            .flat_map(|posted| {
                let all: Value = serde_json::from_str(&posted.text).unwrap();
                let spans = &all["resourceSpans"][0]["scopeSpans"][0]["spans"];
                spans.as_array().unwrap().clone()
            })
            .collect()
    }

    /// The metrics that came last.
    fn metrics(&self) -> Option<Vec<Value>> {
        let posted = self.posted.lock().unwrap();
        let mut metrics = posted.iter().filter(|posted| posted.path == "/v1/metrics");
        let all: Value = serde_json::from_str(&metrics.next_back()?.text).unwrap();
        let metrics = &all["resourceMetrics"][0]["scopeMetrics"][0]["metrics"];
        Some(metrics.as_array().unwrap().clone())
    }

    fn spans_at_last(&self, count: usize) -> Vec<Value> {
        wait::until_some(wait::SOON, "the spans", || {
            let spans = self.spans();
            (spans.len() >= count).then_some(spans)
        })
    }
}

fn take(stream: &TcpStream, posted: &Mutex<Vec<Posted>>, refuses: &AtomicBool) {
    stream
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).unwrap_or(0) == 0 {
            return;
        }
    }
    let length = head.lines().find_map(|line| {
        let line = line.to_ascii_lowercase();
        line.strip_prefix("content-length: ")?.parse().ok()
    });
    let mut body = vec![0; length.unwrap_or(0)];
    if reader.read_exact(&mut body).is_err() {
        return;
    }
    let refuses = refuses.load(Ordering::Relaxed);
    if !refuses {
        posted.lock().unwrap().push(Posted {
            path: head.split(' ').nth(1).unwrap().to_owned(),
            head,
            text: String::from_utf8(body).unwrap(),
        });
    }
    let status = if refuses { "503 Later" } else { "200 OK" };
    let mut writer = stream;
    let _ = write!(writer, "HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\n{{}}");
}

fn plan(database: &Database, collector: &Collector) -> Plan {
    let endpoint = format!("http://127.0.0.1:{}", collector.port);
    Plan::before(database)
        .setting("http_listen", "\"127.0.0.1:0\"")
        .variable("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)
        .variable("OTEL_EXPORTER_OTLP_HEADERS", "api-key=opensesame")
        .variable("OTEL_SERVICE_NAME", "front")
        .variable("OTEL_BSP_SCHEDULE_DELAY", "20")
        .variable("OTEL_METRIC_EXPORT_INTERVAL", "50")
}

/// The value of an attribute, as text.
fn of(span: &Value, key: &str) -> Option<String> {
    let attributes = span["attributes"].as_array().unwrap();
    let found = attributes
        .iter()
        .find(|attribute| attribute["key"] == key)?;
    let value = found["value"].as_object().unwrap().values().next().unwrap();
    Some(
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned),
    )
}

fn seconds(span: &Value, key: &str) -> f64 {
    of(span, key).unwrap().parse().unwrap()
}

#[test]
fn each_transaction_is_a_span() {
    let database = Cluster::shared().database();
    let collector = Collector::open();
    let pooler = plan(&database, &collector).pool_size(1).start();
    let mut client = pooler.client();
    let process = client.value("SELECT pg_backend_pid()");
    // The session is asked about after such a text; who goes on meanwhile is in the same turn.
    collector.spans_at_last(1);
    client.rows("BEGIN");
    client.rows("SELECT 'hush', pg_sleep(0.02)");
    let mut waiting = pooler.client();
    waiting.send(&query("SELECT 'hush'"));
    thread::sleep(Duration::from_millis(100));
    client.rows("COMMIT");
    waiting.until_ready(1, "its turn");
    assert_eq!(client.failure("SELECT 1/0"), "22012");
    let spans = collector.spans_at_last(4);
    let counts: Vec<_> = spans
        .iter()
        .map(|span| of(span, "pgweave.queries"))
        .collect();
    assert_eq!(
        counts.iter().flatten().collect::<Vec<_>>(),
        ["1", "3", "1", "1"]
    );
    let [_, block, waited, failed] = &spans[..] else {
        panic!("{spans:?}");
    };
    for span in &spans {
        assert_eq!(of(span, "db.namespace").as_deref(), Some(&*database.name));
        assert_eq!(of(span, "pgweave.user").as_deref(), Some("postgres"));
        assert_eq!(of(span, "pgweave.server_pid").as_deref(), Some(&*process));
        assert_eq!(span["traceId"].as_str().unwrap().len(), 32);
        assert_eq!(span["spanId"].as_str().unwrap().len(), 16);
        assert!(span.get("parentSpanId").is_none());
    }
    // The client's own pause belongs to the transaction, but kept no server busy.
    let time = |of: &str| block[of].as_str().unwrap().parse::<u64>().unwrap();
    assert!(time("endTimeUnixNano") - time("startTimeUnixNano") >= 120_000_000);
    assert!((0.02..0.1).contains(&seconds(block, "pgweave.server_seconds")));
    assert!(seconds(block, "pgweave.wait_seconds") < 0.05);
    assert!(seconds(waited, "pgweave.wait_seconds") > 0.05);
    assert_eq!(block["status"], serde_json::json!({}));
    assert_eq!(failed["status"]["code"], 2);
    let code = of(failed, "db.response.status_code");
    assert_eq!(code.as_deref(), Some("22012"));
    let posted = collector.posted.lock().unwrap();
    for posted in &*posted {
        assert!(posted.head.contains("api-key: opensesame"));
        assert!(posted.text.contains("{\"stringValue\":\"front\"}"));
        assert!(!posted.text.contains("hush"), "no text of a statement");
    }
    assert!(!pooler.log().contains("opensesame"));
}

#[test]
fn who_keeps_a_server_connection_has_a_span_for_each_transaction_too() {
    let database = Cluster::shared().database();
    let collector = Collector::open();
    let pooler = plan(&database, &collector).pool_mode("session").start();
    let mut client = pooler.client();
    for _ in 0..3 {
        client.rows("SELECT 1");
    }
    client.rows("BEGIN");
    client.terminate();
    let spans = collector.spans_at_last(4);
    let cut_off = of(&spans[3], "error.type");
    assert_eq!((spans.len(), cut_off.as_deref()), (4, Some("08006")));
    let traces: BTreeSet<_> = spans.iter().map(|span| span["traceId"].as_str()).collect();
    assert_eq!(traces.len(), 4);
}

/// What `/metrics` says.
fn page(pooler: &Pooler) -> String {
    let log = pooler.log();
    let said = log.split("health on http://").nth(1).unwrap();
    let mut stream = TcpStream::connect(said.split_whitespace().next().unwrap()).unwrap();
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn metrics_are_those_that_prometheus_reads() {
    let database = Cluster::shared().database();
    let collector = Collector::open();
    let pooler = plan(&database, &collector).start();
    let mut client = pooler.client();
    for _ in 0..7 {
        client.rows("SELECT 1");
    }
    let metrics = wait::until_some(wait::SOON, "metrics of seven transactions", || {
        let metrics = collector.metrics()?;
        let name = "pgweave_pool_transactions";
        let metric = metrics.iter().find(|metric| metric["name"] == name)?;
        let points = metric["sum"]["dataPoints"].as_array()?;
        let point = points
            .iter()
            .find(|point| of(point, "database").as_deref() == Some(&*database.name))?;
        (point["asInt"] == "7").then_some(metrics)
    });
    let names: BTreeSet<String> = metrics
        .iter()
        .map(|metric| {
            let name = metric["name"].as_str().unwrap();
            // Prometheus' name has the unit in it.
            match metric.get("unit").is_some() {
                true => format!("{name}_seconds"),
                false => name.trim_end_matches("_info").to_owned(),
            }
        })
        .collect();
    let page = page(&pooler);
    let types = page.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let mut known: BTreeSet<String> = types
        .map(|line| line.split(' ').next().unwrap().to_owned())
        .collect();
    assert!(known.len() > 20);
    known.insert("pgweave_otel_spans_dropped".to_owned());
    assert_eq!(names, known);
    let times = metrics
        .iter()
        .find(|metric| metric["name"] == "pgweave_pool_transaction")
        .unwrap();
    let point = &times["histogram"]["dataPoints"][0];
    assert_eq!(point["count"], "7");
    let count = |of: &str| point[of].as_array().unwrap().len();
    assert_eq!(count("bucketCounts"), count("explicitBounds") + 1);
}

#[test]
fn a_collector_that_takes_nothing_costs_clients_nothing() {
    let database = Cluster::shared().database();
    let collector = Collector::open();
    collector.refuses.store(true, Ordering::Relaxed);
    let pooler = plan(&database, &collector)
        .variable("OTEL_BSP_MAX_QUEUE_SIZE", "4")
        .start();
    let mut client = pooler.client();
    for _ in 0..100 {
        client.rows("SELECT 1");
    }
    wait::until(wait::SOON, "a line in the log", || {
        pooler
            .log()
            .contains("collector takes nothing: it answers 503")
    });
    assert_eq!(pooler.log().matches("collector takes nothing").count(), 1);
    collector.refuses.store(false, Ordering::Relaxed);
    let dropped = wait::until_some(wait::SOON, "metrics", || {
        let metrics = collector.metrics()?;
        let name = "pgweave_otel_spans_dropped";
        let metric = metrics.iter().find(|metric| metric["name"] == name)?;
        let count = metric["sum"]["dataPoints"][0]["asInt"].as_str()?;
        count.parse::<usize>().ok()
    });
    wait::until(wait::SOON, "another line", || {
        pooler.log().contains("collector takes what it is sent")
    });
    assert!((50..=100).contains(&dropped), "{dropped}");
}

#[test]
fn what_is_left_is_sent_at_the_end() {
    let database = Cluster::shared().database();
    let collector = Collector::open();
    let mut pooler = plan(&database, &collector)
        .variable("OTEL_BSP_SCHEDULE_DELAY", "3600000")
        .variable("OTEL_METRIC_EXPORT_INTERVAL", "3600000")
        .start();
    let mut client = pooler.client();
    client.rows("SELECT 1");
    client.terminate();
    assert!(collector.posted.lock().unwrap().is_empty());
    pooler.signal(15);
    assert_eq!(pooler.wait().code(), Some(0));
    assert_eq!(collector.spans().len(), 1);
    assert!(collector.metrics().is_some());
}

#[test]
fn only_what_is_sampled_is_told() {
    let database = Cluster::shared().database();
    let collector = Collector::open();
    let mut pooler = plan(&database, &collector)
        .variable("OTEL_TRACES_SAMPLER", "parentbased_always_off")
        .start();
    pooler.client().rows("SELECT 1");
    pooler.signal(15);
    assert_eq!(pooler.wait().code(), Some(0));
    assert!(collector.spans().is_empty() && collector.metrics().is_some());
}
