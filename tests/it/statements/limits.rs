//! What one client, and one server connection, may have of statements.

use super::{closed, prepare, run};
use crate::support::differential::{A, B, script};
use crate::support::frames::query;
use crate::support::pooler::Plan;
use crate::support::postgres::Cluster;
use crate::support::raw::{Connection, first_error};

const TOO_MANY: Option<&str> = Some("53400");

fn error_of(client: &mut Connection, bytes: Vec<u8>) -> Option<String> {
    client.send(&bytes);
    first_error(&client.until_ready(1, "an answer about a limit"))
}

#[test]
fn a_client_has_only_so_many_statements() {
    let database = Cluster::shared().database();
    let pooler = Plan::before(&database)
        .setting("max_client_prepared_statements", "2")
        .start();
    let (mut one, mut other) = (pooler.client(), pooler.client());
    for name in ["s1", "s2"] {
        assert_eq!(error_of(&mut one, prepare(name, "SELECT 1")), None);
    }
    let third = || prepare("s3", "SELECT 3");
    assert_eq!(error_of(&mut one, third()).as_deref(), TOO_MANY);
    assert_eq!(error_of(&mut one, run("s1")), None);
    assert_eq!(error_of(&mut one, run("s3")).as_deref(), Some("26000"));
    assert_eq!(error_of(&mut other, third()), None);
    assert_eq!(error_of(&mut one, closed("s1")), None);
    assert_eq!(error_of(&mut one, third()), None);
    assert_eq!(error_of(&mut one, run("s3")), None);
}

#[test]
fn a_statement_too_many_fails_its_transaction() {
    let database = Cluster::shared().database();
    let pooler = Plan::before(&database)
        .setting("max_client_prepared_statements", "1")
        .start();
    let mut client = pooler.client();
    client.rows("BEGIN");
    assert_eq!(error_of(&mut client, prepare("s1", "SELECT 1")), None);
    let second = prepare("s2", "SELECT 2");
    assert_eq!(error_of(&mut client, second).as_deref(), TOO_MANY);
    assert_eq!(
        error_of(&mut client, query("SELECT 1")).as_deref(),
        Some("25P02")
    );
    client.rows("ROLLBACK");
    assert_eq!(error_of(&mut client, run("s1")), None);
}

#[test]
fn a_clients_texts_are_bounded() {
    let database = Cluster::shared().database();
    let pooler = Plan::before(&database)
        .setting("max_client_prepared_bytes", "100000")
        .start();
    let mut client = pooler.client();
    let long = |n: u32| {
        prepare(
            &format!("s{n}"),
            &format!("SELECT {n}, '{}'", "x".repeat(40_000)),
        )
    };
    assert_eq!(error_of(&mut client, long(1)), None);
    assert_eq!(error_of(&mut client, long(2)), None);
    assert_eq!(error_of(&mut client, long(3)).as_deref(), TOO_MANY);
    assert_eq!(error_of(&mut client, prepare("short", "SELECT 1")), None);
    assert_eq!(error_of(&mut client, run("s2")), None);
}

#[test]
fn a_server_connection_that_holds_one_statement_serves_many() {
    let mut script = script().setting("max_prepared_statements", "1");
    for n in 1..5 {
        let text = format!("SELECT {n}");
        script = script.ask(A, prepare(&format!("s{n}"), &text), 1);
        script = script.ask(B, prepare(&format!("s{n}"), &text), 1);
    }
    let all: Vec<u8> = (1..5).flat_map(|n| run(&format!("s{n}"))).collect();
    script.ask(A, &all, 4).ask(B, &all, 4).run();
}

#[test]
fn a_server_connection_holds_no_more_than_it_may() {
    let database = Cluster::shared().database();
    let pooler = Plan::before(&database)
        .pool_size(1)
        .setting("max_prepared_statements", "5")
        // Else nothing would be left to list.
        .setting("session_state", "\"pgbouncer\"")
        .start();
    let mut client = pooler.client();
    for n in 0..20 {
        let bytes = prepare(&format!("s{n}"), &format!("SELECT {n}"));
        assert_eq!(error_of(&mut client, bytes), None);
    }
    let held = "SELECT count(*) FROM pg_prepared_statements";
    assert_eq!(client.value(held), "5");
}

#[test]
fn with_the_sharing_off_a_client_keeps_its_server_connection() {
    script()
        .setting("max_prepared_statements", "0")
        .pools(&[2, 3])
        .ask(A, prepare("s1", "SELECT 'of a'"), 1)
        .ask(A, run("s1"), 1)
        .query(A, "EXECUTE s1")
        .ask(B, run("s1"), 1)
        .query(A, "SELECT name FROM pg_prepared_statements")
        .query(A, "DISCARD ALL")
        .ask(B, prepare("s1", "SELECT 'of b'"), 1)
        .ask(A, run("s1"), 1)
        .ask(B, run("s1"), 1)
        .run();
}
