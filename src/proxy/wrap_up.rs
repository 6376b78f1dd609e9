//! The end of a lease whose client has left.

use std::time::Duration;

use super::session_state::Left;
use crate::pool::Lease;
use crate::session::Rest;

/// Brings the server connection of a client that has left to a boundary and
/// gives it back, or closes it. `cancel_first`: what still runs is cancelled
/// at once. `mid_frame`: the client left in the middle of a message, which
/// nobody can complete. `left`: what it may have left in the session, which
/// is discarded with it.
///
/// # Cancel safety
/// Dropped before its end, the server connection is closed.
pub(super) async fn wrap_up(
    mut lease: Lease,
    cancel_first: bool,
    mid_frame: bool,
    left: Left,
    within: Duration,
) {
    if mid_frame {
        // It cannot be used again; what it runs need not run on for nobody.
        let _ = tokio::time::timeout(within, lease.cancel_until_quiet(within)).await;
        return;
    }
    let pid = lease.identity.pid;
    let settled = match lease.settle(cancel_first, within).await {
        Ok(boundary) if left == Left::Clean => Ok(boundary),
        Ok(_) if left == Left::ForGood => Err("its session cannot be cleaned".to_owned()),
        Ok(_) => discard_all(&mut lease, within).await,
        Err(why) => Err(why.to_string()),
    };
    match settled {
        Ok(boundary) => lease.give_back(boundary),
        Err(why) => tracing::info!(pid, "closing because: {why}"),
    }
}

async fn discard_all(
    lease: &mut Lease,
    within: Duration,
) -> Result<crate::session::Boundary, String> {
    match tokio::time::timeout(within, lease.query("DISCARD ALL")).await {
        Ok(Ok(())) => {}
        Ok(Err(why)) => return Err(why.to_string()),
        Err(_) => return Err("DISCARD ALL took too long".to_owned()),
    }
    lease.forget_statements();
    lease.profile = None;
    lease.answers = None;
    let shelf = std::sync::Arc::clone(lease.shelf());
    let begun = shelf.begin_session(lease, within).await;
    begun.map_err(|error| error.message)?;
    match lease.tracker.rest() {
        Rest::Boundary(boundary) => Ok(boundary),
        Rest::Busy | Rest::Doubt => Err("what it owes is not certain".to_owned()),
    }
}
