//! More statements than a server connection is let to hold.

use super::{go, prepare, run};
use crate::support::differential::{A, B, script};
use crate::support::frames::{bind, close, describe, execute, parse, sync};

const MANY: u32 = 450;

fn name(n: u32) -> String {
    format!("s{n}")
}

fn parses() -> Vec<u8> {
    (0..MANY)
        .flat_map(|n| parse(&name(n), &format!("SELECT {n}, 'statement {n}'")))
        .collect()
}

fn uses() -> Vec<u8> {
    (0..MANY).flat_map(|n| go(&name(n))).collect()
}

#[test]
fn many_are_prepared_and_used_in_single_pipelines() {
    script()
        .ask(A, [parses(), sync()].concat(), 1)
        .ask(A, [uses(), sync()].concat(), 1)
        .ask(A, [uses(), sync()].concat(), 1)
        .run();
}

#[test]
fn many_are_prepared_and_used_twice_in_one_pipeline() {
    script()
        .ask(A, [parses(), uses(), uses(), sync()].concat(), 1)
        .ask(B, [parses(), uses(), sync()].concat(), 1)
        .ask(A, run("s0"), 1)
        .ask(A, run("s449"), 1)
        .run();
}

#[test]
fn an_error_amid_many_leaves_each_name_as_it_was() {
    let failing = [
        parse("bad", "SELECT 1/0"),
        (0..MANY).rev().flat_map(|n| go(&name(n))).collect(),
        go("bad"),
        uses(),
        close(b'S', "s3"),
        sync(),
    ]
    .concat();
    script()
        .ask(A, [parses(), sync()].concat(), 1)
        .ask(A, failing, 1)
        .ask(A, [uses(), sync()].concat(), 1)
        .run();
}

#[test]
fn many_are_used_in_a_transaction_that_fails() {
    script()
        .ask(A, [parses(), sync()].concat(), 1)
        .query(A, "BEGIN")
        .ask(A, [uses(), sync()].concat(), 1)
        .query(A, "SELECT 1/0")
        .ask(A, run("s0"), 1)
        .ask(A, run("s449"), 1)
        .query(A, "ROLLBACK")
        .ask(A, [uses(), sync()].concat(), 1)
        .run();
}

#[test]
fn a_portal_stays_open_while_its_statement_makes_room() {
    let open = [
        parse("slow", "SELECT generate_series(1, 4)"),
        bind("p", "slow", &[]),
        execute("p", 1),
        sync(),
    ]
    .concat();
    let rest = [
        execute("p", 1),
        describe(b'P', "p"),
        bind("q", "slow", &[]),
        execute("q", 1),
        execute("p", 0),
        sync(),
    ]
    .concat();
    script()
        .ask(A, [parses(), sync()].concat(), 1)
        .query(A, "BEGIN")
        .ask(A, open, 1)
        .ask(A, [uses(), sync()].concat(), 1)
        .ask(A, rest, 1)
        .query(A, "COMMIT")
        .ask(A, run("slow"), 1)
        .run();
}

#[test]
fn long_texts_make_room_for_one_another() {
    let text = |n: u32| format!("SELECT {n}, length('{}')", "x".repeat(3 << 20));
    let mut case = script();
    for n in 0..5 {
        case = case.ask(A, prepare(&name(n), &text(n)), 1);
    }
    for n in 0..5 {
        case = case.ask(A, run(&name(n)), 1);
    }
    let all: Vec<u8> = (0..5).flat_map(|n| go(&name(n))).collect();
    case.ask(A, [all, sync()].concat(), 1).run();
}
