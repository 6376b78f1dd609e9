//! Holdable cursors keep their client on its server connection while there are
//! some, and no longer.

use super::{following, keeping};
use crate::support::differential::{A, B, C};
use crate::support::frames::{bind, execute, extended, parse, query, sync};

#[test]
fn a_holdable_cursor_is_read_in_later_transactions() {
    keeping(1)
        .query(A, "BEGIN")
        .query(
            A,
            "DECLARE h CURSOR WITH HOLD FOR SELECT generate_series(1, 4)",
        )
        .query(A, "COMMIT")
        .query(B, "FETCH 1 FROM h")
        .query(A, "FETCH 1 FROM h")
        .ask(A, extended("FETCH 1 FROM h"), 1)
        .query(C, "SELECT 'served'")
        .query(A, "MOVE 1 IN h")
        .query(A, "FETCH 1 FROM h")
        .query(A, "CLOSE h")
        .query(A, "FETCH 1 FROM h")
        .query(B, "SELECT 'served'")
        .run();
}

#[test]
fn holdable_cursors_of_every_kind_are_kept() {
    for (declare, end) in [
        (
            "DECLARE h CURSOR WITH HOLD FOR SELECT generate_series(1, 4)",
            "CLOSE h",
        ),
        (
            "DECLARE h SCROLL CURSOR /* */ WITH\nHOLD FOR SELECT generate_series(1, 4)",
            "CLOSE ALL",
        ),
        (
            "DECLARE h BINARY INSENSITIVE CURSOR WITH HOLD FOR SELECT 1",
            "DISCARD ALL",
        ),
        (
            "BEGIN; DECLARE h CURSOR WITH HOLD FOR SELECT generate_series(1, 4); FETCH 1 FROM h; COMMIT",
            "BEGIN; CLOSE h; COMMIT",
        ),
        (
            "DO $$ BEGIN EXECUTE 'DECLARE h CURSOR WITH HO' || 'LD FOR SELECT 1'; END $$",
            "CLOSE h",
        ),
        ("SELECT open_one()", "DO $$ BEGIN EXECUTE 'CLOSE h'; END $$"),
    ] {
        keeping(1)
            .setup("CREATE FUNCTION open_one() RETURNS void LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'DECLARE h CURSOR WITH HOLD FOR SELECT 1'; END $$")
            .query(A, declare)
            .query(B, "FETCH 1 FROM h")
            .query(A, "FETCH 1 FROM h")
            .query(C, "SELECT 'served'")
            .query(A, "SELECT name, is_holdable FROM pg_cursors WHERE is_holdable")
            .query(A, end)
            .query(A, "FETCH 1 FROM h")
            .query(B, "SELECT name FROM pg_cursors WHERE is_holdable")
            .run();
    }
}

#[test]
fn two_clients_have_cursors_of_one_name() {
    keeping(2)
        .query(A, "DECLARE h CURSOR WITH HOLD FOR SELECT 'of a'")
        .query(B, "DECLARE h CURSOR WITH HOLD FOR SELECT 'of b'")
        .query(A, "FETCH ALL FROM h")
        .query(B, "FETCH ALL FROM h")
        .query(C, "FETCH ALL FROM h")
        .query(B, "DECLARE h CURSOR WITH HOLD FOR SELECT 'again'")
        .leave(A)
        .query(B, "CLOSE h")
        .query(C, "FETCH ALL FROM h")
        .run();
}

#[test]
fn a_cursor_of_a_rolled_back_transaction_keeps_nothing() {
    following()
        .query(A, "BEGIN; DECLARE h CURSOR WITH HOLD FOR SELECT 1")
        .query(A, "ROLLBACK")
        .query(A, "FETCH 1 FROM h")
        .query(B, "SELECT 'served'")
        .query(A, "BEGIN; SAVEPOINT s; DECLARE h CURSOR WITH HOLD FOR SELECT 1; ROLLBACK TO s; COMMIT")
        .query(A, "FETCH 1 FROM h")
        .query(C, "DECLARE h CURSOR WITH HOLD FOR SELECT 1; SELECT 1/0")
        .query(B, "DECLARE h CURSOR WITH HOLD FOR SELECT 1/0")
        .query(B, "BEGIN; DECLARE h CURSOR WITH HOLD FOR SELECT 1/(3 - n) FROM generate_series(1, 5) n; COMMIT")
        .query(C, "FETCH 1 FROM h")
        .query(A, "BEGIN; DECLARE h CURSOR WITH HOLD FOR SELECT 1; CLOSE h; COMMIT")
        .query(B, "SELECT 'served'")
        .run();
}

#[test]
fn closing_a_cursor_is_not_taken_back_by_a_rollback() {
    keeping(1)
        .query(
            A,
            "DECLARE h CURSOR WITH HOLD FOR SELECT generate_series(1, 4)",
        )
        .query(A, "BEGIN; FETCH 1 FROM h; ROLLBACK")
        .query(A, "FETCH 1 FROM h")
        .query(A, "BEGIN; CLOSE h; ROLLBACK")
        .query(A, "FETCH 1 FROM h")
        .query(B, "SELECT 'served'")
        .run();
}

#[test]
fn a_cursor_is_a_portal_of_the_protocol_too() {
    keeping(1)
        .query(
            A,
            "DECLARE h CURSOR WITH HOLD FOR SELECT generate_series(1, 4)",
        )
        .ask(A, [execute("h", 2), sync()].concat(), 1)
        .query(B, "SELECT 'served'")
        .ask(A, [execute("h", 1), sync()].concat(), 1)
        .query(A, "CLOSE h")
        .query(A, "BEGIN")
        .ask(
            A,
            [
                parse("", "SELECT generate_series(1, 4)"),
                bind("p", "", &[]),
                execute("p", 1),
                sync(),
            ]
            .concat(),
            1,
        )
        .query(A, "FETCH 1 FROM p")
        .query(A, "COMMIT")
        .query(A, "FETCH 1 FROM p")
        .query(C, "SELECT 'served'")
        .run();
}

#[test]
fn a_cursor_keeps_the_rows_of_its_beginning_and_the_settings_of_now() {
    keeping(1)
        .setup("CREATE TABLE t AS SELECT '2026-01-31'::date AS x")
        .query(A, "SET datestyle = 'German'")
        .query(
            A,
            "DECLARE h CURSOR WITH HOLD FOR SELECT x FROM t UNION ALL SELECT x + 1 FROM t",
        )
        .query(A, "FETCH 1 FROM h")
        .query(B, "UPDATE t SET x = '2030-01-01' RETURNING x")
        .query(A, "SET datestyle = 'SQL, DMY'")
        .query(A, "FETCH 1 FROM h")
        .query(A, "CLOSE ALL")
        .query(A, "SELECT x FROM t")
        .query(B, "SELECT x FROM t")
        .ask(
            A,
            [
                query("DECLARE h CURSOR WITH HOLD FOR SELECT 1"),
                query("FETCH 1 FROM h"),
                query("CLOSE h"),
            ]
            .concat(),
            3,
        )
        .query(C, "SELECT 'served'")
        .run();
}
