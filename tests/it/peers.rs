//! Several processes at one address (`peer_id`, `[peers]`): a cancel request
//! finds the one that it is meant for, whichever it reaches first.

mod passing_on;
#[cfg(target_os = "linux")] // Elsewhere the system does not divide clients.
mod shared_port;

use std::fs;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::support::frames::{cancel_request, query};
use crate::support::machine::scratch_directory;
use crate::support::pooler::{Plan, Pooler};
use crate::support::postgres::Database;
use crate::support::raw::{Connection, cancel, first_error};

/// The process that a client's key names.
fn peer_of(key: &[u8]) -> u16 {
    u16::from_le_bytes([key[1], key[2]])
}

/// A key of nobody's that names a process, and may be passed on so many times.
fn key_naming(peer: u16, times: u8) -> Vec<u8> {
    let [low, high] = peer.to_le_bytes();
    vec![0x41, low, high, 7, 7, 7, 7, 0xf8 | times]
}

/// A pooler that is one of several.
fn numbered(database: &Database, id: u16) -> Plan {
    Plan::before(database)
        .setting("admin_users", "\"postgres\"")
        .setting("peer_id", &id.to_string())
}

/// The section of a peer.
fn peer(id: u16, host: &str, port: u16) -> String {
    format!("[peers.{id}]\nhost = {host:?}\nport = {port}")
}

/// The directory of a process's own socket; it ends with the value.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        Self(scratch_directory("peers"))
    }

    fn host(&self) -> String {
        self.0.display().to_string()
    }

    fn socket(&self, port: u16) -> PathBuf {
        self.0.join(format!(".s.PGSQL.{port}"))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// As [`cancel`], by a Unix socket.
fn cancel_by_socket(path: &Path, key: &[u8]) {
    let mut stream = UnixStream::connect(path).unwrap();
    let limit = Some(Duration::from_secs(15));
    stream.set_read_timeout(limit).unwrap();
    stream.write_all(&cancel_request(key)).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert!(answer.is_empty(), "a CancelRequest was answered");
}

/// The client runs something for a minute, and has said that it has begun.
fn run_long(client: &mut Connection) {
    client.send(&query(
        "DO $$ BEGIN RAISE NOTICE 'begun'; PERFORM pg_sleep(60); END $$",
    ));
    let answer = client.until_tag(b'N', "the query to begin");
    assert_eq!(answer.last().map(|frame| frame.tag), Some(b'N'));
}

/// Has the client an answer to read, or does one come in time?
fn has_answer(client: &Connection, within: Duration) -> bool {
    let socket = client.writer();
    socket.set_read_timeout(Some(within)).unwrap();
    socket.peek(&mut [0]).is_ok()
}

/// Cancels at `address` what the client runs, and sees that it ends by that.
fn is_cancelled_at(address: SocketAddr, client: &mut Connection) {
    run_long(client);
    cancel(address, &client.key);
    let answer = client.until_ready(1, "the end of the cancelled query");
    assert_eq!(first_error(&answer).as_deref(), Some("57014"));
    assert_eq!(client.value("SELECT 'goes on'"), "goes on");
}

fn own_address_of(pooler: &Pooler) -> (String, u16) {
    (pooler.address.ip().to_string(), pooler.address.port())
}
