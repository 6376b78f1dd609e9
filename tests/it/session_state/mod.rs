//! State of the session: it follows its client from server connection to
//! server connection, or keeps the client on one while it lives, and no other
//! client ever meets it.
//!
//! In every case a hidden client has used the server connections between two
//! steps, with settings of its own, and when all have left, fresh clients look
//! at what is there. PGWEAVE_TEST_NOISE=quiet lets the hidden client leave the
//! settings alone.

mod application_name;
mod backend_pid;
mod changed_outside;
mod cursors;
mod functions;
mod locks;
mod notifications;
mod pins;
mod policies;
mod prefix;
mod process;
mod programs;
mod random;
mod roles;
mod rollback;
mod sequences;
mod settings;
mod startup;
mod statements_and_settings;
mod temporary;
mod unseen;

// What docs/TRANSPARENCY.md calls not possible: names of custom settings that
// others have used.
// mod custom_names;

use crate::support::differential::{Script, script};
use crate::support::frames::{bind, describe, execute, parse, sync};

/// A script for pools of one and of two, in which nobody keeps a server
/// connection between transactions.
fn following() -> Script {
    script().dirty_noise().leaves_nothing()
}

/// A script in which no more than so many clients at once keep a server
/// connection between transactions; one is always free for the others.
fn keeping(clients: usize) -> Script {
    following().pools(&[clients + 1])
}

/// Parse and Sync.
fn prepare(name: &str, sql: &str) -> Vec<u8> {
    [parse(name, sql), sync()].concat()
}

/// Bind, Describe, Execute and Sync.
fn run(name: &str) -> Vec<u8> {
    run_with(name, &[])
}

/// The same with values.
fn run_with(name: &str, values: &[&str]) -> Vec<u8> {
    let values: Vec<_> = values.iter().map(|value| Some(value.as_bytes())).collect();
    [
        bind("", name, &values),
        describe(b'P', ""),
        execute("", 0),
        sync(),
    ]
    .concat()
}
