//! `log_traceparent`: lines about a query are found by its trace.

use crate::console::{Shown, console, plan};
use crate::support::frames::{bind, close, execute, extended, parse, query, sync};
use crate::support::pooler::Plan;
use crate::support::postgres::Cluster;
use crate::support::raw::first_error;
use crate::support::wait;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// A text with the comment of this span.
fn traced(sql: &str, span: u64) -> String {
    format!("{sql} /*db_driver='x',traceparent='00-{TRACE}-{span:016x}-01'*/")
}

fn fields(span: u64) -> String {
    format!("trace_id=\"{TRACE}\" span_id=\"{span:016x}\"")
}

#[test]
fn a_traced_query_is_found_in_the_log_by_its_span() {
    let database = Cluster::shared().database();
    let pooler = plan(&database)
        .pool_size(1)
        .setting("log_traceparent", "true")
        .setting("log_level", "\"debug\"")
        .start();
    let mut client = pooler.client();
    let mut console = console(&pooler);
    let pid = client.value(&traced("SELECT pg_backend_pid()", 1));
    client.send(&extended(&traced("SELECT 1/0", 2)));
    assert_eq!(
        first_error(&client.until_ready(1, "an error")).as_deref(),
        Some("22012")
    );
    let prepared = [parse("a", &traced("SELECT 3", 3)), bind("", "a", &[])];
    client.send(&[prepared.concat(), execute("", 0), sync()].concat());
    client.until_ready(1, "a row");
    // Of no trace, and of the one before no more.
    client.rows("SELECT 4");
    assert_eq!(client.failure("SELECT 4/0"), "22012");
    // Another that must wait.
    client.rows("BEGIN");
    let mut other = pooler.client();
    other.send(&query(&traced("SELECT 5", 5)));
    wait::until(wait::SOON, "somebody to wait", || {
        let shown = Shown::of(&mut console, "CLIENTS");
        shown.value("state", "waiting", "id").is_some()
    });
    client.rows("SELECT pg_sleep(0.01)");
    client.rows("COMMIT");
    other.until_ready(1, "its row");
    let lines = [
        format!(
            "a traced query client=1 pid={pid} {} waited_ms=0",
            fields(1)
        ),
        format!(
            "a traced query client=1 pid={pid} {} waited_ms=0",
            fields(2)
        ),
        format!("pid={pid} sqlstate=22012 {}", fields(2)),
        format!(
            "a traced query client=1 pid={pid} {} waited_ms=0",
            fields(3)
        ),
        format!("pid={pid} {} waited_ms=", fields(5)),
    ];
    wait::until(wait::SOON, "the lines of the log", || {
        lines.iter().all(|line| pooler.log().contains(line))
    });
    let log = pooler.log();
    assert_eq!(log.matches("a traced query client").count(), 4, "{log}");
    assert_eq!(log.matches("a traced query has failed").count(), 1, "{log}");
    let waited = log.split(&format!("{} waited_ms=", fields(5))).nth(1);
    let waited = waited.unwrap().split_whitespace().next().unwrap();
    assert!(waited.parse::<u64>().unwrap() >= 10, "{waited}");
}

#[test]
fn why_a_client_was_closed_is_told_with_its_trace() {
    let database = Cluster::shared().database();
    for wanted in [true, false] {
        let pooler = Plan::before(&database)
            .pool_size(1)
            .setting("log_traceparent", &wanted.to_string())
            .setting("query_wait_timeout", "0.3")
            .setting("idle_transaction_timeout", "3")
            .start();
        let mut first = pooler.client();
        let mut waits = pooler.client();
        first.rows("BEGIN");
        first.rows(&traced("SELECT 1", 1));
        waits.send(&query(&traced("SELECT 2", 2)));
        let told = waits.until_end("query_wait_timeout");
        assert_eq!(first_error(&told).as_deref(), Some("08P01"));
        let told = first.until_end("idle_transaction_timeout");
        assert_eq!(first_error(&told).as_deref(), Some("25P03"));
        wait::until(wait::SOON, "both lines", || {
            pooler.log().matches("closing because: ").count() >= 2
        });
        let log = pooler.log();
        for span in [1, 2] {
            let line = format!(
                "sqlstate={} {}",
                ["25P03", "08P01"][span - 1],
                fields(span as u64)
            );
            assert_eq!(log.contains(&line), wanted, "{line} in {log}");
        }
    }
}

#[test]
fn comments_that_are_always_new_are_kept_by_nobody() {
    let database = Cluster::shared().database();
    let pooler = plan(&database).setting("log_traceparent", "true").start();
    let mut client = pooler.client();
    for span in 1..=300 {
        client.rows(&traced("SELECT 1", span));
        client.send(&extended(&traced("SELECT 2", span)));
        client.until_ready(1, "a row");
    }
    let mut console = console(&pooler);
    let known = |console: &mut _| {
        let shown = Shown::of(console, "STATEMENTS");
        shown.number("database", &pooler.database, "statements")
    };
    assert_eq!(known(&mut console), 0);
    // A name is one more each time, until it is closed.
    for span in 1..=50 {
        let name = span.to_string();
        client.send(&[parse(&name, &traced("SELECT 3", span)), sync()].concat());
        client.until_ready(1, "a statement");
    }
    assert_eq!(known(&mut console), 50);
    for span in 1..=50 {
        client.send(&[close(b'S', &span.to_string()), sync()].concat());
        client.until_ready(1, "a statement less");
    }
    wait::until(wait::SOON, "them to be forgotten", || {
        known(&mut console) == 0
    });
}
