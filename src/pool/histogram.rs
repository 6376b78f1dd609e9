//! How long things take: counts by size, added to by everybody at once.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The upper bounds of the buckets but the last, in microseconds.
pub const BOUNDS_US: [u64; 14] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000,
    5_000_000, 30_000_000,
];

/// See the module. What is beyond all bounds has a bucket of its own, the last.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; BOUNDS_US.len() + 1],
    sum_us: AtomicU64,
}

impl Histogram {
    /// One more that took so long.
    #[inline]
    pub fn add(&self, time: Duration) {
        let us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let at = BOUNDS_US.partition_point(|bound| *bound < us);
        if let Some(bucket) = self.buckets.get(at) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    /// All of them together, in microseconds.
    #[must_use]
    pub fn sum_us(&self) -> u64 {
        self.sum_us.load(Ordering::Relaxed)
    }

    /// How many there are in each bucket.
    #[must_use]
    pub fn counts(&self) -> [u64; BOUNDS_US.len() + 1] {
        self.buckets
            .each_ref()
            .map(|bucket| bucket.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_counted_once_and_a_bound_belongs_to_its_bucket() {
        let histogram = Histogram::default();
        for us in [0, 100, 101, 30_000_000, 30_000_001] {
            histogram.add(Duration::from_micros(us));
        }
        let counts = histogram.counts();
        assert_eq!((counts[0], counts[1]), (2, 1));
        assert_eq!((counts[13], counts[14]), (1, 1));
        assert_eq!(counts.iter().sum::<u64>(), 5);
        assert_eq!(histogram.sum_us(), 60_000_202);
        histogram.add(Duration::MAX);
        assert_eq!(histogram.counts()[14], 2);
    }
}
