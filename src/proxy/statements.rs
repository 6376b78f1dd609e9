//! Parse, Bind, Describe and Close: a client's names for statements become
//! those that its server connection knows, prepared there first if need be.

use std::sync::Arc;

use super::client::{Client, End};
use super::pin::Pin;
use super::upstream::Act;
use crate::config::PoolMode;
use crate::pool::Lease;
use crate::session::statements::{ClientStatements, Op, Statement, UNNAMED_NONE, Unnamed, private};
use crate::session::{About, Kind, Pay, Scan, TxStatus};
use crate::wire::frame::{HEADER, Header};
use crate::wire::frontend::{bind_names, flush, frame_into, parse_parts, target};
use crate::wire::run::Run;
use crate::wire::{PgError, sqlstate};

/// Longest Parse of a named statement, in bytes.
const MAX_NAMED_PARSE: usize = 16 << 20;

/// Longest Parse of an unnamed statement that is remembered for its client. A
/// longer one ties the client to its server connection until it is replaced.
const MAX_UNNAMED_PARSE: usize = 256 << 10;

/// Longest pair of names at the head of a Bind, or name in a Describe or
/// Close, that is waited for.
const MAX_NAMES: usize = 32 * 1024;

/// Most statements, and bytes of their texts, that one server connection holds.
const MAX_HELD: usize = 200;
const MAX_HELD_BYTES: usize = 8 << 20;

impl Client {
    /// A simple Query: the unnamed statement is lost, even if it fails.
    #[inline]
    pub(super) fn loses_unnamed(&mut self, lease: &mut Lease, about: About) {
        if lease.tracker.skipping() {
            return;
        }
        let may_be_skipped = lease.tracker.unsynced();
        lease.tracker.owe_about(Kind::Query, Pay::Forward, about);
        let before = std::mem::take(&mut self.unnamed);
        if may_be_skipped {
            self.unnamed_changes(lease, before);
        }
        lease.unnamed = UNNAMED_NONE;
    }

    /// Hangs the change of the unnamed statement on the message just owed.
    fn unnamed_changes(&mut self, lease: &mut Lease, before: Unnamed) {
        let mark = lease.unnamed;
        lease.tracker.attach(Op::Unnamed { before, mark });
        self.unnamed_changed_in = Some(segment_of_newest(lease));
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
            let mut scan = Scan::default();
            scan.feed(body);
            self.set_unnamed(lease, Unnamed::OnServer);
            match whole {
                true => self.pin = self.pin.max(Pin::of(scan.finish())),
                false => self.scan = Some(Box::new(scan)),
            }
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
            self.set_unnamed(lease, Unnamed::keep(rest));
            return Ok(Act::Pass);
        }
        Ok(self.parse_named(lease, name, rest, run))
    }

    fn set_unnamed(&mut self, lease: &mut Lease, to: Unnamed) {
        lease.tracker.owe(Kind::Parse, Pay::Forward);
        let before = std::mem::replace(&mut self.unnamed, to);
        self.unnamed_changes(lease, before);
        lease.unnamed = self.unnamed.mark();
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
            ensure(lease, &taken, name, run);
            lease
                .tracker
                .owe_about(Kind::Parse, Pay::Forward, About::new(taken.id, name));
            parse_into(run.insert(), &taken, rest);
            return Act::Drop;
        }
        // What a client has set may change what a text means: it then shares no
        // statement with others, nor with itself of before.
        if self.has_local_settings {
            self.pin = self.pin.max(Pin::Resettable);
        }
        let failed = lease.tracker.status() == TxStatus::Failed;
        let statement = match self.pin {
            // In a failed transaction only PostgreSQL can tell what may be parsed.
            Pin::No if !failed => self.shelf.statements.intern(rest),
            Pin::No | Pin::Resettable | Pin::ForGood => private(rest),
        };
        if lease.statements.touch(statement.id) {
            lease.tracker.owe(Kind::Parse, Pay::Answer);
        } else {
            make_room(lease, run);
            lease
                .tracker
                .owe_about(Kind::Parse, Pay::Forward, About::new(statement.id, name));
            prepares(lease, &statement);
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
        names.changed_in = Some(segment_of_newest(lease));
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
        if name.is_empty() {
            if !self.agree_on_unnamed(lease, run) {
                return Ok(Act::Hold);
            }
            self.may_forget |= self.unnamed.deallocates();
        }
        let Some(statement) = known else {
            // Nothing of that name: PostgreSQL says so itself.
            lease.tracker.owe(Kind::Bind, Pay::Forward);
            return Ok(Act::Pass);
        };
        ensure(lease, &statement, name, run);
        lease
            .tracker
            .owe_about(Kind::Bind, Pay::Forward, About::new(statement.id, name));
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

    /// What a name stands for now; `Err`: not known until the server has
    /// answered.
    pub(super) fn lookup(
        &mut self,
        lease: &mut Lease,
        name: &[u8],
        run: &mut Run<'_>,
    ) -> Result<Option<Arc<Statement>>, ()> {
        if is_open(lease, lease.statements.last_change()) {
            return Err(());
        }
        let Some(names) = &self.names else {
            return Ok(None);
        };
        if is_open(lease, names.changed_in) {
            return Err(());
        }
        let known = names.get(name).cloned();
        self.knows_its_names(lease, run).then_some(known).ok_or(())
    }

    /// False while the server may be forgetting all statements: it is asked to
    /// answer, and what comes next waits.
    fn knows_its_names(&mut self, lease: &mut Lease, run: &mut Run<'_>) -> bool {
        if !self.forgetting {
            return true;
        }
        if !lease.tracker.owes() {
            self.forgetting = false;
            return true;
        }
        if lease.tracker.unsynced() {
            run.insert().extend_from_slice(&flush());
        }
        false
    }

    fn describe_or_close(
        &mut self,
        lease: &mut Lease,
        tag: u8,
        name: &[u8],
        run: &mut Run<'_>,
    ) -> Result<Act, End> {
        if name.is_empty() && tag == b'C' {
            lease.tracker.owe(Kind::Close, Pay::Forward);
            let before = std::mem::take(&mut self.unnamed);
            self.unnamed_changes(lease, before);
            lease.unnamed = UNNAMED_NONE;
            return Ok(Act::Pass);
        }
        if name.is_empty() {
            if !self.agree_on_unnamed(lease, run) {
                return Ok(Act::Hold);
            }
            lease.tracker.owe(Kind::DescribeStatement, Pay::Forward);
            return Ok(Act::Pass);
        }
        let Ok(known) = self.lookup(lease, name, run) else {
            return Ok(Act::Hold);
        };
        if tag == b'C' {
            return Ok(self.close(lease, known, name, run));
        }
        let Some(statement) = known else {
            lease.tracker.owe(Kind::DescribeStatement, Pay::Forward);
            return Ok(Act::Pass);
        };
        ensure(lease, &statement, name, run);
        let kind = Kind::DescribeStatement;
        lease
            .tracker
            .owe_about(kind, Pay::Forward, About::new(statement.id, name));
        let server_name = statement.server_name();
        frame_into(run.insert(), b'D', &[b"S", server_name.as_bytes(), b"\0"]);
        Ok(Act::Drop)
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
            .is_some_and(|names| ClientStatements::is_last_user(names, &statement));
        if is_last {
            self.shelf.statements.retire(&statement);
        }
        if is_last && lease.statements.remove(statement.id).is_some() {
            lease.tracker.owe(Kind::Close, Pay::Forward);
            forgets(lease, &statement);
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

    /// The server's unnamed statement becomes this client's; false: what that
    /// is, is not known until the server has answered.
    pub(super) fn agree_on_unnamed(&mut self, lease: &mut Lease, run: &mut Run<'_>) -> bool {
        if is_open(lease, self.unnamed_changed_in) {
            return false;
        }
        let mark = self.unnamed.mark();
        if lease.unnamed == mark {
            return true;
        }
        match &self.unnamed {
            Unnamed::Kept { parse, .. } => {
                lease.tracker.owe(Kind::Parse, Pay::Swallow);
                frame_into(run.insert(), b'P', &[b"\0", parse]);
            }
            Unnamed::None => {
                lease.tracker.owe(Kind::Close, Pay::Swallow);
                frame_into(run.insert(), b'C', &[b"S\0"]);
            }
            // It is there: the client has kept the server connection for it.
            Unnamed::OnServer => return true,
        }
        lease.tracker.attach(Op::UnnamedAgrees);
        self.unnamed_changed_in = Some(segment_of_newest(lease));
        lease.unnamed = mark;
        true
    }

    /// Takes back what the server did not do.
    pub(super) fn undo(&mut self, op: Op) {
        match op {
            Op::ClientName { name, before } => {
                if let Some(names) = &mut self.names {
                    names.set(&name, before);
                }
            }
            Op::Unnamed { before, .. } => self.unnamed = before,
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
pub(super) fn ensure(
    lease: &mut Lease,
    statement: &Arc<Statement>,
    name: &[u8],
    run: &mut Run<'_>,
) {
    if lease.statements.touch(statement.id) {
        return;
    }
    make_room(lease, run);
    lease
        .tracker
        .owe_about(Kind::Parse, Pay::Swallow, About::new(statement.id, name));
    prepares(lease, statement);
    parse_into(run.insert(), statement, &statement.parse);
}

/// Makes room for one more statement on the server.
fn make_room(lease: &mut Lease, run: &mut Run<'_>) {
    while let Some(id) = lease.statements.over(MAX_HELD - 1, MAX_HELD_BYTES) {
        let Some(statement) = lease.statements.remove(id) else {
            return;
        };
        lease.tracker.owe(Kind::Close, Pay::Swallow);
        let name = statement.server_name();
        frame_into(run.insert(), b'C', &[b"S", name.as_bytes(), b"\0"]);
        forgets(lease, &statement);
    }
}

/// Notes what the message just owed does to the server's set.
fn prepares(lease: &mut Lease, statement: &Arc<Statement>) {
    lease.tracker.attach(Op::ServerPrepares(statement.id));
    lease.statements.insert(Arc::clone(statement));
    let segment = segment_of_newest(lease);
    lease.statements.changed_in(segment);
}

fn forgets(lease: &mut Lease, statement: &Arc<Statement>) {
    lease
        .tracker
        .attach(Op::ServerForgets(Arc::clone(statement)));
    let segment = segment_of_newest(lease);
    lease.statements.changed_in(segment);
}

/// The segment of the message owed last.
fn segment_of_newest(lease: &Lease) -> u64 {
    let next = lease.tracker.segment();
    // A Query ends its own segment.
    if lease.tracker.unsynced() {
        next
    } else {
        next.saturating_sub(1)
    }
}

/// Is what changed in this segment not settled yet, and not of the segment
/// under way, whose own messages follow each other?
fn is_open(lease: &Lease, segment: Option<u64>) -> bool {
    segment.is_some_and(|segment| {
        segment != lease.tracker.segment() && !lease.tracker.is_done(segment)
    })
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
