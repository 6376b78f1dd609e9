//! The three pool modes, and where they can be set.

use crate::support::differential::{A, B, script};
use crate::support::frames::{extended, query};
use crate::support::pooler::Plan;
use crate::support::postgres::Cluster;
use crate::support::raw::{Connection, first_error};
use crate::support::startup::Startup;
use crate::support::wait;

#[test]
fn session_mode_keeps_one_server_connection_with_its_settings() {
    let database = Cluster::shared().database();
    let pooler = Plan::before(&database)
        .pool_size(2)
        .pool_mode("session")
        .start();
    let (mut a, mut b) = (pooler.client(), pooler.client());
    let (pid_of_a, pid_of_b) = (
        a.value("SELECT pg_backend_pid()"),
        b.value("SELECT pg_backend_pid()"),
    );
    assert_ne!(pid_of_a, pid_of_b);
    a.rows("SET work_mem = '9MB'");
    a.rows("CREATE TEMP TABLE mine (x int)");
    for _ in 0..5 {
        assert_eq!(a.value("SELECT pg_backend_pid()"), pid_of_a);
        assert_eq!(b.value("SELECT pg_backend_pid()"), pid_of_b);
    }
    assert_eq!(a.value("SHOW work_mem"), "9MB");
    assert_eq!(a.value("SELECT count(*) FROM mine"), "0");
    assert_eq!(b.failure("SELECT count(*) FROM mine"), "42P01");
}

#[test]
fn session_mode_hands_on_a_clean_connection_when_the_client_leaves() {
    let database = Cluster::shared().database();
    let pooler = Plan::before(&database)
        .pool_size(1)
        .pool_mode("session")
        .start();
    let standard = database.direct().value("SHOW work_mem");
    let mut first = pooler.client();
    first.rows("SET work_mem = '9MB'");
    first.rows("CREATE TEMP TABLE mine (x int)");
    first.rows("SELECT pg_advisory_lock(7)");
    let mut second = pooler.client();
    second.send(&query("SHOW work_mem"));
    first.terminate();
    let answer = second.until_ready(1, "the server connection of the one who left");
    let shown = crate::support::raw::rows_of(&answer);
    assert_eq!(shown, [[Some(standard)]]);
    assert_eq!(second.failure("SELECT count(*) FROM mine"), "42P01");
    assert_eq!(
        database.direct().value("SELECT pg_try_advisory_lock(7)"),
        "t"
    );
}

#[test]
fn session_mode_ends_an_open_transaction_with_its_client() {
    let database = Cluster::shared().database();
    database.direct().rows("CREATE TABLE t (x int)");
    let pooler = Plan::before(&database)
        .pool_size(1)
        .pool_mode("session")
        .start();
    let mut first = pooler.client();
    first.rows("BEGIN");
    first.rows("INSERT INTO t VALUES (1)");
    drop(first);
    assert_eq!(pooler.client().value("SELECT count(*) FROM t"), "0");
    database.wait_until_quiet();
}

#[test]
fn transaction_mode_moves_clients_between_server_connections() {
    let database = Cluster::shared().database();
    let pooler = Plan::before(&database).pool_size(1).start();
    let (mut a, mut b) = (pooler.client(), pooler.client());
    assert_eq!(
        a.value("SELECT pg_backend_pid()"),
        b.value("SELECT pg_backend_pid()")
    );
}

#[test]
fn statement_mode_refuses_transactions() {
    let database = Cluster::shared().database();
    database.direct().rows("CREATE TABLE t (x int)");
    for begin in [
        query("BEGIN"),
        extended("BEGIN"),
        query("SELECT 1; BEGIN; INSERT INTO t VALUES (1)"),
    ] {
        let pooler = Plan::before(&database)
            .pool_size(1)
            .pool_mode("statement")
            .start();
        let mut client = pooler.client();
        assert_eq!(client.value("SELECT 'alone'"), "alone");
        client.send(&begin);
        let answer = client.until_ready(1, "the refusal of BEGIN");
        assert!(
            first_error(&answer).is_some(),
            "BEGIN was taken: {answer:?}"
        );
        assert_eq!(pooler.client().value("SELECT count(*) FROM t"), "0");
        database.wait_until_quiet();
    }
}

#[test]
fn statement_mode_serves_single_statements() {
    let database = Cluster::shared().database();
    let pooler = Plan::before(&database)
        .pool_size(1)
        .pool_mode("statement")
        .start();
    let (mut a, mut b) = (pooler.client(), pooler.client());
    a.rows("CREATE TABLE t (x int)");
    for _ in 0..3 {
        a.rows("INSERT INTO t VALUES (1); INSERT INTO t VALUES (2)");
        b.send(&extended("SELECT count(*) FROM t"));
        assert_eq!(first_error(&b.until_ready(1, "a count")), None);
    }
    assert_eq!(b.value("SELECT count(*) FROM t"), "6");
}

#[test]
fn a_user_has_a_mode_of_its_own() {
    let database = Cluster::shared().database();
    let pooler = Plan::before(&database)
        .pool_size(1)
        .user_lines("guest", "password = \"unused\"\npool_mode = \"session\"")
        .start();
    let mut guest = Connection::login(pooler.address, &Startup::new("guest", &pooler.database));
    guest.rows("SET work_mem = '9MB'");
    let (mut a, mut b) = (pooler.client(), pooler.client());
    assert_eq!(
        a.value("SELECT pg_backend_pid()"),
        b.value("SELECT pg_backend_pid()")
    );
    assert_eq!(guest.value("SHOW work_mem"), "9MB");
}

#[test]
fn a_database_has_a_mode_of_its_own() {
    let database = Cluster::shared().database();
    let pooler = Plan::before(&database)
        .pool_size(2)
        .database_lines("pool_mode = \"session\"")
        .start();
    let (mut a, mut b) = (pooler.client(), pooler.client());
    a.rows("SET work_mem = '9MB'");
    b.rows("SELECT 1");
    assert_eq!(a.value("SHOW work_mem"), "9MB");
    assert_ne!(
        a.value("SELECT pg_backend_pid()"),
        b.value("SELECT pg_backend_pid()")
    );
}

#[test]
fn a_client_that_only_logged_in_holds_no_server_connection() {
    let database = Cluster::shared().database();
    let pooler = Plan::before(&database).pool_size(1).start();
    let idle: Vec<Connection> = (0..50).map(|_| pooler.client()).collect();
    assert_eq!(pooler.client().value("SELECT 'served'"), "served");
    wait::until(wait::SOON, "one server connection", || {
        database.backends("backend_type = 'client backend'") == 1
    });
    assert_eq!(idle.len(), 50);
}

#[test]
fn the_hidden_client_alone_is_no_trouble() {
    script()
        .query(A, "SELECT 1")
        .query(B, "SELECT 2")
        .pools(&[1, 2, 5])
        .run();
}
