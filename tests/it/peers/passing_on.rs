//! To whom a cancel request is passed on, to whom not, and how often.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use super::{
    Folder, cancel_by_socket, has_answer, is_cancelled_at, key_naming, numbered, own_address_of,
    peer, peer_of, run_long,
};
use crate::console::{Shown, console, until_shown};
use crate::support::frames::cancel_request;
use crate::support::pooler::{Plan, Pooler};
use crate::support::postgres::{Cluster, Database};
use crate::support::raw::{Connection, cancel, first_error};
use crate::support::wait;

const HANGUP: i32 = 1;

/// A peer of the case's own, that records what it is sent.
struct Recorder {
    listener: TcpListener,
}

impl Recorder {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        Self { listener }
    }

    fn section(&self, id: u16) -> String {
        peer(id, "127.0.0.1", self.listener.local_addr().unwrap().port())
    }

    /// The next connection, and the key of the request on it.
    fn next(&self) -> (TcpStream, Vec<u8>) {
        let stream = wait::until_some(wait::SOON, "a request to be passed on", || {
            self.listener.accept().ok()
        });
        let mut stream = stream.0;
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(wait::SOON)).unwrap();
        let mut head = [0; 8];
        stream.read_exact(&mut head).unwrap();
        assert_eq!(head[4..], 80_877_102_u32.to_be_bytes());
        let length = u32::from_be_bytes(head[..4].try_into().unwrap()) as usize;
        let mut key = vec![0; length - 8];
        stream.read_exact(&mut key).unwrap();
        (stream, key)
    }

    /// Nobody has come, now that the request which might have led here is over.
    fn saw_nobody(&self) -> bool {
        self.listener.accept().is_err()
    }
}

/// Has the configuration read again with one thing replaced.
fn reload(pooler: &Pooler, from: &str, to: &str) {
    let path = pooler.directory().join("pgweave.toml");
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{from} in {text}");
    fs::write(&path, text.replace(from, to)).unwrap();
    let said = || {
        pooler
            .log()
            .matches("SIGHUP: the configuration was")
            .count()
    };
    let before = said();
    pooler.signal(HANGUP);
    wait::until(wait::SOON, "the configuration to be read", || {
        said() > before
    });
}

fn with_recorder(database: &Database, id: u16) -> (Recorder, Pooler) {
    let recorder = Recorder::new();
    let plan = numbered(database, 1).database_lines(&recorder.section(id));
    (recorder, plan.start())
}

#[test]
fn a_key_names_its_process_and_is_random_beside_that() {
    let database = Cluster::shared().database();
    let pooler = numbered(&database, 0x1234).start();
    let keys: Vec<_> = (0..4).map(|_| pooler.client().key).collect();
    for key in &keys {
        assert_eq!(
            (key.len(), key[0] & 0xc0, key[1], key[2], key[7] & 3),
            (8, 0x40, 0x34, 0x12, 3),
            "{key:?}"
        );
    }
    assert!(keys.windows(2).all(|two| two[0][3..7] != two[1][3..7]));
    let long = Connection::login(pooler.address, &pooler.startup().minor(2)).key;
    assert_eq!((long.len(), peer_of(&long), long[7] & 3), (36, 0x1234, 3));
}

#[test]
fn a_cancel_reaches_its_client_by_another_process_over_tcp_and_sockets() {
    let database = Cluster::shared().database();
    let folder = Folder::new();
    let socket = format!("{:?}", folder.host());
    let plan = numbered(&database, 7).setting("unix_socket_dir", &socket);
    let owner = plan.start();
    let (host, port) = own_address_of(&owner);
    let by_tcp = numbered(&database, 8).database_lines(&peer(7, &host, port));
    let by_socket = numbered(&database, 9).database_lines(&peer(7, &folder.host(), port));
    let others = [by_tcp.start(), by_socket.start()];
    for minor in [0, 2] {
        let mut client = Connection::login(owner.address, &owner.startup().minor(minor));
        for other in &others {
            is_cancelled_at(other.address, &mut client);
        }
        is_cancelled_at(owner.address, &mut client);
        run_long(&mut client);
        cancel_by_socket(&folder.socket(port), &client.key);
        let answer = client.until_ready(1, "the end of the cancelled query");
        assert_eq!(first_error(&answer).as_deref(), Some("57014"));
    }
}

#[test]
fn what_is_passed_on_is_the_request_with_one_time_less() {
    let database = Cluster::shared().database();
    let (recorder, pooler) = with_recorder(&database, 2);
    for (given, length) in [(3, 8), (2, 36), (1, 260)] {
        let mut key = key_naming(2, given);
        key.resize(length, 9);
        thread::scope(|scope| {
            scope.spawn(|| cancel(pooler.address, &key));
            let (_end, seen) = recorder.next();
            let mut expected = key.clone();
            expected[7] -= 1;
            assert_eq!(seen, expected);
        });
    }
    cancel(pooler.address, &key_naming(2, 0));
    assert!(recorder.saw_nobody());
}

#[test]
fn a_request_that_goes_round_comes_to_an_end() {
    let database = Cluster::shared().database();
    let (recorder, pooler) = with_recorder(&database, 2);
    let times = thread::scope(|scope| {
        let first = scope.spawn(|| cancel(pooler.address, &key_naming(2, 3)));
        let mut open = Vec::new();
        for times in 1..=10 {
            let (line, key) = recorder.next();
            open.push(line);
            // Back where it came from, as a wrong [peers] would have it.
            let mut back = TcpStream::connect(pooler.address).unwrap();
            back.write_all(&cancel_request(&key)).unwrap();
            if key[7] & 3 == 0 {
                back.set_read_timeout(Some(wait::SOON)).unwrap();
                assert_eq!(back.read(&mut [0]).unwrap(), 0, "dropped");
                open.clear();
                first.join().unwrap();
                return times;
            }
            open.push(back);
        }
        0
    });
    assert_eq!(times, 3);
    assert!(recorder.saw_nobody());
}

#[test]
fn two_processes_that_send_each_other_what_neither_has_come_to_an_end() {
    let database = Cluster::shared().database();
    let one = numbered(&database, 1)
        .database_lines(&peer(3, "127.0.0.1", 1))
        .start();
    let (host, port) = own_address_of(&one);
    let two = numbered(&database, 2).database_lines(&peer(3, &host, port));
    let two = two.start();
    reload(
        &one,
        "port = 1\n",
        &format!("port = {}\n", two.address.port()),
    );
    let start = Instant::now();
    cancel(one.address, &key_naming(3, 3));
    cancel(two.address, &key_naming(3, 3));
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_key_that_names_nobody_known_is_dropped_without_a_word() {
    let database = Cluster::shared().database();
    let (recorder, pooler) = with_recorder(&database, 2);
    for nobody in [0, 1, 3, 16_383, 16_384, u16::MAX] {
        cancel(pooler.address, &key_naming(nobody, 3));
    }
    // And one that has no peers passes nothing on, whatever stands in [peers].
    let alone = Plan::before(&database).database_lines(&recorder.section(2));
    cancel(alone.start().address, &key_naming(2, 3));
    assert!(recorder.saw_nobody());
    assert!(!pooler.log().contains("WARN"), "{}", pooler.log());
}

#[test]
fn a_wrong_key_is_ignored_wherever_it_comes_in() {
    let database = Cluster::shared().database();
    let owner = numbered(&database, 1).start();
    let (host, port) = own_address_of(&owner);
    let other = numbered(&database, 2).database_lines(&peer(1, &host, port));
    let other = other.start();
    let mut clients = [
        owner.client(),
        Connection::login(owner.address, &owner.startup().minor(2)),
    ];
    for client in &mut clients {
        run_long(client);
        // But for the two bits that count how often it is passed on.
        let places = (0..client.key.len()).filter(|place| ![1, 2].contains(place));
        for place in places {
            let mut wrong = client.key.clone();
            wrong[place] ^= if place == 7 { 4 } else { 1 };
            cancel(owner.address, &wrong);
            cancel(other.address, &wrong);
        }
        let mut longer = client.key.clone();
        longer.push(0);
        for wrong in [&longer[..], &client.key[..client.key.len() - 1]] {
            cancel(owner.address, wrong);
            cancel(other.address, wrong);
        }
        assert!(!has_answer(client, Duration::from_millis(50)));
        // The right one, to see that it could have been hit.
        cancel(other.address, &client.key);
        let answer = client.until_ready(1, "the end of the cancelled query");
        assert_eq!(first_error(&answer).as_deref(), Some("57014"));
    }
}

#[test]
fn a_peer_that_is_not_there_is_told_once_and_holds_nobody_up() {
    let database = Cluster::shared().database();
    let (recorder, pooler) = with_recorder(&database, 2);
    drop(recorder);
    let start = Instant::now();
    for _ in 0..5 {
        cancel(pooler.address, &key_naming(2, 3));
    }
    assert!(start.elapsed() < Duration::from_secs(5));
    let told = "could not be passed on";
    assert_eq!(pooler.log().matches(told).count(), 1, "{}", pooler.log());
}

#[test]
fn requests_to_a_peer_that_does_not_answer_are_few_and_given_up() {
    let database = Cluster::shared().database();
    let recorder = Recorder::new();
    let pooler = numbered(&database, 1)
        .setting("cancel_wait_timeout", "3")
        .database_lines(&format!("{}\npool_size = 2", recorder.section(2)))
        .start();
    let mut admin = console(&pooler);
    thread::scope(|scope| {
        let start = Instant::now();
        for _ in 0..5 {
            scope.spawn(|| cancel(pooler.address, &key_naming(2, 3)));
        }
        let held = [recorder.next(), recorder.next()];
        let counts = |shown: &Shown| {
            let columns = [
                "cl_active_cancel_req",
                "cl_waiting_cancel_req",
                "sv_active_cancel",
                "sv_login",
            ];
            columns.map(|column| shown.number("peer_id", "2", column))
        };
        until_shown(&mut admin, "PEER_POOLS", |shown| {
            counts(shown) == [2, 3, 2, 0]
        });
        assert!(recorder.saw_nobody());
        // Nobody else waits for them.
        assert_eq!(pooler.client().value("SELECT 1"), "1");
        assert!(start.elapsed() < Duration::from_secs(3));
        until_shown(&mut admin, "PEER_POOLS", |shown| counts(shown) == [0; 4]);
        drop(held);
    });
}

#[test]
fn peers_are_shown_and_may_change_while_it_runs() {
    let database = Cluster::shared().database();
    let recorder = Recorder::new();
    let pooler = numbered(&database, 1)
        .pool_size(5)
        .database_lines(&peer(1, "/run/here", 6432))
        .start();
    let mut admin = console(&pooler);
    let rows = |admin: &mut Connection, what: &str| {
        let rows = admin.rows(&format!("SHOW {what}"));
        let row =
            |row: Vec<Option<String>>| row.into_iter().flatten().collect::<Vec<_>>().join(" ");
        rows.into_iter().map(row).collect::<Vec<_>>()
    };
    assert_eq!(rows(&mut admin, "PEERS"), ["1 /run/here 6432 5"]);
    assert!(rows(&mut admin, "PEER_POOLS").is_empty(), "it is itself");
    let mut early = pooler.client();
    let added = format!("{}\npool_size = 3\n[peers.1]", recorder.section(2));
    reload(&pooler, "[peers.1]", &added);
    reload(&pooler, "peer_id = 1", "peer_id = 4");
    let port = recorder.listener.local_addr().unwrap().port();
    assert_eq!(
        rows(&mut admin, "PEERS"),
        ["1 /run/here 6432 5", &format!("2 127.0.0.1 {port} 3")]
    );
    assert_eq!(rows(&mut admin, "PEER_POOLS"), ["1 0 0 0 0", "2 0 0 0 0"]);
    let lists = Shown::of(&mut admin, "LISTS");
    assert_eq!(lists.number("list", "peers", "items"), 2);
    assert_eq!(lists.number("list", "peer_pools", "items"), 2);
    thread::scope(|scope| {
        scope.spawn(|| cancel(pooler.address, &key_naming(2, 3)));
        recorder.next();
    });
    // Who came before keeps its key, and who comes now gets one of the new kind.
    is_cancelled_at(pooler.address, &mut early);
    let mut late = pooler.client();
    assert_eq!((peer_of(&early.key), peer_of(&late.key)), (1, 4));
    is_cancelled_at(pooler.address, &mut late);
}
