//! Who stands between, or does not keep to the protocol.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use super::Secure;
use crate::support::certificates::{Authority, Folder};
use crate::support::frames::{gssenc_request, query, ssl_request};
use crate::support::pooler::Plan;
use crate::support::postgres::Cluster;
use crate::support::raw::{Connection, first_error};

/// The error that a client hears which sends these bytes as its first.
fn told(secure: &Secure, bytes: &[u8]) -> Option<String> {
    let mut client = Connection::open(secure.pooler.address);
    client.send(bytes);
    first_error(&client.until_end("the refusal"))
}

#[test]
fn what_is_stuffed_in_behind_an_ssl_request_closes_the_connection() {
    let database = Cluster::shared().database();
    let secure = Secure::before(&database, "prefer");
    let stuffed = secure.pooler.startup().to_bytes();
    for behind in [&stuffed[..], b"x", &ssl_request()] {
        let bytes = [&ssl_request(), behind].concat();
        // An error is all that comes: no handshake is offered.
        assert_eq!(told(&secure, &bytes).as_deref(), Some("08P01"));
    }
}

#[test]
fn clear_text_in_place_of_a_handshake_closes_the_connection() {
    let database = Cluster::shared().database();
    let secure = Secure::before(&database, "prefer");
    let mut client = Connection::open(secure.pooler.address);
    client.send(&ssl_request());
    assert_eq!(client.read_byte("the answer"), Some(b'S'));
    client.send(&secure.pooler.startup().to_bytes());
    let mut raw = client.writer();
    let mut heard = Vec::new();
    let _ = raw.set_read_timeout(Some(Duration::from_secs(10)));
    let _ = raw.read_to_end(&mut heard);
    // An alert at most: nothing that a session would say.
    assert!(heard.is_empty() || heard[0] == 0x15, "{heard:?}");
    assert_eq!(
        secure.client().value("SELECT 'others go on'"),
        "others go on"
    );
}

#[test]
fn encryption_is_asked_for_once() {
    let database = Cluster::shared().database();
    let secure = Secure::before(&database, "prefer");
    for again in [ssl_request(), gssenc_request()] {
        let ways = [
            Connection::open_tls(secure.pooler.address, &secure.client),
            Connection::open(secure.pooler.address).into_tls(&secure.client),
        ];
        for client in ways {
            let mut client = client.unwrap();
            client.send(&again);
            let told = client.until_end("the refusal");
            assert_eq!(first_error(&told).as_deref(), Some("08P01"));
        }
    }
}

#[test]
fn half_a_handshake_is_waited_for_no_longer_than_a_login() {
    let database = Cluster::shared().database();
    let plan = Plan::before(&database).setting("client_login_timeout", "\"300ms\"");
    let secure = Secure::with(plan, "prefer");
    let hello = [0x16, 0x03, 0x01, 0x02, 0x00, 0x01];
    for first in [&ssl_request()[..], &hello[..1], &hello] {
        let mut client = TcpStream::connect(secure.pooler.address).unwrap();
        client
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        client.write_all(first).unwrap();
        let mut heard = Vec::new();
        client.read_to_end(&mut heard).unwrap();
        assert!(heard.len() <= 1, "{heard:?}");
    }
    assert_eq!(secure.client().value("SELECT 'others'"), "others");
}

#[test]
fn a_handshake_that_breaks_off_ends_that_client_alone() {
    let database = Cluster::shared().database();
    let secure = Secure::before(&database, "prefer");
    let mut other = secure.client();
    for garbage in [
        vec![0x16; 100],
        vec![0x16, 0x03, 0x01, 0xff, 0xff],
        [
            vec![0x16, 0x03, 0x03, 0x00, 0x04],
            vec![0x01, 0xff, 0xff, 0xff],
        ]
        .concat(),
    ] {
        let mut client = TcpStream::connect(secure.pooler.address).unwrap();
        client.write_all(&garbage).unwrap();
        drop(client);
    }
    assert_eq!(other.value("SELECT 'goes on'"), "goes on");
    assert_eq!(secure.client().value("SELECT 'new'"), "new");
}

/// A server that answers the first packet of each connection with `answer`, and
/// gives all that comes behind that packet.
fn answering(answer: &'static [u8]) -> (SocketAddr, Receiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (heard, receiver) = channel();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut first = [0; 8];
            if stream.read_exact(&mut first).is_err() {
                continue;
            }
            let _ = stream.write_all(answer);
            let _ = stream.set_read_timeout(Some(Duration::from_secs(10)));
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest);
            if heard.send([&first[..], &rest].concat()).is_err() {
                return;
            }
        }
    });
    (address, receiver)
}

#[test]
fn what_a_server_sends_behind_its_yes_closes_the_connection() {
    for mode in ["prefer", "require"] {
        let (address, heard) = answering(b"SR\0\0\0\x08\0\0\0\0");
        let pooler = Plan::before_address(address, "any")
            .setting("server_tls_sslmode", &format!("{mode:?}"))
            .start();
        let refused = Connection::try_login(pooler.address, &pooler.startup());
        let told = refused.err().expect("no session");
        assert_eq!(first_error(&told).as_deref(), Some("08P01"), "{mode}");
        // Not a word more, in clear text or otherwise.
        assert_eq!(heard.recv().unwrap(), ssl_request());
    }
}

#[test]
fn a_server_that_answers_nonsense_is_not_talked_to_in_clear_text() {
    for answer in [&b"E"[..], b"X", b"NR"] {
        let (address, heard) = answering(answer);
        let pooler = Plan::before_address(address, "any").start();
        let refused = Connection::try_login(pooler.address, &pooler.startup());
        assert!(refused.is_err());
        assert_eq!(heard.recv().unwrap(), ssl_request());
    }
}

#[test]
fn where_tls_is_required_nothing_is_said_to_a_server_without_it() {
    let folder = Folder::new();
    let ca = folder.put("ca.crt", &Authority::new().pem);
    for mode in ["require", "verify-ca", "verify-full"] {
        let (address, heard) = answering(b"N");
        let pooler = Plan::before_address(address, "any")
            .setting("server_tls_sslmode", &format!("{mode:?}"))
            .setting("server_tls_ca_file", &format!("{ca:?}"))
            .start();
        let refused = Connection::try_login(pooler.address, &pooler.startup());
        let told = refused.err().expect("no session");
        assert_eq!(first_error(&told).as_deref(), Some("08001"), "{mode}");
        assert_eq!(heard.recv().unwrap(), ssl_request());
    }
}

#[test]
fn a_pipeline_may_come_in_one_record_with_the_startup() {
    let database = Cluster::shared().database();
    let secure = Secure::before(&database, "require");
    let mut client = Connection::open_tls(secure.pooler.address, &secure.client).unwrap();
    client.send(&[secure.pooler.startup().to_bytes(), query("SELECT 'early'")].concat());
    let answer = client.until_ready(2, "the login and the answer");
    assert_eq!(answer.iter().filter(|frame| frame.tag == b'D').count(), 1);
}
