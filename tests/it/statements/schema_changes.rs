//! Statements whose tables change under them.

use super::{closed, described, prepare, run};
use crate::support::differential::{A, B, C, script};
use crate::support::frames::{close, parse, sync};

const TEXT: &str = "SELECT * FROM t";

#[test]
fn a_changed_result_is_told_and_healed_by_close_and_parse() {
    let again = [close(b'S', "s1"), parse("s1", TEXT), sync()].concat();
    script()
        // On another server connection it would be parsed anew.
        .pools(&[1])
        .setup("CREATE TABLE t AS SELECT 1 AS x")
        .ask(A, prepare("s1", TEXT), 1)
        .ask(B, prepare("s1", TEXT), 1)
        .ask(A, run("s1"), 1)
        .query(C, "ALTER TABLE t ADD y int DEFAULT 2")
        .ask(A, run("s1"), 1)
        .ask(A, &again, 1)
        .ask(A, run("s1"), 1)
        .ask(B, run("s1"), 1)
        .ask(B, &again, 1)
        .ask(B, run("s1"), 1)
        .run();
}

#[test]
fn a_client_that_prepares_after_the_change_knows_nothing_of_it() {
    script()
        .setup("CREATE TABLE t AS SELECT 1 AS x")
        .ask(A, prepare("s1", TEXT), 1)
        .ask(A, run("s1"), 1)
        .ask(A, run("s1"), 1)
        .query(C, "ALTER TABLE t ADD y int DEFAULT 2")
        .ask(B, prepare("s1", TEXT), 1)
        .ask(B, described("s1"), 1)
        .ask(B, run("s1"), 1)
        .ask(B, run("s1"), 1)
        .run();
}

#[test]
fn a_client_that_prepares_again_without_trying_first_knows_nothing_of_it() {
    let again = [close(b'S', "s1"), parse("s1", TEXT), sync()].concat();
    script()
        .setup("CREATE TABLE t AS SELECT 1 AS x")
        .ask(A, prepare("s1", TEXT), 1)
        .ask(B, prepare("s1", TEXT), 1)
        .ask(A, run("s1"), 1)
        .ask(B, run("s1"), 1)
        .query(C, "ALTER TABLE t ALTER x TYPE text")
        .ask(A, again, 1)
        .ask(A, run("s1"), 1)
        .ask(A, run("s1"), 1)
        .run();
}

#[test]
fn a_dropped_table_is_told_at_parse_though_others_hold_the_statement() {
    script()
        .setup("CREATE TABLE t AS SELECT 1 AS x")
        .ask(A, prepare("s1", TEXT), 1)
        .ask(A, run("s1"), 1)
        .ask(A, run("s1"), 1)
        .query(C, "DROP TABLE t")
        .ask(B, prepare("s1", TEXT), 1)
        .ask(B, run("s1"), 1)
        .run();
}

#[test]
fn a_dropped_table_is_told_and_its_successor_found() {
    script()
        .setup("CREATE TABLE t AS SELECT 1 AS x")
        .ask(A, prepare("s1", TEXT), 1)
        .ask(A, run("s1"), 1)
        .query(C, "DROP TABLE t")
        .ask(A, run("s1"), 1)
        .ask(A, closed("s1"), 1)
        .ask(A, prepare("s1", TEXT), 1)
        .query(C, "CREATE TABLE t AS SELECT 'new' AS z")
        .ask(A, prepare("s1", TEXT), 1)
        .ask(A, run("s1"), 1)
        .run();
}

#[test]
fn a_changed_result_fails_its_transaction() {
    script()
        .pools(&[1])
        .setup("CREATE TABLE t AS SELECT 1 AS x")
        .ask(A, prepare("s1", TEXT), 1)
        .query(A, "BEGIN")
        .query(A, "ALTER TABLE t ADD y int DEFAULT 2")
        .ask(A, run("s1"), 1)
        .query(A, "ROLLBACK")
        .ask(A, run("s1"), 1)
        .run();
}

#[test]
fn a_statement_on_a_table_of_its_own_transaction_is_no_others() {
    let inside = "SELECT * FROM u";
    script()
        .query(A, "BEGIN; CREATE TABLE u AS SELECT 1 AS x")
        .ask(A, prepare("s1", inside), 1)
        .ask(A, run("s1"), 1)
        .query(A, "ROLLBACK")
        .ask(B, prepare("s1", inside), 1)
        .ask(A, run("s1"), 1)
        .run();
}
