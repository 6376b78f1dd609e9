//! Waiting for a condition, with a deadline: no case sleeps for luck.

use std::thread;
use std::time::{Duration, Instant};

/// How long anything that should happen soon may take on a busy machine.
pub const SOON: Duration = Duration::from_secs(10);

/// Asks again and again until `probe` gives a value; panics after `limit`.
pub fn until_some<T>(limit: Duration, what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(value) = probe() {
            return value;
        }
        assert!(Instant::now() < deadline, "waited {limit:?} in vain for {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Asks again and again until `probe` is true; panics after `limit`.
pub fn until(limit: Duration, what: &str, mut probe: impl FnMut() -> bool) {
    until_some(limit, what, || probe().then_some(()));
}
