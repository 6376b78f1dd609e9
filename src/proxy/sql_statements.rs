//! PREPARE, EXECUTE and DEALLOCATE as SQL: one namespace with the statements
//! of the protocol, as in PostgreSQL.
//!
//! A statement prepared by SQL lives on one server connection, so its client
//! keeps that until the last of them is gone. A command about a statement of
//! the protocol is sent under the name that the server knows.

use std::sync::Arc;

use super::client::Client;
use super::pin::Pin;
use super::statements::ensure;
use super::upstream::Act;
use crate::pool::Lease;
use crate::session::sql::{Call, Verb, statement_call};
use crate::session::statements::{Op, Statement};
use crate::session::{About, Findings, Kind, Pay, TxStatus};
use crate::wire::frontend::{frame_into, sync};
use crate::wire::run::Run;

/// The statement that stands in, on a server, for one that a client
/// deallocates: others may still use the real one.
const STAND_IN: &[u8] = b"_pwd";

impl Client {
    /// What is about to run can do this to the session.
    pub(super) fn note(&mut self, lease: &mut Lease, can: Findings, run: &mut Run<'_>) {
        self.may_forget |= can.deallocates;
        let pin = Pin::of(can);
        let first_local = can.local_settings && !self.has_local_settings;
        if first_local || (self.pin == Pin::No && pin != Pin::No) {
            self.bring_statements(lease, run);
        }
        self.has_local_settings |= can.local_settings;
        self.pin = self.pin.max(pin);
    }

    /// Something is executed that may have been found to drop statements.
    #[inline]
    pub(super) fn executes(&mut self) {
        if self.may_forget {
            self.forgetting = true;
        }
    }

    /// What we have sent ahead ends with a Sync of ours: should it fail, the
    /// client's Query, which no Sync follows, runs all the same.
    fn end_own_segment(&mut self, lease: &mut Lease, run: &mut Run<'_>) {
        if lease.tracker.only_own_unsynced() {
            lease.tracker.owe(Kind::Sync, Pay::Swallow);
            run.insert().extend_from_slice(&sync());
        }
    }

    /// Statements mean what they meant when they were parsed: they are parsed
    /// here before the settings change.
    fn bring_statements(&mut self, lease: &mut Lease, run: &mut Run<'_>) {
        if lease.tracker.skipping() || lease.tracker.status() == TxStatus::Failed {
            return;
        }
        let mut missing = Vec::new();
        if let Some(names) = &self.names {
            names.each(|statement| missing.push(Arc::clone(statement)));
        }
        missing.retain(|statement| !lease.statements.touch(statement.id));
        for statement in missing {
            ensure(lease, &statement, b"", run);
        }
    }

    /// A simple Query that may name a prepared statement.
    pub(super) fn query_about_statements(
        &mut self,
        lease: &mut Lease,
        text: &[u8],
        found: Findings,
        run: &mut Run<'_>,
    ) -> Act {
        let sql = text.strip_suffix(b"\0").unwrap_or(text);
        let call = statement_call(sql).filter(|_| !lease.tracker.skipping());
        let Some(call) = call else {
            if !lease.tracker.skipping() {
                self.note(lease, found, run);
                self.executes();
                self.end_own_segment(lease, run);
            }
            self.loses_unnamed(lease, About::default());
            return Act::Pass;
        };
        let Ok(known) = self.lookup(lease, &call.name, run) else {
            return Act::Hold;
        };
        let found = Findings {
            prepares: false,
            ..found
        };
        self.note(lease, found, run);
        self.executes();
        match known {
            Some(statement) => self.call_by_sql(lease, &call, &statement, sql, run),
            None => {
                self.end_own_segment(lease, run);
                self.loses_unnamed(lease, About::default());
                self.follow_sql_name(lease, &call);
                Act::Pass
            }
        }
    }

    /// The name is, or becomes, one that only this server connection knows.
    fn follow_sql_name(&mut self, lease: &mut Lease, call: &Call) {
        let names = self.names.get_or_insert_with(Box::default);
        let name: Box<[u8]> = call.name.as_slice().into();
        let before = match call.verb {
            Verb::Execute => return,
            Verb::Prepare => !names.prepared_by_sql.insert(name.clone()),
            Verb::Deallocate => names.prepared_by_sql.remove(&name),
        };
        lease.tracker.attach(Op::SqlName { name, before });
    }

    /// A command about a statement of the protocol.
    fn call_by_sql(
        &mut self,
        lease: &mut Lease,
        call: &Call,
        statement: &Arc<Statement>,
        sql: &[u8],
        run: &mut Run<'_>,
    ) -> Act {
        let server_name = statement.server_name();
        let name = match call.verb {
            Verb::Deallocate => {
                lease.tracker.owe(Kind::Close, Pay::Swallow);
                frame_into(run.insert(), b'C', &[b"S", STAND_IN, b"\0"]);
                lease.tracker.owe(Kind::Parse, Pay::Swallow);
                frame_into(run.insert(), b'P', &[STAND_IN, b"\0\0\0\0"]);
                STAND_IN
            }
            Verb::Execute | Verb::Prepare => {
                self.note(lease, statement.can, run);
                ensure(lease, statement, &call.name, run);
                server_name.as_bytes()
            }
        };
        self.end_own_segment(lease, run);
        self.loses_unnamed(lease, About::new(statement.id, &call.name));
        if call.verb == Verb::Deallocate {
            self.set_name(lease, &call.name, None);
        }
        let (head, tail) = (sql.get(..call.at.start), sql.get(call.at.end..));
        let parts = [
            head.unwrap_or_default(),
            name,
            tail.unwrap_or_default(),
            b"\0",
        ];
        frame_into(run.insert(), b'Q', &parts);
        Act::Drop
    }
}
