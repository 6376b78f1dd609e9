//! COPY in both directions, simple and extended.

use crate::support::differential::{A, B, Script, script};
use crate::support::frames::{
    bind, copy_data, copy_done, copy_fail, execute, extended, flush, parse, query, sync,
};

const COPY_IN: &str = "COPY t FROM STDIN";

fn with_table() -> Script {
    script().setup("CREATE TABLE t (x int PRIMARY KEY, y text)")
}

fn start_extended(sql: &str) -> Vec<u8> {
    [parse("", sql), bind("", "", &[]), execute("", 0)].concat()
}

#[test]
fn copy_in_by_a_simple_query() {
    with_table()
        .send(A, query(COPY_IN))
        .until(A, b'G')
        .send(A, copy_data(b"1\tone\n2\ttwo\n"))
        .send(A, copy_data(b"3\tth"))
        .send(A, copy_data(b"ree\n"))
        .ask(A, copy_done(), 1)
        .query(B, "SELECT * FROM t ORDER BY x")
        .run();
}

#[test]
fn copy_in_with_its_data_sent_ahead() {
    with_table()
        .ask(
            A,
            [
                query(COPY_IN),
                copy_data(b"1\tone\n"),
                copy_done(),
                query("SELECT count(*) FROM t"),
            ]
            .concat(),
            2,
        )
        .query(B, "SELECT * FROM t")
        .run();
}

#[test]
fn copy_out() {
    with_table()
        .setup("INSERT INTO t SELECT n, 'row ' || n FROM generate_series(1, 500) n")
        .query(A, "COPY t TO STDOUT")
        .ask(
            B,
            extended("COPY (SELECT * FROM t WHERE x < 4) TO STDOUT (FORMAT csv, HEADER)"),
            1,
        )
        .query(A, "COPY (SELECT 1/(x - 3) FROM t ORDER BY x) TO STDOUT")
        .query(A, "COPY t TO STDOUT (FORMAT binary)")
        .run();
}

#[test]
fn copy_in_extended_with_the_early_sync_of_libpq() {
    with_table()
        .send(A, [start_extended(COPY_IN), sync()].concat())
        .until(A, b'G')
        .ask(A, [copy_data(b"1\tone\n"), copy_done(), sync()].concat(), 1)
        .query(A, "SELECT * FROM t")
        .run();
}

#[test]
fn copy_in_extended_with_a_flush() {
    with_table()
        .send(A, [start_extended(COPY_IN), flush()].concat())
        .until(A, b'G')
        .ask(
            A,
            [
                copy_data(b"1\tone\n"),
                flush(),
                sync(),
                copy_data(b"2\ttwo\n"),
                copy_done(),
                sync(),
            ]
            .concat(),
            1,
        )
        .query(A, "SELECT * FROM t ORDER BY x")
        .run();
}

#[test]
fn copy_fail_is_told_by_the_server() {
    with_table()
        .send(A, query(COPY_IN))
        .until(A, b'G')
        .ask(
            A,
            [copy_data(b"1\tone\n"), copy_fail("changed my mind")].concat(),
            1,
        )
        .send(B, [start_extended(COPY_IN), sync()].concat())
        .until(B, b'G')
        .ask(
            B,
            [copy_data(b"1\tone\n"), copy_fail("changed my mind"), sync()].concat(),
            1,
        )
        .query(B, "SELECT count(*) FROM t")
        .run();
}

#[test]
fn data_that_comes_after_an_error_is_ignored() {
    with_table()
        .send(A, query(COPY_IN))
        .until(A, b'G')
        .ask(A, copy_data(b"not a number\tx\n"), 1)
        .send(A, [copy_data(b"5\tlate\n"), copy_done()].concat())
        .query(A, "SELECT count(*) FROM t")
        .ask(
            B,
            [
                query(COPY_IN),
                copy_data(b"bad\n"),
                copy_data(b"6\tlate\n"),
                copy_done(),
            ]
            .concat(),
            1,
        )
        .query(B, "SELECT count(*) FROM t")
        .run();
}

#[test]
fn late_copy_messages_while_idle_are_ignored() {
    with_table()
        .query(A, "SELECT 1")
        .send(
            A,
            [copy_data(b"1\tone\n"), copy_done(), copy_fail("late")].concat(),
        )
        .query(A, "SELECT count(*) FROM t")
        .run();
}

#[test]
fn an_error_in_extended_copy_needs_a_sync_after_it() {
    with_table()
        .send(A, [start_extended(COPY_IN), sync()].concat())
        .until(A, b'G')
        .send(A, copy_data(b"bad\tx\n"))
        .until(A, b'E')
        .ask(
            A,
            [copy_data(b"5\tlate\n"), copy_done(), sync()].concat(),
            1,
        )
        .query(A, "SELECT count(*) FROM t")
        .run();
}

#[test]
fn two_copies_and_results_in_one_query() {
    with_table()
        .send(
            A,
            query(&format!("SELECT 0; {COPY_IN}; {COPY_IN}; SELECT 1")),
        )
        .until(A, b'G')
        .send(A, [copy_data(b"1\tone\n"), copy_done()].concat())
        .until(A, b'G')
        .ask(A, [copy_data(b"2\ttwo\n"), copy_done()].concat(), 1)
        .query(B, "SELECT 0; COPY t TO STDOUT; COPY t TO STDOUT; SELECT 1")
        .run();
}

#[test]
fn copy_within_a_transaction() {
    with_table()
        .pools(&[2, 3])
        .query(A, "BEGIN")
        .send(A, query(COPY_IN))
        .until(A, b'G')
        .query(B, "SELECT count(*) FROM t")
        .ask(A, [copy_data(b"1\tone\n"), copy_done()].concat(), 1)
        .query(B, "SELECT count(*) FROM t")
        .query(A, "SELECT count(*) FROM t")
        .query(A, "ROLLBACK")
        .query(B, "SELECT count(*) FROM t")
        .run();
}

#[test]
fn a_failed_copy_fails_its_transaction() {
    with_table()
        .query(A, "BEGIN")
        .ask(
            A,
            [query(COPY_IN), copy_data(b"bad\tx\n"), copy_done()].concat(),
            1,
        )
        .query(A, "SELECT 1")
        .query(A, "COMMIT")
        .query(B, "SELECT count(*) FROM t")
        .run();
}

#[test]
fn a_copy_without_data() {
    with_table()
        .ask(A, [query(COPY_IN), copy_done()].concat(), 1)
        .query(A, "COPY t TO STDOUT")
        .ask(B, extended("COPY t TO STDOUT"), 1)
        .run();
}

#[test]
fn a_big_copy_in_and_out() {
    let row = |n: u32| format!("{n}\t{}\n", "y".repeat(100));
    let data: Vec<u8> =
        (0..30_000)
            .collect::<Vec<_>>()
            .chunks(100)
            .fold(Vec::new(), |mut all, chunk| {
                all.extend(copy_data(
                    chunk.iter().map(|n| row(*n)).collect::<String>().as_bytes(),
                ));
                all
            });
    with_table()
        .send(A, query(COPY_IN))
        .until(A, b'G')
        .send(A, data)
        .ask(A, copy_done(), 1)
        .query(B, "SELECT count(*), sum(x), sum(length(y)) FROM t")
        .query(B, "COPY (SELECT * FROM t ORDER BY x) TO STDOUT")
        .run();
}

#[test]
fn another_message_within_copy_in_ends_the_session() {
    with_table()
        .send(A, query(COPY_IN))
        .until(A, b'G')
        .send(A, query("SELECT 'out of place'"))
        .end(A)
        .query(B, "SELECT count(*) FROM t")
        .run();
}
