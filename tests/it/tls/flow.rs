//! Sessions inside of TLS: bulk, pieces, ends.

use std::thread;

use super::{Secure, in_tls};
use crate::support::frames::{extended, query};
use crate::support::pooler::Plan;
use crate::support::postgres::Cluster;
use crate::support::raw::first_error;
use crate::support::wait;

#[test]
fn bulk_passes_both_ways_with_tls_on_both_sides() {
    let database = Cluster::with_tls().database();
    let secure = Secure::before(&database, "require");
    let mut client = secure.client();
    assert!(in_tls(&mut client));
    let text = "0123456789abcdef".repeat(300_000);
    let answer = client.value(&format!("SELECT md5('{text}') || length('{text}')"));
    assert!(answer.ends_with("4800000"), "{answer}");
    assert_eq!(
        client.value("SELECT repeat('x', 20000000)").len(),
        20_000_000
    );
    assert_eq!(
        client
            .rows("SELECT g, repeat('y', 500) FROM generate_series(1, 20000) g")
            .len(),
        20_000
    );
    assert_eq!(client.value("SELECT 'still in step'"), "still in step");
}

#[test]
fn requests_and_replies_in_bulk_do_not_block_each_other_in_tls() {
    let database = Cluster::with_tls().database();
    let secure = Secure::before(&database, "require");
    let mut client = secure.client();
    // More than all buffers hold, and nothing is read meanwhile.
    let one = extended("SELECT repeat('z', 2000)");
    let many = one.repeat(4000);
    client.send(&many);
    let answer = client.until_ready(4000, "the answers");
    assert_eq!(
        answer.iter().filter(|frame| frame.tag == b'D').count(),
        4000
    );
}

#[test]
fn many_clients_share_few_encrypted_connections() {
    let database = Cluster::with_tls().database();
    let plan = Plan::before(&database).pool_size(2);
    let secure = Secure::with(plan, "require");
    thread::scope(|scope| {
        for number in 0..12 {
            let secure = &secure;
            scope.spawn(move || {
                let mut client = secure.client();
                for round in 0..20 {
                    let marker = format!("{number}/{round}");
                    client.rows("BEGIN");
                    assert_eq!(client.value(&format!("SELECT '{marker}'")), marker);
                    client.rows("COMMIT");
                }
                client.terminate();
            });
        }
    });
    assert!(database.backends("true") <= 2);
}

#[test]
fn the_end_of_an_idle_encrypted_connection_is_noticed_before_it_is_used() {
    let database = Cluster::with_tls().database();
    let secure = Secure::before(&database, "require");
    let mut client = secure.client();
    for _ in 0..5 {
        let pid = client.value("SELECT pg_backend_pid()");
        let mut admin = database.cluster.admin();
        admin.rows(&format!("SELECT pg_terminate_backend({pid}, 10000)"));
        assert_ne!(client.value("SELECT pg_backend_pid()"), pid);
    }
}

#[test]
fn a_client_in_a_transaction_is_told_when_its_encrypted_server_connection_ends() {
    let database = Cluster::with_tls().database();
    let secure = Secure::before(&database, "require");
    let mut client = secure.client();
    client.rows("BEGIN");
    let pid = client.value("SELECT pg_backend_pid()");
    let mut admin = database.cluster.admin();
    admin.rows(&format!("SELECT pg_terminate_backend({pid}, 10000)"));
    let told = client.until_end("the last words");
    assert_eq!(first_error(&told).as_deref(), Some("57P01"));
    assert!(client.ended_in_order(), "TLS ends with close_notify");
}

#[test]
fn pgweave_ends_encrypted_sessions_in_order() {
    let database = Cluster::with_tls().database();
    let mut secure = Secure::before(&database, "require");
    let mut client = secure.client();
    client.rows("SELECT 1");
    secure.pooler.signal(15);
    let told = client.until_end("the end");
    assert_eq!(first_error(&told).as_deref(), Some("57P01"));
    assert!(client.ended_in_order());
    assert_eq!(secure.pooler.wait().code(), Some(0));
    // The backends heard a Terminate: nothing about a lost connection.
    wait::until(wait::SOON, "the server connections to end", || {
        database.backends("backend_type = 'client backend'") == 0
    });
}

#[test]
fn what_a_vanished_client_left_is_rolled_back_in_tls_too() {
    let database = Cluster::with_tls().database();
    let secure = Secure::before(&database, "require");
    database.direct().rows("CREATE TABLE t (x int)");
    for reset in [false, true] {
        let mut client = secure.client();
        client.rows("BEGIN; INSERT INTO t VALUES (1)");
        client.send(&query("SELECT pg_sleep(60)"));
        wait::until(wait::SOON, "the query to run", || {
            database.backends("query LIKE '%pg_sleep(60)%' AND state = 'active'") > 0
        });
        match reset {
            true => client.reset(),
            false => drop(client),
        }
        assert_eq!(secure.client().value("SELECT count(*) FROM t"), "0");
    }
}
