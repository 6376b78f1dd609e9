//! What a text can do to the session, as a small set.

use std::ops::{BitOr, BitOrAssign};

/// A set of things that running a text may do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Findings(u32);

impl Findings {
    /// Nothing that outlives its transaction.
    pub const NONE: Self = Self(0);
    /// It may change settings, the role among them.
    pub const SETTINGS: Self = Self(1);
    /// It may change settings for the rest of the transaction.
    pub const LOCAL_SETTINGS: Self = Self(1 << 1);
    /// It may make temporary objects.
    pub const TEMPORARY: Self = Self(1 << 2);
    /// It may open a cursor that outlives the transaction.
    pub const HOLD: Self = Self(1 << 3);
    /// It may begin to listen.
    pub const LISTEN: Self = Self(1 << 4);
    /// It may take, or give back, a session advisory lock.
    pub const LOCK: Self = Self(1 << 5);
    /// It may prepare a statement (SQL `PREPARE`).
    pub const PREPARES: Self = Self(1 << 6);
    /// It may drop prepared statements (`DEALLOCATE`, `DISCARD`).
    pub const DEALLOCATES: Self = Self(1 << 7);
    /// It may take back what was made before: `DROP`, `CLOSE`, `UNLISTEN`,
    /// `DISCARD`.
    pub const REMOVES: Self = Self(1 << 8);
    /// It runs what does not show: a block, a procedure.
    pub const OPAQUE: Self = Self(1 << 9);
    /// It may take settings back: `RESET`, `DISCARD`.
    pub const RESETS: Self = Self(1 << 11);
    /// It calls functions, or writes to tables that may have triggers: what these
    /// do does not show in it.
    pub const CALLS: Self = Self(1 << 12);
    /// It asks what a sequence gave out last in this session.
    pub const SEQUENCES: Self = Self(1 << 13);
    /// It may change the catalog, and with it what texts mean.
    pub const CATALOG: Self = Self(1 << 14);
    /// It is only a guess that it does anything: what it calls is not known.
    pub const GUESS: Self = Self(1 << 15);
    /// It may leave behind what cannot be seen, and ends with the server
    /// connection only.
    pub const TAINTS: Self = Self(1 << 10);

    /// It asks who the process behind the session is, or for something else that
    /// is that process's.
    pub const PROCESS: Self = Self(1 << 16);
    /// It may draw a number from a sequence.
    pub const DRAWS: Self = Self(1 << 17);

    /// It may make the session's schema for temporary objects, even if it leaves
    /// none in it.
    pub const TEMPORARY_SCHEMA: Self = Self(1 << 18);

    /// It lists the prepared statements of the session.
    pub const LISTS_STATEMENTS: Self = Self(1 << 19);

    /// Is any of these in it?
    #[inline]
    #[must_use]
    pub const fn has(self, any: Self) -> bool {
        self.0 & any.0 != 0
    }

    /// It, without these.
    #[must_use]
    pub const fn without(self, these: Self) -> Self {
        Self(self.0 & !these.0)
    }

    /// Is nothing in it?
    #[inline]
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The sum of the two.
    #[must_use]
    pub const fn and(self, more: Self) -> Self {
        Self(self.0 | more.0)
    }
}

impl BitOr for Findings {
    type Output = Self;

    fn bitor(self, more: Self) -> Self {
        self.and(more)
    }
}

impl BitOrAssign for Findings {
    #[inline]
    fn bitor_assign(&mut self, more: Self) {
        self.0 |= more.0;
    }
}
