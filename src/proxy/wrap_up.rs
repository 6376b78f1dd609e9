//! The end of a lease whose client has left.

use std::sync::Arc;
use std::time::Duration;

use super::session_state::Left;
use crate::pool::Lease;

/// Brings the server connection of a client that has left to a boundary and
/// gives it back, or closes it. `cancel_first`: what still runs is cancelled
/// at once. `mid_frame`: the client left in the middle of a message, which
/// nobody can complete. `left`: what it may have left in the session, which
/// is discarded with it. `runs_text`: it is time for `server_reset_query`.
///
/// # Cancel safety
/// Dropped before its end, the server connection is closed.
pub(super) async fn wrap_up(
    mut lease: Lease,
    cancel_first: bool,
    mid_frame: bool,
    left: Left,
    runs_text: bool,
    within: Duration,
) {
    if mid_frame {
        // It cannot be used again; what it runs need not run on for nobody.
        let _ = tokio::time::timeout(within, lease.cancel_until_quiet(within)).await;
        return;
    }
    let (pid, pool) = (lease.identity.pid, Arc::clone(lease.shelf().pool()));
    let settled = match lease.settle(cancel_first, within).await {
        Ok(_) if left == Left::ForGood => Err("its session cannot be cleaned".to_owned()),
        Ok(boundary) if left == Left::Clean && !runs_text => Ok(boundary),
        Ok(_) => lease.clean(runs_text, left == Left::Resettable).await,
        Err(why) => Err(why.to_string()),
    };
    match settled {
        Ok(boundary) => lease.give_back(boundary),
        Err(why) => {
            let (database, user) = (&pool.database, &pool.server_user);
            tracing::info!(target: "limited", pid, database, user, "closing because: {why}");
        }
    }
}
