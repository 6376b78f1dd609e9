//! `connect_query`: what clients begin with, and what becomes of it.

use std::fs;

use crate::console::{Shown, console};
use crate::support::pooler::{Plan, Pooler};
use crate::support::postgres::{Cluster, Database};
use crate::support::raw::{Connection, first_error, rows_of};
use crate::support::wait;

/// A pool of one whose connections begin with this.
fn plan(database: &Database, text: &str) -> Plan {
    Plan::before(database)
        .pool_size(1)
        .database_lines(&format!("connect_query = {text:?}"))
}

/// All that these say, in one row.
fn row(client: &mut Connection, sql: &str) -> Vec<String> {
    let rows = rows_of(&client.query(sql));
    assert_eq!(rows.len(), 1, "{sql}");
    let texts = rows[0]
        .iter()
        .map(|value| value.clone().unwrap_or_default());
    texts.collect()
}

const SETS: &str = "SET work_mem = '7MB'; SET DateStyle = 'German'; \
                    SELECT set_config('app.tenant', '42', false)";
const SHOWS: &str = "SELECT current_setting('work_mem'), current_setting('app.tenant'), \
                     date '2024-02-01'::text";

#[test]
fn what_it_sets_is_what_each_client_begins_with_and_may_change() {
    let database = Cluster::shared().database();
    let pooler = plan(&database, SETS).start();
    let begun = ["7MB", "42", "01.02.2024"];
    let (mut a, mut b) = (pooler.client(), pooler.client());
    assert_eq!(row(&mut a, SHOWS), begun);
    a.rows("SET work_mem = '9MB'; SET app.tenant = 'a'; SET DateStyle = 'ISO, MDY'");
    assert_eq!(row(&mut b, SHOWS), begun);
    assert_eq!(row(&mut a, SHOWS), ["9MB", "a", "2024-02-01"]);
    assert_eq!(row(&mut b, SHOWS), begun);
    assert_eq!(row(&mut pooler.client(), SHOWS), begun);
}

#[test]
fn reset_goes_back_to_what_the_server_has_without_it_as_on_a_direct_connection() {
    let database = Cluster::shared().database();
    let pooler = plan(&database, SETS).start();
    for reset in [
        "RESET work_mem",
        "SET work_mem TO DEFAULT",
        "RESET app.tenant",
        "RESET ALL",
        "DISCARD ALL",
    ] {
        let mut direct = database.direct();
        direct.query(SETS);
        direct.query(reset);
        let expected = row(&mut direct, SHOWS);
        let (mut a, mut b) = (pooler.client(), pooler.client());
        a.query(reset);
        for _ in 0..2 {
            assert_eq!(row(&mut b, SHOWS), ["7MB", "42", "01.02.2024"], "{reset}");
            assert_eq!(row(&mut a, SHOWS), expected, "{reset}");
        }
    }
}

#[test]
fn clients_are_told_of_it_when_they_log_in() {
    let database = Cluster::shared().database();
    let pooler = plan(&database, SETS).start();
    let mut client = Connection::open(pooler.address);
    client.send(&pooler.startup().to_bytes());
    let greeting = client.until_ready(1, "the greeting");
    let reported = |name: &[u8]| {
        let begins = [name, b"\0"].concat();
        let found = greeting
            .iter()
            .find(|frame| frame.tag == b'S' && frame.body.starts_with(&begins));
        String::from_utf8_lossy(&found.unwrap().body[begins.len()..]).into_owned()
    };
    assert_eq!(reported(b"DateStyle"), "German, DMY\0");
    // Nothing is news: the server connection has what the client was told.
    let answer = client.query("SHOW DateStyle");
    assert!(answer.iter().all(|frame| frame.tag != b'S'), "{answer:?}");
}

#[test]
fn a_role_is_given_back_and_can_be_left() {
    let database = Cluster::shared().database();
    let pooler = plan(&database, "SET ROLE guest; SET work_mem = '7MB'").start();
    let who = "SELECT current_user, session_user, current_setting('work_mem')";
    let begun = ["guest", "postgres", "7MB"];
    let (mut a, mut b) = (pooler.client(), pooler.client());
    assert_eq!(row(&mut a, who), begun);
    a.rows("RESET ROLE");
    assert_eq!(row(&mut b, who), begun);
    assert_eq!(row(&mut a, who), ["postgres", "postgres", "7MB"]);
    a.query("DISCARD ALL");
    assert_eq!(row(&mut b, who), begun);
    a.rows("SET ROLE guest");
    let found = row(&mut a, who);
    assert_eq!(found[0], "guest");
    assert_ne!(found[2], "7MB");
    assert_eq!(row(&mut b, who), begun);
}

#[test]
fn what_a_function_sets_counts_as_well() {
    let database = Cluster::shared().database();
    database.direct().query(
        "CREATE FUNCTION begins() RETURNS void LANGUAGE plpgsql AS \
         $$BEGIN PERFORM set_config('app.tenant', '42', false); SET work_mem = '7MB'; END$$",
    );
    let pooler = plan(&database, "SELECT begins()").start();
    let shows = "SELECT current_setting('app.tenant'), current_setting('work_mem')";
    let (mut a, mut b) = (pooler.client(), pooler.client());
    assert_eq!(row(&mut a, shows), ["42", "7MB"]);
    a.query("RESET ALL");
    assert_eq!(row(&mut b, shows), ["42", "7MB"]);
    assert_ne!(row(&mut a, shows)[1], "7MB");
    assert_eq!(row(&mut b, shows), ["42", "7MB"]);
}

const MORE: &str = "CREATE TEMP TABLE seen (x int); LISTEN news; SET work_mem = '7MB'";

#[test]
fn more_than_settings_belongs_to_the_server_connection() {
    let database = Cluster::shared().database();
    let pooler = plan(&database, MORE).start();
    let count = "SELECT count(*), current_setting('work_mem') FROM seen";
    let (mut a, mut b) = (pooler.client(), pooler.client());
    a.rows("INSERT INTO seen VALUES (1)");
    assert_eq!(row(&mut b, count), ["1", "7MB"]);
    // It rests while somebody tells what it listens to.
    database.direct().query("NOTIFY news");
    assert_eq!(row(&mut a, count), ["1", "7MB"]);
    // Whoever takes it away has the server connection closed.
    a.query("DISCARD ALL");
    assert_eq!(row(&mut b, count), ["0", "7MB"]);
}

#[test]
fn what_a_client_makes_beside_it_keeps_that_client_as_long_as_it_lives() {
    let database = Cluster::shared().database();
    let text = format!("{MORE}; SELECT pg_advisory_lock(1)");
    let pooler = plan(&database, &text)
        .setting("admin_users", "\"postgres\"")
        .start();
    let mut console = console(&pooler);
    let mut pinned = |so_many: usize, after: &str| {
        wait::until(wait::SOON, after, || {
            Shown::of(&mut console, "PINS").len() == so_many
        });
    };
    let (mut a, mut b) = (pooler.client(), pooler.client());
    for (makes, ends) in [
        ("CREATE TEMP TABLE mine (x int)", "DROP TABLE mine"),
        ("SELECT pg_advisory_lock(2)", "SELECT pg_advisory_unlock(2)"),
        ("PREPARE p AS SELECT 1", "DEALLOCATE p"),
    ] {
        a.query(makes);
        pinned(1, makes);
        a.query(ends);
        pinned(0, ends);
        assert_eq!(b.value("SELECT count(*) FROM seen"), "0");
    }
    let mut direct = database.direct();
    assert_eq!(direct.value("SELECT pg_try_advisory_lock(1)"), "f");
}

#[test]
fn it_is_run_again_when_a_client_has_left_that_kept_its_connection() {
    for mode in ["transaction", "session"] {
        let database = Cluster::shared().database();
        let pooler = plan(&database, MORE).pool_mode(mode).start();
        let mut first = pooler.client();
        let process = first.value("SELECT pg_backend_pid()");
        first.query("CREATE TEMP TABLE mine (x int); SET work_mem = '9MB'");
        first.terminate();
        let mut second = pooler.client();
        assert_eq!(second.failure("SELECT count(*) FROM mine"), "42P01");
        let count = "SELECT count(*), current_setting('work_mem'), pg_backend_pid() FROM seen";
        let found = row(&mut second, count);
        assert_eq!(found, ["0", "7MB", &*process], "{mode}");
    }
}

#[test]
fn nothing_is_left_of_a_transaction_and_it_is_there_all_the_same() {
    for (text, connection_stays) in [("SET work_mem = '7MB'", true), (MORE, false)] {
        let database = Cluster::shared().database();
        let pooler = plan(&database, text)
            .setting("session_state", "\"reset\"")
            .start();
        let mut client = pooler.client();
        let process = client.value("SELECT pg_backend_pid()");
        client.rows("SET work_mem = '9MB'");
        assert_eq!(client.value("SHOW work_mem"), "7MB");
        let is_same = client.value("SELECT pg_backend_pid()") == process;
        assert_eq!(is_same, connection_stays, "{text}");
        if !connection_stays {
            assert_eq!(client.value("SELECT count(*) FROM seen"), "0");
        }
    }
}

#[test]
fn when_it_fails_all_who_wait_hear_why() {
    let database = Cluster::shared().database();
    let pooler = plan(&database, "SELECT pg_sleep(0.3); SET no_such_setting = 1").start();
    let mut waiting: Vec<_> = (0..3).map(|_| Connection::open(pooler.address)).collect();
    for client in &mut waiting {
        client.send(&pooler.startup().to_bytes());
    }
    for mut client in waiting {
        let answer = client.until_end("the refusal");
        assert_eq!(first_error(&answer).as_deref(), Some("42704"));
        let error = answer.iter().find(|frame| frame.tag == b'E').unwrap();
        let text = String::from_utf8_lossy(&error.body).into_owned();
        assert!(
            text.contains("connect_query failed: unrecognized"),
            "{text}"
        );
    }
    database.wait_until_quiet();
}

#[test]
fn what_leaves_the_session_unfit_is_refused() {
    let database = Cluster::shared().database();
    for text in [
        "BEGIN",
        "COPY pg_temp.x FROM STDIN",
        "CREATE TEMP TABLE x (y int); COPY x FROM STDIN",
    ] {
        let pooler = plan(&database, text).start();
        let refused = Connection::try_login(pooler.address, &pooler.startup());
        assert!(first_error(&refused.err().unwrap()).is_some(), "{text}");
    }
    database.wait_until_quiet();
}

fn reload(pooler: &Pooler, from: &str, to: &str) {
    let path = pooler.directory().join("pgweave.toml");
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from));
    fs::write(&path, text.replace(from, to)).unwrap();
    pooler.signal(1);
    wait::until(wait::SOON, "the configuration to be read", || {
        pooler.log().contains("SIGHUP: ")
    });
}

#[test]
fn another_text_holds_for_those_who_come_later() {
    let database = Cluster::shared().database();
    let pooler = plan(&database, "SET work_mem = '7MB'").start();
    let mut before = pooler.client();
    let process = before.value("SELECT pg_backend_pid()");
    reload(&pooler, "7MB", "8MB");
    let mut later = pooler.client();
    assert_eq!(later.value("SHOW work_mem"), "8MB");
    assert_eq!(before.value("SHOW work_mem"), "7MB");
    assert_ne!(later.value("SELECT pg_backend_pid()"), process);
}

#[test]
fn a_limit_on_idle_sessions_is_each_clients() {
    let database = Cluster::shared().database();
    let pooler = plan(&database, "SET idle_session_timeout = '300ms'").start();
    let mut client = pooler.client();
    client.value("SELECT 1");
    let told = client.until_end("the end of a client that idles");
    assert_eq!(first_error(&told).as_deref(), Some("57P05"));
    assert_eq!(pooler.client().value("SHOW idle_session_timeout"), "300ms");
}

#[test]
fn it_goes_before_what_the_role_begins_with_also_when_that_changes() {
    let database = Cluster::shared().database();
    let pooler = plan(&database, "SET work_mem = '4MB'").start();
    let (mut a, mut b) = (pooler.client(), pooler.client());
    assert_eq!(a.value("SHOW work_mem"), "4MB");
    let name = &database.name;
    a.rows(&format!("ALTER DATABASE {name} SET work_mem = '8MB'"));
    for _ in 0..2 {
        let mut later = pooler.client();
        later.rows("SET lock_timeout = '9s'");
        assert_eq!(later.value("SHOW work_mem"), "4MB");
        b.rows("SET lock_timeout = '8s'");
        b.rows("RESET ALL");
        assert_eq!(later.value("SHOW work_mem"), "4MB");
        assert_eq!(b.value("SHOW work_mem"), "8MB");
    }
}
