//! Batches that fail, and in the same write the next ones: nothing that was
//! taken for granted in a skipped batch may be believed in the next.

use super::{go, prepare, run};
use crate::support::differential::{A, B, script};
use crate::support::frames::{close, parse, query, sync};

/// A batch that fails at once, and in the same write the next.
fn failing_then(skipped: &[u8], next: &[u8]) -> Vec<u8> {
    [&go("nope"), skipped, &sync(), next, &sync()].concat()
}

#[test]
fn a_statement_made_ready_in_a_skipped_batch_is_there_in_the_next() {
    let both = failing_then(&go("s1"), &go("s1"));
    script()
        .ask(A, prepare("s1", "SELECT 1"), 1)
        .query(B, "SELECT 'other'")
        .ask(A, &both, 2)
        .ask(A, &both, 2)
        .ask(A, &both, 2)
        .run();
}

#[test]
fn the_unnamed_statement_is_its_clients_own_behind_a_skipped_batch() {
    let both = failing_then(&go(""), &go(""));
    script()
        .ask(A, prepare("", "SELECT 'of a'"), 1)
        .ask(B, prepare("", "SELECT 'of b'"), 1)
        .ask(A, &both, 2)
        .ask(B, &both, 2)
        .ask(A, &both, 2)
        .run();
}

#[test]
fn the_unnamed_statement_is_its_clients_own_behind_a_skipped_query() {
    let both = failing_then(&query("SELECT 1"), &go(""));
    script()
        .ask(A, prepare("", "SELECT 'secret of a'"), 1)
        .ask(B, &both, 2)
        .ask(B, prepare("", "SELECT 'of b'"), 1)
        .ask(A, run(""), 1)
        .ask(B, &both, 2)
        .ask(A, &both, 2)
        .run();
}

#[test]
fn the_unnamed_statement_is_its_clients_own_behind_a_skipped_parse() {
    let both = failing_then(&parse("", "SELECT 'never'"), &go(""));
    script()
        .ask(A, prepare("", "SELECT 'secret of a'"), 1)
        .ask(B, &both, 2)
        .ask(B, prepare("", "SELECT 'of b'"), 1)
        .ask(A, run(""), 1)
        .ask(B, &both, 2)
        .ask(A, &both, 2)
        .run();
}

#[test]
fn a_name_behind_a_skipped_parse_or_close_in_one_write_is_as_it_was() {
    let closing = failing_then(&close(b'S', "s1"), &go("s1"));
    let parsing = failing_then(&parse("s2", "SELECT 2"), &go("s2"));
    let twice = failing_then(
        &parse("s2", "SELECT 2"),
        &[parse("s2", "SELECT 3"), go("s2")].concat(),
    );
    script()
        .ask(A, prepare("s1", "SELECT 1"), 1)
        .ask(B, prepare("s1", "SELECT 1"), 1)
        .ask(A, closing, 2)
        .ask(A, parsing, 2)
        .ask(A, twice, 2)
        .ask(A, run("s1"), 1)
        .ask(A, run("s2"), 1)
        .run();
}
