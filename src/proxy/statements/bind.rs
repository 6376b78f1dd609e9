//! Bind, Describe and Close.

use std::sync::Arc;

use super::copies::{Copied, close_copy, describe, refuse};
use super::{MAX_NAMES, called, called_if_long, malformed};
use crate::pool::Lease;
use crate::proxy::client::{Client, End};
use crate::proxy::upstream::Act;
use crate::session::statements::{Effect, Named, Op, Statement, Unnamed};
use crate::session::{About, Kind, Pay, Refused, TxStatus};
use crate::wire::frame::{HEADER, Header};
use crate::wire::frontend::{bind_names, bind_values};
use crate::wire::run::Run;

/// A Bind up to so many bytes is waited for whole where its parameters may name
/// settings.
const MAX_SETTING_BIND: usize = 64 * 1024;

/// A statement that a message names, as it is on the server.
struct Found {
    statement: Arc<Statement>,
    /// What executing it does, if it is about another statement.
    effect: Option<Effect>,
}

/// What a message that names a statement is about.
enum Find {
    /// A statement of the protocol, there by now.
    Found(Found),
    /// Nothing that is known here: PostgreSQL itself answers.
    Nothing,
    /// It is known when the server has answered.
    Wait,
    /// It has changed since the client prepared it.
    Stale(Arc<Statement>),
    /// It may not be run.
    Forbidden,
}

impl Client {
    pub(super) fn bind(
        &mut self,
        lease: &mut Lease,
        header: Header,
        body: &[u8],
        whole: bool,
        run: &mut Run<'_>,
    ) -> Result<Act, End> {
        let Some((portal, name, rest)) = bind_names(body) else {
            return match whole || body.len() > MAX_NAMES {
                true => Err(malformed()),
                false => Ok(Act::More),
            };
        };
        if self.may_name_settings(name) {
            if !whole && header.total <= MAX_SETTING_BIND {
                return Ok(Act::More);
            }
            bind_values(rest).for_each(|value| self.note_bound(value));
        }
        self.watch_bind(lease, name);
        let found = match self.find(lease, name, true, run) {
            Find::Found(found) => found,
            Find::Wait => return Ok(Act::Hold),
            Find::Stale(_) => {
                refuse(lease, Kind::Bind, Refused::Stale, run);
                return Ok(Act::Drop);
            }
            Find::Forbidden => {
                refuse(lease, Kind::Bind, Refused::SessionState, run);
                return Ok(Act::Drop);
            }
            Find::Nothing => {
                self.note_portal(portal, None);
                lease.tracker.owe(Kind::Bind, Pay::Forward);
                return Ok(Act::Pass);
            }
        };
        let statement = &found.statement;
        owe_found(lease, Kind::Bind, &found, name);
        self.counts.binds += u32::from(!name.is_empty());
        self.note_portal(portal, found.effect.clone());
        let server_name = statement.server_name();
        let server_name = server_name.as_bytes();
        // Only the name is replaced; what follows it streams.
        let length = header.total - 1 - name.len() + server_name.len();
        let out = run.insert();
        out.push(b'B');
        out.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
        for part in [portal, b"\0", server_name, b"\0"] {
            out.extend_from_slice(part);
        }
        Ok(Act::Replaced(HEADER + body.len() - rest.len()))
    }

    /// Does running this statement set what its parameters name?
    fn may_name_settings(&self, name: &[u8]) -> bool {
        let statement = match (name, &self.unnamed) {
            (b"", Unnamed::Kept(statement)) => Some(statement),
            (b"", _) => None,
            (name, _) => {
                let named = self.names.as_deref().and_then(|names| names.get(name));
                named.map(|named| &named.statement)
            }
        };
        statement.is_some_and(|statement| self.sets_what_is_bound(statement))
    }

    /// The unnamed statement is about to run.
    fn note_unnamed(&mut self, lease: &mut Lease, run: &mut Run<'_>) {
        match &self.unnamed {
            Unnamed::None | Unnamed::Calls(_) => {}
            Unnamed::Kept(statement) => {
                let statement = Arc::clone(statement);
                self.note_statement(lease, &statement, run);
            }
            Unnamed::OnServer(can) => self.note_unseen(*can),
        }
    }

    /// Finds the statement that a Bind or Describe names, and sees to it that
    /// the server has it.
    fn find(&mut self, lease: &mut Lease, name: &[u8], runs: bool, run: &mut Run<'_>) -> Find {
        let Ok(mut known) = self.lookup(lease, name, run) else {
            return Find::Wait;
        };
        if name.is_empty() {
            if self.unnamed_is_open(lease) {
                return Find::Wait;
            }
            known = self.unnamed_call();
            if known.is_none() {
                if runs && self.forbids(self.unnamed.can()) {
                    return Find::Forbidden;
                }
                self.agree_on_unnamed(lease, run);
                if runs {
                    self.note_unnamed(lease, run);
                }
            }
        }
        let Some(named) = known else {
            return Find::Nothing;
        };
        if runs && self.forbids(named.statement.can) {
            return Find::Forbidden;
        }
        let Some((statement, effect)) = self.resolve(lease, &named.statement, run) else {
            return Find::Wait;
        };
        if runs && effect.is_none() {
            self.note_statement(lease, &statement, run);
        }
        let on_server = Named {
            statement: Arc::clone(&statement),
            ..named
        };
        // In a failed transaction PostgreSQL refuses it for that.
        let ask = lease.tracker.status() != TxStatus::Failed;
        match self.ensure(lease, &on_server, name, ask, run) {
            Copied::Yes => Find::Found(Found { statement, effect }),
            Copied::Asked => Find::Wait,
            Copied::Stale => Find::Stale(statement),
        }
    }

    pub(super) fn describe_or_close(
        &mut self,
        lease: &mut Lease,
        tag: u8,
        name: &[u8],
        run: &mut Run<'_>,
    ) -> Act {
        if tag == b'C' {
            return match name {
                b"" => self.close_unnamed(lease),
                _ => self.close(lease, name, run),
            };
        }
        match self.find(lease, name, false, run) {
            Find::Found(found) => {
                let about = about(&found, name);
                describe(lease, &found.statement, about, Pay::Forward, run);
                name_in_errors(lease, &found, name);
                Act::Drop
            }
            Find::Nothing => {
                lease.tracker.owe(Kind::DescribeStatement, Pay::Forward);
                Act::Pass
            }
            Find::Wait | Find::Forbidden => Act::Hold,
            Find::Stale(statement) => {
                // PostgreSQL notices when it has told the parameters.
                if lease.statements.touch(statement.id).is_some() {
                    describe(lease, &statement, About::PARAMETERS, Pay::Swallow, run);
                }
                refuse(lease, Kind::DescribeStatement, Refused::Stale, run);
                Act::Drop
            }
        }
    }

    fn close_unnamed(&mut self, lease: &mut Lease) -> Act {
        lease.tracker.owe(Kind::Close, Pay::Forward);
        self.replace_unnamed(lease, Unnamed::None);
        Act::Pass
    }

    /// Close of a named statement. The last user's reaches the server, so that
    /// the next Parse of that text is a real one.
    fn close(&mut self, lease: &mut Lease, name: &[u8], run: &mut Run<'_>) -> Act {
        let Ok(known) = self.lookup(lease, name, run) else {
            return Act::Hold;
        };
        let Some(Named { statement, .. }) = known else {
            // Prepared by SQL, or nothing: the server's own affair.
            lease.tracker.owe(Kind::Close, Pay::Forward);
            if let Some(names) = &mut self.names {
                let before = names.prepared_by_sql.remove(name);
                let name = name.into();
                lease.tracker.attach(Op::SqlName { name, before });
            }
            return Act::Pass;
        };
        let is_last = self
            .names
            .as_ref()
            .is_some_and(|names| names.is_last_user(&statement));
        if is_last {
            self.shelf.statements.retire(&statement);
        }
        if !is_last || !close_copy(lease, statement.id, Pay::Forward, run) {
            lease.tracker.owe(Kind::Close, Pay::Answer);
        }
        self.set_name(lease, name, None);
        Act::Drop
    }
}

fn about(found: &Found, name: &[u8]) -> About {
    let shift = found.effect.as_ref().map_or(0, |effect| effect.shift);
    About::new(found.statement.id, name).shifted(shift)
}

fn owe_found(lease: &mut Lease, kind: Kind, found: &Found, name: &[u8]) {
    lease
        .tracker
        .owe_about(kind, Pay::Forward, about(found, name));
    name_in_errors(lease, found, name);
}

/// The client knows what was derived for it by the name of what it sent.
fn name_in_errors(lease: &mut Lease, found: &Found, name: &[u8]) {
    match &found.effect {
        Some(_) => called(lease, found.statement.id, name),
        None => called_if_long(lease, found.statement.id, name),
    }
}
