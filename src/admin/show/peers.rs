//! `SHOW PEERS`, `SHOW PEER_POOLS`.

use super::view::View;
use crate::admin::table::{Row, row};

/// As they are written, our own number among them if it is.
pub(super) fn peers(view: &View<'_>) -> Vec<Row> {
    let usual = view.config.general.default_pool_size;
    let peers = view.config.peers.values();
    let rows = peers.map(|peer| {
        row![
            u32::from(peer.id),
            peer.host.as_deref(),
            u32::from(peer.port),
            peer.pool_size.unwrap_or(usual),
        ]
    });
    rows.collect()
}

/// The cancel requests that are under way to each of the others.
pub(super) fn peer_pools(view: &View<'_>) -> Vec<Row> {
    let peers = view.house.peers.all();
    let rows = peers.iter().map(|peer| {
        let requests = peer.requests();
        row![
            u32::from(peer.id()),
            requests.sent,
            requests.waiting,
            requests.sent,
            requests.connecting,
        ]
    });
    rows.collect()
}
