//! pgweave as a process: signals and exit codes.

use crate::support::frames::query;
use crate::support::pooler::Plan;
use crate::support::postgres::Cluster;

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
