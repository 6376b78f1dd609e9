//! How pgweave talks to servers.

use super::{eavesdropper, in_tls};
use crate::support::certificates::{Authority, Folder, Issued};
use crate::support::fake_server::{FakeServer, error};
use crate::support::frames::ssl_request;
use crate::support::pooler::{Plan, Pooler};
use crate::support::postgres::{Cluster, Database};
use crate::support::raw::{Connection, first_error};
use crate::support::startup::Startup;
use crate::support::wait;

/// A pooler with `server_tls_sslmode`, which trusts `authority`.
fn pooler(database: &Database, mode: &str, authority: &Authority, host: &str) -> (Pooler, Folder) {
    let folder = Folder::new();
    let ca = folder.put("ca.crt", &authority.pem);
    let plan = Plan::before(database)
        .pool_size(1)
        .setting("server_tls_sslmode", &format!("{mode:?}"))
        .setting("server_tls_ca_file", &format!("{ca:?}"))
        .host(host);
    (plan.start(), folder)
}

/// What a login through a pooler comes to: whether its server connection is
/// encrypted, or the error.
fn outcome(pooler: &Pooler, user: &str) -> Result<bool, String> {
    match Connection::try_login(pooler.address, &Startup::new(user, &pooler.database)) {
        Ok(mut client) => Ok(in_tls(&mut client)),
        Err(frames) => Err(first_error(&frames).unwrap_or_default()),
    }
}

#[test]
fn each_mode_does_what_it_says_to_a_server_with_tls() {
    let database = Cluster::with_tls().database();
    let (ours, strange) = (Authority::of_the_cluster(), Authority::new());
    let failed = || Err("08001".to_owned());
    let cases = [
        ("disable", &strange, "127.0.0.1", Ok(false)),
        ("allow", &strange, "127.0.0.1", Ok(false)),
        ("prefer", &strange, "127.0.0.1", Ok(true)),
        ("require", &strange, "127.0.0.1", Ok(true)),
        ("verify-ca", &strange, "localhost", failed()),
        ("verify-ca", ours, "127.0.0.1", Ok(true)),
        // The certificate is for localhost only.
        ("verify-full", ours, "127.0.0.1", failed()),
        ("verify-full", ours, "localhost", Ok(true)),
        ("verify-full", &strange, "localhost", failed()),
    ];
    for (mode, authority, host, expected) in cases {
        let (pooler, _folder) = pooler(&database, mode, authority, host);
        assert_eq!(outcome(&pooler, "postgres"), expected, "{mode} {host}");
    }
}

#[test]
fn each_mode_does_what_it_says_to_a_server_without_tls() {
    let database = Cluster::shared().database();
    let authority = Authority::new();
    for (mode, passes) in [
        ("disable", true),
        ("allow", true),
        ("prefer", true),
        ("require", false),
        ("verify-ca", false),
        ("verify-full", false),
    ] {
        let (pooler, _folder) = pooler(&database, mode, &authority, "127.0.0.1");
        let expected = if passes {
            Ok(false)
        } else {
            Err("08001".to_owned())
        };
        assert_eq!(outcome(&pooler, "postgres"), expected, "{mode}");
    }
}

#[test]
fn the_weak_modes_try_the_other_way_when_the_server_lets_nobody_in_by_one() {
    let database = Cluster::with_tls().database();
    let authority = Authority::new();
    let refused = || Err("28000".to_owned());
    for (mode, only_tls, only_clear) in [
        ("disable", refused(), Ok(false)),
        ("allow", Ok(true), Ok(false)),
        ("prefer", Ok(true), Ok(false)),
        ("require", Ok(true), refused()),
    ] {
        let (pooler, _folder) = pooler(&database, mode, &authority, "127.0.0.1");
        assert_eq!(outcome(&pooler, "only_tls"), only_tls, "{mode}");
        assert_eq!(outcome(&pooler, "only_clear"), only_clear, "{mode}");
    }
}

#[test]
fn a_certificate_is_shown_to_servers_that_ask_for_one() {
    let database = Cluster::with_tls().database();
    let folder = Folder::new();
    let start = |issued: Issued| {
        Plan::before(&database)
            .setting("server_tls_sslmode", "\"require\"")
            .setting(
                "server_tls_cert_file",
                &format!("{:?}", folder.put("me.crt", &issued.cert)),
            )
            .setting(
                "server_tls_key_file",
                &format!("{:?}", folder.put("me.key", &issued.key)),
            )
            .start()
    };
    let good = start(Authority::of_the_cluster().issue(&["me"]));
    assert_eq!(outcome(&good, "with_cert"), Ok(true));
    let none = Plan::before(&database).start();
    assert_eq!(outcome(&none, "with_cert"), Err("28000".to_owned()));
    let bad = start(Authority::new().issue(&["me"]));
    assert!(outcome(&bad, "with_cert").is_err());
}

#[test]
fn a_database_may_have_settings_of_its_own() {
    let database = Cluster::with_tls().database();
    let folder = Folder::new();
    let ca = folder.put("ca.crt", &Authority::of_the_cluster().pem);
    let own = format!(
        "[databases.checked]\nhost = \"localhost\"\nport = {}\ndbname = {:?}\n\
         server_tls_sslmode = \"verify-full\"\nserver_tls_ca_file = {ca:?}\n\
         [databases.clear]\nhost = \"127.0.0.1\"\nport = {}\ndbname = {:?}\n\
         server_tls_sslmode = \"disable\"",
        database.cluster.address().port(),
        database.name,
        database.cluster.address().port(),
        database.name,
    );
    let pooler = Plan::before(&database).database_lines(&own).start();
    for (name, encrypted) in [("checked", true), ("clear", false)] {
        let mut client = Connection::superuser(pooler.address, name);
        assert_eq!(in_tls(&mut client), encrypted, "{name}");
    }
}

#[test]
fn a_unix_socket_is_never_encrypted() {
    let database = Cluster::with_tls().database();
    let directory = database.cluster.socket_directory();
    let pooler = Plan::before(&database)
        .setting("server_tls_sslmode", "\"require\"")
        .host(&directory)
        .start();
    assert_eq!(outcome(&pooler, "postgres"), Ok(false));
}

#[test]
fn a_server_that_fails_the_handshake_is_talked_to_in_clear_text_by_prefer_alone() {
    let database = Cluster::with_tls().database();
    let least = |version: &str| {
        let mut admin = database.cluster.admin();
        admin.rows(&format!(
            "ALTER SYSTEM SET ssl_min_protocol_version = '{version}'"
        ));
        admin.rows("SELECT pg_reload_conf()");
        wait::until(wait::SOON, "the server to have read it", || {
            let mut new = database.cluster.admin();
            new.value("SHOW ssl_min_protocol_version") == version
        });
    };
    // Versions that do not meet; nobody else here speaks less than 1.3.
    least("TLSv1.3");
    let outcomes = ["prefer", "require"].map(|mode| {
        let pooler = Plan::before(&database)
            .setting("server_tls_sslmode", &format!("{mode:?}"))
            .setting("server_tls_protocols", "\"tlsv1.2\"")
            .start();
        outcome(&pooler, "postgres")
    });
    least("TLSv1.2");
    assert_eq!(outcomes, [Ok(false), Err("08001".to_owned())]);
}

#[test]
fn a_wrong_password_is_not_tried_again_in_clear_text() {
    let database = Cluster::with_tls().database();
    let (address, heard) = eavesdropper(database.cluster.address());
    let pooler = Plan::before_address(address, &database.name)
        .user("login_scram", "wrong")
        .start();
    let startup = Startup::new("login_scram", &pooler.database);
    let refused = Connection::try_login(pooler.address, &startup);
    let told = refused.err().expect("refused");
    assert_eq!(first_error(&told).as_deref(), Some("28P01"));
    assert_eq!(heard.try_iter().collect::<Vec<_>>(), [ssl_request()]);
}

#[test]
fn a_server_without_tls_that_lets_nobody_in_is_asked_once() {
    for mode in ["disable", "prefer"] {
        let server = FakeServer::refusing(usize::MAX, error("FATAL", "28000", "not you"));
        let pooler = Plan::before_address(server.address, "any")
            .setting("server_tls_sslmode", &format!("{mode:?}"))
            .start();
        assert_eq!(outcome(&pooler, "postgres"), Err("28000".to_owned()));
        assert_eq!(server.logins(), 1, "{mode}");
    }
}
