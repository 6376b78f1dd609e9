//! Several batches in one write, with and without errors in their midst.

use crate::support::differential::{A, B, script};
use crate::support::frames::{bind, execute, extended, parse, query, sync, unnamed};

#[test]
fn two_syncs_in_one_write() {
    script()
        .ask(A, [extended("SELECT 1"), extended("SELECT 2")].concat(), 2)
        .query(B, "SELECT 'other'")
        .run();
}

#[test]
fn syncs_alone_are_each_answered() {
    script()
        .ask(A, sync().repeat(3), 3)
        .ask(A, [sync(), extended("SELECT 1"), sync()].concat(), 3)
        .run();
}

#[test]
fn a_hundred_batches_with_a_failure_amid() {
    let batch = |n: i32| extended(&format!("SELECT {n} / {}", i32::from(n != 50)));
    let all: Vec<u8> = (1..=100).flat_map(batch).collect();
    script()
        .ask(A, &all, 100)
        .ask(B, &all, 100)
        .ask(A, extended("SELECT 'after'"), 1)
        .run();
}

#[test]
fn an_error_skips_to_the_next_sync_only() {
    let first = [
        unnamed("SELECT 1"),
        unnamed("SELECT 1/0"),
        unnamed("SELECT 'skipped'"),
        sync(),
    ]
    .concat();
    script()
        .ask(A, [first.clone(), extended("SELECT 'after'")].concat(), 2)
        .ask(B, [first, query("SELECT 'simple after'")].concat(), 2)
        .run();
}

#[test]
fn an_error_rolls_back_the_batch_before_it() {
    let insert = |n: i32| unnamed(&format!("INSERT INTO t VALUES ({n})"));
    script()
        .setup("CREATE TABLE t (x int PRIMARY KEY)")
        .ask(
            A,
            [insert(1), insert(2), insert(1), insert(3), sync()].concat(),
            1,
        )
        .ask(
            A,
            [insert(4), sync(), insert(4), sync(), insert(5), sync()].concat(),
            3,
        )
        .query(B, "SELECT * FROM t ORDER BY x")
        .run();
}

#[test]
fn a_transaction_fails_across_pipelined_syncs() {
    let all = [
        extended("BEGIN"),
        extended("INSERT INTO t VALUES (1)"),
        extended("SELECT 1/0"),
        extended("SELECT 'refused'"),
        extended("COMMIT"),
        extended("SELECT count(*) FROM t"),
    ];
    script()
        .setup("CREATE TABLE t (x int)")
        .ask(A, all.concat(), 6)
        .query(B, "SELECT count(*) FROM t")
        .run();
}

#[test]
fn simple_and_extended_mix_in_one_write() {
    let all = [
        query("SELECT 1"),
        extended("SELECT 2"),
        query("BEGIN"),
        extended("SELECT 3"),
        query("SELECT 1/0"),
        extended("SELECT 4"),
        query("ROLLBACK"),
        extended("SELECT 5"),
    ];
    script()
        .ask(A, all.concat(), 8)
        .ask(B, all.concat(), 8)
        .run();
}

#[test]
fn one_statement_is_bound_many_times() {
    let mut batch = parse("", "SELECT $1::int * 2");
    for n in 0..200 {
        batch.extend(bind("", "", &[Some(n.to_string().as_bytes())]));
        batch.extend(execute("", 0));
    }
    batch.extend(sync());
    script().ask(A, &batch, 1).ask(B, &batch, 1).run();
}

#[test]
fn a_long_pipeline_with_long_answers_does_not_block() {
    let one = extended("SELECT repeat('x', 20000)");
    script()
        .send(A, one.repeat(300))
        .ready(A, 300)
        .query(B, "SELECT 1")
        .run();
}
