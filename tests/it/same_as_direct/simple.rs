//! The simple query protocol.

use crate::support::differential::{A, B, script};
use crate::support::frames::{function_call, query};

#[test]
fn statements_of_every_kind() {
    let mut case = script().setup("CREATE TABLE t (id int PRIMARY KEY, v text)");
    for sql in [
        "SELECT 1 AS one, NULL AS nothing, 'text' AS txt, 1.5::float8 AS f",
        "INSERT INTO t VALUES (1, 'a'), (2, NULL)",
        "UPDATE t SET v = 'b' WHERE id = 1",
        "SELECT * FROM t ORDER BY id",
        "DELETE FROM t WHERE id = 2 RETURNING *",
        "EXPLAIN (COSTS OFF) SELECT 1",
        "SHOW server_encoding",
        "CREATE TABLE u AS SELECT generate_series(1, 3) AS n",
        "TRUNCATE t",
        "DROP TABLE u",
        "VALUES (1), (2)",
        "TABLE t",
        "DO $$ BEGIN PERFORM 1; END $$",
        "VACUUM t",
        "CREATE DATABASE another_one_of_this_case",
        "DROP DATABASE another_one_of_this_case",
        "SELECT FROM generate_series(1, 2)",
    ] {
        case = case.query(A, sql);
    }
    case.run();
}

#[test]
fn several_statements_in_one_query() {
    script()
        .query(A, "SELECT 1; SELECT 2; SELECT 'three'")
        .query(B, "SELECT 1; SELECT 1/0; SELECT 3")
        .query(
            A,
            "CREATE TABLE t (x int); INSERT INTO t VALUES (1); SELECT * FROM t; DROP TABLE t",
        )
        .query(A, "SELECT 1;;; ; SELECT 2;")
        .run();
}

#[test]
fn empty_queries() {
    script()
        .query(A, "")
        .query(A, ";")
        .query(A, "  -- nothing but a comment")
        .query(B, "/* a */ ; /* b */")
        .run();
}

#[test]
fn an_empty_query_in_a_failed_transaction() {
    script()
        .query(A, "BEGIN")
        .query(A, "bogus")
        .query(A, ";")
        .query(A, "")
        .query(A, "ROLLBACK")
        .run();
}

#[test]
fn errors_of_many_kinds() {
    let mut case = script().setup("CREATE TABLE t (id int PRIMARY KEY CHECK (id > 0))");
    for sql in [
        "SELEC 1",
        "SELECT 1/0",
        "SELECT * FROM nowhere",
        "SELECT nothing FROM t",
        "INSERT INTO t VALUES (-1)",
        "INSERT INTO t VALUES (1), (1)",
        "SELECT 'abc'::int",
        "SELECT 'unfinished",
        "DO $$ BEGIN RAISE EXCEPTION 'own %', 1 USING ERRCODE = 'ZZ001', DETAIL = 'd', HINT = 'h'; END $$",
        "SELECT 1",
    ] {
        case = case.query(A, sql);
    }
    case.run();
}

#[test]
fn queries_sent_ahead_are_answered_in_order() {
    let ahead = [
        query("SELECT 1"),
        query("SELECT 1/0"),
        query(""),
        query("SELECT 2; SELECT 3"),
    ]
    .concat();
    script()
        .ask(A, &ahead, 4)
        .ask(B, &ahead, 4)
        .query(A, "SELECT 'after'")
        .run();
}

#[test]
fn a_transaction_sent_ahead_in_one_write() {
    let ahead = [
        query("BEGIN"),
        query("SELECT 1"),
        query("COMMIT"),
        query("SELECT 2"),
    ]
    .concat();
    script().ask(A, &ahead, 4).query(A, "SELECT 'after'").run();
}

#[test]
fn notices_come_in_their_order() {
    let noisy = "DO $$ BEGIN RAISE NOTICE 'first'; RAISE WARNING 'second'; END $$";
    script()
        .query(A, &format!("SELECT 1; {noisy}; SELECT 2; {noisy}"))
        .query(A, "DROP TABLE IF EXISTS not_there")
        .query(B, "ROLLBACK")
        .query(B, "COMMIT")
        .query(B, "BEGIN; BEGIN; COMMIT")
        .run();
}

#[test]
fn function_calls() {
    // 1598 is random(), 870 lower(text), 154 int4div.
    script()
        .ask(A, function_call(870, &[b"LOWER ME"]), 1)
        .ask(A, function_call(154, &[b"7", b"2"]), 1)
        .ask(A, function_call(154, &[b"7", b"0"]), 1)
        .ask(A, function_call(4_000_000, &[]), 1)
        .ask(
            B,
            [
                query("BEGIN"),
                function_call(870, &[b"IN A TRANSACTION"]),
                query("COMMIT"),
            ]
            .concat(),
            3,
        )
        .ask(A, function_call(870, &[b"AFTER"]), 1)
        .run();
}

#[test]
fn two_clients_take_turns() {
    let mut case = script().setup("CREATE TABLE t (x text)");
    for round in 0..5 {
        case = case.query(A, &format!("INSERT INTO t VALUES ('a{round}')"));
        case = case.query(B, "SELECT * FROM t ORDER BY x");
    }
    case.run();
}

#[test]
fn bytes_that_are_not_utf8_pass_unchanged() {
    let mut latin1 = query("SELECT 'x'");
    let place = latin1.iter().position(|b| *b == b'x').unwrap();
    latin1[place] = 0xe9;
    script()
        .connect(A, &[("client_encoding", "LATIN1")])
        .ask(A, &latin1, 1)
        .ask(B, &latin1, 1)
        .run();
}
