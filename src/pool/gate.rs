//! The gate: strictly first come, first served.
//!
//! Who enters holds a permit to use one server connection. A permit that
//! comes back is handed straight to the head of the queue, with the
//! connection itself where that fits; nobody who comes later can be faster.
//!
//! ```text
//! enter --(permit free, queue empty)--> inside --leave--> head of the queue
//!   \--> queue --(handed a permit)----> inside
//!                                         \--(no room to open a connection)--> short --(handed a connection)--> inside
//! ```

use std::collections::VecDeque;
use std::time::Instant;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::wire::PgError;

/// What a waiter is handed: `Some`, a connection to use at once; `None`, leave
/// to get one.
pub(super) type Handed<C> = Result<Option<C>, PgError>;

/// A waiter's end.
pub(super) type Turn<C> = oneshot::Receiver<Handed<C>>;

#[derive(Debug)]
struct Waiter<C> {
    hand: oneshot::Sender<Handed<C>>,
    since: Instant,
    /// Which connections fit: those of the same shelf.
    shelf: u64,
}

/// A strictly fair gate for `limit` permits. `C` is a connection that is
/// handed on; one that nobody takes any more finds its own way home on drop.
#[derive(Debug)]
pub(super) struct Gate<C> {
    inner: Mutex<Inner<C>>,
}

#[derive(Debug)]
struct Inner<C> {
    limit: u32,
    /// Nobody is let in; who is inside stays until it leaves.
    paused: bool,
    used: u32,
    queue: VecDeque<Waiter<C>>,
    /// Inside, but without room to open a connection: served before the queue.
    short: VecDeque<Waiter<C>>,
}

impl<C> Gate<C> {
    pub fn new(limit: u32) -> Self {
        Self {
            inner: Mutex::new(Inner {
                limit,
                paused: false,
                used: 0,
                queue: VecDeque::new(),
                short: VecDeque::new(),
            }),
        }
    }

    /// A permit at once, if nobody waits for one.
    #[inline]
    pub fn try_enter(&self) -> bool {
        let mut inner = self.inner.lock();
        let free = inner.has_room() && inner.is_nobody(Line::Queue) && inner.is_nobody(Line::Short);
        inner.used += u32::from(free);
        free
    }

    /// A place at the end of the queue.
    pub fn queue(&self, shelf: u64, now: Instant) -> Turn<C> {
        let (hand, turn) = oneshot::channel();
        self.inner.lock().queue.push_back(Waiter {
            hand,
            since: now,
            shelf,
        });
        // A permit may have come back since the caller looked.
        self.pump();
        turn
    }

    /// For one who is inside and cannot open a connection: the next one that
    /// comes back.
    pub fn wait_for_connection(&self, shelf: u64, now: Instant) -> Turn<C> {
        let (hand, turn) = oneshot::channel();
        self.inner.lock().short.push_back(Waiter {
            hand,
            since: now,
            shelf,
        });
        turn
    }

    /// A permit comes back; its connection, if it had one, has been shelved or
    /// closed before.
    pub fn leave(&self) {
        let mut inner = self.inner.lock();
        inner.used = inner.used.saturating_sub(1);
        drop(inner);
        self.nudge();
        self.pump();
    }

    /// One who is inside and short of a connection looks again.
    pub fn nudge(&self) {
        loop {
            let short = self.inner.lock().next(Line::Short);
            // One who leaves in this very moment hands the nudge on.
            let reached = short.is_none_or(|waiter| waiter.hand.send(Ok(None)).is_ok());
            if reached {
                return;
            }
        }
    }

    /// Offers a clean connection of the given shelf, and the permit with it, to
    /// those who wait. Returns the connection when it fits nobody: the caller
    /// shelves it, then leaves.
    pub fn offer(&self, mut connection: C, shelf: u64) -> Option<C> {
        loop {
            let mut inner = self.inner.lock();
            let over = inner.used > inner.limit;
            let inside = inner.head_fits(Line::Short, shelf);
            let line = if inside { Line::Short } else { Line::Queue };
            if !inside
                && (over
                    || inner.paused
                    || !inner.is_nobody(Line::Short)
                    || !inner.head_fits(Line::Queue, shelf))
            {
                return Some(connection);
            }
            let Some(waiter) = inner.next(line) else {
                return Some(connection);
            };
            if inside {
                // That one has a permit: this one is free.
                inner.used = inner.used.saturating_sub(1);
            }
            drop(inner);
            match waiter.hand.send(Ok(Some(connection))) {
                Ok(()) => {
                    if inside {
                        self.pump();
                    }
                    return None;
                }
                Err(back) => {
                    // Gone in this very moment.
                    connection = back.ok().flatten()?;
                    self.inner.lock().used += u32::from(inside);
                }
            }
        }
    }

    /// Hands out the permits that are free.
    pub fn pump(&self) {
        self.pump_up_to(0);
    }

    /// Hands out permits as if the limit were higher by `reserve`.
    pub fn pump_up_to(&self, reserve: u32) {
        loop {
            let mut inner = self.inner.lock();
            if inner.paused
                || inner.used >= inner.limit.saturating_add(reserve)
                || !inner.is_nobody(Line::Short)
            {
                return;
            }
            let Some(waiter) = inner.next(Line::Queue) else {
                return;
            };
            inner.used += 1;
            drop(inner);
            if waiter.hand.send(Ok(None)).is_err() {
                let mut inner = self.inner.lock();
                inner.used = inner.used.saturating_sub(1);
            }
        }
    }

    /// Sends everybody who waits away with this error.
    pub fn fail_all(&self, error: &PgError) {
        let mut inner = self.inner.lock();
        let mut waiters = std::mem::take(&mut inner.queue);
        waiters.append(&mut inner.short);
        drop(inner);
        for waiter in waiters {
            let _ = waiter.hand.send(Err(error.clone()));
        }
    }

    /// From now on nobody is let in: who comes stands in line.
    pub fn pause(&self) {
        self.inner.lock().paused = true;
    }

    /// The line moves again.
    pub fn resume(&self) {
        self.inner.lock().paused = false;
        self.pump();
    }

    /// Is nobody let in?
    pub fn is_paused(&self) -> bool {
        self.inner.lock().paused
    }

    /// From now on so many may be inside; those who are stay.
    pub fn resize(&self, limit: u32) {
        self.inner.lock().limit = limit;
        self.pump();
    }

    /// How many may be inside.
    pub fn limit(&self) -> u32 {
        self.inner.lock().limit
    }

    /// Permits out.
    pub fn used(&self) -> u32 {
        self.inner.lock().used
    }

    /// How many wait, and since when the oldest does.
    pub fn waiting(&self) -> (usize, Option<Instant>) {
        let inner = self.inner.lock();
        let oldest = inner
            .queue
            .front()
            .into_iter()
            .chain(inner.short.front())
            .map(|waiter| waiter.since)
            .min();
        (inner.queue.len() + inner.short.len(), oldest)
    }
}

/// The two lines in which one can stand.
#[derive(Debug, Clone, Copy)]
enum Line {
    Queue,
    Short,
}

impl<C> Inner<C> {
    fn has_room(&self) -> bool {
        !self.paused && self.used < self.limit
    }

    fn line(&mut self, line: Line) -> &mut VecDeque<Waiter<C>> {
        match line {
            Line::Queue => &mut self.queue,
            Line::Short => &mut self.short,
        }
    }

    /// Takes the first who still waits.
    fn next(&mut self, line: Line) -> Option<Waiter<C>> {
        self.drop_the_gone(line);
        self.line(line).pop_front()
    }

    /// Would a connection of this shelf fit the first who still waits?
    fn head_fits(&mut self, line: Line, shelf: u64) -> bool {
        self.drop_the_gone(line);
        self.line(line)
            .front()
            .is_some_and(|waiter| waiter.shelf == shelf)
    }

    fn is_nobody(&mut self, line: Line) -> bool {
        self.drop_the_gone(line);
        self.line(line).is_empty()
    }

    fn drop_the_gone(&mut self, line: Line) {
        let waiters = self.line(line);
        while waiters
            .front()
            .is_some_and(|waiter| waiter.hand.is_closed())
        {
            waiters.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Numbers = Gate<u32>;

    fn handed(turn: &mut Turn<u32>) -> Option<Handed<u32>> {
        turn.try_recv().ok()
    }

    #[test]
    fn permits_go_out_up_to_the_limit() {
        let gate = Numbers::new(2);
        assert!(gate.try_enter());
        assert!(gate.try_enter());
        assert!(!gate.try_enter());
        gate.leave();
        assert!(gate.try_enter());
        assert_eq!(gate.used(), 2);
    }

    #[test]
    fn a_connection_goes_straight_to_the_head_of_the_queue() {
        let gate = Numbers::new(1);
        assert!(gate.try_enter());
        let now = Instant::now();
        let [mut first, mut second] = [gate.queue(1, now), gate.queue(1, now)];
        assert_eq!(gate.offer(7, 1), None);
        assert_eq!(handed(&mut first), Some(Ok(Some(7))));
        assert_eq!(handed(&mut second), None);
        assert!(!gate.try_enter());
        assert_eq!(gate.offer(7, 1), None);
        assert_eq!(handed(&mut second), Some(Ok(Some(7))));
        assert_eq!(gate.offer(7, 1), Some(7));
        gate.leave();
        assert_eq!(gate.used(), 0);
    }

    #[test]
    fn who_comes_later_cannot_pass_the_queue() {
        let gate = Numbers::new(1);
        assert!(gate.try_enter());
        let mut waiting = gate.queue(1, Instant::now());
        gate.leave();
        assert!(!gate.try_enter());
        assert_eq!(handed(&mut waiting), Some(Ok(None)));
    }

    #[test]
    fn one_who_gave_up_is_passed_over() {
        let gate = Numbers::new(1);
        assert!(gate.try_enter());
        let now = Instant::now();
        let gone = gate.queue(1, now);
        let mut here = gate.queue(1, now);
        drop(gone);
        assert_eq!(gate.offer(7, 1), None);
        assert_eq!(handed(&mut here), Some(Ok(Some(7))));
    }

    #[test]
    fn a_connection_of_another_shelf_gives_only_the_permit() {
        let gate = Numbers::new(1);
        assert!(gate.try_enter());
        let mut other = gate.queue(2, Instant::now());
        assert_eq!(gate.offer(7, 1), Some(7));
        gate.leave();
        assert_eq!(handed(&mut other), Some(Ok(None)));
        assert_eq!(gate.used(), 1);
    }

    #[test]
    fn one_who_is_short_of_a_connection_comes_first() {
        let gate = Numbers::new(3);
        assert!(gate.try_enter());
        assert!(gate.try_enter());
        let now = Instant::now();
        let mut short = gate.wait_for_connection(1, now);
        assert!(!gate.try_enter());
        let mut queued = gate.queue(1, now);
        assert_eq!(handed(&mut queued), None);
        assert_eq!(gate.offer(7, 1), None);
        assert_eq!(handed(&mut short), Some(Ok(Some(7))));
        assert_eq!(handed(&mut queued), Some(Ok(None)));
    }

    #[test]
    fn the_reserve_is_opened_only_on_demand_and_closes_again() {
        let gate = Numbers::new(1);
        assert!(gate.try_enter());
        let mut waiting = gate.queue(1, Instant::now());
        gate.pump();
        assert_eq!(handed(&mut waiting), None);
        gate.pump_up_to(1);
        assert_eq!(handed(&mut waiting), Some(Ok(None)));
        let mut next = gate.queue(1, Instant::now());
        assert_eq!(gate.offer(7, 1), Some(7));
        gate.leave();
        assert_eq!(handed(&mut next), None);
    }

    #[test]
    fn one_who_was_short_and_left_bars_nobody() {
        let gate = Numbers::new(2);
        assert!(gate.try_enter());
        drop(gate.wait_for_connection(1, Instant::now()));
        assert!(gate.try_enter());
    }

    #[test]
    fn a_pause_keeps_the_queue_and_its_order() {
        let gate = Numbers::new(2);
        assert!(gate.try_enter());
        gate.pause();
        assert!(!gate.try_enter());
        let now = Instant::now();
        let [mut first, mut second] = [gate.queue(1, now), gate.queue(1, now)];
        assert_eq!(gate.offer(7, 1), Some(7));
        gate.leave();
        gate.pump_up_to(5);
        assert_eq!((handed(&mut first), handed(&mut second)), (None, None));
        assert_eq!((gate.used(), gate.waiting().0), (0, 2));
        gate.resume();
        assert_eq!(handed(&mut first), Some(Ok(None)));
        assert_eq!(handed(&mut second), Some(Ok(None)));
        assert!(!gate.try_enter());
    }

    #[test]
    fn who_is_inside_and_short_of_a_connection_is_served_in_a_pause() {
        let gate = Numbers::new(2);
        assert!(gate.try_enter() && gate.try_enter());
        let mut short = gate.wait_for_connection(1, Instant::now());
        gate.pause();
        assert_eq!(gate.offer(7, 1), None);
        assert_eq!(handed(&mut short), Some(Ok(Some(7))));
    }

    #[test]
    fn a_larger_gate_lets_in_who_waits_and_a_smaller_one_nobody_more() {
        let gate = Numbers::new(1);
        assert!(gate.try_enter());
        let mut waiting = gate.queue(1, Instant::now());
        gate.resize(2);
        assert_eq!(handed(&mut waiting), Some(Ok(None)));
        gate.resize(1);
        gate.leave();
        assert!(!gate.try_enter());
        assert_eq!(gate.limit(), 1);
    }

    #[test]
    fn everybody_is_sent_away_with_the_error() {
        let gate = Numbers::new(1);
        assert!(gate.try_enter());
        let mut waiting = gate.queue(1, Instant::now());
        gate.fail_all(&PgError::fatal("08001", "gone"));
        assert_eq!(
            handed(&mut waiting)
                .and_then(Result::err)
                .map(|error| error.code)
                .as_deref(),
            Some("08001")
        );
        assert_eq!(gate.waiting().0, 0);
    }
}
