//! Server connections and servers that die, and come back.

use std::thread;
use std::time::Duration;

use crate::support::fake_server::{FakeServer, error, one_row};
use crate::support::frames::query;
use crate::support::pooler::Plan;
use crate::support::postgres::{Cluster, Database};
use crate::support::raw::{Connection, first_error};
use crate::support::wait::{self, Over};

fn terminate_backend(database: &Database, pid: &str) {
    let mut admin = database.cluster.admin();
    admin.rows(&format!("SELECT pg_terminate_backend({pid})"));
    let gone = format!("SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = {pid}");
    wait::until(wait::SOON, "the backend to end", || {
        admin.value(&gone) == "t"
    });
}

#[test]
fn a_client_in_a_transaction_is_told_and_closed_and_others_go_on() {
    let database = Cluster::shared().database();
    let pooler = Plan::before(&database).pool_size(2).start();
    let (mut a, mut b) = (pooler.client(), pooler.client());
    a.rows("BEGIN");
    b.rows("BEGIN");
    let pid = a.value("SELECT pg_backend_pid()");
    terminate_backend(&database, &pid);
    let last_words = a.until_end("the end of a client whose server died");
    assert_eq!(first_error(&last_words).as_deref(), Some("57P01"));
    assert_eq!(last_words[0].field(b'V').as_deref(), Some("FATAL"));
    assert_eq!(b.value("SELECT 'undisturbed'"), "undisturbed");
    b.rows("COMMIT");
    assert_eq!(pooler.client().value("SELECT 'new'"), "new");
}

#[test]
fn a_client_whose_query_runs_is_told_and_closed() {
    let database = Cluster::shared().database();
    let pooler = Plan::before(&database).pool_size(1).start();
    let mut client = pooler.client();
    client.send(&query("SELECT pg_sleep(60)"));
    let running = "query LIKE '%pg_sleep(60)%' AND state = 'active'";
    wait::until(wait::SOON, "the query to run", || {
        database.backends(running) == 1
    });
    let mut admin = database.direct();
    admin.rows(&format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {running} AND pid <> pg_backend_pid()"));
    assert_eq!(
        first_error(&client.until_end("the last words")).as_deref(),
        Some("57P01")
    );
    assert_eq!(pooler.client().value("SELECT 'next'"), "next");
}

#[test]
fn a_client_between_transactions_notices_nothing() {
    let database = Cluster::shared().database();
    let pooler = Plan::before(&database).pool_size(1).start();
    let mut client = pooler.client();
    // What the function does is found out behind the first answer: whoever had then
    // lost something would hear of it. The second waits for that.
    client.value("SELECT pg_backend_pid()");
    for _ in 0..5 {
        let pid = client.value("SELECT pg_backend_pid()");
        terminate_backend(&database, &pid);
        assert_ne!(client.value("SELECT pg_backend_pid()"), pid);
    }
}

#[test]
fn idle_clients_survive_a_restart_of_postgresql() {
    let mut cluster = Cluster::private();
    let pooler = Plan::before_address(cluster.address(), "postgres")
        .pool_size(5)
        .start();
    let mut clients: Vec<Connection> = (0..100).map(|_| pooler.client()).collect();
    for client in &mut clients {
        client.rows("SELECT 1");
    }
    cluster.restart();
    for (number, client) in clients.iter_mut().enumerate() {
        assert_eq!(
            client.value(&format!("SELECT {number}")),
            number.to_string()
        );
    }
}

#[test]
fn a_crash_of_postgresql_ends_open_transactions_only() {
    let mut cluster = Cluster::private();
    let pooler = Plan::before_address(cluster.address(), "postgres")
        .pool_size(3)
        .start();
    let (mut open, mut idle) = (pooler.client(), pooler.client());
    idle.rows("SELECT 1");
    open.rows("BEGIN");
    cluster.stop_immediately();
    let code = first_error(&open.until_end("the last words")).expect("an error before the end");
    assert!(
        matches!(code.as_str(), "57P01" | "57P02" | "08006"),
        "{code}"
    );
    cluster.start();
    assert_eq!(idle.value("SELECT 'still here'"), "still here");
}

#[test]
fn a_client_hears_the_error_while_postgresql_is_down() {
    let mut cluster = Cluster::private();
    let pooler = Plan::before_address(cluster.address(), "postgres")
        .pool_size(1)
        .setting("server_login_retry", "\"1s\"")
        .start();
    let mut client = pooler.client();
    client.rows("SELECT 1");
    cluster.stop();
    let answer = client.query("SELECT 'nobody there'");
    let code = first_error(&answer).expect("an error while the server is down");
    assert!(code.starts_with("08") || code.starts_with("57P"), "{code}");
    cluster.start();
    wait::until(
        Duration::from_secs(20),
        "service after the server came back",
        || {
            Connection::try_login(pooler.address, &pooler.startup())
                .is_ok_and(|mut c| c.query("SELECT 1").len() == 4)
        },
    );
}

#[test]
fn pgweave_starts_before_postgresql_does() {
    let mut cluster = Cluster::stopped();
    let mut pooler = Plan::before_address(cluster.address(), "postgres")
        .pool_size(1)
        .setting("server_login_retry", "\"1s\"")
        .start();
    match Connection::try_login(pooler.address, &pooler.startup()) {
        Err(frames) => assert!(
            first_error(&frames).is_some(),
            "a refusal says why: {frames:?}"
        ),
        Ok(mut client) => assert!(first_error(&client.query("SELECT 1")).is_some()),
    }
    assert!(pooler.is_alive());
    cluster.start();
    wait::until(
        Duration::from_secs(20),
        "service after the server came up",
        || {
            Connection::try_login(pooler.address, &pooler.startup())
                .is_ok_and(|mut c| c.query("SELECT 1").len() == 4)
        },
    );
}

#[test]
fn clients_under_load_recover_from_a_restart_by_themselves() {
    let mut cluster = Cluster::private();
    let pooler = Plan::before_address(cluster.address(), "postgres")
        .pool_size(4)
        .setting("server_login_retry", "\"1s\"")
        .start();
    let over = Over::default();
    thread::scope(|scope| {
        let _end = over.at_end();
        for _ in 0..8 {
            scope.spawn(|| {
                while !over.is_set() {
                    // A refusal or a broken transaction may happen; silence may not.
                    if let Ok(mut client) = Connection::try_login(pooler.address, &pooler.startup())
                    {
                        while !client.ended() && !over.is_set() {
                            let _ = client.try_send(&query("SELECT 'load'"));
                            client.until_ready(1, "an answer or the end");
                        }
                    }
                    thread::sleep(Duration::from_millis(5));
                }
            });
        }
        cluster.restart();
        wait::until(Duration::from_secs(20), "service after the restart", || {
            Connection::try_login(pooler.address, &pooler.startup())
                .is_ok_and(|mut c| c.query("SELECT 1").len() == 4)
        });
    });
}

#[test]
fn the_servers_own_refusal_reaches_the_client() {
    let (code, message) = ("53300", "sorry, too many clients already");
    let server = FakeServer::refusing(usize::MAX, error("FATAL", code, message));
    let pooler = Plan::before_address(server.address, "app")
        .pool_size(1)
        .start();
    let frames = match Connection::try_login(pooler.address, &pooler.startup()) {
        Err(frames) => frames,
        Ok(mut client) => client.query("SELECT 1"),
    };
    assert_eq!(first_error(&frames).as_deref(), Some(code));
    let said = frames
        .iter()
        .find(|f| f.tag == b'E')
        .and_then(|f| f.field(b'M'));
    assert!(said.unwrap_or_default().contains(message));
}

#[test]
fn a_server_that_is_starting_up_is_waited_for() {
    let refusal = error("FATAL", "57P03", "the database system is starting up");
    let server = FakeServer::refusing(3, refusal);
    let pooler = Plan::before_address(server.address, "app")
        .pool_size(1)
        .start();
    assert_eq!(pooler.client().value("served at last"), "served at last");
    assert_eq!(server.logins(), 4);
}

#[test]
fn a_connection_that_breaks_off_in_a_reply_ends_its_client_with_an_error() {
    for reset in [false, true] {
        let server = FakeServer::start(move |number, peer| {
            while let Some(text) = peer.read_query() {
                let reply = one_row(&text);
                if number == 0 && text.contains("first") {
                    peer.send(&reply[..reply.len() / 2]);
                    return if reset {
                        peer.reset_at_end()
                    } else {
                        peer.close()
                    };
                }
                peer.send(&reply);
            }
        });
        let pooler = Plan::before_address(server.address, "app")
            .pool_size(1)
            .start();
        let mut client = pooler.client();
        client.send(&query("first"));
        let frames = client.until_end("the end after half a reply");
        assert_eq!(
            first_error(&frames).as_deref(),
            Some("08006"),
            "reset: {reset}"
        );
        assert_eq!(pooler.client().value("second"), "second");
    }
}
