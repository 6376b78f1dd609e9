//! `SHOW CLIENTS`, `SHOW SERVERS`, `SHOW SOCKETS`.

use std::sync::Arc;

use super::view::{Seen, ServerState, View};
use crate::admin::calendar::ago;
use crate::admin::table::{Row, row};
use crate::net::{Peer, Place};
use crate::pool::{ServerEntry, ServerPool, Serving};

pub(super) fn clients(view: &View<'_>) -> Vec<Row> {
    let rows = view.clients.iter().map(|seen| client(view, seen));
    rows.collect()
}

pub(super) fn servers(view: &View<'_>) -> Vec<Row> {
    let of = |pool: &Arc<ServerPool>| {
        let servers = pool.servers().into_iter();
        let rows = servers.map(|each| server(view, pool, &each));
        rows.collect::<Vec<_>>()
    };
    view.pools.iter().flat_map(of).collect()
}

/// Both, with what waits in their buffers: of an idle one, nothing.
pub(super) fn sockets(view: &View<'_>, active_only: bool) -> Vec<Row> {
    let rows = clients(view).into_iter().chain(servers(view));
    let is_shown = |row: &Row| !active_only || row.get(4) != Some(&"idle".into());
    let buffers = |mut row: Row| {
        row.extend(row![0_u32, 0_u32, 0_u32, 0_u32, 0_u32, 0_u32, 0_u32]);
        row
    };
    rows.filter(is_shown).map(buffers).collect()
}

/// Address and port, as the columns have them.
pub(super) fn place(peer: Peer) -> (String, u32) {
    match peer {
        Peer::Tcp(address) => (address.ip().to_string(), address.port().into()),
        Peer::Unix => ("unix".to_owned(), 0),
    }
}

fn client(view: &View<'_>, seen: &Seen) -> Row {
    let handle = &seen.handle;
    let (address, port) = place(handle.who.peer);
    let (state, remote_pid) = match &seen.serving {
        Serving::Waiting => ("waiting", 0),
        Serving::Server(identity) => ("active", identity.pid.unsigned_abs()),
        Serving::Nobody if seen.pool().is_none() => ("active", 0),
        Serving::Nobody => ("idle", 0),
    };
    let wait = handle.waits_for().unwrap_or_default();
    let link = match &seen.serving {
        Serving::Server(identity) => view.number_of(identity).map(|id| name("S", id)),
        Serving::Waiting | Serving::Nobody => None,
    };
    row![
        "C",
        seen.user(),
        seen.database(),
        "none",
        state,
        address,
        port,
        "",
        0_u32,
        ago(std::time::Duration::from_secs(handle.age_s())),
        ago(handle.asked_ago()),
        wait.as_secs(),
        wait.subsec_micros(),
        0_u32,
        name("C", handle.id),
        link.unwrap_or_default(),
        remote_pid,
        tls(handle.who.is_tls),
        &*handle.who.application_name,
        handle.statements(),
        handle.id,
    ]
}

fn server(view: &View<'_>, pool: &ServerPool, entry: &ServerEntry) -> Row {
    let client = view.client_of(entry);
    let state = match view.state_of(entry) {
        ServerState::BeingCanceled => "being_canceled",
        ServerState::Active => "active",
        ServerState::Idle => "idle",
    };
    let (address, port) = match &entry.identity.place {
        Place::Tcp(address) => (address.ip().to_string(), u32::from(address.port())),
        Place::Unix(_) => ("unix".to_owned(), u32::from(pool.settings().port)),
    };
    let link = client.map(|client| name("C", client.handle.id));
    let asked = client.map_or_else(|| entry.rested_ago(), |client| client.handle.asked_ago());
    let called = client.map(|client| &*client.handle.who.application_name);
    row![
        "S",
        pool.server_user.as_str(),
        pool.database.as_str(),
        "none",
        state,
        address,
        port,
        "",
        0_u32,
        ago(entry.since.elapsed()),
        ago(asked),
        0_u32,
        0_u32,
        u32::from(entry.is_outdated()),
        name("S", entry.id),
        link.unwrap_or_default(),
        entry.identity.pid.unsigned_abs(),
        tls(entry.is_tls),
        called.unwrap_or_default(),
        entry.statements(),
        entry.id,
    ]
}

/// What stands for a place in memory, which is nobody's business.
fn name(kind: &str, id: u64) -> String {
    format!("{kind}-{id:x}")
}

fn tls(is_tls: bool) -> &'static str {
    if is_tls { "yes" } else { "" }
}
