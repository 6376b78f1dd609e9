//! Named statements in pipelines of every order.

use super::{go, prepare, run};
use crate::support::differential::{A, B, script};
use crate::support::frames::{
    bind, close, describe, execute, extended, flush, parse, query, sync, unnamed,
};

#[test]
fn known_and_new_statements_mix() {
    let batch = [
        parse("n1", "SELECT 'known 1'"),
        parse("n2", "SELECT 'new 1'"),
        go("n1"),
        parse("n3", "SELECT 'known 2'"),
        go("n2"),
        go("n3"),
        parse("n4", "SELECT 'new 2'"),
        go("n4"),
        go("n1"),
        sync(),
    ]
    .concat();
    script()
        .ask(B, prepare("k1", "SELECT 'known 1'"), 1)
        .ask(B, prepare("k2", "SELECT 'known 2'"), 1)
        .ask(A, batch, 1)
        .ask(A, run("n3"), 1)
        .ask(B, run("k2"), 1)
        .run();
}

#[test]
fn a_name_closed_and_prepared_again_is_the_new_one() {
    let again = [
        go("s1"),
        close(b'S', "s1"),
        parse("s1", "SELECT 'new'"),
        describe(b'S', "s1"),
        go("s1"),
        sync(),
    ]
    .concat();
    script()
        .ask(B, prepare("s1", "SELECT 'old'"), 1)
        .ask(A, prepare("s1", "SELECT 'old'"), 1)
        .ask(A, &again, 1)
        .ask(A, run("s1"), 1)
        .ask(A, &again, 1)
        .ask(B, run("s1"), 1)
        .run();
}

#[test]
fn a_name_closed_and_used_later_in_the_batch_is_unknown() {
    let batch = [
        go("s1"),
        close(b'S', "s1"),
        go("s1"),
        parse("s1", "SELECT 'never'"),
        sync(),
    ]
    .concat();
    script()
        .ask(B, prepare("s1", "SELECT 1"), 1)
        .ask(A, prepare("s1", "SELECT 1"), 1)
        .ask(A, &batch, 1)
        .ask(A, run("s1"), 1)
        .ask(B, run("s1"), 1)
        .run();
}

#[test]
fn a_name_closed_twice_is_no_error() {
    let batch = [
        close(b'S', "s1"),
        close(b'S', "s1"),
        parse("s1", "SELECT 2"),
        close(b'S', "s1"),
        parse("s1", "SELECT 3"),
        go("s1"),
        sync(),
    ]
    .concat();
    script()
        .ask(A, prepare("s1", "SELECT 1"), 1)
        .ask(A, batch, 1)
        .ask(A, run("s1"), 1)
        .run();
}

#[test]
fn a_portal_outlives_its_closed_statement_in_the_batch() {
    let batch = [
        parse("s1", "SELECT generate_series(1, 4)"),
        bind("p", "s1", &[]),
        execute("p", 2),
        close(b'S', "s1"),
        execute("p", 2),
        parse("s1", "SELECT 'another'"),
        execute("p", 2),
        go("s1"),
        sync(),
    ]
    .concat();
    script()
        .ask(A, batch.clone(), 1)
        .ask(A, [close(b'S', "s1"), sync()].concat(), 1)
        .query(A, "BEGIN")
        .ask(A, batch, 1)
        .ask(A, run("s1"), 1)
        .query(A, "ROLLBACK")
        .ask(A, run("s1"), 1)
        .run();
}

#[test]
fn a_description_before_sync_of_known_and_new() {
    let batch = |name: &str| {
        [
            parse(name, "SELECT $1::int AS a, $2::date AS b"),
            describe(b'S', name),
            flush(),
        ]
        .concat()
    };
    let bound = |name: &str| {
        [
            bind("", name, &[Some(b"1"), None]),
            describe(b'P', ""),
            execute("", 0),
            sync(),
        ]
        .concat()
    };
    script()
        .send(A, batch("s1"))
        .until(A, b'T')
        .ask(A, bound("s1"), 1)
        .send(B, batch("s2"))
        .until(B, b'T')
        .ask(B, bound("s2"), 1)
        .run();
}

#[test]
fn a_flush_brings_the_answer_to_a_known_parse() {
    script()
        .ask(B, prepare("k", "SELECT 'known'"), 1)
        .send(A, [parse("s1", "SELECT 'known'"), flush()].concat())
        .until(A, b'1')
        .send(A, [close(b'S', "s1"), flush()].concat())
        .until(A, b'3')
        .send(A, [go("s1"), flush()].concat())
        .until(A, b'E')
        .ask(A, [parse("s1", "SELECT 'skipped'"), sync()].concat(), 1)
        .ask(A, run("s1"), 1)
        .run();
}

#[test]
fn a_known_parse_alone_is_answered_before_ready() {
    script()
        .ask(B, prepare("k", "SELECT 'known'"), 1)
        .ask(A, prepare("s1", "SELECT 'known'"), 1)
        .ask(
            A,
            [
                prepare("s2", "SELECT 'known'"),
                prepare("s3", "SELECT 'new'"),
            ]
            .concat(),
            2,
        )
        .ask(A, [run("s1"), run("s2"), run("s3")].concat(), 3)
        .run();
}

#[test]
fn an_error_amid_keeps_what_was_before_and_drops_what_comes_after() {
    let batch = [
        parse("before", "SELECT 'before'"),
        go("before"),
        unnamed("SELECT 1/0"),
        parse("after", "SELECT 'after'"),
        go("before"),
        close(b'S', "before"),
        sync(),
        parse("next", "SELECT 'next'"),
        go("next"),
        go("before"),
        sync(),
        go("after"),
        sync(),
    ]
    .concat();
    script()
        .ask(A, &batch, 3)
        .ask(B, &batch, 3)
        .ask(A, run("before"), 1)
        .ask(A, run("next"), 1)
        .ask(B, run("after"), 1)
        .run();
}

#[test]
fn a_failed_parse_amid_skips_the_known_ones_after_it() {
    let batch = [
        parse("s1", "SELECT 'known'"),
        parse("s2", "SELEC"),
        parse("s3", "SELECT 'known'"),
        go("s3"),
        sync(),
    ]
    .concat();
    script()
        .ask(B, prepare("k", "SELECT 'known'"), 1)
        .ask(A, batch, 1)
        .ask(A, run("s1"), 1)
        .ask(A, run("s2"), 1)
        .ask(A, run("s3"), 1)
        .run();
}

#[test]
fn simple_queries_between_leave_names_alone() {
    let all = [
        prepare("s1", "SELECT 'one'"),
        query("SELECT 2"),
        run("s1"),
        query("SELECT 1/0"),
        run("s1"),
        parse("s2", "SELECT 'two'"),
        query("SELECT 3"),
        run("s2"),
    ]
    .concat();
    script().ask(A, &all, 7).ask(B, &all, 7).run();
}

#[test]
fn a_transaction_of_prepared_statements_in_one_write() {
    let prepared = [
        parse("b", "BEGIN"),
        parse("i", "INSERT INTO t VALUES ($1)"),
        parse("n", "SELECT count(*) FROM t"),
        parse("c", "COMMIT"),
        sync(),
    ]
    .concat();
    let insert = |value: &[u8]| [bind("", "i", &[Some(value)]), execute("", 0), sync()].concat();
    let transaction = |value: &[u8]| [run("b"), insert(value), run("n"), run("c")].concat();
    script()
        .setup("CREATE TABLE t (x int UNIQUE)")
        .ask(A, &prepared, 1)
        .ask(B, &prepared, 1)
        .ask(A, transaction(b"1"), 4)
        .ask(B, transaction(b"2"), 4)
        .ask(A, transaction(b"2"), 4)
        .ask(B, run("n"), 1)
        .run();
}

#[test]
fn a_client_that_leaves_before_sync_harms_nobody() {
    let text = "SELECT 'of both'";
    script()
        .send(
            A,
            [parse("s1", text), go("s1"), parse("s2", "SELEC")].concat(),
        )
        .leave(A)
        .ask(B, prepare("s1", text), 1)
        .ask(B, run("s1"), 1)
        .send(A, [parse("s1", text), close(b'S', "s1"), go("s1")].concat())
        .leave(A)
        .ask(B, run("s1"), 1)
        .ask(A, [prepare("s1", text), run("s1")].concat(), 2)
        .ask(B, run("s1"), 1)
        .run();
}

#[test]
fn a_new_client_of_the_same_name_has_no_statements() {
    script()
        .ask(A, prepare("s1", "SELECT 1"), 1)
        .ask(A, run("s1"), 1)
        .leave(A)
        .ask(A, run("s1"), 1)
        .ask(A, prepare("s1", "SELECT 'another'"), 1)
        .ask(A, run("s1"), 1)
        .run();
}

#[test]
fn writes_cut_anywhere_change_nothing() {
    let all = [
        prepare("s1", "SELECT $1::text"),
        [bind("", "s1", &[Some(b"value")]), execute("", 0), sync()].concat(),
        [close(b'S', "s1"), parse("s1", "SELECT 2"), go("s1"), sync()].concat(),
    ]
    .concat();
    let mut case = script().ask(B, extended("SELECT 'warm'"), 1);
    for size in [1, 3, 7, 20] {
        let pieces = all.chunks(size).map(<[u8]>::to_vec).collect();
        case =
            case.send_pieces(A, pieces)
                .ready(A, 3)
                .ask(A, [close(b'S', "s1"), sync()].concat(), 1);
    }
    case.run();
}
