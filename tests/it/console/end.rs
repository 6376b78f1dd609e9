//! `SHUTDOWN` and its variants.

use super::{complaint, console, plan, tag};
use crate::support::frames;
use crate::support::postgres::Cluster;
use crate::support::raw::first_error;

#[test]
fn a_shutdown_ends_the_process_at_once() {
    let database = Cluster::shared().database();
    let mut pooler = plan(&database).start();
    let mut client = pooler.client();
    client.rows("BEGIN");
    assert_eq!(tag(&mut console(&pooler), "SHUTDOWN"), "SHUTDOWN");
    assert!(pooler.wait().success());
    client.until_end("the end of everything");
}

#[test]
fn a_shutdown_waits_for_the_last_client() {
    let database = Cluster::shared().database();
    let mut pooler = plan(&database).start();
    let mut console = console(&pooler);
    let mut client = pooler.client();
    client.rows("SELECT 1");
    assert_eq!(tag(&mut console, "SHUTDOWN WAIT_FOR_CLIENTS"), "SHUTDOWN");
    assert_eq!(complaint(&mut console, "PAUSE"), "pooler is shutting down");
    assert_eq!(complaint(&mut console, "RESUME"), "pooler is shutting down");
    for _ in 0..20 {
        client.rows("SELECT 1");
    }
    assert!(pooler.is_alive());
    client.terminate();
    assert!(pooler.wait().success());
}

#[test]
fn a_shutdown_waits_for_transactions_and_sends_away_who_waits() {
    let database = Cluster::shared().database();
    let mut pooler = plan(&database).start();
    let mut console = console(&pooler);
    let (mut busy, mut waiting) = (pooler.client(), pooler.client());
    busy.rows("BEGIN");
    assert_eq!(tag(&mut console, "SHUTDOWN WAIT_FOR_SERVERS"), "SHUTDOWN");
    crate::support::wait::until(crate::support::wait::SOON, "the pause", || {
        let state = super::Shown::of(&mut console, "STATE");
        state.value("key", "paused", "value").as_deref() == Some("yes")
    });
    waiting.send(&frames::query("SELECT 1"));
    let told = waiting.until_end("the end of one who waits");
    assert_eq!(first_error(&told).as_deref(), Some("57P01"));
    assert_eq!(busy.value("SELECT 'still here'"), "still here");
    busy.rows("COMMIT");
    assert!(pooler.wait().success());
}

#[test]
fn who_says_it_again_does_not_wait() {
    let database = Cluster::shared().database();
    let mut pooler = plan(&database).start();
    let mut console = console(&pooler);
    let _client = pooler.client();
    assert_eq!(tag(&mut console, "SHUTDOWN WAIT_FOR_CLIENTS"), "SHUTDOWN");
    assert_eq!(tag(&mut console, "SHUTDOWN"), "SHUTDOWN");
    assert!(pooler.wait().success());
}
