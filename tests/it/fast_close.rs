//! `server_fast_close`: who stands in the way of server connections being replaced.

use crate::console::{Shown, console, tag};
use crate::support::frames::{Frame, query};
use crate::support::pooler::{Plan, Pooler};
use crate::support::postgres::{Cluster, Database};
use crate::support::raw::{Connection, first_error};
use crate::support::wait;

fn plan(database: &Database) -> Plan {
    Plan::before(database)
        .setting("admin_users", "\"postgres\"")
        .pool_mode("session")
}

fn fast(database: &Database) -> Pooler {
    plan(database).setting("server_fast_close", "true").start()
}

fn is_told(frames: &[Frame]) {
    assert_eq!(first_error(frames).as_deref(), Some("08P01"));
    let error = frames.iter().find(|frame| frame.tag == b'E').unwrap();
    let text = String::from_utf8_lossy(&error.body).into_owned();
    assert!(text.contains("database configuration changed"), "{text}");
}

#[test]
fn a_client_that_rests_is_told_at_once() {
    let database = Cluster::shared().database();
    let pooler = fast(&database);
    let (mut client, mut fresh) = (pooler.client(), pooler.client());
    client.value("SELECT 1");
    let mut console = console(&pooler);
    assert_eq!(tag(&mut console, "RECONNECT"), "RECONNECT");
    is_told(&client.until_end("the end"));
    // It had no server connection yet.
    assert_eq!(fresh.value("SELECT 1"), "1");
    assert_eq!(tag(&mut console, "RECONNECT"), "RECONNECT");
    is_told(&fresh.until_end("the end"));
    assert_eq!(tag(&mut console, "WAIT_CLOSE"), "WAIT_CLOSE");
    database.wait_until_quiet();
}

#[test]
fn a_transaction_ends_first() {
    let database = Cluster::shared().database();
    database.direct().rows("CREATE TABLE t (x int)");
    let pooler = fast(&database);
    let mut client = pooler.client();
    client.rows("BEGIN");
    let mut runs = pooler.client();
    runs.send(&query("SELECT pg_sleep(0.5), 'to its end'"));
    wait::until(wait::SOON, "the query to run", || {
        database.backends(&format!(
            "datname = '{}' AND state = 'active' AND query LIKE '%to its end%'",
            database.name
        )) == 1
    });
    let mut console = console(&pooler);
    assert_eq!(tag(&mut console, "RECONNECT"), "RECONNECT");
    client.rows("INSERT INTO t VALUES (1)");
    let frames = runs.until_end("its answer and the end");
    assert!(frames.iter().any(|frame| frame.tag == b'Z'), "{frames:?}");
    is_told(&frames);
    client.send(&query("COMMIT"));
    let frames = client.until_end("its answer and the end");
    assert!(frames.iter().any(|frame| frame.tag == b'Z'), "{frames:?}");
    is_told(&frames);
    assert_eq!(database.direct().value("SELECT count(*) FROM t"), "1");
}

#[test]
fn without_it_a_client_keeps_its_server_connection_until_it_leaves() {
    let database = Cluster::shared().database();
    let pooler = plan(&database).start();
    let mut client = pooler.client();
    let process = client.value("SELECT pg_backend_pid()");
    let mut console = console(&pooler);
    assert_eq!(tag(&mut console, "RECONNECT"), "RECONNECT");
    assert_eq!(client.value("SELECT pg_backend_pid()"), process);
    assert_eq!(Shown::of(&mut console, "SERVERS").len(), 1);
    // Said later it holds for who stands in the way now.
    assert_eq!(
        tag(&mut console, "SET server_fast_close = true"),
        "SET server_fast_close=true"
    );
    is_told(&client.until_end("the end"));
}

#[test]
fn in_transaction_mode_nobody_is_told_anything() {
    let database = Cluster::shared().database();
    let pooler = plan(&database)
        .pool_mode("transaction")
        .setting("server_fast_close", "true")
        .start();
    let mut client: Connection = pooler.client();
    let process = client.value("SELECT pg_backend_pid()");
    let mut console = console(&pooler);
    assert_eq!(tag(&mut console, "RECONNECT"), "RECONNECT");
    // What is sent before a turn is over goes on with it.
    wait::until(wait::SOON, "another server connection", || {
        client.value("SELECT pg_backend_pid()") != process
    });
}
