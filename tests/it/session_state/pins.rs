//! Who keeps a server connection and who waits for one.

use crate::support::frames::query;
use crate::support::pooler::{Plan, Pooler};
use crate::support::postgres::{Cluster, Database};
use crate::support::raw::{Connection, first_error};
use crate::support::wait;

/// What keeps a server connection, and what ends that.
const KEEPS: [(&str, &str); 6] = [
    ("CREATE TEMP TABLE mine (x int)", "DROP TABLE mine"),
    ("SELECT pg_advisory_lock(1)", "SELECT pg_advisory_unlock(1)"),
    ("LISTEN c", "UNLISTEN c"),
    ("DECLARE h CURSOR WITH HOLD FOR SELECT 1", "CLOSE h"),
    ("PREPARE q1 AS SELECT 1", "DEALLOCATE q1"),
    (
        "CREATE TEMP TABLE mine (x int); SELECT pg_advisory_lock(1); LISTEN c",
        "DISCARD ALL",
    ),
];

fn pool_of(size: usize) -> (Database<'static>, Pooler) {
    let database = Cluster::shared().database();
    let pooler = Plan::before(&database)
        .pool_size(size)
        .setting("query_wait_timeout", "\"8s\"")
        .start();
    (database, pooler)
}

#[test]
fn others_go_on_when_the_state_is_gone() {
    for (keep, end) in KEEPS {
        let (_database, pooler) = pool_of(1);
        let (mut a, others) = (pooler.client(), 5);
        let mut others: Vec<Connection> = (0..others).map(|_| pooler.client()).collect();
        a.rows(keep);
        others
            .iter_mut()
            .for_each(|other| other.send(&query("SELECT 'served'")));
        a.rows("SELECT 'still served'");
        a.rows(end);
        for other in &mut others {
            let answer = other.until_ready(1, &format!("the server connection after {end}"));
            assert_eq!(first_error(&answer), None, "after {end}");
        }
        assert_eq!(a.value("SELECT 'served'"), "served", "after {end}");
    }
}

#[test]
fn others_go_on_when_the_client_has_left() {
    for (keep, _) in KEEPS {
        let (_database, pooler) = pool_of(1);
        for says_so in [true, false] {
            let mut a = pooler.client();
            a.rows(keep);
            if says_so {
                a.terminate();
            } else {
                drop(a);
            }
            assert_eq!(
                pooler.client().value("SELECT 'served'"),
                "served",
                "after {keep}"
            );
        }
    }
}

#[test]
fn a_client_that_keeps_a_connection_waits_for_nobody() {
    let (database, pooler) = pool_of(2);
    let (mut a, mut b) = (pooler.client(), pooler.client());
    a.rows("CREATE TEMP TABLE mine (x int)");
    b.rows("SELECT pg_advisory_lock(1)");
    let mut waiting: Vec<Connection> = (0..4).map(|_| pooler.client()).collect();
    waiting
        .iter_mut()
        .for_each(|client| client.send(&query("SELECT 'served'")));
    for _ in 0..5 {
        a.rows("INSERT INTO mine VALUES (1)");
        b.rows("BEGIN");
        b.rows("SELECT pg_advisory_unlock(1)");
        b.rows("SELECT pg_advisory_lock(1)");
        b.rows("COMMIT");
    }
    assert_eq!(a.value("SELECT count(*) FROM mine"), "5");
    a.rows("DROP TABLE mine");
    for client in &mut waiting {
        let answer = client.until_ready(1, "a server connection that is free again");
        assert_eq!(first_error(&answer), None);
    }
    assert_eq!(a.value("SELECT 'served'"), "served");
    assert_eq!(b.value("SELECT pg_advisory_unlock(1)"), "t");
    wait::until(wait::SOON, "no more than two server connections", || {
        database.backends("backend_type = 'client backend'") <= 2
    });
}

#[test]
fn settings_alone_keep_no_connection() {
    let (_database, pooler) = pool_of(1);
    let mut clients: Vec<Connection> = (0..10).map(|_| pooler.client()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.rows(&format!("SET work_mem = '{}MB'", number + 5));
        client.rows(&format!("SET app.number = '{number}'"));
    }
    for (number, client) in clients.iter_mut().enumerate().rev() {
        assert_eq!(client.value("SHOW work_mem"), format!("{}MB", number + 5));
        assert_eq!(client.value("SHOW app.number"), number.to_string());
    }
}

#[test]
fn a_client_of_a_function_that_is_said_to_pin_keeps_its_connection_until_it_leaves() {
    let database = Cluster::shared().database();
    let mut direct = database.direct();
    direct.rows("CREATE FUNCTION remembers() RETURNS int LANGUAGE sql AS 'SELECT 1'");
    direct.rows("CREATE FUNCTION calls() RETURNS int LANGUAGE sql AS 'SELECT remembers()'");
    let pooler = Plan::before(&database)
        .pool_size(1)
        .setting("pin_functions", "\"Remembers, others\"")
        .setting("query_wait_timeout", "\"200ms\"")
        .start();
    for text in ["SELECT remembers()", "SELECT calls()", "select REMEMBERS()"] {
        let mut client = pooler.client();
        client.rows(text);
        let before = client.value("SELECT pg_backend_pid()");
        assert_eq!(pooler.client().failure("SELECT 1"), "08P01", "{text}");
        client.terminate();
        wait::until(wait::SOON, "the next client to be served", || {
            let answer = pooler.client().query("SELECT 1");
            first_error(&answer).is_none()
        });
        let after = pooler.client().value("SELECT pg_backend_pid()");
        assert_ne!(before, after, "{text}");
    }
}

#[test]
fn a_client_can_be_told_that_it_keeps_its_connection() {
    let database = Cluster::shared().database();
    let pooler = Plan::before(&database)
        .pool_size(1)
        .setting("pin_notice", "true")
        .start();
    let mut client = pooler.client();
    client.rows("CREATE TEMP TABLE mine (x int)");
    let told = client.until_tag(b'N', "a notice").pop().unwrap();
    assert_eq!(told.field(b'S').as_deref(), Some("NOTICE"));
    assert!(told.field(b'M').unwrap().contains("temporary objects"));
    client.rows("DROP TABLE mine");
    let told = client.until_tag(b'N', "a notice").pop().unwrap();
    assert!(told.field(b'M').unwrap().contains("no longer"));
}
