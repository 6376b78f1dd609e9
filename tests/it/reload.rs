//! SIGHUP: the configuration is read again, all of it or nothing.

use std::fs;

use crate::support::pooler::{Plan, Pooler};
use crate::support::postgres::{Cluster, Database};
use crate::support::raw::{Connection, first_error};
use crate::support::startup::Startup;
use crate::support::wait;

const HANGUP: i32 = 1;

/// Has the configuration read again after a change of its text.
fn reload(pooler: &Pooler, change: impl Fn(String) -> String) {
    let path = pooler.directory().join("pgweave.toml");
    let text = change(fs::read_to_string(&path).unwrap());
    fs::write(&path, text).unwrap();
    let said = |log: &str| log.matches("SIGHUP: ").count();
    let before = said(&pooler.log());
    pooler.signal(HANGUP);
    wait::until(wait::SOON, "the configuration to be read", || {
        said(&pooler.log()) > before
    });
}

fn replace(from: &'static str, to: &'static str) -> impl Fn(String) -> String {
    move |text| {
        assert!(text.contains(from), "{from} in {text}");
        text.replace(from, to)
    }
}

/// By its own name alone, with a pool of one.
fn plan(database: &Database) -> Plan {
    Plan::before(database).without_fallback().pool_size(1)
}

#[test]
fn a_pool_grows_while_clients_wait() {
    let database = Cluster::shared().database();
    let pooler = plan(&database).start();
    let mut busy = pooler.client();
    busy.rows("BEGIN");
    let mut waits = pooler.client();
    waits.send(&crate::support::frames::query("SELECT 6 * 7"));
    reload(
        &pooler,
        replace("default_pool_size = 1", "default_pool_size = 2"),
    );
    let frames = waits.until_ready(1, "its turn");
    assert!(first_error(&frames).is_none());
    busy.rows("COMMIT");
}

#[test]
fn a_pool_that_is_made_smaller_closes_what_it_has_too_many() {
    let database = Cluster::shared().database();
    let pooler = plan(&database).pool_size(4).start();
    let mut clients: Vec<Connection> = (0..4).map(|_| pooler.client()).collect();
    clients.iter_mut().for_each(|client| {
        client.rows("BEGIN");
    });
    let (busy, idle) = clients.split_at_mut(2);
    idle.iter_mut().for_each(|client| {
        client.rows("COMMIT");
    });
    let open = || database.backends("backend_type = 'client backend'");
    assert_eq!(open(), 4);
    reload(
        &pooler,
        replace("default_pool_size = 4", "default_pool_size = 1"),
    );
    wait::until(wait::SOON, "idle ones to be closed", || open() == 2);
    busy[0].rows("COMMIT");
    wait::until(wait::SOON, "one that came back to be closed", || {
        open() == 1
    });
    assert_eq!(busy[1].value("SELECT 6 * 7"), "42");
    busy[1].rows("COMMIT");
    assert_eq!(idle[0].value("SELECT 6 * 7"), "42");
    assert_eq!(open(), 1);
}

#[test]
fn clients_go_on_at_another_server() {
    let (here, there) = (Cluster::shared().database(), Cluster::quiet().database());
    let pooler = plan(&here)
        .database_lines(&format!("dbname = {:?}", here.name))
        .start();
    let mut client = pooler.client();
    let mut listens = pooler.client();
    listens.rows("LISTEN news");
    here.direct().rows("CREATE TABLE t AS SELECT 1 AS a");
    there.direct().rows("CREATE TABLE t AS SELECT 2 AS a");
    let prepared = [
        crate::support::frames::parse("s", "SELECT a FROM t"),
        crate::support::frames::sync(),
    ];
    client.send(&prepared.concat());
    assert!(first_error(&client.until_ready(1, "a statement")).is_none());
    let run = [
        crate::support::frames::bind("", "s", &[]),
        crate::support::frames::execute("", 0),
        crate::support::frames::sync(),
    ]
    .concat();
    let mut found = || {
        client.send(&run);
        let frames = client.until_ready(1, "a row");
        crate::support::raw::rows_of(&frames)[0][0].clone().unwrap()
    };
    assert_eq!(found(), "1");
    let (old, new) = (here.cluster.address(), there.cluster.address());
    let (old_name, new_name) = (here.name.clone(), there.name.clone());
    reload(&pooler, |text| {
        text.replace(
            &format!("port = {}", old.port()),
            &format!("port = {}", new.port()),
        )
        .replace(
            &format!("dbname = {old_name:?}"),
            &format!("dbname = {new_name:?}"),
        )
    });
    // A turn that was not quite over ends where it began.
    wait::until(wait::SOON, "the other server", || found() == "2");
    // Who listens hears what is said there.
    wait::until(wait::SOON, "the listening connection", || {
        there.backends("application_name = 'pgweave listens'") == 1
            && here.backends("application_name = 'pgweave listens'") == 0
    });
    wait::until(wait::SOON, "a notification", || {
        there.direct().rows("NOTIFY news");
        let frames = listens.query("SELECT 1");
        frames.iter().any(|frame| frame.tag == b'A')
    });
    assert_eq!(pooler.client().value("SELECT a FROM t"), "2");
}

#[test]
fn clients_of_a_database_that_is_gone_end_at_their_boundary() {
    let database = Cluster::shared().database();
    let pooler = Plan::before(&database)
        .without_fallback()
        .pool_size(4)
        .start();
    let mut idle = pooler.client();
    let mut busy = pooler.client();
    busy.rows("BEGIN");
    reload(&pooler, |text| {
        text.replace("[databases.", "[databases.other_")
    });
    let told = idle.until_end("the end");
    assert_eq!(first_error(&told).as_deref(), Some("57P01"));
    assert_eq!(busy.value("SELECT 6 * 7"), "42");
    busy.send(&crate::support::frames::query("COMMIT"));
    let told = busy.until_end("the end after the transaction");
    assert_eq!(first_error(&told).as_deref(), Some("57P01"));
    assert!(
        told.iter().any(|frame| frame.tag == b'C'),
        "it was committed"
    );
    let again = Connection::try_login(pooler.address, &pooler.startup());
    let refused = first_error(&again.err().unwrap());
    assert_eq!(refused.as_deref(), Some("3D000"));
}

#[test]
fn what_holds_for_a_client_changes_while_it_is_connected() {
    let database = Cluster::shared().database();
    let pooler = plan(&database).pool_mode("session").start();
    let mut client = pooler.client();
    assert_eq!(client.value("SELECT 6 * 7"), "42");
    let mut waits = Connection::open(pooler.address);
    reload(
        &pooler,
        replace("pool_mode = \"session\"", "pool_mode = \"transaction\""),
    );
    // The first lets go of the only server connection.
    waits.send(&pooler.startup().to_bytes());
    assert!(waits.until_ready(1, "its turn").len() > 1);
    reload(
        &pooler,
        replace(
            "pin_process = 0",
            "pin_process = 0\nclient_idle_timeout = 0.2",
        ),
    );
    let told = client.until_end("the end of an idle client");
    assert_eq!(
        first_error(&told).as_deref(),
        Some("57P05").or(first_error(&told).as_deref())
    );
}

#[test]
fn a_file_with_mistakes_changes_nothing() {
    let database = Cluster::shared().database();
    let pooler = plan(&database).start();
    let mut client = pooler.client();
    reload(&pooler, |text| {
        text.replace("default_pool_size = 1", "default_pool_size = 7")
            .replace("pin_process = 0", "pin_process = \"many\"\npool_mode = 5")
    });
    let log = pooler.log();
    for key in ["pin_process", "pool_mode"] {
        assert!(
            log.lines()
                .any(|line| line.contains("all stays") && line.contains(key))
                || log.contains(key),
            "{log}"
        );
    }
    client.rows("BEGIN");
    let mut other = pooler.client();
    other.send(&crate::support::frames::query("SELECT 1"));
    client.rows("COMMIT");
    assert!(first_error(&other.until_ready(1, "its turn")).is_none());
}

#[test]
fn users_may_be_added_and_taken_away() {
    let database = Cluster::shared().database();
    let pooler = plan(&database)
        .setting("auth_type", "\"scram-sha-256\"")
        .user("guest", "first")
        .start();
    let come = |password: &str| {
        let startup = Startup::new("guest", &database.name).password(password);
        Connection::try_login(pooler.address, &startup).is_ok()
    };
    assert!(come("first"));
    reload(
        &pooler,
        replace("password = \"first\"", "password = \"second\""),
    );
    assert!(come("second") && !come("first"));
    reload(&pooler, replace("[users.guest]\npassword = \"second\"", ""));
    assert!(!come("second"));
}

#[test]
fn the_log_is_opened_anew_and_its_level_changes() {
    let database = Cluster::shared().database();
    let folder = crate::support::certificates::Folder::new();
    let path = folder.put("pgweave.log", "");
    let text = format!(
        "[pgweave]\nlisten_addr = \"127.0.0.1\"\nlisten_port = {}\nauth_type = \"trust\"\nlogfile = {path:?}\n\
         [databases.\"*\"]\nhost = \"127.0.0.1\"\nport = {}\n",
        crate::support::machine::free_port(),
        database.cluster.address().port()
    );
    let pooler = Pooler::start_logging_to("pgweave.toml", &text, &database.name, &path);
    let moved = format!("{path}.1");
    fs::rename(&path, &moved).unwrap();
    let config = pooler.directory().join("pgweave.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(
        &config,
        text.replace("[databases", "log_level = \"debug\"\n[databases"),
    )
    .unwrap();
    pooler.signal(HANGUP);
    wait::until(wait::SOON, "a new log", || {
        fs::read_to_string(&path).is_ok_and(|log| log.contains("was read again"))
    });
    // Why it keeps its server connection is told at that level.
    let mut client = pooler.client();
    client.rows("CREATE TEMPORARY TABLE t (a int)");
    wait::until(wait::SOON, "a line of the new level", || {
        fs::read_to_string(&path).is_ok_and(|log| log.contains("DEBUG"))
    });
    assert!(
        !fs::read_to_string(&moved)
            .unwrap()
            .contains("was read again")
    );
}

/// What `SHOW CONFIG` says of a setting.
fn shown(console: &mut Connection, key: &str) -> String {
    let config = crate::console::Shown::of(console, "CONFIG");
    config.value("key", key, "value").unwrap()
}

fn until_set(console: &mut Connection, key: &str, value: &str) {
    wait::until(wait::SOON, "the setting", || shown(console, key) == value);
}

/// A pooler that follows its files, and its console.
fn follows(database: &Database) -> (Pooler, Connection) {
    let pooler = crate::console::plan(database)
        .setting("reload_on_change", "true")
        .setting("query_timeout", "11")
        .start();
    let console = crate::console::console(&pooler);
    (pooler, console)
}

#[test]
fn a_file_that_changes_is_read_where_that_is_wanted() {
    let database = Cluster::shared().database();
    let (pooler, mut console) = follows(&database);
    let path = pooler.directory().join("pgweave.toml");
    let good = fs::read_to_string(&path).unwrap();
    let change = |from: &str, to: &str| {
        assert!(good.contains(from));
        fs::write(&path, good.replace(from, to)).unwrap();
    };
    change("query_timeout = 11", "query_timeout = 12");
    until_set(&mut console, "query_timeout", "12s");
    // One with a mistake changes nothing, and is told once.
    change("query_timeout = 11", "query_timeout = 13\npool_mode = 5");
    let told = "files have changed, but all stays as it was: ";
    wait::until(wait::SOON, "the mistake", || pooler.log().contains(told));
    assert_eq!(shown(&mut console, "query_timeout"), "12s");
    assert_eq!(pooler.client().value("SELECT 6 * 7"), "42");
    // Three looks at the files later.
    std::thread::sleep(std::time::Duration::from_secs(3));
    assert_eq!(pooler.log().matches(told).count(), 1);
    // Nobody follows what is told not to be followed.
    change(
        "reload_on_change = true\nquery_timeout = 11",
        "query_timeout = 14",
    );
    until_set(&mut console, "query_timeout", "14s");
    change("query_timeout = 11", "query_timeout = 15");
    std::thread::sleep(std::time::Duration::from_secs(3));
    assert_eq!(shown(&mut console, "query_timeout"), "14s");
}

#[test]
fn a_config_map_that_is_swapped_is_read() {
    use std::os::unix::fs::symlink;
    let database = Cluster::shared().database();
    let (pooler, mut console) = follows(&database);
    let folder = pooler.directory();
    let path = folder.join("pgweave.toml");
    let good = fs::read_to_string(&path).unwrap();
    let put = |version: &str, text: &str| {
        fs::create_dir(folder.join(version)).unwrap();
        fs::write(folder.join(version).join("pgweave.toml"), text).unwrap();
        symlink(version, folder.join("..data_tmp")).unwrap();
        fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
    };
    put("..1", &good.replace("timeout = 11", "timeout = 12"));
    symlink("..data/pgweave.toml", folder.join("link")).unwrap();
    fs::rename(folder.join("link"), &path).unwrap();
    until_set(&mut console, "query_timeout", "12s");
    put("..2", &good.replace("timeout = 11", "timeout = 13"));
    until_set(&mut console, "query_timeout", "13s");
}

#[test]
fn files_that_a_configuration_is_made_of_are_followed_too() {
    let database = Cluster::shared().database();
    let address = database.cluster.address();
    let folder = crate::support::certificates::Folder::new();
    let more = folder.put("more.ini", "query_timeout = 11\n");
    let users = folder.put("users.txt", "\"postgres\" \"\"\n\"guest\" \"first\"\n");
    let all = "host all all 127.0.0.1/32 trust\n";
    let included = folder.put("included.conf", all);
    let rules = folder.put("hba.conf", &format!("include {included}\n"));
    let text = format!(
        "[databases]\n* = host={} port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = 0\n\
         unix_socket_dir =\nauth_type = hba\nauth_hba_file = {rules}\nauth_file = {users}\n\
         admin_users = postgres\nauth_failures_per_minute = 0\nreload_on_change = true\n%include {more}\n",
        address.ip(),
        address.port()
    );
    let pooler = Pooler::start("pgbouncer.ini", &text, &database.name);
    let mut console = crate::console::console(&pooler);
    fs::write(&more, "query_timeout = 12\n").unwrap();
    until_set(&mut console, "query_timeout", "12s");
    let come = |password: &str| {
        let startup = Startup::new("guest", &database.name).password(password);
        Connection::try_login(pooler.address, &startup).is_ok()
    };
    assert!(come("anything"));
    let asks = "host all guest 127.0.0.1/32 scram-sha-256\n";
    fs::write(&included, format!("{asks}{all}")).unwrap();
    wait::until(wait::SOON, "other rules", || !come("second"));
    assert!(come("first"));
    fs::write(&users, "\"postgres\" \"\"\n\"guest\" \"second\"\n").unwrap();
    wait::until(wait::SOON, "other users", || come("second"));
}
