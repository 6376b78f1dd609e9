//! `server_reset_query`: what is run when a server connection changes hands.

use crate::support::frames::{bind, execute, parse, sync};
use crate::support::pooler::Plan;
use crate::support::postgres::{Cluster, Database};
use crate::support::raw::{first_error, rows_of};
use crate::support::wait;

/// A pool of one with this text.
fn plan(database: &Database, text: &str) -> Plan {
    Plan::before(database)
        .pool_size(1)
        .setting("server_reset_query", &format!("{text:?}"))
}

/// Notes what a client has left behind, and resets nothing.
const NOTES: &str = "INSERT INTO gone VALUES (current_setting('work_mem'))";

fn notes(database: &Database) -> Vec<String> {
    let mut direct = database.direct();
    let rows = direct.rows("SELECT x FROM gone");
    rows.into_iter().flatten().flatten().collect()
}

#[test]
fn it_is_run_when_a_client_leaves_in_session_mode_and_the_rest_is_cleaned_all_the_same() {
    let database = Cluster::shared().database();
    database.direct().rows("CREATE TABLE gone (x text)");
    let pooler = plan(&database, NOTES).pool_mode("session").start();
    for value in ["7MB", "8MB"] {
        let mut client = pooler.client();
        assert_eq!(client.value("SHOW work_mem"), "4MB");
        client.query("CREATE TEMP TABLE mine (x int)");
        client.rows(&format!("SET work_mem = '{value}'"));
        client.terminate();
    }
    assert_eq!(pooler.client().value("SHOW work_mem"), "4MB");
    assert_eq!(notes(&database)[..2], ["7MB", "8MB"]);
}

#[test]
fn an_empty_text_lets_nothing_through() {
    let database = Cluster::shared().database();
    let pooler = plan(&database, "").pool_mode("session").start();
    let mut first = pooler.client();
    first.query("SET work_mem = '7MB'; CREATE TEMP TABLE mine (x int)");
    first.terminate();
    let mut second = pooler.client();
    assert_eq!(second.value("SHOW work_mem"), "4MB");
    assert_eq!(second.failure("SELECT count(*) FROM mine"), "42P01");
}

#[test]
fn where_nobody_looks_it_is_all_that_is_done() {
    for (text, work_mem, mine) in [
        ("", "7MB", "0"),
        ("RESET ALL", "4MB", "0"),
        ("DISCARD ALL", "4MB", "42P01"),
    ] {
        let database = Cluster::shared().database();
        let pooler = plan(&database, text)
            .pool_mode("session")
            .setting("session_state", "\"pgbouncer\"")
            .start();
        let mut first = pooler.client();
        let process = first.value("SELECT pg_backend_pid()");
        first.query("CREATE TEMP TABLE mine (x int)");
        first.rows("SET work_mem = '7MB'");
        first.terminate();
        let mut second = pooler.client();
        assert_eq!(second.value("SELECT pg_backend_pid()"), process);
        assert_eq!(second.value("SHOW work_mem"), work_mem, "{text:?}");
        let found = second.query("SELECT count(*) FROM mine");
        let found = first_error(&found).or_else(|| rows_of(&found)[0][0].clone());
        assert_eq!(found.as_deref(), Some(mine), "{text:?}");
    }
}

#[test]
fn in_transaction_mode_it_is_run_after_each_transaction_if_always_is_said() {
    for always in [false, true] {
        let database = Cluster::shared().database();
        database.direct().rows("CREATE TABLE gone (x text)");
        let pooler = plan(&database, NOTES)
            .setting("server_reset_query_always", &always.to_string())
            .start();
        let mut client = pooler.client();
        client.rows("SET work_mem = '7MB'");
        client.query("BEGIN; SELECT 1; COMMIT");
        assert_eq!(client.value("SHOW work_mem"), "7MB");
        pooler.client().value("SELECT 1");
        wait::until(wait::SOON, "the notes", || {
            // What is sent before the turn is over goes on with it.
            (2..=4).contains(&notes(&database).len()) == always
        });
    }
}

#[test]
fn what_it_resets_clients_get_back() {
    let database = Cluster::shared().database();
    for text in [
        "DISCARD ALL",
        "RESET ALL; SET lock_timeout = '9s'",
        "DISCARD ALL; SET app.x = '1'",
    ] {
        let pooler = plan(&database, text)
            .setting("server_reset_query_always", "true")
            .start();
        let (mut a, mut b) = (pooler.client(), pooler.client());
        a.query("SET work_mem = '7MB'");
        a.query("SET app.x = 'a'");
        let prepares = [parse("s", "SELECT $1::int + 1"), sync()].concat();
        a.send(&prepares);
        a.until_ready(1, "the statement");
        for _ in 0..3 {
            assert_eq!(b.value("SHOW work_mem"), "4MB");
            assert_eq!(a.value("SHOW work_mem"), "7MB", "{text}");
            assert_eq!(a.value("SHOW app.x"), "a", "{text}");
            assert_eq!(a.value("SHOW lock_timeout"), "0", "{text}");
            assert_ne!(
                b.value("SELECT coalesce(current_setting('app.x', true), '')"),
                "1"
            );
            a.send(&[bind("", "s", &[Some(b"41")]), execute("", 0), sync()].concat());
            let answer = a.until_ready(1, "the statement's result");
            assert_eq!(rows_of(&answer), [[Some("42".to_owned())]], "{text}");
        }
        // What cannot go along keeps its client where it is, and is not reset.
        a.query("CREATE TEMP TABLE mine (x int)");
        assert_eq!(a.value("SELECT count(*) FROM mine"), "0");
    }
}

#[test]
fn where_nobody_looks_each_transaction_begins_anew() {
    let database = Cluster::shared().database();
    let pooler = plan(&database, "DISCARD ALL")
        .setting("server_reset_query_always", "true")
        .setting("session_state", "\"pgbouncer\"")
        .start();
    let mut client = pooler.client();
    client.rows("SET work_mem = '7MB'");
    assert_eq!(client.value("SHOW work_mem"), "4MB");
}

#[test]
fn what_connect_query_has_made_is_made_again() {
    let database = Cluster::shared().database();
    let connect = "CREATE TEMP TABLE seen (x int); SET work_mem = '7MB'";
    let pooler = plan(&database, "DISCARD ALL")
        .setting("server_reset_query_always", "true")
        .database_lines(&format!("connect_query = {connect:?}"))
        .start();
    let mut client = pooler.client();
    for _ in 0..3 {
        assert_eq!(client.value("SHOW work_mem"), "7MB");
        assert_eq!(client.value("SELECT count(*) FROM seen"), "0");
    }
}

#[test]
fn when_it_fails_the_server_connection_is_closed_and_clients_hear_nothing() {
    for mode in ["session", "transaction"] {
        let database = Cluster::shared().database();
        let pooler = plan(&database, "SELECT 1 / 0")
            .pool_mode(mode)
            .setting("server_reset_query_always", "true")
            .start();
        let mut client = pooler.client();
        let process = client.value("SELECT pg_backend_pid()");
        client.terminate();
        let mut client = pooler.client();
        assert_ne!(client.value("SELECT pg_backend_pid()"), process);
        wait::until(wait::SOON, "the reason in the log", || {
            pooler
                .log()
                .contains("closing because: server_reset_query failed: division by zero")
        });
    }
}
