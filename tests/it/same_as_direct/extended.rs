//! The extended query protocol with the unnamed statement and with portals.

use crate::support::differential::{A, B, script};
use crate::support::frames::{
    bind, close, describe, execute, extended, flush, parse, parse_typed, query, sync, unnamed,
};

#[test]
fn parse_bind_describe_execute_sync() {
    script()
        .ask(A, extended("SELECT 1, 'two'"), 1)
        .ask(A, extended("SELECT 1/0"), 1)
        .ask(B, extended("SELEC"), 1)
        .ask(A, extended(""), 1)
        .ask(A, extended("SELECT 1; SELECT 2"), 1)
        .ask(B, sync(), 1)
        .ask(B, extended("SELECT 'after'"), 1)
        .run();
}

#[test]
fn parameters_and_their_description() {
    let batch = [
        parse_typed("", "SELECT $1 + 1, $2::text", &[23]),
        describe(b'S', ""),
        bind("", "", &[Some(b"41"), None]),
        execute("", 0),
        sync(),
    ]
    .concat();
    let wrong = [
        parse("", "SELECT $1::int"),
        bind("", "", &[Some(b"not a number")]),
        execute("", 0),
        sync(),
    ]
    .concat();
    let missing = [
        parse("", "SELECT $1::int"),
        bind("", "", &[]),
        execute("", 0),
        sync(),
    ]
    .concat();
    script()
        .ask(A, &batch, 1)
        .ask(B, &wrong, 1)
        .ask(B, &missing, 1)
        .ask(A, &batch, 1)
        .run();
}

#[test]
fn the_unnamed_statement_lives_across_sync() {
    script()
        .ask(
            A,
            [parse("", "SELECT 42"), describe(b'S', ""), sync()].concat(),
            1,
        )
        .ask(A, [bind("", "", &[]), execute("", 0), sync()].concat(), 1)
        .ask(A, [bind("", "", &[]), execute("", 0), sync()].concat(), 1)
        .run();
}

#[test]
fn the_unnamed_statement_dies_by_a_simple_query() {
    script()
        .ask(A, [parse("", "SELECT 42"), sync()].concat(), 1)
        .query(A, "SELECT 1")
        .ask(A, [bind("", "", &[]), execute("", 0), sync()].concat(), 1)
        .ask(A, extended("SELECT 'after'"), 1)
        .run();
}

#[test]
fn the_unnamed_statement_is_each_clients_own() {
    script()
        .pools(&[2, 3])
        .ask(A, [parse("", "SELECT 'of a'"), sync()].concat(), 1)
        .ask(B, [parse("", "SELECT 'of b'"), sync()].concat(), 1)
        .ask(A, [bind("", "", &[]), execute("", 0), sync()].concat(), 1)
        .ask(B, [bind("", "", &[]), execute("", 0), sync()].concat(), 1)
        .run();
}

#[test]
fn a_client_never_binds_anothers_unnamed_statement() {
    script()
        .ask(A, extended("SELECT 'secret of a'"), 1)
        .ask(B, [bind("", "", &[]), execute("", 0), sync()].concat(), 1)
        .run();
}

#[test]
fn flush_brings_results_before_sync() {
    script()
        .send(A, [unnamed("SELECT 1"), flush()].concat())
        .until(A, b'C')
        .send(A, [unnamed("SELECT 2"), flush()].concat())
        .until(A, b'C')
        .ask(A, sync(), 1)
        .query(B, "SELECT 'other'")
        .send(
            A,
            [parse("", "SELECT $1::int"), describe(b'S', ""), flush()].concat(),
        )
        .until(A, b'T')
        .send(
            A,
            [bind("", "", &[Some(b"5")]), execute("", 0), sync()].concat(),
        )
        .ready(A, 1)
        .run();
}

#[test]
fn an_error_before_flush_comes_at_once() {
    script()
        .send(A, [unnamed("SELECT 1/0"), flush()].concat())
        .until(A, b'E')
        .send(A, [unnamed("SELECT 'skipped'"), flush()].concat())
        .ask(A, sync(), 1)
        .ask(A, extended("SELECT 'after'"), 1)
        .run();
}

#[test]
fn a_simple_query_ends_an_unsynced_batch() {
    script()
        .ask(A, [unnamed("SELECT 1"), query("SELECT 2")].concat(), 1)
        .query(A, "SELECT 'between'")
        .ask(B, [unnamed("BEGIN"), query("SELECT 2")].concat(), 1)
        .query(B, "ROLLBACK")
        .run();
}

#[test]
fn a_simple_query_after_an_error_is_skipped_up_to_sync() {
    script()
        .ask(
            A,
            [unnamed("SELECT 1/0"), query("SELECT 'skipped'"), sync()].concat(),
            1,
        )
        .query(A, "SELECT 'after'")
        .run();
}

#[test]
fn a_portal_is_read_in_parts_within_a_transaction() {
    let start = [
        parse("", "SELECT generate_series(1, 5)"),
        bind("p", "", &[]),
        describe(b'P', "p"),
        execute("p", 2),
    ];
    script()
        .query(A, "BEGIN")
        .ask(A, [start.concat(), sync()].concat(), 1)
        .ask(A, [execute("p", 2), sync()].concat(), 1)
        .ask(A, [execute("p", 2), sync()].concat(), 1)
        .ask(A, [close(b'P', "p"), sync()].concat(), 1)
        .query(A, "COMMIT")
        .ask(A, [execute("p", 1), sync()].concat(), 1)
        .query(B, "SELECT 'other'")
        .run();
}

#[test]
fn a_portal_dies_at_the_end_of_its_implicit_transaction() {
    let start = [
        parse("", "SELECT generate_series(1, 5)"),
        bind("p", "", &[]),
        execute("p", 2),
    ]
    .concat();
    script()
        .ask(A, [start.clone(), execute("p", 2), sync()].concat(), 1)
        .ask(A, [execute("p", 2), sync()].concat(), 1)
        .ask(A, [describe(b'P', "p"), sync()].concat(), 1)
        .ask(B, [start, sync()].concat(), 1)
        .run();
}

#[test]
fn closing_what_does_not_exist_is_no_error() {
    script()
        .ask(
            A,
            [close(b'S', "nothing"), close(b'P', "nothing"), sync()].concat(),
            1,
        )
        .ask(B, [close(b'S', ""), close(b'P', ""), sync()].concat(), 1)
        .run();
}

#[test]
fn statements_that_refuse_a_transaction_block_run_extended() {
    script()
        .setup("CREATE TABLE t (x int)")
        .ask(A, extended("VACUUM t"), 1)
        .ask(A, extended("CREATE DATABASE extended_one_of_this_case"), 1)
        .ask(A, extended("DROP DATABASE extended_one_of_this_case"), 1)
        .ask(A, extended("CREATE INDEX CONCURRENTLY ON t (x)"), 1)
        .ask(
            B,
            [
                unnamed("INSERT INTO t VALUES (1)"),
                unnamed("VACUUM t"),
                sync(),
            ]
            .concat(),
            1,
        )
        .ask(B, extended("SELECT count(*) FROM t"), 1)
        .run();
}
