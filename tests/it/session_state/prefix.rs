//! The first message after a change of server connection: the settings are
//! there when it runs, whatever kind it is of, and if they cannot be had it
//! does not run.

use super::{following, prepare, run};
use crate::support::differential::{A, B, Script};
use crate::support::frames::{
    bind, close, copy_data, copy_done, describe, execute, extended, flush, function_call, parse,
    query, sync, unnamed,
};
use crate::support::pooler::{Plan, Pooler};
use crate::support::postgres::{Cluster, Database};
use crate::support::raw::Connection;

/// A has settings that no other client has, and roles enough.
fn with_settings() -> Script {
    following()
        .setup("CREATE TABLE t (x int)")
        .setup("CREATE FUNCTION noisy() RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE 'in %', current_setting('TimeZone'); RETURN current_setting('work_mem'); END $$")
        .query(A, "SET work_mem = '9MB'; SET TIME ZONE 'Asia/Tokyo'; SET datestyle = 'German'")
}

#[test]
fn statements_that_refuse_a_transaction_block_run() {
    let mut case = with_settings();
    for sql in [
        "VACUUM t",
        "CREATE DATABASE {database}_second",
        "DROP DATABASE {database}_second",
        "CREATE INDEX CONCURRENTLY i ON t (x)",
        "DROP INDEX CONCURRENTLY i",
        "REINDEX TABLE CONCURRENTLY t",
        "DISCARD PLANS",
        "BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY DEFERRABLE; SHOW transaction_isolation; COMMIT",
        "BEGIN; SET TRANSACTION ISOLATION LEVEL SERIALIZABLE; SHOW transaction_isolation; COMMIT",
    ] {
        case = case.call(A, sql).query(B, "SELECT 'other'");
    }
    case.query(A, "BEGIN ISOLATION LEVEL SERIALIZABLE")
        .query(A, "SHOW transaction_isolation")
        .query(A, "COMMIT")
        .query(A, "START TRANSACTION READ ONLY")
        .query(A, "SHOW transaction_read_only")
        .query(A, "ROLLBACK")
        .ask(A, extended("VACUUM t"), 1)
        .ask(A, extended("CREATE INDEX CONCURRENTLY i ON t (x)"), 1)
        .ask(A, extended("BEGIN ISOLATION LEVEL SERIALIZABLE"), 1)
        .ask(A, extended("SHOW transaction_isolation"), 1)
        .ask(A, extended("ROLLBACK"), 1)
        .query(A, "SHOW work_mem")
        .run();
}

#[test]
fn warnings_and_errors_are_those_of_no_transaction() {
    let mut case = with_settings();
    for sql in [
        "COMMIT",
        "ROLLBACK",
        "SAVEPOINT s",
        "SET LOCAL work_mem = '5MB'",
        "SET TRANSACTION READ ONLY",
        "SET CONSTRAINTS ALL DEFERRED",
        "LOCK TABLE t",
        "DECLARE c CURSOR FOR SELECT 1",
        "COMMIT AND CHAIN",
        "PREPARE TRANSACTION 'never'",
        "SELECT 1/0",
        "SELEC",
        "",
        "SELECT noisy()",
    ] {
        case = case
            .query(A, sql)
            .ask(A, extended(sql), 1)
            .query(A, "SHOW work_mem");
    }
    case.run();
}

#[test]
fn an_error_at_first_leaves_the_settings_as_they_were() {
    with_settings()
        .query(A, "SELECT 1/0")
        .query(A, "SHOW work_mem; SHOW timezone")
        .ask(
            A,
            [unnamed("SELECT 1/0"), unnamed("SELECT 'skipped'"), sync()].concat(),
            1,
        )
        .query(A, "SHOW work_mem; SHOW timezone")
        .ask(
            A,
            [parse("", "SELEC"), sync(), bind("", "nope", &[]), sync()].concat(),
            2,
        )
        .query(A, "SHOW work_mem; SHOW timezone")
        .query(A, "BEGIN; SELECT 1/0")
        .query(A, "ROLLBACK")
        .query(A, "SHOW work_mem; SHOW timezone")
        .query(A, "INSERT INTO t VALUES (1); SELECT 1/0")
        .query(A, "SELECT count(*) FROM t")
        .run();
}

#[test]
fn messages_of_every_kind_may_come_first() {
    let day = "SELECT '2026-01-31'::date AS x, current_setting('work_mem')";
    with_settings()
        .ask(A, sync(), 1)
        .ask(A, [parse("", day), describe(b'S', ""), sync()].concat(), 1)
        .ask(A, [bind("", "", &[]), execute("", 0), sync()].concat(), 1)
        .ask(A, prepare("s1", day), 1)
        .ask(A, run("s1"), 1)
        .ask(A, [describe(b'S', "s1"), sync()].concat(), 1)
        .ask(A, [close(b'S', "s1"), sync()].concat(), 1)
        .ask(A, run("s1"), 1)
        .send(A, [unnamed(day), flush()].concat())
        .until(A, b'C')
        .ask(A, [unnamed("SELECT 'later'"), sync()].concat(), 1)
        .send(A, flush())
        .ask(A, extended(day), 1)
        .ask(A, [unnamed(day), query(day)].concat(), 1)
        // 1174 is date(timestamptz).
        .ask(A, function_call(1174, &[b"2026-01-31 23:00+00"]), 1)
        .ask(A, query(";"), 1)
        .query(A, day)
        .run();
}

#[test]
fn copies_may_come_first() {
    with_settings()
        .setup("CREATE TABLE d (x date)")
        .ask(
            A,
            [
                query("COPY d FROM STDIN"),
                copy_data(b"31.01.2026\n"),
                copy_done(),
            ]
            .concat(),
            1,
        )
        .query(A, "COPY d TO STDOUT")
        .query(B, "COPY d TO STDOUT")
        .send(
            A,
            [
                parse("", "COPY d FROM STDIN"),
                bind("", "", &[]),
                execute("", 0),
                sync(),
            ]
            .concat(),
        )
        .until(A, b'G')
        .ask(
            A,
            [copy_data(b"01.02.2026\n"), copy_done(), sync()].concat(),
            1,
        )
        .ask(
            B,
            [
                query("COPY d FROM STDIN"),
                copy_data(b"31.01.2026\n"),
                copy_done(),
            ]
            .concat(),
            1,
        )
        .query(A, "SELECT x FROM d ORDER BY x")
        .query(B, "SELECT x FROM d ORDER BY x")
        .run();
}

#[test]
fn messages_in_pieces_and_many_at_once_may_come_first() {
    let bytes = query("SHOW work_mem");
    let pieces = bytes.iter().map(|byte| vec![*byte]).collect();
    let long = format!(
        "SELECT length('{}'), current_setting('work_mem')",
        "x".repeat(200_000)
    );
    let many: Vec<u8> = (0..200)
        .flat_map(|n| match n % 4 {
            0 => query("SHOW work_mem"),
            1 => extended("SELECT '2026-01-31'::date"),
            2 => query("SELECT 1/0"),
            _ => [unnamed("SELECT 1/0"), unnamed("SELECT 'skipped'"), sync()].concat(),
        })
        .collect();
    with_settings()
        .send_pieces(A, pieces)
        .ready(A, 1)
        .query(B, "SHOW work_mem")
        .query(A, &long)
        .query(B, "SHOW work_mem")
        .ask(A, many, 200)
        .query(B, "SHOW work_mem")
        .ask(A, extended(&long), 1)
        .run();
}

#[test]
fn nothing_of_the_work_behind_it_is_reported() {
    // ParameterStatus, notices and rows are compared frame by frame.
    with_settings()
        .query(A, "SET client_min_messages = debug1")
        .query(A, "SELECT noisy()")
        .query(A, "SET client_min_messages = notice; SET DateStyle = 'SQL'; SET IntervalStyle = 'iso_8601'; SET standard_conforming_strings = off")
        .query(A, "SELECT noisy()")
        .query(B, "SELECT noisy()")
        .query(A, "SELECT pg_get_function_identity_arguments('noisy'::regproc), interval '1 day'")
        .query(A, "SELECT noisy()")
        .query(B, "SELECT noisy()")
        .run();
}

#[test]
fn a_transaction_begins_when_its_client_begins_it() {
    with_settings()
        .query(A, "SELECT now() = statement_timestamp()")
        .ask(A, extended("SELECT now() = statement_timestamp()"), 1)
        .query(A, "SELECT pg_current_xact_id_if_assigned() IS NULL")
        .query(A, "SET default_transaction_read_only = on")
        .query(A, "INSERT INTO t VALUES (1)")
        .query(A, "SET default_transaction_isolation = 'serializable'; SET default_transaction_deferrable = on")
        .query(A, "SHOW transaction_isolation")
        .query(A, "SELECT current_setting('transaction_read_only'), current_setting('transaction_deferrable')")
        .query(B, "INSERT INTO t VALUES (2)")
        .query(A, "RESET ALL")
        .query(A, "INSERT INTO t VALUES (3)")
        .query(B, "SELECT count(*) FROM t")
        .run();
}

/// A pool of one server connection, a client under a role that is then
/// dropped, and a table that this role may write to.
fn under_a_role_that_goes(set: &str) -> (Database<'static>, Pooler, Connection, Connection) {
    let database = Cluster::shared().database();
    let role = format!("{}_r", database.name);
    let mut admin = database.direct();
    admin.rows("CREATE TABLE t AS SELECT generate_series(1, 10) AS x");
    admin.rows(&format!("CREATE ROLE {role}; GRANT ALL ON t TO {role}"));
    let pooler = Plan::before(&database)
        .pool_size(1)
        .setting("query_wait_timeout", "\"5s\"")
        .start();
    let (mut a, mut b) = (pooler.client(), pooler.client());
    a.rows(&set.replace("{role}", &role));
    b.rows("SELECT 'the server connection is now of b'");
    admin.rows(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
    (database, pooler, a, b)
}

/// What A sends is answered, or its connection ends, and no row is touched.
fn is_closed_to(bytes: &[u8], answers: usize) {
    for set in ["SET ROLE {role}", "SET SESSION AUTHORIZATION {role}"] {
        let (database, pooler, mut a, mut b) = under_a_role_that_goes(set);
        a.send(bytes);
        let answer = a.until_ready(answers, "an answer without the role");
        assert!(
            answer.iter().any(|frame| frame.tag == b'E'),
            "nothing is said of the role that is gone: {answer:?}"
        );
        let count = "SELECT count(*) FROM t";
        assert_eq!(database.direct().value(count), "10", "after {set}");
        assert_eq!(b.value(count), "10");
        assert_eq!(b.value("SELECT current_user"), "postgres");
        if !a.ended() {
            a.query("RESET ROLE");
            a.query("RESET SESSION AUTHORIZATION");
        }
        assert_eq!(pooler.client().value("SELECT current_user"), "postgres");
    }
}

#[test]
fn a_query_does_not_run_as_somebody_else_when_its_role_is_gone() {
    is_closed_to(&query("DELETE FROM t"), 1);
}

#[test]
fn a_batch_does_not_run_as_somebody_else_when_its_role_is_gone() {
    is_closed_to(&extended("DELETE FROM t"), 1);
}

#[test]
fn nothing_sent_behind_a_rollback_runs_as_somebody_else_when_its_role_is_gone() {
    let ahead = [
        query("DELETE FROM t WHERE x = 1"),
        query("ROLLBACK"),
        query("DELETE FROM t WHERE x = 2"),
        extended("ROLLBACK"),
        extended("DELETE FROM t WHERE x = 3"),
        query("COMMIT; DELETE FROM t WHERE x = 4"),
    ]
    .concat();
    is_closed_to(&ahead, 6);
}

#[test]
fn a_copy_does_not_run_as_somebody_else_when_its_role_is_gone() {
    let copy = [query("COPY t FROM STDIN"), copy_data(b"11\n"), copy_done()].concat();
    is_closed_to(&copy, 1);
}

#[test]
fn a_transaction_does_not_run_as_somebody_else_when_its_role_is_gone() {
    let ahead = [
        query("BEGIN"),
        query("DELETE FROM t WHERE x = 1"),
        query("COMMIT"),
    ]
    .concat();
    is_closed_to(&ahead, 3);
}
