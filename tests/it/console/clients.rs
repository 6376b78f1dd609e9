//! Commands that hold clients, refuse them, or send them away.

use super::{Shown, complaint, console, finished, plan, tag, until_shown, until_waiting};
use crate::support::frames;
use crate::support::postgres::{Cluster, Database};
use crate::support::raw::{Connection, cancel, first_error};
use crate::support::startup::Startup;
use crate::support::wait;

/// PostgreSQL takes a moment to notice that a connection was closed.
fn until_no_server(database: &Database) {
    wait::until(wait::SOON, "no server connection", || {
        database.backends("backend_type = 'client backend'") == 0
    });
}

/// A backend that is kept from doing anything, until this is dropped.
struct Held(String);

impl Held {
    fn of(pid: &str) -> Self {
        signal("-STOP", pid);
        Self(pid.to_owned())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        signal("-CONT", &self.0);
    }
}

fn signal(which: &str, pid: &str) {
    let _ = std::process::Command::new("kill")
        .args([which, pid])
        .status();
}

#[test]
fn clients_wait_in_order_while_their_database_is_paused_and_none_fails() {
    let database = Cluster::shared().database();
    let pooler = plan(&database).pool_size(1).start();
    let mut console = console(&pooler);
    let mut first = pooler.client();
    first.rows("CREATE TABLE came (number serial, who int)");
    let mut clients: Vec<Connection> = (0..8).map(|_| pooler.client()).collect();
    assert_eq!(
        tag(&mut console, &format!("PAUSE {}", pooler.database)),
        "PAUSE"
    );
    until_no_server(&database);
    for (who, client) in clients.iter_mut().enumerate() {
        client.send(&frames::query(&format!(
            "INSERT INTO came (who) VALUES ({who})"
        )));
        until_waiting(&mut console, &pooler, who as u64 + 1);
    }
    let databases = Shown::of(&mut console, "DATABASES");
    assert_eq!(databases.number("name", &pooler.database, "paused"), 1);
    assert_eq!(
        tag(&mut console, &format!("RESUME {}", pooler.database)),
        "RESUME"
    );
    for client in &mut clients {
        let answer = client.until_ready(1, "the end of a pause");
        assert_eq!(first_error(&answer), None);
    }
    let order = first.value("SELECT string_agg(who::text, ' ' ORDER BY number) FROM came");
    assert_eq!(order, "0 1 2 3 4 5 6 7");
}

#[test]
fn a_pause_waits_for_transactions_and_a_cancel_ends_it() {
    let database = Cluster::shared().database();
    let pooler = plan(&database).start();
    let (mut pausing, mut watching) = (console(&pooler), console(&pooler));
    let mut client = pooler.client();
    client.rows("BEGIN");
    pausing.send(&frames::query("PAUSE"));
    wait::until(wait::SOON, "the pause", || {
        let state = Shown::of(&mut watching, "STATE");
        state.value("key", "paused", "value").as_deref() == Some("yes")
    });
    // The transaction goes on.
    assert_eq!(client.value("SELECT 1"), "1");
    cancel(pooler.address, &pausing.key);
    let answer = pausing.until_ready(1, "the end of a cancelled PAUSE");
    assert_eq!(first_error(&answer).as_deref(), Some("57014"));
    let state = Shown::of(&mut watching, "STATE");
    assert_eq!(state.value("key", "paused", "value").as_deref(), Some("no"));
    pausing.send(&frames::query("PAUSE"));
    client.rows("COMMIT");
    assert_eq!(finished(&mut pausing, "PAUSE"), "PAUSE");
    assert_eq!(
        complaint(&mut watching, "PAUSE"),
        "already suspended/paused"
    );
    client.send(&frames::query("SELECT 2"));
    until_waiting(&mut watching, &pooler, 1);
    assert_eq!(tag(&mut watching, "RESUME"), "RESUME");
    client.until_ready(1, "its turn");
    assert_eq!(
        complaint(&mut watching, "RESUME"),
        "pooler is not paused/suspended"
    );
}

#[test]
fn signals_pause_and_resume_as_well() {
    let database = Cluster::shared().database();
    let pooler = plan(&database).start();
    let mut watching = console(&pooler);
    let (mut client, mut busy) = (pooler.client(), pooler.client());
    client.rows("SELECT 1");
    busy.rows("BEGIN");
    pooler.signal("USR1");
    wait::until(wait::SOON, "the pause", || {
        let state = Shown::of(&mut watching, "STATE");
        state.value("key", "paused", "value").as_deref() == Some("yes")
    });
    client.send(&frames::query("SELECT 2"));
    until_waiting(&mut watching, &pooler, 1);
    busy.rows("COMMIT");
    wait::until(wait::SOON, "connections to be closed", || {
        database.backends("backend_type = 'client backend'") == 0
    });
    pooler.signal("USR2");
    client.until_ready(1, "its turn");
    assert_eq!(busy.value("SELECT 3"), "3");
    // Nothing to take back, which is no error.
    pooler.signal("USR2");
    assert_eq!(client.value("SELECT 4"), "4");
}

#[test]
fn a_pool_that_is_made_in_a_pause_is_held_too() {
    let database = Cluster::shared().database();
    let pooler = plan(&database).user("guest", "unused").start();
    let mut console = console(&pooler);
    pooler.client().rows("SELECT 1");
    assert_eq!(tag(&mut console, "PAUSE"), "PAUSE");
    let startup = Startup::new("guest", &pooler.database);
    std::thread::scope(|scope| {
        let guest = scope.spawn(|| Connection::login(pooler.address, &startup));
        // It asks a server who it is, for the greeting.
        until_shown(&mut console, "POOLS", |pools| {
            let waits = pools.value("user", "guest", "maxwait_us");
            waits.is_some_and(|us| us != "0")
        });
        until_no_server(&database);
        assert_eq!(tag(&mut console, "RESUME"), "RESUME");
        assert_eq!(guest.join().unwrap().value("SELECT current_user"), "guest");
    });
}

#[test]
fn what_is_suspended_keeps_its_connections_and_ends_with_who_said_it() {
    let database = Cluster::shared().database();
    let pooler = plan(&database).start();
    let (mut suspending, mut watching) = (console(&pooler), console(&pooler));
    let mut client = pooler.client();
    client.rows("SELECT 1");
    assert_eq!(tag(&mut suspending, "SUSPEND"), "SUSPEND");
    assert_eq!(database.backends("backend_type = 'client backend'"), 1);
    client.send(&frames::query("SELECT 2"));
    until_waiting(&mut watching, &pooler, 1);
    let state = Shown::of(&mut watching, "STATE");
    assert_eq!(
        state.value("key", "suspended", "value").as_deref(),
        Some("yes")
    );
    suspending.terminate();
    client.until_ready(1, "its turn");
}

#[test]
fn a_disabled_database_refuses_new_clients_only() {
    let database = Cluster::shared().database();
    let pooler = plan(&database).start();
    let mut console = console(&pooler);
    let mut client = pooler.client();
    let name = &pooler.database;
    assert_eq!(tag(&mut console, &format!("DISABLE {name}")), "DISABLE");
    let refused = Connection::try_login(pooler.address, &pooler.startup());
    let told = refused.err().expect("it is disabled");
    assert_eq!(first_error(&told).as_deref(), Some("55000"));
    assert_eq!(client.value("SELECT 1"), "1");
    let databases = Shown::of(&mut console, "DATABASES");
    assert_eq!(databases.number("name", name, "disabled"), 1);
    assert_eq!(tag(&mut console, &format!("ENABLE {name}")), "ENABLE");
    assert_eq!(pooler.client().value("SELECT 1"), "1");
}

#[test]
fn connections_are_replaced_the_one_in_use_at_its_boundary() {
    let database = Cluster::shared().database();
    let pooler = plan(&database).start();
    let (mut console, mut waiting) = (console(&pooler), console(&pooler));
    let (mut busy, mut idle) = (pooler.client(), pooler.client());
    busy.rows("BEGIN");
    let kept = busy.value("SELECT pg_backend_pid()");
    let closed = idle.value("SELECT pg_backend_pid()");
    assert_ne!(kept, closed);
    let name = &pooler.database;
    assert_eq!(tag(&mut console, &format!("RECONNECT {name}")), "RECONNECT");
    let servers = until_shown(&mut console, "SERVERS", |servers| {
        servers.value("remote_pid", &closed, "state").is_none()
    });
    assert_eq!(servers.number("remote_pid", &kept, "close_needed"), 1);
    waiting.send(&frames::query(&format!("WAIT_CLOSE {name}")));
    assert_eq!(busy.value("SELECT pg_backend_pid()"), kept);
    let other = idle.value("SELECT pg_backend_pid()");
    assert!(other != kept && other != closed);
    busy.rows("COMMIT");
    assert_eq!(finished(&mut waiting, "WAIT_CLOSE"), "WAIT_CLOSE");
    assert_ne!(busy.value("SELECT pg_backend_pid()"), kept);
    let servers = Shown::of(&mut console, "SERVERS");
    assert_eq!(servers.value("remote_pid", &kept, "state"), None);
}

#[test]
fn who_is_killed_is_told_and_others_wait_for_resume() {
    let database = Cluster::shared().database();
    let pooler = plan(&database).start();
    let mut console = console(&pooler);
    let (mut busy, mut idle) = (pooler.client(), pooler.client());
    busy.rows("BEGIN");
    idle.rows("SELECT 1");
    let name = &pooler.database;
    assert_eq!(tag(&mut console, &format!("KILL {name}")), "KILL");
    for mut client in [busy, idle] {
        let told = client.until_end("the end of one who is killed");
        assert_eq!(first_error(&told).as_deref(), Some("57P01"));
    }
    until_no_server(&database);
    let mut client = pooler.client();
    client.send(&frames::query("SELECT 2"));
    until_waiting(&mut console, &pooler, 1);
    assert_eq!(tag(&mut console, &format!("RESUME {name}")), "RESUME");
    client.until_ready(1, "its turn");
}

#[test]
fn who_comes_while_a_kill_is_at_work_waits_like_others() {
    let database = Cluster::shared().database();
    let pooler = plan(&database).start();
    let (mut killing, mut watching) = (console(&pooler), console(&pooler));
    let mut busy = pooler.client();
    busy.rows("BEGIN");
    let held = Held::of(&busy.value("SELECT pg_backend_pid()"));
    let name = &pooler.database;
    killing.send(&frames::query(&format!("KILL {name}")));
    busy.until_end("the end of one who is killed");
    // The server connection cannot be wound up, so the command goes on.
    let mut comes = pooler.client();
    comes.send(&frames::query("SELECT 2"));
    until_waiting(&mut watching, &pooler, 1);
    drop(held);
    assert_eq!(finished(&mut killing, "KILL"), "KILL");
    assert_eq!(tag(&mut watching, &format!("RESUME {name}")), "RESUME");
    comes.until_ready(1, "its turn");
    assert_eq!(comes.value("SELECT 3"), "3");
}

#[test]
fn one_client_is_killed_by_its_number() {
    let database = Cluster::shared().database();
    let pooler = plan(&database).start();
    let mut console = console(&pooler);
    let (mut one, mut other) = (pooler.client(), pooler.client());
    one.rows("BEGIN");
    let clients = Shown::of(&mut console, "CLIENTS");
    let pid = one.value("SELECT pg_backend_pid()");
    let id = clients.value("remote_pid", &pid, "id").unwrap();
    assert_eq!(
        tag(&mut console, &format!("KILL_CLIENT {id}")),
        "KILL_CLIENT"
    );
    let told = one.until_end("the end of one who is killed");
    assert_eq!(first_error(&told).as_deref(), Some("57P01"));
    assert_eq!(other.value("SELECT 1"), "1");
    assert_eq!(
        complaint(&mut console, "KILL_CLIENT 999999"),
        "client not found"
    );
}

#[test]
fn what_is_no_database_cannot_be_ordered_about() {
    let database = Cluster::shared().database();
    let pooler = plan(&database).start();
    let mut console = console(&pooler);
    for verb in [
        "PAUSE",
        "RESUME",
        "DISABLE",
        "ENABLE",
        "RECONNECT",
        "KILL",
        "WAIT_CLOSE",
    ] {
        let told = complaint(&mut console, &format!("{verb} nowhere"));
        assert_eq!(told, "no such database: nowhere", "{verb}");
        let answer = console.query(&format!("{verb} pgbouncer"));
        assert_eq!(first_error(&answer).as_deref(), Some("0A000"), "{verb}");
    }
}
