//! Transaction blocks that span messages, with other clients in between.

use crate::support::differential::{A, B, C, script};
use crate::support::frames::{extended, query};

#[test]
fn a_transaction_sees_its_own_writes_and_others_do_not() {
    script()
        .setup("CREATE TABLE t (x int)")
        .pools(&[2, 3])
        .query(A, "BEGIN")
        .query(A, "INSERT INTO t VALUES (1)")
        .query(B, "SELECT count(*) FROM t")
        .query(A, "SELECT count(*) FROM t")
        .query(B, "INSERT INTO t VALUES (2)")
        .query(A, "COMMIT")
        .query(B, "SELECT * FROM t ORDER BY x")
        .query(C, "SELECT * FROM t ORDER BY x")
        .run();
}

#[test]
fn two_open_transactions_at_once() {
    script()
        .setup("CREATE TABLE t (who text)")
        .pools(&[2, 3])
        .query(A, "BEGIN")
        .query(B, "BEGIN ISOLATION LEVEL REPEATABLE READ")
        .query(A, "INSERT INTO t VALUES ('a')")
        .query(B, "SELECT count(*) FROM t")
        .query(A, "SHOW transaction_isolation")
        .query(B, "SHOW transaction_isolation")
        .query(A, "COMMIT")
        .query(B, "SELECT count(*) FROM t")
        .query(B, "ROLLBACK")
        .query(B, "SELECT count(*) FROM t")
        .run();
}

#[test]
fn savepoints() {
    script()
        .setup("CREATE TABLE t (x int)")
        .query(A, "BEGIN")
        .query(A, "INSERT INTO t VALUES (1)")
        .query(A, "SAVEPOINT one")
        .query(A, "INSERT INTO t VALUES (2)")
        .query(A, "SELECT 1/0")
        .query(A, "SELECT 'refused'")
        .query(A, "ROLLBACK TO one")
        .query(A, "SAVEPOINT two")
        .query(A, "RELEASE one")
        .query(A, "ROLLBACK TO two")
        .query(A, "ROLLBACK TO one")
        .query(A, "COMMIT")
        .query(B, "SELECT * FROM t")
        .query(B, "SAVEPOINT outside")
        .run();
}

#[test]
fn a_failed_transaction_answers_commit_with_rollback() {
    script()
        .setup("CREATE TABLE t (x int)")
        .query(A, "BEGIN")
        .query(A, "INSERT INTO t VALUES (1)")
        .query(A, "SELECT 1/0")
        .query(A, "SELECT 1")
        .ask(A, extended("SELECT 1"), 1)
        .query(A, "COMMIT")
        .query(B, "SELECT count(*) FROM t")
        .query(A, "BEGIN; INSERT INTO t VALUES (2); COMMIT")
        .query(B, "SELECT count(*) FROM t")
        .run();
}

#[test]
fn a_syntax_error_as_the_first_statement_fails_the_transaction() {
    script()
        .query(A, "BEGIN")
        .query(A, "syntax error")
        .query(A, "ROLLBACK")
        .query(B, "SELECT 1")
        .run();
}

#[test]
fn commit_and_chain_keeps_the_transaction_open() {
    script()
        .query(A, "BEGIN ISOLATION LEVEL SERIALIZABLE")
        .query(A, "COMMIT AND CHAIN")
        .query(A, "SHOW transaction_isolation")
        .query(A, "ROLLBACK AND CHAIN")
        .query(A, "SHOW transaction_isolation")
        .query(A, "ROLLBACK")
        .query(B, "COMMIT AND CHAIN")
        .run();
}

#[test]
fn a_query_may_leave_a_transaction_open() {
    script()
        .setup("CREATE TABLE t (x int)")
        .query(A, "SELECT 1; BEGIN; INSERT INTO t VALUES (1)")
        .query(A, "SELECT count(*) FROM t")
        .query(A, "ROLLBACK; BEGIN; INSERT INTO t VALUES (2)")
        .query(A, "COMMIT; SELECT count(*) FROM t")
        .query(B, "SELECT count(*) FROM t")
        .run();
}

#[test]
fn the_implicit_transaction_of_a_query_rolls_back_whole() {
    script()
        .setup("CREATE TABLE t (x int)")
        .query(
            A,
            "INSERT INTO t VALUES (1); SELECT 1/0; INSERT INTO t VALUES (2)",
        )
        .query(A, "INSERT INTO t VALUES (3); COMMIT; SELECT 1/0")
        .query(B, "SELECT * FROM t")
        .run();
}

#[test]
fn two_phase_commit() {
    script()
        .setup("CREATE TABLE t (x int)")
        .query(A, "BEGIN")
        .query(A, "INSERT INTO t VALUES (1)")
        .query(A, "PREPARE TRANSACTION 'same as direct 1'")
        .query(B, "SELECT count(*) FROM t")
        .query(B, "COMMIT PREPARED 'same as direct 1'")
        .query(A, "SELECT count(*) FROM t")
        .query(
            A,
            "BEGIN; INSERT INTO t VALUES (2); PREPARE TRANSACTION 'same as direct 2'",
        )
        .query(A, "ROLLBACK PREPARED 'same as direct 2'")
        .query(A, "ROLLBACK PREPARED 'same as direct 2'")
        .query(A, "SELECT count(*) FROM t")
        .run();
}

#[test]
fn a_transaction_of_extended_batches_stays_on_its_server_connection() {
    script()
        .setup("CREATE TABLE t (x int)")
        .pools(&[2, 3])
        .ask(A, extended("BEGIN"), 1)
        .ask(B, extended("INSERT INTO t VALUES (10)"), 1)
        .ask(A, extended("INSERT INTO t VALUES (1)"), 1)
        .ask(B, extended("SELECT * FROM t ORDER BY x"), 1)
        .ask(A, extended("SELECT * FROM t ORDER BY x"), 1)
        .ask(A, extended("COMMIT"), 1)
        .ask(B, extended("SELECT * FROM t ORDER BY x"), 1)
        .run();
}

#[test]
fn cursors_live_as_long_as_their_transaction() {
    script()
        .query(A, "BEGIN")
        .query(A, "DECLARE c CURSOR FOR SELECT generate_series(1, 5)")
        .query(A, "FETCH 2 FROM c")
        .query(A, "MOVE 1 IN c")
        .query(A, "FETCH ALL FROM c")
        .query(A, "COMMIT")
        .query(A, "FETCH 1 FROM c")
        .query(B, "DECLARE outside CURSOR FOR SELECT 1")
        .run();
}

#[test]
fn settings_local_to_a_transaction_end_with_it() {
    script()
        .query(
            A,
            "BEGIN; SET LOCAL work_mem = '12MB'; SHOW work_mem; COMMIT",
        )
        .query(A, "SHOW work_mem")
        .query(B, "SHOW work_mem")
        .run();
}

#[test]
fn procedures_may_commit_within_a_call() {
    script()
        .setup("CREATE TABLE t (x int)")
        .setup(
            "CREATE PROCEDURE p() LANGUAGE plpgsql AS \
             $$ BEGIN INSERT INTO t VALUES (1); COMMIT; INSERT INTO t VALUES (2); ROLLBACK; END $$",
        )
        .query(A, "CALL p()")
        .query(B, "SELECT * FROM t")
        .query(A, "BEGIN; CALL p()")
        .query(A, "ROLLBACK")
        .query(B, "SELECT count(*) FROM t")
        .run();
}

#[test]
fn a_lock_waits_for_the_other_clients_commit() {
    script()
        .setup("CREATE TABLE t (x int)")
        .setup("INSERT INTO t VALUES (1)")
        .pools(&[2])
        .query(A, "BEGIN")
        .query(A, "UPDATE t SET x = 2")
        .send(B, query("UPDATE t SET x = x + 10"))
        .wait("SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()")
        .query(A, "COMMIT")
        .ready(B, 1)
        .query(B, "SELECT * FROM t")
        .run();
}
