//! PREPARE, EXECUTE and DEALLOCATE as SQL: one namespace with the statements
//! of the protocol, as in PostgreSQL.
//!
//! A statement prepared by SQL lives on one server connection, so its client
//! keeps that until the last of them is gone. A command about a statement of
//! the protocol is sent under the name that the server knows.

use super::calls::{about_callee, prepare_effect};
use super::copies::refuse;
use crate::pool::Lease;
use crate::proxy::client::{Aligning, Client};
use crate::proxy::upstream::Act;
use crate::session::sql::statement_call;
use crate::session::statements::{Unnamed, private, touches};
use crate::session::{About, Findings, Kind, Pay, Refused, TxStatus};
use crate::wire::frontend::{frame_into, sync};
use crate::wire::run::Run;

impl Client {
    /// Something is executed that may have been found to drop statements.
    #[inline]
    pub(in crate::proxy) fn executes(&mut self, lease: &mut Lease) {
        if self.may_forget {
            // Ours are dropped with the others, once it comes to that.
            lease.own.suspect();
            self.forgetting = true;
        }
    }

    /// What we have sent ahead ends with a Sync of ours: should it fail, the
    /// client's Query, which no Sync follows, runs all the same.
    fn end_own_segment(&mut self, lease: &mut Lease, run: &mut Run<'_>) {
        // The client's settings are another matter: without them it must not run.
        if self.aligning == Aligning::No && lease.tracker.only_own_unsynced() {
            lease.tracker.owe(Kind::Sync, Pay::Swallow);
            run.insert().extend_from_slice(&sync());
        }
    }

    /// Statements mean what they meant when they were parsed: they are parsed
    /// here before the settings change.
    pub(in crate::proxy) fn bring_statements(&mut self, lease: &mut Lease, run: &mut Run<'_>) {
        if lease.tracker.skipping() || lease.tracker.status() == TxStatus::Failed {
            return;
        }
        let mut missing = Vec::new();
        if let Some(names) = &self.names {
            names.each(|_, named| missing.push(named.clone()));
        }
        missing.retain(|named| lease.statements.touch(named.statement.id).is_none());
        for named in missing {
            self.ensure(lease, &named, b"", false, run);
        }
        if !self.unnamed_is_open(lease) {
            self.agree_on_unnamed(lease, run);
        }
    }

    /// A simple Query that may name a prepared statement.
    pub(in crate::proxy) fn query_about_statements(
        &mut self,
        lease: &mut Lease,
        text: &[u8],
        found: Findings,
        run: &mut Run<'_>,
    ) -> Act {
        let sql = text.strip_suffix(b"\0").unwrap_or(text);
        if self.forbids(found) && !lease.tracker.skipping() {
            return self.refuse_query(lease, run);
        }
        let call = statement_call(sql).filter(|_| !lease.tracker.skipping());
        let Some(call) = call else {
            if !lease.tracker.skipping() {
                self.note(lease, found, touches(found, sql).as_deref(), sql, run);
                self.executes(lease);
                self.end_own_segment(lease, run);
            }
            self.loses_unnamed(lease, About::default());
            return Act::Pass;
        };
        let Ok(known) = self.lookup(lease, &call.name, run) else {
            return Act::Hold;
        };
        let found = found.without(Findings::PREPARES);
        self.note(lease, found, touches(found, sql).as_deref(), sql, run);
        self.executes(lease);
        if known.is_none() {
            self.end_own_segment(lease, run);
            self.loses_unnamed(lease, About::default());
            self.follow_sql_name(lease, call.verb, &call.name);
            return Act::Pass;
        }
        self.call_by_sql(lease, sql, run)
    }

    /// A simple Query that may not run: an error comes in its place, and then
    /// ReadyForQuery.
    fn refuse_query(&mut self, lease: &mut Lease, run: &mut Run<'_>) -> Act {
        refuse(lease, Kind::Bind, Refused::SessionState, run);
        lease.tracker.owe(Kind::Sync, Pay::Forward);
        run.insert().extend_from_slice(&sync());
        self.replace_unnamed(lease, Unnamed::None);
        Act::Drop
    }

    /// A command about a statement of the protocol.
    fn call_by_sql(&mut self, lease: &mut Lease, sql: &[u8], run: &mut Run<'_>) -> Act {
        let command = private(&[sql, b"\0\0\0"].concat(), None);
        let resolved = self.resolve(lease, &command, run);
        let Some((statement, Some(effect))) = resolved else {
            return Act::Hold;
        };
        prepare_effect(lease, &effect, run);
        self.end_own_segment(lease, run);
        self.loses_unnamed(lease, about_callee(&effect));
        self.follow_effect(lease, &effect);
        let text = statement.parse.strip_suffix(b"\0\0").unwrap_or_default();
        frame_into(run.insert(), b'Q', &[text]);
        Act::Drop
    }
}
