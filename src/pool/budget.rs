//! How many server connections may be open at once, over one pool or many.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};
use std::time::Instant;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::server_pool::ServerPool;

/// A number of server connections that several pools may share. A place in
/// it lives inside the connection and comes back when that is closed, however
/// it is closed.
#[derive(Debug, Default)]
pub struct Budget {
    /// 0: no limit.
    limit: AtomicU32,
    open: AtomicU32,
    freed: Notify,
    /// Who waits for a place, by when they came.
    line: Mutex<VecDeque<Instant>>,
    waiting: AtomicU32,
    members: Mutex<Vec<Weak<ServerPool>>>,
}

/// A place in a budget, freed on drop.
#[derive(Debug)]
pub(super) struct Place(Arc<Budget>);

impl Budget {
    /// A budget of `limit` connections; 0 is no limit.
    #[must_use]
    pub fn new(limit: u32) -> Arc<Self> {
        Arc::new(Self {
            limit: AtomicU32::new(limit),
            ..Self::default()
        })
    }

    /// From now on so many; what is open stays.
    pub(super) fn resize(&self, limit: u32) {
        if self.limit.swap(limit, Ordering::Relaxed) != limit {
            self.freed.notify_waiters();
        }
    }

    /// Connections open or being opened now.
    #[must_use]
    pub fn open(&self) -> u32 {
        self.open.load(Ordering::Acquire)
    }

    /// Those who wait look again.
    pub(super) fn wake(&self) {
        self.freed.notify_waiters();
    }

    /// A pool that spends from this budget.
    pub(super) fn join(&self, pool: &Arc<ServerPool>) {
        let mut members = self.members.lock();
        members.retain(|member| member.strong_count() > 0);
        members.push(Arc::downgrade(pool));
    }

    pub(super) fn take(self: &Arc<Self>) -> Option<Place> {
        self.take_below(self.limit.load(Ordering::Relaxed))
    }

    /// A place while fewer than `limit` are taken (0: no limit).
    pub(super) fn take_below(self: &Arc<Self>, limit: u32) -> Option<Place> {
        let room = |open: u32| (limit == 0 || open < limit).then_some(open + 1);
        self.open
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, room)
            .ok()?;
        Some(Place(Arc::clone(self)))
    }

    /// Closes an idle connection of the member that has most of them.
    /// Returns false when none is idle.
    pub(super) fn evict(&self) -> bool {
        let members: Vec<_> = self
            .members
            .lock()
            .iter()
            .filter_map(Weak::upgrade)
            .collect();
        let richest = members.into_iter().max_by_key(|pool| pool.idle());
        richest.is_some_and(|pool| pool.close_one_idle())
    }

    /// Waits, from `since` on, until a place may have become free.
    pub(super) async fn freed(&self, since: Instant) {
        let _in_line = InLine::join(self, since);
        let freed = self.freed.notified();
        // One may have become idle between the last look and the line.
        if !self.evict() {
            freed.await;
        }
    }

    /// Since when the oldest has waited for a place.
    #[inline]
    pub(super) fn oldest(&self) -> Option<Instant> {
        if self.waiting.load(Ordering::Acquire) == 0 {
            return None;
        }
        self.line.lock().iter().min().copied()
    }
}

/// One who waits for a place; out of the line on drop.
struct InLine<'a> {
    budget: &'a Budget,
    since: Instant,
}

impl<'a> InLine<'a> {
    fn join(budget: &'a Budget, since: Instant) -> Self {
        budget.line.lock().push_back(since);
        budget.waiting.fetch_add(1, Ordering::AcqRel);
        Self { budget, since }
    }
}

impl Drop for InLine<'_> {
    fn drop(&mut self) {
        let mut line = self.budget.line.lock();
        if let Some(at) = line.iter().position(|since| *since == self.since) {
            line.remove(at);
            self.budget.waiting.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::AcqRel);
        self.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_limited_and_come_back() {
        let budget = Budget::new(2);
        let first = budget.take();
        let second = budget.take();
        assert!(first.is_some() && second.is_some());
        assert!(budget.take().is_none());
        drop(first);
        assert!(budget.take().is_some());
        assert_eq!(budget.open(), 1);
    }

    #[test]
    fn no_limit_is_no_limit() {
        let budget = Budget::new(0);
        let places: Vec<_> = (0..1000).map(|_| budget.take()).collect();
        assert!(places.iter().all(Option::is_some));
        assert_eq!(budget.open(), 1000);
    }
}
