//! How many may come, how many server connections there are.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::support::pooler::Plan;
use crate::support::postgres::Cluster;
use crate::support::raw::{Connection, first_error};
use crate::support::startup::Startup;
use crate::support::wait::{self, Over};

#[test]
fn a_client_too_many_is_refused_with_53300() {
    let database = Cluster::shared().database();
    let pooler = Plan::before(&database)
        .setting("max_client_conn", "2")
        .start();
    let (mut first, second) = (pooler.client(), pooler.client());
    let refusal = Connection::try_login(pooler.address, &pooler.startup())
        .err()
        .expect("the third is refused");
    assert_eq!(first_error(&refusal).as_deref(), Some("53300"));
    assert_eq!(first.value("SELECT 1"), "1");
    second.terminate();
    wait::until(wait::SOON, "the place that became free", || {
        Connection::try_login(pooler.address, &pooler.startup()).is_ok()
    });
}

#[test]
fn many_clients_share_few_server_connections() {
    let database = Cluster::shared().database();
    let pooler = Plan::before(&database).pool_size(3).start();
    let (over, answered) = (Over::default(), AtomicUsize::new(0));
    thread::scope(|scope| {
        let _end = over.at_end();
        let clients: Vec<_> = (0..40)
            .map(|number| {
                let (pooler, answered) = (&pooler, &answered);
                scope.spawn(move || {
                    let mut client = pooler.client();
                    for round in 0..25 {
                        let marker = format!("{number}/{round}");
                        client.rows("BEGIN");
                        assert_eq!(client.value(&format!("SELECT '{marker}'")), marker);
                        client.rows("COMMIT");
                        answered.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        scope.spawn(|| {
            while !over.is_set() {
                let count = database.backends("backend_type = 'client backend'");
                assert!(count <= 3, "{count} server connections for a pool of 3");
                thread::sleep(Duration::from_millis(20));
            }
        });
        clients
            .into_iter()
            .for_each(|client| client.join().unwrap());
    });
    assert_eq!(answered.load(Ordering::Relaxed), 40 * 25);
}

#[test]
fn a_database_bounds_the_pools_of_all_its_users() {
    let database = Cluster::shared().database();
    let pooler = Plan::before(&database)
        .user("guest", "unused")
        .pool_size(3)
        .setting("max_db_connections", "2")
        .start();
    thread::scope(|scope| {
        for user in ["postgres", "guest"].repeat(4) {
            let pooler = &pooler;
            scope.spawn(move || {
                let mut client =
                    Connection::login(pooler.address, &Startup::new(user, &pooler.database));
                for _ in 0..20 {
                    assert_eq!(client.value("SELECT current_user"), user);
                }
            });
        }
    });
    let count = database.backends("backend_type = 'client backend'");
    assert!(
        (1..=2).contains(&count),
        "{count} server connections, 2 allowed"
    );
}

#[test]
fn each_user_has_its_own_server_connections() {
    let database = Cluster::shared().database();
    let pooler = Plan::before(&database)
        .user("guest", "unused")
        .pool_size(1)
        .start();
    let mut guest = Connection::login(pooler.address, &Startup::new("guest", &pooler.database));
    let mut superuser = pooler.client();
    for _ in 0..3 {
        assert_eq!(guest.value("SELECT session_user"), "guest");
        assert_eq!(superuser.value("SELECT session_user"), "postgres");
    }
}

#[test]
fn a_server_connection_is_replaced_at_the_end_of_its_life() {
    let database = Cluster::shared().database();
    let pooler = Plan::before(&database)
        .pool_size(1)
        .setting("server_lifetime", "\"1s\"")
        .start();
    let mut client = pooler.client();
    let first = client.value("SELECT pg_backend_pid()");
    wait::until(wait::SOON, "another server connection", || {
        client.value("SELECT pg_backend_pid()") != first
    });
}

#[test]
fn an_idle_server_connection_is_closed_after_its_time() {
    let database = Cluster::shared().database();
    let pooler = Plan::before(&database)
        .pool_size(2)
        .setting("server_idle_timeout", "\"1s\"")
        .start();
    let mut client = pooler.client();
    client.rows("SELECT 1");
    wait::until(wait::SOON, "idle server connections to be closed", || {
        database.backends("backend_type = 'client backend'") == 0
    });
    assert_eq!(client.value("SELECT 'back again'"), "back again");
}

#[test]
fn a_pool_keeps_its_least_number_of_connections() {
    let database = Cluster::shared().database();
    let pooler = Plan::before(&database)
        .pool_size(4)
        .setting("min_pool_size", "3")
        .start();
    let mut client = pooler.client();
    client.rows("SELECT 1");
    wait::until(wait::SOON, "three server connections", || {
        database.backends("backend_type = 'client backend'") == 3
    });
}

#[test]
fn a_reserve_helps_those_who_wait_too_long() {
    let database = Cluster::shared().database();
    let pooler = Plan::before(&database)
        .pool_size(1)
        .setting("reserve_pool_size", "1")
        .setting("reserve_pool_timeout", "\"1s\"")
        .start();
    let (mut holder, mut waiting) = (pooler.client(), pooler.client());
    holder.rows("BEGIN");
    assert_eq!(
        waiting.value("SELECT 'from the reserve'"),
        "from the reserve"
    );
    holder.rows("COMMIT");
}
