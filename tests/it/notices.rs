//! What clients are told by notices, and what they are called on the server.

use crate::console::{console, one_waits, plan, until_waiting};
use crate::support::frames::{Frame, query};
use crate::support::pooler::Plan;
use crate::support::postgres::Cluster;
use crate::support::raw::Connection;
use crate::support::startup::start_up;

/// The severity, SQLSTATE and message of a notice.
fn told(frame: &Frame) -> [String; 3] {
    assert_eq!(frame.tag, b'N', "{frame:?}");
    [b'S', b'C', b'M'].map(|field| frame.field(field).unwrap())
}

#[test]
fn who_waits_for_long_is_told_so_once() {
    let database = Cluster::shared().database();
    let pooler = plan(&database)
        .pool_size(1)
        .setting("query_wait_notify", "\"100ms\"")
        .start();
    let mut console = console(&pooler);
    let (mut holder, mut waiting) = one_waits(&mut console, &pooler);
    let text = "No server connection available in postgres backend, client being queued";
    let notice = ["NOTICE", "00000", text].map(str::to_owned);
    let first = waiting.read_frame("a notice to one that waits").unwrap();
    assert_eq!(told(&first), notice);
    // Whoever comes later is told later, and the first one not again by then.
    let mut later = pooler.client();
    later.send(&query("SELECT 2"));
    until_waiting(&mut console, &pooler, 2);
    let first = later.read_frame("a notice to another").unwrap();
    assert_eq!(told(&first), notice);
    holder.rows("COMMIT");
    for waiting in [&mut waiting, &mut later] {
        let answer = waiting.until_ready(1, "the answer to one that has waited");
        let tags: Vec<_> = answer.iter().map(|frame| frame.tag).collect();
        assert_eq!(tags, *b"TDCZ");
    }
}

#[test]
fn who_waits_is_not_told_unless_asked_for() {
    let database = Cluster::shared().database();
    let pooler = plan(&database)
        .pool_size(1)
        .setting("query_wait_timeout", "\"1.5s\"")
        .start();
    let (_holder, mut waiting) = one_waits(&mut console(&pooler), &pooler);
    let answer = waiting.until_end("the end of a wait");
    assert_eq!(answer.len(), 1);
    assert_eq!(answer[0].field(b'M').as_deref(), Some("query_wait_timeout"));
}

#[test]
fn who_logs_in_is_told_a_message() {
    let database = Cluster::shared().database();
    let pooler = Plan::before(&database)
        .setting("login_notify_message", "\"mind the gap\"")
        .start();
    let mut client = Connection::open(pooler.address);
    let greeting = start_up(&mut client, &pooler.startup());
    let [.., notice, ready] = greeting.as_slice() else {
        panic!("{greeting:?}");
    };
    assert_eq!(ready.tag, b'Z');
    assert_eq!(
        told(notice),
        ["NOTICE", "00000", "mind the gap"].map(str::to_owned)
    );
    assert_eq!(client.value("SELECT 1"), "1");
}

#[test]
fn the_server_is_told_where_a_client_comes_from() {
    let database = Cluster::shared().database();
    let pooler = Plan::before(&database)
        .pool_size(1)
        .setting("application_name_add_host", "true")
        .start();
    let startup = pooler.startup().with("application_name", "billing");
    let mut client = Connection::login(pooler.address, &startup);
    let mut nameless = pooler.client();
    let of = |client: &mut Connection| client.value("SHOW application_name");
    let address = client.local_address();
    assert_eq!(of(&mut client), format!("billing - {address}"));
    let address = nameless.local_address();
    assert_eq!(of(&mut nameless), format!("app - {address}"));
    client.rows("SET application_name = 'mine'");
    assert_eq!(of(&mut client), "mine");
    assert_eq!(of(&mut nameless), format!("app - {address}"));
}
