//! What one server connection owes, and whether it stands at a boundary.
//!
//! ```text
//!             P B D E C            error (extended)
//!   at rest ------------> unsynced ---------------> skipping to Sync
//!      ^   Q F S            | S                        | S
//!      |---------> owing <--+--------------------------+
//!      |             | G                 c f, error
//!      |             +------> copy in  -----------> owing
//!      +--- ReadyForQuery, status I, nothing owed
//! ```
//!
//! Source: `protocol-flow.html#PROTOCOL-FLOW-EXT-QUERY` and
//! `protocol-flow.html#PROTOCOL-COPY`.

use super::owed::{About, Kind, OwedQueue, Pay};
use super::statements::{Op, UNNAMED_NONE, Unnamed};
use crate::wire::backend;

/// Most replies that may be owed at once. A client that sends more waits:
/// PostgreSQL has flushed replies long before (8 KB of them), so it cannot
/// wait for us while we wait for it.
const MAX_OWED: usize = 32_768;

/// Most statement changes that may hang on them: each can keep a text.
const MAX_CHANGES: usize = 256;

/// Proof that a server connection stands at a clean transaction boundary:
/// everything owed is paid and the server reported ReadyForQuery `I`. Only
/// the tracker makes one.
#[derive(Debug)]
pub struct Boundary(());

/// Where a server connection stands.
#[derive(Debug)]
pub enum Rest {
    /// At a boundary; here is the proof.
    Boundary(Boundary),
    /// In a transaction, or something is still owed.
    Busy,
    /// All is paid, but what the server may still say is not certain: close it.
    Doubt,
}

/// Transaction status as ReadyForQuery reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TxStatus {
    /// Not in a transaction block.
    Idle,
    /// In a transaction block.
    InTransaction,
    /// In a failed transaction block.
    Failed,
}

/// The server said what it could not say here. The connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the server sent message type {0:?} out of turn")]
pub struct Violation(pub char);

/// What to do with a client's Sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncFate {
    /// It goes to the server.
    Forward,
    /// The server reads COPY data and would ignore it: it is kept back until
    /// the copy's end shows whether it counts.
    Hold,
}

/// The tracker of one server connection. See the module's diagram.
#[derive(Debug)]
pub struct Tracker {
    owed: OwedQueue,
    status: TxStatus,
    /// Extended messages were sent after the last Sync or Query.
    unsynced: bool,
    /// Some of them are the client's.
    client_unsynced: bool,
    /// An error was reported; the server reads on to the next Sync.
    skipping: bool,
    /// The server reads CopyData from the client.
    copy_in: bool,
    /// A Sync that the client sent during a COPY, see [`SyncFate::Hold`].
    held_sync: bool,
    /// Syncs that the server was believed to ignore in the COPY under way.
    early_syncs: u32,
    /// See [`Rest::Doubt`].
    doubt: bool,
    /// Segments (up to Sync, Query or FunctionCall) sent and finished so far.
    segments_sent: u64,
    segments_done: u64,
    undone: Vec<Op>,
}

impl Default for Tracker {
    /// The tracker of a server connection whose login has just ended with
    /// ReadyForQuery `I`.
    fn default() -> Self {
        Self {
            owed: OwedQueue::default(),
            status: TxStatus::Idle,
            unsynced: false,
            client_unsynced: false,
            skipping: false,
            copy_in: false,
            held_sync: false,
            early_syncs: 0,
            doubt: false,
            segments_sent: 0,
            segments_done: 0,
            undone: Vec::new(),
        }
    }
}

impl Tracker {
    /// Transaction status as last reported.
    #[must_use]
    pub fn status(&self) -> TxStatus {
        self.status
    }

    /// Where the connection stands now.
    #[inline]
    #[must_use]
    pub fn rest(&self) -> Rest {
        let paid = self.owed.is_empty()
            && !self.unsynced
            && !self.skipping
            && !self.copy_in
            && !self.held_sync;
        match (paid && self.status == TxStatus::Idle, self.doubt) {
            (true, false) => Rest::Boundary(Boundary(())),
            (true, true) => Rest::Doubt,
            (false, _) => Rest::Busy,
        }
    }

    /// May more messages be sent, or is the queue of owed replies full?
    #[inline]
    #[must_use]
    pub fn may_send(&self) -> bool {
        self.owed.len() < MAX_OWED && self.owed.changes() < MAX_CHANGES
    }

    /// Is any reply owed?
    #[must_use]
    pub fn owes(&self) -> bool {
        !self.owed.is_empty()
    }

    /// Is all that is owed for the pooler's own messages?
    #[must_use]
    pub fn owes_nobody_but_us(&self) -> bool {
        self.owed.is_ours()
    }

    /// Do statement changes hang on replies that are owed?
    #[inline]
    #[must_use]
    pub fn has_changes(&self) -> bool {
        self.owed.changes() > 0
    }

    /// Does the server read on to the next Sync, ignoring all else?
    #[inline]
    #[must_use]
    pub fn skipping(&self) -> bool {
        self.skipping
    }

    /// Were extended messages sent that no Sync has followed yet? What is
    /// sent now may then be skipped by the server.
    #[inline]
    #[must_use]
    pub fn unsynced(&self) -> bool {
        self.unsynced
    }

    /// Are all unsynced messages the pooler's own?
    #[must_use]
    pub fn only_own_unsynced(&self) -> bool {
        self.unsynced && !self.client_unsynced
    }

    /// Is the server reading CopyData?
    #[must_use]
    pub fn copy_in(&self) -> bool {
        self.copy_in
    }

    /// Number of the segment that the next message belongs to.
    #[must_use]
    pub fn segment(&self) -> u64 {
        self.segments_sent
    }

    /// Is every segment before the current one finished, so that its outcome
    /// is known?
    #[must_use]
    pub fn settled(&self) -> bool {
        self.segments_done == self.segments_sent
    }

    /// Is at most one segment unanswered? A cancel then cannot hit an earlier
    /// one than is meant: a BEGIN, say, whose INSERT is already on its way.
    #[must_use]
    pub fn in_last_segment(&self) -> bool {
        self.segments_sent - self.segments_done <= 1
    }

    /// Has the given segment been answered to its end?
    #[must_use]
    pub fn is_done(&self, segment: u64) -> bool {
        segment < self.segments_done
    }

    /// A message is about to be sent (or, with [`Pay::Answer`], answered
    /// without being sent). While the server skips to Sync it owes nothing.
    #[inline]
    pub fn owe(&mut self, kind: Kind, pay: Pay) {
        self.owe_about(kind, pay, About::default());
    }

    /// The same for a message that names this statement under its name on the
    /// server.
    #[inline]
    pub fn owe_about(&mut self, kind: Kind, pay: Pay, about: About) {
        if kind == Kind::Sync {
            self.skipping = false;
        }
        if self.skipping {
            return;
        }
        self.owed.push(kind, pay, about);
        if kind.ends_with_ready() {
            self.unsynced = false;
            self.client_unsynced = false;
            self.segments_sent += 1;
        } else {
            self.unsynced = true;
            self.client_unsynced |= pay != Pay::Swallow;
        }
    }

    /// The message just owed will never be sent to its end: no reply comes.
    pub fn newest_is_cut_off(&mut self) {
        let ended = self.owed.pop_newest().is_some_and(Kind::ends_with_ready);
        self.segments_sent -= u64::from(ended);
    }

    /// Hangs a statement change on the message just owed: it holds when that
    /// is paid, and comes back from [`Tracker::take_undone`] when it is not.
    pub fn attach(&mut self, op: Op) {
        self.owed.attach(op);
    }

    /// The client sends Sync.
    pub fn client_sync(&mut self) -> SyncFate {
        if self.copy_in {
            self.held_sync = true;
            return SyncFate::Hold;
        }
        self.owe(Kind::Sync, Pay::Forward);
        SyncFate::Forward
    }

    /// The client sends CopyDone or CopyFail. False: no COPY can be meant by
    /// it, the server would ignore it.
    pub fn client_ends_copy(&mut self) -> bool {
        if self.copy_in {
            self.copy_in = false;
            // A Sync before the copy's end is one that the server ignores.
            self.held_sync = false;
            return true;
        }
        if self.owed.is_empty() || self.skipping {
            return false;
        }
        self.owed
            .push(Kind::CopyEnd, Pay::Swallow, About::default());
        true
    }

    /// May CopyData be meant for the server, now or when it has caught up?
    #[must_use]
    pub fn expects_copy_data(&self) -> bool {
        self.copy_in || (!self.owed.is_empty() && !self.skipping)
    }

    /// A Sync was held back in a COPY that then failed: it counts after all
    /// and must be sent now.
    pub fn take_held_sync(&mut self) -> bool {
        let release = self.held_sync && !self.copy_in;
        if release {
            self.held_sync = false;
            self.owe(Kind::Sync, Pay::Forward);
        }
        release
    }

    /// The same, without taking them.
    #[must_use]
    pub fn undone(&self) -> &[Op] {
        &self.undone
    }

    /// Statement changes that did not come to pass, the newest first.
    pub fn take_undone(&mut self) -> Vec<Op> {
        std::mem::take(&mut self.undone)
    }

    /// The server has said what nobody asked for, after all was paid: who was
    /// served has lost nothing, but nobody else may be.
    pub fn spoil(&mut self) {
        self.doubt = true;
    }

    /// The statement that the message whose reply comes next is about.
    #[inline]
    #[must_use]
    pub fn head_is_about(&self) -> About {
        self.owed.head().map_or(About::default(), |head| head.about)
    }

    /// The name by which a client knew a statement before changes that did not
    /// come to pass, or are not settled yet.
    #[must_use]
    pub fn earlier_name_of(&self, about: About) -> Option<&[u8]> {
        let undone = self.undone.iter();
        undone.chain(self.owed.pending()).find_map(|op| match op {
            Op::ClientName {
                name,
                before: Some(before),
            } if before.statement.id == about.id && about.is_called(name) => Some(&**name),
            Op::Called { id, name } if *id == about.id && about.is_called(name) => Some(&**name),
            _ => None,
        })
    }

    /// What the client calls a statement in a message that has failed, or is
    /// not answered yet.
    #[must_use]
    pub fn called(&self, statement: u64) -> Option<&[u8]> {
        let undone = self.undone.iter();
        undone.chain(self.owed.pending()).find_map(|op| match op {
            Op::Called { id, name } if *id == statement => Some(&**name),
            _ => None,
        })
    }

    /// Who gets rows and copy data that arrive now.
    #[inline]
    #[must_use]
    pub fn body_pay(&self) -> Option<Pay> {
        self.owed.head().map(|head| head.pay)
    }

    /// The pooler's own answers whose turn has come, for the client.
    #[inline]
    pub fn answers(&mut self, out: &mut Vec<u8>) {
        while let Some(head) = self.owed.head() {
            if head.pay != Pay::Answer {
                return;
            }
            match head.kind {
                Kind::Close => out.extend_from_slice(&backend::CLOSE_COMPLETE),
                _ => out.extend_from_slice(&backend::PARSE_COMPLETE),
            }
            self.owed.pay_head();
        }
    }

    /// Is an answer of the pooler's own due now?
    #[inline]
    #[must_use]
    pub fn has_answers(&self) -> bool {
        self.owed.head().is_some_and(|head| head.pay == Pay::Answer)
    }

    /// Judges one message of the server. `body` may be only its beginning,
    /// except for ReadyForQuery.
    ///
    /// # Errors
    /// [`Violation`] when the message cannot come here.
    pub fn received(&mut self, tag: u8, body: &[u8]) -> Result<Pay, Violation> {
        match tag {
            b'Z' => self.ready(body),
            b'E' => Ok(self.error(body)),
            b'S' | b'N' => Ok(self.body_pay().unwrap_or(Pay::Forward)),
            // The client's, whatever else is under way.
            b'A' => Ok(Pay::Forward),
            _ => self.reply(tag),
        }
    }

    /// Replies between a message and its end.
    fn reply(&mut self, tag: u8) -> Result<Pay, Violation> {
        use Kind::{
            Bind, Close, DescribePortal, DescribeStatement, Execute, FunctionCall, Parse, Query,
        };
        let head = self.owed.head().ok_or(Violation(char::from(tag)))?;
        let paid = match (tag, head.kind) {
            (b'1', Parse) | (b'2', Bind) | (b'3', Close) => true,
            (b'T' | b'n', DescribeStatement | DescribePortal) | (b'C' | b'I' | b's', Execute) => {
                true
            }
            (b't', DescribeStatement) | (b'V', FunctionCall) => false,
            (b'D' | b'd' | b'c' | b'H', Execute | Query) | (b'T' | b'C' | b'I', Query) => false,
            (b'G', Execute | Query) => {
                self.begin_copy_in();
                false
            }
            _ => return Err(Violation(char::from(tag))),
        };
        if tag == b'C' {
            self.early_syncs = 0;
        }
        if paid {
            self.owed.pay_head();
        }
        Ok(head.pay)
    }

    fn begin_copy_in(&mut self) {
        let (swallowed, ended) = self.owed.begin_copy_in();
        self.early_syncs += swallowed;
        self.segments_sent -= u64::from(swallowed);
        self.copy_in = !ended;
        // The swallowed Syncs ended nothing: the Execute is unsynced again.
        if swallowed > 0 && !self.later_segment_was_sent() {
            self.unsynced = true;
        }
    }

    fn later_segment_was_sent(&self) -> bool {
        self.segments_sent > self.segments_done
    }

    fn ready(&mut self, body: &[u8]) -> Result<Pay, Violation> {
        let status = match body {
            [b'I'] => TxStatus::Idle,
            [b'T'] => TxStatus::InTransaction,
            [b'E'] => TxStatus::Failed,
            _ => return Err(Violation('Z')),
        };
        let pay = match self.owed.head() {
            Some(head) if head.kind.ends_with_ready() => {
                self.owed.pay_head();
                self.segments_done += 1;
                head.pay
            }
            // A Sync that was believed swallowed counted after all.
            None if self.early_syncs > 0 => {
                self.unsynced = false;
                Pay::Forward
            }
            _ => return Err(Violation('Z')),
        };
        self.status = status;
        self.skipping = false;
        self.copy_in = false;
        self.early_syncs = 0;
        Ok(pay)
    }

    /// Changes that did not come to pass go before those of earlier errors.
    fn put_back(&mut self, newest: Vec<(Op, bool)>) {
        let mut undone = Vec::with_capacity(newest.len());
        for (op, failed_itself) in newest {
            undone.extend(self.still_to_undo(op, failed_itself));
        }
        undone.append(&mut self.undone);
        self.undone = undone;
    }

    /// An unnamed statement that has been replaced again since is what that
    /// change, still unsettled, now goes back to. A failed Parse has destroyed
    /// what was there; a skipped one not.
    fn still_to_undo(&mut self, op: Op, failed_itself: bool) -> Option<Op> {
        let (before, mark) = match op {
            Op::Unnamed { .. } if failed_itself => (Unnamed::None, UNNAMED_NONE),
            Op::Unnamed { before, mark } => (before, mark),
            op => return Some(op),
        };
        let (before, mark) = self.owed.inherit_unnamed((before, mark))?;
        Some(Op::Unnamed { before, mark })
    }

    fn error(&mut self, body: &[u8]) -> Pay {
        let is_fatal = backend::is_fatal(body);
        let Some(head) = self.owed.head() else {
            // Out of turn: a FATAL to an idle connection, or worse.
            self.doubt = true;
            return Pay::Forward;
        };
        // The copy may have failed before its first data was read: nobody knows
        // on which side of the error the early Sync fell.
        self.doubt |= self.early_syncs > 0;
        self.copy_in = false;
        if !head.kind.ends_with_ready() {
            let dropped = self.owed.drop_to_sync();
            self.segments_done += dropped.segments;
            self.put_back(dropped.undone);
            if !dropped.sync_follows {
                self.skipping = true;
                self.unsynced = true;
            }
            // Ours alone, up to a Sync of ours: nobody's business.
            if head.pay == Pay::Swallow && self.body_pay() == Some(Pay::Swallow) && !is_fatal {
                return Pay::Swallow;
            }
            // Ours or the client's, the error stands for what the client sent.
            return Pay::Forward;
        }
        if is_fatal {
            return Pay::Forward;
        }
        if head.pay == Pay::Swallow {
            self.doubt = true;
        }
        let failed = self.owed.take_head_ops();
        self.put_back(failed);
        head.pay
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn pays(tracker: &mut Tracker, replies: &[(u8, &[u8])]) -> Vec<Result<Pay, Violation>> {
        replies
            .iter()
            .map(|(tag, body)| tracker.received(*tag, body))
            .collect()
    }

    fn at_boundary(tracker: &Tracker) -> bool {
        matches!(tracker.rest(), Rest::Boundary(_))
    }

    const ERROR: &[u8] = b"SERROR\0VERROR\0C22P02\0\0";

    #[test]
    fn a_fresh_connection_stands_at_a_boundary() {
        assert!(at_boundary(&Tracker::default()));
    }

    #[test]
    fn a_simple_query_is_paid_by_its_ready_for_query() {
        let mut tracker = Tracker::default();
        tracker.owe(Kind::Query, Pay::Forward);
        assert!(!at_boundary(&tracker));
        let got = pays(
            &mut tracker,
            &[
                (b'T', b""),
                (b'D', b""),
                (b'C', b"SELECT 1\0"),
                (b'Z', b"I"),
            ],
        );
        assert_eq!(got, [Ok(Pay::Forward); 4]);
        assert!(at_boundary(&tracker));
    }

    #[test]
    fn a_transaction_block_is_no_boundary() {
        let mut tracker = Tracker::default();
        for status in [b"T", b"E"] {
            tracker.owe(Kind::Query, Pay::Forward);
            assert_eq!(tracker.received(b'Z', status), Ok(Pay::Forward));
            assert!(matches!(tracker.rest(), Rest::Busy));
        }
    }

    #[test]
    fn extended_messages_without_sync_are_no_boundary() {
        let mut tracker = Tracker::default();
        tracker.owe(Kind::Parse, Pay::Forward);
        assert_eq!(tracker.received(b'1', b""), Ok(Pay::Forward));
        assert!(!tracker.owes());
        assert!(!at_boundary(&tracker));
        tracker.client_sync();
        assert_eq!(tracker.received(b'Z', b"I"), Ok(Pay::Forward));
        assert!(at_boundary(&tracker));
    }

    #[test]
    fn an_error_sweeps_the_queue_up_to_the_next_sync() {
        let mut tracker = Tracker::default();
        for kind in [
            Kind::Parse,
            Kind::Bind,
            Kind::Execute,
            Kind::Query,
            Kind::Sync,
            Kind::Parse,
            Kind::Sync,
        ] {
            tracker.owe(kind, Pay::Forward);
        }
        let got = pays(
            &mut tracker,
            &[
                (b'1', b""),
                (b'E', ERROR),
                (b'Z', b"I"),
                (b'1', b""),
                (b'Z', b"I"),
            ],
        );
        assert_eq!(got, [Ok(Pay::Forward); 5]);
        assert!(at_boundary(&tracker));
        assert!(tracker.settled());
    }

    #[test]
    fn after_an_error_nothing_is_owed_until_sync() {
        let mut tracker = Tracker::default();
        tracker.owe(Kind::Parse, Pay::Forward);
        assert_eq!(tracker.received(b'E', ERROR), Ok(Pay::Forward));
        assert!(tracker.skipping());
        tracker.owe(Kind::Bind, Pay::Forward);
        tracker.owe(Kind::Query, Pay::Forward);
        assert!(!tracker.owes());
        assert!(!at_boundary(&tracker));
        assert_eq!(tracker.client_sync(), SyncFate::Forward);
        assert_eq!(tracker.received(b'Z', b"I"), Ok(Pay::Forward));
        assert!(at_boundary(&tracker));
    }

    #[test]
    fn what_follows_a_sync_after_an_error_is_owed() {
        let mut tracker = Tracker::default();
        tracker.owe(Kind::Parse, Pay::Forward);
        let _ = tracker.received(b'E', ERROR);
        tracker.client_sync();
        tracker.owe(Kind::Query, Pay::Forward);
        assert_eq!(tracker.received(b'Z', b"I"), Ok(Pay::Forward));
        assert!(matches!(tracker.rest(), Rest::Busy));
        assert_eq!(tracker.received(b'Z', b"I"), Ok(Pay::Forward));
        assert!(at_boundary(&tracker));
    }

    #[test]
    fn changes_of_two_errors_in_a_row_both_come_back() {
        let mut tracker = Tracker::default();
        for id in [1, 2] {
            tracker.owe(Kind::Parse, Pay::Forward);
            tracker.attach(Op::ServerPrepares(id));
            tracker.client_sync();
        }
        let _ = pays(&mut tracker, &[(b'E', ERROR), (b'Z', b"I"), (b'E', ERROR)]);
        assert_eq!(tracker.take_undone().len(), 2);
    }

    #[test]
    fn an_error_of_a_batch_of_our_own_is_nobodys_business() {
        let mut tracker = Tracker::default();
        tracker.owe(Kind::Parse, Pay::Swallow);
        assert!(tracker.only_own_unsynced());
        tracker.owe(Kind::Sync, Pay::Swallow);
        tracker.owe(Kind::Query, Pay::Forward);
        let got = pays(
            &mut tracker,
            &[(b'E', ERROR), (b'Z', b"I"), (b'C', b""), (b'Z', b"I")],
        );
        let expected = [
            Ok(Pay::Swallow),
            Ok(Pay::Swallow),
            Ok(Pay::Forward),
            Ok(Pay::Forward),
        ];
        assert_eq!(got, expected);
    }

    #[test]
    fn a_fatal_error_is_always_the_clients() {
        let mut tracker = Tracker::default();
        tracker.owe(Kind::Query, Pay::Swallow);
        assert_eq!(
            tracker.received(b'E', b"SFATAL\0VFATAL\0C57P01\0\0"),
            Ok(Pay::Forward)
        );
    }

    #[test]
    fn a_message_cut_off_is_not_waited_for() {
        let mut tracker = Tracker::default();
        tracker.owe(Kind::Query, Pay::Forward);
        tracker.owe(Kind::Query, Pay::Forward);
        tracker.newest_is_cut_off();
        assert!(tracker.owes() && tracker.in_last_segment());
        assert_eq!(tracker.received(b'Z', b"I"), Ok(Pay::Forward));
        assert!(!tracker.owes() && tracker.settled());
    }

    #[test]
    fn an_error_at_sync_is_followed_by_its_ready_for_query() {
        let mut tracker = Tracker::default();
        tracker.client_sync();
        let got = pays(&mut tracker, &[(b'E', ERROR), (b'Z', b"I")]);
        assert_eq!(got, [Ok(Pay::Forward); 2]);
        assert!(at_boundary(&tracker));
    }

    #[test]
    fn replies_to_our_own_messages_are_swallowed() {
        let mut tracker = Tracker::default();
        tracker.owe(Kind::Query, Pay::Swallow);
        tracker.owe(Kind::Parse, Pay::Swallow);
        tracker.owe(Kind::Bind, Pay::Forward);
        let got = pays(
            &mut tracker,
            &[
                (b'C', b"SET\0"),
                (b'S', b""),
                (b'Z', b"I"),
                (b'1', b""),
                (b'2', b""),
            ],
        );
        let mut expected = [Ok(Pay::Swallow); 5];
        expected[4] = Ok(Pay::Forward);
        assert_eq!(got, expected);
    }

    #[test]
    fn answers_come_in_their_turn() {
        let mut tracker = Tracker::default();
        tracker.owe(Kind::Bind, Pay::Forward);
        tracker.owe(Kind::Parse, Pay::Answer);
        tracker.owe(Kind::Close, Pay::Answer);
        tracker.client_sync();
        let mut out = Vec::new();
        tracker.answers(&mut out);
        assert!(out.is_empty());
        assert_eq!(tracker.received(b'2', b""), Ok(Pay::Forward));
        assert!(tracker.has_answers());
        tracker.answers(&mut out);
        assert_eq!(out, b"1\0\0\0\x043\0\0\0\x04");
        assert_eq!(tracker.received(b'Z', b"I"), Ok(Pay::Forward));
        assert!(at_boundary(&tracker));
    }

    #[test]
    fn statement_changes_behind_an_error_come_back_newest_first() {
        let mut tracker = Tracker::default();
        tracker.owe(Kind::Parse, Pay::Forward);
        tracker.attach(Op::ServerPrepares(1));
        tracker.owe(Kind::Parse, Pay::Forward);
        tracker.attach(Op::ServerPrepares(2));
        tracker.owe(Kind::Parse, Pay::Forward);
        tracker.attach(Op::ServerPrepares(3));
        tracker.client_sync();
        tracker.owe(Kind::Parse, Pay::Forward);
        tracker.attach(Op::ServerPrepares(4));
        let _ = pays(&mut tracker, &[(b'1', b""), (b'E', ERROR)]);
        let undone: Vec<_> = tracker
            .take_undone()
            .into_iter()
            .map(|op| format!("{op:?}"))
            .collect();
        assert_eq!(undone, ["ServerPrepares(3)", "ServerPrepares(2)"]);
        let _ = pays(&mut tracker, &[(b'Z', b"I"), (b'1', b"")]);
        assert!(tracker.take_undone().is_empty());
    }

    #[test]
    fn an_early_sync_in_copy_from_is_swallowed_by_the_server() {
        let mut tracker = Tracker::default();
        tracker.owe(Kind::Execute, Pay::Forward);
        tracker.client_sync();
        assert_eq!(tracker.received(b'G', b""), Ok(Pay::Forward));
        assert!(tracker.copy_in());
        assert!(tracker.client_ends_copy());
        assert_eq!(tracker.client_sync(), SyncFate::Forward);
        let got = pays(&mut tracker, &[(b'C', b"COPY 1\0"), (b'Z', b"I")]);
        assert_eq!(got, [Ok(Pay::Forward); 2]);
        assert!(at_boundary(&tracker));
        assert!(tracker.settled());
    }

    #[test]
    fn a_copy_sent_wholly_ahead_is_understood() {
        let mut tracker = Tracker::default();
        tracker.owe(Kind::Execute, Pay::Forward);
        tracker.client_sync();
        assert!(tracker.expects_copy_data());
        assert!(tracker.client_ends_copy());
        tracker.client_sync();
        let got = pays(
            &mut tracker,
            &[(b'G', b""), (b'C', b"COPY 1\0"), (b'Z', b"I")],
        );
        assert_eq!(got, [Ok(Pay::Forward); 3]);
        assert!(at_boundary(&tracker));
    }

    #[test]
    fn a_sync_inside_copy_data_is_held_until_the_copy_fails() {
        let mut tracker = Tracker::default();
        tracker.owe(Kind::Execute, Pay::Forward);
        let _ = tracker.received(b'G', b"");
        assert_eq!(tracker.client_sync(), SyncFate::Hold);
        assert!(!tracker.take_held_sync());
        let _ = tracker.received(b'E', ERROR);
        assert!(tracker.take_held_sync());
        assert_eq!(tracker.received(b'Z', b"I"), Ok(Pay::Forward));
        assert!(at_boundary(&tracker));
    }

    #[test]
    fn a_failed_copy_with_an_early_sync_leaves_doubt() {
        let mut tracker = Tracker::default();
        tracker.owe(Kind::Execute, Pay::Forward);
        tracker.client_sync();
        let _ = tracker.received(b'G', b"");
        let _ = tracker.received(b'E', b"SERROR\0VERROR\0C57014\0\0");
        assert_eq!(tracker.received(b'Z', b"I"), Ok(Pay::Forward));
        assert!(matches!(tracker.rest(), Rest::Doubt));
    }

    #[test]
    fn two_copies_in_one_query_are_both_served() {
        let mut tracker = Tracker::default();
        tracker.owe(Kind::Query, Pay::Forward);
        for _ in 0..2 {
            let _ = tracker.received(b'G', b"");
            assert!(tracker.copy_in());
            assert!(tracker.client_ends_copy());
            let _ = tracker.received(b'C', b"COPY 1\0");
        }
        let _ = tracker.received(b'Z', b"I");
        assert!(at_boundary(&tracker));
    }

    #[test]
    fn the_end_of_a_copy_that_failed_before_it_began_counts_for_nothing() {
        let mut tracker = Tracker::default();
        tracker.owe(Kind::Query, Pay::Forward);
        assert!(tracker.client_ends_copy());
        let _ = pays(&mut tracker, &[(b'E', ERROR), (b'Z', b"I")]);
        assert!(at_boundary(&tracker));
        assert!(!tracker.client_ends_copy());
        assert!(!tracker.expects_copy_data());
    }

    #[test]
    fn replies_out_of_turn_are_violations() {
        for (tag, body) in [
            (b'1', &b""[..]),
            (b'D', b""),
            (b'Z', b"I"),
            (b'G', b""),
            (b'K', b""),
        ] {
            assert_eq!(
                Tracker::default().received(tag, body),
                Err(Violation(char::from(tag)))
            );
        }
        let mut tracker = Tracker::default();
        tracker.owe(Kind::Query, Pay::Forward);
        assert_eq!(tracker.received(b'Z', b"x"), Err(Violation('Z')));
        assert_eq!(tracker.received(b'1', b""), Err(Violation('1')));
    }

    #[test]
    fn an_error_to_an_idle_connection_leaves_doubt() {
        let mut tracker = Tracker::default();
        let _ = tracker.received(b'E', ERROR);
        assert!(matches!(tracker.rest(), Rest::Doubt));
    }
}
