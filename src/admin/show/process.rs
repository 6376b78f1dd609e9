//! What is shown of the process as a whole.

use super::view::View;
use crate::admin::table::{Row, row};
use crate::config::shown;
use crate::net::Resolved;
use crate::pool::{ClientHandle, ServerEntry};

/// The name under which the console shows itself.
pub(super) const CONSOLE: &str = "pgbouncer";

/// Whose console this is like comes first: tools read that.
pub(super) const VERSION: &str =
    concat!("PgBouncer 1.25.2 (pgweave ", env!("CARGO_PKG_VERSION"), ")");

pub(super) fn config(view: &View<'_>) -> Vec<Row> {
    let settings = shown(&view.config.general).into_iter();
    let row = |each: crate::config::Shown| {
        let changeable = if each.changeable { "yes" } else { "no" };
        row![each.key, each.value, each.default, changeable]
    };
    settings.map(row).collect()
}

pub(super) fn state(view: &View<'_>) -> Vec<Row> {
    let (paused, suspended) = view.house.directory.is_all_paused();
    let word = |is: bool| if is { "yes" } else { "no" };
    vec![
        row!["active", word(!paused && !suspended)],
        row!["paused", word(paused)],
        row!["suspended", word(suspended)],
    ]
}

pub(super) fn lists(view: &View<'_>) -> Vec<Row> {
    let clients = view.clients.len();
    let connected = usize::try_from(view.house.connected()).unwrap_or(0);
    let names = view.house.directory.names();
    let items: [(&str, usize); 14] = [
        ("databases", view.databases().len()),
        ("users", super::databases::users(view).len()),
        ("peers", view.config.peers.len()),
        ("pools", view.pools.len()),
        ("peer_pools", view.house.peers.all().len()),
        ("free_clients", 0),
        ("used_clients", clients),
        ("login_clients", connected.saturating_sub(clients)),
        ("free_servers", 0),
        ("used_servers", view.servers()),
        ("dns_names", names.all().len()),
        ("dns_zones", 0),
        ("dns_queries", names.asked()),
        ("dns_pending", 0),
    ];
    items
        .into_iter()
        .map(|(name, count)| row![name, count])
        .collect()
}

/// The names of hosts, and the addresses that are known of them.
pub(super) fn dns_hosts(view: &View<'_>) -> Vec<Row> {
    let row = |known: Resolved| {
        let addresses = known.addresses.iter().map(ToString::to_string);
        let addresses: Vec<_> = addresses.collect();
        row![known.name, known.ttl.as_secs(), addresses.join(",")]
    };
    let names = view.house.directory.names().all();
    names.into_iter().map(row).collect()
}

/// What the registries hold: nothing is kept in reserve.
pub(super) fn mem(view: &View<'_>) -> Vec<Row> {
    let kinds = [
        (
            "client_cache",
            size_of::<ClientHandle>(),
            view.clients.len(),
        ),
        ("server_cache", size_of::<ServerEntry>(), view.servers()),
    ];
    let row = |(name, size, used): (&'static str, usize, usize)| {
        row![name, size, used, 0_u32, size.saturating_mul(used)]
    };
    kinds.into_iter().map(row).collect()
}
