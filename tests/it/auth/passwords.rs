//! Passwords for the server that change while clients work: `password_command`,
//! `password_file`.

use std::time::{Duration, Instant};

use super::{attempt, outcome, told};
use crate::support::certificates::Folder;
use crate::support::frames::query;
use crate::support::pooler::{Plan, Pooler};
use crate::support::postgres::{Cluster, Database};
use crate::support::raw::{Connection, first_error};
use crate::support::wait;

/// Everybody is that user at the server, and each connection is used once.
fn as_user(database: &Database, user: &str, how: &str) -> Plan {
    Plan::before(database)
        .without_fallback()
        .pool_size(2)
        .setting("server_lifetime", "0")
        .database_lines(&format!("user = \"{user}\"\n{how}"))
}

/// A cluster of its own, whose `login_scram` has another password.
fn asking() -> Cluster {
    let cluster = Cluster::private();
    let mut admin = cluster.admin();
    admin.rows("SET password_encryption = 'scram-sha-256'");
    admin.rows("ALTER ROLE login_scram PASSWORD 'first'");
    cluster
}

#[test]
fn a_command_prints_the_password_and_a_newer_one_when_the_server_refuses_it() {
    let cluster = asking();
    let database = cluster.database();
    let folder = Folder::new();
    let file = folder.put("token", "first\n");
    let counter = folder.put("counter", "");
    let command = format!("echo $PGWEAVE_USER >> {counter}; cat {file}");
    let pooler = as_user(
        &database,
        "login_scram",
        &format!("password_command = {command:?}"),
    )
    .start();
    let mut client = pooler.client();
    assert_eq!(client.value("SELECT session_user"), "login_scram");
    for _ in 0..5 {
        assert_eq!(client.value("SELECT 6 * 7"), "42");
    }
    let runs = || std::fs::read_to_string(&counter).unwrap().lines().count();
    assert_eq!(runs(), 1, "one run serves many logins");

    cluster
        .admin()
        .rows("ALTER ROLE login_scram PASSWORD 'second'");
    folder.put("token", "second\n");
    // Within a second of the first run it is not run again.
    wait::until(wait::SOON, "the new password", || {
        pooler_serves(&mut client)
    });
    assert_eq!(runs(), 2);
    assert!(!pooler.log().contains("second"));
}

#[test]
fn all_who_were_refused_at_once_are_served_by_one_more_run() {
    let cluster = asking();
    let database = cluster.database();
    let folder = Folder::new();
    let file = folder.put("token", "first\n");
    let counter = folder.put("counter", "");
    // Slow, so that the others are refused while it is under way.
    let command = format!("echo x >> {counter}; sleep 0.3; cat {file}");
    let pooler = as_user(
        &database,
        "login_scram",
        &format!("password_command = {command:?}"),
    )
    .pool_size(4)
    .start();
    let mut clients = [(); 4].map(|()| pooler.client());
    let began = Instant::now();
    cluster
        .admin()
        .rows("ALTER ROLE login_scram PASSWORD 'second'");
    folder.put("token", "second\n");
    wait::until(wait::SOON, "the first password to be no new one", || {
        began.elapsed() > Duration::from_millis(1200)
    });
    for client in &mut clients {
        client.send(&query("SELECT pg_sleep(0.2)"));
    }
    for client in &mut clients {
        let answer = client.until_ready(1, "an answer");
        assert_eq!(first_error(&answer), None);
    }
    let runs = std::fs::read_to_string(&counter).unwrap().lines().count();
    assert_eq!(runs, 2);
    assert!(!pooler.log().contains("server login failed"));
}

#[test]
fn who_asks_for_users_takes_a_newer_password_too() {
    let cluster = asking();
    let mut admin = cluster.admin();
    admin.rows("ALTER ROLE login_scram SUPERUSER");
    admin.rows("CREATE ROLE asked_for LOGIN PASSWORD 'x'");
    let database = cluster.database();
    let folder = Folder::new();
    let file = folder.put("token", "first\n");
    let command = format!("cat {file}");
    let pooler = Plan::before(&database)
        .without_fallback()
        .pool_size(2)
        .setting("auth_type", "\"scram-sha-256\"")
        .setting("auth_user", "\"login_scram\"")
        .setting("auth_cache_ttl", "0")
        .setting("server_idle_timeout", "\"1s\"")
        .user_lines("login_scram", &format!("password_command = {command:?}"))
        .start();
    assert_eq!(outcome(&pooler, "asked_for", "x"), "ok");
    admin.rows("ALTER ROLE login_scram PASSWORD 'second'");
    folder.put("token", "second\n");
    // The connection that asks is gone, and the password no new one.
    wait::until(wait::SOON, "the connection that asks to end", || {
        let asking = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'login_scram'";
        admin.value(asking) == "0"
    });
    assert_eq!(outcome(&pooler, "asked_for", "x"), "ok");
}

fn pooler_serves(client: &mut Connection) -> bool {
    let frames = client.query("SELECT 6 * 7");
    first_error(&frames).is_none()
}

#[test]
fn a_command_is_run_again_before_its_time_is_over() {
    let cluster = asking();
    let database = cluster.database();
    let folder = Folder::new();
    let counter = folder.put("counter", "");
    let command = format!("[\"/bin/sh\", \"-c\", \"echo x >> {counter}; echo first\"]");
    let pooler = as_user(
        &database,
        "login_scram",
        &format!("password_command = {command}"),
    )
    .setting("password_command_ttl", "\"2s\"")
    .start();
    assert_eq!(pooler.client().value("SELECT 6 * 7"), "42");
    // Nobody asks for it meanwhile.
    wait::until(wait::SOON, "the command to be run again", || {
        std::fs::read_to_string(&counter).unwrap().lines().count() >= 2
    });
}

#[test]
fn a_command_that_gives_none_is_told_to_the_client() {
    let database = Cluster::shared().database();
    for (command, what) in [
        ("exit 7", "exit status: 7"),
        ("true", "prints no password"),
        ("yes | head -c 200000", "prints too much"),
    ] {
        let how = format!("password_command = {command:?}");
        let pooler = as_user(&database, "login_scram", &how).start();
        let frames = attempt(&pooler, "postgres", "").err().expect("no password");
        let text = crate::support::raw::render_all(&frames).join("\n");
        assert!(text.contains("C=08001") && text.contains(what), "{text}");
    }
}

#[test]
fn a_command_that_hangs_is_ended_and_told_to_the_client() {
    let database = Cluster::shared().database();
    let pooler = as_user(
        &database,
        "login_scram",
        "password_command = \"sleep 3600 | cat\"",
    )
    .setting("password_command_timeout", "\"300ms\"")
    .start();
    let frames = attempt(&pooler, "postgres", "").err().expect("no password");
    let text = crate::support::raw::render_all(&frames).join("\n");
    assert!(
        text.contains("C=08001") && text.contains("took longer than 0.3 s"),
        "{text}"
    );
}

#[test]
fn who_has_no_command_is_not_kept_waiting_by_one_that_hangs() {
    let database = Cluster::shared().database();
    let pooler = Plan::before(&database)
        .user_lines("login_scram", "password_command = \"sleep 3600\"")
        .start();
    let address = pooler.address;
    let name = pooler.database.clone();
    let hangs = std::thread::spawn(move || {
        let startup = crate::support::startup::Startup::new("login_scram", &name);
        let mut client = Connection::open(address);
        client.send(&startup.to_bytes());
    });
    assert_eq!(outcome(&pooler, "postgres", ""), "ok");
    hangs.join().unwrap();
}

#[test]
fn a_password_file_is_read_for_each_login_to_the_server() {
    let cluster = asking();
    let database = cluster.database();
    let folder = Folder::new();
    let file = folder.put("password", "first\n");
    let pooler = as_user(
        &database,
        "login_scram",
        &format!("password_file = {file:?}"),
    )
    .start();
    let serves = |pooler: &Pooler| told(attempt(pooler, "postgres", ""));
    assert_eq!(serves(&pooler), "ok");
    cluster
        .admin()
        .rows("ALTER ROLE login_scram PASSWORD 'second'");
    folder.put("password", "second\n");
    assert_eq!(serves(&pooler), "ok");
    // Gone for a moment: the last that was read is used.
    std::fs::remove_file(&file).unwrap();
    assert_eq!(serves(&pooler), "ok");
    assert!(!pooler.log().contains("server login failed"));
}
