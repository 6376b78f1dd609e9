//! PgBouncer's ini files, run.

use std::fs;
use std::process::{Command, Output};

use crate::support::frames::Frame;
use crate::support::pooler::Pooler;
use crate::support::postgres::{Cluster, Database};
use crate::support::raw::{Connection, first_error, rows_of};
use crate::support::startup::Startup;
use crate::support::wait;

/// `settings` in `[pgbouncer]`, behind what every case needs.
fn start(database: &Database, databases: &str, settings: &str) -> Pooler {
    let text = format!(
        "[databases]\n{databases}\n[users]\npostgres = max_user_connections=0\n\
         [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = 0\n\
         unix_socket_dir =\nauth_type = trust\n{settings}\n"
    );
    Pooler::start("pgbouncer.ini", &text, &database.name)
}

fn at(database: &Database) -> String {
    let address = database.cluster.address();
    format!("host={} port={}", address.ip(), address.port())
}

#[test]
fn an_ini_file_serves_clients_in_session_mode_unless_it_says_otherwise() {
    let database = Cluster::shared().database();
    let name = &database.name;
    let databases = format!("{name} = {}", at(&database));
    let pooler = start(
        &database,
        &databases,
        "default_pool_size = 1\nclient_tls_ciphers = HIGH",
    );
    let mut client = pooler.client();
    assert_eq!(client.value("SELECT 6 * 7"), "42");
    wait::until(wait::SOON, "the warning", || {
        pooler
            .log()
            .contains("these settings are not honoured: client_tls_ciphers (")
    });
    // Another waits for the only server connection until the first has left.
    let mut other = Connection::open(pooler.address);
    other.send(&pooler.startup().to_bytes());
    let unknown = Startup::new("postgres", "nowhere");
    let refused = Connection::try_login(pooler.address, &unknown)
        .err()
        .unwrap();
    assert_eq!(first_error(&refused).as_deref(), Some("3D000"));
    client.terminate();
    assert!(other.until_ready(1, "its turn").len() > 1);
}

#[test]
fn users_rules_and_forced_users_come_from_the_usual_files() {
    let database = Cluster::shared().database();
    let databases = format!("* = {} user=guest pool_mode=transaction", at(&database));
    let settings = "auth_type = scram-sha-256\nauth_file = {folder}/userlist.txt\n\
                    %include {folder}/more.ini";
    let directory = crate::support::certificates::Folder::new();
    let users = directory.put("userlist.txt", "\"web\" \"s3cret\"\n");
    let more = directory.put("more.ini", "default_pool_size = 3\n");
    let settings = settings
        .replace("{folder}/userlist.txt", &users)
        .replace("{folder}/more.ini", &more);
    let pooler = start(&database, &databases, &settings);
    let come = |password: &str| {
        let startup = Startup::new("web", &database.name).password(password);
        Connection::try_login(pooler.address, &startup)
    };
    assert!(come("wrong").is_err());
    let mut client = come("s3cret").unwrap_or_else(|frames| panic!("{frames:?}"));
    assert_eq!(client.value("SELECT session_user"), "guest");
}

#[test]
fn of_several_hosts_one_that_is_down_is_passed_over() {
    let database = Cluster::shared().database();
    let address = database.cluster.address();
    let socket = database.cluster.socket_directory();
    // The port of the cluster, where the second address refuses: nobody listens there.
    let databases = format!(
        "{} = host=127.0.0.9,{},{socket} port={}",
        database.name,
        address.ip(),
        address.port()
    );
    let settings = "pool_mode = transaction\ndefault_pool_size = 4\nserver_login_retry = 60\nserver_lifetime = 0";
    let pooler = start(&database, &databases, settings);
    let mut ways = std::collections::BTreeSet::new();
    let mut client = pooler.client();
    for _ in 0..8 {
        ways.insert(client.value("SELECT coalesce(inet_server_addr()::text, 'socket')"));
    }
    assert_eq!(ways.len(), 2, "{ways:?}");
}

#[test]
fn trust_lets_in_whom_a_list_knows_and_any_whoever_comes() {
    let cluster = Cluster::shared();
    let database = cluster.database();
    let mut admin = database.direct();
    admin.rows("CREATE TABLE known AS SELECT 'certified'::text AS name, NULL::text AS secret");
    let folder = crate::support::certificates::Folder::new();
    let users = folder.put("users.txt", "\"guest\" \"\"\n");
    let plain = format!("* = {} pool_mode=transaction", at(&database));
    let forced = format!("{plain} user=guest");
    let listed = format!("auth_file = {users}");
    let asking = format!(
        "{listed}\nauth_user = postgres\nauth_dbname = {}\n\
         auth_query = SELECT name, secret FROM public.known WHERE name = $1",
        database.name
    );
    let in_sight = [("guest", true), ("postgres", true)];
    let cases = [
        (
            &plain,
            listed.clone(),
            vec![("twofold", false), ("certified", false)],
        ),
        (
            &plain,
            asking,
            vec![("twofold", false), ("certified", true)],
        ),
        (
            &plain,
            listed.clone() + "\nauth_trust_unlisted = true",
            vec![("twofold", true)],
        ),
        (
            &forced,
            listed + "\nauth_type = any",
            vec![("not_even_a_role", true)],
        ),
    ];
    for (databases, settings, strangers) in cases {
        let pooler = start(&database, databases, &settings);
        for (user, expected) in in_sight.into_iter().chain(strangers) {
            let startup = Startup::new(user, &database.name);
            let came = Connection::try_login(pooler.address, &startup);
            let refused = came.err().map(|frames| first_error(&frames).unwrap());
            let expected = (!expected).then(|| "28000".to_owned());
            assert_eq!(refused, expected, "{user}: {settings}");
        }
    }
}

fn pgweave(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_pgweave"))
        .args(arguments)
        .env_clear()
        .output()
        .unwrap()
}

#[test]
fn check_tells_and_convert_prints() {
    let folder = crate::support::certificates::Folder::new();
    let good = folder.put(
        "good.ini",
        "[databases]\na = host=b password='x'\n[pgbouncer]\nauth_type = trust\nclient_tls_ciphers = HIGH\n",
    );
    let output = pgweave(&["check", &good]);
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("client_tls_ciphers"));
    let output = pgweave(&["convert", &good]);
    let toml = String::from_utf8(output.stdout).unwrap();
    assert!(toml.contains("password = \"x\"") && toml.starts_with("# these settings"));
    let converted = folder.put("good.toml", &toml);
    assert!(pgweave(&["check", &converted]).status.success());
    let bad = folder.put(
        "bad.ini",
        "[databases]\na = host=b\n[pgbouncer]\npool_mode = x\ny = z\n",
    );
    let output = pgweave(&["check", &bad]);
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        told.contains("bad.ini:4: ") && told.contains("bad.ini:5: "),
        "{told}"
    );
    // -d without a log.
    let output = pgweave(&["-d", &good]);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn in_the_background_it_listens_when_the_command_is_over() {
    let database = Cluster::shared().database();
    let folder = crate::support::certificates::Folder::new();
    let here = folder.path().display().to_string();
    let text = format!(
        "[databases]\n* = {}\n[pgbouncer]\nauth_type = trust\nunix_socket_dir = {here}\n\
         logfile = {here}/log\npidfile = {here}/pid\n",
        at(&database)
    );
    let config = folder.put("pgbouncer.ini", &text);
    let started = pgweave(&["-d", &config]);
    assert!(started.status.success(), "{started:?}");
    assert!(started.stdout.is_empty() && started.stderr.is_empty());
    let pid: i32 = fs::read_to_string(folder.path().join("pid"))
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    let ended = OnDrop(pid);
    let socket = std::os::unix::net::UnixStream::connect(folder.path().join(".s.PGSQL.6432"));
    assert!(socket.is_ok());
    // What is wrong is told where it was started.
    let second = pgweave(&["-d", &config]);
    let told = String::from_utf8_lossy(&second.stderr).into_owned();
    assert_eq!(second.status.code(), Some(1));
    assert!(told.contains("in use"), "{told}");
    drop(ended);
    wait::until(wait::SOON, "its end", || {
        !folder.path().join("pid").exists()
    });
}

/// A process that is asked to end, however the case ends.
struct OnDrop(i32);

impl Drop for OnDrop {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.0.to_string()).status();
    }
}

#[test]
fn an_ini_file_has_its_statistics_in_the_log() {
    let database = Cluster::shared().database();
    let databases = format!("* = {}", at(&database));
    let pooler = start(&database, &databases, "stats_period = 0.1");
    wait::until(wait::SOON, "statistics", || {
        pooler.log().contains("stats: 0 xacts/s, 0 queries/s, ")
    });
}

#[test]
fn the_pidfile_is_there_while_pgweave_is() {
    let database = Cluster::shared().database();
    let databases = format!("* = {}", at(&database));
    let mut pooler = start(&database, &databases, "pidfile = {folder}/pgweave.pid");
    let path = pooler.directory().join("pgweave.pid");
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.trim().parse::<u32>().is_ok(), "{text}");
    let config = pooler.directory().join("pgbouncer.ini");
    let second = pgweave(&[&config.display().to_string()]);
    let told = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(
        !second.status.success() && told.contains("at work already"),
        "{told}"
    );
    pooler.signal(15);
    assert!(pooler.wait().success());
    assert!(!path.exists());
}

/// What a client is told of a parameter in these frames.
fn told(frames: &[Frame], name: &str) -> Vec<String> {
    let begins = [name.as_bytes(), b"\0"].concat();
    let of_it = |frame: &&Frame| frame.tag == b'S' && frame.body.starts_with(&begins);
    let value = |frame: &Frame| {
        let value = frame.body[begins.len()..].split_last().unwrap().1;
        String::from_utf8_lossy(value).into_owned()
    };
    frames.iter().filter(of_it).map(value).collect()
}

#[test]
fn parameters_are_tracked_whether_they_are_named_or_not() {
    let database = Cluster::shared().database();
    let databases = format!("* = {} pool_mode=transaction pool_size=1", at(&database));
    let pooler = start(
        &database,
        &databases,
        "track_extra_parameters = IntervalStyle, search_path\n\
         ignore_startup_parameters = extra_float_digits",
    );
    let mut a = Connection::open(pooler.address);
    let startup = pooler.startup().with("IntervalStyle", "iso_8601");
    a.send(&startup.to_bytes());
    let greeting = a.until_ready(1, "the greeting");
    assert_eq!(told(&greeting, "IntervalStyle"), ["iso_8601"]);
    let (mut b, mut c) = (pooler.client(), pooler.client());
    let show = "SELECT interval '1 day 2 hours', current_setting('search_path')";
    let shown = |client: &mut Connection| {
        let frames = client.query(show);
        let row = rows_of(&frames)[0].clone();
        let row: Vec<_> = row.into_iter().flatten().collect();
        (row, told(&frames, "IntervalStyle"))
    };
    let is = |style: &str, path: &str| vec![style.to_owned(), path.to_owned()];
    let set = b.query("SET IntervalStyle = 'sql_standard'");
    assert_eq!(told(&set, "IntervalStyle"), ["sql_standard"]);
    b.query("SET search_path = app, public");
    for _ in 0..2 {
        let nothing_new = Vec::<String>::new();
        let plain = is("1 day 02:00:00", "\"$user\", public");
        assert_eq!(shown(&mut c), (plain, nothing_new.clone()));
        let b_has = is("1 2:00:00", "app, public");
        assert_eq!(shown(&mut b), (b_has, nothing_new.clone()));
        let a_has = is("P1DT2H", "\"$user\", public");
        assert_eq!(shown(&mut a), (a_has, nothing_new));
    }
    assert!(!pooler.log().contains("not honoured"), "{}", pooler.log());
}
