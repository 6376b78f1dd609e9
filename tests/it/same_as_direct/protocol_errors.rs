//! What PostgreSQL calls a protocol violation ends the client, and only it.

use crate::support::differential::{A, B, script};
use crate::support::frames::{extended, frame, query};
use crate::support::pooler::Plan;
use crate::support::postgres::Cluster;
use crate::support::raw::{Connection, first_error};

/// PostgreSQL's and pgweave's answer to the same bytes after login.
fn both_answers(bytes: &[u8]) -> [Option<String>; 2] {
    let database = Cluster::shared().database();
    let pooler = Plan::before(&database).pool_size(1).start();
    let answer = |mut connection: Connection| {
        connection.send(bytes);
        first_error(&connection.until_end("the end of a client that broke the protocol"))
    };
    let answers = [answer(database.direct()), answer(pooler.client())];
    assert_eq!(pooler.client().value("SELECT 'served'"), "served");
    answers
}

#[test]
fn an_unknown_message_type_ends_the_session() {
    assert_eq!(
        both_answers(&frame(b'!', b"")),
        [Some("08P01".into()), Some("08P01".into())]
    );
    assert_eq!(
        both_answers(&frame(0, b"abc")),
        [Some("08P01".into()), Some("08P01".into())]
    );
}

#[test]
fn a_message_with_an_impossible_length_ends_the_session() {
    for length in [0_u32, 3, u32::MAX, 1 << 31] {
        let bytes = [&b"Q"[..], &length.to_be_bytes()].concat();
        let [direct, pooled] = both_answers(&bytes);
        assert_eq!(direct, None, "PostgreSQL writes to its log only");
        assert!(
            matches!(pooled.as_deref(), None | Some("08P01")),
            "length {length}: {pooled:?}"
        );
    }
}

#[test]
fn messages_with_missing_parts_are_refused() {
    // Bodies that end too early: PostgreSQL answers with ERROR 08P01 and, after
    // a Sync, goes on; a pooler may end the session instead.
    for bytes in [
        frame(b'P', b"no end"),
        frame(b'B', b""),
        frame(b'E', b"\0\0"),
        frame(b'C', b""),
        frame(b'D', b""),
    ] {
        let database = Cluster::shared().database();
        let pooler = Plan::before(&database).pool_size(1).start();
        let mut client = pooler.client();
        client.send(&[bytes, crate::support::frames::sync()].concat());
        let answer = client.until_ready(1, "the refusal of a truncated message");
        assert_eq!(first_error(&answer).as_deref(), Some("08P01"));
        assert_eq!(pooler.client().value("SELECT 'served'"), "served");
    }
}

#[test]
fn the_rest_of_a_pipeline_is_unharmed_by_a_clients_errors() {
    script()
        .ask(
            A,
            [extended("SELECT nonsense"), query("also nonsense")].concat(),
            2,
        )
        .query(B, "SELECT 1")
        .run();
}

#[test]
fn bytes_behind_terminate_are_not_read() {
    let database = Cluster::shared().database();
    database.direct().rows("CREATE TABLE t (x int)");
    let pooler = Plan::before(&database).pool_size(1).start();
    let mut client = pooler.client();
    client.send(
        &[
            crate::support::frames::terminate(),
            query("INSERT INTO t VALUES (1)"),
        ]
        .concat(),
    );
    assert!(client.until_end("the end after Terminate").is_empty());
    assert_eq!(pooler.client().value("SELECT count(*) FROM t"), "0");
}
