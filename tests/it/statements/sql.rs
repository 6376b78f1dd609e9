//! PREPARE, EXECUTE and DEALLOCATE, and their mixes with protocol statements:
//! one set of names a client, as in PostgreSQL.

use super::{closed, described, go, prepare, run};
use crate::support::differential::{A, B, C, script};
use crate::support::frames::{bind, execute, extended, parse, query, sync};
use crate::support::pooler::Plan;
use crate::support::postgres::Cluster;
use crate::support::raw::first_error;

#[test]
fn prepare_execute_deallocate() {
    script()
        .pools(&[2, 3])
        .query(A, "PREPARE q1 AS SELECT 42")
        .query(A, "EXECUTE q1")
        .query(B, "EXECUTE q1")
        .query(A, "PREPARE q1 AS SELECT 43")
        .query(A, "EXECUTE q1")
        .query(A, "DEALLOCATE q1")
        .query(A, "EXECUTE q1")
        .query(A, "DEALLOCATE q1")
        .run();
}

#[test]
fn two_clients_prepare_one_name() {
    script()
        .pools(&[3, 4])
        .query(A, "PREPARE q1 (int) AS SELECT $1, 'of a'")
        .query(B, "PREPARE q1 (text) AS SELECT $1, 'of b'")
        .query(A, "EXECUTE q1 (1)")
        .query(B, "EXECUTE q1 ('x')")
        .query(C, "EXECUTE q1 (1)")
        .query(A, "EXECUTE q1 (2)")
        .run();
}

#[test]
fn the_extended_protocol_knows_them_too() {
    script()
        .pools(&[2, 3])
        .ask(A, extended("PREPARE q1 AS SELECT 42"), 1)
        .ask(A, extended("EXECUTE q1"), 1)
        .ask(A, run("q1"), 1)
        .ask(A, described("q1"), 1)
        .ask(A, closed("q1"), 1)
        .ask(A, extended("EXECUTE q1"), 1)
        .run();
}

#[test]
fn a_name_prepared_in_sql_is_bound_by_the_protocol() {
    let bound = [bind("", "q1", &[Some(b"4")]), execute("", 0), sync()].concat();
    script()
        .pools(&[2, 3])
        .query(A, "PREPARE q1 (int) AS SELECT $1 + 1")
        .ask(A, &bound, 1)
        .ask(B, &bound, 1)
        .ask(A, &bound, 1)
        .run();
}

#[test]
fn a_name_prepared_in_sql_is_taken_for_parse() {
    script()
        .pools(&[2, 3])
        .query(A, "PREPARE q1 AS SELECT 'sql'")
        .ask(A, prepare("q1", "SELECT 'protocol'"), 1)
        .ask(A, run("q1"), 1)
        .query(A, "EXECUTE q1")
        .run();
}

#[test]
fn a_name_prepared_in_sql_is_free_after_close() {
    script()
        .pools(&[2, 3])
        .query(A, "PREPARE q1 AS SELECT 'sql'")
        .ask(A, closed("q1"), 1)
        .query(A, "EXECUTE q1")
        .ask(A, prepare("q1", "SELECT 'protocol'"), 1)
        .ask(A, run("q1"), 1)
        .run();
}

#[test]
fn a_name_of_the_protocol_is_taken_for_prepare() {
    script()
        .pools(&[2, 3])
        .ask(A, prepare("s1", "SELECT 'protocol'"), 1)
        .query(A, "PREPARE s1 AS SELECT 'sql'")
        .ask(A, run("s1"), 1)
        .query(A, "EXECUTE s1")
        .run();
}

#[test]
fn a_name_of_the_protocol_is_executed_by_sql() {
    script()
        .ask(A, prepare("s1", "SELECT $1::int + 1"), 1)
        .query(A, "EXECUTE s1 (4)")
        .query(A, "EXECUTE S1 (5)")
        .query(A, "EXECUTE \"s1\" (6)")
        .query(A, "EXECUTE \"S1\" (7)")
        .query(B, "EXECUTE s1 (4)")
        .query(A, "EXECUTE s1")
        .ask(A, extended("EXECUTE s1 (8)"), 1)
        .run();
}

#[test]
fn a_name_of_the_protocol_is_deallocated_by_sql() {
    for deallocate in [
        "DEALLOCATE s1",
        "DEALLOCATE PREPARE \"s1\";",
        "deallocate S1",
    ] {
        script()
            .ask(A, prepare("s1", "SELECT 1"), 1)
            .ask(B, prepare("s1", "SELECT 1"), 1)
            .query(A, deallocate)
            .ask(A, run("s1"), 1)
            .ask(B, run("s1"), 1)
            .query(A, deallocate)
            .ask(A, prepare("s1", "SELECT 'new'"), 1)
            .ask(A, run("s1"), 1)
            .ask(A, extended(deallocate), 1)
            .ask(A, run("s1"), 1)
            .ask(B, run("s1"), 1)
            .run();
    }
}

#[test]
fn a_deallocate_and_a_parse_of_the_name_in_one_write() {
    let write = [
        query("DEALLOCATE s1"),
        prepare("s1", "SELECT 'new'"),
        run("s1"),
    ]
    .concat();
    let batch = [
        parse("", "DEALLOCATE s1"),
        go(""),
        parse("s1", "SELECT 'newer'"),
        go("s1"),
        sync(),
    ]
    .concat();
    script()
        .ask(A, prepare("s1", "SELECT 'old'"), 1)
        .ask(A, write, 3)
        .ask(A, batch, 1)
        .ask(A, run("s1"), 1)
        .run();
}

#[test]
fn a_deallocate_in_a_failed_transaction_is_refused() {
    script()
        .ask(A, prepare("s1", "SELECT 1"), 1)
        .query(A, "BEGIN; SELECT 1/0")
        .query(A, "DEALLOCATE s1")
        .query(A, "ROLLBACK")
        .ask(A, run("s1"), 1)
        .query(A, "DEALLOCATE nope")
        .run();
}

#[test]
fn a_prepare_survives_the_rollback_of_its_transaction() {
    script()
        .pools(&[2, 3])
        .query(A, "BEGIN")
        .query(A, "PREPARE q1 AS SELECT 42")
        .query(A, "ROLLBACK")
        .query(A, "EXECUTE q1")
        .run();
}

#[test]
fn a_prepare_hidden_in_a_block_is_its_clients_own() {
    script()
        .pools(&[2, 3])
        .query(A, "DO $$ BEGIN EXECUTE 'PREPARE q1 AS SELECT 42'; END $$")
        .query(A, "EXECUTE q1")
        .query(B, "EXECUTE q1")
        .query(A, "EXECUTE q1")
        .query(B, "EXECUTE q1")
        .run();
}

#[test]
fn deallocate_all_forgets_both_kinds() {
    script()
        .pools(&[2, 3])
        .query(A, "PREPARE q1 AS SELECT 42")
        .ask(A, prepare("s1", "SELECT 1"), 1)
        .query(A, "DEALLOCATE ALL")
        .query(A, "EXECUTE q1")
        .ask(A, run("s1"), 1)
        .query(A, "PREPARE s1 AS SELECT 2")
        .ask(A, prepare("q1", "SELECT 3"), 1)
        .query(A, "EXECUTE s1")
        .ask(A, run("q1"), 1)
        .run();
}

/// After `ending`, whoever had prepared something by SQL keeps nothing from
/// the others.
fn connection_is_free_after(ending: &str) {
    let database = Cluster::shared().database();
    let pooler = Plan::before(&database)
        .pool_size(1)
        .setting("query_wait_timeout", "\"2s\"")
        .start();
    let (mut a, mut b) = (pooler.client(), pooler.client());
    a.rows("PREPARE q1 AS SELECT 1");
    a.rows("PREPARE q2 AS SELECT 2");
    a.rows("DEALLOCATE q2");
    assert_eq!(a.value("EXECUTE q1"), "1");
    a.rows(ending);
    let answer = b.query("SELECT 'served'");
    assert_eq!(first_error(&answer), None, "after {ending}");
}

#[test]
fn a_server_connection_is_free_after_the_last_deallocate() {
    connection_is_free_after("DEALLOCATE q1");
}

#[test]
fn a_server_connection_is_free_after_deallocate_all() {
    connection_is_free_after("DEALLOCATE ALL");
}

#[test]
fn a_server_connection_is_free_after_discard_all() {
    connection_is_free_after("DISCARD ALL");
}

#[test]
fn the_list_of_prepared_statements_shows_nothing_of_others() {
    script()
        .pools(&[2])
        .setup("CREATE VIEW listed AS SELECT name, statement FROM pg_prepared_statements")
        .setup("CREATE SEQUENCE numbers")
        .ask(A, prepare("s1", "SELECT 'of a'"), 1)
        .query(B, "SELECT name FROM pg_prepared_statements")
        .ask(A, run("s1"), 1)
        .ask(
            B,
            extended("SELECT count(*) FROM pg_prepared_statement()"),
            1,
        )
        .ask(A, [go("s1"), go("s1"), sync()].concat(), 1)
        .query(B, "SELECT name, statement FROM listed")
        .query(B, "PREPARE q AS SELECT 1")
        .query(B, "SELECT name, statement FROM pg_prepared_statements")
        .query(
            B,
            "SELECT * FROM listed; DEALLOCATE q; SELECT * FROM listed",
        )
        .ask(A, run("s1"), 1)
        .run();
}

/// What is asked after a block is answered when the next statement is there
/// already.
#[test]
fn what_is_prepared_while_the_server_is_asked_stays() {
    let database = Cluster::shared().database();
    let pooler = Plan::before(&database).pool_size(2).start();
    let (mut a, mut b) = (pooler.client(), pooler.client());
    for _ in 0..50 {
        a.send(&query("DO 'begin end'"));
        a.until_ready(1, "a block");
        a.rows("PREPARE pp AS SELECT 1");
        b.rows("SELECT 1");
        assert_eq!(a.value("EXECUTE pp"), "1");
        a.rows("DEALLOCATE pp");
    }
}
