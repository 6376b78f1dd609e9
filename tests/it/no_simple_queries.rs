//! `disable_pqexec`: nobody may send a simple query.

use crate::support::frames::{Frame, extended, query};
use crate::support::pooler::{Plan, Pooler};
use crate::support::postgres::{Cluster, Database};
use crate::support::raw::{Connection, first_error, rows_of};

fn start(database: &Database) -> Pooler {
    Plan::before(database)
        .setting("disable_pqexec", "true")
        .setting("admin_users", "\"postgres\"")
        .start()
}

fn is_refused(frames: &[Frame]) {
    assert_eq!(first_error(frames).as_deref(), Some("08P01"));
    let error = frames.iter().find(|frame| frame.tag == b'E').unwrap();
    let text = String::from_utf8_lossy(&error.body).into_owned();
    assert!(text.contains("PQexec disallowed"), "{text}");
}

#[test]
fn a_simple_query_ends_its_client_and_the_extended_protocol_works() {
    let database = Cluster::shared().database();
    database.direct().rows("CREATE TABLE t (x int)");
    let pooler = start(&database);
    let mut client = pooler.client();
    client.send(&extended("SELECT 6 * 7"));
    let answer = client.until_ready(1, "the answer");
    assert_eq!(rows_of(&answer), [[Some("42".to_owned())]]);
    client.send(&query("INSERT INTO t VALUES (1)"));
    is_refused(&client.until_end("the refusal"));
    // The same amid a transaction, and as the first of all.
    let mut client = pooler.client();
    client.send(&extended("BEGIN"));
    client.until_ready(1, "the transaction");
    client.send(&extended("INSERT INTO t VALUES (2)"));
    client.until_ready(1, "the row");
    client.send(&query("COMMIT"));
    is_refused(&client.until_end("the refusal"));
    let mut client = pooler.client();
    client.send(&query("INSERT INTO t VALUES (3)"));
    is_refused(&client.until_end("the refusal"));
    database.wait_until_quiet();
    assert_eq!(database.direct().value("SELECT count(*) FROM t"), "0");
}

#[test]
fn replication_is_refused_and_the_console_is_not() {
    let database = Cluster::shared().database();
    let pooler = start(&database);
    let startup = pooler.startup().with("replication", "database");
    let refused = Connection::try_login(pooler.address, &startup);
    is_refused(&refused.err().unwrap());
    let mut console = crate::console::console(&pooler);
    assert!(first_error(&console.query("SHOW VERSION")).is_none());
}
