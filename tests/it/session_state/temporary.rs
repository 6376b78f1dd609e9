//! Temporary objects keep their client on its server connection while there are
//! some, and no longer; nobody else ever meets them.

use super::{following, keeping};
use crate::support::differential::{A, B, C};
use crate::support::frames::{copy_data, copy_done, extended, query, sync, unnamed};

#[test]
fn a_temporary_table_lives_until_it_is_dropped() {
    keeping(1)
        .query(A, "CREATE TEMP TABLE mine (x int)")
        .query(B, "SELECT * FROM mine")
        .query(A, "INSERT INTO mine VALUES (1), (2)")
        .query(C, "SELECT 'served'")
        .query(A, "SELECT * FROM mine ORDER BY x")
        .ask(A, extended("SELECT count(*) FROM mine"), 1)
        .query(A, "DROP TABLE mine")
        .query(A, "SELECT * FROM mine")
        .query(B, "SELECT 'served'")
        .run();
}

/// Makes something temporary, uses it, ends it; then all three clients at once
/// hold a server connection, of which a kept one would lack.
fn is_kept_until(make: &[&str], usage: &str, end: &str) {
    let mut case = keeping(1)
        .pools(&[3])
        .setup("CREATE TABLE source AS SELECT generate_series(1, 3) AS x");
    for sql in make {
        case = case.query(A, sql);
    }
    // Whether there is a schema of that name depends on whether this server
    // connection has ever had temporary objects.
    let other = if usage.contains("pg_temp.") {
        "SELECT 'nothing'"
    } else {
        usage
    };
    case.query(B, other)
        .query(A, usage)
        .ask(A, extended(usage), 1)
        .query(C, "SELECT 'served'")
        .query(A, end)
        .query(A, other)
        .query(
            A,
            "SELECT count(*) FROM pg_class WHERE relnamespace = pg_my_temp_schema()",
        )
        .query(B, "BEGIN")
        .query(C, "BEGIN")
        .query(A, "BEGIN")
        .query(A, "COMMIT")
        .query(B, "COMMIT")
        .query(C, "COMMIT")
        .run();
}

#[test]
fn temporary_objects_of_every_kind_are_kept() {
    for (make, usage, end) in [
        (
            "CREATE TEMPORARY TABLE o AS TABLE source",
            "SELECT count(*) FROM o",
            "DROP TABLE o",
        ),
        (
            "SELECT x INTO TEMP o FROM source",
            "SELECT count(*) FROM o",
            "DISCARD TEMP",
        ),
        (
            "SELECT x INTO LOCAL TEMPORARY TABLE o FROM source",
            "SELECT count(*) FROM o",
            "DROP TABLE IF EXISTS o",
        ),
        (
            "CREATE TABLE pg_temp.o (x int)",
            "SELECT count(*) FROM o",
            "DROP TABLE pg_temp.o",
        ),
        (
            "CREATE TABLE \"pg_temp\" . o (x int)",
            "SELECT count(*) FROM pg_temp.o",
            "DROP TABLE o",
        ),
        (
            "CREATE TEMP VIEW o AS TABLE source",
            "SELECT count(*) FROM o",
            "DROP VIEW o",
        ),
        (
            "CREATE TEMP SEQUENCE o",
            "SELECT nextval('o')",
            "DROP SEQUENCE o",
        ),
        (
            "CREATE TYPE pg_temp.o AS ENUM ('a')",
            "SELECT 'a'::pg_temp.o",
            "DROP TYPE pg_temp.o",
        ),
        (
            "CREATE FUNCTION pg_temp.o() RETURNS int LANGUAGE sql AS 'SELECT 1'",
            "SELECT pg_temp.o()",
            "DROP FUNCTION pg_temp.o()",
        ),
        (
            "CREATE TEMP TABLE o (x int); INSERT INTO o VALUES (1)",
            "SELECT count(*) FROM o",
            "DISCARD ALL",
        ),
        (
            "BEGIN; CREATE TEMP TABLE o (x int) ON COMMIT DELETE ROWS; INSERT INTO o VALUES (1); COMMIT",
            "SELECT count(*) FROM o",
            "DROP TABLE o",
        ),
        (
            "BEGIN; CREATE TEMP TABLE o (x int) ON COMMIT PRESERVE ROWS; COMMIT",
            "SELECT count(*) FROM o",
            "BEGIN; DROP TABLE o; COMMIT",
        ),
        (
            "SET search_path = pg_temp, public; CREATE TABLE o (x int)",
            "SELECT count(*) FROM o",
            "DROP TABLE o",
        ),
        (
            "CREATE /* */ GLOBAL\nTEMP TABLE IF NOT EXISTS o ()",
            "SELECT count(*) FROM o",
            "DROP TABLE o",
        ),
    ] {
        is_kept_until(&[make], usage, end);
    }
}

#[test]
fn temporary_objects_that_the_text_hides_are_kept() {
    let hidden = |body: &str| format!("DO $$ BEGIN {body}; END $$");
    for make in [
        hidden("CREATE TEMP TABLE o (x int)"),
        hidden("EXECUTE 'CREATE TE' || 'MP TABLE o (x int)'"),
        "SELECT make()".into(),
        "INSERT INTO watched VALUES (1)".into(),
        "CALL make_and_commit()".into(),
    ] {
        let setup = [
            "CREATE FUNCTION make() RETURNS int LANGUAGE plpgsql AS $$ BEGIN CREATE TEMP TABLE o (x int); RETURN 1; END $$",
            "CREATE TABLE watched (x int)",
            "CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM make(); RETURN NEW; END $$",
            "CREATE TRIGGER tell BEFORE INSERT ON watched FOR EACH ROW EXECUTE FUNCTION tell()",
            "CREATE PROCEDURE make_and_commit() LANGUAGE plpgsql AS $$ BEGIN PERFORM make(); COMMIT; PERFORM 1; END $$",
        ];
        let case = keeping(1).query(A, &make);
        setup
            .iter()
            .fold(case, |case, sql| case.setup(sql))
            .query(A, "INSERT INTO o VALUES (1)")
            .query(B, "SELECT * FROM o")
            .query(A, "SELECT * FROM o")
            .query(C, "SELECT 'served'")
            .query(A, "DO $$ BEGIN EXECUTE 'DR' || 'OP TABLE o'; END $$")
            .query(A, "SELECT * FROM o")
            .query(B, "SELECT 'served'")
            .run();
    }
}

#[test]
fn one_name_is_two_tables_for_two_clients() {
    keeping(2)
        .query(A, "CREATE TEMP TABLE mine AS SELECT 'of a' AS x")
        .query(B, "CREATE TEMP TABLE mine AS SELECT 'of b' AS y, 2 AS z")
        .query(A, "SELECT * FROM mine")
        .query(B, "SELECT * FROM mine")
        .query(C, "SELECT * FROM mine")
        .query(A, "DROP TABLE mine")
        .query(B, "SELECT * FROM mine")
        .query(A, "SELECT * FROM mine")
        .leave(B)
        .query(A, "SELECT * FROM mine")
        .query(C, "SELECT * FROM mine")
        .run();
}

#[test]
fn a_temporary_table_hides_the_real_one_for_its_client_alone() {
    keeping(1)
        .setup("CREATE TABLE t (x text); INSERT INTO t VALUES ('real')")
        .query(A, "CREATE TEMP TABLE t (x text)")
        .query(A, "INSERT INTO t VALUES ('temporary')")
        .query(B, "SELECT x FROM t")
        .query(C, "SELECT x FROM t")
        .query(B, "INSERT INTO t VALUES ('real too')")
        .query(A, "SELECT x FROM t")
        .query(A, "DROP TABLE t")
        .query(A, "SELECT x FROM t ORDER BY x")
        .query(C, "SELECT x FROM t ORDER BY x")
        .run();
}

#[test]
fn a_view_over_a_temporary_table_is_temporary() {
    keeping(1)
        .query(A, "CREATE TEMP TABLE mine (x int)")
        .query(A, "CREATE VIEW v AS SELECT x + 1 AS y FROM mine")
        .query(B, "SELECT * FROM v")
        .query(A, "INSERT INTO mine VALUES (1)")
        .query(A, "SELECT * FROM v")
        .query(A, "DROP TABLE mine")
        .query(A, "SELECT * FROM v")
        .query(A, "DROP VIEW v")
        .query(A, "SELECT * FROM mine")
        .query(A, "DROP TABLE mine")
        .query(C, "SELECT 'served'")
        .run();
}

#[test]
fn a_table_that_is_dropped_on_commit_keeps_nothing() {
    following()
        .query(A, "BEGIN; CREATE TEMP TABLE mine (x int) ON COMMIT DROP")
        .query(A, "INSERT INTO mine VALUES (1)")
        .query(A, "SELECT * FROM mine")
        .query(A, "COMMIT")
        .query(A, "SELECT * FROM mine")
        .query(B, "SELECT 'served'")
        .query(
            A,
            "CREATE TEMP TABLE mine (x int) ON COMMIT DROP; SELECT count(*) FROM mine",
        )
        .query(B, "SELECT 'served'")
        .ask(
            A,
            [
                unnamed("BEGIN"),
                unnamed("CREATE TEMP TABLE mine ON COMMIT DROP AS SELECT 1 AS x"),
                unnamed("SELECT * FROM mine"),
                unnamed("COMMIT"),
                sync(),
            ]
            .concat(),
            1,
        )
        .query(C, "SELECT 'served'")
        .query(
            A,
            "BEGIN; CREATE TEMP TABLE mine (x int); DROP TABLE mine; COMMIT",
        )
        .query(B, "SELECT 'served'")
        .run();
}

#[test]
fn a_dropped_table_that_is_rolled_back_is_kept() {
    keeping(1)
        .query(A, "CREATE TEMP TABLE mine AS SELECT 1 AS x")
        .query(A, "BEGIN; DROP TABLE mine")
        .query(A, "SELECT * FROM mine")
        .query(A, "ROLLBACK")
        .query(B, "SELECT * FROM mine")
        .query(A, "SELECT * FROM mine")
        .query(
            A,
            "BEGIN; SAVEPOINT s; DROP TABLE mine; ROLLBACK TO s; COMMIT",
        )
        .query(C, "SELECT 'served'")
        .query(A, "SELECT * FROM mine")
        .query(A, "DROP TABLE mine; SELECT 1/0")
        .query(B, "SELECT 'served'")
        .query(A, "SELECT * FROM mine")
        .query(A, "DROP TABLE mine")
        .run();
}

#[test]
fn a_kept_connection_comes_back_with_the_drop() {
    // With one connection, everybody waits for whoever keeps it.
    let whole = [
        query("CREATE TEMP TABLE mine (x int)"),
        query("INSERT INTO mine VALUES (1)"),
        query("SELECT * FROM mine"),
        query("DROP TABLE mine"),
    ]
    .concat();
    following()
        .pools(&[1])
        .ask(A, &whole, 4)
        .ask(B, &whole, 4)
        .query(C, "SELECT 'served'")
        .query(A, "SELECT * FROM mine")
        .run();
}

#[test]
fn settings_follow_a_client_onto_the_connection_that_it_keeps_and_off_it() {
    keeping(1)
        .query(A, "SET work_mem = '9MB'; SET datestyle = 'German'")
        .query(
            A,
            "CREATE TEMP TABLE mine AS SELECT '2026-01-31'::date AS x",
        )
        .query(A, "SELECT x, current_setting('work_mem') FROM mine")
        .query(B, "SHOW work_mem")
        .query(A, "SET work_mem = '10MB'; RESET datestyle")
        .query(A, "SELECT x, current_setting('work_mem') FROM mine")
        .query(B, "SET work_mem = '5MB'")
        .query(A, "DROP TABLE mine")
        .query(A, "SHOW work_mem; SHOW datestyle")
        .query(B, "SHOW work_mem; SHOW datestyle")
        .query(C, "SHOW work_mem; SHOW datestyle")
        .run();
}

#[test]
fn a_client_that_leaves_takes_its_temporary_table_along() {
    keeping(1)
        .query(A, "CREATE TEMP TABLE mine (x int); SET work_mem = '9MB'")
        .leave(A)
        .wait("SELECT count(*) = 0 FROM pg_class WHERE relname = 'mine'")
        .query(B, "SELECT * FROM mine")
        .query(B, "BEGIN; CREATE TEMP TABLE mine (x int)")
        .leave(B)
        .wait("SELECT count(*) = 0 FROM pg_class WHERE relname = 'mine'")
        .query(C, "SELECT * FROM mine")
        .query(C, "SHOW work_mem")
        .run();
}

#[test]
fn rows_are_copied_in_and_out_of_a_temporary_table() {
    keeping(1)
        .query(A, "CREATE TEMP TABLE mine (x int)")
        .send(A, query("COPY mine FROM STDIN"))
        .until(A, b'G')
        .ask(A, [copy_data(b"1\n2\n"), copy_done()].concat(), 1)
        .query(B, "SELECT 'served'")
        .query(A, "COPY mine TO STDOUT")
        .query(A, "DROP TABLE mine")
        .query(B, "SELECT 'served'")
        .run();
}

#[test]
fn a_role_owns_its_temporary_table() {
    keeping(1)
        .query(A, "SET ROLE guest")
        .query(A, "CREATE TEMP TABLE mine (x int)")
        .query(A, "RESET ROLE")
        .query(
            A,
            "SELECT pg_get_userbyid(relowner) FROM pg_class WHERE relname = 'mine'",
        )
        .query(A, "SET SESSION AUTHORIZATION login_plain")
        .query(A, "DROP TABLE mine")
        .query(B, "SELECT current_user")
        .query(A, "RESET SESSION AUTHORIZATION; DROP TABLE mine")
        .query(A, "SELECT current_user")
        .run();
}
