//! The traces that clients' texts belong to (`log_traceparent`).
//!
//! What is known lies with the server connection that runs the text: clients that
//! idle have no room for it.

use super::client::{Client, Service};
use crate::pool::Lease;
use crate::session::TraceParent;
use crate::wire::frame;

impl Client {
    /// Are traces looked for?
    #[inline]
    pub(super) fn traces(&self) -> bool {
        self.connected.house().traces()
    }

    /// The span that the client's transaction, or what it waits with, is part of.
    pub(super) fn trace(&self) -> Option<TraceParent> {
        if !self.traces() {
            return None;
        }
        match &self.service {
            Service::Leased(lease) => lease.trace,
            Service::Waiting(_) | Service::Idle => {
                let first = frame::header(&self.inbox, usize::MAX).ok().flatten();
                let first = first.and_then(|header| self.inbox.get(..header.total));
                TraceParent::of(first.unwrap_or(&self.inbox))
            }
        }
    }

    /// A turn begins, perhaps after a wait.
    #[inline]
    pub(super) fn trace_begins(&self, lease: &mut Lease) {
        lease.trace = None;
        if self.traces() {
            lease.waited = self.handle.waits_for().unwrap_or_default();
        }
    }

    /// This text goes to the server.
    pub(super) fn trace_text(&mut self, lease: &mut Lease, text: &[u8]) {
        let Some(found) = TraceParent::of(text).filter(|found| lease.trace != Some(*found)) else {
            return;
        };
        let (client, pid) = (self.handle.id, lease.identity.pid);
        let (trace_id, span_id) = (found.trace_id(), found.span_id());
        let waited = std::mem::take(&mut lease.waited);
        #[cfg(feature = "otel")]
        self.span_is_part_of(&found, lease.turn_since(), waited);
        let waited_ms = waited.as_millis();
        tracing::debug!(client, pid, trace_id, span_id, waited_ms, "a traced query");
        lease.trace = Some(found);
    }

    /// The client hears this error.
    pub(super) fn trace_error(&self, code: &[u8], pid: Option<i32>) {
        let Some(trace) = self.trace() else {
            return;
        };
        let (client, sqlstate) = (self.handle.id, String::from_utf8_lossy(code));
        let (trace_id, span_id) = (trace.trace_id(), trace.span_id());
        tracing::debug!(client, pid, %sqlstate, trace_id, span_id, "a traced query has failed");
    }
}
