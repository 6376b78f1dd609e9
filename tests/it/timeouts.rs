//! What takes too long ends, with a SQLSTATE that says which limit it was, and
//! the server connection serves the next client.

use std::time::{Duration, Instant};

use crate::support::frames::query;
use crate::support::pooler::{Plan, Pooler};
use crate::support::postgres::{Cluster, Database};
use crate::support::raw::{Connection, first_error};

fn with_limit(key: &str) -> (Database<'static>, Pooler) {
    let database = Cluster::shared().database();
    database.direct().rows("CREATE TABLE t (x int)");
    let pooler = Plan::before(&database)
        .pool_size(1)
        .setting(key, "\"1s\"")
        .start();
    (database, pooler)
}

/// The client's last words, which must come neither at once nor much too late.
fn last_words(client: &mut Connection, what: &str) -> Option<String> {
    let start = Instant::now();
    let frames = client.until_end(what);
    let waited = start.elapsed();
    assert!(
        waited > Duration::from_millis(500) && waited < Duration::from_secs(5),
        "{what} after {waited:?}"
    );
    first_error(&frames)
}

fn the_pool_is_whole(database: &Database, pooler: &Pooler) {
    assert_eq!(pooler.client().value("SELECT count(*) FROM t"), "0");
    database.wait_until_quiet();
}

#[test]
fn a_client_waits_no_longer_than_query_wait_timeout() {
    let (database, pooler) = with_limit("query_wait_timeout");
    let (mut holder, mut waiting) = (pooler.client(), pooler.client());
    holder.rows("BEGIN");
    waiting.send(&query("SELECT 1"));
    let code = last_words(&mut waiting, "the end of a wait").expect("an error");
    assert!(
        matches!(code.as_str(), "08P01" | "53300" | "57014" | "57P05"),
        "{code}"
    );
    assert_eq!(holder.value("SELECT 'undisturbed'"), "undisturbed");
    holder.rows("COMMIT");
    the_pool_is_whole(&database, &pooler);
}

#[test]
fn an_idle_transaction_ends_with_25p03() {
    let (database, pooler) = with_limit("idle_transaction_timeout");
    let mut client = pooler.client();
    client.rows("BEGIN");
    client.rows("INSERT INTO t VALUES (1)");
    assert_eq!(
        last_words(&mut client, "the end of an idle transaction").as_deref(),
        Some("25P03")
    );
    the_pool_is_whole(&database, &pooler);
}

#[test]
fn a_transaction_that_is_busy_is_not_idle() {
    let (_database, pooler) = with_limit("idle_transaction_timeout");
    let mut client = pooler.client();
    client.rows("BEGIN");
    client.rows("SELECT pg_sleep(1.5)");
    client.rows("COMMIT");
}

#[test]
fn a_long_transaction_ends_though_it_is_busy() {
    let (database, pooler) = with_limit("transaction_timeout");
    let mut client = pooler.client();
    client.rows("BEGIN");
    client.rows("INSERT INTO t VALUES (1)");
    let start = Instant::now();
    let code = loop {
        if client.try_send(&query("SELECT pg_sleep(0.05)")).is_err() {
            break first_error(&client.until_end("the last words"));
        }
        let answer = client.until_ready(1, "a step of a long transaction");
        if let Some(code) = first_error(&answer) {
            break Some(code);
        }
        assert!(
            start.elapsed() < Duration::from_secs(5),
            "the transaction goes on for ever"
        );
    };
    assert_eq!(code.as_deref(), Some("25P04"));
    the_pool_is_whole(&database, &pooler);
}

#[test]
fn a_long_query_is_cancelled() {
    let (database, pooler) = with_limit("query_timeout");
    let mut client = pooler.client();
    let start = Instant::now();
    let answer = client.query("SELECT pg_sleep(60)");
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "after {:?}",
        start.elapsed()
    );
    assert_eq!(first_error(&answer).as_deref(), Some("57014"));
    the_pool_is_whole(&database, &pooler);
}

#[test]
fn an_idle_client_is_sent_away_with_57p05() {
    let (database, pooler) = with_limit("client_idle_timeout");
    let mut client = pooler.client();
    client.rows("SELECT 1");
    assert_eq!(
        last_words(&mut client, "the end of an idle client").as_deref(),
        Some("57P05")
    );
    the_pool_is_whole(&database, &pooler);
}

#[test]
fn a_client_in_a_transaction_is_not_an_idle_client() {
    let (_database, pooler) = with_limit("client_idle_timeout");
    let mut client = pooler.client();
    client.rows("BEGIN");
    client.rows("SELECT pg_sleep(1.5)");
    client.rows("COMMIT");
}

#[test]
fn a_client_that_never_logs_in_is_sent_away() {
    let (database, pooler) = with_limit("client_login_timeout");
    let mut silent = Connection::open(pooler.address);
    let frames = silent.until_end("the end of a silent client");
    assert!(frames.iter().all(|frame| frame.tag == b'E'));
    let mut half = Connection::open(pooler.address);
    half.send(&pooler.startup().to_bytes()[..10]);
    half.until_end("the end of half a startup packet");
    the_pool_is_whole(&database, &pooler);
}
