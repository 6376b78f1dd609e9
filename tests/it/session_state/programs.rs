//! What well-known programs and drivers set and take for granted.

use std::process::Command;

use super::{following, keeping};
use crate::support::differential::{A, B, C};
use crate::support::frames::{extended, query};
use crate::support::machine::program_directory;
use crate::support::pooler::Plan;
use crate::support::postgres::Cluster;

#[test]
fn pg_dump_leaves_nothing_for_others() {
    let database = Cluster::shared().database();
    database
        .direct()
        .rows("CREATE TABLE t AS SELECT 'row' AS x");
    let pooler = Plan::before(&database).pool_size(2).start();
    let mut clients = [pooler.client(), pooler.client(), pooler.client()];
    clients[0].rows("SET work_mem = '9MB'");
    let dump = Command::new(program_directory().join("pg_dump"))
        .args([
            "-h",
            "127.0.0.1",
            "-U",
            "postgres",
            "-d",
            &database.name,
            "-p",
        ])
        .arg(pooler.address.port().to_string())
        .output()
        .unwrap();
    let (said, wrong) = (
        String::from_utf8_lossy(&dump.stdout),
        String::from_utf8_lossy(&dump.stderr),
    );
    assert!(
        dump.status.success() && said.contains("row"),
        "{said}{wrong}"
    );
    for client in &mut clients {
        client.rows("BEGIN");
        assert_eq!(client.value("SELECT x FROM t"), "row");
        assert_eq!(client.value("SHOW search_path"), "\"$user\", public");
        assert_eq!(client.value("SHOW row_security"), "on");
        client.rows("COMMIT");
    }
    assert_eq!(clients[0].value("SHOW work_mem"), "9MB");
}

#[test]
fn what_pg_dump_and_its_scripts_set_is_kept() {
    following()
        .setup("CREATE TABLE t (x date)")
        .query(A, "SELECT pg_catalog.set_config('search_path', '', false);")
        .query(A, "SET DATESTYLE = ISO")
        .query(A, "SET INTERVALSTYLE = POSTGRES")
        .query(A, "SET extra_float_digits TO 3")
        .query(A, "SET synchronize_seqscans TO off")
        .query(A, "SET statement_timeout = 0; SET lock_timeout = 0; SET idle_in_transaction_session_timeout = 0; SET client_encoding = 'UTF8'; SET standard_conforming_strings = on; SET check_function_bodies = false; SET xmloption = content; SET client_min_messages = warning; SET row_security = off")
        .query(B, "SELECT x FROM t")
        .query(A, "SELECT x FROM t")
        .query(A, "BEGIN; SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY; SELECT x FROM public.t; COMMIT")
        .query(A, "SET default_table_access_method = heap; SET default_tablespace = ''")
        .query(A, "CREATE FUNCTION public.f() RETURNS int LANGUAGE sql AS 'SELECT x FROM nowhere'")
        .query(A, "SELECT name, setting FROM pg_settings WHERE source = 'session' AND setting <> reset_val AND name !~ '^(transaction_|application_name)' ORDER BY name")
        .query(C, "SELECT x FROM t")
        .run();
}

#[test]
fn the_resets_of_drivers_pools_forget_everything() {
    for reset in [
        "SELECT pg_advisory_unlock_all();\nCLOSE ALL;\nUNLISTEN *;\nRESET ALL;",
        "DISCARD ALL",
        "SET SESSION AUTHORIZATION DEFAULT; RESET ALL; CLOSE ALL; UNLISTEN *; SELECT pg_advisory_unlock_all(); DISCARD SEQUENCES; DISCARD TEMP",
        "ROLLBACK; RESET ALL; DEALLOCATE ALL; UNLISTEN *; SELECT pg_advisory_unlock_all(); CLOSE ALL",
    ] {
        keeping(1)
            .custom(&["app.tenant"])
            .query(
                A,
                "SET work_mem = '9MB'; SET app.tenant = '1'; SET datestyle = 'German'",
            )
            .query(
                A,
                "LISTEN c; SELECT pg_advisory_lock(1); DECLARE h CURSOR WITH HOLD FOR SELECT 1",
            )
            .query(B, "SELECT pg_try_advisory_xact_lock(1)")
            .query(A, reset)
            .query(B, "SELECT pg_try_advisory_xact_lock(1)")
            .query(A, "SHOW work_mem; SHOW datestyle")
            .query(A, "SELECT nullif(current_setting('app.tenant', true), '')")
            .query(A, reset)
            .query(B, reset)
            .query(C, "SELECT 'served'")
            .run();
    }
}

#[test]
fn what_drivers_set_at_their_beginning_is_kept() {
    following()
        .connect(A, &[("client_encoding", "UTF8"), ("DateStyle", "ISO"), ("TimeZone", "Europe/Berlin"), ("extra_float_digits", "2")])
        .ask(A, extended("SET extra_float_digits = 3"), 1)
        .ask(A, extended("SET application_name = 'PostgreSQL JDBC Driver'"), 1)
        .ask(A, extended("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY"), 1)
        .query(B, "SET client_min_messages TO warning; SET standard_conforming_strings = on; SET SESSION timezone TO 'UTC'")
        .query(C, "SELECT set_config('TimeZone', 'UTC', false); SET intervalstyle = 'iso_8601'")
        .query(A, "SELECT 0.1::float8 + 0.2, current_setting('transaction_read_only'), current_setting('application_name'), current_setting('TimeZone')")
        .query(B, "SHOW client_min_messages; SELECT 0.1::float8 + 0.2")
        .query(C, "SELECT interval '1 day', current_setting('TimeZone')")
        .ask(A, extended("SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE"), 1)
        .query(A, "SELECT current_setting('transaction_read_only'), current_setting('TimeZone')")
        .run();
}

#[test]
fn a_migration_under_a_lock_goes_its_way() {
    // As Flyway, Rails and golang-migrate do.
    keeping(1)
        .query(A, "SELECT pg_try_advisory_lock(4711)")
        .query(A, "CREATE TABLE IF NOT EXISTS versions (version int)")
        .query(B, "SELECT pg_try_advisory_xact_lock(4711)")
        .query(A, "BEGIN; SET LOCAL lock_timeout = '5s'")
        .query(
            A,
            "CREATE TABLE one (x int); INSERT INTO versions VALUES (1)",
        )
        .query(A, "COMMIT")
        .query(A, "SET search_path = public")
        .query(A, "CREATE INDEX CONCURRENTLY ON one (x)")
        .query(B, "SELECT version FROM versions")
        .query(A, "SELECT pg_advisory_unlock(4711)")
        .ask(
            A,
            [query("RESET search_path"), query("SHOW search_path")].concat(),
            2,
        )
        .query(B, "SELECT pg_try_advisory_xact_lock(4711)")
        .run();
}
