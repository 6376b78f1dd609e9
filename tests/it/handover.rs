//! A process takes over from another, and its clients hear nothing of it.

use std::time::Duration;

use crate::support::frames::{
    bind, cancel_request, describe, execute, parse, query, sync, terminate,
};
use crate::support::machine::scratch_directory;
use crate::support::pooler::{Plan, Pooler};
use crate::support::postgres::{Cluster, Database};
use crate::support::raw::{Connection, cancel, first_error, rows_of};
use crate::support::wait;

const SERVERS: &str = "backend_type = 'client backend' AND application_name <> 'direct'";

fn plan(database: &Database) -> Plan {
    Plan::before(database)
        .setting("takeover_socket", "\"{folder}/takeover\"")
        .setting("shutdown_timeout", "20")
}

/// The old process ends in good order, and soon.
fn ends(old: &mut Pooler) {
    let ended = old.wait();
    assert!(ended.success(), "{ended}\n{}", old.log());
}

fn moved(new: &Pooler, what: &str) -> u32 {
    let told = wait::until_some(wait::SOON, "the hand-over to end", || {
        let log = new.log();
        let line = log.lines().find(|line| line.contains(" taken over "));
        line.map(str::to_owned)
    });
    let after = told.split(&format!(" {what}=")).nth(1).expect("a count");
    after.split(' ').next().unwrap().parse().unwrap()
}

#[test]
fn a_session_goes_over_with_all_that_it_is() {
    let database = Cluster::shared().database();
    let mut old = plan(&database).pool_size(2).start();
    let mut client = old.client();
    client.rows("CREATE TABLE t (n int); INSERT INTO t VALUES (1)");
    client.rows("SET datestyle TO German; SET application_name TO 'travels'; SET my.own TO 'x'");
    client.send(
        &[
            parse("named", "SELECT date '2026-11-26', $1::int"),
            describe(b'S', "named"),
            sync(),
        ]
        .concat(),
    );
    client.until_ready(1, "the description");
    client.send(&[parse("", "SELECT 'unnamed'::text"), sync()].concat());
    client.until_ready(1, "the unnamed statement");
    // The start of a message, whose rest comes to the new process.
    let late = [query("SHOW my.own"), query("SELECT 2")].concat();
    let execution = [
        bind("", "", &[]),
        execute("", 0),
        bind("", "named", &[Some(b"7")]),
        execute("", 0),
        sync(),
    ]
    .concat();
    let (first, rest) = execution.split_at(3);
    client.send(first);
    let mut new = old.successor();
    ends(&mut old);
    assert_eq!(new.address, old.address);
    client.send(rest);
    let frames = client.until_ready(1, "what was cut in two");
    let rows = rows_of(&frames);
    assert_eq!(rows[0][0].as_deref(), Some("unnamed"));
    assert_eq!(
        (rows[1][0].as_deref(), rows[1][1].as_deref()),
        (Some("26.11.2026"), Some("7"))
    );
    client.send(&late);
    let rows = rows_of(&client.until_ready(2, "settings of its own"));
    assert_eq!(
        (rows[0][0].as_deref(), rows[1][0].as_deref()),
        (Some("x"), Some("2"))
    );
    assert_eq!(client.value("SHOW application_name"), "travels");
    // What it was told of parameters counts still: nothing is told twice.
    client.send(&query("SET datestyle TO German"));
    let frames = client.until_ready(1, "the same once more");
    assert!(frames.iter().all(|frame| frame.tag != b'S'));
    // Its key is the one that it was given.
    client.send(&query("SELECT pg_sleep(30)"));
    wait::until(wait::SOON, "the query to run", || {
        database.backends("state = 'active' AND query LIKE 'SELECT pg_sleep%'") == 1
    });
    cancel(new.address, &client.key);
    let error = first_error(&client.until_ready(1, "the cancelled query")).unwrap();
    assert!(error.contains("57014"), "{error}");
    assert_eq!(moved(&new, "clients"), 1);
    assert!(new.is_alive());
    client.terminate();
}

#[test]
fn who_is_in_a_transaction_goes_when_it_ends_and_who_waits_waits_there() {
    let database = Cluster::shared().database();
    let mut old = plan(&database).pool_size(1).start();
    let mut busy = old.client();
    busy.rows("CREATE TABLE t (n int)");
    busy.rows("BEGIN; INSERT INTO t VALUES (1)");
    let mut waiting = old.client();
    waiting.send(&query("SELECT count(*) FROM t"));
    let new = old.successor();
    let mut newcomer = new.client();
    assert!(old.is_alive());
    busy.rows("INSERT INTO t VALUES (2); COMMIT");
    let rows = rows_of(&waiting.until_ready(1, "the one that waited"));
    assert!(matches!(rows[0][0].as_deref(), Some("0" | "2")), "{rows:?}");
    assert_eq!(busy.value("SELECT count(*) FROM t"), "2");
    assert_eq!(newcomer.value("SELECT count(*) FROM t"), "2");
    ends(&mut old);
    assert!(moved(&new, "clients") >= 2);
}

#[test]
fn server_connections_go_over_and_are_as_new() {
    let database = Cluster::shared().database();
    let mut old = plan(&database).pool_size(3).start();
    let mut clients: Vec<_> = (0..3).map(|_| old.client()).collect();
    clients.iter_mut().for_each(|client| {
        client.rows("BEGIN; SET work_mem TO '1MB'");
    });
    clients.iter_mut().for_each(|client| {
        client.rows("COMMIT");
    });
    let pids = "SELECT string_agg(pid::text, ',' ORDER BY pid) FROM pg_stat_activity \
                WHERE datname = current_database() AND pid <> pg_backend_pid()";
    let mut direct = database.direct();
    let before = direct.value(pids);
    let new = old.successor();
    ends(&mut old);
    assert_eq!((moved(&new, "clients"), moved(&new, "servers")), (3, 3));
    assert_eq!(direct.value(pids), before);
    let mut fresh = new.client();
    assert_eq!(fresh.value("SHOW work_mem"), "4MB");
    assert_eq!(clients[0].value("SHOW work_mem"), "1MB");
    assert_eq!(direct.value(pids), before, "none was opened anew");
    let log = new.log();
    assert!(!log.contains("new connection to server"), "{log}");
}

#[test]
fn who_cannot_go_ends_at_a_boundary_and_is_told() {
    let database = Cluster::shared().database();
    let mut old = plan(&database).setting("shutdown_timeout", "2").start();
    let mut pinned = old.client();
    pinned.rows("CREATE TEMPORARY TABLE mine (n int)");
    let new = old.successor();
    // While there is time, it is served on where it is.
    pinned.rows("INSERT INTO mine VALUES (1)");
    let error = first_error(&pinned.until_end("the end")).unwrap();
    assert!(error.contains("57P01"), "{error}");
    ends(&mut old);
    assert_eq!(moved(&new, "clients"), 0);
}

#[test]
fn cancels_of_those_who_are_not_there_yet_find_them() {
    let database = Cluster::shared().database();
    let mut old = plan(&database).start();
    let mut client = old.client();
    client.send(&query("SELECT pg_sleep(60)"));
    wait::until(wait::SOON, "the query to run", || {
        database.backends("state = 'active' AND query LIKE 'SELECT pg_sleep%'") == 1
    });
    let new = old.successor();
    // The old process accepts nobody any more: this one comes to the new one.
    wait::until(wait::SOON, "the old process to let go", || {
        old.log().contains("handing over")
    });
    cancel(new.address, &client.key);
    let error = first_error(&client.until_ready(1, "the cancelled query")).unwrap();
    assert!(error.contains("57014"), "{error}");
    assert_eq!(client.value("SELECT 1"), "1");
    ends(&mut old);
    let _ = cancel_request(&client.key);
}

#[test]
fn what_was_ordered_and_learned_holds_in_the_new_process() {
    let database = Cluster::shared().database();
    let plan = plan(&database).setting("admin_users", "\"postgres\"");
    let mut old = plan.start();
    let mut client = old.client();
    let console = |pooler: &Pooler| Connection::superuser(pooler.address, "pgbouncer");
    console(&old).rows(&format!("PAUSE {}", database.name));
    let new = old.successor();
    ends(&mut old);
    client.send(&query("SELECT 1"));
    let mut console = console(&new);
    wait::until(wait::SOON, "the client to wait", || {
        let pools = console.rows("SHOW POOLS");
        pools.iter().any(|row| row[3].as_deref() == Some("1"))
    });
    console.rows(&format!("RESUME {}", database.name));
    assert_eq!(
        rows_of(&client.until_ready(1, "the row"))[0][0].as_deref(),
        Some("1")
    );
}

#[test]
fn when_the_new_process_dies_at_once_the_old_one_goes_on() {
    let database = Cluster::shared().database();
    let mut old = plan(&database).start();
    let mut client = old.client();
    client.rows("BEGIN");
    let mut new = old.successor();
    wait::until(wait::SOON, "the old process to let go", || {
        old.log().contains("handing over")
    });
    new.kill();
    new.wait();
    wait::until(wait::SOON, "the old process to listen again", || {
        old.log().matches("listening on").count() == 2
    });
    client.rows("COMMIT");
    assert_eq!(client.value("SELECT 1"), "1");
    assert_eq!(old.client().value("SELECT 2"), "2");
    // And the next one may try.
    let new = old.successor();
    ends(&mut old);
    assert_eq!(client.value("SELECT 3"), "3");
    assert_eq!(moved(&new, "clients"), 1);
}

/// The payload of the next notification.
fn heard(client: &mut Connection) -> String {
    let frames = client.until_tag(b'A', "a notification");
    let body = &frames.last().unwrap().body;
    let payload = body[4..].split(|byte| *byte == 0).nth(1).unwrap();
    String::from_utf8(payload.to_vec()).unwrap()
}

#[test]
fn who_listens_goes_over_and_hears_everything_once_and_in_order() {
    let database = Cluster::shared().database();
    let mut pooler = plan(&database).pool_size(2).start();
    let mut clients: Vec<_> = (0..5).map(|_| pooler.client()).collect();
    for (n, client) in clients.iter_mut().enumerate() {
        client.rows(&format!("LISTEN news; LISTEN \"only {n}\""));
    }
    let over = wait::Over::default();
    let sent = std::thread::scope(|scope| {
        let sender = scope.spawn(|| {
            let mut direct = database.direct();
            let mut sent = 0;
            while !over.is_set() {
                sent += 1;
                direct.rows(&format!("NOTIFY news, '{sent}'"));
            }
            direct.rows("NOTIFY news, 'the end'");
            sent
        });
        let at_end = over.at_end();
        for _ in 0..4 {
            let next = pooler.successor();
            ends(&mut pooler);
            let told = next.log();
            assert!(told.contains("clients=5"), "{told}");
            pooler = next;
        }
        drop(at_end);
        sender.join().unwrap()
    });
    assert!(sent > 10);
    for client in &mut clients {
        for number in 1..=sent {
            assert_eq!(heard(client), number.to_string());
        }
        assert_eq!(heard(client), "the end");
    }
    // They listen still, and can take it back.
    let mut direct = database.direct();
    direct.rows("NOTIFY \"only 3\", 'x'");
    assert_eq!(heard(&mut clients[3]), "x");
    assert_eq!(
        clients[4].value("SELECT string_agg(c, ',' ORDER BY c) FROM pg_listening_channels() c"),
        "news,only 4"
    );
    clients[4].rows("UNLISTEN *");
    direct.rows("NOTIFY \"only 4\", 'y'; NOTIFY news, 'z'");
    assert_eq!(heard(&mut clients[0]), "z");
    assert_eq!(clients[4].value("SELECT 1"), "1");
}

#[test]
fn who_comes_by_a_unix_socket_goes_as_well_and_so_does_what_it_has_shown() {
    let database = Cluster::shared().database();
    let mut admin = database.direct();
    // The server asks it for its password.
    let role = "login_scram";
    let directory = scratch_directory("handover");
    let mut old = plan(&database)
        .setting(
            "unix_socket_dir",
            &format!("{:?}", directory.display().to_string()),
        )
        .setting("auth_type", "\"passthrough\"")
        .start();
    let port = old.address.port().to_string();
    // psql keeps its connection while it waits for what is written to it.
    let mut psql = std::process::Command::new("psql")
        .args(["-X", "-At", "-h"])
        .arg(&directory)
        .args(["-p", &port, "-U", role, "-d", &database.name])
        .env("PGPASSWORD", "scram secret")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut ask = psql.stdin.take().unwrap();
    let mut said = std::io::BufReader::new(psql.stdout.take().unwrap());
    let mut answer = |text: &str| {
        use std::io::{BufRead, Write};
        writeln!(ask, "{text}").unwrap();
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        line.trim().to_owned()
    };
    assert_eq!(answer("SELECT current_user;"), role);
    let mut new = old.successor();
    ends(&mut old);
    assert_eq!(moved(&new, "clients"), 1);
    // The server connection that has gone over is ended: another is opened, for which
    // only this client has ever shown anything.
    admin.rows(&format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
         WHERE usename = '{role}' AND datname = current_database()"
    ));
    wait::until(wait::SOON, "it to be gone", || {
        database.backends(&format!("usename = '{role}'")) == 0
    });
    assert_eq!(answer("SELECT current_user;"), role);
    assert!(new.is_alive());
    let _ = psql.kill();
    let _ = psql.wait();
    drop(new);
    let _ = std::fs::remove_dir_all(directory);
}

#[test]
fn who_listens_and_waits_for_a_server_connection_goes_in_time() {
    let database = Cluster::shared().database();
    let mut old = plan(&database).pool_size(2).start();
    let over = wait::Over::default();
    let (address, name) = (old.address, database.name.clone());
    let new = std::thread::scope(|scope| {
        for _ in 0..10 {
            let (over, name) = (&over, &name);
            scope.spawn(move || {
                let mut client = Connection::superuser(address, name);
                client.rows("LISTEN news");
                while !over.is_set() {
                    client.rows("BEGIN");
                    assert_eq!(client.value("SELECT 1"), "1");
                    client.rows("COMMIT");
                }
                client.terminate();
            });
        }
        let at_end = over.at_end();
        wait::until(wait::SOON, "all to be there", || {
            old.log().matches("login: ").count() == 10
        });
        let begun = std::time::Instant::now();
        let new = old.successor();
        ends(&mut old);
        // Nobody had to be sent away: that begins when half of the time is over.
        assert!(begun.elapsed() < Duration::from_secs(10));
        drop(at_end);
        new
    });
    assert_eq!(moved(&new, "clients"), 10);
}

/// Sends a signal to the new process as soon as the old one has begun to hand over.
fn is_over_amid(old: &Pooler, new: &mut Pooler, signal: &str) {
    wait::until(wait::SOON, "the old process to let go", || {
        old.log().contains("handing over")
    });
    new.signal(signal);
    new.wait();
    wait::until(wait::SOON, "the old process to listen again", || {
        old.log().contains("this one goes on") && old.directory().join("takeover").exists()
    });
}

#[test]
fn a_new_process_that_fails_or_ends_early_takes_nothing_with_it() {
    let database = Cluster::shared().database();
    let directory = scratch_directory("handover");
    let place = directory.display().to_string();
    let pidfile = directory.join("pid");
    let mut old = plan(&database)
        .setting("unix_socket_dir", &format!("{place:?}"))
        .setting("pidfile", &format!("{:?}", pidfile.display().to_string()))
        .start();
    let socket = directory.join(format!(".s.PGSQL.{}", old.address.port()));
    let pid = std::fs::read_to_string(&pidfile).unwrap();
    let mut client = old.client();
    client.rows("BEGIN");
    let is_whole = || {
        assert!(socket.exists() && std::os::unix::net::UnixStream::connect(&socket).is_ok());
        assert_eq!(std::fs::read_to_string(&pidfile).unwrap(), pid);
    };
    for signal in ["TERM", "QUIT"] {
        let mut new = old.successor();
        is_over_amid(&old, &mut new, signal);
        is_whole();
    }
    client.rows("COMMIT");
    assert_eq!(old.client().value("SELECT 1"), "1");
    // And the one that comes to an end with it has all of that.
    let mut new = old.successor();
    ends(&mut old);
    moved(&new, "clients");
    wait::until(wait::SOON, "a pidfile of its own", || {
        std::fs::read_to_string(&pidfile).is_ok_and(|now| now != pid)
    });
    assert!(socket.exists());
    client.terminate();
    new.signal("TERM");
    new.wait();
    assert!(!socket.exists() && !pidfile.exists());
    let _ = std::fs::remove_dir_all(directory);
}

#[test]
fn who_finds_no_room_in_the_new_process_stays_and_is_told_in_the_end() {
    let database = Cluster::shared().database();
    let mut old = plan(&database).setting("shutdown_timeout", "6").start();
    let mut clients: Vec<_> = (0..60).map(|_| old.client()).collect();
    clients[0].rows("BEGIN");
    let new = old.successor_with("ulimit -Sn 50; ulimit -Hn 50");
    clients[0].rows("COMMIT");
    ends(&mut old);
    let moved = moved(&new, "clients");
    assert!((1..50).contains(&moved), "{moved}");
    let (mut served, mut told) = (0, 0);
    for client in &mut clients {
        let _ = client.try_send(&query("SELECT 1"));
        match client.read_frame("an answer").map(|frame| frame.tag) {
            Some(b'T') => served += 1,
            Some(b'E') => told += 1,
            other => panic!("a client was left without a word: {other:?}"),
        }
    }
    assert_eq!((served, served + told), (moved, 60));
}

#[test]
fn ten_times_in_a_row_under_load() {
    let database = Cluster::shared().database();
    let mut pooler = plan(&database).pool_size(3).start();
    let mut client = pooler.client();
    client.rows("CREATE TABLE t (n int)");
    let over = wait::Over::default();
    let (address, name) = (pooler.address, database.name.clone());
    let counts = std::thread::scope(|scope| {
        let work = |_| {
            let (over, name) = (&over, &name);
            scope.spawn(move || {
                let mut client = Connection::superuser(address, name);
                let mut count = 0_u32;
                while !over.is_set() {
                    client.rows("BEGIN; INSERT INTO t VALUES (1)");
                    client.rows("COMMIT");
                    count += 1;
                }
                client.send(&terminate());
                count
            })
        };
        let workers: Vec<_> = (0..8).map(work).collect();
        let at_end = over.at_end();
        for _ in 0..10 {
            let next = pooler.successor();
            ends(&mut pooler);
            pooler = next;
        }
        drop(at_end);
        let counts = workers.into_iter().map(|worker| worker.join().unwrap());
        counts.sum::<u32>()
    });
    assert!(counts > 0);
    let stored: u32 = client.value("SELECT count(*) FROM t").parse().unwrap();
    assert_eq!(stored, counts);
    wait::until(Duration::from_secs(5), "few server connections", || {
        database.backends(SERVERS) <= 3
    });
}
