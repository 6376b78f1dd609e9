//! The log keeps nobody waiting, tells no literals, and says how much it says.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::console;
use crate::support::certificates::Folder;
use crate::support::frames::{bind, execute, parse, query, sync};
use crate::support::janitor;
use crate::support::machine::{free_port, scratch_directory};
use crate::support::pooler::{Plan, Pooler};
use crate::support::postgres::{Cluster, Database};
use crate::support::raw::Connection;
use crate::support::startup::Startup;
use crate::support::wait;
use crate::telemetry::{metrics, pages, value};

/// What a refused login can make the log say, in bytes.
const LONG: usize = 8_000;

/// Clients that are refused, each with a long line.
fn flood(address: SocketAddr, clients: usize) {
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..clients / 4 {
                    let odd = Startup::new("postgres", &"x".repeat(LONG));
                    assert!(Connection::try_login(address, &odd).is_err());
                }
            });
        }
    });
}

fn dropped(pages: SocketAddr) -> f64 {
    value(
        &metrics(pages),
        "pgweave_log_lines_dropped_total",
        &["\"log\""],
    )
    .unwrap()
}

fn plan(database: &Database) -> Plan {
    console::plan(database)
        .setting("http_listen", "\"127.0.0.1:0\"")
        .setting("log_rate_limit", "0")
        .without_fallback()
}

#[test]
fn a_pipe_that_nobody_reads_keeps_nobody_waiting() {
    let database = Cluster::shared().database();
    let mut pooler = plan(&database).setting("log_level", "\"debug\"").start();
    let pages = pages(&pooler);
    assert!(dropped(pages) < 1.0);
    pooler.is_unheard(true);
    let mut client = pooler.client();
    // The pipe takes 64 KiB or so, the queue 4 MiB.
    flood(pooler.address, 2_000);
    assert!(dropped(pages) > 100.0);
    let began = Instant::now();
    (0..100).for_each(|_| assert_eq!(client.value("SELECT 6 * 7"), "42"));
    assert_eq!(pooler.client().value("SELECT 6 * 7"), "42");
    assert!(began.elapsed() < wait::SOON);
    // Somebody reads: what was kept comes, and how many lines are missing.
    pooler.is_unheard(false);
    let told = "WARN lines of the log were lost lines=";
    wait::until(wait::SOON, "the losses", || pooler.log().contains(told));
    drop(pooler.client());
    wait::until(wait::SOON, "what came last", || {
        let log = pooler.log();
        log.trim_end().ends_with("user=\"postgres\"") && log.contains("client close request")
    });
    // Nor does such a pipe hold up the end.
    pooler.is_unheard(true);
    flood(pooler.address, 400);
    let began = Instant::now();
    pooler.signal(15);
    assert!(pooler.wait().success());
    assert!(began.elapsed() < Duration::from_secs(6));
}

/// A pooler that logs to this file, and where its pages are.
fn logs_to(database: &Database, path: &str) -> (Pooler, SocketAddr) {
    let text = format!(
        "[pgweave]\nlisten_addr = \"127.0.0.1\"\nlisten_port = {}\nauth_type = \"trust\"\n\
         logfile = {path:?}\nhttp_listen = \"127.0.0.1:0\"\nlog_rate_limit = 0\n\
         [databases.{}]\nhost = \"127.0.0.1\"\nport = {}\n[users.postgres]\npassword = \"unused\"\n",
        free_port(),
        database.name,
        database.cluster.address().port()
    );
    let pooler = Pooler::start_logging_to("pgweave.toml", &text, &database.name, path);
    let log = fs::read_to_string(path).unwrap();
    let (_, said) = log.split_once("health on http://").unwrap();
    let pages = said.split_whitespace().next().unwrap().parse().unwrap();
    (pooler, pages)
}

#[test]
fn a_log_file_that_takes_nothing_keeps_nobody_waiting() {
    if !Path::new("/dev/full").exists() {
        return;
    }
    let database = Cluster::shared().database();
    let folder = Folder::new();
    let path = folder.put("pgweave.log", "");
    let (mut pooler, pages) = logs_to(&database, &path);
    let mut client = pooler.client();
    fs::rename(&path, format!("{path}.1")).unwrap();
    std::os::unix::fs::symlink("/dev/full", &path).unwrap();
    pooler.signal(1);
    wait::until(wait::SOON, "lost lines", || {
        assert_eq!(client.value("SELECT 6 * 7"), "42");
        drop(pooler.client());
        dropped(pages) > 10.0
    });
    fs::remove_file(&path).unwrap();
    pooler.signal(1);
    let told = "WARN lines of the log were lost lines=";
    wait::until(wait::SOON, "the losses", || {
        fs::read_to_string(&path).is_ok_and(|log| log.contains(told))
    });
    pooler.signal(15);
    assert!(pooler.wait().success());
    let log = fs::read_to_string(&path).unwrap();
    assert!(log.contains("the configuration was read again"), "{log}");
    assert!(log.trim_end().ends_with("pgweave ends"), "{log}");
}

/// A small disk, where the system lets us have one.
struct Disk(std::path::PathBuf);

impl Disk {
    fn mounted() -> Option<Self> {
        let place = scratch_directory("disk");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"]);
        let output = mount.arg(&place).output();
        output.ok()?.status.success().then_some(Self(place))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Somebody may have its files open still.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
        let _ = fs::remove_dir(&self.0);
    }
}

#[test]
fn when_a_full_disk_has_room_again_lines_come_again() {
    let Some(disk) = Disk::mounted() else {
        eprintln!("a disk of our own needs root: not tried");
        return;
    };
    let database = Cluster::shared().database();
    let path = disk.0.join("log").display().to_string();
    let (pooler, pages) = logs_to(&database, &path);
    let mut client = pooler.client();
    let filler = disk.0.join("filler");
    fs::write(&filler, [b'x'; 40 * 1024]).unwrap();
    flood(pooler.address, 20);
    wait::until(wait::SOON, "lost lines", || dropped(pages) > 5.0);
    assert_eq!(client.value("SELECT 6 * 7"), "42");
    fs::remove_file(&filler).unwrap();
    wait::until(wait::SOON, "the losses, and what comes next", || {
        drop(pooler.client());
        let log = fs::read_to_string(&path).unwrap();
        let (_, next) = log
            .split_once("lines of the log were lost")
            .unwrap_or_default();
        next.contains("client close request")
    });
    // A line that was written in part spoils no other.
    let log = fs::read_to_string(&path).unwrap();
    let told = log.lines().find(|line| line.contains("were lost"));
    let time = told.unwrap().split_whitespace().next().unwrap();
    assert!(time.starts_with("20") && time.ends_with('Z'), "{time}");
}

fn spawn(folder: &Path, text: &str) -> Child {
    let file = folder.join("pgweave.toml");
    fs::write(&file, text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_pgweave"));
    command.arg(&file).env_clear();
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let child = command.stderr(Stdio::piped()).spawn().unwrap();
    janitor::started(&child, folder);
    child
}

fn ended(child: &mut Child) -> Option<i32> {
    let status = wait::until_some(wait::SOON, "its end", || child.try_wait().unwrap());
    janitor::ended(child);
    status.code()
}

#[test]
fn a_pipe_whose_reader_has_gone_keeps_nobody_waiting() {
    let database = Cluster::shared().database();
    let folder = scratch_directory("logging");
    let text = format!(
        "[pgweave]\nlisten_port = 0\nauth_type = \"trust\"\n[databases.\"*\"]\nhost = \"127.0.0.1\"\nport = {}\n",
        database.cluster.address().port()
    );
    let mut child = spawn(&folder, &text);
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let address = lines.find_map(|line| {
        let line = line.unwrap();
        let (_, said) = line.split_once("listening on ")?;
        said.split_whitespace().next()?.parse().ok()
    });
    drop(lines);
    for _ in 0..20 {
        let mut client = Connection::superuser(address.unwrap(), &database.name);
        assert_eq!(client.value("SELECT 6 * 7"), "42");
    }
    let id = child.id().to_string();
    let _ = Command::new("kill").arg("-15").arg(id).status();
    assert_eq!(ended(&mut child), Some(0));
    fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn what_keeps_it_from_starting_is_told_unless_nobody_reads_it() {
    let folder = scratch_directory("logging");
    // More than a pipe takes.
    let wrong = (0..1_200).map(|number| format!("[databases.wrong_{number}]\nport = 0\n"));
    let text: String = wrong.collect();
    let mut unread = spawn(&folder, &text);
    assert_eq!(ended(&mut unread), Some(1));
    let read = spawn(&folder, &text);
    janitor::ended(&read);
    let output = read.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.len() > 70_000 && said.contains("wrong_1199"));
    fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn the_level_changes_while_it_runs() {
    let database = Cluster::shared().database();
    for format in ["\"text\"", "\"json\""] {
        let pooler = console::plan(&database)
            .setting("log_format", format)
            .start();
        let mut console = console::console(&pooler);
        // Why a client keeps its server connection is told at that level.
        let pinned = || pooler.log().matches("pinned by").count();
        let pin = || {
            let mut client = pooler.client();
            client.rows("CREATE TEMPORARY TABLE t (a int)");
            client.rows("SELECT 1");
            client.terminate();
        };
        let logins = || pooler.log().matches("login:").count();
        pin();
        console.rows("SET log_level = 'debug'");
        pin();
        wait::until(wait::SOON, "a debug line", || pinned() == 1);
        console.rows("SET verbose = 0");
        pin();
        wait::until(wait::SOON, "three logins", || logins() == 3);
        assert_eq!(pinned(), 1);
        // From the file, and logins alone.
        let config = pooler.directory().join("pgweave.toml");
        let text = fs::read_to_string(&config).unwrap();
        let with = |line: &str| fs::write(&config, text.replacen("\n", line, 1)).unwrap();
        with("\nlog_level = \"debug\"\nlog_connections = false\n");
        console.rows("RELOAD");
        pin();
        wait::until(wait::SOON, "a debug line", || pinned() == 2);
        console.rows("SET log_connections = true");
        pin();
        wait::until(wait::SOON, "a login", || logins() == 4);
        if format == "\"json\"" {
            let log = pooler.log();
            let lines: Vec<serde_json::Value> = log
                .lines()
                .map(|line| serde_json::from_str(line).unwrap())
                .collect();
            let login = lines
                .iter()
                .find(|line| line["fields"]["message"] == "login:");
            let fields = &login.unwrap()["fields"];
            assert_eq!(fields["db"], database.name);
            assert_eq!(fields["user"], "postgres");
            assert_eq!(fields["tls"], false);
        }
    }
}

/// The lines about slow transactions, once there are so many.
fn slow(pooler: &Pooler, count: usize) -> Vec<String> {
    wait::until_some(wait::SOON, "slow transactions", || {
        let log = pooler.log();
        let lines = log
            .lines()
            .filter(|line| line.contains(" slow transaction "));
        let lines: Vec<String> = lines.map(str::to_owned).collect();
        (lines.len() >= count).then_some(lines)
    })
}

/// A field of a line, without quotes.
fn field<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let (_, said) = line.split_once(&format!(" {name}="))?;
    match said.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next(),
        None => said.split(' ').next(),
    }
}

#[test]
fn a_slow_transaction_is_told_without_its_literals() {
    let database = Cluster::shared().database();
    let pooler = console::plan(&database)
        .setting("log_min_duration_transaction", "\"200ms\"")
        .start();
    let startup = pooler.startup().with("application_name", "report");
    let mut client = Connection::login(pooler.address, &startup);
    client.rows("SELECT 'SECRET'");
    client.rows("BEGIN");
    client.rows("SELECT 'SECRET' AS a");
    client.rows("SELECT pg_sleep(0.3), E'\\'SECRET' IN ('SECRET', $$SECRET$$) -- SECRET");
    client.rows("COMMIT");
    let line = slow(&pooler, 1).remove(0);
    let has = |name| field(&line, name);
    assert_eq!(has("statement"), Some("SELECT pg_sleep(?), ? IN (?)"));
    assert_eq!((has("queries"), has("wait_ms")), (Some("4"), Some("0")));
    assert_eq!(has("database"), Some(database.name.as_str()));
    assert_eq!(
        (has("user"), has("application_name")),
        (Some("postgres"), Some("report"))
    );
    let took: u64 = has("duration_ms").unwrap().parse().unwrap();
    assert!((300..5_000).contains(&took), "{line}");
    let pid: u32 = has("pid").unwrap().parse().unwrap();
    assert!(pid > 0 && line.contains(&format!(" client={}", client.local_address())));
    let fingerprint = has("fingerprint").unwrap().to_owned();
    assert_eq!(fingerprint.len(), 16);
    // What is written another way is the same.
    client.rows("select  PG_SLEEP( 0.25 ) , 'b' in ('c')");
    assert_eq!(
        field(&slow(&pooler, 2)[1], "fingerprint"),
        Some(&*fingerprint)
    );
    // In doubt there is the number only.
    client.rows("SET standard_conforming_strings = off");
    client.rows("SELECT pg_sleep(0.25), 'it\\'s SECRET'");
    let line = slow(&pooler, 3).remove(2);
    assert_eq!(field(&line, "statement"), None);
    assert!(field(&line, "fingerprint").is_some());
    assert!(!pooler.log().contains("SECRET"));
    // Off, and for those in a transaction, too.
    console::console(&pooler).rows("SET log_min_duration_transaction = 0");
    client.rows("SELECT pg_sleep(0.25)");
    client.terminate();
    wait::until(wait::SOON, "its end", || {
        pooler.log().contains("client close request")
    });
    assert_eq!(slow(&pooler, 3).len(), 3);
}

#[test]
fn a_slow_transaction_is_told_however_it_runs_and_ends() {
    let database = Cluster::shared().database();
    let pooler = Plan::before(&database)
        .setting("log_min_duration_transaction", "\"200ms\"")
        .pool_size(1)
        .start();
    let mut client = pooler.client();
    // A prepared statement, in one transaction with what is sent ahead.
    let prepared = parse(
        "s",
        "SELECT pg_sleep($1::text::float), 'SECRET' FROM pg_am LIMIT 1",
    );
    client.send(&[prepared, sync()].concat());
    client.until_ready(1, "s");
    let begin = [parse("", "BEGIN"), bind("", "", &[]), execute("", 0)].concat();
    let run = [bind("", "s", &[Some(b"0.3")]), execute("", 0)].concat();
    let commit = [parse("", "COMMIT"), bind("", "", &[]), execute("", 0)].concat();
    client.send(&[begin, run, commit, sync()].concat());
    client.until_ready(1, "the pipeline");
    let line = slow(&pooler, 1).remove(0);
    let text = "SELECT pg_sleep(?::text::float), ? FROM pg_am LIMIT ?";
    assert_eq!(field(&line, "statement"), Some(text));
    // Waiting counts.
    let mut other = pooler.client();
    client.send(&query("SELECT pg_sleep(0.4)"));
    wait::until(wait::SOON, "it to run", || {
        database.backends("state = 'active'") == 1
    });
    other.rows("SELECT 'SECRET', 2");
    client.until_ready(1, "the other");
    let lines = slow(&pooler, 3);
    let waited = lines.iter().find(|line| line.contains("\"SELECT ?\""));
    let wait: u64 = field(waited.unwrap(), "wait_ms").unwrap().parse().unwrap();
    assert!(wait >= 200, "{lines:?}");
    // Who leaves in the middle.
    other.rows("BEGIN");
    other.rows("SELECT pg_sleep(0.3) AS left");
    drop(other);
    let line = slow(&pooler, 4).remove(3);
    assert_eq!(
        field(&line, "statement"),
        Some("SELECT pg_sleep(?) AS left")
    );
    assert!(!pooler.log().contains("SECRET"));
}

#[test]
fn in_session_mode_each_transaction_is_one() {
    let database = Cluster::shared().database();
    let pooler = Plan::before(&database)
        .setting("log_min_duration_transaction", "\"200ms\"")
        .pool_mode("session")
        .start();
    let mut client = pooler.client();
    client.rows("SELECT pg_sleep(0.3) AS one");
    // The client's own time between transactions is nobody's.
    thread::sleep(Duration::from_millis(300));
    client.rows("SELECT 1");
    let unnamed = parse("", "SELECT pg_sleep(0.3) AS two");
    client.send(&[unnamed, bind("", "", &[]), execute("", 0), sync()].concat());
    client.until_ready(1, "two");
    let lines = slow(&pooler, 2);
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert_eq!(
        field(&lines[0], "statement"),
        Some("SELECT pg_sleep(?) AS one")
    );
    assert_eq!(
        field(&lines[1], "statement"),
        Some("SELECT pg_sleep(?) AS two")
    );
}

#[test]
fn of_what_clients_provoke_there_are_so_many_lines_and_no_more() {
    let database = Cluster::shared().database();
    let pooler = plan(&database).setting("log_rate_limit", "5").start();
    let pages = pages(&pooler);
    let count = |what: &str| pooler.log().matches(what).count();
    for _ in 0..20 {
        let odd = Startup::new("postgres", "nowhere");
        assert!(Connection::try_login(pooler.address, &odd).is_err());
        pooler.client().terminate();
    }
    // Those who come and go in good order are counted by their lines.
    wait::until(wait::SOON, "all ends", || {
        count("client close request") == 20
    });
    assert_eq!(count("INFO login: "), 20);
    assert_eq!(count("INFO login failed: "), 5);
    let left_out = value(&metrics(pages), "pgweave_log_lines_suppressed_total", &[]);
    assert_eq!(left_out, Some(15.0));
    // When the ten seconds are over it is told, though nothing more happens.
    let told = "INFO more lines like this one were suppressed suppressed=15 like=\"login failed: ";
    wait::until(Duration::from_secs(20), "the others", || count(told) == 1);
    // And there may be lines again; at the end it does not wait to be told.
    flood(pooler.address, 12);
    wait::until(wait::SOON, "five more", || {
        count("INFO login failed: ") == 10
    });
    let mut pooler = pooler;
    pooler.signal(15);
    assert!(pooler.wait().success());
    wait::until(wait::SOON, "the last", || {
        pooler.log().contains("were suppressed suppressed=7")
    });
}
