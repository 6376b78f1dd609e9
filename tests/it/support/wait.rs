//! Waiting for a condition, with a deadline: no case sleeps for luck.

use std::sync::atomic::{AtomicBool, Ordering};
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
        assert!(
            Instant::now() < deadline,
            "waited {limit:?} in vain for {what}"
        );
        thread::sleep(Duration::from_millis(5));
    }
}

/// Asks again and again until `probe` is true; panics after `limit`.
pub fn until(limit: Duration, what: &str, mut probe: impl FnMut() -> bool) {
    until_some(limit, what, || probe().then_some(()));
}

/// A flag for the threads of a scope: the case is over.
#[derive(Default)]
pub struct Over(AtomicBool);

impl Over {
    /// Has the case ended?
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Sets the flag when the value is dropped, which a failing case does too:
    /// otherwise the scope would wait for its threads for ever.
    pub fn at_end(&self) -> impl Drop + '_ {
        struct Setter<'a>(&'a Over);
        impl Drop for Setter<'_> {
            fn drop(&mut self) {
                self.0.0.store(true, Ordering::Relaxed);
            }
        }
        Setter(self)
    }
}
