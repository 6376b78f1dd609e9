//! Parse, Bind, Describe and Close: a client's names for statements become
//! those that its server connection knows, prepared there first if need be.

use std::sync::Arc;

use super::client::{Client, End};
use super::pin::{Forgetting, Pin};
use super::upstream::Act;
use crate::config::PoolMode;
use crate::pool::Lease;
use crate::session::statements::{ClientStatements, Op, PREFIX, Statement, Unnamed, private};
use crate::session::{Kind, Pay, Scan, TxStatus};
use crate::wire::frame::{HEADER, Header};
use crate::wire::frontend::{bind_names, flush, frame_into, parse_parts, target};
use crate::wire::run::Run;
use crate::wire::{PgError, sqlstate};

/// Longest Parse of a named statement, in bytes.
const MAX_NAMED_PARSE: usize = 16 << 20;

/// Longest Parse of an unnamed statement that is remembered for its client. A
/// longer one ties the client to its server connection until it is replaced.
const MAX_UNNAMED_PARSE: usize = 1 << 20;

/// Longest pair of names at the head of a Bind, or name in a Describe or
/// Close, that is waited for.
const MAX_NAMES: usize = 32 * 1024;

/// Most statements, and bytes of their texts, that one server connection holds.
const MAX_HELD: usize = 200;
const MAX_HELD_BYTES: usize = 8 << 20;

impl Client {
    /// A simple Query: the unnamed statement is lost, even if it fails.
    #[inline]
    pub(super) fn loses_unnamed(&mut self, lease: &mut Lease) {
        if lease.tracker.skipping() {
            return;
        }
        let may_be_skipped = lease.tracker.unsynced();
        lease.tracker.owe(Kind::Query, Pay::Forward);
        let before = std::mem::take(&mut self.unnamed);
        if may_be_skipped {
            let agreed = lease.unnamed_of == self.handle.id;
            lease.tracker.attach(Op::Unnamed { before, agreed });
        }
        lease.unnamed_of = self.handle.id;
    }

    /// Decides about a Parse, Bind, Describe or Close.
    pub(super) fn statement_frame(
        &mut self,
        lease: &mut Lease,
        header: Header,
        frame: &[u8],
        run: &mut Run<'_>,
    ) -> Result<Act, End> {
        let body = frame.get(HEADER..).unwrap_or_default();
        // The server ignores it until Sync; in session mode all is its own.
        let untouched = lease.tracker.skipping() || self.mode == PoolMode::Session;
        let whole = frame.len() == header.total;
        match header.tag {
            b'P' if untouched => lease.tracker.owe(Kind::Parse, Pay::Forward),
            b'B' if untouched => lease.tracker.owe(Kind::Bind, Pay::Forward),
            b'P' => return self.parse(lease, header, body, whole, run),
            b'B' => return self.bind(lease, header, body, whole, run),
            tag => {
                let Some((kind, name)) = target(body).filter(|_| whole) else {
                    return if whole || header.total > MAX_NAMES {
                        Err(malformed())
                    } else {
                        Ok(Act::More)
                    };
                };
                if kind == b'S' && !untouched {
                    return self.describe_or_close(lease, tag, name, run);
                }
                let owed = match (tag, kind) {
                    (b'D', b'S') => Kind::DescribeStatement,
                    (b'D', _) => Kind::DescribePortal,
                    _ => Kind::Close,
                };
                lease.tracker.owe(owed, Pay::Forward);
            }
        }
        Ok(Act::Pass)
    }

    fn parse(
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
            self.scan = Some(Box::default());
            self.set_unnamed(lease, Unnamed::OnServer);
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
        if unnamed {
            self.note(lease, Scan::of(rest), run);
            self.set_unnamed(lease, Unnamed::Kept(rest.into()));
            return Ok(Act::Pass);
        }
        Ok(self.parse_named(lease, name, rest, run))
    }

    fn set_unnamed(&mut self, lease: &mut Lease, to: Unnamed) {
        lease.tracker.owe(Kind::Parse, Pay::Forward);
        let before = std::mem::replace(&mut self.unnamed, to);
        let agreed = lease.unnamed_of == self.handle.id;
        lease.tracker.attach(Op::Unnamed { before, agreed });
        lease.unnamed_of = self.handle.id;
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
        if self.is_prepared_by_sql(name) {
            // PostgreSQL itself says that the name is taken.
            lease.tracker.owe(Kind::Parse, Pay::Forward);
            return Act::Pass;
        }
        if let Some(taken) = self
            .names
            .as_ref()
            .and_then(|names| names.get(name))
            .cloned()
        {
            // PostgreSQL itself says that the name is taken.
            ensure(lease, &taken, run);
            lease.tracker.owe(Kind::Parse, Pay::Forward);
            parse_into(run.insert(), &taken, rest);
            return Act::Drop;
        }
        // What a pinned client has set may change what a text means, so it
        // shares no statement with others, nor with itself of before.
        let statement = match self.pin {
            Pin::No => self.shelf.statements.intern(rest),
            Pin::Resettable | Pin::ForGood => private(rest),
        };
        let held = lease.statements.touch(statement.id);
        if held && lease.tracker.status() != TxStatus::Failed {
            lease.tracker.owe(Kind::Parse, Pay::Answer);
        } else {
            if held {
                // In a failed transaction only PostgreSQL can tell what may be
                // parsed, so it is asked afresh.
                forget(lease, statement.id, run);
            }
            make_room(lease, run);
            lease.tracker.owe(Kind::Parse, Pay::Forward);
            lease.tracker.attach(Op::ServerPrepares(statement.id));
            lease.statements.insert(Arc::clone(&statement));
            parse_into(run.insert(), &statement, &statement.parse);
        }
        self.set_name(lease, name, Some(statement));
        Act::Drop
    }

    fn is_prepared_by_sql(&self, name: &[u8]) -> bool {
        let by_sql = |names: &ClientStatements| names.prepared_by_sql.contains(name);
        self.names.as_deref().is_some_and(by_sql)
    }

    /// Gives a name, to be taken back if the message just owed fails.
    pub(super) fn set_name(&mut self, lease: &mut Lease, name: &[u8], to: Option<Arc<Statement>>) {
        let names = self.names.get_or_insert_with(Box::default);
        let before = names.set(name, to);
        names.changed_in = Some(lease.tracker.segment());
        lease.tracker.attach(Op::ClientName {
            name: name.into(),
            before,
        });
    }

    fn bind(
        &mut self,
        lease: &mut Lease,
        header: Header,
        body: &[u8],
        whole: bool,
        run: &mut Run<'_>,
    ) -> Result<Act, End> {
        let Some((portal, name, rest)) = bind_names(body) else {
            return if whole || body.len() > MAX_NAMES {
                Err(malformed())
            } else {
                Ok(Act::More)
            };
        };
        let Ok(known) = self.lookup(lease, name, run) else {
            return Ok(Act::Hold);
        };
        if let Some(statement) = &known {
            self.note(lease, statement.can, run);
        }
        let server_name = if name.is_empty() {
            self.agree_on_unnamed(lease, run);
            None
        } else {
            self.on_server(lease, known, name, run)
        };
        lease.tracker.owe(Kind::Bind, Pay::Forward);
        let Some(server_name) = server_name else {
            return Ok(Act::Pass);
        };
        // Only the name is replaced; what follows it streams.
        let length = header.total - 1 - name.len() + server_name.len();
        let out = run.insert();
        out.push(b'B');
        out.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
        for part in [portal, b"\0", &server_name, b"\0"] {
            out.extend_from_slice(part);
        }
        Ok(Act::Replaced(HEADER + body.len() - rest.len()))
    }

    /// What a name stands for now; `Err`: not known until the server has
    /// answered.
    pub(super) fn lookup(
        &mut self,
        lease: &mut Lease,
        name: &[u8],
        run: &mut Run<'_>,
    ) -> Result<Option<Arc<Statement>>, ()> {
        let Some(names) = &self.names else {
            return Ok(None);
        };
        if let Some(segment) = names.changed_in
            && segment != lease.tracker.segment()
            && !lease.tracker.is_done(segment)
        {
            return Err(());
        }
        let known = names.get(name).cloned();
        self.knows_its_names(lease, run).then_some(known).ok_or(())
    }

    /// False while the server may be forgetting all statements: it is asked to
    /// answer, and what comes next waits.
    fn knows_its_names(&mut self, lease: &mut Lease, run: &mut Run<'_>) -> bool {
        if self.forgetting == Forgetting::No {
            return true;
        }
        if !lease.tracker.owes() {
            self.forgetting = Forgetting::No;
            return true;
        }
        if self.forgetting == Forgetting::Maybe && lease.tracker.unsynced() {
            run.insert().extend_from_slice(&flush());
            self.forgetting = Forgetting::Flushed;
        }
        false
    }

    /// The name to be used toward the server, with the statement prepared
    /// there; `None`: the client's own, which the server will not know.
    fn on_server(
        &self,
        lease: &mut Lease,
        known: Option<Arc<Statement>>,
        name: &[u8],
        run: &mut Run<'_>,
    ) -> Option<Vec<u8>> {
        match known {
            Some(statement) => {
                ensure(lease, &statement, run);
                Some(statement.server_name().as_bytes().to_vec())
            }
            // A name of ours in a client's mouth must not reach what is ours.
            None if name.starts_with(PREFIX.as_bytes()) => Some([b"_client", name].concat()),
            None => None,
        }
    }

    fn describe_or_close(
        &mut self,
        lease: &mut Lease,
        tag: u8,
        name: &[u8],
        run: &mut Run<'_>,
    ) -> Result<Act, End> {
        if name.is_empty() {
            self.agree_on_unnamed(lease, run);
            if tag == b'C' {
                lease.tracker.owe(Kind::Close, Pay::Forward);
                let before = std::mem::take(&mut self.unnamed);
                lease.tracker.attach(Op::Unnamed {
                    before,
                    agreed: true,
                });
            } else {
                lease.tracker.owe(Kind::DescribeStatement, Pay::Forward);
            }
            return Ok(Act::Pass);
        }
        let Ok(known) = self.lookup(lease, name, run) else {
            return Ok(Act::Hold);
        };
        if tag == b'C' {
            return Ok(self.close(lease, known, name, run));
        }
        match self.on_server(lease, known, name, run) {
            Some(server_name) => {
                lease.tracker.owe(Kind::DescribeStatement, Pay::Forward);
                frame_into(run.insert(), b'D', &[b"S", &server_name, b"\0"]);
                Ok(Act::Drop)
            }
            None => {
                lease.tracker.owe(Kind::DescribeStatement, Pay::Forward);
                Ok(Act::Pass)
            }
        }
    }

    /// Close of a named statement. The last user's reaches the server, so that
    /// the next Parse of that text is a real one.
    fn close(
        &mut self,
        lease: &mut Lease,
        known: Option<Arc<Statement>>,
        name: &[u8],
        run: &mut Run<'_>,
    ) -> Act {
        let Some(statement) = known else {
            lease.tracker.owe(Kind::Close, Pay::Answer);
            return Act::Drop;
        };
        let is_last = self
            .names
            .as_ref()
            .is_some_and(|names| ClientStatements::is_last_user(names, &statement));
        if is_last {
            self.shelf.statements.retire(&statement);
        }
        if is_last && lease.statements.remove(statement.id).is_some() {
            lease.tracker.owe(Kind::Close, Pay::Forward);
            lease
                .tracker
                .attach(Op::ServerForgets(Arc::clone(&statement)));
            frame_into(
                run.insert(),
                b'C',
                &[b"S", statement.server_name().as_bytes(), b"\0"],
            );
        } else {
            lease.tracker.owe(Kind::Close, Pay::Answer);
        }
        self.set_name(lease, name, None);
        Act::Drop
    }

    /// The server's unnamed statement becomes this client's.
    fn agree_on_unnamed(&mut self, lease: &mut Lease, run: &mut Run<'_>) {
        if lease.unnamed_of == self.handle.id {
            return;
        }
        match &self.unnamed {
            Unnamed::Kept(rest) => {
                lease.tracker.owe(Kind::Parse, Pay::Swallow);
                frame_into(run.insert(), b'P', &[b"\0", rest]);
            }
            Unnamed::None | Unnamed::OnServer => {
                lease.tracker.owe(Kind::Close, Pay::Swallow);
                frame_into(run.insert(), b'C', &[b"S\0"]);
            }
        }
        lease.tracker.attach(Op::UnnamedAgrees);
        lease.unnamed_of = self.handle.id;
    }

    /// Takes back what the server did not do.
    pub(super) fn undo(&mut self, op: Op, failed_itself: bool) {
        match op {
            Op::ClientName { name, before } => {
                if let Some(names) = &mut self.names {
                    names.set(&name, before);
                }
            }
            // A failed Parse has destroyed what was there; a skipped one not.
            Op::Unnamed { before, .. } => {
                self.unnamed = if failed_itself { Unnamed::None } else { before };
            }
            Op::SqlName { name, before } => {
                if let Some(names) = &mut self.names {
                    let _ = match before {
                        true => names.prepared_by_sql.insert(name),
                        false => names.prepared_by_sql.remove(&name),
                    };
                }
            }
            Op::ServerPrepares(_) | Op::ServerForgets(_) | Op::UnnamedAgrees => {}
        }
    }
}

/// Prepares the statement on the server, unless it is there: its reply is
/// swallowed, and the client's own message follows in the same write.
pub(super) fn ensure(lease: &mut Lease, statement: &Arc<Statement>, run: &mut Run<'_>) {
    if lease.statements.touch(statement.id) {
        return;
    }
    make_room(lease, run);
    lease.tracker.owe(Kind::Parse, Pay::Swallow);
    lease.tracker.attach(Op::ServerPrepares(statement.id));
    lease.statements.insert(Arc::clone(statement));
    parse_into(run.insert(), statement, &statement.parse);
}

/// Makes room for one more statement on the server.
fn make_room(lease: &mut Lease, run: &mut Run<'_>) {
    while let Some(id) = lease.statements.over(MAX_HELD - 1, MAX_HELD_BYTES) {
        forget(lease, id, run);
    }
}

fn forget(lease: &mut Lease, id: u64, run: &mut Run<'_>) {
    if let Some(statement) = lease.statements.remove(id) {
        lease.tracker.owe(Kind::Close, Pay::Swallow);
        frame_into(
            run.insert(),
            b'C',
            &[b"S", statement.server_name().as_bytes(), b"\0"],
        );
        lease.tracker.attach(Op::ServerForgets(statement));
    }
}

fn parse_into(out: &mut Vec<u8>, statement: &Statement, rest: &[u8]) {
    frame_into(
        out,
        b'P',
        &[statement.server_name().as_bytes(), b"\0", rest],
    );
}

fn malformed() -> End {
    End::Told(PgError::fatal(
        sqlstate::PROTOCOL_VIOLATION,
        "invalid message format",
    ))
}
