//! Replication connections go through, each with a server connection of its own.

use std::process::Command;

use crate::support::machine::{program_directory, scratch_directory};
use crate::support::pooler::Plan;
use crate::support::postgres::Cluster;
use crate::support::raw::{Connection, cancel, first_error};
use crate::support::wait;

#[test]
fn a_logical_one_speaks_sql_and_replication_beside_the_pool() {
    let database = Cluster::shared().database();
    let pooler = Plan::before(&database).pool_size(1).start();
    let mut client = pooler.client();
    client.rows("BEGIN");
    let startup = pooler.startup().with("replication", "database");
    let mut replicates = Connection::login(pooler.address, &startup);
    assert_eq!(replicates.rows("IDENTIFY_SYSTEM").len(), 1);
    assert_eq!(replicates.value("SELECT current_database()"), database.name);
    let of_pool = "backend_type IN ('client backend', 'walsender')";
    assert_eq!(database.backends(of_pool), 2);
    replicates.terminate();
    wait::until(wait::SOON, "its server connection to end", || {
        database.backends("backend_type = 'walsender'") == 0
    });
    client.rows("COMMIT");
}

#[test]
fn what_the_server_takes_for_no_is_no() {
    let database = Cluster::shared().database();
    let pooler = Plan::before(&database).pool_size(1).start();
    for no in ["false", "fa", "of"] {
        let startup = pooler.startup().with("replication", no);
        let mut client = Connection::login(pooler.address, &startup);
        assert_eq!(
            client.value("SELECT backend_type FROM pg_stat_activity WHERE pid = pg_backend_pid()"),
            "client backend"
        );
    }
    let startup = pooler.startup().with("replication", "perhaps");
    let refused = Connection::try_login(pooler.address, &startup);
    assert_eq!(
        first_error(&refused.err().unwrap()).as_deref(),
        Some("22023")
    );
}

#[test]
fn what_it_runs_can_be_cancelled() {
    let database = Cluster::shared().database();
    let pooler = Plan::before(&database).start();
    let startup = pooler.startup().with("replication", "database");
    let mut replicates = Connection::login(pooler.address, &startup);
    replicates.send(&crate::support::frames::query("SELECT pg_sleep(60)"));
    wait::until(wait::SOON, "the query to run", || {
        database.backends(
            "query LIKE '%pg_sleep(60)%' AND state = 'active' AND pid <> pg_backend_pid()",
        ) == 1
    });
    cancel(pooler.address, &replicates.key.clone());
    let frames = replicates.until_ready(1, "the end of the query");
    assert_eq!(first_error(&frames).as_deref(), Some("57014"));
}

#[test]
fn a_base_backup_is_taken_through_it() {
    let database = Cluster::shared().database();
    let pooler = Plan::before(&database).start();
    let directory = scratch_directory("backup");
    let place = directory.join("data");
    let output = Command::new(program_directory().join("pg_basebackup"))
        .args([
            "-h",
            "127.0.0.1",
            "-U",
            "postgres",
            "-X",
            "stream",
            "-c",
            "fast",
            "-p",
        ])
        .arg(pooler.address.port().to_string())
        .arg("-D")
        .arg(&place)
        .env_clear()
        .output()
        .unwrap();
    let is_whole = place.join("backup_manifest").exists() && place.join("PG_VERSION").exists();
    let _ = std::fs::remove_dir_all(&directory);
    assert!(output.status.success() && is_whole, "{output:?}");
}

#[test]
fn it_ends_with_the_process() {
    let database = Cluster::shared().database();
    let mut pooler = Plan::before(&database).start();
    let startup = pooler.startup().with("replication", "database");
    let mut replicates = Connection::login(pooler.address, &startup);
    pooler.signal(15);
    assert!(pooler.wait().success());
    replicates.until_end("the end");
}

#[test]
fn it_counts_for_the_database() {
    let database = Cluster::shared().database();
    let pooler = Plan::before(&database)
        .without_fallback()
        .database_lines("max_db_connections = 1")
        .start();
    let startup = pooler.startup().with("replication", "database");
    let first = Connection::login(pooler.address, &startup);
    let second = Connection::try_login(pooler.address, &startup);
    assert_eq!(
        first_error(&second.err().unwrap()).as_deref(),
        Some("53300")
    );
    first.terminate();
    wait::until(wait::SOON, "room for another", || {
        Connection::try_login(pooler.address, &startup).is_ok()
    });
}
