//! Named protocol statements: a client's own, wherever its next transaction runs.

use crate::support::differential::{A, B, script};
use crate::support::frames::{
    bind, close, describe, execute, extended, parse, query, sync, unnamed,
};

fn prepare(name: &str, sql: &str) -> Vec<u8> {
    [parse(name, sql), sync()].concat()
}

fn run(name: &str) -> Vec<u8> {
    [
        bind("", name, &[]),
        describe(b'P', ""),
        execute("", 0),
        sync(),
    ]
    .concat()
}

#[test]
fn a_named_statement_is_there_in_later_transactions() {
    script()
        .ask(A, prepare("s1", "SELECT 42"), 1)
        .ask(A, run("s1"), 1)
        .ask(A, run("s1"), 1)
        .run();
}

#[test]
fn two_clients_use_one_name_for_different_texts() {
    script()
        .ask(A, prepare("s1", "SELECT 'of a'"), 1)
        .ask(B, prepare("s1", "SELECT 'of b'"), 1)
        .ask(A, run("s1"), 1)
        .ask(B, run("s1"), 1)
        .ask(A, run("s1"), 1)
        .run();
}

#[test]
fn a_duplicate_name_is_an_error_and_keeps_the_first() {
    script()
        .ask(A, prepare("s1", "SELECT 1"), 1)
        .ask(A, prepare("s1", "SELECT 2"), 1)
        .ask(A, run("s1"), 1)
        .run();
}

#[test]
fn an_unknown_name_is_an_error_and_the_session_goes_on() {
    script()
        .ask(A, run("nope"), 1)
        .query(A, "SELECT 1")
        .ask(A, [describe(b'S', "nope"), sync()].concat(), 1)
        .query(A, "SELECT 1")
        .run();
}

#[test]
fn a_client_never_binds_anothers_named_statement() {
    script()
        .ask(A, prepare("s1", "SELECT 'secret of a'"), 1)
        .ask(B, run("s1"), 1)
        .leave(A)
        .ask(B, run("s1"), 1)
        .run();
}

#[test]
fn a_name_is_free_after_its_parse_failed() {
    script()
        .ask(A, prepare("s1", "SELEC 1"), 1)
        .ask(A, prepare("s1", "SELECT 1"), 1)
        .ask(A, run("s1"), 1)
        .run();
}

#[test]
fn a_name_is_free_after_close() {
    let again = [
        close(b'S', "s1"),
        parse("s1", "SELECT 2"),
        bind("", "s1", &[]),
        execute("", 0),
        sync(),
    ]
    .concat();
    script()
        .ask(A, prepare("s1", "SELECT 1"), 1)
        .ask(A, again, 1)
        .ask(A, run("s1"), 1)
        .ask(A, [close(b'S', "s1"), sync()].concat(), 1)
        .ask(A, run("s1"), 1)
        .run();
}

#[test]
fn a_statement_parsed_before_an_error_stays() {
    let use_s1 = [bind("", "s1", &[]), execute("", 0)].concat();
    let batch = [
        parse("s1", "SELECT 1"),
        use_s1.clone(),
        unnamed("SELECT 1/0"),
        use_s1,
        sync(),
    ]
    .concat();
    script().ask(A, batch, 1).ask(A, run("s1"), 1).run();
}

#[test]
fn a_statement_parsed_after_an_error_does_not_exist() {
    let batch = [unnamed("SELECT 1/0"), parse("s9", "SELECT 9"), sync()].concat();
    script()
        .ask(A, batch, 1)
        .ask(A, run("s9"), 1)
        .ask(A, extended("SELECT 'after'"), 1)
        .run();
}

#[test]
fn a_statement_survives_the_rollback_of_its_transaction() {
    script()
        .query(A, "BEGIN")
        .ask(A, prepare("s1", "SELECT 1"), 1)
        .query(A, "ROLLBACK")
        .ask(A, run("s1"), 1)
        .run();
}

#[test]
fn a_description_tells_parameters_and_columns() {
    let batch = [
        parse("s1", "SELECT $1::int AS a, $2::text AS b"),
        describe(b'S', "s1"),
        sync(),
    ]
    .concat();
    let bound = [
        bind("", "s1", &[Some(b"1"), Some(b"x")]),
        execute("", 0),
        sync(),
    ]
    .concat();
    script().ask(A, batch, 1).ask(A, bound, 1).run();
}

#[test]
fn a_changed_table_is_told_and_recovered_from() {
    script()
        // On another server connection the statement would be parsed anew, and
        // there would be nothing to tell.
        .pools(&[1])
        .setup("CREATE TABLE t (x int)")
        .ask(A, prepare("s1", "SELECT * FROM t"), 1)
        .ask(A, run("s1"), 1)
        .query(B, "ALTER TABLE t ADD y int")
        .ask(A, run("s1"), 1)
        .ask(
            A,
            [close(b'S', "s1"), parse("s1", "SELECT * FROM t"), sync()].concat(),
            1,
        )
        .ask(A, run("s1"), 1)
        .run();
}

#[test]
fn a_statement_is_used_ahead_of_its_own_answer() {
    let all = [
        prepare("s1", "SELECT 1"),
        run("s1"),
        query("SELECT 2"),
        run("s1"),
    ]
    .concat();
    script().ask(A, all, 4).ask(A, run("s1"), 1).run();
}
