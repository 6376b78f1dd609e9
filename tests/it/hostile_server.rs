//! Servers that say what PostgreSQL would not: whatever comes, no client gets
//! bytes that belong to another.

use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::fake_server::{FakeServer, error, one_row, ready};
use crate::support::frames::{Frame, frame, query};
use crate::support::pooler::{Plan, Pooler};
use crate::support::raw::{Connection, first_error, rows_of};
use crate::support::wait;

fn before(server: &FakeServer) -> Pooler {
    Plan::before_address(server.address, "app")
        .pool_size(1)
        .start()
}

/// Each of five clients gets the echo of its own text and nothing else.
fn five_clients_hear_their_own_echo(pooler: &Pooler) {
    for number in 0..5 {
        let mut client = pooler.client();
        for round in 0..3 {
            let text = format!("client {number} round {round}");
            let answer = client.query(&text);
            assert_eq!(rows_of(&answer), [[Some(text)]], "{answer:?}");
            assert_eq!(answer.len(), 4, "more than the reply: {answer:?}");
        }
    }
}

/// The first server connection spoils the reply to `spoil`, later ones echo.
fn spoiled_once(bytes: Vec<u8>) -> FakeServer {
    FakeServer::start(move |number, peer| {
        while let Some(text) = peer.read_query() {
            if number == 0 && text == "spoil" {
                peer.send(&bytes);
                return peer.until_closed();
            }
            peer.send(&one_row(&text));
        }
    })
}

/// The client that asked is closed with an error; the next ones are served.
fn the_asking_client_alone_is_hurt(bytes: Vec<u8>) {
    let server = spoiled_once(bytes.clone());
    let pooler = before(&server);
    let mut client = pooler.client();
    client.send(&query("spoil"));
    let frames = client.until_end("the end after a broken reply");
    let code =
        first_error(&frames).unwrap_or_else(|| panic!("no error after {bytes:?}: {frames:?}"));
    assert!(matches!(code.as_str(), "08P01" | "08006"), "{code}");
    five_clients_hear_their_own_echo(&pooler);
    assert!(
        server.logins() >= 2,
        "the broken connection was not used again"
    );
}

#[test]
fn garbage_ends_the_asking_client_alone() {
    the_asking_client_alone_is_hurt(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec());
}

#[test]
fn a_frame_with_an_impossible_length_ends_the_asking_client_alone() {
    for length in [0_u32, 3, u32::MAX] {
        the_asking_client_alone_is_hurt([&b"D"[..], &length.to_be_bytes()].concat());
    }
}

#[test]
fn a_ready_with_an_unknown_status_ends_the_asking_client_alone() {
    let mut reply = one_row("x");
    let last = reply.len() - 1;
    reply[last] = b'?';
    the_asking_client_alone_is_hurt(reply);
    the_asking_client_alone_is_hurt(frame(b'Z', b""));
}

#[test]
fn what_comes_behind_a_reply_reaches_nobody_else() {
    let extras: [Vec<u8>; 6] = [
        ready(b'I'),
        one_row("foreign row"),
        error("ERROR", "XX000", "foreign error"),
        frame(b'A', b"\0\0\0\x01channel\0foreign payload\0"),
        frame(b'C', b"SELECT 7\0"),
        vec![b'D', 0, 0],
    ];
    for extra in extras {
        let spoil = extra.clone();
        let server = FakeServer::start(move |_, peer| {
            while let Some(text) = peer.read_query() {
                let reply = one_row(&text);
                peer.send(&if text == "spoil" {
                    [reply, spoil.clone()].concat()
                } else {
                    reply
                });
            }
        });
        let pooler = before(&server);
        for _ in 0..3 {
            let mut client = pooler.client();
            let _ = client.try_send(&query("spoil"));
            // It may get its row or an error, since its server is not to be
            // trusted, but nothing that it did not ask for.
            let answer = client.until_ready(1, "a reply with something behind it");
            let foreign = rows_of(&answer)
                .into_iter()
                .flatten()
                .any(|v| v.as_deref() != Some("spoil"));
            assert!(!foreign, "{extra:?}: {answer:?}");
            drop(client);
            five_clients_hear_their_own_echo(&pooler);
        }
    }
}

#[test]
fn what_an_idle_connection_says_reaches_nobody() {
    for extra in [
        one_row("foreign row"),
        ready(b'I'),
        error("FATAL", "57P01", "foreign end"),
        b"garbage".to_vec(),
    ] {
        let (go, told) = channel::<()>();
        let (told, (said, heard)) = (Mutex::new(Some(told)), channel::<()>());
        let server = FakeServer::start(move |number, peer| {
            while let Some(text) = peer.read_query() {
                peer.send(&one_row(&text));
                if number == 0 && text == "last" {
                    let told = told.lock().unwrap().take().unwrap();
                    told.recv().unwrap();
                    peer.send(&extra);
                    said.send(()).unwrap();
                    return peer.until_closed();
                }
            }
        });
        let pooler = before(&server);
        let (mut idle, mut asking) = (pooler.client(), pooler.client());
        assert_eq!(idle.value("last"), "last");
        go.send(()).unwrap();
        heard.recv().unwrap();
        assert_eq!(rows_of(&asking.query("mine")), [[Some("mine".to_owned())]]);
        assert_eq!(idle.value("mine again"), "mine again");
        assert_eq!(server.logins(), 2);
    }
}

#[test]
fn a_fatal_error_in_a_reply_ends_the_asking_client_as_it_would_directly() {
    let server = FakeServer::start(|number, peer| {
        while let Some(text) = peer.read_query() {
            if number == 0 && text == "die" {
                peer.send(&error("FATAL", "57P01", "terminating connection"));
                return peer.close();
            }
            peer.send(&one_row(&text));
        }
    });
    let pooler = before(&server);
    let mut client = pooler.client();
    client.send(&query("die"));
    let frames: Vec<Frame> = client.until_end("the end after FATAL");
    assert_eq!(frames.len(), 1, "the error is told once: {frames:?}");
    assert_eq!(first_error(&frames).as_deref(), Some("57P01"));
    five_clients_hear_their_own_echo(&pooler);
}

#[test]
fn replies_split_at_every_byte_arrive_whole() {
    let server = FakeServer::start(|_, peer| {
        while let Some(text) = peer.read_query() {
            peer.send_byte_by_byte(&one_row(&text));
        }
    });
    five_clients_hear_their_own_echo(&before(&server));
}

#[test]
fn a_reply_still_under_way_is_not_given_to_the_next_client() {
    let (go, told) = channel::<()>();
    let told = Mutex::new(Some(told));
    let server = FakeServer::start(move |number, peer| {
        while let Some(text) = peer.read_query() {
            if number == 0 && text == "slow" {
                let told = told.lock().unwrap().take().unwrap();
                told.recv().unwrap();
            }
            peer.send(&one_row(&text));
        }
    });
    let pooler = Plan::before_address(server.address, "app")
        .pool_size(1)
        .start();
    let mut slow = pooler.client();
    slow.send(&query("slow"));
    wait::until(wait::SOON, "the slow query to arrive", || {
        server
            .received()
            .iter()
            .any(|(_, frame)| frame.to_bytes() == query("slow"))
    });
    drop(slow);
    wait::until(wait::SOON, "a cancel or the end of the connection", || {
        !server.cancels().is_empty() || server.logins() > 1
    });
    let mut next = pooler.client();
    next.send(&query("mine"));
    go.send(()).unwrap();
    assert_eq!(
        rows_of(&next.until_ready(1, "the next client's reply")),
        [[Some("mine".to_owned())]]
    );
    five_clients_hear_their_own_echo(&pooler);
}

#[test]
fn the_cancel_of_an_abandoned_query_carries_the_servers_own_key() {
    let server = FakeServer::start(|_, peer| {
        while let Some(text) = peer.read_query() {
            if text == "hang" {
                return peer.until_closed();
            }
            peer.send(&one_row(&text));
        }
    });
    let pooler = before(&server);
    let mut client: Connection = pooler.client();
    client.send(&query("hang"));
    wait::until(wait::SOON, "the query to arrive", || {
        server
            .received()
            .iter()
            .any(|(_, frame)| frame.to_bytes() == query("hang"))
    });
    drop(client);
    wait::until(wait::SOON, "the cancel", || !server.cancels().is_empty());
    let hung = server
        .received()
        .iter()
        .find(|(_, f)| f.to_bytes() == query("hang"))
        .unwrap()
        .0 as u32
        + 1000;
    let key = [hung.to_be_bytes(), (hung * 7).to_be_bytes()].concat();
    assert_eq!(
        server.cancels(),
        [key],
        "one cancel, with that connection's key"
    );
    assert_eq!(pooler.client().value("next"), "next");
}

/// A cancel that hits the BEGIN of `BEGIN`, `INSERT` makes the INSERT commit.
#[test]
fn an_abandoned_pipeline_is_not_cancelled_before_its_last_request_runs() {
    let (go, told) = channel::<()>();
    let told = Mutex::new(Some(told));
    let server = FakeServer::start(move |_, peer| {
        while let Some(text) = peer.read_query() {
            if text == "first" {
                let told = told.lock().unwrap().take().unwrap();
                told.recv().unwrap();
            }
            if text == "second" {
                return peer.until_closed();
            }
            peer.send(&one_row(&text));
        }
    });
    let pooler = before(&server);
    let mut client = pooler.client();
    client.send(&[query("first"), query("second")].concat());
    wait::until(wait::SOON, "the first request to arrive", || {
        let first = query("first");
        server.received().iter().any(|(_, f)| f.to_bytes() == first)
    });
    drop(client);
    // What must not happen can only be waited for.
    let window = Instant::now() + Duration::from_millis(500);
    while Instant::now() < window {
        assert_eq!(
            server.cancels().len(),
            0,
            "while the first of two was running"
        );
        thread::sleep(Duration::from_millis(10));
    }
    go.send(()).unwrap();
    assert_eq!(pooler.client().value("next"), "next");
}

#[test]
fn an_echo_is_an_echo() {
    five_clients_hear_their_own_echo(&before(&FakeServer::start(|_, peer| peer.echo())));
}
