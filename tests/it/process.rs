//! pgweave as a process: signals and exit codes.

use crate::support::frames::query;
use crate::support::pooler::Plan;
use crate::support::postgres::Cluster;
use crate::support::raw::first_error;
use crate::support::wait;

const INTERRUPT: i32 = 2;
const TERMINATE: i32 = 15;

#[test]
fn a_signal_ends_it_in_order() {
    let database = Cluster::shared().database();
    for signal in [INTERRUPT, TERMINATE] {
        let mut pooler = Plan::before(&database).pool_size(1).start();
        let mut client = pooler.client();
        client.rows("SELECT 1");
        client.terminate();
        pooler.signal(signal);
        assert_eq!(
            pooler.wait().code(),
            Some(0),
            "signal {signal}: {}",
            pooler.log()
        );
    }
}

/// Whether it keeps its server connection between transactions, or not.
#[test]
fn who_is_to_leave_hears_it_instead_of_its_next_answer() {
    let database = Cluster::shared().database();
    database.direct().rows("CREATE TABLE done (what text)");
    for mode in ["transaction", "session"] {
        let mut pooler = Plan::before(&database).pool_mode(mode).start();
        let (mut client, mut idle) = (pooler.client(), pooler.client());
        client.rows("BEGIN");
        client.value("SELECT 1");
        idle.value("SELECT 1");
        pooler.signal(TERMINATE);
        // By then the other has been asked to leave as well.
        let told = idle.until_end("its end");
        assert_eq!(first_error(&told).as_deref(), Some("57P01"), "{mode}");
        client.rows("COMMIT");
        client.send(&query("INSERT INTO done VALUES ('this')"));
        let told = client.until_end("its end");
        assert_eq!(first_error(&told).as_deref(), Some("57P01"), "{mode}");
        assert_eq!(told.len(), 1, "{mode}: {told:?}");
        assert_eq!(pooler.wait().code(), Some(0), "{mode}");
    }
    assert_eq!(database.direct().value("SELECT count(*) FROM done"), "0");
}

#[test]
fn nothing_is_left_on_the_server_after_a_kill() {
    let database = Cluster::shared().database();
    let mut pooler = Plan::before(&database).pool_size(2).start();
    let (mut open, mut busy) = (pooler.client(), pooler.client());
    open.rows("BEGIN");
    busy.send(&query("SELECT 1"));
    pooler.kill();
    crate::support::wait::until(
        crate::support::wait::SOON,
        "the server connections to end",
        || database.backends("backend_type = 'client backend'") == 0,
    );
}

#[test]
fn who_comes_when_it_ends_is_refused_at_once_and_not_left_in_the_queue() {
    let database = Cluster::shared().database();
    let mut pooler = Plan::before(&database).start();
    let mut client = pooler.client();
    client.rows("BEGIN");
    pooler.signal("TERM");
    wait::until(wait::SOON, "the address to be free", || {
        std::net::TcpStream::connect(pooler.address).is_err()
    });
    client.rows("COMMIT");
    assert!(pooler.wait().success());
}
