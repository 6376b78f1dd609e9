//! Who may do what on the console.

use super::{complaint, plan, tag};
use crate::support::postgres::Cluster;
use crate::support::raw::{Connection, first_error};
use crate::support::startup::Startup;

#[test]
fn who_may_look_changes_nothing() {
    let database = Cluster::shared().database();
    let pooler = plan(&database)
        .setting("stats_users", "[\"metrics\", \"other\"]")
        .user("metrics", "unused")
        .start();
    let mut client = pooler.client();
    client.rows("SELECT 1");
    let startup = Startup::new("metrics", "pgbouncer");
    let mut console = Connection::login(pooler.address, &startup);
    for look in [
        "SHOW STATS",
        "SHOW CLIENTS",
        "SHOW CONFIG",
        "SHOW PINS",
        "SELECT 1",
    ] {
        console.rows(look);
    }
    let name = &pooler.database;
    let changes = [
        "SHOW FDS".to_owned(),
        "PAUSE".to_owned(),
        format!("PAUSE {name}"),
        "RESUME".to_owned(),
        "SUSPEND".to_owned(),
        format!("DISABLE {name}"),
        format!("ENABLE {name}"),
        "RECONNECT".to_owned(),
        "KILL".to_owned(),
        "KILL_CLIENT 1".to_owned(),
        "WAIT_CLOSE".to_owned(),
        "RELOAD".to_owned(),
        "SHUTDOWN".to_owned(),
        "SHUTDOWN WAIT_FOR_CLIENTS".to_owned(),
        "SET query_timeout = 1".to_owned(),
    ];
    for change in changes {
        assert_eq!(
            complaint(&mut console, &change),
            "admin access needed",
            "{change}"
        );
    }
    assert_eq!(client.value("SELECT 2"), "2");
}

#[test]
fn who_is_not_named_does_not_come_in() {
    let database = Cluster::shared().database();
    let pooler = plan(&database).user("guest", "unused").start();
    for name in ["pgweave", "pgbouncer"] {
        let refused = Connection::try_login(pooler.address, &Startup::new("guest", name));
        let told = refused.err().expect("guest is no admin");
        assert_eq!(first_error(&told).as_deref(), Some("28000"));
    }
}

#[test]
fn the_consoles_clients_prove_who_they_are() {
    let database = Cluster::shared().database();
    let pooler = plan(&database)
        .setting("auth_type", "\"scram-sha-256\"")
        .setting("admin_users", "\"root\"")
        .user("root", "secret")
        .start();
    let startup = Startup::new("root", "pgweave");
    let wrong = Connection::try_login(pooler.address, &startup.clone().password("wrong"));
    let told = wrong.err().expect("the password is wrong");
    assert_eq!(first_error(&told).as_deref(), Some("28P01"));
    let mut console = Connection::login(pooler.address, &startup.password("secret"));
    assert_eq!(tag(&mut console, "SHOW STATS"), "SHOW");
    // The owner of the process is known by its socket only, which TCP is not.
    let owner = Connection::try_login(pooler.address, &Startup::new("pgbouncer", "pgbouncer"));
    assert!(owner.is_err());
}

#[test]
fn an_admin_comes_in_when_there_are_too_many_clients() {
    let database = Cluster::shared().database();
    let pooler = plan(&database).setting("max_client_conn", "1").start();
    let _client = pooler.client();
    assert!(Connection::try_login(pooler.address, &pooler.startup()).is_err());
    assert_eq!(tag(&mut super::console(&pooler), "SHOW CLIENTS"), "SHOW");
}
