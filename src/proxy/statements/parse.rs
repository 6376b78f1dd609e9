//! Parse.

use std::sync::Arc;

use super::called_if_long;
use super::copies::{drop_copy, next, parse_into, prepares, refuse};
use crate::pool::Lease;
use crate::proxy::client::{Client, End};
use crate::proxy::session_state::Pins;
use crate::proxy::upstream::Act;
use crate::session::settings::Env;
use crate::session::statements::{
    Named, Statement, Unnamed, depends_on_settings, private, private_of,
};
use crate::session::{About, Findings, Kind, Pay, Refused, Scan, TxStatus};
use crate::wire::frame::Header;
use crate::wire::frontend::parse_parts;
use crate::wire::run::Run;
use crate::wire::{PgError, sqlstate};

/// Longest Parse of a named statement, in bytes.
const MAX_NAMED_PARSE: usize = 16 << 20;

/// Longest Parse of an unnamed statement that is remembered for its client. A
/// longer one ties the client to its server connection until it is replaced.
const MAX_UNNAMED_PARSE: usize = 256 << 10;

impl Client {
    pub(super) fn parse(
        &mut self,
        lease: &mut Lease,
        header: Header,
        body: &[u8],
        whole: bool,
        run: &mut Run<'_>,
    ) -> Result<Act, End> {
        let unnamed = match body.first() {
            None if !whole => return Ok(Act::More),
            first => first == Some(&0),
        };
        if unnamed && header.total > MAX_UNNAMED_PARSE {
            self.parse_long(lease, body, whole);
            return Ok(Act::Pass);
        }
        if !unnamed && header.total > MAX_NAMED_PARSE {
            return Err(End::Told(PgError::fatal(
                sqlstate::PROGRAM_LIMIT_EXCEEDED,
                "prepared statement is too long",
            )));
        }
        if !whole {
            return Ok(Act::More);
        }
        let Some((name, rest)) = parse_parts(body) else {
            // PostgreSQL refuses it in its own words.
            lease.tracker.owe(Kind::Parse, Pay::Forward);
            return Ok(Act::Pass);
        };
        Ok(match unnamed {
            true => self.parse_unnamed(lease, rest, run),
            false => self.parse_named(lease, name, rest, run),
        })
    }

    /// An unnamed statement that is too long to be remembered.
    fn parse_long(&mut self, lease: &mut Lease, body: &[u8], whole: bool) {
        if let (Some(watch), Some(text)) = (lease.watch(), body.get(1..)) {
            // Its end is not looked for: it is longer than what is kept of it.
            watch.runs(text, usize::MAX);
        }
        let mut scan = Scan::default();
        scan.feed(body);
        let mut can = Findings::NONE;
        match whole {
            true => can = scan.finish(),
            false => self.scan = Some(Box::new(scan)),
        }
        self.set_unnamed(lease, Unnamed::OnServer(can));
    }

    fn parse_unnamed(&mut self, lease: &mut Lease, rest: &[u8], run: &mut Run<'_>) -> Act {
        if self.env_in_doubt && lease.answers.is_some() {
            // It is known in a moment.
            return Act::Hold;
        }
        let statement = private(rest, self.env());
        let in_doubt = self.env_in_doubt && statement.depends_on_settings && !in_failed(lease);
        let statement = match in_doubt {
            true => self.parsed_in_doubt(lease, rest, run),
            false => statement,
        };
        if statement.call.is_some() {
            return self.parse_unnamed_call(lease, statement, run);
        }
        self.set_unnamed(lease, Unnamed::Kept(statement));
        Act::Pass
    }

    fn parse_named(
        &mut self,
        lease: &mut Lease,
        name: &[u8],
        rest: &[u8],
        run: &mut Run<'_>,
    ) -> Act {
        // What the name stands for, and whether a transaction has failed, is
        // known once everything before is answered.
        if !lease.tracker.settled() || !self.knows_its_names(lease, run) {
            return Act::Hold;
        }
        if self.leaves_names_alone(name) {
            lease.tracker.owe(Kind::Parse, Pay::Forward);
            return Act::Pass;
        }
        self.counts.client_parses += 1;
        let names = self.names.as_deref();
        if let Some(taken) = names.and_then(|names| names.get(name)).cloned() {
            return self.parse_taken(lease, &taken, name, rest, run);
        }
        let settings = self.shelf.pool().settings();
        let (count, bytes) = names.map_or((0, 0), |names| names.size());
        if count >= settings.max_client_prepared_statements
            || bytes + rest.len() > settings.max_client_prepared_bytes
        {
            refuse(lease, Kind::Parse, Refused::TooMany, run);
            return Act::Drop;
        }
        let named = Named {
            statement: self.identity_of(lease, rest, run),
            since: next(),
            told: None,
        };
        let Some((statement, _)) = self.resolve(lease, &named.statement, run) else {
            return Act::Hold;
        };
        self.prepare(lease, &statement, name, run);
        self.set_name(lease, name, Some(named));
        Act::Drop
    }

    /// Is the name the server's own affair?
    fn leaves_names_alone(&mut self, name: &[u8]) -> bool {
        let by_sql = self
            .names
            .as_deref()
            .is_some_and(|names| names.prepared_by_sql.contains(name));
        if by_sql {
            // PostgreSQL itself says that the name is taken.
            return true;
        }
        if self.shelf.pool().settings().max_prepared_statements == 0 {
            self.pins.set(Pins::NAMED, true);
            return true;
        }
        // No text at all: PostgreSQL refuses it. Should the client have changed
        // its encoding, it keeps its server connection for that already.
        std::str::from_utf8(name).is_err() && self.shelf.speaks_utf8()
    }

    /// The name is taken: PostgreSQL itself says so.
    fn parse_taken(
        &mut self,
        lease: &mut Lease,
        taken: &Named,
        name: &[u8],
        rest: &[u8],
        run: &mut Run<'_>,
    ) -> Act {
        self.ensure(lease, taken, name, false, run);
        let id = taken.statement.id;
        lease
            .tracker
            .owe_about(Kind::Parse, Pay::Forward, About::new(id, name));
        called_if_long(lease, id, name);
        parse_into(run.insert(), &taken.statement, rest);
        Act::Drop
    }

    /// What a client has set says what a text means: who has set the same shares
    /// it. While that is in doubt it shares no statement with others, nor with
    /// itself of before. In a failed transaction only PostgreSQL can tell what
    /// may be parsed.
    fn identity_of(&mut self, lease: &mut Lease, rest: &[u8], run: &mut Run<'_>) -> Arc<Statement> {
        let failed = in_failed(lease);
        if self.env_in_doubt && !failed && depends_on_settings(rest) {
            return self.parsed_in_doubt(lease, rest, run);
        }
        let catalog = &self.shelf.pool().catalog;
        if failed || catalog.is_changing() {
            return private_of(rest, self.env(), catalog.epoch());
        }
        let env = self.env();
        self.shelf.statements.intern(rest, env.as_ref(), catalog)
    }

    /// The settings that say what a text means, as far as is known.
    pub(super) fn env(&self) -> Option<Arc<Env>> {
        self.profile
            .as_ref()
            .and_then(|profile| profile.env.clone())
    }

    /// Has the server parse what the client prepares, though it may hold a copy
    /// of another client's: a change of the catalog can have passed us by.
    pub(super) fn prepare(
        &mut self,
        lease: &mut Lease,
        statement: &Arc<Statement>,
        name: &[u8],
        run: &mut Run<'_>,
    ) {
        drop_copy(lease, statement, run);
        self.make_room(lease, run);
        lease
            .tracker
            .owe_about(Kind::Parse, Pay::Forward, About::new(statement.id, name));
        let epoch = self.shelf.pool().catalog.epoch();
        prepares(lease, statement, epoch);
        parse_into(run.insert(), statement, &statement.parse);
        self.names_mut().unsettled.push(Arc::clone(statement));
    }
}

fn in_failed(lease: &Lease) -> bool {
    lease.tracker.status() == TxStatus::Failed
}
