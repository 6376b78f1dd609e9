//! What is counted, exactly.

use std::cell::Cell;

use super::{Shown, console, one_waits, plan, until_shown};
use crate::support::frames;
use crate::support::postgres::Cluster;
use crate::support::wait;

#[test]
fn a_scripted_run_is_counted_exactly() {
    let database = Cluster::shared().database();
    let pooler = plan(&database).pool_size(1).start();
    let mut console = console(&pooler);
    let mut client = pooler.client();
    // Three transactions, of one, four and one query.
    let (sent, received) = (Cell::new(0), Cell::new(0));
    let say = |client: &mut crate::support::raw::Connection, bytes: &[u8]| {
        client.send(bytes);
        let answer = client.until_ready(1, "an answer");
        sent.set(sent.get() + bytes.len() as u64);
        let length: usize = answer.iter().map(|frame| frame.to_bytes().len()).sum();
        received.set(received.get() + length as u64);
    };
    say(&mut client, &frames::query("SELECT 1"));
    for text in ["BEGIN", "SELECT 2", "SELECT 3", "COMMIT"] {
        std::thread::sleep(std::time::Duration::from_millis(15));
        say(&mut client, &frames::query(text));
    }
    let bound = |name: &str| {
        let bound = [
            frames::bind("", name, &[]),
            frames::execute("", 0),
            frames::sync(),
        ];
        bound.concat()
    };
    let prepared = [frames::parse("s", "SELECT 4"), bound("s")].concat();
    say(&mut client, &prepared);
    let stats = until_shown(&mut console, "STATS", |stats| {
        stats.number("database", &pooler.database, "total_sent") == received.get()
    });
    let count = |column: &str| stats.number("database", &pooler.database, column);
    assert_eq!(count("total_server_assignment_count"), 3);
    assert_eq!(count("total_xact_count"), 3);
    assert_eq!(count("total_query_count"), 6);
    assert_eq!(count("total_client_parse_count"), 1);
    assert_eq!(count("total_server_parse_count"), 1);
    assert_eq!(count("total_bind_count"), 1);
    assert_eq!(count("total_client_login_count"), 1);
    assert_eq!(
        (count("total_received"), count("total_sent")),
        (sent.get(), received.get())
    );
    // In its block the client did nothing three times: no query ran.
    let (transactions, queries) = (count("total_xact_time"), count("total_query_time"));
    assert!(
        queries > 0 && queries + 45_000 <= transactions,
        "{queries} {transactions}"
    );
    // Known already, to the server as well.
    say(&mut client, &bound("s"));
    let totals = until_shown(&mut console, "STATS_TOTALS", |totals| {
        totals.number("database", &pooler.database, "bytes_sent") == received.get()
    });
    let count = |column: &str| totals.number("database", &pooler.database, column);
    assert_eq!((count("bind_count"), count("server_parse_count")), (2, 1));
    assert_eq!((count("xact_count"), count("query_count")), (4, 7));
    let all = Shown::of(&mut console, "TOTALS");
    assert_eq!(all.number("name", "total_query_count", "value"), 7);
    assert_eq!(
        all.number("name", "total_client_bytes", "value"),
        sent.get()
    );
    let statements = Shown::of(&mut console, "STATEMENTS");
    assert_eq!(
        statements.number("database", &pooler.database, "statements"),
        1
    );
}

#[test]
fn transactions_of_a_client_that_keeps_its_connection_count_as_they_end() {
    let database = Cluster::shared().database();
    let pooler = plan(&database).pool_mode("session").start();
    let mut console = console(&pooler);
    let mut client = pooler.client();
    for _ in 0..3 {
        client.rows("SELECT 1");
    }
    let stats = until_shown(&mut console, "STATS", |stats| {
        stats.number("database", &pooler.database, "total_xact_count") == 3
    });
    let count = |column: &str| stats.number("database", &pooler.database, column);
    assert_eq!(count("total_query_count"), 3);
    assert_eq!(count("total_server_assignment_count"), 1);
    // What it does nothing in is no transaction.
    let before = count("total_xact_time");
    std::thread::sleep(std::time::Duration::from_millis(100));
    client.rows("SELECT 1");
    let stats = until_shown(&mut console, "STATS", |stats| {
        stats.number("database", &pooler.database, "total_xact_count") == 4
    });
    let after = stats.number("database", &pooler.database, "total_xact_time");
    assert!(after - before < 100_000, "{before} {after}");
}

#[test]
fn waiting_is_counted_and_shown() {
    let database = Cluster::shared().database();
    let pooler = plan(&database).pool_size(1).start();
    let mut console = console(&pooler);
    let (mut holder, mut waiting) = one_waits(&mut console, &pooler);
    wait::until(wait::SOON, "a wait to be seen", || {
        let clients = Shown::of(&mut console, "CLIENTS");
        clients
            .value("state", "waiting", "wait_us")
            .is_some_and(|us| us != "0")
    });
    wait::until(wait::SOON, "the longest wait to be seen", || {
        let pools = Shown::of(&mut console, "POOLS");
        pools.number("database", &pooler.database, "maxwait_us") > 1000
    });
    holder.rows("COMMIT");
    waiting.until_ready(1, "its turn");
    let stats = Shown::of(&mut console, "STATS");
    assert!(stats.number("database", &pooler.database, "total_wait_time") > 1000);
    let pools = Shown::of(&mut console, "POOLS");
    assert_eq!(pools.number("database", &pooler.database, "maxwait_us"), 0);
}

#[test]
fn errors_are_counted_by_sqlstate() {
    let database = Cluster::shared().database();
    let pooler = plan(&database).start();
    let mut console = console(&pooler);
    let mut client = pooler.client();
    for _ in 0..3 {
        assert_eq!(client.failure("SELECT nothing"), "42703");
    }
    assert_eq!(client.failure("SELECT 1/0"), "22012");
    let errors = until_shown(&mut console, "ERRORS", |errors| errors.len() == 2);
    assert_eq!(errors.number("sqlstate", "42703", "count"), 3);
    assert_eq!(errors.number("sqlstate", "22012", "count"), 1);
}

#[test]
fn averages_are_those_of_the_last_period() {
    let database = Cluster::shared().database();
    let pooler = plan(&database).setting("stats_period", "0.2").start();
    let mut console = console(&pooler);
    let mut client = pooler.client();
    wait::until(wait::SOON, "an average", || {
        client.rows("SELECT 1");
        let stats = Shown::of(&mut console, "STATS");
        stats.number("database", &pooler.database, "avg_xact_count") > 0
    });
    wait::until(wait::SOON, "a quiet period", || {
        let averages = Shown::of(&mut console, "STATS_AVERAGES");
        averages.number("database", &pooler.database, "xact_count") == 0
    });
}

/// What the lines of statistics in the log say, without the time and the level.
fn lines_of_stats(log: &str) -> Vec<String> {
    let lines = log.lines().filter_map(|line| line.split_once("stats: "));
    lines.map(|(_, said)| said.to_owned()).collect()
}

#[test]
fn the_log_tells_what_show_stats_averages_tells() {
    let database = Cluster::shared().database();
    let pooler = plan(&database)
        .setting("stats_period", "1")
        .setting("log_stats", "true")
        .start();
    let mut console = console(&pooler);
    let mut client = pooler.client();
    wait::until(wait::SOON, "averages that are in the log", || {
        for _ in 0..10 {
            client.rows("SELECT 1");
        }
        let averages = Shown::of(&mut console, "STATS_AVERAGES");
        if averages.len() == 0 {
            return false;
        }
        let of = |column: &str| averages.number("database", &pooler.database, column);
        let line = format!(
            "{} xacts/s, {} queries/s, {} client parses/s, {} server parses/s, {} binds/s, \
             in {} B/s, out {} B/s, xact {} us, query {} us, wait {} us",
            of("xact_count"),
            of("query_count"),
            of("avg_client_parse_count"),
            of("avg_server_parse_count"),
            of("avg_bind_count"),
            of("bytes_received"),
            of("bytes_sent"),
            of("xact_time"),
            of("query_time"),
            of("wait_time"),
        );
        of("xact_count") > 0 && lines_of_stats(&pooler.log()).contains(&line)
    });
}

#[test]
fn statistics_are_logged_only_where_that_is_wanted() {
    let database = Cluster::shared().database();
    let pooler = plan(&database).setting("stats_period", "0.05").start();
    let mut console = console(&pooler);
    let mut client = pooler.client();
    let until_an_average = |console: &mut _, client: &mut crate::support::raw::Connection| {
        wait::until(wait::SOON, "an average", || {
            client.rows("SELECT 1");
            let stats = Shown::of(console, "STATS");
            stats.number("database", &pooler.database, "avg_xact_count") > 0
        });
    };
    until_an_average(&mut console, &mut client);
    assert_eq!(lines_of_stats(&pooler.log()), [""; 0]);
    super::tag(&mut console, "SET log_stats = 1");
    wait::until(wait::SOON, "a line", || {
        !lines_of_stats(&pooler.log()).is_empty()
    });
}
