//! The configuration from outside: example files, mistakes, variables, and
//! the documentation that is printed from the table of settings.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pgweave::config::{
    AuthType, Config, LogFormat, Mistake, Peer, PoolMode, Secret, Sources, SslMode, Tls, TlsFile,
    TlsMistake, TlsNegotiation, from_environment, from_toml, reference,
};

/// A world with these variables and these files.
#[derive(Default)]
struct World {
    variables: BTreeMap<&'static str, &'static str>,
    files: BTreeMap<&'static str, &'static str>,
}

impl World {
    fn with(variables: &[(&'static str, &'static str)]) -> Self {
        Self {
            variables: variables.iter().copied().collect(),
            ..Self::default()
        }
    }

    fn ask<T>(&self, ask: impl FnOnce(&Sources<'_>) -> T) -> T {
        let env = |name: &str| self.variables.get(name).map(|value| (*value).to_owned());
        let read_file = |path: &Path| {
            let text = path.to_str().and_then(|path| self.files.get(path));
            text.map(|text| (*text).to_owned())
                .ok_or_else(|| std::io::ErrorKind::NotFound.into())
        };
        ask(&Sources {
            try_tls: &|_| Vec::new(),
            try_logins: &|_| Vec::new(),
            env: &env,
            read_file: &read_file,
        })
    }

    fn toml(&self, text: &str) -> Result<Config, Vec<Mistake>> {
        self.ask(|sources| from_toml("a.toml", text, sources))
    }

    fn environment(&self) -> Result<Option<Config>, Vec<Mistake>> {
        self.ask(from_environment)
    }
}

fn read(text: &str) -> Result<Config, Vec<Mistake>> {
    World::default().toml(text)
}

/// The mistakes of a text, as they are printed.
fn told(text: &str) -> Vec<String> {
    lines(read(text).unwrap_err())
}

fn lines(mistakes: Vec<Mistake>) -> Vec<String> {
    mistakes.iter().map(ToString::to_string).collect()
}

/// A whole file around a few keys of `[pgweave]`.
fn general(keys: &str) -> String {
    format!("[pgweave]\n{keys}\n[databases.app]\n[users.alice]\npassword = \"a\"\n")
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn every_example_file_loads() {
    let mut seen = 0;
    for entry in std::fs::read_dir(root().join("config")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|ending| ending != "toml") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let config = read(&text)
            .map_err(lines)
            .unwrap_or_else(|e| panic!("{path:?}: {e:#?}"));
        assert!(
            config.fallback.is_some() || !config.databases.is_empty(),
            "{path:?}"
        );
        seen += 1;
    }
    assert!(seen >= 4, "only {seen} example files");
}

#[test]
fn the_documentation_is_what_the_table_prints() {
    for (path, printed) in [
        ("docs/CONFIG.md", reference::markdown()),
        ("config/full.toml", reference::full_toml()),
    ] {
        let path = root().join(path);
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&path, &printed).unwrap();
        }
        let written = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            written == printed,
            "{path:?} is old: UPDATE_DOCS=1 cargo test --test config"
        );
    }
}

#[test]
fn the_full_file_holds_the_defaults() {
    let config = read(&reference::full_toml()).map_err(lines).unwrap();
    assert_eq!(config.general, Config::default().general);
}

#[test]
fn the_defaults_are_those_that_are_promised() {
    let config = read("[databases.app]\n[users.alice]\npassword = 'a'\n").unwrap();
    assert_eq!(config.general.listen_addr, ["127.0.0.1"]);
    assert_eq!(config.general.listen_port, 6432);
    assert_eq!(config.general.pool_mode, PoolMode::Transaction);
    assert_eq!(config.general.max_client_conn, 10_000);
    assert_eq!(config.general.auth_type, AuthType::ScramSha256);
    let app = config.pool_settings("app", "alice").unwrap();
    assert_eq!(
        (app.host.as_str(), app.port, app.dbname.as_str()),
        ("127.0.0.1", 5432, "app")
    );
    assert_eq!(app.server_password, Some(Secret::new("a")));
}

#[test]
fn every_kind_of_value_is_read() {
    let config = read(&general(
        "listen_addr = '10.0.0.1, ::1'\nlisten_port = 0\nserver_round_robin = true\n\
         query_timeout = 1.5\nserver_lifetime = '2h'\nserver_idle_timeout = 90\n\
         log_format = 'json'\nlogfile = '/tmp/x'\nworkers = 2\ntcp_keepalive = 0\n\
         max_client_conn = 1_000\n",
    ))
    .map_err(lines)
    .unwrap()
    .general;
    assert_eq!(config.listen_addr, ["10.0.0.1", "::1"]);
    assert_eq!(config.listen_port, 0);
    assert!(config.server_round_robin && !config.tcp_keepalive);
    assert_eq!(config.query_timeout, Duration::from_millis(1500));
    assert_eq!(config.server_lifetime, Duration::from_secs(7200));
    assert_eq!(config.server_idle_timeout, Duration::from_secs(90));
    assert_eq!(config.log_format, LogFormat::Json);
    assert_eq!(config.logfile, Some(PathBuf::from("/tmp/x")));
    assert_eq!((config.workers, config.max_client_conn), (2, 1000));
    let config = read(&general("listen_addr = ['*']")).unwrap().general;
    assert_eq!(config.listen_addr, ["*"]);
}

#[test]
fn every_mistake_is_told_at_once_in_the_order_of_the_lines() {
    let text = "\
[pgweave]
listen_prot = 1
listen_port = 70000
pool_mode = 'transactoin'
default_pool_size = 'many'
query_timeout = '5m'
server_round_robin = 'maybe'
pool_size = 3

[databases.app]
hosts = 'x'
port = 0

[database.other]

[users.alice]
password = 5
";
    assert_eq!(
        told(text),
        [
            "a.toml:2: pgweave.listen_prot: unknown key in [pgweave] (did you mean \"listen_port\"?)",
            "a.toml:3: pgweave.listen_port: 70000 is not between 0 and 65535",
            "a.toml:4: pgweave.pool_mode: \"transactoin\" is not one of session, transaction, \
             statement (did you mean \"transaction\"?)",
            "a.toml:5: pgweave.default_pool_size: wants a whole number from 1 to 100000, not text",
            "a.toml:6: pgweave.query_timeout: \"5m\" is not a duration (minutes: \"5min\")",
            "a.toml:7: pgweave.server_round_robin: wants true or false, not text",
            "a.toml:8: pgweave.pool_size: unknown key in [pgweave] (it belongs in \
             [databases.NAME] or [users.NAME] or [peers.ID])",
            "a.toml:11: databases.app.hosts: unknown key in [databases.NAME] (did you mean \"host\"?)",
            "a.toml:12: databases.app.port: 0 is not between 1 and 65535",
            "a.toml:14: database: unknown section (did you mean \"databases\"?)",
            "a.toml:17: users.alice.password: wants text, not a whole number (put it in quotes)",
        ]
    );
}

#[test]
fn peers_have_a_number_and_a_host() {
    let config = read(&format!(
        "{}[peers.16383]\nhost = '/run/pgweave/2'\n[peers.1]\nhost = 'b'\nport = 7000\npool_size = 3\n",
        general("peer_id = 1")
    ));
    let config = config.unwrap();
    assert_eq!(config.general.peer_id, 1);
    let peers: Vec<_> = config.peers.values().collect();
    let told = |peer: &Peer| {
        (
            peer.id,
            peer.host.clone().unwrap(),
            peer.port,
            peer.pool_size,
        )
    };
    assert_eq!(
        peers.into_iter().map(told).collect::<Vec<_>>(),
        [
            (1, "b".to_owned(), 7000, Some(3)),
            (16_383, "/run/pgweave/2".to_owned(), 6432, None),
        ]
    );
}

#[test]
fn what_is_no_peer_is_told() {
    for name in ["0", "16384", "01", "'-1'", "one", "'*'", "'70000'"] {
        let text = format!("{}[peers.{name}]\nhost = 'a'\n", general(""));
        let told = told(&text);
        assert!(
            told.len() == 1 && told[0].contains("a whole number from 1 to 16383"),
            "{name}: {told:#?}"
        );
    }
    assert_eq!(
        told(&format!(
            "{}[peers.1]\n[peers.2]\nhost = 'b:5'\n[peers.3]\nhosts = 'a'\nhost = 'a'\n",
            general("peer_id = 16384")
        )),
        [
            "a.toml:2: pgweave.peer_id: 16384 is not between 0 and 16383",
            "a.toml:6: peers.1.host: must be given (name where that process alone is reached, for \
             instance the directory of its Unix socket)",
            "a.toml:8: peers.2.host: \"b:5\" is neither a host name nor an address (write \"b\", and 5 as port)",
            "a.toml:10: peers.3.hosts: unknown key in [peers.ID] (did you mean \"host\"?)",
        ]
    );
}

#[test]
fn what_is_no_toml_is_told_with_its_line_and_so_is_the_rest() {
    let told = told("[pgweave]\nlisten_port = \npool_mod = 'session'\n");
    assert_eq!(told.len(), 2, "{told:#?}");
    assert!(told[0].starts_with("a.toml:2: "), "{told:#?}");
    assert!(
        told[1].starts_with("a.toml:3: pgweave.pool_mod: "),
        "{told:#?}"
    );
}

#[test]
fn a_key_given_twice_is_a_mistake() {
    let told = told(&general("listen_port = 1\nlisten_port = 2\n"));
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(told[0].starts_with("a.toml:3: "), "{told:#?}");
}

#[test]
fn a_key_outside_of_a_section_or_a_value_for_a_section_is_told() {
    let at_top = told("listen_port = 6432\n");
    assert!(at_top[0].contains("put it under [pgweave]"), "{at_top:#?}");
    let as_value = told("[databases]\napp = 'host=db'\n[users.a]\npassword = 'a'\n");
    assert_eq!(
        as_value,
        ["a.toml:2: databases.app: is not a section (write it as [databases.app], its keys below)"]
    );
    let pgbouncer = told("[pgbouncer]\n");
    assert!(
        pgbouncer.iter().any(|m| m.contains("here it is [pgweave]")),
        "{pgbouncer:#?}"
    );
}

#[test]
fn a_way_to_log_in_that_lacks_something_says_what() {
    let missing = |settings: &str| {
        let mistakes = told(&format!("[pgweave]\n{settings}\n[databases.app]\n"));
        assert_eq!(mistakes.len(), 1, "{mistakes:#?}");
        mistakes[0].split(": ").nth(1).unwrap().to_owned()
    };
    assert_eq!(missing("auth_type = 'hba'"), "pgweave.auth_hba_file");
    assert_eq!(missing("auth_type = 'peer'"), "pgweave.unix_socket_dir");
    assert_eq!(missing("auth_type = 'cert'"), "pgweave.client_tls_ca_file");
    assert_eq!(missing("auth_type = 'any'"), "databases.app.user");
    let alone = "auth_type = 'trust'\n[databases.b]\nauth_query = 'SELECT 1'";
    assert_eq!(missing(alone), "databases.b.auth_query");
    assert_eq!(
        missing("auth_type = 'trust'\nunix_socket_mode = '778'"),
        "pgweave.unix_socket_mode"
    );
}

#[test]
fn a_header_of_the_proxy_protocol_is_taken_from_those_who_are_named() {
    let missing = "a.toml:1: pgweave.proxy_protocol_from: proxy_protocol is on, but nobody may send a \
                   header (name the addresses of your load balancers, as 10.0.0.0/24)";
    assert_eq!(told(&general("proxy_protocol = 'require'")), [missing]);
    let empty = "proxy_protocol = 'optional'\nproxy_protocol_from = ''";
    assert_eq!(told(&general(empty)).len(), 1);
    let wrong = "proxy_protocol = 'off'\nproxy_protocol_from = ['10.0.0.0/8', 'localhost']";
    assert_eq!(
        told(&general(wrong)),
        [
            "a.toml:3: pgweave.proxy_protocol_from: \"localhost\" is neither an IP address nor a \
             network (write 10.0.0.5, 10.0.0.0/8, fd00::/8 or unix)"
        ]
    );
    let right = "proxy_protocol = 'require'\nproxy_protocol_from = '10.0.0.0/8,unix'";
    assert!(read(&general(right)).is_ok());
}

#[test]
fn users_may_stand_elsewhere() {
    for elsewhere in [
        "auth_file = '/u'",
        "auth_user = 'asker'",
        "auth_type = 'passthrough'",
        "auth_type = 'hba'\nauth_hba_file = '/h'",
    ] {
        let text = format!("[pgweave]\n{elsewhere}\n[databases.app]\n");
        assert_eq!(read(&text).err(), None);
    }
    let own = "[databases.app]\nauth_user = 'asker'\n";
    assert!(read(own).is_ok());
}

#[test]
fn an_empty_file_pools_nothing_and_says_so() {
    assert_eq!(
        told(""),
        [
            "a.toml: databases: there is no database to pool \
             (add [databases.NAME], or [databases.\"*\"] for all of a server's)",
            "a.toml: users: no user has a password, so with auth_type scram-sha-256 nobody can log in \
             (add [users.NAME] with a password, or set auth_type = \"trust\")",
        ]
    );
}

#[test]
fn settings_that_do_not_go_together_are_told() {
    let told = told(
        "[pgweave]\nmin_pool_size = 30\nreserve_pool_size = 1\nreserve_pool_timeout = 0\n\
         [databases.app]\npool_size = 2\nmin_pool_size = 3\n\
         [databases.small]\nmin_pool_size = 5\nmax_db_connections = 4\n\
         [databases.pgweave]\n\
         [databases.far]\nhost = 'db:5433'\n\
         [users.bob]\n\
         [users.eve]\npassword = 'md5d41d8cd98f00b204e9800998ecf8427e'\n",
    );
    assert_eq!(
        told,
        [
            "a.toml:2: pgweave.min_pool_size: 30 is more than default_pool_size, which is 20",
            "a.toml:4: pgweave.reserve_pool_timeout: 0 switches the reserve off, but \
             reserve_pool_size asks for one (leave it out, or set reserve_pool_size to 0)",
            "a.toml:7: databases.app.min_pool_size: 3 is more than pool_size, which is 2",
            "a.toml:10: databases.small.max_db_connections: 4 is less than min_pool_size, which is 5",
            "a.toml:11: databases.pgweave: this name is taken by pgweave's own console (name the \
             section otherwise, and give the server's name as dbname)",
            "a.toml:13: databases.far.host: \"db:5433\" is neither a host name nor an address \
             (write \"db\", and 5433 as port)",
            "a.toml:16: users.eve.password: an md5 hash cannot be used with auth_type \
             scram-sha-256 (give the password or a SCRAM verifier, or set auth_type = \"md5\")",
        ]
    );
}

#[test]
fn a_user_may_lack_a_password_but_not_all_of_them() {
    let told = told("[databases.app]\n[users.bob]\n");
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(
        told[0].starts_with("a.toml:2: users: no user has a password"),
        "{told:#?}"
    );
    assert!(read("[pgweave]\nauth_type = 'trust'\n[databases.app]\n[users.bob]\n").is_ok());
    let owner = "[databases.app]\nuser = 'owner'\n[users.owner]\npool_size = 5\n[users.a]\npassword = 'a'\n";
    assert!(read(owner).is_ok());
}

#[test]
fn a_mistake_does_not_draw_others_after_it() {
    let told = told(
        "[pgweave]\nauth_type = 'tust'\ndefault_pool_size = -5\nmin_pool_size = 25\n\
         [databases.app]\n[users.bob]\n[users.eve]\npassword_file = '/none'\n",
    );
    assert_eq!(told.len(), 3, "{told:#?}");
    assert!(told[0].contains("did you mean \"trust\"?"), "{told:#?}");
    assert!(told[2].contains("/none"), "{told:#?}");
}

#[test]
fn a_wait_that_must_end_may_not_be_zero() {
    for key in [
        "server_connect_timeout",
        "client_login_timeout",
        "cancel_wait_timeout",
    ] {
        let told = told(&general(&format!("{key} = 0")));
        assert!(told[0].contains("must be more than 0"), "{told:#?}");
    }
}

#[test]
fn who_a_line_in_the_systems_log_is_of_can_be_read_off_it() {
    for ident in ["my pooler", "a[1]", "a:", ""] {
        let told = told(&general(&format!("syslog_ident = {ident:?}")));
        assert!(
            told[0].contains("pgweave.syslog_ident: must not "),
            "{told:#?}"
        );
    }
    let told = told(&general("syslog_facility = 'local8'"));
    assert!(told[0].contains("local7"), "{told:#?}");
    assert!(read(&general("syslog_ident = 'pgweave-1.b'")).is_ok());
}

#[test]
fn zero_bytes_are_refused_wherever_they_would_reach_the_protocol() {
    let told = told(
        "[databases.app]\nuser = \"a\\u0000b\"\n[users.alice]\npassword = \"\\u0000\"\n\
         [users.\"a\\u0000b\"]\npassword = 'x'\n[databases.\"d\\u0000\"]\n",
    );
    assert_eq!(told.len(), 4, "{told:#?}");
    assert!(
        told.iter()
            .all(|mistake| mistake.contains("zero character")),
        "{told:#?}"
    );
}

#[test]
fn variables_stand_in_for_text_and_numbers() {
    let world = World::with(&[
        ("DB", "db1"),
        ("PORT", "5433"),
        ("PW", "s$cret"),
        ("ME", "carol"),
    ]);
    let config = world
        .toml(
            "[databases.app]\nhost = '${DB}.local'\nport = '${PORT}'\npool_size = '${N:-7}'\n\
             [users.\"${ME}\"]\npassword = '${PW}'\n",
        )
        .map_err(lines)
        .unwrap();
    let app = config.pool_settings("app", "carol").unwrap();
    assert_eq!(
        (app.host.as_str(), app.port, app.pool_size),
        ("db1.local", 5433, 7)
    );
    assert_eq!(config.users["carol"].password, Some(Secret::new("s$cret")));
    assert_eq!(
        told("[databases.app]\nhost = '${DB}'\n[users.a]\npassword = 'a'\n"),
        [
            "a.toml:2: databases.app.host: the environment variable DB is not set \
          (set it, or write ${DB:-default})"
        ]
    );
}

#[test]
fn a_secret_may_stand_in_a_file() {
    let mut world = World::default();
    world.files.insert("/run/alice", "pass word\n");
    world.files.insert("/run/empty", "\n");
    let file = |keys: &str| format!("[databases.app]\n[users.alice]\n{keys}\n");
    let config = world.toml(&file("password_file = '/run/alice'")).unwrap();
    assert_eq!(
        config.users["alice"].password,
        Some(Secret::new("pass word"))
    );
    for (keys, what) in [
        ("password_file = '/run/empty'", "is empty"),
        ("password_file = '/run/none'", "cannot read \"/run/none\""),
        (
            "password = 'a'\npassword_file = '/run/alice'",
            "password is given too",
        ),
    ] {
        let told = lines(world.toml(&file(keys)).unwrap_err());
        assert_eq!(told.len(), 1, "{told:#?}");
        assert!(told[0].contains(what), "{told:#?}");
    }
}

#[test]
fn no_mistake_and_no_debug_output_holds_a_secret() {
    let text = "[databases.app]\nhost = 'x'\npassword = 'SCRAM-SHA-256$hunter2'\n\
                [users.alice]\npassword = 'SCRAM-SHA-256$hunter2:x'\n\
                [users.bob]\npassword = ['hunter2']\n";
    let told = told(text);
    assert_eq!(told.len(), 3, "{told:#?}");
    assert!(!told.concat().contains("hunter2"), "{told:#?}");
    let config = read("[databases.app]\npassword = 'hunter2'\n[users.a]\npassword = 'hunter2'\n");
    let config = config.unwrap();
    let settings = config.pool_settings("app", "a");
    assert!(!format!("{config:?} {settings:#?}").contains("hunter2"));
}

#[test]
fn a_variable_of_ours_overrides_the_file_and_is_named_when_wrong() {
    let world = World::with(&[
        ("PGWEAVE_LISTEN_PORT", "7000"),
        ("PGWEAVE_POOL_MODE", "session"),
    ]);
    let config = world.toml(&general("listen_port = 6000")).unwrap();
    assert_eq!(config.general.listen_port, 7000);
    assert_eq!(config.general.pool_mode, PoolMode::Session);

    let world = World::with(&[
        ("PGWEAVE_LISTEN_PORT", "x"),
        ("PGWEAVE_MIN_POOL_SIZE", "50"),
    ]);
    assert_eq!(
        lines(world.toml(&general("min_pool_size = 1")).unwrap_err()),
        [
            "environment: PGWEAVE_LISTEN_PORT: wants a whole number from 0 to 65535, not text",
            "environment: PGWEAVE_MIN_POOL_SIZE: 50 is more than default_pool_size, which is 20",
        ]
    );
}

#[test]
fn without_variables_the_environment_holds_no_configuration() {
    assert!(World::default().environment().unwrap().is_none());
    assert!(
        World::with(&[("PGUSER", "me"), ("DATABASE_URL", "")])
            .environment()
            .unwrap()
            .is_none()
    );
}

#[test]
fn a_database_url_alone_is_a_configuration() {
    let url =
        "postgres://al%40ice:p%2Fw%3A%25@db.local:5433/app?application_name=x&connect_timeout=3";
    let world = World::with(&[("DATABASE_URL", url), ("PGWEAVE_DEFAULT_POOL_SIZE", "3")]);
    let config = world.environment().unwrap().unwrap();
    assert_eq!(config.general.auth_type, AuthType::ScramSha256);
    assert_eq!(config.general.listen_addr, ["127.0.0.1"]);
    assert_eq!(config.users["al@ice"].password, Some(Secret::new("p/w:%")));
    for database in ["app", "other"] {
        let pool = config.pool_settings(database, "al@ice").unwrap();
        assert_eq!((pool.host.as_str(), pool.port), ("db.local", 5433));
        assert_eq!(
            (pool.dbname.as_str(), pool.server_user.as_str()),
            (database, "al@ice")
        );
        assert_eq!(pool.server_password, Some(Secret::new("p/w:%")));
        assert_eq!(
            (pool.pool_size, pool.server_connect_timeout),
            (3, Duration::from_secs(3))
        );
    }
}

#[test]
fn a_url_without_a_password_means_trust() {
    let world = World::with(&[("DATABASE_URL", "postgresql://me@[::1]?host=/run/postgresql")]);
    let config = world.environment().unwrap().unwrap();
    assert_eq!(config.general.auth_type, AuthType::Trust);
    assert_eq!(config.users["me"].password, None);
    // As in libpq, the database is the user's, and what comes last holds.
    assert_eq!(config.databases["me"].host, "/run/postgresql");
    let bare = World::with(&[("DATABASE_URL", "postgres://")])
        .environment()
        .unwrap()
        .unwrap();
    assert_eq!(bare.fallback.unwrap().host, "127.0.0.1");
    assert!(bare.users.is_empty() && bare.databases.is_empty());
}

#[test]
fn the_pg_variables_fill_what_the_url_leaves_open() {
    let mut variables = vec![("PGHOST", "db1"), ("PGPORT", "5433"), ("PGUSER", "me")];
    variables.extend([("PGPASSWORD", "pw"), ("PGDATABASE", "app")]);
    let config = World::with(&variables).environment().unwrap().unwrap();
    let app = config.pool_settings("app", "me").unwrap();
    assert_eq!((app.host.as_str(), app.port), ("db1", 5433));
    assert_eq!(config.users["me"].password, Some(Secret::new("pw")));

    variables.push(("DATABASE_URL", "postgres://you:other@db2/app"));
    let config = World::with(&variables).environment().unwrap().unwrap();
    let app = config.pool_settings("app", "you").unwrap();
    assert_eq!((app.host.as_str(), app.port), ("db2", 5433));
    assert_eq!(config.users["you"].password, Some(Secret::new("other")));
    assert!(!config.users.contains_key("me"));
}

#[test]
fn wrong_variables_are_told_together_and_without_their_secrets() {
    let told = |variables: &[_]| lines(World::with(variables).environment().unwrap_err());
    assert_eq!(
        told(&[("DATABASE_URL", "mysql://me:hunter2@db/app")]),
        ["environment: DATABASE_URL: \"mysql\" is not PostgreSQL \
          (postgres://user:password@host:port/dbname)"]
    );
    assert_eq!(
        told(&[
            ("PGHOST", "db"),
            ("PGPORT", "http"),
            ("PGSSLMODE", "requir")
        ])
        .len(),
        2,
    );
    for url in [
        "hunter2",
        "postgres://me:hun/ter2@db/app",
        "postgres://me:hunter2@db:hunter2/app",
        "postgres://me:%hunter2@db/app",
        "postgres://me:%00hunter2@db/app",
        "postgres://me:hunter2@db,hunter2/app",
        "postgres://me:hunter2@db/app?sslmode=hunter2",
        "postgres://me:hunter2@db/app?options=hunter2",
        "postgres://me:hunter2@db/app?connect_timeout=hunter2",
    ] {
        let told = told(&[("DATABASE_URL", url)]);
        assert!(
            told[0].starts_with("environment: DATABASE_URL: "),
            "{told:#?}"
        );
        assert!(!told.concat().contains("hun"), "{told:#?}");
    }
}

#[test]
fn tls_that_lacks_its_files_is_told_and_what_is_off_is_not_looked_at() {
    let told_of = |keys: &str| told(&general(keys));
    assert_eq!(
        told_of("client_tls_sslmode = 'verify-ca'"),
        [
            "a.toml:1: pgweave.client_tls_key_file: is not set, but client_tls_sslmode is \
             verify-ca, which needs a private key",
            "a.toml:1: pgweave.client_tls_cert_file: is not set, but client_tls_sslmode is \
             verify-ca, which needs a certificate",
            "a.toml:1: pgweave.client_tls_ca_file: is not set, but client_tls_sslmode is \
             verify-ca, which needs the authorities that vouch for clients' certificates",
        ]
    );
    assert_eq!(
        told_of("server_tls_key_file = '/k'\nserver_tls_negotiation = 'direct'"),
        [
            "a.toml:2: pgweave.server_tls_key_file: is given, but server_tls_cert_file is not",
            "a.toml:3: pgweave.server_tls_negotiation: \"direct\" cannot fall back to clear text, \
             as server_tls_sslmode prefer would (set server_tls_sslmode to require or stricter)",
        ]
    );
    assert_eq!(
        told_of("client_tls_protocols = 'tlsv1.1'\nserver_tls_sslmode = 'on'").len(),
        2
    );
    assert!(
        read(&general(
            "server_tls_sslmode = 'disable'\nserver_tls_key_file = '/k'"
        ))
        .is_ok()
    );
}

#[test]
fn what_is_wrong_with_a_file_stands_at_the_line_that_names_it_and_once() {
    let try_tls = |tls: &Tls<'_>| {
        let (side, files) = match tls {
            Tls::Clients(tls) => ("clients", &tls.files),
            Tls::Servers(tls) => ("servers", &tls.files),
        };
        let wrong = files.ca.iter().chain(&files.cert);
        let what = wrong.map(|path| TlsMistake {
            file: if Some(path) == files.ca.as_ref() {
                TlsFile::Ca
            } else {
                TlsFile::Cert
            },
            what: format!("{side} {}", path.display()),
        });
        what.collect()
    };
    let text = "\
[pgweave]
client_tls_sslmode = 'require'
client_tls_key_file = '/k'
client_tls_cert_file = '/c'
server_tls_ca_file = '/ca'
listen_prot = 1
[databases.a]
[databases.b]
server_tls_ca_file = '/b'
[databases.c]
host = '/run/postgresql'
server_tls_ca_file = '/c'
[users.alice]
password = 'a'
";
    let read_file = |_: &Path| Err(std::io::ErrorKind::NotFound.into());
    let sources = Sources {
        env: &|_| None,
        read_file: &read_file,
        try_tls: &try_tls,
        try_logins: &|_| Vec::new(),
    };
    assert_eq!(
        lines(from_toml("a.toml", text, &sources).unwrap_err()),
        [
            "a.toml:4: pgweave.client_tls_cert_file: clients /c",
            "a.toml:5: pgweave.server_tls_ca_file: servers /ca",
            "a.toml:6: pgweave.listen_prot: unknown key in [pgweave] (did you mean \"listen_port\"?)",
            "a.toml:9: databases.b.server_tls_ca_file: servers /b",
        ]
    );
}

#[test]
fn a_url_says_how_the_server_is_talked_to() {
    let url = "postgres://me@db/app?sslmode=verify-full&sslrootcert=/ca&sslcert=/c&sslkey=/k\
               &sslnegotiation=direct";
    let config = World::with(&[("DATABASE_URL", url), ("PGSSLMODE", "disable")]);
    let config = config.environment().unwrap().unwrap();
    let tls = config.pool_settings("app", "me").unwrap().server_tls;
    assert_eq!(
        (tls.mode, tls.negotiation),
        (SslMode::VerifyFull, TlsNegotiation::Direct)
    );
    let files = [tls.files.ca, tls.files.cert, tls.files.key];
    assert_eq!(
        files,
        ["/ca", "/c", "/k"].map(|path| Some(PathBuf::from(path)))
    );
    let plain = World::with(&[
        ("DATABASE_URL", "postgres://me@db/app"),
        ("PGSSLROOTCERT", "system"),
    ]);
    let plain = plain.environment().unwrap().unwrap();
    let tls = plain.pool_settings("app", "me").unwrap().server_tls;
    assert_eq!((tls.mode, tls.files.ca), (SslMode::Prefer, None));
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in "(\\[(pgweave|users.a|databases.\"\\*\")\\]\n|[a-z_]{1,12} ?= ?|[\"'\\[\\]{}$0-9a-z.-]{0,8}|\n){0,12}") {
        let _ = read(&text);
    }

    #[test]
    fn no_url_makes_the_parser_panic(rest in ".{0,40}") {
        let url = format!("postgres://{rest}");
        let env = |name: &str| (name == "DATABASE_URL").then(|| url.clone());
        let read_file = |_: &Path| Err(std::io::ErrorKind::NotFound.into());
        let _ = from_environment(&Sources { env: &env, read_file: &read_file, try_tls: &|_| Vec::new(), try_logins: &|_| Vec::new() });
    }
}
