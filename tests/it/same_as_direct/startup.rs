//! The startup packet: parameters, versions, encryption requests.

use crate::support::differential::{A, B, script};
use crate::support::frames::{Frame, gssenc_request, ssl_request, untyped};
use crate::support::pooler::Plan;
use crate::support::postgres::Cluster;
use crate::support::raw::Connection;
use crate::support::startup::{Startup, start_up};

#[test]
fn parameters_are_reported_as_the_server_has_them() {
    script()
        .connect(
            A,
            &[
                ("application_name", "my program"),
                ("client_encoding", "LATIN1"),
                ("DateStyle", "German"),
            ],
        )
        .query(A, "SHOW application_name")
        .query(A, "SHOW datestyle")
        .connect(
            B,
            &[("TimeZone", "Asia/Tokyo"), ("extra_float_digits", "0")],
        )
        .query(
            B,
            "SELECT '2026-01-01 00:00+00'::timestamptz, 0.1::float8 + 0.2",
        )
        .query(A, "SELECT '2026-01-31'::date")
        .run();
}

#[test]
fn options_set_parameters() {
    script()
        .connect(A, &[("options", "-c work_mem=3MB")])
        .query(A, "SHOW work_mem")
        .query(A, "SHOW work_mem")
        .query(B, "SHOW work_mem")
        .query(A, "SHOW work_mem")
        .run();
}

#[test]
fn options_know_escapes_and_long_names() {
    script()
        .connect(A, &[("options", "-c search_path=\"a\\ b\\\\c\" --work-mem=5MB -cstatement_timeout=7s  -c lock_timeout=1s ")])
        .query(A, "SHOW search_path")
        .query(A, "SHOW work_mem")
        .query(A, "SHOW statement_timeout")
        .query(A, "SHOW lock_timeout")
        .run();
}

#[test]
fn a_search_path_is_kept_as_given() {
    script()
        .connect(A, &[("search_path", "aa,bb")])
        .query(A, "SHOW search_path")
        .query(B, "SHOW search_path")
        .query(A, "SHOW search_path")
        .run();
}

#[test]
fn an_unknown_parameter_is_refused_by_the_server() {
    script()
        .connect(A, &[("nosuch_guc", "1")])
        .query(B, "SELECT 1")
        .run();
}

#[test]
fn a_bad_value_is_refused_by_the_server() {
    script()
        .connect(A, &[("work_mem", "banana")])
        .query(B, "SELECT 1")
        .run();
    script()
        .connect(A, &[("options", "-c work_mem=banana")])
        .query(B, "SELECT 1")
        .run();
}

#[test]
fn an_unknown_switch_in_options_is_refused() {
    script()
        .connect(A, &[("options", "--no-such-switch")])
        .run();
}

/// Logs in to pgweave with a version and options; gives the greeting.
fn greeting_for(startup: impl Fn(&str) -> Startup) -> (Vec<Frame>, usize) {
    let database = Cluster::shared().database();
    let pooler = Plan::before(&database).pool_size(1).start();
    let mut client = Connection::open(pooler.address);
    let frames = start_up(&mut client, &startup(&database.name));
    assert_eq!(client.value("SELECT 'served'"), "served");
    (frames, client.key.len())
}

fn negotiation(frames: &[Frame]) -> Option<&[u8]> {
    frames
        .iter()
        .find(|frame| frame.tag == b'v')
        .map(|frame| frame.body.as_slice())
}

const VERSION_3_2: [u8; 4] = [0, 3, 0, 2];

#[test]
fn protocol_3_0_gets_a_short_key_and_no_negotiation() {
    let (frames, key) = greeting_for(|database| Startup::new("postgres", database));
    assert_eq!(negotiation(&frames), None);
    assert_eq!(key, 8);
}

#[test]
fn protocol_3_2_gets_a_long_key() {
    let (frames, key) = greeting_for(|database| Startup::new("postgres", database).minor(2));
    assert_eq!(negotiation(&frames), None);
    assert!(key > 8 && key <= 4 + 256, "a key of {key} bytes");
}

#[test]
fn a_newer_protocol_is_brought_down_to_3_2() {
    let (frames, _) = greeting_for(|database| Startup::new("postgres", database).minor(9));
    let body = negotiation(&frames).expect("NegotiateProtocolVersion");
    assert_eq!(body, [&VERSION_3_2[..], &[0, 0, 0, 0]].concat());
    assert_eq!(frames[0].tag, b'v', "it comes before authentication");
}

#[test]
fn unknown_protocol_options_are_named() {
    let startup = |database: &str| {
        Startup::new("postgres", database)
            .with("_pq_.zzz", "1")
            .with("_pq_.yyy", "")
    };
    let (frames, key) = greeting_for(startup);
    let body = negotiation(&frames).expect("NegotiateProtocolVersion");
    assert_eq!(
        &body[4..],
        [&[0, 0, 0, 2][..], b"_pq_.zzz\0_pq_.yyy\0"].concat()
    );
    assert_eq!(key, 8, "protocol 3.0 was asked for");
}

#[test]
fn encryption_requests_are_declined_in_either_order() {
    let database = Cluster::shared().database();
    let pooler = Plan::before(&database).start();
    for requests in [
        vec![ssl_request()],
        vec![gssenc_request()],
        vec![ssl_request(), gssenc_request()],
        vec![gssenc_request(), ssl_request()],
    ] {
        let mut client = Connection::open(pooler.address);
        for request in &requests {
            client.send(request);
            let answer = client.read_byte("the answer to an encryption request");
            assert_eq!(answer, Some(b'N'));
        }
        let frames = start_up(&mut client, &pooler.startup());
        assert_eq!(frames.last().map(|frame| frame.tag), Some(b'Z'));
        assert_eq!(client.value("SELECT 1"), "1");
    }
}

#[test]
fn impossible_startup_packets_are_refused() {
    let database = Cluster::shared().database();
    let pooler = Plan::before(&database).start();
    let oversize = [&20_000_u32.to_be_bytes()[..], &[0; 64]].concat();
    let packets = [
        oversize,
        vec![0, 0, 0, 3],
        vec![0xff, 0xff, 0xff, 0xff, 0, 3, 0, 0],
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        untyped(2 << 16, b"user\0postgres\0\0"),
        untyped(4 << 16, b"user\0postgres\0\0"),
        untyped(3 << 16, b"user\0postgres\0"),
        untyped(3 << 16, b"database\0postgres\0\0"),
    ];
    for packet in packets {
        let mut client = Connection::open(pooler.address);
        client.send(&packet);
        let answer = client.until_end("the end of an impossible startup");
        assert!(
            answer.iter().all(|frame| frame.tag == b'E'),
            "{packet:?} was answered with {answer:?}"
        );
    }
    assert_eq!(pooler.client().value("SELECT 1"), "1");
}

#[test]
fn the_database_defaults_to_the_users_name() {
    let database = Cluster::shared().database();
    let pooler = Plan::before(&database).start();
    let mut startup = Startup::new("postgres", "");
    startup.parameters.retain(|(name, _)| name == "user");
    let mut client = Connection::login(pooler.address, &startup);
    assert_eq!(client.value("SELECT current_database()"), "postgres");
}
