//! `auth_query`: the server tells users' secrets.

use super::{attempt, outcome, told};
use crate::support::pooler::{Plan, Pooler};
use crate::support::postgres::{Cluster, Database};
use crate::support::raw::{Connection, first_error};
use crate::support::startup::Startup;
use crate::support::wait;

fn asking(database: &Database) -> Plan {
    Plan::before(database)
        .without_fallback()
        .pool_size(2)
        .setting("auth_type", "\"scram-sha-256\"")
        .setting("auth_user", "\"postgres\"")
}

fn role(name: &str, sql: &str) {
    let mut admin = Cluster::shared().admin();
    admin.rows(&format!("DROP ROLE IF EXISTS {name}"));
    admin.rows(&format!("CREATE ROLE {name} {sql}"));
}

#[test]
fn whoever_is_not_listed_is_asked_for_and_logs_in_with_what_it_proves() {
    let database = Cluster::shared().database();
    let pooler = asking(&database).start();
    // The server asks login_scram for SCRAM: its keys are passed through.
    assert_eq!(outcome(&pooler, "login_scram", "scram secret"), "ok");
    assert_eq!(outcome(&pooler, "login_scram", "wrong"), "28P01");
    assert_eq!(outcome(&pooler, "nobody_at_all", "x"), "28P01");
    // It has but an md5 hash at the server, which SCRAM cannot use.
    assert_eq!(outcome(&pooler, "login_md5", "md5 secret"), "28P01");
}

#[test]
fn an_md5_hash_logs_in_where_the_server_asks_for_md5() {
    let database = Cluster::shared().database();
    let pooler = asking(&database).setting("auth_type", "\"md5\"").start();
    assert_eq!(outcome(&pooler, "login_md5", "md5 secret"), "ok");
    // It has a verifier: by SCRAM.
    assert_eq!(outcome(&pooler, "login_scram", "scram secret"), "ok");
    assert_eq!(outcome(&pooler, "login_md5", "wrong"), "28P01");
}

#[test]
fn a_stranger_cannot_tell_who_is_known() {
    let database = Cluster::shared().database();
    let pooler = asking(&database).start();
    let frames = |user: &str, database: &str| {
        let startup = Startup::new(user, database).password("wrong");
        let frames = Connection::try_login(pooler.address, &startup)
            .err()
            .expect("refused");
        assert_eq!(first_error(&frames).as_deref(), Some("28P01"), "{user}");
        let shape = |frame: &crate::support::frames::Frame| {
            let length = frame.body.len();
            (frame.tag, if frame.tag == b'E' { 0 } else { length })
        };
        frames.iter().map(shape).collect::<Vec<_>>()
    };
    let known = frames("login_scram", &database.name);
    assert_eq!(frames("nobody_at_all", &database.name), known);
    assert_eq!(frames("nobody_at_all", "nowhere"), known);
    assert_eq!(frames("login_scram", "nowhere"), known);
}

#[test]
fn no_name_that_a_stranger_says_is_a_database_that_is_asked() {
    let cluster = Cluster::private();
    let database = cluster.database();
    let pooler = Plan::before(&database)
        .setting("auth_type", "\"scram-sha-256\"")
        .setting("auth_user", "\"postgres\"")
        .setting("auth_failures_per_minute", "0")
        .start();
    let code = |name: &str| {
        let startup = Startup::new("nobody_at_all", name).password("x");
        let refused = Connection::try_login(pooler.address, &startup);
        first_error(&refused.err().unwrap())
    };
    for name in [&database.name, "template1", "not_there", "nor_there"] {
        assert_eq!(code(name).as_deref(), Some("28P01"), "{name}");
    }
    let asks = "SELECT string_agg(datname, ',') FROM pg_stat_activity WHERE application_name = 'pgweave asks for a user'";
    assert_eq!(cluster.admin().value(asks), "postgres");
}

#[test]
fn who_has_expired_or_may_not_log_in_is_refused() {
    role("query_old", "LOGIN PASSWORD 'x' VALID UNTIL 'yesterday'");
    role("query_young", "LOGIN PASSWORD 'x' VALID UNTIL 'tomorrow'");
    role("query_group", "PASSWORD 'x'");
    let database = Cluster::shared().database();
    let pooler = asking(&database).start();
    assert_eq!(outcome(&pooler, "query_old", "x"), "28P01");
    assert_eq!(outcome(&pooler, "query_young", "x"), "ok");
    assert_eq!(outcome(&pooler, "query_group", "x"), "28P01");
}

#[test]
fn a_changed_password_is_noticed_after_one_failure() {
    role("query_changes", "LOGIN PASSWORD 'old'");
    let database = Cluster::shared().database();
    let pooler = asking(&database)
        .setting("auth_cache_ttl", "\"1h\"")
        .start();
    assert_eq!(outcome(&pooler, "query_changes", "old"), "ok");
    let mut admin = Cluster::shared().admin();
    admin.rows("ALTER ROLE query_changes PASSWORD 'new'");
    assert_eq!(outcome(&pooler, "query_changes", "new"), "28P01");
    assert_eq!(outcome(&pooler, "query_changes", "new"), "ok");
    assert_eq!(outcome(&pooler, "query_changes", "old"), "28P01");
}

#[test]
fn nothing_that_a_client_asks_for_reaches_the_connection_that_asks() {
    let database = Cluster::shared().database();
    let mut admin = database.direct();
    // Were the search_path the client's, this would be found.
    admin.rows("CREATE SCHEMA trap");
    admin.rows("CREATE FUNCTION trap.secret_of(text) RETURNS TABLE (a text, b text) LANGUAGE sql AS $$ SELECT $1, 'x' $$");
    let every_session = format!(
        "ALTER DATABASE \"{}\" SET search_path = trap",
        database.name
    );
    admin.rows(&every_session);
    let query = "SELECT * FROM secret_of($1)";
    let pooler = asking(&database)
        .setting("auth_query", &format!("{query:?}"))
        .start();
    let startup = Startup::new("login_scram", &database.name)
        .with("search_path", "trap, public")
        .with("options", "-c search_path=trap")
        .password("x");
    let found = told(Connection::try_login(pooler.address, &startup));
    assert_eq!(found, "XX000");
    wait::until(wait::SOON, "the reason in the log", || {
        pooler.log().contains("auth_query failed")
    });
    let named = asking(&database)
        .setting("auth_query", "\"SELECT * FROM trap.secret_of($1)\"")
        .start();
    // The stored secret is 'x'; the server wants another.
    assert_eq!(outcome(&named, "login_scram", "x"), "28P01");
    assert_eq!(outcome(&named, "guest", "x"), "ok");
}

#[test]
fn a_secret_of_somebody_else_lets_nobody_in() {
    let database = Cluster::shared().database();
    let pooler = asking(&database)
        .setting("auth_query", "\"SELECT 'postgres', 'x' WHERE $1 <> ''\"")
        .start();
    assert_eq!(outcome(&pooler, "guest", "x"), "XX000");
}

#[test]
fn without_the_server_nobody_learns_where_it_is() {
    let port = crate::support::machine::free_port();
    let pooler = Plan::before_address(([127, 0, 0, 1], port).into(), "app")
        .setting("auth_type", "\"scram-sha-256\"")
        .setting("auth_user", "\"postgres\"")
        .start();
    let startup = Startup::new("guest", "app").password("x");
    let frames = Connection::try_login(pooler.address, &startup)
        .err()
        .unwrap();
    assert_eq!(first_error(&frames).as_deref(), Some("08001"));
    let told = crate::support::raw::render_all(&frames).join("\n");
    assert!(!told.contains(&port.to_string()), "{told}");
}

#[test]
fn many_at_once_share_one_connection_and_few_questions() {
    let database = Cluster::shared().database();
    let pooler = asking(&database)
        .setting("auth_cache_ttl", "\"1h\"")
        .start();
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| assert_eq!(outcome(&pooler, "login_scram", "scram secret"), "ok"));
        }
    });
    assert_eq!(questions(&pooler), "1");
}

#[test]
fn the_connection_that_asks_is_opened_anew_when_it_breaks() {
    let database = Cluster::shared().database();
    let pooler = asking(&database).setting("auth_cache_ttl", "0").start();
    for _ in 0..2 {
        assert_eq!(outcome(&pooler, "login_scram", "scram secret"), "ok");
        let mut admin = Cluster::shared().admin();
        let asker = "application_name = 'pgweave asks for a user'";
        let of_this = format!("{asker} AND datname = '{}'", pooler.database);
        admin.rows(&format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {of_this}"
        ));
        wait::until(wait::SOON, "the backend to be gone", || {
            Cluster::shared().database().backends(&of_this) == 0
        });
    }
    assert!(attempt(&pooler, "login_scram", "scram secret").is_ok());
}

/// Connections that ask.
fn questions(pooler: &Pooler) -> String {
    let mut admin = Cluster::shared().admin();
    admin.value(&format!(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pgweave asks for a user' AND datname = '{}'",
        pooler.database
    ))
}
