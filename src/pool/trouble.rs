//! What is remembered of a server that cannot be reached.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::wire::PgError;

/// First pause after a failure; doubled at each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The last failure to open a connection, and until when nobody tries again.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    last: Mutex<Option<Failure>>,
}

#[derive(Debug)]
struct Failure {
    error: PgError,
    pause: Duration,
    until: Instant,
}

impl Trouble {
    /// The error that stands for a new attempt, while a pause lasts.
    pub fn standing(&self, now: Instant) -> Option<(PgError, Instant)> {
        let last = self.last.lock();
        last.as_ref()
            .filter(|failure| now < failure.until)
            .map(|failure| (failure.error.clone(), failure.until))
    }

    /// An attempt failed: the next may be made after a pause, of at most
    /// `longest` (`server_login_retry`).
    pub fn failed(&self, error: &PgError, now: Instant, longest: Duration) -> Instant {
        let mut last = self.last.lock();
        let pause = match &*last {
            // Attempts that ran side by side are one failure.
            Some(failure) if now < failure.until => failure.pause,
            Some(failure) => (failure.pause * 2).min(longest.max(FIRST_PAUSE)),
            None => FIRST_PAUSE,
        };
        let until = now + pause;
        *last = Some(Failure {
            error: error.clone(),
            pause,
            until,
        });
        until
    }

    /// The error that the last attempt failed with.
    pub fn last(&self) -> Option<PgError> {
        let last = self.last.lock();
        last.as_ref().map(|failure| failure.error.clone())
    }

    /// An attempt succeeded.
    pub fn over(&self) {
        *self.last.lock() = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_the_longest_and_end_with_success() {
        let (trouble, longest) = (Trouble::default(), Duration::from_millis(300));
        let error = PgError::fatal("08001", "refused");
        let mut now = Instant::now();
        let mut pauses = Vec::new();
        for _ in 0..4 {
            let until = trouble.failed(&error, now, longest);
            pauses.push((until - now).as_millis());
            assert!(trouble.standing(now).is_some());
            now = until;
            assert!(trouble.standing(now).is_none());
        }
        assert_eq!(pauses, [100, 200, 300, 300]);
        trouble.over();
        assert_eq!(
            (trouble.failed(&error, now, longest) - now).as_millis(),
            100
        );
    }

    #[test]
    fn failures_side_by_side_count_once() {
        let (trouble, longest) = (Trouble::default(), Duration::from_secs(15));
        let error = PgError::fatal("08001", "refused");
        let now = Instant::now();
        let first = trouble.failed(&error, now, longest);
        assert_eq!(trouble.failed(&error, now, longest), first);
    }
}
