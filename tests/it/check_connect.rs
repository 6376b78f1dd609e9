//! `pgweave check --connect`: each mistake in its own words, and pools that are too
//! large for their server.

use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Output};

use crate::support::certificates::{Authority, Folder};
use crate::support::machine::free_port;
use crate::support::pooler::Plan;
use crate::support::postgres::{Cluster, Database};
use crate::support::raw::{Connection, first_error};
use crate::support::wait;

fn pgweave(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_pgweave"))
        .args(arguments)
        .env_clear()
        .envs(variables.iter().copied())
        .output()
        .unwrap()
}

/// What is said of a configuration, and whether all is fine.
fn tried(text: &str) -> (String, bool) {
    let folder = Folder::new();
    let file = folder.put("pgweave.toml", text);
    let output = pgweave(&["check", "--connect", &file], &[]);
    let code = output.status.code();
    assert!(matches!(code, Some(0 | 1)), "{output:?}");
    let told = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(code == Some(0), errors.is_empty(), "{errors}");
    (told + &errors, code == Some(0))
}

/// One database at this server, as a user that it names.
fn one(database: &str, address: SocketAddr, user: &str, more: &str) -> String {
    format!(
        "[pgweave]\nauth_type = 'trust'\nauth_trust_unlisted = false\nserver_connect_timeout = '2s'\n{more}\n\
         [databases.app]\nhost = '{}'\nport = {}\ndbname = '{database}'\nuser = '{user}'\n",
        address.ip(),
        address.port()
    )
}

/// Everything is fine, or these words stand in what is said, and no secret.
fn says(text: &str, parts: &[&str]) {
    let (told, is_fine) = tried(text);
    assert!(!is_fine && told.contains("WRONG  "), "{told}");
    assert!(!told.contains("sesame"), "{told}");
    for part in parts {
        assert!(told.contains(part), "{part:?} is not in: {told}");
    }
}

#[test]
fn what_can_be_used_is_told_with_its_facts() {
    let database = Cluster::shared().database();
    let address = database.cluster.address();
    let (told, is_fine) = tried(&one(&database.name, address, "guest", ""));
    assert!(is_fine, "{told}");
    for part in [
        " is fine: 1 database, 0 users; it listens on 127.0.0.1:6432.",
        &format!(
            "ok       database app at {address}, there {}, as guest: PostgreSQL ",
            database.name
        ),
        ", no TLS, logged in within ",
        "300 connections allowed",
        &format!(
            "server {address}: its pools may open 21 connections (20 for queries, 1 beside them); it has 297"
        ),
        "Connect:   psql \"host=127.0.0.1 port=6432 dbname=app user=USER\"",
    ] {
        assert!(told.contains(part), "{part:?} is not in: {told}");
    }
}

#[test]
fn a_server_in_tls_and_one_behind_a_unix_socket_are_reached() {
    let cluster = Cluster::with_tls();
    let database = cluster.database();
    let folder = Folder::new();
    let ca = folder.put("ca.crt", &Authority::of_the_cluster().pem);
    let settings = format!("server_tls_sslmode = 'verify-full'\nserver_tls_ca_file = '{ca}'");
    let text = one(&database.name, cluster.address(), "guest", &settings);
    let (told, is_fine) = tried(&text.replace("host = '127.0.0.1'", "host = 'localhost'"));
    assert!(is_fine && told.contains(", TLS 1.3, "), "{told}");
    let socket = cluster.socket_directory();
    let text = text.replace("host = '127.0.0.1'", &format!("host = '{socket}'"));
    let (told, is_fine) = tried(&text);
    assert!(
        is_fine && told.contains(&format!("app at {socket}/.s.PGSQL.")),
        "{told}"
    );
}

#[test]
fn nobody_there_is_told_by_what_kind_of_nobody() {
    let nobody: SocketAddr = ([127, 0, 0, 1], free_port()).into();
    let text = one("app", nobody, "guest", "");
    says(
        &text,
        &[
            "Connection refused",
            "(SQLSTATE 08001)",
            "Nothing listens at that address and port",
        ],
    );
    let unknown = text.replace("'127.0.0.1'", "'db.invalid'");
    says(
        &unknown,
        &["could not resolve the host name", "Is the name right"],
    );
    let folder = Folder::new();
    let socket = text.replace("'127.0.0.1'", &format!("'{}'", folder.path().display()));
    says(&socket, &["No such file", "Nobody listens at that socket"]);
    // Somebody takes the connection and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let text = one(
        "app",
        silent.local_addr().unwrap(),
        "guest",
        "server_tls_sslmode = 'disable'",
    );
    says(
        &text,
        &[
            "timed out while logging in",
            "takes the connection there and says nothing",
        ],
    );
}

#[test]
fn each_of_several_hosts_is_tried() {
    let database = Cluster::shared().database();
    let address = database.cluster.address();
    let text = one(&database.name, address, "guest", "");
    let text = text.replace("host = '127.0.0.1'", "host = '127.0.0.1,127.0.0.9'");
    let (told, is_fine) = tried(&text);
    let of = |host: &str, mark: &str| {
        let line = format!("app at {host}:{},", address.port());
        told.lines()
            .any(|told| told.starts_with(mark) && told.contains(&line))
    };
    assert!(
        !is_fine && of("127.0.0.1", "ok ") && of("127.0.0.9", "WRONG "),
        "{told}"
    );
}

#[test]
fn what_is_wrong_with_tls_is_told() {
    let without = Cluster::shared().database();
    let text = one(
        &without.name,
        without.cluster.address(),
        "guest",
        "server_tls_sslmode = 'require'",
    );
    says(
        &text,
        &["TLS is asked for, but the server has none", "ssl = on"],
    );
    let cluster = Cluster::with_tls();
    let database = cluster.database();
    let folder = Folder::new();
    let ours = folder.put("ours.crt", &Authority::of_the_cluster().pem);
    let strange = folder.put("strange.crt", &Authority::new().pem);
    let verifying = |mode: &str, ca: &str| {
        let settings = format!("server_tls_sslmode = '{mode}'\nserver_tls_ca_file = '{ca}'");
        one(&database.name, cluster.address(), "guest", &settings)
    };
    says(
        &verifying("verify-ca", &strange),
        &["the TLS handshake failed", "set server_tls_ca_file"],
    );
    // The certificate is for localhost.
    says(
        &verifying("verify-full", &ours),
        &["certificate is for another name"],
    );
    let clear = one(
        &database.name,
        cluster.address(),
        "only_tls",
        "server_tls_sslmode = 'disable'",
    );
    says(
        &clear,
        &["pg_hba.conf", "set server_tls_sslmode to require"],
    );
}

fn admin(database: &Database, statements: &[&str]) {
    let mut admin = database.direct();
    statements
        .iter()
        .for_each(|statement| drop(admin.rows(statement)));
}

#[test]
fn what_is_wrong_with_a_login_is_told() {
    let database = Cluster::shared().database();
    let address = database.cluster.address();
    admin(
        &database,
        &[
            "DROP ROLE IF EXISTS checked_without_login",
            "CREATE ROLE checked_without_login NOLOGIN",
            &format!("REVOKE CONNECT ON DATABASE {} FROM PUBLIC", database.name),
        ],
    );
    let text = |user: &str| one(&database.name, address, user, "");
    let password = |text: String| text + "password = 'sesame'\n";
    says(
        &password(text("login_scram")),
        &["(SQLSTATE 28P01)", "is not the server's"],
    );
    says(
        &text("login_scram"),
        &[
            "none is set that would serve",
            "Set the plain text `password`",
        ],
    );
    says(
        &text("checked_without_login"),
        &[
            "not permitted to log in",
            "ALTER ROLE \"checked_without_login\" LOGIN",
        ],
    );
    says(
        &text("nobody_at_all"),
        &["does not exist", "CREATE ROLE \"nobody_at_all\" LOGIN"],
    );
    says(
        &text("guest"),
        &[
            "permission denied for database",
            "GRANT CONNECT ON DATABASE",
        ],
    );
    let missing = one("no_such_database", address, "guest", "");
    says(
        &missing,
        &[
            "database \"no_such_database\" does not exist (SQLSTATE 3D000)",
            "dbname",
        ],
    );
    let text = text("postgres") + "connect_query = 'SELECT nonsense'\n";
    says(
        &text,
        &["connect_query failed: column \"nonsense\" does not exist"],
    );
}

#[test]
fn of_users_who_log_in_as_themselves_one_is_tried() {
    let database = Cluster::shared().database();
    let address = database.cluster.address();
    let text = |password: &str| {
        format!(
            "[pgweave]\nadmin_users = 'aaa'\n[databases.{}]\nhost = '127.0.0.1'\nport = {}\n\
             [users.aaa]\npassword = 'x'\n[users.login_plain]\npassword = '{password}'\n",
            database.name,
            address.port()
        )
    };
    let (told, is_fine) = tried(&text("plain secret"));
    let expected = format!(
        "{} at {address}, as login_plain (one of 2 users that are known): Postg",
        database.name
    );
    assert!(is_fine && told.contains(&expected), "{told}");
    says(
        &text("sesame"),
        &["password authentication failed for user \"login_plain\""],
    );
}

#[test]
fn where_only_clients_know_passwords_the_server_is_reached() {
    let database = Cluster::shared().database();
    let verifier = "SELECT rolpassword FROM pg_authid WHERE rolname = 'login_scram'";
    let verifier = database.direct().value(verifier);
    let address = database.cluster.address();
    let text = |user: &str| {
        format!(
            "[databases.{}]\nhost = '127.0.0.1'\nport = {}\n[users.{user}]\npassword = '{verifier}'\n",
            database.name,
            address.port()
        )
    };
    let (told, is_fine) = tried(&text("login_scram"));
    assert!(
        is_fine && told.contains("it is there, and wants a proof"),
        "{told}"
    );
    assert!(!told.contains("SCRAM-SHA-256$"), "{told}");
    says(
        &text("nobody_at_all"),
        &["role \"nobody_at_all\" does not exist"],
    );
    let passthrough = format!(
        "[pgweave]\nauth_type = 'passthrough'\n[databases.app]\nhost = '127.0.0.1'\nport = {}\n",
        free_port()
    );
    says(&passthrough, &["Connection refused"]);
    let there = passthrough.replace(
        passthrough.lines().last().unwrap(),
        &format!("port = {}", address.port()),
    );
    let (told, is_fine) = tried(&there);
    assert!(is_fine && told.contains("database app at"), "{told}");
}

#[test]
fn who_asks_about_users_must_be_allowed_to() {
    let database = Cluster::shared().database();
    let text = |user: &str, query: &str| {
        let address = database.cluster.address();
        format!(
            "[pgweave]\nauth_user = '{user}'\n{query}\n[databases.{}]\nhost = '127.0.0.1'\nport = {}\n",
            database.name,
            address.port()
        )
    };
    let (told, is_fine) = tried(&text("postgres", ""));
    let expected = format!(
        "auth_query at {} in {}, as postgres: it answers",
        database.cluster.address(),
        database.name
    );
    assert!(is_fine && told.contains(&expected), "{told}");
    assert!(
        told.contains("Users that are not listed bring a pool of up to 20 each"),
        "{told}"
    );
    says(
        &text("guest", ""),
        &[
            "permission denied for table pg_authid (SQLSTATE 42501)",
            "SECURITY DEFINER",
        ],
    );
    let absent = "auth_query = 'SELECT * FROM absent($1)'";
    says(
        &text("postgres", absent),
        &["function absent(", "search_path pg_catalog"],
    );
    let odd = "auth_query = 'SELECT $1::text'";
    says(&text("postgres", odd), &["it must give two columns"]);
}

#[test]
fn pools_that_are_larger_than_the_server_are_a_warning() {
    let database = Cluster::shared().database();
    admin(
        &database,
        &[
            "DROP ROLE IF EXISTS checked_with_limit",
            "CREATE ROLE checked_with_limit LOGIN CONNECTION LIMIT 4",
        ],
    );
    let address = database.cluster.address();
    let text = one(
        &database.name,
        address,
        "checked_with_limit",
        "default_pool_size = 5",
    );
    let (told, is_fine) = tried(&text);
    assert!(
        is_fine && told.contains("its CONNECTION LIMIT is 4, and pools may open 5 connections"),
        "{told}"
    );
    let text = one(
        &database.name,
        address,
        "guest",
        "default_pool_size = 290\nreserve_pool_size = 9",
    );
    let (told, is_fine) = tried(&text);
    assert!(is_fine && told.contains("warning  server "), "{told}");
    assert!(
        told.contains("may open 300 connections (299 for queries, 1 beside them); it has 297"),
        "{told}"
    );
    assert!(
        told.contains("set default_pool_size to 296 at most"),
        "{told}"
    );
}

#[test]
fn without_a_file_the_environment_is_tried_and_nothing_at_all_is_helped() {
    let database = Cluster::shared().database();
    let url = format!(
        "postgres://login_plain:plain%20secret@{}/{}",
        database.cluster.address(),
        database.name
    );
    let output = pgweave(&["check", "--connect"], &[("DATABASE_URL", &url)]);
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success() && told.contains("(environment variables) is fine"),
        "{told}"
    );
    assert!(
        told.contains("as login_plain: PostgreSQL ") && !told.contains("plain secret"),
        "{told}"
    );
    // Only what is wrong, and nothing is.
    let quiet = pgweave(&["check", "--connect", "-q"], &[("DATABASE_URL", &url)]);
    assert!(quiet.status.success() && quiet.stdout.is_empty() && quiet.stderr.is_empty());
    let folder = Folder::new();
    for arguments in [&["check"] as &[&str], &[]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pgweave"));
        let output = command
            .args(arguments)
            .current_dir(folder.path())
            .env_clear()
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1));
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(
            told.contains("DATABASE_URL=") && told.contains("pgweave pgbouncer.ini"),
            "{told}"
        );
    }
}

#[test]
fn completions_and_the_manual_page_are_what_their_readers_take() {
    let folder = Folder::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = pgweave(&["completions", shell], &[]);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(
            output.status.success() && text.contains("connect"),
            "{shell}: {text}"
        );
        if shell == "bash" {
            let file = folder.put("pgweave.bash", &text);
            let script = format!(". {file} && complete -p pgweave");
            let read = Command::new("bash")
                .args(["-euc", &script])
                .output()
                .unwrap();
            assert!(read.status.success(), "{read:?}");
        }
    }
    let output = pgweave(&["man"], &[]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success() && text.contains(".TH pgweave 1") && text.contains(".SH COMMANDS"),
        "{text}"
    );
    // Where there is one that reads it.
    let page = folder.put("pgweave.1", &text);
    let mut groff = Command::new("groff");
    if let Ok(read) = groff.args(["-man", "-Tutf8", "-ww", "-z", &page]).output() {
        assert!(read.status.success() && read.stderr.is_empty(), "{read:?}");
    }
}

#[test]
fn the_log_tells_how_to_connect_and_once_what_to_do_about_a_server() {
    let nobody: SocketAddr = ([127, 0, 0, 1], free_port()).into();
    let pooler = Plan::before_address(nobody, "app")
        .setting("server_login_retry", "\"0.1s\"")
        .start();
    let how = format!(
        "connect with: psql \"host=127.0.0.1 port={} dbname=DATABASE user=postgres\"",
        pooler.address.port()
    );
    assert!(pooler.log().contains(&how), "{}", pooler.log());
    let failures = || pooler.log().matches("server login failed: ").count();
    wait::until(wait::SOON, "three failures", || {
        let refused = Connection::try_login(pooler.address, &pooler.startup());
        assert_eq!(
            first_error(&refused.err().unwrap()).as_deref(),
            Some("08001")
        );
        failures() >= 3
    });
    let log = pooler.log();
    assert_eq!(
        log.matches("Nothing listens at that address").count(),
        1,
        "{log}"
    );
}
