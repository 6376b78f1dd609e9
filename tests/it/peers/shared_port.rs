//! The proof: two processes share a port, and cancels come in at random.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use super::{Folder, cancel_by_socket, has_answer, numbered, peer, peer_of, run_long};
use crate::support::frames::query;
use crate::support::pooler::{Plan, Pooler};
use crate::support::postgres::{Cluster, Database};
use crate::support::random::Random;
use crate::support::raw::{Connection, cancel, first_error};
use crate::support::wait::{self, Over};

/// Cancels in all.
const CANCELS: usize = 1_000;

/// Queries that ran and that a cancel did not hit, at most.
const MOST_MISSED: usize = 5;

/// Threads that cancel, each the queries of its own clients.
const WORKERS: usize = 4;

/// A port that others may share: who holds it without listening gets no client.
fn shared_port() -> (Socket, u16) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_reuse_port(true).unwrap();
    let address: SocketAddr = ([127, 0, 0, 1], 0).into();
    socket.bind(&address.into()).unwrap();
    let port = socket.local_addr().unwrap().as_socket().unwrap().port();
    (socket, port)
}

/// Two processes that are each other's peers, with the sockets that are their own.
struct Two {
    address: SocketAddr,
    folders: [Folder; 2],
    _poolers: [Pooler; 2],
    startup: crate::support::startup::Startup,
}

impl Two {
    fn start(database: &Database) -> Self {
        let (_holder, port) = shared_port();
        let folders = [Folder::new(), Folder::new()];
        // The same for both, each its own section included.
        let peers: String = [1, 2]
            .map(|id: u16| peer(id, &folders[usize::from(id) - 1].host(), port) + "\n")
            .concat();
        let plan = |id: u16| -> Plan {
            numbered(database, id)
                .setting("listen_port", &port.to_string())
                .setting("so_reuseport", "true")
                .setting(
                    "unix_socket_dir",
                    &format!("{:?}", folders[usize::from(id) - 1].host()),
                )
                // Server connections go from client to client.
                .pool_size(3)
                .database_lines(&peers)
        };
        let poolers = [plan(1).start(), plan(2).start()];
        Self {
            address: poolers[0].address,
            startup: poolers[0].startup(),
            folders,
            _poolers: poolers,
        }
    }

    /// A client of this process, by the port that both share.
    fn client_of(&self, id: u16) -> Connection {
        wait::until_some(wait::SOON, "the system to choose this process", || {
            let client = Connection::login(self.address, &self.startup);
            (peer_of(&client.key) == id).then_some(client)
        })
    }

    /// Cancels by one of three ways.
    fn cancel(&self, way: usize, key: &[u8]) {
        match self.folders.get(way) {
            Some(folder) => cancel_by_socket(&folder.socket(self.address.port()), key),
            None => cancel(self.address, key),
        }
    }
}

/// What has come of the cancels.
#[derive(Default)]
struct Tally {
    cancels: AtomicUsize,
    /// Of queries that had begun.
    sure: AtomicUsize,
    /// Those of them that were hit.
    hits: AtomicUsize,
    /// Those that came to the other process first.
    passed_on: AtomicUsize,
    /// Of queries that came to their end.
    late: AtomicUsize,
    /// Queries of clients whom nobody cancels.
    others: AtomicUsize,
}

fn add(count: &AtomicUsize) -> usize {
    count.fetch_add(1, Ordering::Relaxed)
}

fn of(count: &AtomicUsize) -> usize {
    count.load(Ordering::Relaxed)
}

/// Runs and cancels queries of its own clients until there have been enough.
fn worker(two: &Two, tally: &Tally, seed: u64) {
    let mut random = Random::new(seed);
    let mut clients: Vec<_> = [1, 2, 1, 2].map(|id| two.client_of(id)).into();
    while of(&tally.cancels) < CANCELS {
        let client = &mut clients[random.below(4)];
        match random.below(4) {
            0 => cancelled_at_once(two, tally, client, &mut random),
            1 => cancelled_at_its_end(two, tally, client, &mut random),
            _ => cancelled_while_it_runs(two, tally, client, &mut random),
        }
        let missed = of(&tally.sure).saturating_sub(of(&tally.hits) + WORKERS);
        assert!(missed <= MOST_MISSED, "few queries are hit");
        // No cancel that is over has an effect any more.
        assert_eq!(client.value("SELECT 'goes on'"), "goes on");
    }
}

/// It must be hit.
fn cancelled_while_it_runs(two: &Two, tally: &Tally, client: &mut Connection, random: &mut Random) {
    run_long(client);
    let way = random.below(3);
    add(&tally.cancels);
    add(&tally.sure);
    two.cancel(way, &client.key);
    let is_hit = has_answer(client, Duration::from_secs(2));
    if is_hit {
        add(&tally.hits);
        if way < 2 && way + 1 != usize::from(peer_of(&client.key)) {
            add(&tally.passed_on);
        }
    }
    end(two, client, is_hit);
}

/// It may not have begun: then nothing is hit.
fn cancelled_at_once(two: &Two, tally: &Tally, client: &mut Connection, random: &mut Random) {
    client.send(&query("SELECT pg_sleep(60)"));
    add(&tally.cancels);
    two.cancel(random.below(3), &client.key);
    let is_hit = has_answer(client, Duration::from_millis(20));
    end(two, client, is_hit);
}

/// It may be over: then nothing is hit, and nobody else.
fn cancelled_at_its_end(two: &Two, tally: &Tally, client: &mut Connection, random: &mut Random) {
    client.send(&query("SELECT pg_sleep(0.003)"));
    thread::sleep(Duration::from_micros(random.below(4_000) as u64));
    add(&tally.cancels);
    two.cancel(random.below(3), &client.key);
    let answer = client.until_ready(1, "the end of a short query");
    match first_error(&answer).as_deref() {
        None => drop(add(&tally.late)),
        Some(code) => assert_eq!(code, "57014"),
    }
}

/// The end of a query that ends by a cancel only.
fn end(two: &Two, client: &mut Connection, is_hit: bool) {
    if !is_hit {
        let own = usize::from(peer_of(&client.key)) - 1;
        wait::until(wait::SOON, "the query to be hit", || {
            two.cancel(own, &client.key);
            has_answer(client, Duration::from_millis(20))
        });
    }
    let answer = client.until_ready(1, "the end of a cancelled query");
    assert_eq!(first_error(&answer).as_deref(), Some("57014"));
}

/// Runs short queries, none of which may fail.
fn bystander(two: &Two, tally: &Tally, id: u16, over: &Over) {
    let mut client = two.client_of(id);
    while !over.is_set() {
        let answer = client.query("SELECT pg_sleep(0.001)");
        assert_eq!(first_error(&answer), None, "it was nobody's to cancel");
        add(&tally.others);
    }
}

#[test]
fn of_a_thousand_cancels_each_hits_its_own_query_or_nothing() {
    let database = Cluster::shared().database();
    let two = Two::start(&database);
    let (tally, over) = (Tally::default(), Over::default());
    thread::scope(|scope| {
        let _end = over.at_end();
        for id in [1, 2, 1, 2] {
            let (two, tally, over) = (&two, &tally, &over);
            scope.spawn(move || bystander(two, tally, id, over));
        }
        let workers = (0..WORKERS).map(|number| {
            let (two, tally) = (&two, &tally);
            scope.spawn(move || worker(two, tally, 31 + number as u64))
        });
        for worker in workers.collect::<Vec<_>>() {
            worker.join().unwrap();
        }
    });
    eprintln!(
        "{} cancels; of {} queries that ran {} were hit, {} by way of the other process; {} came \
         too late; {} queries of others were not hit",
        of(&tally.cancels),
        of(&tally.sure),
        of(&tally.hits),
        of(&tally.passed_on),
        of(&tally.late),
        of(&tally.others),
    );
    assert!(of(&tally.cancels) >= CANCELS && of(&tally.others) > CANCELS);
    assert!(of(&tally.hits) + MOST_MISSED >= of(&tally.sure) && of(&tally.hits) > CANCELS / 3);
    assert!(of(&tally.passed_on) > CANCELS / 10);
}
