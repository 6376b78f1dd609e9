//! A process takes over while some of its clients are in TLS: those end, the others go.

use std::thread;
use std::time::Duration;

use super::Secure;
use crate::support::frames::query;
use crate::support::pooler::Plan;
use crate::support::postgres::Cluster;
use crate::support::raw::{Connection, first_error};
use crate::support::startup::{Startup, start_up};
use crate::support::wait;

const SIZE: usize = 3;
const SERVERS: &str = "usename = 'postgres' AND application_name = 'worker'";

/// Transactions until it is told to leave; then `false`.
fn one_transaction(client: &mut Connection) -> bool {
    for text in ["BEGIN", "SELECT pg_sleep(0.002)", "COMMIT"] {
        if client.try_send(&query(text)).is_err() {
            return false;
        }
        loop {
            match client.read_frame("an answer") {
                Some(frame) if frame.tag == b'Z' => break,
                Some(frame) if frame.tag == b'E' => {
                    let error = first_error(&[frame]).unwrap();
                    assert!(
                        error.contains("57P01") && text == "BEGIN",
                        "{text}: {error}"
                    );
                    return false;
                }
                Some(_) => {}
                None => panic!("left without a word at {text}"),
            }
        }
    }
    true
}

#[test]
fn those_in_tls_end_at_a_boundary_and_the_two_keep_to_the_size_of_the_pool() {
    let database = Cluster::shared().database();
    let plan = Plan::before(&database)
        .pool_size(SIZE)
        .setting("takeover_socket", "\"{folder}/takeover\"")
        .setting("shutdown_timeout", "10");
    let mut secure = Secure::with(plan, "prefer");
    let (address, over) = (secure.pooler.address, wait::Over::default());
    let startup = Startup::new("postgres", &database.name).with("application_name", "worker");
    let (most, told, new) = thread::scope(|scope| {
        let (over, startup, config) = (&over, &startup, &secure.client);
        let worker = |in_tls: bool| {
            scope.spawn(move || {
                let mut client = match in_tls {
                    true => Connection::open_tls(address, config).unwrap(),
                    false => Connection::open(address),
                };
                start_up(&mut client, startup);
                while !over.is_set() {
                    if !one_transaction(&mut client) {
                        return true;
                    }
                }
                client.terminate();
                false
            })
        };
        let in_tls: Vec<_> = (0..4).map(|_| worker(true)).collect();
        let plain: Vec<_> = (0..4).map(|_| worker(false)).collect();
        let at_end = over.at_end();
        let watch = scope.spawn(|| {
            let mut most = 0;
            while !over.is_set() {
                most = most.max(database.backends(SERVERS));
            }
            most
        });
        wait::until(wait::SOON, "all to be there", || {
            secure.pooler.log().matches("login: ").count() == 8
        });
        let new = secure.pooler.successor();
        assert!(secure.pooler.wait().success(), "{}", secure.pooler.log());
        // What is left is served.
        thread::sleep(Duration::from_millis(100));
        drop(at_end);
        let told = in_tls.into_iter().filter_map(|worker| worker.join().ok());
        let told = told.filter(|told| *told).count();
        assert!(plain.into_iter().all(|worker| !worker.join().unwrap()));
        (watch.join().unwrap(), told, new)
    });
    assert_eq!(told, 4, "in TLS");
    // One that is being closed is seen for a moment.
    assert!((1..=SIZE + 1).contains(&most), "{most} server connections");
    assert!(new.log().contains("clients=4"), "{}", new.log());
}
