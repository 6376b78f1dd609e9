//! Named statements: errors are PostgreSQL's, in their place, and tell the
//! client's own names.

use super::{described, go, prepare, run};
use crate::support::differential::{A, B, script};
use crate::support::frames::{bind, close, describe, execute, parse, parse_typed, query, sync};

#[test]
fn a_duplicate_name_in_one_pipeline_is_an_error() {
    let twice = [
        parse("s1", "SELECT 1"),
        parse("s1", "SELECT 1"),
        go("s1"),
        sync(),
    ]
    .concat();
    script()
        .ask(A, &twice, 1)
        .ask(A, run("s1"), 1)
        .ask(B, &twice, 1)
        .ask(A, [prepare("s1", "SELECT 2"), run("s1")].concat(), 2)
        .run();
}

#[test]
fn a_duplicate_name_with_a_wrong_text_tells_the_text_first() {
    script()
        .ask(A, prepare("s1", "SELECT 1"), 1)
        .ask(A, prepare("s1", "SELEC"), 1)
        .ask(A, prepare("s1", "SELECT nothing"), 1)
        .ask(A, run("s1"), 1)
        .run();
}

#[test]
fn a_duplicate_name_in_a_transaction_fails_it() {
    script()
        .ask(A, prepare("s1", "SELECT 1"), 1)
        .query(A, "BEGIN")
        .ask(A, prepare("s1", "SELECT 2"), 1)
        .ask(A, run("s1"), 1)
        .query(A, "ROLLBACK")
        .ask(A, run("s1"), 1)
        .run();
}

#[test]
fn a_parse_skipped_by_an_error_does_not_exist_even_where_it_is_known() {
    let skipped = [bind("", "nope", &[]), parse("s9", "SELECT 9"), sync()].concat();
    let failing = [
        parse("s8", "SELECT 1/0"),
        go("s8"),
        parse("s9", "SELECT 9"),
        sync(),
    ]
    .concat();
    script()
        .ask(B, prepare("other", "SELECT 9"), 1)
        .ask(A, skipped, 1)
        .ask(A, run("s9"), 1)
        .ask(A, failing, 1)
        .ask(A, run("s9"), 1)
        .ask(A, described("s9"), 1)
        .ask(A, prepare("s9", "SELECT 'now'"), 1)
        .ask(A, run("s9"), 1)
        .run();
}

#[test]
fn a_close_skipped_by_an_error_leaves_the_name() {
    let skipped = [
        go("nope"),
        close(b'S', "s1"),
        parse("s1", "SELECT 'new'"),
        sync(),
    ]
    .concat();
    script()
        .ask(A, prepare("s1", "SELECT 'old'"), 1)
        .ask(A, skipped, 1)
        .ask(A, run("s1"), 1)
        .run();
}

#[test]
fn a_close_skipped_by_one_error_and_followed_by_another_leaves_the_name() {
    let twice = [
        go("nope"),
        close(b'S', "s1"),
        sync(),
        execute("nothing", 0),
        sync(),
    ]
    .concat();
    let mut case = script().ask(A, prepare("s1", "SELECT 1"), 1);
    // Now and then both errors arrive at once.
    for _ in 0..30 {
        case = case.ask(A, &twice, 2).ask(A, run("s1"), 1);
    }
    case.run();
}

#[test]
fn a_sync_after_an_error_that_was_seen_begins_afresh() {
    let pending = [describe(b'S', "nope"), close(b'P', "")].concat();
    let after = [sync(), parse("s1", "SELECT 1"), go("s1"), sync()].concat();
    script()
        .send(A, pending)
        .until(A, b'E')
        .ask(A, after, 2)
        .ask(A, run("s1"), 1)
        .run();
}

#[test]
fn a_query_after_an_error_that_was_seen_and_its_sync_is_answered() {
    script()
        .send(A, [go("nope")].concat())
        .send(A, crate::support::frames::flush())
        .until(A, b'E')
        .ask(A, [sync(), query("SELECT 1"), run("nope")].concat(), 3)
        .query(A, "SELECT 2")
        .run();
}

#[test]
fn a_wrong_number_of_parameters_is_told_of_the_clients_own_name() {
    let none = [bind("", "s1", &[]), execute("", 0), sync()].concat();
    let three = [
        bind("", "s1", &[Some(b"1"), Some(b"2"), Some(b"3")]),
        execute("", 0),
        sync(),
    ]
    .concat();
    script()
        .ask(A, prepare("s1", "SELECT $1::int"), 1)
        .ask(A, &none, 1)
        .ask(A, &three, 1)
        .ask(B, prepare("mine \"quoted\" one", "SELECT $1::int"), 1)
        .ask(B, run("mine \"quoted\" one"), 1)
        .run();
}

#[test]
fn an_error_tells_the_name_that_was_used_of_several_for_one_text() {
    let names: Vec<String> = (0..12).map(|n| format!("alias{n}")).collect();
    let mut case = script();
    for name in &names {
        case = case.ask(A, prepare(name, "SELECT $1::int"), 1);
    }
    for name in &names {
        case = case
            .ask(A, run(name), 1)
            .ask(A, prepare(name, "SELECT 2"), 1);
    }
    case.run();
}

#[test]
fn an_error_tells_the_name_though_it_is_closed_in_the_same_batch() {
    let batch = [
        parse("s1", "SELECT $1::int"),
        bind("", "s1", &[]),
        close(b'S', "s1"),
        sync(),
    ]
    .concat();
    script().ask(A, batch, 1).ask(A, run("s1"), 1).run();
}

#[test]
fn an_error_that_quotes_something_like_our_names_is_left_alone() {
    let mut case =
        script()
            .ask(A, prepare("s1", "SELECT 1"), 1)
            .ask(A, prepare("s2", "SELECT 2"), 1);
    for n in 0..6 {
        case = case
            .query(A, &format!("SELECT \"_pw{n}\""))
            .query(A, &format!("SELECT '_pw{n}'::int"));
    }
    case.ask(A, run("s1"), 1).ask(A, run("s2"), 1).run();
}

#[test]
fn an_error_of_a_clients_own_making_forgets_nothing() {
    let raise = |n: u32| {
        format!(
            "DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '26000', MESSAGE = \
             'prepared statement \"_pw{n}\" does not exist'; END $$"
        )
    };
    let mut case =
        script()
            .ask(A, prepare("s1", "SELECT 1"), 1)
            .ask(B, prepare("s1", "SELECT 1"), 1);
    for n in 0..4 {
        case = case.query(A, &raise(n));
    }
    case.ask(A, run("s1"), 1).ask(B, run("s1"), 1).run();
}

#[test]
fn a_failed_transaction_refuses_to_parse() {
    script()
        .ask(B, prepare("shared", "SELECT 'shared'"), 1)
        .query(A, "BEGIN")
        .query(A, "SELECT 1/0")
        .ask(A, prepare("s1", "SELECT 1"), 1)
        .ask(A, prepare("s2", "SELECT 'shared'"), 1)
        .ask(A, [parse("r", "ROLLBACK"), go("r"), sync()].concat(), 1)
        .ask(A, run("s1"), 1)
        .ask(A, run("s2"), 1)
        .ask(A, run("r"), 1)
        .run();
}

#[test]
fn a_failed_transaction_refuses_to_run_what_was_prepared_before() {
    script()
        .ask(A, prepare("s1", "SELECT 1"), 1)
        .ask(A, prepare("ins", "INSERT INTO t VALUES ($1)"), 1)
        .setup("CREATE TABLE t (x int)")
        .query(A, "BEGIN")
        .query(A, "SELECT 1/0")
        .ask(A, run("s1"), 1)
        .ask(A, described("s1"), 1)
        .ask(A, [close(b'S', "s1"), sync()].concat(), 1)
        .query(A, "ROLLBACK")
        .ask(A, run("s1"), 1)
        .run();
}

#[test]
fn parameter_types_are_part_of_a_statement() {
    let with = |name: &str, types: &[u32]| {
        [
            parse_typed(name, "SELECT $1", types),
            describe(b'S', name),
            sync(),
        ]
        .concat()
    };
    script()
        .ask(A, with("s1", &[23]), 1)
        .ask(B, with("s1", &[25]), 1)
        .ask(A, with("s2", &[0]), 1)
        .ask(A, with("s3", &[23, 25]), 1)
        .ask(A, with("s4", &[999_999]), 1)
        .ask(A, described("s4"), 1)
        .ask(B, with("s3", &[]), 1)
        .ask(A, [bind("", "s1", &[Some(b"x")]), sync()].concat(), 1)
        .ask(
            B,
            [bind("", "s1", &[Some(b"x")]), execute("", 0), sync()].concat(),
            1,
        )
        .run();
}
