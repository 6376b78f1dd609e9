//! What else may become of session state, by the configuration.

use super::{prepare, run};
use crate::support::differential::{A, B, script};
use crate::support::frames::extended;
use crate::support::pooler::{Plan, Pooler};
use crate::support::postgres::{Cluster, Database};
use crate::support::raw::{Connection, first_error};

fn with(database: &Database, policy: &str) -> Pooler {
    Plan::before(database)
        .pool_size(1)
        .setting("session_state", &format!("{policy:?}"))
        .start()
}

fn error_of(client: &mut Connection, bytes: &[u8]) -> Option<String> {
    client.send(bytes);
    first_error(&client.until_ready(1, "an answer about session state"))
}

#[test]
fn with_reset_all_of_it_ends_with_the_transaction() {
    let database = Cluster::shared().database();
    let pooler = with(&database, "reset");
    let (mut one, mut other) = (pooler.client(), pooler.client());
    for make in [
        "SET work_mem = '9MB'",
        "CREATE TEMP TABLE mine (x int)",
        "SELECT pg_advisory_lock(1)",
        "SET ROLE guest",
        "LISTEN ch",
    ] {
        one.rows(make);
        assert_eq!(other.value("SHOW work_mem"), "4MB", "after {make}");
    }
    assert_eq!(one.value("SHOW work_mem"), "4MB");
    assert_eq!(one.value("SELECT current_user"), "postgres");
    assert_eq!(one.failure("SELECT * FROM mine"), "42P01");
    let locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'";
    assert_eq!(other.value(locks), "0");
    one.rows("BEGIN");
    one.rows("SET work_mem = '9MB'");
    assert_eq!(one.value("SHOW work_mem"), "9MB");
    one.rows("COMMIT");
    assert_eq!(one.value("SHOW work_mem"), "4MB");
}

#[test]
fn with_error_what_would_outlive_the_transaction_is_refused() {
    let database = Cluster::shared().database();
    let pooler = with(&database, "error");
    let (mut one, mut other) = (pooler.client(), pooler.client());
    let refused = Some("0A000");
    for make in [
        "SET work_mem = '9MB'",
        "SELECT set_config('work_mem', '9MB', false)",
        "CREATE TEMP TABLE mine (x int)",
        "LISTEN ch",
    ] {
        assert_eq!(one.failure(make), "0A000", "{make}");
        let batch = extended(make);
        assert_eq!(error_of(&mut one, &batch).as_deref(), refused, "{make}");
        assert_eq!(error_of(&mut one, &prepare("s1", make)), None);
        assert_eq!(error_of(&mut one, &run("s1")).as_deref(), refused, "{make}");
        one.rows("DEALLOCATE ALL");
    }
    one.rows("BEGIN");
    one.rows("SET LOCAL work_mem = '9MB'");
    assert_eq!(one.value("SHOW work_mem"), "9MB");
    assert_eq!(one.failure("SET work_mem = '8MB'"), "0A000");
    assert_eq!(one.failure("SELECT 1"), "25P02");
    one.rows("ROLLBACK");
    assert_eq!(other.value("SHOW work_mem"), "4MB");
}

#[test]
fn with_pgbouncer_nobody_looks() {
    let database = Cluster::shared().database();
    let pooler = with(&database, "pgbouncer");
    let (mut one, mut other) = (pooler.client(), pooler.client());
    one.rows("SET work_mem = '9MB'");
    assert_eq!(other.value("SHOW work_mem"), "9MB");
}

#[test]
fn a_database_may_have_another_policy() {
    let database = Cluster::shared().database();
    let pooler = Plan::before(&database)
        .pool_size(1)
        .setting("session_state", "\"error\"")
        .database_lines("session_state = \"keep\"")
        .start();
    let (mut one, mut other) = (pooler.client(), pooler.client());
    one.rows("SET work_mem = '9MB'");
    assert_eq!(other.value("SHOW work_mem"), "4MB");
    assert_eq!(one.value("SHOW work_mem"), "9MB");
}

/// A function that was made elsewhere, since functions were last read.
#[test]
fn verifying_all_finds_what_nobody_could_see() {
    let database = Cluster::shared().database();
    let pooler = Plan::before(&database)
        .pool_size(1)
        .setting("verify", "\"all\"")
        .start();
    let (mut one, mut other) = (pooler.client(), pooler.client());
    assert_eq!(one.value("SELECT abs(-1)"), "1");
    database.direct().rows(
        "CREATE FUNCTION hides() RETURNS text LANGUAGE plpgsql AS \
         $$ BEGIN RETURN set_config('work_mem', '9MB', false); END $$",
    );
    one.rows("SELECT hides()");
    assert_eq!(other.value("SHOW work_mem"), "4MB");
    assert_eq!(one.value("SHOW work_mem"), "9MB");
}

#[test]
fn in_adverse_hands_all_is_kept() {
    script()
        .setting("server_round_robin", "false")
        .setting("assign_policy", "\"adversarial\"")
        .setting("verify", "\"all\"")
        .pools(&[2, 3])
        .query(A, "SET work_mem = '9MB'; SET DateStyle = 'German'")
        .ask(A, prepare("s1", "SELECT '31.01.2026'::date"), 1)
        .ask(A, run("s1"), 1)
        .query(B, "SHOW work_mem")
        .ask(A, run("s1"), 1)
        .query(A, "SHOW work_mem")
        .query(B, "SHOW DateStyle")
        .run();
}
