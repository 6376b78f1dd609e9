//! `auth_type = "passthrough"`: whoever the server lets in.

use super::{attempt, outcome};
use crate::support::pooler::{Plan, Pooler};
use crate::support::postgres::{Cluster, Database};
use crate::support::raw::{Connection, first_error};
use crate::support::startup::Startup;

fn before(database: &Database) -> Pooler {
    plan(database).start()
}

fn plan(database: &Database) -> Plan {
    Plan::before(database)
        .pool_size(2)
        .setting("auth_type", "\"passthrough\"")
}

#[test]
fn whoever_the_server_lets_in_comes_in_and_nobody_else() {
    let database = Cluster::shared().database();
    let pooler = before(&database);
    for way in ["plain", "md5", "scram"] {
        let (user, secret) = (format!("login_{way}"), format!("{way} secret"));
        assert_eq!(outcome(&pooler, &user, "wrong"), "28P01");
        assert_eq!(outcome(&pooler, &user, &secret), "ok");
        // Now it is known, and a wrong one is asked about all the same.
        assert_eq!(outcome(&pooler, &user, "wrong"), "28P01");
        assert_eq!(outcome(&pooler, &user, ""), "28P01");
        let mut client = attempt(&pooler, &user, &secret).unwrap();
        assert_eq!(client.value("SELECT session_user"), user);
    }
}

#[test]
fn who_is_known_is_not_asked_about_again_for_a_while() {
    let database = Cluster::shared().database();
    let pooler = plan(&database).setting("auth_cache_ttl", "\"1h\"").start();
    let mut admin = Cluster::shared().admin();
    admin.rows("DROP ROLE IF EXISTS pass_asked");
    admin.rows("CREATE ROLE pass_asked LOGIN PASSWORD 'x'");
    // The server trusts this one, so that it cannot tell.
    assert_eq!(outcome(&pooler, "pass_asked", "x"), "28000");
    assert_eq!(outcome(&pooler, "login_scram", "scram secret"), "ok");
    let before = admin.value("SELECT sum(sessions) FROM pg_stat_database");
    for _ in 0..5 {
        assert_eq!(outcome(&pooler, "login_scram", "scram secret"), "ok");
    }
    let log = pooler.log();
    let opened = log.matches("new connection to server").count();
    assert_eq!(opened, 1, "{before}\n{log}");
}

#[test]
fn a_changed_password_is_taken_at_once() {
    let database = Cluster::shared().database();
    let pooler = plan(&database).setting("auth_cache_ttl", "\"1h\"").start();
    let mut admin = Cluster::shared().admin();
    admin.rows("SET password_encryption = 'scram-sha-256'");
    let outcomes = |password: &str| outcome(&pooler, "login_plain", password);
    assert_eq!(outcomes("plain secret"), "ok");
    admin.rows("ALTER ROLE login_plain PASSWORD 'changed'");
    let taken = outcomes("changed");
    admin.rows("ALTER ROLE login_plain PASSWORD 'plain secret'");
    assert_eq!(taken, "ok");
}

#[test]
fn a_database_that_is_not_there_is_told_to_users_alone() {
    let database = Cluster::shared().database();
    let pooler = plan(&database).without_fallback().start();
    let code = |password: &str| {
        let startup = Startup::new("login_scram", "nowhere").password(password);
        let refused = Connection::try_login(pooler.address, &startup);
        first_error(&refused.err().unwrap())
    };
    assert_eq!(code("wrong").as_deref(), Some("28P01"));
    assert_eq!(code("scram secret").as_deref(), Some("3D000"));
}

#[test]
fn no_server_says_who_may_use_the_console() {
    let database = Cluster::shared().database();
    let pooler = plan(&database)
        .setting("admin_users", "\"login_scram\"")
        .start();
    let startup = Startup::new("login_scram", "pgweave").password("scram secret");
    let refused = Connection::try_login(pooler.address, &startup);
    assert_eq!(
        first_error(&refused.err().unwrap()).as_deref(),
        Some("28000")
    );
}

#[test]
fn no_password_stands_in_the_log() {
    let database = Cluster::shared().database();
    let pooler = plan(&database).setting("log_level", "\"debug\"").start();
    assert_eq!(outcome(&pooler, "login_scram", "scram secret"), "ok");
    assert_eq!(outcome(&pooler, "login_scram", "my guess"), "28P01");
    let log = pooler.log();
    assert!(!log.contains("scram secret") && !log.contains("my guess"));
}
