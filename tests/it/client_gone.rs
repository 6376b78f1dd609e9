//! Clients that vanish: at every byte of a request, after every frame of a
//! reply, in the midst of long work. The one server connection of the pool must
//! serve the next client, which sees its own bytes alone.

use std::time::{Duration, Instant};

use crate::support::frames::{copy_data, copy_done, extended, flush, query, unnamed};
use crate::support::pooler::{Plan, Pooler};
use crate::support::postgres::{Cluster, Database};
use crate::support::raw::{Connection, first_error};
use crate::support::wait;

struct Scene {
    pooler: Pooler,
    witness: Connection,
    observer: Connection,
    database: Database<'static>,
    rounds: usize,
}

impl Scene {
    fn new() -> Self {
        let database = Cluster::shared().database();
        let observer = database.direct();
        database.direct().rows("CREATE TABLE t (x int, y text)");
        let pooler = Plan::before(&database).pool_size(1).start();
        let witness = pooler.client();
        Self {
            pooler,
            witness,
            observer,
            database,
            rounds: 0,
        }
    }

    /// Ends a connection without a word; in turn with FIN and with RST.
    fn vanish(&mut self, client: Connection) {
        self.rounds += 1;
        if self.rounds.is_multiple_of(2) {
            client.reset()
        } else {
            drop(client)
        }
    }

    /// The pool of one still serves, nothing is left open, nothing was written.
    fn check(&mut self, when: &str) {
        let marker = format!("witness {}", self.rounds);
        let rows = self
            .witness
            .rows(&format!("SELECT '{marker}', count(*)::text FROM t"));
        assert_eq!(rows, [[Some(marker), Some("0".into())]], "{when}");
        let name = &self.database.name;
        let open = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}' AND xact_start IS NOT NULL AND pid <> pg_backend_pid()"
        );
        wait::until(wait::SOON, &format!("no open transaction, {when}"), || {
            self.observer.value(&open) == "0"
        });
    }
}

/// A request that has committed nothing, wherever it is cut off.
fn cut_at_every_byte(request: &[u8]) {
    let mut scene = Scene::new();
    for length in 0..=request.len() {
        let mut client = scene.pooler.client();
        client.send(&request[..length]);
        scene.vanish(client);
        scene.check(&format!("after {length} bytes of a request"));
    }
}

#[test]
fn at_any_byte_of_a_transaction() {
    cut_at_every_byte(
        &[
            query("BEGIN"),
            query("INSERT INTO t VALUES (1)"),
            query("SELECT 1"),
        ]
        .concat(),
    );
}

#[test]
fn at_any_byte_of_a_query() {
    let mut request = query("INSERT INTO t VALUES (1)");
    request.pop();
    cut_at_every_byte(&request);
}

#[test]
fn at_any_byte_of_an_unfinished_pipeline() {
    cut_at_every_byte(
        &[
            extended("SELECT 1"),
            unnamed("INSERT INTO t VALUES (1)"),
            flush(),
        ]
        .concat(),
    );
}

#[test]
fn postgresql_itself_rolls_an_unfinished_pipeline_back() {
    let scene = Scene::new();
    let mut client = scene.database.direct();
    client.send(&[unnamed("INSERT INTO t VALUES (1)"), flush()].concat());
    client.until_tag(b'C', "the answer to a flushed INSERT");
    drop(client);
    scene.database.wait_until_quiet();
    assert_eq!(scene.database.direct().value("SELECT count(*) FROM t"), "0");
}

#[test]
fn at_any_byte_of_a_copy_in() {
    cut_at_every_byte(
        &[
            query("COPY t FROM STDIN"),
            copy_data(b"1\tone\n"),
            copy_data(b"2\ttwo\n"),
        ]
        .concat(),
    );
}

#[test]
fn at_any_byte_of_an_extended_copy_in() {
    let start = [unnamed("COPY t FROM STDIN"), crate::support::frames::sync()].concat();
    cut_at_every_byte(&[start, copy_data(b"1\tone\n")].concat());
}

/// Reads any number of frames of a reply with `ready` ReadyForQuery in it, then
/// vanishes.
fn cut_at_every_frame(request: &[u8], ready: usize) {
    let mut scene = Scene::new();
    let mut whole = scene.pooler.client();
    whole.send(request);
    let frames = whole.until_ready(ready, "the whole reply").len();
    assert!(frames > ready, "a reply with frames to cut at");
    scene.vanish(whole);
    for count in 0..=frames {
        let mut client = scene.pooler.client();
        client.send(request);
        for number in 0..count {
            assert!(
                client.read_frame("a frame of the reply").is_some(),
                "frame {number}"
            );
        }
        scene.vanish(client);
        scene.check(&format!("after {count} frames of a reply"));
    }
}

#[test]
fn after_any_frame_of_a_reply_in_a_transaction() {
    let request = [
        query("BEGIN"),
        query("INSERT INTO t VALUES (1), (2) RETURNING *"),
        query("SELECT 1/0"),
    ]
    .concat();
    cut_at_every_frame(&request, 3);
}

#[test]
fn after_any_frame_of_a_pipelines_reply() {
    let rows = "SELECT generate_series(1, 3)";
    let request = [extended(rows), extended("SELECT 1/0"), extended(rows)].concat();
    cut_at_every_frame(&request, 3);
}

#[test]
fn after_any_frame_of_a_copy_out() {
    cut_at_every_frame(&query("COPY (SELECT generate_series(1, 5)) TO STDOUT"), 1);
}

#[test]
fn a_query_whose_client_vanished_is_cancelled() {
    let mut scene = Scene::new();
    for in_transaction in [false, true] {
        let mut client = scene.pooler.client();
        if in_transaction {
            client.rows("BEGIN");
            client.rows("INSERT INTO t VALUES (1)");
        }
        client.send(&query("SELECT pg_sleep(60)"));
        let running = "query LIKE '%pg_sleep(60)%' AND state = 'active'";
        wait::until(wait::SOON, "the query to run", || {
            scene.database.backends(running) == 1
        });
        scene.vanish(client);
        wait::until(Duration::from_secs(2), "the query to be cancelled", || {
            scene.database.backends(running) == 0
        });
        scene.check("after a query was abandoned");
    }
}

#[test]
fn a_large_result_whose_client_vanished_does_not_hold_the_connection() {
    for reset in [false, true] {
        let mut scene = Scene::new();
        let mut client = scene.pooler.client();
        client.send(&query(
            "SELECT n, repeat('x', 1000) FROM generate_series(1, 10000000) n",
        ));
        client.until_tag(b'D', "the first row");
        if reset {
            client.reset()
        } else {
            drop(client)
        }
        let start = Instant::now();
        scene.check("in the midst of a large result");
        assert!(
            start.elapsed() < Duration::from_secs(3),
            "the next client waited {:?}",
            start.elapsed()
        );
    }
}

#[test]
fn half_a_copy_data_message_writes_nothing() {
    let mut scene = Scene::new();
    let mut client = scene.pooler.client();
    client.send(&query("COPY t FROM STDIN"));
    client.until_tag(b'G', "CopyInResponse");
    let data = copy_data("7\tseven\n".repeat(1000).as_bytes());
    client.send(&data);
    client.send(&data[..data.len() / 2]);
    scene.vanish(client);
    scene.check("in the midst of a CopyData message");
}

#[test]
fn a_copy_that_was_finished_stays() {
    let mut scene = Scene::new();
    let mut client = scene.pooler.client();
    client.send(
        &[
            query("COPY t FROM STDIN"),
            copy_data(b"1\tone\n"),
            copy_done(),
        ]
        .concat(),
    );
    client.until_tag(b'C', "the end of the COPY");
    scene.vanish(client);
    assert_eq!(scene.witness.value("SELECT count(*) FROM t"), "1");
}

#[test]
fn a_client_that_says_terminate_in_a_transaction_leaves_nothing_open() {
    let mut scene = Scene::new();
    for _ in 0..5 {
        let mut client = scene.pooler.client();
        client.rows("BEGIN");
        client.rows("INSERT INTO t VALUES (1)");
        client.terminate();
        scene.check("after Terminate within a transaction");
    }
}

#[test]
fn a_waiting_client_that_leaves_gives_up_its_place() {
    let mut scene = Scene::new();
    let mut holder = scene.pooler.client();
    holder.rows("BEGIN");
    for _ in 0..20 {
        let mut client = scene.pooler.client();
        client.send(&query("INSERT INTO t VALUES (1)"));
        scene.vanish(client);
    }
    // What the departed had sent may run or not: it was complete. But nobody
    // may stand in the way of those who stay.
    holder.rows("COMMIT");
    let answer = scene.witness.query("SELECT 'served'");
    assert_eq!(first_error(&answer), None);
    scene.database.wait_until_quiet();
}

#[test]
fn many_clients_that_vanish_at_once_leave_the_pool_whole() {
    let mut scene = Scene::new();
    for _ in 0..5 {
        let mut clients: Vec<Connection> = (0..20).map(|_| scene.pooler.client()).collect();
        for (number, client) in clients.iter_mut().enumerate() {
            let requests = [
                query("BEGIN"),
                query("INSERT INTO t VALUES (1)"),
                query("SELECT pg_sleep(0.01)"),
            ]
            .concat();
            client.send(&requests[..requests.len() * (number + 1) / 20]);
        }
        clients.into_iter().for_each(|client| scene.vanish(client));
        scene.check("after twenty clients vanished together");
    }
    assert!(
        scene.database.backends("application_name <> 'observer'") <= 2,
        "the pool of one and the observer"
    );
}
