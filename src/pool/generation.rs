//! What sessions begin with on one PostgreSQL server can change: with `ALTER ROLE
//! .. SET`, `ALTER DATABASE .. SET`, or when a role is another one of the same
//! name. Server connections that were opened before are then of an earlier
//! generation, and are closed rather than handed on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts these changes, as far as they went through the pooler.
#[derive(Debug, Clone, Default)]
pub struct Generation(Arc<AtomicU64>);

/// When a connection was opened.
#[derive(Debug, Clone)]
pub(super) struct Born {
    generation: Generation,
    at: u64,
}

impl Generation {
    /// A new one begins.
    pub fn ends(&self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }

    /// Something is opened now.
    pub(super) fn born(&self) -> Born {
        Born {
            generation: self.clone(),
            at: self.0.load(Ordering::Acquire),
        }
    }
}

impl Born {
    /// Is it of an earlier generation by now?
    pub fn is_outdated(&self) -> bool {
        self.at != self.generation.0.load(Ordering::Acquire)
    }

    /// Its generation.
    pub fn at(&self) -> u64 {
        self.at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_opened_before_a_change_is_outdated() {
        let generation = Generation::default();
        let before = generation.born();
        assert!(!before.is_outdated());
        generation.ends();
        assert!(before.is_outdated() && !generation.born().is_outdated());
    }
}
