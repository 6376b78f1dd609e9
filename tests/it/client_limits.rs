//! How many clients there may be of a database and of a user, what connections
//! are opened with, and what is logged of clients.

use crate::support::pooler::Plan;
use crate::support::postgres::Cluster;
use crate::support::raw::{Connection, first_error};
use crate::support::startup::Startup;
use crate::support::wait;

#[test]
fn the_next_client_of_a_database_or_a_user_is_refused() {
    let database = Cluster::shared().database();
    let pooler = Plan::before(&database)
        .without_fallback()
        .database_lines("max_db_client_connections = 3")
        .user_lines("guest", "max_user_client_connections = 1")
        .start();
    let come = |user: &str| {
        let startup = Startup::new(user, &database.name);
        Connection::try_login(pooler.address, &startup)
    };
    let refused = |user: &str| first_error(&come(user).err().expect("refused"));
    let guest = come("guest").ok().unwrap();
    assert_eq!(refused("guest").as_deref(), Some("53300"));
    let _others = [
        come("postgres").ok().unwrap(),
        come("postgres").ok().unwrap(),
    ];
    assert_eq!(refused("postgres").as_deref(), Some("53300"));
    guest.terminate();
    wait::until(wait::SOON, "a place", || come("guest").is_ok());
}

#[test]
fn a_database_says_what_clients_leave_unsaid() {
    let database = Cluster::shared().database();
    let pooler = Plan::before(&database)
        .without_fallback()
        .database_lines("timezone = \"Asia/Tokyo\"\nclient_encoding = \"LATIN1\"\napplication_name = \"of the database\"")
        .start();
    let mut client = pooler.client();
    let settings = "SELECT current_setting('TimeZone') || ' ' || current_setting('client_encoding') \
                    || ' ' || current_setting('application_name')";
    assert_eq!(client.value(settings), "Asia/Tokyo LATIN1 of the database");
    // They are defaults.
    client.rows("SET TimeZone = 'UTC'");
    client.rows("RESET TimeZone");
    assert_eq!(client.value("SHOW TimeZone"), "Asia/Tokyo");
    let said = pooler
        .startup()
        .with("timezone", "UTC")
        .with("application_name", "own");
    let mut other = Connection::login(pooler.address, &said);
    assert_eq!(other.value(settings), "UTC LATIN1 own");
}

#[test]
fn clients_that_come_and_go_are_logged_unless_that_is_off() {
    let database = Cluster::shared().database();
    let loud = Plan::before(&database).start();
    let quiet = Plan::before(&database)
        .setting("log_connections", "false")
        .setting("log_disconnections", "false")
        .setting("log_pooler_errors", "false")
        .start();
    for pooler in [&loud, &quiet] {
        pooler.client().terminate();
        let odd = Startup::new("a\nb", &database.name);
        assert!(Connection::try_login(pooler.address, &odd).is_err());
    }
    wait::until(wait::SOON, "both lines", || {
        let log = loud.log();
        let came = format!("login: db={} user=postgres tls=false", database.name);
        log.contains(&came)
            && log.contains("closing because: client close request (age=")
            && log.contains("login failed: ")
    });
    let log = quiet.log();
    for line in ["INFO login: ", "client close request", "INFO login failed"] {
        assert!(!log.contains(line), "{line} in {log}");
    }
    // What strangers say of themselves makes no lines of its own.
    assert!(!loud.log().lines().any(|line| line.starts_with('b')));
}
