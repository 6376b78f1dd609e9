//! Names of every kind.

use super::{closed, described, prepare, run};
use crate::support::differential::{A, B, script};
use crate::support::frames::{frame, query, sync};

#[test]
fn names_as_long_as_a_describe_may_be() {
    // PostgreSQL takes 10,000 bytes for the whole message.
    let long = "n".repeat(9_990);
    script()
        .ask(A, prepare(&long, "SELECT 'long'"), 1)
        .ask(A, run(&long), 1)
        .ask(A, described(&long), 1)
        .ask(B, run(&long), 1)
        .ask(A, closed(&long), 1)
        .ask(A, run(&long), 1)
        .run();
}

#[test]
fn names_are_told_apart_by_their_first_63_bytes() {
    let (one, two) = ("n".repeat(63) + "1", "n".repeat(63) + "2");
    let (short, other) = ("n".repeat(62) + "1", "n".repeat(62) + "2");
    script()
        .ask(A, prepare(&one, "SELECT 'one'"), 1)
        .ask(A, prepare(&two, "SELECT 'two'"), 1)
        .ask(A, run(&two), 1)
        .ask(A, prepare(&short, "SELECT 'short'"), 1)
        .ask(A, prepare(&other, "SELECT 'other'"), 1)
        .ask(A, [run(&short), run(&other)].concat(), 2)
        .ask(A, closed(&two), 1)
        .ask(A, run(&one), 1)
        .run();
}

#[test]
fn names_of_other_alphabets() {
    script()
        .ask(A, prepare("запрос", "SELECT 'по-русски'"), 1)
        .ask(A, prepare("文\u{1F418}", "SELECT $1::int"), 1)
        .ask(A, run("запрос"), 1)
        .ask(A, run("文\u{1F418}"), 1)
        .ask(A, run("неизвестный"), 1)
        .ask(A, prepare("запрос", "SELECT 1"), 1)
        .ask(A, closed("запрос"), 1)
        .ask(A, run("запрос"), 1)
        .run();
}

#[test]
fn names_in_another_encoding() {
    let parse = frame(b'P', b"caf\xe9\0SELECT 'latin'\0\0\0");
    let bind = frame(b'B', b"\0caf\xe9\0\0\0\0\0\0\0");
    let execute = frame(b'E', b"\0\0\0\0\0");
    script()
        .connect(A, &[("client_encoding", "LATIN1")])
        .ask(A, [parse.clone(), sync()].concat(), 1)
        .ask(A, [bind, execute, sync()].concat(), 1)
        .ask(A, [parse, sync()].concat(), 1)
        .run();
}

#[test]
fn names_that_are_no_text_are_refused() {
    script()
        .ask(
            A,
            [frame(b'P', b"\xff\xfe\0SELECT 1\0\0\0"), sync()].concat(),
            1,
        )
        .ask(A, [frame(b'D', b"S\xff\xfe\0"), sync()].concat(), 1)
        .query(A, "SELECT 1")
        .run();
}

#[test]
fn names_that_look_like_ours() {
    let mut case = script().ask(A, prepare("s1", "SELECT 'of a'"), 1).ask(
        A,
        prepare("s2", "SELECT 'of a too'"),
        1,
    );
    for n in 0..4 {
        let name = format!("_pw{n}");
        case = case
            .ask(B, run(&name), 1)
            .ask(B, described(&name), 1)
            .ask(A, run(&name), 1)
            .ask(B, prepare(&name, "SELECT 'of b'"), 1)
            .ask(B, run(&name), 1)
            .ask(B, prepare(&name, "SELECT 'again'"), 1)
            .ask(B, closed(&name), 1)
            .ask(B, run(&name), 1);
    }
    case.ask(A, run("s1"), 1).ask(A, run("s2"), 1).run();
}

#[test]
fn what_others_prepared_is_out_of_reach_in_sql() {
    let mut case = script()
        .ask(A, prepare("s1", "SELECT 'of a'"), 1)
        .ask(A, run("s1"), 1);
    for n in 0..4 {
        case = case.ask(B, query(&format!("EXECUTE _pw{n}")), 1).ask(
            B,
            query(&format!("DEALLOCATE _pw{n}")),
            1,
        );
    }
    case.ask(A, run("s1"), 1).ask(A, run("s1"), 1).run();
}

#[test]
fn empty_statements_have_names_too() {
    script()
        .ask(A, prepare("e", ""), 1)
        .ask(A, described("e"), 1)
        .ask(A, run("e"), 1)
        .ask(B, prepare("e", ";"), 1)
        .ask(B, run("e"), 1)
        .ask(A, prepare("e", "SELECT 1"), 1)
        .ask(A, run("e"), 1)
        .run();
}

#[test]
fn odd_names_are_names() {
    for name in [" ", "a b", "\"", "'; DROP TABLE t; --", "%s", "S1"] {
        script()
            .ask(A, prepare(name, "SELECT $1::int"), 1)
            .ask(A, run(name), 1)
            .ask(A, prepare(name, "SELECT 1"), 1)
            .ask(A, run(&name.to_lowercase()), 1)
            .ask(A, closed(name), 1)
            .run();
    }
}
