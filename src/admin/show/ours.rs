//! What only pgweave has to show.

use super::sockets::place;
use super::view::{Seen, View};
use crate::admin::table::{Row, row};
use crate::pool::Serving;
use crate::proxy::pin_reasons;

/// `SHOW PINS`: who keeps its server connection, since when, and why.
pub(super) fn pins(view: &View<'_>) -> Vec<Row> {
    let row = |seen: &Seen| {
        let (bits, age) = seen.handle.pinned();
        if bits == 0 {
            return None;
        }
        let (address, port) = place(seen.handle.who.peer);
        let pid = match &seen.serving {
            Serving::Server(identity) => identity.pid.unsigned_abs(),
            Serving::Nobody | Serving::Waiting => 0,
        };
        Some(row![
            seen.handle.id,
            seen.user(),
            seen.database(),
            address,
            port,
            &*seen.handle.who.application_name,
            pid,
            age.as_secs(),
            pin_reasons(bits),
        ])
    };
    view.clients.iter().filter_map(row).collect()
}

/// `SHOW STATEMENTS`: what clients have prepared, each text counted once for
/// those that share it.
pub(super) fn statements(view: &View<'_>) -> Vec<Row> {
    let pools = view.pools.iter();
    let rows = pools.map(|pool| {
        let (count, bytes) = pool.statements();
        let (database, user) = (pool.database.as_str(), pool.server_user.as_str());
        row![database, user, count, bytes]
    });
    rows.collect()
}

/// `SHOW ERRORS`: errors that clients were told, by SQLSTATE.
pub(super) fn errors(view: &View<'_>) -> Vec<Row> {
    let mut rows = Vec::new();
    for pool in &view.pools {
        for (code, count) in pool.stats.errors.all() {
            let (database, user) = (pool.database.as_str(), pool.server_user.as_str());
            rows.push(row![database, user, code, count]);
        }
    }
    rows
}
