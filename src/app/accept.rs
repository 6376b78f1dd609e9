//! Accepting clients.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use crate::net::Listener;
use crate::proxy::{House, serve};

/// Pause after accept(2) failed: when descriptors have run out, trying again
/// at once would only spin.
const PAUSE: Duration = Duration::from_millis(10);

/// Accepts clients for ever; each is served by a task of its own, so that a
/// panic in one ends that client alone.
///
/// # Cancel safety
/// Dropping it stops accepting; clients that are served go on.
pub(super) async fn accept(house: Arc<House>, listener: Arc<Listener>) {
    let mut failures = 0_u32;
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                failures = 0;
                tokio::spawn(serve(Arc::clone(&house), stream, peer));
            }
            Err(error) => {
                if failures == 0 {
                    tracing::warn!("accept failed: {error}");
                }
                failures = failures.saturating_add(1);
                sleep(PAUSE).await;
            }
        }
    }
}
