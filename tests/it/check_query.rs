//! `server_check_query`: what a server connection is asked that has rested.

use crate::support::pooler::Plan;
use crate::support::postgres::{Cluster, Database};
use crate::support::wait;

/// A pool of one whose connections are asked each time.
fn plan(database: &Database, text: &str) -> Plan {
    Plan::before(database)
        .pool_size(1)
        .setting("server_check_delay", "0")
        .setting("server_check_query", &format!("{text:?}"))
}

fn count(database: &Database) -> usize {
    database
        .direct()
        .value("SELECT count(*) FROM asked")
        .parse()
        .unwrap()
}

#[test]
fn it_is_asked_before_a_rested_connection_is_used() {
    let database = Cluster::shared().database();
    database.direct().rows("CREATE TABLE asked (x int)");
    let pooler = plan(&database, "INSERT INTO asked VALUES (1); SELECT 1").start();
    let mut client = pooler.client();
    let before = count(&database);
    for _ in 0..3 {
        assert_eq!(client.value("SELECT 'here'"), "here");
        // The connection is back before it is wanted again.
        wait::until(wait::SOON, "the end of the turn", || {
            let idle = format!(
                "datname = '{}' AND state = 'idle' AND query LIKE '%here%'",
                database.name
            );
            database.backends(&idle) == 1
        });
    }
    assert!(count(&database) > before);
}

#[test]
fn without_one_nothing_is_asked_and_an_empty_one_says_nothing() {
    for text in ["", "<empty>"] {
        let database = Cluster::shared().database();
        let pooler = plan(&database, text).start();
        let mut client = pooler.client();
        let process = client.value("SELECT pg_backend_pid()");
        for _ in 0..3 {
            assert_eq!(client.value("SELECT pg_backend_pid()"), process, "{text}");
        }
    }
}

#[test]
fn a_connection_that_fails_is_replaced_and_clients_hear_nothing() {
    let database = Cluster::shared().database();
    database.direct().query(
        "CREATE TABLE bad (pid int); CREATE TABLE asked (x int); \
         CREATE FUNCTION is_good() RETURNS int LANGUAGE plpgsql AS $$BEGIN \
         IF EXISTS (SELECT FROM bad WHERE pid = pg_backend_pid()) THEN \
         RAISE 'bad'; END IF; RETURN 1; END$$",
    );
    let pooler = plan(&database, "SELECT is_good()").start();
    let mut client = pooler.client();
    let process = client.value("SELECT pg_backend_pid()");
    assert_eq!(client.value("SELECT pg_backend_pid()"), process);
    database
        .direct()
        .rows(&format!("INSERT INTO bad VALUES ({process})"));
    assert_ne!(client.value("SELECT pg_backend_pid()"), process);
    wait::until(wait::SOON, "the reason in the log", || {
        pooler.log().contains("server_check_query failed: bad")
    });
}

#[test]
fn what_it_sets_is_nobodys() {
    let database = Cluster::shared().database();
    let pooler = plan(&database, "SET work_mem = '7MB'").start();
    let (mut a, mut b) = (pooler.client(), pooler.client());
    a.rows("SET lock_timeout = '9s'");
    for _ in 0..3 {
        assert_eq!(b.value("SHOW work_mem"), "4MB");
        assert_eq!(b.value("SHOW lock_timeout"), "0");
        assert_eq!(a.value("SHOW work_mem"), "4MB");
        assert_eq!(a.value("SHOW lock_timeout"), "9s");
    }
}
