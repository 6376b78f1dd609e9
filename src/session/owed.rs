//! The in-order queue of replies that a server connection owes.
//!
//! One entry for each message that the server will answer, whoever sent it;
//! each reply is paid to the head. Nothing is re-ordered.

use std::collections::VecDeque;

use super::statements::{Op, Unnamed};

/// The message whose reply is owed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Parse: paid by ParseComplete.
    Parse,
    /// Bind: paid by BindComplete.
    Bind,
    /// Describe of a statement: paid by RowDescription or NoData.
    DescribeStatement,
    /// Describe of a portal: paid by RowDescription or NoData.
    DescribePortal,
    /// Execute: paid by CommandComplete, EmptyQueryResponse or PortalSuspended.
    Execute,
    /// Close: paid by CloseComplete.
    Close,
    /// Sync: paid by ReadyForQuery.
    Sync,
    /// Query: paid by ReadyForQuery.
    Query,
    /// FunctionCall: paid by ReadyForQuery.
    FunctionCall,
    /// Not a debt but a mark: here the client ended a COPY that the server
    /// has not asked for yet (CopyDone or CopyFail sent ahead).
    CopyEnd,
}

impl Kind {
    /// Is the reply's end ReadyForQuery?
    pub(super) fn ends_with_ready(self) -> bool {
        matches!(self, Kind::Sync | Kind::Query | Kind::FunctionCall)
    }
}

/// What becomes of a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pay {
    /// The client's: it is forwarded.
    Forward,
    /// It answers a message of the pooler's: nobody sees it.
    Swallow,
    /// The server never got the message; the pooler answers in its turn.
    Answer,
}

/// The statement that a message names under its name on the server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct About {
    /// Its identity; 0: the message names none.
    pub id: u64,
    /// A hash of the name that the client has for it.
    pub name: u32,
    /// How many characters more the text sent has than the client's.
    pub shift: i16,
}

/// Why a message was sent as one that the server must refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// The client has as many prepared statements as it may have.
    TooMany,
    /// What the statement returns is not what the client was told.
    Stale,
    /// It would make state in the session, which the configuration forbids.
    SessionState,
}

impl About {
    /// Statement `id`, which the client calls `name`.
    #[must_use]
    pub fn new(id: u64, name: &[u8]) -> Self {
        Self {
            id,
            name: hash_of(name),
            shift: 0,
        }
    }

    /// The same, in a text with so many characters more than the client's.
    #[must_use]
    pub fn shifted(self, shift: i16) -> Self {
        Self { shift, ..self }
    }

    /// A message that only serves to be refused.
    #[must_use]
    pub fn refused(why: Refused) -> Self {
        let id = match why {
            Refused::TooMany => 1,
            Refused::Stale => 2,
            Refused::SessionState => 3,
        };
        Self {
            id,
            ..Self::default()
        }
    }

    /// Was it sent to be refused?
    #[must_use]
    pub fn is_refused(self) -> Option<Refused> {
        match self.id {
            1 => Some(Refused::TooMany),
            2 => Some(Refused::Stale),
            3 => Some(Refused::SessionState),
            _ => None,
        }
    }

    /// A Describe of the pooler's own, of which the client sees the parameters
    /// alone: what would follow them is refused.
    pub const PARAMETERS: Self = Self::own(5);

    /// A message that gives the server connection the client's settings.
    pub const ALIGN: Self = Self::own(6);

    /// The last of these.
    pub const ALIGNED: Self = Self::own(7);

    /// The pooler asks for the state of the session: what is set ...
    pub const GET: Self = Self::own(8);

    /// ... for all that has been set ...
    pub const GET_ALL: Self = Self::own(9);

    /// ... for functions ...
    pub const FUNCTIONS: Self = Self::own(17);

    /// ... for what is as it was ...
    pub const DEFAULTS: Self = Self::own(13);

    /// ... for what ties the session to its server connection ...
    pub const STATE: Self = Self::own(10);

    /// ... for its locks.
    pub const LOCKS: Self = Self::own(11);

    /// ... for all of that by name.
    pub const INVENTORY: Self = Self::own(21);

    /// The end of the questions.
    pub const ASKED: Self = Self::own(12);

    /// The connection is being made to listen for its client, or no longer: ...
    pub const LISTENS: Self = Self::own(18);

    /// ... the last message of the latter.
    pub const LISTENED: Self = Self::own(19);

    /// Nothing that runs out while it idles is left behind.
    pub const CALMED: Self = Self::own(20);

    /// Is it a question, whose rows are read?
    #[inline]
    #[must_use]
    pub fn is_question(self) -> bool {
        matches!(self.id, 8..=11 | 13..=15 | 17 | 21)
    }

    /// It asks under which settings a statement is parsed ...
    pub const ENV: Self = Self::own(14);

    /// ... and for all that has been set ...
    pub const ENV_ALL: Self = Self::own(15);

    /// ... and has the answer.
    pub const ENV_KNOWN: Self = Self::own(16);

    const fn own(id: u64) -> Self {
        Self {
            id,
            name: 0,
            shift: 0,
        }
    }

    /// Is this the name that the client used?
    #[must_use]
    pub fn is_called(self, name: &[u8]) -> bool {
        self.name == hash_of(name)
    }
}

fn hash_of(name: &[u8]) -> u32 {
    let fold = |hash: u32, byte: &u8| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
    name.iter().fold(0x811c_9dc5, fold)
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Owed {
    pub kind: Kind,
    pub pay: Pay,
    pub about: About,
    /// How many entries of the ops queue belong to this one.
    ops: u8,
}

/// What an error swept off the queue.
#[derive(Debug, Default)]
pub(super) struct Dropped {
    /// The Sync up to which the server skips has already been sent.
    pub sync_follows: bool,
    /// Queries that the server skips as well.
    pub segments: u64,
    /// Statement changes to take back, the newest first, each with whether it
    /// hung on the very message that failed.
    pub undone: Vec<(Op, bool)>,
}

/// The queue, with the statement changes that hang on its entries.
#[derive(Debug, Default)]
pub(super) struct OwedQueue {
    entries: VecDeque<Owed>,
    ops: VecDeque<Op>,
}

impl OwedQueue {
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// An unnamed statement was not replaced after all. If it has been replaced
    /// again since, that is what the next change now replaces; else the state
    /// to go back to comes back.
    pub fn inherit_unnamed(&mut self, was: (Unnamed, u64)) -> Option<(Unnamed, u64)> {
        for op in &mut self.ops {
            if let Op::Unnamed { before, mark } = op {
                (*before, *mark) = was;
                return None;
            }
        }
        Some(was)
    }

    /// The changes themselves, the oldest first.
    pub fn pending(&self) -> impl Iterator<Item = &Op> {
        self.ops.iter()
    }

    /// How many statement changes hang on the entries.
    #[inline]
    pub fn changes(&self) -> usize {
        self.ops.len()
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Is nothing of it the client's?
    pub fn is_ours(&self) -> bool {
        self.entries.iter().all(|entry| entry.pay == Pay::Swallow)
    }

    #[inline]
    pub fn head(&self) -> Option<Owed> {
        self.entries.front().copied()
    }

    #[inline]
    pub fn push(&mut self, kind: Kind, pay: Pay, about: About) {
        self.entries.push_back(Owed {
            kind,
            pay,
            about,
            ops: 0,
        });
    }

    /// Hangs a statement change on the newest entry.
    pub fn attach(&mut self, op: Op) {
        if let Some(entry) = self.entries.back_mut() {
            entry.ops = entry.ops.saturating_add(1);
            self.ops.push_back(op);
        }
    }

    /// The head is paid; its statement changes now hold. Marks of copies that
    /// never began are worth nothing once they are at the head.
    #[inline]
    pub fn pay_head(&mut self) {
        if let Some(entry) = self.entries.pop_front() {
            for _ in 0..entry.ops {
                self.ops.pop_front();
            }
        }
        while self.head().is_some_and(|entry| entry.kind == Kind::CopyEnd) {
            self.entries.pop_front();
        }
    }

    /// The newest entry's message will never be sent to its end.
    pub fn pop_newest(&mut self) -> Option<Kind> {
        let entry = self.entries.pop_back()?;
        let keep = self.ops.len().saturating_sub(usize::from(entry.ops));
        self.ops.truncate(keep);
        Some(entry.kind)
    }

    /// The statement changes of a head that failed but is still to be answered
    /// to its end, the newest first.
    pub fn take_head_ops(&mut self) -> Vec<(Op, bool)> {
        let Some(head) = self.entries.front_mut() else {
            return Vec::new();
        };
        let ops = usize::from(std::mem::take(&mut head.ops)).min(self.ops.len());
        self.ops.drain(..ops).rev().map(|op| (op, true)).collect()
    }

    /// Drops what the server will not answer after an error: every entry
    /// before the next Sync.
    pub fn drop_to_sync(&mut self) -> Dropped {
        let mut dropped = Dropped::default();
        let mut failed_itself = true;
        while let Some(entry) = self.head() {
            if entry.kind == Kind::Sync {
                dropped.sync_follows = true;
                break;
            }
            let ops = usize::from(entry.ops).min(self.ops.len());
            dropped
                .undone
                .extend(self.ops.drain(..ops).map(|op| (op, failed_itself)));
            dropped.segments += u64::from(entry.kind.ends_with_ready());
            self.entries.pop_front();
            failed_itself = false;
        }
        dropped.undone.reverse();
        dropped
    }

    /// A COPY FROM begins that the head asked for: the server swallows each
    /// Sync that it reads before the copy's end. Returns how many it will
    /// swallow, and whether the client has already ended the copy.
    pub fn begin_copy_in(&mut self) -> (u32, bool) {
        let mut swallowed = 0;
        let mut at = 1;
        while let Some(entry) = self.entries.get(at) {
            match entry.kind {
                Kind::Sync => {
                    swallowed += 1;
                    self.entries.remove(at);
                }
                Kind::CopyEnd => {
                    self.entries.remove(at);
                    return (swallowed, true);
                }
                _ => at += 1,
            }
        }
        (swallowed, false)
    }
}
