//! `application_name_policy`: what PostgreSQL shows of clients.

use crate::support::pooler::{Plan, Pooler};
use crate::support::postgres::{Cluster, Database};
use crate::support::raw::Connection;

fn with_policy(database: &Database, policy: &str) -> Pooler {
    Plan::before(database)
        .pool_size(1)
        .setting("application_name_policy", &format!("{policy:?}"))
        .start()
}

fn client(pooler: &Pooler, name: &str) -> Connection {
    let startup = pooler.startup().with("application_name", name);
    Connection::login(pooler.address, &startup)
}

/// What PostgreSQL shows while this client is served.
fn shown(client: &mut Connection, database: &Database) -> String {
    let pid = client.value("BEGIN; SELECT pg_backend_pid()");
    let name = format!("SELECT application_name FROM pg_stat_activity WHERE pid = {pid}");
    let name = database.direct().value(&name);
    client.rows("COMMIT");
    name
}

#[test]
fn exact_names_are_always_those_of_the_clients() {
    let database = Cluster::shared().database();
    let pooler = with_policy(&database, "exact");
    let mut clients = ["a", "b"].map(|name| (name, client(&pooler, name)));
    for _ in 0..2 {
        for (name, client) in &mut clients {
            assert_eq!(shown(client, &database), *name);
        }
    }
}

#[test]
fn lazy_names_come_with_other_settings_only() {
    let database = Cluster::shared().database();
    let pooler = with_policy(&database, "lazy");
    let [mut a, mut b] = ["a", "b"].map(|name| client(&pooler, name));
    assert_eq!(shown(&mut a, &database), "");
    a.rows("SET work_mem = '5MB'");
    // It has no such setting, which must be taken back.
    assert_eq!(shown(&mut b, &database), "b");
    assert_eq!(shown(&mut a, &database), "a");
    a.rows("RESET work_mem");
    assert_eq!(shown(&mut b, &database), "a");
    assert_eq!(b.value("SHOW application_name"), "b");
    assert_eq!(shown(&mut a, &database), "b");
}

#[test]
fn where_names_are_off_a_client_has_its_own_only_when_it_speaks_of_it() {
    let database = Cluster::shared().database();
    let pooler = with_policy(&database, "off");
    let [mut a, mut b] = ["a", "b"].map(|name| client(&pooler, name));
    a.rows("SET work_mem = '5MB'");
    b.rows("SHOW application_name; SET work_mem = '6MB'");
    // Its other settings have come back to it.
    assert_eq!(shown(&mut a, &database), "b");
    assert_eq!(a.value("SHOW work_mem"), "5MB");
    assert_eq!(shown(&mut a, &database), "b");
    a.rows("BEGIN");
    assert_eq!(a.value("SHOW application_name"), "a");
    a.rows("COMMIT");
    // It was for the transaction.
    assert_eq!(shown(&mut a, &database), "b");
    // In session mode there is nothing to save.
    let own = Plan::before(&database)
        .pool_mode("session")
        .setting("application_name_policy", "\"off\"")
        .start();
    assert_eq!(shown(&mut client(&own, "a"), &database), "a");
}

#[test]
fn a_database_has_a_policy_of_its_own() {
    let database = Cluster::shared().database();
    let pooler = Plan::before(&database)
        .without_fallback()
        .database_lines("application_name_policy = \"off\"")
        .start();
    assert_eq!(shown(&mut client(&pooler, "a"), &database), "");
}
