//! A bounded queue of lines on their way out, and of orders to the thread that
//! carries them.
//!
//! Who logs never waits: what finds no room is dropped and counted.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// After a burst, room for so many is kept.
const USUAL: usize = 64;

/// See the module.
#[derive(Debug)]
pub(super) struct Lines<T> {
    waiting: Mutex<Waiting<T>>,
    /// Something has come.
    comes: Condvar,
    /// All has been dealt with.
    all_gone: Condvar,
    most: usize,
    most_bytes: usize,
    lost: AtomicU64,
}

#[derive(Debug)]
struct Waiting<T> {
    /// With what each takes of `most_bytes`.
    items: VecDeque<(T, usize)>,
    bytes: usize,
    /// The thread is at work on one that is not here any more.
    is_at_work: bool,
}

impl<T> Lines<T> {
    /// Room for so many lines, of so many bytes together.
    pub fn new(most: usize, most_bytes: usize) -> Self {
        Self {
            waiting: Mutex::new(Waiting {
                items: VecDeque::new(),
                bytes: 0,
                is_at_work: false,
            }),
            comes: Condvar::new(),
            all_gone: Condvar::new(),
            most,
            most_bytes,
            lost: AtomicU64::new(0),
        }
    }

    /// A line of so many bytes, if there is room. Never waits.
    pub fn push(&self, line: T, bytes: usize) {
        let mut waiting = self.waiting.lock();
        let has_room = waiting.items.len() < self.most && waiting.bytes + bytes <= self.most_bytes;
        if !has_room {
            drop(waiting);
            self.lose();
            return;
        }
        waiting.items.push_back((line, bytes));
        waiting.bytes += bytes;
        drop(waiting);
        self.comes.notify_one();
    }

    /// An order to the thread, for which there is always room. Never waits.
    pub fn order(&self, order: T) {
        self.waiting.lock().items.push_back((order, 0));
        self.comes.notify_one();
    }

    /// For the thread: what comes next, and all before it is dealt with; none when
    /// nothing has come for so long. Blocks.
    pub fn next(&self, within: Option<Duration>) -> Option<T> {
        let deadline = within.map(|within| Instant::now() + within);
        let mut waiting = self.waiting.lock();
        waiting.is_at_work = false;
        if waiting.items.is_empty() {
            waiting.items.shrink_to(USUAL);
            self.all_gone.notify_all();
        }
        loop {
            if let Some((item, bytes)) = waiting.items.pop_front() {
                waiting.bytes -= bytes;
                waiting.is_at_work = true;
                return Some(item);
            }
            match deadline {
                None => self.comes.wait(&mut waiting),
                Some(deadline) => {
                    if self.comes.wait_until(&mut waiting, deadline).timed_out() {
                        return None;
                    }
                }
            }
        }
    }

    /// Waits so long for all to be dealt with. Blocks.
    pub fn finish(&self, within: Duration) {
        let deadline = Instant::now() + within;
        let mut waiting = self.waiting.lock();
        while waiting.is_at_work || !waiting.items.is_empty() {
            if self.all_gone.wait_until(&mut waiting, deadline).timed_out() {
                return;
            }
        }
    }

    /// A line has come to nothing.
    pub fn lose(&self) {
        self.lost.fetch_add(1, Ordering::Relaxed);
    }

    /// How many have, in all.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_finds_no_room_is_counted_and_the_rest_keeps_its_order() {
        let lines = Lines::new(3, 100);
        for (line, bytes) in [
            ("a", 50),
            ("too long", 51),
            ("b", 50),
            ("c", 0),
            ("one more", 0),
        ] {
            lines.push(line, bytes);
        }
        assert_eq!(lines.lost(), 2);
        lines.order("an order");
        let heard: Vec<_> = std::iter::from_fn(|| lines.next(Some(Duration::ZERO))).collect();
        assert_eq!(heard, ["a", "b", "c", "an order"]);
        // And there is room again.
        lines.push("d", 100);
        assert_eq!((lines.next(None), lines.lost()), (Some("d"), 2));
    }

    #[test]
    fn who_waits_for_the_end_does_not_wait_for_ever() {
        let lines = Lines::new(3, 100);
        lines.finish(Duration::from_secs(60));
        lines.push("a", 1);
        let began = Instant::now();
        lines.finish(Duration::from_millis(20));
        assert!(began.elapsed() >= Duration::from_millis(20));
        // One that is under way is waited for as well.
        assert!(lines.next(None).is_some());
        lines.finish(Duration::from_millis(20));
        assert!(began.elapsed() >= Duration::from_millis(40));
        assert!(lines.next(Some(Duration::ZERO)).is_none());
        lines.finish(Duration::from_secs(60));
        assert!(began.elapsed() < Duration::from_secs(60));
    }

    #[test]
    fn the_memory_of_a_burst_is_given_back() {
        let lines = Lines::new(10_000, 10_000);
        (0..10_000).for_each(|line| lines.push(line, 1));
        while lines.next(Some(Duration::ZERO)).is_some() {}
        assert!(lines.waiting.lock().items.capacity() <= 2 * USUAL);
    }
}
