//! CancelRequest (`protocol-flow.html#PROTOCOL-FLOW-CANCELING-REQUESTS`): it
//! hits what its owner runs at that moment, and nobody else, ever.

use std::thread;
use std::time::{Duration, Instant};

use crate::support::differential::{A, B, script};
use crate::support::frames::{cancel_request, extended, query, ssl_request};
use crate::support::pooler::{Plan, Pooler};
use crate::support::postgres::{Cluster, Database};
use crate::support::raw::{Connection, cancel, first_error};
use crate::support::wait::{self, Over};

fn with_pool(size: usize) -> (Database<'static>, Pooler) {
    let database = Cluster::shared().database();
    let pooler = Plan::before(&database).pool_size(size).start();
    (database, pooler)
}

fn sleep(client: &mut Connection, database: &Database) {
    client.send(&query("SELECT pg_sleep(60)"));
    wait::until(wait::SOON, "the query to run", || {
        database.backends("query LIKE '%pg_sleep(60)%' AND state = 'active'") > 0
    });
}

#[test]
fn a_running_query_is_cancelled_and_the_client_goes_on() {
    let (database, pooler) = with_pool(1);
    let mut client = pooler.client();
    sleep(&mut client, &database);
    cancel(pooler.address, &client.key);
    assert_eq!(
        first_error(&client.until_ready(1, "the cancelled query")).as_deref(),
        Some("57014")
    );
    assert_eq!(client.value("SELECT 'goes on'"), "goes on");
    assert_eq!(pooler.client().value("SELECT 'other'"), "other");
}

#[test]
fn a_cancelled_query_looks_the_same_as_directly() {
    let running = "SELECT count(*) = 1 FROM pg_stat_activity \
                   WHERE query LIKE '%pg_sleep(61)' AND state = 'active' AND datname = current_database()";
    let extended_sleep = extended("SELECT pg_sleep(61)");
    script()
        .send(A, query("SELECT 1; SELECT pg_sleep(61)"))
        .wait(running)
        .cancel(A)
        .ready(A, 1)
        .query(B, "SELECT 'other'")
        .send(
            A,
            [extended("SELECT 1"), extended_sleep, extended("SELECT 2")].concat(),
        )
        .wait(running)
        .cancel(A)
        .ready(A, 3)
        .query(A, "SELECT 'goes on'")
        .run();
}

#[test]
fn a_long_key_of_protocol_3_2_cancels_too() {
    let (database, pooler) = with_pool(1);
    let mut client = Connection::login(pooler.address, &pooler.startup().minor(2));
    assert!(client.key.len() > 8);
    sleep(&mut client, &database);
    cancel(pooler.address, &client.key);
    assert_eq!(
        first_error(&client.until_ready(1, "the cancelled query")).as_deref(),
        Some("57014")
    );
}

#[test]
fn a_cancel_may_come_after_a_declined_encryption_request() {
    let (database, pooler) = with_pool(1);
    let mut client = pooler.client();
    sleep(&mut client, &database);
    let mut request = Connection::open(pooler.address);
    request.send(&ssl_request());
    assert_eq!(request.read_byte("the answer to SSLRequest"), Some(b'N'));
    request.send(&cancel_request(&client.key));
    assert!(
        request
            .until_end("the end of the cancel connection")
            .is_empty()
    );
    assert_eq!(
        first_error(&client.until_ready(1, "the cancelled query")).as_deref(),
        Some("57014")
    );
}

#[test]
fn a_cancelled_statement_fails_its_transaction() {
    let (database, pooler) = with_pool(1);
    let mut client = pooler.client();
    client.rows("BEGIN");
    sleep(&mut client, &database);
    cancel(pooler.address, &client.key);
    assert_eq!(
        first_error(&client.until_ready(1, "the cancelled query")).as_deref(),
        Some("57014")
    );
    assert_eq!(client.status, b'E');
    assert_eq!(client.failure("SELECT 1"), "25P02");
    client.rows("ROLLBACK");
    assert_eq!(client.status, b'I');
}

#[test]
fn a_cancel_while_idle_hits_nobody() {
    let (database, pooler) = with_pool(1);
    let mut locker = locked_table(&database);
    let (mut idle, mut busy) = (pooler.client(), pooler.client());
    idle.rows("SELECT 1");
    busy.send(&query("SELECT count(*) FROM locked"));
    wait_for_lock_waiters(&database, 1);
    for _ in 0..20 {
        cancel(pooler.address, &idle.key);
    }
    locker.rows("COMMIT");
    assert_eq!(
        first_error(&busy.until_ready(1, "the query of the other client")),
        None
    );
    assert_eq!(idle.value("SELECT 'still here'"), "still here");
}

#[test]
fn a_wrong_key_hits_nobody() {
    let (database, pooler) = with_pool(1);
    let mut locker = locked_table(&database);
    let mut client = pooler.client();
    client.send(&query("SELECT count(*) FROM locked"));
    wait_for_lock_waiters(&database, 1);
    let key = client.key.clone();
    for place in 0..key.len() {
        let mut wrong = key.clone();
        wrong[place] ^= 1;
        cancel(pooler.address, &wrong);
    }
    for length in [0, 4, 7, 9, 36, 260, 1000] {
        let mut other_length = key.clone();
        other_length.resize(length, 0);
        cancel(database.cluster.address(), &other_length);
        cancel(pooler.address, &other_length);
    }
    locker.rows("COMMIT");
    assert_eq!(
        first_error(&client.until_ready(1, "the query that nobody may cancel")),
        None
    );
}

#[test]
fn only_the_owner_of_the_key_is_cancelled() {
    let (database, pooler) = with_pool(3);
    let mut locker = locked_table(&database);
    let mut clients: Vec<Connection> = (0..3).map(|_| pooler.client()).collect();
    for client in clients.iter_mut().rev() {
        client.rows("SELECT 1");
    }
    for client in &mut clients {
        client.send(&query("SELECT count(*) FROM locked"));
    }
    wait_for_lock_waiters(&database, 3);
    cancel(pooler.address, &clients[1].key);
    assert_eq!(
        first_error(&clients[1].until_ready(1, "the cancelled query")).as_deref(),
        Some("57014")
    );
    wait_for_lock_waiters(&database, 2);
    locker.rows("COMMIT");
    for number in [0, 2] {
        assert_eq!(
            first_error(&clients[number].until_ready(1, "a query of another client")),
            None
        );
    }
}

#[test]
fn a_waiting_client_is_cancelled_at_once() {
    let (_database, pooler) = with_pool(1);
    let (mut holder, mut waiting) = (pooler.client(), pooler.client());
    holder.rows("BEGIN");
    waiting.send(&query("SELECT 'too late'"));
    let key = waiting.key.clone();
    let (address, over) = (pooler.address, Over::default());
    let answer = thread::scope(|scope| {
        let _end = over.at_end();
        // The pooler may not have read the query yet: ask until it answers.
        scope.spawn(|| {
            while !over.is_set() {
                cancel(address, &key);
                thread::sleep(Duration::from_millis(20));
            }
        });
        let start = Instant::now();
        let answer = waiting.until_ready(1, "the cancellation of a wait");
        assert!(
            start.elapsed() < Duration::from_secs(3),
            "it took {:?}",
            start.elapsed()
        );
        answer
    });
    assert_eq!(first_error(&answer).as_deref(), Some("57014"));
    assert_eq!(holder.value("SELECT 'undisturbed'"), "undisturbed");
    holder.rows("COMMIT");
    assert_eq!(waiting.value("SELECT 'usable'"), "usable");
}

#[test]
fn a_late_cancel_never_hits_the_next_client() {
    let (_database, pooler) = with_pool(1);
    let (mut target, mut victim) = (pooler.client(), pooler.client());
    let (key, address, over) = (target.key.clone(), pooler.address, Over::default());
    thread::scope(|scope| {
        let _end = over.at_end();
        scope.spawn(|| {
            while !over.is_set() {
                cancel(address, &key);
            }
        });
        scope.spawn(|| {
            while !over.is_set() {
                let answer = target.query("SELECT pg_sleep(0.002)");
                assert!(
                    matches!(first_error(&answer).as_deref(), None | Some("57014")),
                    "{answer:?}"
                );
            }
        });
        let rounds = 300;
        let failed = (0..rounds)
            .filter(|_| first_error(&victim.query("SELECT pg_sleep(0.002)")).is_some())
            .count();
        assert_eq!(
            failed, 0,
            "of {rounds} queries of a client that nobody cancelled"
        );
    });
}

/// A table that nobody can read until the returned connection commits.
fn locked_table(database: &Database) -> Connection {
    let mut locker = database.direct();
    locker.rows("CREATE TABLE locked (x int)");
    locker.rows("BEGIN");
    locker.rows("LOCK TABLE locked");
    locker
}

fn wait_for_lock_waiters(database: &Database, count: usize) {
    wait::until(wait::SOON, "queries to wait for the lock", || {
        database.backends("wait_event_type = 'Lock' AND state = 'active'") == count
    });
}
