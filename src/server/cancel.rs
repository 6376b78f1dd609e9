//! Sending a CancelRequest (`protocol-flow.html#PROTOCOL-FLOW-CANCELING-REQUESTS`).

use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::time::timeout;

use super::encrypt::encrypt;
use super::identity::CancelUnderWay;
use super::introduce::introduce;
use crate::config::Tcp;
use crate::net::dial;
use crate::wire::frontend::cancel_request;

/// Sends the cancel and waits for PostgreSQL to close that connection, which
/// it does after it has signalled the backend: from then on the cancel can
/// hit nothing that starts later. Returns whether that was seen in time; if
/// not, the server connection must not be handed on.
///
/// # Cancel safety
/// Dropped before its end, the cancel may or may not take effect.
pub async fn cancel(under_way: &CancelUnderWay, within: Duration) -> bool {
    let identity = under_way.identity();
    let sent = async {
        let (mut stream, _) = dial(&identity.place, Tcp::default(), within).await.ok()?;
        introduce(&mut stream, identity.header).await.ok()?;
        if let Some(connector) = &identity.tls {
            encrypt(&mut stream, &identity.target, connector)
                .await
                .ok()?;
        }
        stream
            .send(&cancel_request(identity.pid, &identity.secret))
            .await
            .ok()?;
        let mut answer = [0; 64];
        // Nothing is ever answered; a reset is as good an end as a close.
        let _ = stream.read(&mut answer).await;
        Some(())
    };
    let delivered = matches!(timeout(within, sent).await, Ok(Some(())));
    if delivered {
        under_way.is_delivered();
    }
    delivered
}
