//! Server to client: what is judged to be the client's is written on.

use std::task::Context;

use super::client::{Aligning, Client, End, Fate, Refusal, Service};
use super::session_state::Pins;
use crate::config::PoolMode;
use crate::server::{Digest, Reader};
use crate::session::{Findings, Rest, TxStatus};
use crate::wire::{PgError, backend, frontend, sqlstate};

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
        let (reported, known) = (&mut self.reported, &mut self.application_name);
        let mut is_news = |name: &[u8], value: &[u8]| match name {
            b"application_name" if value == known.as_bytes() => false,
            b"application_name" => {
                *known = String::from_utf8_lossy(value).into();
                true
            }
            name => reported.is_news(name, value),
        };
        let mut reader = Reader {
            names: self.names.as_deref(),
            reset_name: self
                .dirty
                .has(Findings::RESETS)
                .then_some(&*self.handle.who.application_name),
            pid: Some(self.handle.pid),
            is_news: Some(&mut is_news),
        };
        let mut digest = lease.digest(read, out, &mut reader);
        if digest.fatal && self.shrugs_off() {
            return Ok(());
        }
        let Service::Leased(lease) = &mut self.service else {
            return Ok(());
        };
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
        if self.listening.is_some() {
            self.send_amid(cx, bytes, &digest)?;
            self.follow_listening(digest.unheard, digest.listened);
        } else if !bytes.is_empty() {
            self.send(cx, bytes)?;
        }
        if let Some(violation) = digest.violation {
            let pool = self.shelf.pool();
            tracing::warn!(pid, client = %self.handle.who.peer, database = pool.database, user = pool.server_user, "server broke the protocol: {violation}");
            return Err(End::Told(PgError::fatal(
                sqlstate::CONNECTION_FAILURE,
                "the server broke the protocol",
            )));
        }
        self.count(&digest);
        for code in &digest.errors {
            self.shelf.pool().stats.errors.count(code);
            self.trace_error(code, Some(pid));
            #[cfg(feature = "otel")]
            self.span_fails(code);
        }
        self.unverified |= digest.transactions > 0;
        if digest.fatal {
            return Err(End::ServerEnded);
        }
        if digest.aligned {
            self.aligning = Aligning::No;
        }
        for answer in std::mem::take(&mut digest.env_known) {
            self.env_is_known(answer);
        }
        let misaligned = digest.misaligned.take();
        let (answered, calmed) = (digest.answered, digest.calmed);
        self.follow(digest);
        if let Some(error) = misaligned {
            self.could_not_align(&error);
            return Ok(());
        }
        if answered {
            self.take_answers();
        }
        if calmed {
            self.calmed();
        }
        self.release_or_go_on();
        Ok(())
    }

    #[inline]
    fn count(&mut self, digest: &Digest) {
        let counts = &mut self.counts;
        counts.queries = counts.queries.saturating_add(digest.ready);
        counts.transactions = counts.transactions.saturating_add(digest.transactions);
        if counts.queries > u32::MAX / 2 {
            self.flush_counts();
        }
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
            if let Service::Leased(lease) = &mut self.service {
                lease.undid();
            }
            self.settle_statements(true);
        }
        if let Some(names) = self.names.as_deref_mut() {
            digest
                .told
                .iter()
                .for_each(|(about, shape)| names.told(*about, *shape));
        }
        let Service::Leased(lease) = &mut self.service else {
            return;
        };
        if digest.deallocated_all {
            lease.forget_statements();
            self.pins.set(Pins::NAMED, false);
            if let Some(names) = &mut self.names {
                names.clear();
            }
        }
        self.defaults_changed |= digest.defaults_changed;
        if digest.functions_changed {
            self.shelf.pool().catalog.hidden.forget();
        }
        // Temporary objects are nobody else's.
        let of_others = self.changing.is_some() || !self.dirty.has(Findings::TEMPORARY);
        if digest.catalog_changed && of_others {
            let catalog = &self.shelf.pool().catalog;
            self.changing.get_or_insert_with(|| catalog.change());
            catalog.changed();
        }
        if digest.stale_statement
            && let Some(names) = &self.names
        {
            // The driver will prepare again: then PostgreSQL really shall.
            names.each(|_, named| self.shelf.statements.retire(&named.statement));
        }
        if let (Some(about), true) = (digest.lost_statement, self.pins.has(Pins::FOR_GOOD))
            && let Some(names) = &mut self.names
        {
            // What it ran has dropped it, out of sight: it is gone for it.
            let name = names.name_of(about).map(<[u8]>::to_vec);
            name.and_then(|name| names.set(&name, None));
        }
        if lease.tracker.take_held_sync() {
            lease.outbox.push(&frontend::sync());
        }
    }

    /// The server connection could not be given the client's settings: nothing
    /// of what the client sent has run. It is told why; the connection is closed.
    fn could_not_align(&mut self, body: &[u8]) {
        let ended = self.aligning == Aligning::Held;
        self.listens_no_longer_here();
        self.no_longer_for_a_moment();
        // Dropped without a boundary.
        self.service = Service::Idle;
        self.aligning = Aligning::No;
        self.handle.served_by_nobody();
        self.transaction_ended();
        self.mark_idle();
        self.touched = None;
        self.body_fate = Fate::Drop;
        let error = PgError::from_body(body).with_detail(
            "The settings of this session could not be set on another server connection.",
        );
        self.outbox.push(&error.to_frame());
        match ended {
            true => self.outbox.push(&backend::READY_IDLE),
            false => self.refusal = Refusal::UpToSync,
        }
        self.inbox_waits |= !self.inbox.is_empty();
    }

    /// The turn ends at its boundary; otherwise what waited for the server's
    /// answer is looked at again.
    pub(super) fn release_or_go_on(&mut self) {
        let Service::Leased(lease) = &mut self.service else {
            return;
        };
        if lease.tracker.owes() {
            return;
        }
        let at_rest = !matches!(lease.tracker.rest(), Rest::Busy);
        if !at_rest {
            lease.query_ends();
        }
        self.mark_answered();
        if self.asks_at_rest() || self.stops_listening_here() || self.calms() {
            return;
        }
        if !self.release_at_boundary() && at_rest {
            self.keeps_its_server();
            self.transaction_ended();
        }
    }
}
