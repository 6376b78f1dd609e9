//! Pools that nobody uses any more.

use crate::console::{Shown, console, plan};
use crate::support::pooler::Pooler;
use crate::support::postgres::{Cluster, Database};
use crate::support::raw::Connection;
use crate::support::wait;

/// A pooler that closes server connections at once, with one client that has
/// asked something and left.
fn used_once(database: &Database, setting: &str) -> (Pooler, Connection) {
    let pooler = plan(database)
        .setting("server_idle_timeout", "\"10ms\"")
        .setting(setting, "\"1.5s\"")
        .database_lines(&format!(
            "[databases.named]\nhost = \"127.0.0.1\"\nport = {}\ndbname = {:?}",
            database.cluster.address().port(),
            database.name
        ))
        .start();
    for name in [&database.name, "named"] {
        let startup = pooler.startup().database(name);
        let mut client = Connection::login(pooler.address, &startup);
        client.rows("SELECT 1");
        client.terminate();
    }
    let console = console(&pooler);
    (pooler, console)
}

fn is_there(console: &mut Connection, name: &str) -> bool {
    let pools = Shown::of(console, "POOLS");
    pools.value("database", name, "user").is_some()
}

#[test]
fn a_database_that_no_section_names_is_forgotten_and_comes_again() {
    let database = Cluster::shared().database();
    let (pooler, mut console) = used_once(&database, "autodb_idle_timeout");
    assert!(is_there(&mut console, &database.name));
    wait::until(wait::SOON, "an idle pool to be forgotten", || {
        !is_there(&mut console, &database.name)
    });
    assert!(is_there(&mut console, "named"));
    let mut again = pooler.client();
    assert_eq!(again.value("SELECT 1"), "1");
    assert!(is_there(&mut console, &database.name));
}

#[test]
fn pools_of_any_database_are_forgotten_on_request() {
    let database = Cluster::shared().database();
    let (pooler, mut console) = used_once(&database, "pool_idle_timeout");
    wait::until(wait::SOON, "idle pools to be forgotten", || {
        !is_there(&mut console, &database.name) && !is_there(&mut console, "named")
    });
    assert_eq!(pooler.client().value("SELECT 1"), "1");
}

/// Its client stays, and does nothing for longer than a pool may.
#[test]
fn a_pool_with_a_client_is_not_forgotten() {
    let database = Cluster::shared().database();
    let (pooler, mut console) = used_once(&database, "pool_idle_timeout");
    let startup = pooler.startup().database("named");
    let mut client = Connection::login(pooler.address, &startup);
    wait::until(wait::SOON, "the other pool to be forgotten", || {
        !is_there(&mut console, &database.name)
    });
    assert!(is_there(&mut console, "named"));
    assert_eq!(client.value("SELECT 1"), "1");
}
