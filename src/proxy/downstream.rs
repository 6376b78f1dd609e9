//! Server to client: what is judged to be the client's is written on.

use std::task::Context;

use super::client::{Client, End, Service};
use super::pin::Pin;
use crate::config::PoolMode;
use crate::server::Digest;
use crate::session::{Rest, TxStatus};
use crate::wire::{PgError, frontend, sqlstate};

impl Client {
    /// Judges and forwards what was read from the server.
    pub(super) fn downstream(
        &mut self,
        cx: &mut Context<'_>,
        read: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), End> {
        let Service::Leased(lease) = &mut self.service else {
            return Ok(());
        };
        let digest = lease.digest(read, out, self.names.as_deref());
        if self.mode == PoolMode::Statement
            && digest.ready > 0
            && lease.tracker.status() != TxStatus::Idle
        {
            return Err(End::Told(PgError::fatal(
                sqlstate::FEATURE_NOT_SUPPORTED,
                "transaction blocks not allowed in statement pooling mode",
            )));
        }
        let pid = lease.identity.pid;
        let bytes = digest.forward.bytes(read, out);
        if !bytes.is_empty() {
            self.send(cx, bytes)?;
        }
        if let Some(violation) = digest.violation {
            tracing::warn!(pid, "server broke the protocol: {violation}");
            return Err(End::Told(PgError::fatal(
                sqlstate::CONNECTION_FAILURE,
                "the server broke the protocol",
            )));
        }
        self.counts.queries += u64::from(digest.ready);
        self.counts.transactions += u64::from(digest.transactions);
        if digest.fatal {
            return Err(End::ServerEnded);
        }
        self.follow(digest);
        self.release_or_go_on();
        Ok(())
    }

    /// What the server's messages changed on our side.
    fn follow(&mut self, digest: Digest) {
        let Service::Leased(lease) = &mut self.service else {
            return;
        };
        let undone = lease.tracker.take_undone();
        // The newest first, each on both sides.
        for op in undone {
            let Service::Leased(lease) = &mut self.service else {
                return;
            };
            if let Some(op) = lease.undo(op) {
                self.undo(op);
            }
        }
        if digest.undone {
            self.settle_statements(true);
        }
        let Service::Leased(lease) = &mut self.service else {
            return;
        };
        if digest.deallocated_all {
            lease.statements.clear();
            if let Some(names) = &mut self.names {
                names.clear();
            }
        }
        // Nothing more is under way that could leave state behind it.
        if digest.discarded_all && !lease.tracker.owes() && self.pin == Pin::Resettable {
            self.pin = Pin::No;
        }
        if digest.catalog_changed {
            self.changed_catalog = true;
            self.shelf.pool().catalog.changed();
        }
        if digest.stale_statement
            && let Some(names) = &self.names
        {
            // The driver will prepare again: then PostgreSQL really shall.
            names.each(|named| self.shelf.statements.retire(&named.statement));
        }
        if let (Some(about), Pin::ForGood) = (digest.lost_statement, self.pin)
            && let Some(names) = &mut self.names
        {
            // What it ran has dropped it, out of sight: it is gone for it.
            let name = names.name_of(about).map(<[u8]>::to_vec);
            name.and_then(|name| names.set(&name, None));
        }
        if let Some(name) = digest.application_name {
            self.application_name = name.into();
        }
        if lease.tracker.take_held_sync() {
            lease.outbox.push(&frontend::sync());
        }
    }

    /// The turn ends at its boundary; otherwise what waited for the server's
    /// answer is looked at again.
    fn release_or_go_on(&mut self) {
        let Service::Leased(lease) = &self.service else {
            return;
        };
        if lease.tracker.owes() {
            return;
        }
        let at_rest = !matches!(lease.tracker.rest(), Rest::Busy);
        self.mark_answered();
        if !self.release_at_boundary() && at_rest {
            self.transaction_ended();
        }
    }
}
