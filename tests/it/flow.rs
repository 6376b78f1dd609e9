//! Bytes in bulk: neither side waits for the other for ever, and what one
//! client sends or does not read never piles up in pgweave.

use std::io::Write;
use std::thread;

use crate::support::frames::{bind, execute, extended, parse, query, sync};
use crate::support::pooler::{Plan, Pooler};
use crate::support::postgres::{Cluster, Database};
use crate::support::raw::rows_of;

/// More than the sockets' buffers hold, on the way in and on the way out.
const BULK: usize = 100 << 20;
/// What pgweave may grow by meanwhile.
const ROOM_KIB: u64 = 20 << 10;

fn with_one() -> (Database<'static>, Pooler) {
    let database = Cluster::shared().database();
    let pooler = Plan::before(&database).pool_size(1).start();
    pooler.client().rows("SELECT 1");
    (database, pooler)
}

/// Runs `work` and watches the memory of pgweave meanwhile.
fn without_growth(pooler: &Pooler, work: impl FnOnce(&mut dyn FnMut())) {
    let before = pooler.resident_kib();
    let mut peak = before;
    work(&mut || peak = peak.max(pooler.resident_kib()));
    let (Some(before), Some(peak)) = (before, peak) else {
        return;
    };
    assert!(
        peak < before + ROOM_KIB,
        "grew from {before} KiB to {peak} KiB"
    );
}

#[test]
fn a_huge_row_passes_in_little_memory() {
    let (_database, pooler) = with_one();
    let mut client = pooler.client();
    without_growth(&pooler, |look| {
        client.send(&query(&format!("SELECT repeat('x', {BULK})")));
        let row = client.until_tag_watching(b'D', look);
        assert_eq!(row, BULK + 6);
    });
    client.until_ready(1, "the end of the huge row");
    assert_eq!(client.value("SELECT 'after'"), "after");
}

#[test]
fn a_huge_parameter_passes_in_little_memory() {
    let (_database, pooler) = with_one();
    let mut client = pooler.client();
    let huge = vec![b'p'; BULK];
    without_growth(&pooler, |look| {
        client.send(&parse("", "SELECT length($1::text)"));
        for piece in bind("", "", &[Some(&huge)]).chunks(1 << 20) {
            client.send(piece);
            look();
        }
        client.send(&[execute("", 0), sync()].concat());
        let answer = client.until_ready(1, "the length of the huge parameter");
        assert_eq!(rows_of(&answer), [[Some(BULK.to_string())]]);
    });
}

#[test]
fn a_client_that_does_not_read_makes_the_server_wait() {
    let (database, pooler) = with_one();
    let mut client = pooler.client();
    without_growth(&pooler, |look| {
        client.send(&query(
            "SELECT repeat('x', 1000) FROM generate_series(1, 100000)",
        ));
        crate::support::wait::until(
            crate::support::wait::SOON,
            "the server to wait for us",
            || {
                look();
                database.backends("wait_event = 'ClientWrite'") == 1
            },
        );
        look();
        let answer = client.until_ready(1, "all rows");
        assert_eq!(answer.len(), 100_000 + 3);
        look();
    });
}

#[test]
fn requests_and_replies_in_bulk_do_not_block_each_other() {
    let (_database, pooler) = with_one();
    let mut client = pooler.client();
    let one = extended(&format!("SELECT '{}'", "z".repeat(50_000)));
    let count = 400;
    let mut writer = client.writer();
    thread::scope(|scope| {
        scope.spawn(|| (0..count).for_each(|_| writer.write_all(&one).unwrap()));
        for number in 0..count {
            let answer = client.until_ready(1, "one of many replies");
            assert_eq!(answer.len(), 6, "reply {number}");
        }
    });
    assert_eq!(client.value("SELECT 'after'"), "after");
}

#[test]
fn a_pipeline_is_read_though_its_replies_are_not() {
    // libpq in pipeline mode writes on while replies wait to be read, as far as
    // the buffers of both sockets go: with pgweave there are more of them.
    let (_database, pooler) = with_one();
    let mut client = pooler.client();
    let batch = extended("SELECT 1").repeat(2_000);
    client.send(&batch);
    client.until_ready(2_000, "the replies to a pipeline");
}
