//! Client to server: what each frame asks for, and what is owed for it.

use std::task::Context;

use super::client::{Aligning, Client, End, Fate};
use super::session_state::findings_of_function;
use crate::config::PoolMode;
use crate::pool::Lease;
use crate::session::statements::Unnamed;
use crate::session::{About, Findings, Kind, Pay, Scan, SyncFate};
use crate::wire::frame::{self, Header};
use crate::wire::frontend::flush;
use crate::wire::run::Run;
use crate::wire::{PgError, sqlstate};

/// Longest frame that a client may send: PostgreSQL's own bound, 1 GiB.
pub(super) const MAX_FRAME: u32 = 0x3fff_ffff;

/// A Query up to this many bytes is waited for whole: it may name a statement.
/// A longer one streams.
const SHORT_QUERY: usize = 16 * 1024;

/// What is done with a frame.
pub(super) enum Act {
    /// It goes to the server as it is.
    Pass,
    /// It goes nowhere.
    Drop,
    /// So many of its first bytes have been replaced; the rest passes.
    Replaced(usize),
    /// It is looked at again when more of it has arrived.
    More,
    /// It is looked at again when the server has answered.
    Hold,
}

impl Client {
    /// Sends on what the client said. What cannot be dealt with yet goes to
    /// the inbox. `out` may hold frames that go ahead.
    pub(super) fn upstream(
        &mut self,
        cx: &mut Context<'_>,
        lease: &mut Lease,
        bytes: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), End> {
        let mut run = Run::new(bytes, out);
        let walked = self.walk(lease, bytes, &mut run);
        let forward = run.finish();
        // What came before a frame that ends the session is sent all the same.
        let server = &mut **lease;
        let ready = forward.bytes(bytes, out);
        if !ready.is_empty() && server.outbox.write(&mut server.stream, cx, ready).is_err() {
            // The server has closed; what it said last is still to be read.
            server.give_up_sending();
        }
        server.mid_frame = self.body_left > 0 && self.body_fate == Fate::Pass;
        let at = walked?;
        self.inbox = bytes.get(at..).unwrap_or_default().to_vec();
        if lease.tracker.has_answers() && !lease.mid_reply() {
            let mut answers = Vec::new();
            lease.tracker.answers(&mut answers);
            self.send(cx, &answers)?;
        }
        Ok(())
    }

    /// Walks over frames; returns up to where they were dealt with.
    fn walk(&mut self, lease: &mut Lease, bytes: &[u8], run: &mut Run<'_>) -> Result<usize, End> {
        let mut at = 0;
        self.wanted = 0;
        while at < bytes.len() {
            if self.body_left > 0 {
                let part = self.body_left.min(bytes.len() - at);
                if self.body_fate == Fate::Pass {
                    run.pass(at..at + part);
                }
                self.body_left -= part;
                if self.scan.is_some() {
                    self.scan_on(bytes.get(at..at + part).unwrap_or_default());
                }
                at += part;
                continue;
            }
            let rest = bytes.get(at..).unwrap_or_default();
            let Some(header) = self.header_of(rest)? else {
                break;
            };
            if !lease.tracker.may_send() {
                // Without a Flush the server may keep its replies to itself.
                if !std::mem::replace(&mut self.flushed_for_room, true) {
                    run.insert().extend_from_slice(&flush());
                }
                self.inbox_waits = true;
                break;
            }
            self.flushed_for_room = false;
            if self.aligning == Aligning::Held {
                self.inbox_waits = true;
                break;
            }
            let here = header.total.min(rest.len());
            let frame = rest.get(..here).unwrap_or_default();
            let (from, fate) = match self.act(lease, header, frame, run)? {
                Act::Pass => (0, Fate::Pass),
                Act::Replaced(from) => (from, Fate::Pass),
                Act::Drop => (here, Fate::Drop),
                Act::More => {
                    // Of a Bind the names are enough.
                    let wanted = if header.tag == b'B' { 0 } else { header.total };
                    self.wanted = u32::try_from(wanted).unwrap_or(0);
                    break;
                }
                Act::Hold => {
                    self.inbox_waits = true;
                    break;
                }
            };
            if matches!(header.tag, b'Q' | b'P') && self.traces() {
                self.trace_text(lease, frame);
            }
            if self.aligning == Aligning::Begun && matches!(header.tag, b'Q' | b'F' | b'S') {
                self.aligning = Aligning::Held;
            }
            if from < here {
                run.pass(at + from..at + here);
            }
            self.body_left = header.total - here;
            self.body_fate = fate;
            self.body_owes = matches!(header.tag, b'Q' | b'F' | b'P' | b'B' | b'D' | b'C' | b'E');
            at += here;
        }
        Ok(at)
    }

    /// Decides about one frame, of which `frame` has arrived.
    #[inline]
    fn act(
        &mut self,
        lease: &mut Lease,
        header: Header,
        frame: &[u8],
        run: &mut Run<'_>,
    ) -> Result<Act, End> {
        let tracker = &mut lease.tracker;
        match header.tag {
            b'Q' if self.refuses_queries => return Err(End::Told(no_simple_queries())),
            b'Q' => return Ok(self.query(lease, header, frame, run)),
            b'F' => {
                if header.total > frame.len() && frame.len() < 9 {
                    return Ok(Act::More);
                }
                tracker.owe(Kind::FunctionCall, Pay::Forward);
                self.note_unseen(function_called(frame));
            }
            b'E' => return self.execute(lease, header, frame, run),
            b'S' => match tracker.client_sync() {
                SyncFate::Forward => {}
                SyncFate::Hold => return Ok(Act::Drop),
            },
            b'H' if !tracker.unsynced() => return Ok(Act::Drop),
            b'H' => {}
            b'd' if !tracker.expects_copy_data() => return Ok(Act::Drop),
            b'd' => {}
            b'c' | b'f' => {
                if !tracker.client_ends_copy() {
                    return Ok(Act::Drop);
                }
            }
            b'P' | b'B' | b'D' | b'C' => return self.statement_frame(lease, header, frame, run),
            b'X' => return Err(End::Terminated),
            tag => return Err(End::Told(unknown_type(tag))),
        }
        Ok(Act::Pass)
    }
}

impl Client {
    /// A simple Query.
    #[inline]
    fn query(&mut self, lease: &mut Lease, header: Header, frame: &[u8], run: &mut Run<'_>) -> Act {
        let text = frame.get(frame::HEADER..).unwrap_or_default();
        if let Some(watch) = lease.watch() {
            let text = text.strip_suffix(b"\0").unwrap_or(text);
            watch.runs(text, header.total.saturating_sub(frame::HEADER + 1));
        }
        if frame.len() == header.total {
            return self.whole_query(lease, text, run);
        }
        if header.total <= SHORT_QUERY {
            return Act::More;
        }
        let mut scan = Scan::default();
        scan.feed(text);
        self.scan = Some(Box::new(scan));
        self.loses_unnamed(lease, About::default());
        Act::Pass
    }

    fn whole_query(&mut self, lease: &mut Lease, text: &[u8], run: &mut Run<'_>) -> Act {
        if self.mode == PoolMode::Session {
            self.loses_unnamed(lease, About::default());
            return Act::Pass;
        }
        self.name_if_spoken_of(lease, text, run);
        let found = self.what_matters(Scan::of(text));
        let hidden = &self.shelf.pool().catalog.hidden;
        let is_plain = (found.is_empty() && !hidden.is_loud())
            || (found == Findings::CALLS && hidden.is_quiet());
        if is_plain && !may_call_statement(text) {
            if found.has(Findings::CALLS) {
                self.take_sequences(lease, run);
            }
            self.loses_unnamed(lease, About::default());
            return Act::Pass;
        }
        self.query_about_statements(lease, text, found, run)
    }

    fn scan_on(&mut self, part: &[u8]) {
        let Some(mut scan) = self.scan.take() else {
            return;
        };
        scan.feed(part);
        if self.body_left == 0 {
            // Its first part is on its way: statements cannot go ahead of it.
            let can = scan.finish();
            match &mut self.unnamed {
                // It was a Parse, of what is yet to be run.
                Unnamed::OnServer(unnamed) => *unnamed |= can,
                _ => self.note_unseen(can),
            }
        } else {
            self.scan = Some(scan);
        }
    }
}

/// What the function can do that a FunctionCall names.
fn function_called(frame: &[u8]) -> Findings {
    let oid = frame
        .get(frame::HEADER..)
        .and_then(|body| body.first_chunk::<4>());
    findings_of_function(oid.map_or(0, |oid| u32::from_be_bytes(*oid)))
}

/// Can this be EXECUTE (the others are found by the scan)?
fn may_call_statement(text: &[u8]) -> bool {
    !matches!(
        text.first(),
        Some(b's' | b'S' | b'u' | b'U' | b'i' | b'I' | b'b' | b'B' | b'c' | b'C')
    )
}

impl Client {
    /// The header at the start of `bytes`, if it has arrived.
    #[inline]
    pub(super) fn header_of(&self, bytes: &[u8]) -> Result<Option<Header>, End> {
        let longest = usize::try_from(self.max_frame).unwrap_or(usize::MAX);
        frame::header(bytes, longest).map_err(|_| {
            End::Told(PgError::fatal(
                sqlstate::PROTOCOL_VIOLATION,
                "invalid message length",
            ))
        })
    }
}

/// Is this a message that a client may send to a server at all?
pub(super) fn is_frontend(tag: u8) -> bool {
    matches!(
        tag,
        b'Q' | b'F' | b'P' | b'B' | b'D' | b'C' | b'E' | b'S' | b'H' | b'd' | b'c' | b'f' | b'X'
    )
}

/// `disable_pqexec`, in PgBouncer's words.
pub(super) fn no_simple_queries() -> PgError {
    PgError::fatal(sqlstate::PROTOCOL_VIOLATION, "PQexec disallowed")
}

pub(super) fn unknown_type(tag: u8) -> PgError {
    PgError::fatal(
        sqlstate::PROTOCOL_VIOLATION,
        format!("invalid frontend message type {tag}"),
    )
}
