//! Who may come in, what a stranger learns, and how pgweave itself logs in.

use crate::support::frames::Frame;
use crate::support::pooler::{Plan, Pooler};
use crate::support::postgres::{Cluster, Database};
use crate::support::raw::{Connection, first_error};
use crate::support::startup::Startup;
use crate::support::transcript::render;

const WAYS: [&str; 3] = ["plain", "md5", "scram-sha-256"];
const SECRET: &str = "correct horse";

fn asking_for(way: &str, database: &Database) -> Pooler {
    Plan::before(database)
        .without_fallback()
        .setting("auth_type", &format!("{way:?}"))
        .user("guest", SECRET)
        .pool_size(1)
        .start()
}

fn attempt(
    pooler: &Pooler,
    user: &str,
    database: &str,
    password: &str,
) -> Result<Connection, Vec<Frame>> {
    Connection::try_login(
        pooler.address,
        &Startup::new(user, database).password(password),
    )
}

#[test]
fn the_right_password_is_enough() {
    let database = Cluster::shared().database();
    for way in WAYS {
        let pooler = asking_for(way, &database);
        let mut client =
            attempt(&pooler, "guest", &database.name, SECRET).unwrap_or_else(|_| panic!("{way}"));
        assert_eq!(client.value("SELECT session_user"), "guest");
        assert_ne!(
            client.greeting[0].body,
            [0, 0, 0, 0],
            "{way}: a password was asked for"
        );
    }
}

#[test]
fn a_stranger_cannot_tell_what_was_wrong() {
    let database = Cluster::shared().database();
    for way in WAYS {
        let pooler = asking_for(way, &database);
        let seen = |user: &str, name: &str, password: &str| -> Vec<String> {
            let frames = attempt(&pooler, user, name, password)
                .err()
                .expect("refused");
            assert_eq!(
                first_error(&frames).as_deref(),
                Some("28P01"),
                "{way} {user} {name}"
            );
            frames.iter().map(|frame| shape(frame, user)).collect()
        };
        let wrong_password = seen("guest", &database.name, "wrong");
        assert_eq!(
            seen("nobody", &database.name, "wrong"),
            wrong_password,
            "{way}: unknown user"
        );
        assert_eq!(
            seen("guest", "nowhere", "wrong"),
            wrong_password,
            "{way}: unknown database"
        );
        assert_eq!(
            seen("nobody", "nowhere", "wrong"),
            wrong_password,
            "{way}: unknown both"
        );
        assert_eq!(
            seen("nobody", &database.name, SECRET),
            wrong_password,
            "{way}: another's password"
        );
        assert_eq!(
            seen("guest", &database.name, ""),
            wrong_password,
            "{way}: empty password"
        );
    }
}

/// A frame without its random parts and the name that the client itself gave.
fn shape(frame: &Frame, user: &str) -> String {
    match frame.tag {
        b'R' => format!(
            "Authentication {:?}, {} bytes",
            &frame.body[..4],
            frame.body.len()
        ),
        _ => render(frame).replace(user, "USER"),
    }
}

#[test]
fn an_unknown_database_is_named_after_authentication_only() {
    let database = Cluster::shared().database();
    for way in WAYS {
        let pooler = asking_for(way, &database);
        let frames = attempt(&pooler, "guest", "nowhere", SECRET)
            .err()
            .expect("there is no such database");
        assert_eq!(first_error(&frames).as_deref(), Some("3D000"), "{way}");
    }
}

#[test]
fn a_database_that_the_server_does_not_know_is_its_own_error() {
    let database = Cluster::shared().database();
    let pooler = Plan::before(&database).pool_size(1).start();
    let frames = attempt(&pooler, "postgres", "nowhere_at_all", "")
        .err()
        .expect("the server refuses");
    assert_eq!(first_error(&frames).as_deref(), Some("3D000"));
    assert_eq!(pooler.client().value("SELECT 1"), "1");
}

#[test]
fn secrets_may_be_stored_as_postgresql_stores_them() {
    let database = Cluster::shared().database();
    let stored = |role: &str| {
        database.direct().value(&format!(
            "SELECT rolpassword FROM pg_authid WHERE rolname = '{role}'"
        ))
    };
    for (way, role, secret) in [
        ("scram-sha-256", "login_scram", "scram secret"),
        ("md5", "login_md5", "md5 secret"),
        ("plain", "login_scram", "scram secret"),
        ("plain", "login_md5", "md5 secret"),
    ] {
        let pooler = Plan::before(&database)
            .setting("auth_type", &format!("{way:?}"))
            .user(role, &stored(role))
            .database_lines("user = \"postgres\"\npassword = \"unused\"")
            .pool_size(1)
            .start();
        let mut client = attempt(&pooler, role, &database.name, secret)
            .unwrap_or_else(|f| panic!("{way} {role}: {f:?}"));
        assert_eq!(
            client.value("SELECT session_user"),
            "postgres",
            "the forced user"
        );
        let refusal = attempt(&pooler, role, &database.name, "wrong")
            .err()
            .expect("a wrong password");
        assert_eq!(first_error(&refusal).as_deref(), Some("28P01"));
        assert!(
            !pooler.log().contains(&stored(role)) && !pooler.log().contains(secret),
            "no secret in the log"
        );
    }
}

#[test]
fn pgweave_logs_in_to_the_server_in_every_way() {
    let database = Cluster::shared().database();
    for (role, secret) in [
        ("login_md5", "md5 secret"),
        ("login_scram", "scram secret"),
        ("login_plain", "plain secret"),
    ] {
        for way in ["trust", "plain", "scram-sha-256"] {
            let pooler = Plan::before(&database)
                .setting("auth_type", &format!("{way:?}"))
                .user(role, secret)
                .pool_size(1)
                .start();
            let mut client = attempt(&pooler, role, &database.name, secret)
                .unwrap_or_else(|f| panic!("{way} {role}: {f:?}"));
            assert_eq!(client.value("SELECT session_user"), role);
            assert!(!pooler.log().contains(secret), "no secret in the log");
        }
    }
}

#[test]
fn the_servers_refusal_of_our_password_reaches_the_client_as_an_error() {
    let database = Cluster::shared().database();
    for role in ["login_md5", "login_scram", "login_plain"] {
        let pooler = Plan::before(&database)
            .user(role, "not what the server has")
            .pool_size(1)
            .start();
        let frames = match attempt(&pooler, role, &database.name, "") {
            Err(frames) => frames,
            Ok(mut client) => client.query("SELECT 1"),
        };
        assert!(
            first_error(&frames)
                .is_some_and(|code| code.starts_with("28") || code.starts_with("08")),
            "{role}"
        );
    }
}

#[test]
fn nothing_reaches_a_server_before_authentication() {
    let server = crate::support::fake_server::FakeServer::start(|_, peer| peer.until_closed());
    let pooler = Plan::before_address(server.address, "app")
        .setting("auth_type", "\"scram-sha-256\"")
        .user("guest", SECRET)
        .start();
    for _ in 0..5 {
        let startup = Startup::new("guest", "app").password("wrong");
        assert!(Connection::try_login(pooler.address, &startup).is_err());
        let mut impatient = Connection::open(pooler.address);
        impatient.send(
            &[
                Startup::new("guest", "app").to_bytes(),
                crate::support::frames::query("SELECT 1"),
            ]
            .concat(),
        );
        let frames = impatient.until_end("the end of a client that did not authenticate");
        assert!(
            frames.iter().all(|frame| matches!(frame.tag, b'R' | b'E')),
            "{frames:?}"
        );
    }
    assert_eq!(server.logins(), 0, "no server connection for a stranger");
    assert_eq!(server.received(), []);
}
