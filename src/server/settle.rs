//! Bringing a server connection back to a boundary without its client.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::timeout;

use super::{Digest, Reader, Server, cancel};
use crate::net::scratch;
use crate::session::{About, Boundary, Kind, Pay, Rest, TxStatus};
use crate::wire::frontend;

/// A cancel is sent again when the query has not ended after this, then after
/// twice this, and so on.
const FIRST_PAUSE: Duration = Duration::from_millis(20);

/// Why a server connection did not come to a boundary: it must be closed.
#[derive(Debug, thiserror::Error)]
pub enum Unsettled {
    /// It took too long.
    #[error("it did not come to a boundary in time")]
    TimedOut,
    /// What it may still say is not certain.
    #[error("what it owes is not certain")]
    Doubt,
    /// It broke the protocol.
    #[error("it broke the protocol")]
    Violation,
    /// It ended the connection.
    #[error("it ended the connection")]
    Closed,
}

impl From<io::Error> for Unsettled {
    fn from(_: io::Error) -> Self {
        Unsettled::Closed
    }
}

impl Server {
    /// The wrap-up of a turn whose client has left: what runs is cancelled,
    /// what is open is rolled back. The client must not have left in the
    /// middle of a frame.
    ///
    /// # Errors
    /// [`Unsettled`] after `within` (twice that in all), or when in doubt.
    ///
    /// # Cancel safety
    /// Dropped before its end, the connection must be closed.
    pub async fn settle(
        &mut self,
        cancel_first: bool,
        within: Duration,
    ) -> Result<Boundary, Unsettled> {
        self.end_what_the_client_began();
        let ended = !cancel_first && timeout(within, self.quiesce()).await.is_ok();
        if !ended {
            timeout(within, self.cancel_until_quiet(within))
                .await
                .unwrap_or(Err(Unsettled::TimedOut))?;
        }
        timeout(within, self.end_orderly())
            .await
            .unwrap_or(Err(Unsettled::TimedOut))
    }

    /// Cancels what runs until it has ended: a cancel that comes before the
    /// server has begun with the query hits nothing. What the client sent
    /// before its last request is waited for.
    ///
    /// # Errors
    /// [`Unsettled`]; there is no time limit here.
    pub async fn cancel_until_quiet(&mut self, within: Duration) -> Result<(), Unsettled> {
        let mut pause = FIRST_PAUSE;
        poll_fn(|cx| self.poll_until(cx, |server| server.tracker.in_last_segment())).await?;
        while self.tracker.owes() {
            let under_way = self.identity.begin_cancel();
            if !cancel(&under_way, within).await {
                return Err(Unsettled::TimedOut);
            }
            if let Ok(quiet) = timeout(pause, self.quiesce()).await {
                return quiet;
            }
            pause *= 2;
        }
        Ok(())
    }

    async fn end_orderly(&mut self) -> Result<Boundary, Unsettled> {
        self.quiesce().await?;
        if self.tracker.skipping() {
            self.tracker.owe(Kind::Sync, Pay::Swallow);
            self.outbox.push(&frontend::sync());
            self.quiesce().await?;
        }
        if self.tracker.status() != TxStatus::Idle {
            self.query("ROLLBACK").await?;
        }
        match self.tracker.rest() {
            Rest::Boundary(boundary) if self.between_frames() => Ok(boundary),
            _ => Err(Unsettled::Doubt),
        }
    }

    /// One simple query of ours on a connection at a boundary; its result is
    /// dropped, an error of it is doubt.
    ///
    /// # Errors
    /// [`Unsettled`]; there is no time limit here.
    async fn query(&mut self, text: &str) -> Result<(), Unsettled> {
        self.say_now(text);
        self.quiesce().await
    }

    fn say_now(&mut self, text: &str) {
        let mut out = Vec::new();
        self.say(text, About::default(), &mut out);
        self.outbox.push(&out);
    }

    fn end_what_the_client_began(&mut self) {
        if self.tracker.copy_in() {
            self.outbox
                .push(&frontend::copy_fail("the client has left"));
            self.tracker.client_ends_copy();
        }
        if self.tracker.unsynced() && !self.tracker.skipping() {
            // A Sync would commit what a direct connection would have lost
            // with the client; this takes it back and settles it as well.
            self.say_now("ROLLBACK");
        }
    }

    /// Sends what waits and reads until nothing is owed.
    pub(super) async fn quiesce(&mut self) -> Result<(), Unsettled> {
        poll_fn(|cx| {
            self.poll_until(cx, |server| {
                !server.tracker.owes() && server.between_frames()
            })
        })
        .await
    }

    /// Sends what waits and reads until things are as wanted.
    fn poll_until(
        &mut self,
        cx: &mut Context<'_>,
        wanted: impl Fn(&Self) -> bool,
    ) -> Poll<Result<(), Unsettled>> {
        loop {
            let flushed = self.outbox.poll_flush(&mut self.stream, cx)?.is_ready();
            if flushed && wanted(self) {
                return Poll::Ready(Ok(()));
            }
            ready!(self.poll_discard(cx))?;
        }
    }

    /// Reads once, judges, and drops what would have been the client's.
    fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Unsettled>> {
        let digest = scratch::with(|scratch| {
            let read = ready!(scratch::poll_read(&mut self.stream, cx, &mut scratch.read))?;
            let bytes = scratch.read.get(..read).unwrap_or_default();
            if bytes.is_empty() {
                return Poll::Ready(Err(Unsettled::Closed));
            }
            Poll::Ready(Ok(self.digest(
                bytes,
                &mut scratch.write,
                &mut Reader::nobody(),
            )))
        });
        let digest = ready!(digest)?;
        for op in self.tracker.take_undone() {
            self.undo(op);
        }
        if digest.deallocated_all {
            self.forget_statements();
        }
        if self.tracker.take_held_sync() {
            self.outbox.push(&frontend::sync());
        }
        Poll::Ready(match digest {
            Digest {
                violation: Some(_), ..
            } => Err(Unsettled::Violation),
            Digest { fatal: true, .. } => Err(Unsettled::Closed),
            Digest { .. } => Ok(()),
        })
    }
}
