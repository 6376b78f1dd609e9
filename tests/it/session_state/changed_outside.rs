//! What somebody changes about roles, databases and the server, and what sessions
//! see of it that come later.

use super::following;
use crate::support::differential::{A, B, C, Script};
use crate::support::frames::{Frame, query};
use crate::support::pooler::Plan;
use crate::support::postgres::Cluster;
use crate::support::startup::Startup;
use crate::support::transcript::render;
use crate::support::wait;

/// Clients of a role of their own.
fn with_a_role() -> Script {
    following()
        .setup("CREATE ROLE {database}_r LOGIN")
        .user("{database}_r")
}

fn of_the_role() -> Startup {
    Startup::new("{database}_r", "")
}

#[test]
fn a_setting_of_a_role_holds_for_who_comes_later() {
    with_a_role()
        .connect_as(A, of_the_role())
        .query(A, "SHOW work_mem")
        .leave(A)
        .call(C, "ALTER ROLE {database}_r SET work_mem = '7MB'")
        .connect_as(B, of_the_role())
        .query(B, "SHOW work_mem")
        .query(B, "SET work_mem = '8MB'; RESET work_mem")
        .query(B, "SHOW work_mem")
        .leave(B)
        .query(C, "BEGIN")
        .call(C, "ALTER ROLE {database}_r RESET work_mem")
        .query(C, "COMMIT")
        .connect_as(A, of_the_role())
        .query(A, "SHOW work_mem")
        .run();
}

#[test]
fn a_setting_of_a_database_holds_for_who_comes_later() {
    following()
        .query(A, "SHOW work_mem; SHOW datestyle")
        .call(A, "ALTER DATABASE {database} SET work_mem = '7MB'")
        .call(A, "ALTER DATABASE {database} SET datestyle = 'German'")
        .connect(B, &[])
        .query(B, "SHOW work_mem; SHOW datestyle")
        .query(B, "SELECT '2026-01-31'::date")
        .query(B, "SET work_mem = '8MB'; RESET ALL")
        .query(B, "SHOW work_mem")
        .run();
}

#[test]
fn a_role_that_was_dropped_and_made_anew_is_the_new_one() {
    let look = "SELECT current_user, session_user, oid = current_user::regrole FROM pg_roles WHERE rolname = current_user";
    with_a_role()
        .connect_as(A, of_the_role())
        .query(A, look)
        .leave(A)
        .call(C, "DROP ROLE {database}_r")
        .call(C, "CREATE ROLE {database}_r LOGIN")
        .call(C, "CREATE SCHEMA of_r AUTHORIZATION {database}_r")
        .connect_as(B, of_the_role())
        .query(B, look)
        .query(B, "CREATE TABLE of_r.t (x int)")
        .query(
            B,
            "SELECT tableowner = current_user FROM pg_tables WHERE schemaname = 'of_r'",
        )
        .run();
}

#[test]
fn rights_that_are_taken_away_are_gone_at_once() {
    with_a_role()
        .setup("CREATE TABLE t AS SELECT 1 AS x; GRANT SELECT ON t TO {database}_r")
        .call(A, "SET ROLE {database}_r")
        .query(A, "SELECT x FROM t")
        .admin("REVOKE SELECT ON t FROM {database}_r")
        .query(A, "SELECT x FROM t")
        .query(B, "SELECT x FROM t")
        .run();
}

fn reported<'a>(frames: &'a [Frame], name: &str) -> Vec<&'a Frame> {
    let told = |frame: &&Frame| frame.tag == b'S' && frame.body.starts_with(name.as_bytes());
    frames.iter().filter(told).collect()
}

#[test]
fn a_reloaded_setting_is_reported_once_to_everybody() {
    let cluster = Cluster::private();
    let database = cluster.database();
    let pooler = Plan::before(&database).pool_size(2).start();
    let (mut idle, mut own, mut kept) = (pooler.client(), pooler.client(), pooler.client());
    idle.rows("SELECT 1");
    own.rows("SET datestyle = 'SQL, DMY'");
    kept.rows("CREATE TEMP TABLE mine (x int)");
    let mut admin = database.direct();
    admin.rows("ALTER SYSTEM SET datestyle = 'German'");
    admin.rows("SELECT pg_reload_conf()");
    for (who, client, times, day) in [
        ("idle", &mut idle, 1, "31.01.2026"),
        ("that keeps a server connection", &mut kept, 1, "31.01.2026"),
        ("with a value of its own", &mut own, 0, "31/01/2026"),
    ] {
        let mut told = 0;
        let mut ask = || {
            client.send(&query("SELECT '2026-01-31'::date"));
            let answer = client.until_ready(1, "a date");
            let all: Vec<String> = answer.iter().map(render).collect();
            assert_eq!(answer.last().map(|frame| frame.tag), Some(b'Z'), "{all:?}");
            told += reported(&answer, "DateStyle").len();
            told >= times
        };
        // The server tells it when it has heard of it.
        wait::until(wait::SOON, who, &mut ask);
        for _ in 0..5 {
            ask();
        }
        assert_eq!(told, times, "to the client {who}");
        assert_eq!(
            client.value("SELECT '2026-01-31'::date"),
            day,
            "for the client {who}"
        );
    }
    own.rows("RESET datestyle");
    assert_eq!(own.value("SELECT '2026-01-31'::date"), "31.01.2026");
}
