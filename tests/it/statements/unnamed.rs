//! The unnamed statement: each client's own, and as short-lived as PostgreSQL
//! has it.

use super::{closed, described, go, prepare, run};
use crate::support::differential::{A, B, C, script};
use crate::support::frames::{bind, close, execute, extended, parse, parse_typed, query, sync};
use crate::support::pooler::Plan;
use crate::support::postgres::Cluster;
use crate::support::raw::{render_all, rows_of};

#[test]
fn three_clients_keep_theirs_across_sync() {
    script()
        .ask(A, prepare("", "SELECT 'of a'"), 1)
        .ask(B, prepare("", "SELECT 'of b'"), 1)
        .ask(C, prepare("", "SELECT 1 AS n, 'of c'"), 1)
        .ask(A, run(""), 1)
        .ask(B, run(""), 1)
        .ask(C, run(""), 1)
        .ask(A, described(""), 1)
        .ask(C, described(""), 1)
        .ask(A, run(""), 1)
        .run();
}

#[test]
fn it_keeps_its_parameter_types() {
    let add = |value: &[u8]| {
        [
            bind("", "", &[Some(value), Some(value)]),
            execute("", 0),
            sync(),
        ]
        .concat()
    };
    script()
        .ask(
            A,
            [parse_typed("", "SELECT $1 + $2", &[23, 20]), sync()].concat(),
            1,
        )
        .ask(
            B,
            [parse_typed("", "SELECT $1 + $2", &[1700, 701]), sync()].concat(),
            1,
        )
        .ask(A, add(b"4"), 1)
        .ask(B, add(b"4.25"), 1)
        .ask(A, described(""), 1)
        .ask(B, described(""), 1)
        .ask(A, add(b"4.25"), 1)
        .run();
}

#[test]
fn a_failed_parse_destroys_it() {
    script()
        .ask(A, prepare("", "SELECT 1"), 1)
        .ask(A, prepare("", "SELEC"), 1)
        .ask(A, run(""), 1)
        .ask(B, prepare("", "SELECT 2"), 1)
        .ask(B, prepare("", "SELECT nothing"), 1)
        .ask(B, run(""), 1)
        .run();
}

#[test]
fn a_skipped_parse_leaves_it() {
    let batch = [bind("", "nope", &[]), parse("", "SELECT 'skipped'"), sync()].concat();
    script()
        .ask(A, prepare("", "SELECT 'first'"), 1)
        .ask(A, batch, 1)
        .ask(A, run(""), 1)
        .run();
}

#[test]
fn a_skipped_query_leaves_it() {
    let batch = [bind("", "nope", &[]), query("SELECT 'skipped'"), sync()].concat();
    script()
        .ask(A, prepare("", "SELECT 'first'"), 1)
        .ask(A, batch, 1)
        .ask(A, run(""), 1)
        .run();
}

#[test]
fn a_failing_query_destroys_it() {
    script()
        .ask(A, prepare("", "SELECT 'first'"), 1)
        .query(A, "SELEC")
        .ask(A, run(""), 1)
        .run();
}

#[test]
fn close_destroys_it() {
    let again = [close(b'S', ""), go(""), sync()].concat();
    script()
        .ask(A, prepare("", "SELECT 1"), 1)
        .ask(A, closed(""), 1)
        .ask(A, run(""), 1)
        .ask(B, prepare("", "SELECT 2"), 1)
        .ask(B, again, 1)
        .ask(B, run(""), 1)
        .run();
}

#[test]
fn a_failing_bind_or_execute_leaves_it() {
    script()
        .ask(A, prepare("", "SELECT $1::int"), 1)
        .ask(A, run(""), 1)
        .ask(
            A,
            [bind("", "", &[Some(b"x")]), execute("", 0), sync()].concat(),
            1,
        )
        .ask(
            A,
            [bind("", "", &[Some(b"5")]), execute("", 0), sync()].concat(),
            1,
        )
        .run();
}

#[test]
fn it_lives_through_transactions_and_their_failure() {
    script()
        .ask(A, prepare("", "SELECT 'first'"), 1)
        .ask(A, [parse("b", "BEGIN"), go("b"), sync()].concat(), 1)
        .ask(A, run(""), 1)
        .ask(A, run("nope"), 1)
        .ask(A, run(""), 1)
        .ask(A, prepare("", "SELECT 'refused'"), 1)
        .ask(A, [parse("r", "ROLLBACK"), go("r"), sync()].concat(), 1)
        .ask(A, run(""), 1)
        .run();
}

#[test]
fn a_named_statement_does_not_touch_it() {
    script()
        .ask(A, prepare("", "SELECT 'unnamed'"), 1)
        .ask(A, [parse("s1", "SELECT 1"), go("s1"), sync()].concat(), 1)
        .ask(A, run(""), 1)
        .ask(A, closed("s1"), 1)
        .ask(A, run(""), 1)
        .run();
}

#[test]
fn an_empty_one_is_a_statement_too() {
    script()
        .ask(A, prepare("", ""), 1)
        .ask(A, described(""), 1)
        .ask(A, run(""), 1)
        .ask(B, prepare("", "-- nothing but a comment"), 1)
        .ask(B, run(""), 1)
        .ask(A, run(""), 1)
        .run();
}

#[test]
fn one_longer_than_a_megabyte_is_kept_for_its_client() {
    let long = format!("SELECT length('{}')", "x".repeat(3 << 20));
    script()
        // It keeps its server connection meanwhile.
        .pools(&[2, 3])
        .ask(A, prepare("", &long), 1)
        .ask(B, extended("SELECT 'of b'"), 1)
        .ask(A, run(""), 1)
        .ask(B, extended("SELECT 'of b'"), 1)
        .ask(A, run(""), 1)
        .ask(A, prepare("", "SELECT 'short'"), 1)
        .ask(B, prepare("", "SELECT 'of b'"), 1)
        .ask(A, run(""), 1)
        .ask(B, run(""), 1)
        .run();
}

#[test]
fn a_long_one_gives_its_connection_back_when_it_is_gone() {
    let long = format!("SELECT length('{}')", "x".repeat(2 << 20));
    let used_and_replaced = [
        parse("", &long),
        go(""),
        sync(),
        parse("", "SELECT 'short'"),
        sync(),
    ]
    .concat();
    script()
        .ask(A, used_and_replaced, 2)
        .ask(B, extended("SELECT 'of b'"), 1)
        .ask(A, run(""), 1)
        .ask(C, [prepare("", &long), query("SELECT 'gone'")].concat(), 2)
        .ask(B, extended("SELECT 'of b'"), 1)
        .ask(C, run(""), 1)
        .run();
}

/// With nobody else about who would wipe out what a server connection keeps.
#[test]
fn the_latest_one_counts_where_an_older_one_was_left() {
    let database = Cluster::shared().database();
    let pooler = Plan::before(&database)
        .pool_size(2)
        .setting("server_round_robin", "true")
        .start();
    let (mut a, mut b) = (pooler.client(), pooler.client());
    // Both server connections are open from here on.
    a.rows("BEGIN");
    b.rows("SELECT 1");
    a.rows("COMMIT");
    for n in 0..12 {
        for parsed in 0..=n % 4 {
            a.send(&prepare("", &format!("SELECT 'of {n}, {parsed}'")));
            a.until_ready(1, "Parse");
        }
        a.send(&run(""));
        let answer = a.until_ready(1, "Bind");
        let wanted = format!("of {n}, {}", n % 4);
        assert_eq!(
            rows_of(&answer),
            [[Some(wanted)]],
            "in round {n}: {:?}",
            render_all(&answer)
        );
    }
}

#[test]
fn a_query_after_a_skipped_parse_destroys_the_one_of_before() {
    let failing = [
        parse("", "SELECT 1"),
        execute("", 0),
        parse("", "SELECT 'two'"),
        sync(),
        query("SAVEPOINT a"),
    ]
    .concat();
    script()
        .ask(A, failing, 2)
        .query(B, "")
        .ask(A, run(""), 1)
        .run();
}
