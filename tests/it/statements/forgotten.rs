//! DEALLOCATE ALL, DISCARD ALL and their kin: names are free again.

use super::{go, prepare, run};
use crate::support::differential::{A, B, script};
use crate::support::frames::{close, extended, parse, query, sync, unnamed};

const ALL: [&str; 4] = [
    "DEALLOCATE ALL",
    "deallocate prepare all;",
    "DISCARD ALL",
    "/* all */ DEALLOCATE ALL -- of them",
];

#[test]
fn names_are_free_after_a_simple_query() {
    for forget in ALL {
        script()
            .ask(A, prepare("s1", "SELECT 1"), 1)
            .ask(B, prepare("s1", "SELECT 1"), 1)
            .query(A, forget)
            .ask(A, run("s1"), 1)
            .ask(A, prepare("s1", "SELECT 'new'"), 1)
            .ask(A, run("s1"), 1)
            .ask(B, run("s1"), 1)
            .run();
    }
}

#[test]
fn names_are_free_after_an_extended_query() {
    for forget in ALL {
        script()
            .ask(A, prepare("s1", "SELECT 1"), 1)
            .ask(B, prepare("s1", "SELECT 1"), 1)
            .ask(A, extended(forget), 1)
            .ask(A, run("s1"), 1)
            .ask(A, prepare("s1", "SELECT 'new'"), 1)
            .ask(A, run("s1"), 1)
            .ask(B, run("s1"), 1)
            .run();
    }
}

#[test]
fn a_prepared_deallocate_all_forgets_itself() {
    script()
        .ask(A, prepare("d", "DEALLOCATE ALL"), 1)
        .ask(A, prepare("s1", "SELECT 1"), 1)
        .ask(A, run("d"), 1)
        .ask(A, run("d"), 1)
        .ask(A, run("s1"), 1)
        .run();
}

#[test]
fn a_name_is_parsed_again_behind_the_sync_in_one_write() {
    for forget in [
        extended("DEALLOCATE ALL"),
        query("DEALLOCATE ALL"),
        query("DISCARD ALL"),
    ] {
        script()
            .ask(A, prepare("s1", "SELECT 'old'"), 1)
            .ask(B, prepare("s1", "SELECT 'old'"), 1)
            .ask(
                A,
                [forget.clone(), prepare("s1", "SELECT 'new'")].concat(),
                2,
            )
            .ask(A, run("s1"), 1)
            .ask(
                A,
                [forget, prepare("s1", "SELECT 'old'"), run("s1")].concat(),
                3,
            )
            .ask(B, run("s1"), 1)
            .run();
    }
}

#[test]
fn a_name_is_parsed_again_in_the_same_batch() {
    let batch = |text: &str| {
        [
            unnamed("DEALLOCATE ALL"),
            parse("s1", text),
            go("s1"),
            sync(),
        ]
        .concat()
    };
    script()
        .ask(A, prepare("s1", "SELECT 'old'"), 1)
        .ask(A, batch("SELECT 'new'"), 1)
        .ask(A, run("s1"), 1)
        .ask(B, prepare("s1", "SELECT 'old'"), 1)
        .ask(B, run("s1"), 1)
        .ask(A, batch("SELECT 'old'"), 1)
        .ask(A, run("s1"), 1)
        .ask(B, run("s1"), 1)
        .run();
}

#[test]
fn a_new_name_in_the_same_batch_stays() {
    let batch = [
        unnamed("DEALLOCATE ALL"),
        parse("fresh", "SELECT 'known'"),
        sync(),
    ]
    .concat();
    script()
        .ask(B, prepare("k", "SELECT 'known'"), 1)
        .ask(A, batch, 1)
        .ask(A, run("fresh"), 1)
        .ask(B, run("k"), 1)
        .run();
}

#[test]
fn a_name_used_behind_it_in_the_same_batch_is_unknown() {
    let batch = [unnamed("DEALLOCATE ALL"), go("s1"), sync()].concat();
    let closed = [
        unnamed("DEALLOCATE ALL"),
        close(b'S', "s1"),
        go("nope"),
        sync(),
    ]
    .concat();
    script()
        .ask(A, prepare("s1", "SELECT 1"), 1)
        .ask(A, batch, 1)
        .ask(A, prepare("s1", "SELECT 2"), 1)
        .ask(A, closed, 1)
        .ask(A, run("s1"), 1)
        .run();
}

#[test]
fn nothing_skipped_behind_it_comes_back() {
    let batch = [
        unnamed("DEALLOCATE ALL"),
        unnamed("SELECT 1/0"),
        close(b'S', "s1"),
        parse("s2", "SELECT 2"),
        sync(),
    ]
    .concat();
    script()
        .ask(A, prepare("s1", "SELECT 1"), 1)
        .ask(A, batch, 1)
        .ask(A, run("s1"), 1)
        .ask(A, run("s2"), 1)
        .ask(A, prepare("s1", "SELECT 'new'"), 1)
        .ask(A, run("s1"), 1)
        .run();
}

#[test]
fn it_holds_though_its_transaction_is_rolled_back() {
    script()
        .ask(A, prepare("s1", "SELECT 1"), 1)
        .query(A, "BEGIN; DEALLOCATE ALL; SELECT 1/0")
        .query(A, "ROLLBACK")
        .ask(A, run("s1"), 1)
        .ask(A, prepare("s1", "SELECT 'new'"), 1)
        .ask(A, run("s1"), 1)
        .run();
}

#[test]
fn one_that_fails_forgets_nothing() {
    script()
        .ask(A, prepare("s1", "SELECT 1"), 1)
        .query(A, "BEGIN; SELECT 1/0")
        .query(A, "DEALLOCATE ALL")
        .query(A, "DISCARD ALL")
        .query(A, "ROLLBACK")
        .ask(A, run("s1"), 1)
        .ask(
            A,
            [unnamed("SELECT 1/0"), unnamed("DEALLOCATE ALL"), sync()].concat(),
            1,
        )
        .ask(A, run("s1"), 1)
        .run();
}

#[test]
fn discard_of_less_than_all_forgets_no_name() {
    script()
        .ask(A, prepare("s1", "SELECT 1"), 1)
        .query(A, "DISCARD PLANS")
        .ask(A, run("s1"), 1)
        .query(A, "DISCARD SEQUENCES")
        .ask(A, run("s1"), 1)
        .run();
}

#[test]
fn discard_temp_forgets_no_name() {
    script()
        // What speaks of temporary tables may keep its server connection.
        .pools(&[2, 3])
        .ask(A, prepare("s1", "SELECT 1"), 1)
        .query(A, "DISCARD TEMP")
        .ask(A, run("s1"), 1)
        .run();
}

#[test]
fn all_forgotten_within_a_function_is_forgotten_for_its_client_alone() {
    script()
        .ask(A, prepare("s1", "SELECT 'of a'"), 1)
        .ask(B, prepare("s1", "SELECT 'of b'"), 1)
        .ask(A, run("s1"), 1)
        .ask(B, run("s1"), 1)
        .query(A, "DO $$ BEGIN EXECUTE 'DEALLOCATE ALL'; END $$")
        .ask(B, run("s1"), 1)
        .ask(B, run("s1"), 1)
        .ask(A, run("s1"), 1)
        .ask(A, prepare("s1", "SELECT 'new'"), 1)
        .ask(A, run("s1"), 1)
        .ask(B, run("s1"), 1)
        .pools(&[2, 3])
        .run();
}
