//! Parse, Bind, Describe, Close and Execute: a client's names for statements
//! become those that its server connection knows, prepared there first if need
//! be; and the SQL commands that name statements.

mod bind;
mod calls;
mod copies;
mod environment;
mod parse;
mod sql;
mod unnamed;

pub(super) use copies::next;

use super::client::{Client, End};
use super::upstream::Act;
use crate::config::PoolMode;
use crate::pool::Lease;
use crate::session::statements::{ClientStatements, Named, Op, SIGNIFICANT};
use crate::session::{Kind, Pay};
use crate::wire::frame::{HEADER, Header, cstr};
use crate::wire::frontend::{flush, target};
use crate::wire::run::Run;
use crate::wire::{PgError, sqlstate};

/// Longest pair of names at the head of a Bind, or name in an Execute, Describe
/// or Close, that is waited for.
const MAX_NAMES: usize = 32 * 1024;

impl Client {
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
            b'P' if untouched => {
                watch_parse(lease, header, body);
                lease.tracker.owe(Kind::Parse, Pay::Forward);
            }
            b'B' if untouched => lease.tracker.owe(Kind::Bind, Pay::Forward),
            b'P' => return self.parse(lease, header, body, whole, run),
            b'B' => return self.bind(lease, header, body, whole, run),
            tag => {
                let Some((kind, name)) = target(body).filter(|_| whole) else {
                    return incomplete(header, whole);
                };
                if kind == b'S' && !untouched {
                    return Ok(self.describe_or_close(lease, tag, name, run));
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

    /// Gives a name, to be taken back if the message just owed fails.
    fn set_name(&mut self, lease: &mut Lease, name: &[u8], to: Option<Named>) {
        let names = self.names.get_or_insert_with(Box::default);
        let before = names.set(name, to);
        names.changed_in = Some(segment_of_newest(lease));
        lease.tracker.attach(Op::ClientName {
            name: name.into(),
            before,
        });
    }

    /// What a name stands for now; `Err`: not known until the server has
    /// answered.
    fn lookup(
        &mut self,
        lease: &mut Lease,
        name: &[u8],
        run: &mut Run<'_>,
    ) -> Result<Option<Named>, ()> {
        if is_open(lease, lease.statements.last_change()) {
            return Err(());
        }
        let names = self.names.as_deref();
        if is_open(lease, names.and_then(|names| names.changed_in)) {
            return Err(());
        }
        let known = names.and_then(|names| names.get(name)).cloned();
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
            Op::ServerPrepares(_)
            | Op::ServerPreparesOwn(_)
            | Op::AsksShape(_)
            | Op::AsksEnv(_)
            | Op::ServerForgets(_)
            | Op::UnnamedAgrees
            | Op::Called { .. } => {}
        }
    }

    /// What the client has prepared since its last boundary is settled, or was
    /// about what is undone now: then others must not be told that it parsed.
    pub(super) fn settle_statements(&mut self, undone: bool) {
        let Some(names) = self.names.as_deref_mut() else {
            return;
        };
        for statement in std::mem::take(&mut names.unsettled) {
            if undone {
                self.shelf.statements.retire(&statement);
            }
        }
    }

    fn names_mut(&mut self) -> &mut ClientStatements {
        self.names.get_or_insert_with(Box::default)
    }
}

/// What is prepared runs soon, and is not known by its name then.
fn watch_parse(lease: &mut Lease, header: Header, body: &[u8]) {
    if let Some(watch) = lease.watch()
        && let Some((_, text)) = cstr(body)
    {
        let end = text.iter().position(|byte| *byte == 0);
        let more = header.total.saturating_sub(HEADER + body.len());
        let length = end.unwrap_or(text.len() + more);
        watch.runs(
            text.get(..end.unwrap_or(text.len())).unwrap_or_default(),
            length,
        );
    }
}

/// Notes how the client calls a statement in the message just owed, where that
/// cannot be found out from its names.
fn called(lease: &mut Lease, id: u64, name: &[u8]) {
    let name = name.into();
    lease.tracker.attach(Op::Called { id, name });
}

fn called_if_long(lease: &mut Lease, id: u64, name: &[u8]) {
    if name.len() > SIGNIFICANT {
        called(lease, id, name);
    }
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

/// A message that names something has not arrived to its end.
fn incomplete(header: Header, whole: bool) -> Result<Act, End> {
    if whole || header.total > MAX_NAMES {
        return Err(malformed());
    }
    Ok(Act::More)
}

fn malformed() -> End {
    End::Told(PgError::fatal(
        sqlstate::PROTOCOL_VIOLATION,
        "invalid message format",
    ))
}
