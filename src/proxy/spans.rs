//! What a client's transactions are traced by (the feature `otel`): one note for each that
//! is to be told of, handed to whoever exports them. Never waited for.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::client::{Client, End, Service};
use crate::pool::{Lease, ServerPool};
use crate::session::TraceParent;

/// The client has left amid its transaction: PostgreSQL's SQLSTATE for that is 08006.
const GONE: &[u8] = b"08006";

/// Whom a transaction is a part of: an application's own span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parent {
    /// The trace.
    pub trace: [u8; 16],
    /// The span in it.
    pub span: [u8; 8],
    /// Is that span told of?
    pub sampled: bool,
}

/// Which transactions are told of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampler {
    /// The share of those without a parent, from 0 to 1.
    pub ratio: f64,
    /// A transaction that is a part of something is told of as that is.
    pub follows_parent: bool,
}

impl Sampler {
    /// Is a transaction of this trace told of?
    #[must_use]
    pub fn takes(self, trace: [u8; 16], parent: Option<Parent>) -> bool {
        if let Some(parent) = parent.filter(|_| self.follows_parent) {
            return parent.sampled;
        }
        let [.., a, b, c, d, e, f, g] = trace;
        // By the trace's random part, as others do: all who see it come to the same end.
        let number = u64::from_be_bytes([0, a, b, c, d, e, f, g]);
        #[allow(clippy::cast_precision_loss)] // There are 53 bits.
        let place = (number >> 3) as f64 / (1_u64 << 53) as f64;
        place < self.ratio
    }
}

/// A transaction that has ended.
#[derive(Debug)]
pub struct Transaction {
    /// Where it was run.
    pub pool: Arc<ServerPool>,
    /// Its trace, and its own number in that.
    pub trace: [u8; 16],
    /// See there.
    pub span: [u8; 8],
    /// What it is a part of.
    pub parent: Option<Parent>,
    /// When its client asked for it.
    pub asked: Instant,
    /// When it got a server connection.
    pub served: Option<Instant>,
    /// When it ended.
    pub ended: Instant,
    /// How long the server had something to do for it, or on its way.
    pub busy: Duration,
    /// Queries, or what was sent at once.
    pub queries: u32,
    /// The server's process.
    pub pid: i32,
    /// The first error that the client was told, by its SQLSTATE.
    pub error: Option<[u8; 5]>,
}

/// Takes what is to be told of.
#[derive(Debug)]
pub struct Spans {
    sampler: Sampler,
    to: Sender<Transaction>,
    dropped: AtomicU64,
}

impl Spans {
    /// For one who takes them from a queue of that length.
    #[must_use]
    pub fn new(sampler: Sampler, most: usize) -> (Self, Receiver<Transaction>) {
        let (to, from) = channel(most.max(1));
        let spans = Self {
            sampler,
            to,
            dropped: AtomicU64::new(0),
        };
        (spans, from)
    }

    /// Those for which there was no room in the queue.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Those that wait in the queue.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.to.max_capacity() - self.to.capacity()
    }

    /// Others that got lost on their way.
    pub fn lost(&self, count: usize) {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.dropped.fetch_add(count, Ordering::Relaxed);
    }

    fn begin(&self, asked: Instant) -> Option<Box<Note>> {
        let [a, b] = [random().to_be_bytes(), random().to_be_bytes()];
        let mut trace = [0; 16];
        let bytes = a.into_iter().chain(b);
        trace
            .iter_mut()
            .zip(bytes)
            .for_each(|(to, from)| *to = from);
        let note = || Box::new(Note::new(trace, asked));
        self.sampler.takes(trace, None).then(note)
    }

    /// What is noted of a transaction once it is known what it is a part of; the first that
    /// is known counts. `asked`: when its client asked for it, where nothing is noted yet.
    #[must_use]
    pub fn part_of(
        &self,
        note: Option<Box<Note>>,
        parent: Parent,
        asked: Instant,
    ) -> Option<Box<Note>> {
        if note.as_ref().is_some_and(|note| note.parent.is_some()) {
            return note;
        }
        if !self.sampler.takes(parent.trace, Some(parent)) {
            return None;
        }
        let mut note = note.unwrap_or_else(|| Box::new(Note::new(parent.trace, asked)));
        note.trace = parent.trace;
        note.parent = Some(parent);
        Some(note)
    }
}

/// About the transaction under way.
#[derive(Debug)]
pub struct Note {
    trace: [u8; 16],
    parent: Option<Parent>,
    asked: Instant,
    served: Option<Instant>,
    pid: i32,
    error: Option<[u8; 5]>,
}

impl Note {
    fn new(trace: [u8; 16], asked: Instant) -> Self {
        Self {
            trace,
            parent: None,
            asked,
            served: None,
            pid: 0,
            error: None,
        }
    }
}

impl Client {
    /// A transaction is asked for now.
    pub(super) fn span_begins(&mut self) {
        if let Some(spans) = self.connected.house().spans.get() {
            self.note = spans.begin(Instant::now());
        }
    }

    /// It has got this server connection.
    pub(super) fn span_is_served(&mut self) {
        if let (Some(note), Service::Leased(lease)) = (&mut self.note, &self.service) {
            // Where it was there at once, its clock was looked at first.
            note.served = lease.turn_since();
            note.asked = note
                .served
                .map_or(note.asked, |served| served.min(note.asked));
            note.pid = lease.identity.pid;
        }
    }

    /// The client was told an error.
    pub(super) fn span_fails(&mut self, code: &[u8]) {
        if let Some(note) = &mut self.note
            && note.error.is_none()
        {
            note.error = code.first_chunk().copied();
        }
    }

    /// It has ended, on that server connection; to be called before the counts are taken.
    pub(super) fn span_ends(&mut self, lease: Option<&mut Lease>) {
        let busy = lease.map(Lease::take_busy).unwrap_or_default();
        let Some(note) = self.note.take() else {
            return;
        };
        let house = self.connected.house();
        let Some(spans) = house.spans.get() else {
            return;
        };
        let transaction = Transaction {
            pool: Arc::clone(self.shelf.pool()),
            trace: note.trace,
            span: random().to_be_bytes(),
            parent: note.parent,
            asked: note.asked,
            served: note.served,
            ended: Instant::now(),
            busy,
            queries: self.counts.queries,
            pid: note.pid,
            error: note.error,
        };
        if spans.to.try_send(transaction).is_err() {
            spans.lost(1);
        }
    }
}

impl Client {
    /// It has ended, and the client keeps its server connection.
    pub(super) fn span_ends_here(&mut self) {
        match std::mem::replace(&mut self.service, Service::Idle) {
            Service::Leased(mut lease) => {
                self.span_ends(Some(&mut lease));
                self.service = Service::Leased(lease);
            }
            other => self.service = other,
        }
    }

    /// Its text says of what it is a part. It began then, and its client had waited so long.
    pub(super) fn span_is_part_of(
        &mut self,
        found: &TraceParent,
        since: Option<Instant>,
        waited: Duration,
    ) {
        let house = Arc::clone(self.connected.house());
        let Some(spans) = house.spans.get() else {
            return;
        };
        let (trace, span, sampled) = found.as_bytes();
        let parent = Parent {
            trace,
            span,
            sampled,
        };
        let since = since.unwrap_or_else(Instant::now);
        let asked = since.checked_sub(waited).unwrap_or(since);
        self.note = spans.part_of(self.note.take(), parent, asked);
    }

    /// The client leaves, or is sent away, amid it.
    pub(super) fn span_is_cut_off(&mut self, end: &End) {
        match end {
            End::Told(error) => self.span_fails(error.code.as_bytes()),
            // Its SQLSTATE is counted already.
            End::ServerEnded => {}
            End::Gone | End::Terminated => self.span_fails(GONE),
            End::Moves => {}
        }
        self.span_ends_here();
    }
}

thread_local! {
    static SEED: Cell<u64> = const { Cell::new(0) };
}

/// A number that is nobody's secret, only likely to be like no other; never 0.
fn random() -> u64 {
    SEED.with(|seed| {
        let mut before = seed.get();
        if before == 0 {
            let mut bytes = [0; 8];
            let _ = getrandom::fill(&mut bytes);
            before = u64::from_be_bytes(bytes);
        }
        // splitmix64
        let now = before.wrapping_add(0x9e37_79b9_7f4a_7c15);
        seed.set(now);
        let mixed = (now ^ (now >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)).max(1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parent(sampled: bool) -> Parent {
        Parent {
            trace: [1; 16],
            span: [2; 8],
            sampled,
        }
    }

    #[test]
    fn what_is_a_part_of_something_is_told_of_as_that_is() {
        let sampler = |ratio, follows_parent| Sampler {
            ratio,
            follows_parent,
        };
        assert!(sampler(0.0, true).takes([0xff; 16], Some(parent(true))));
        assert!(!sampler(1.0, true).takes([0; 16], Some(parent(false))));
        assert!(sampler(1.0, false).takes([0; 16], Some(parent(false))));
        assert!(!sampler(0.0, true).takes([0; 16], None));
        assert!(sampler(1.0, true).takes([0xff; 16], None));
    }

    #[test]
    fn a_share_of_the_traces_is_taken() {
        let (spans, _from) = Spans::new(
            Sampler {
                ratio: 0.25,
                follows_parent: true,
            },
            1,
        );
        let now = Instant::now();
        let taken = (0..10_000).filter(|_| spans.begin(now).is_some());
        let taken = taken.count();
        assert!((2_000..3_000).contains(&taken), "{taken}");
    }

    #[test]
    fn a_part_has_its_parents_trace_and_the_first_parent_counts() {
        let sampler = |ratio| Sampler {
            ratio,
            follows_parent: true,
        };
        let now = Instant::now();
        let (spans, _from) = Spans::new(sampler(0.0), 1);
        assert!(spans.begin(now).is_none());
        let note = spans.part_of(None, parent(true), now);
        let other = Parent {
            trace: [3; 16],
            ..parent(false)
        };
        let note = spans.part_of(note, other, now);
        assert_eq!(note.map(|note| note.trace), Some([1; 16]));
        let (spans, _from) = Spans::new(sampler(1.0), 1);
        let note = spans.begin(now);
        assert!(note.is_some());
        assert!(spans.part_of(note, parent(false), now).is_none());
    }
}
