//! Prepared statements, the protocol's and SQL's: what a client has prepared
//! is there, and its own, wherever its next transaction runs.

mod environment;
mod errors;
mod eviction;
mod forgotten;
mod limits;
mod names;
mod pipelines;
mod random;
mod schema_changes;
mod skipped;
mod sql;
mod unnamed;

use crate::support::frames::{bind, close, describe, execute, parse, sync};

/// Parse and Sync.
fn prepare(name: &str, sql: &str) -> Vec<u8> {
    [parse(name, sql), sync()].concat()
}

/// Bind and Execute, no Sync.
fn go(name: &str) -> Vec<u8> {
    [bind("", name, &[]), execute("", 0)].concat()
}

/// Bind, Describe, Execute and Sync.
fn run(name: &str) -> Vec<u8> {
    [
        bind("", name, &[]),
        describe(b'P', ""),
        execute("", 0),
        sync(),
    ]
    .concat()
}

/// Describe of a statement and Sync.
fn described(name: &str) -> Vec<u8> {
    [describe(b'S', name), sync()].concat()
}

/// Close of a statement and Sync.
fn closed(name: &str) -> Vec<u8> {
    [close(b'S', name), sync()].concat()
}
