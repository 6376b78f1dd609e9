//! What ties a client to its server connection between transactions.

use crate::session::Findings;

/// State that a client has in the session of its server connection, which it
/// therefore keeps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::proxy) struct Pins(u16);

impl Pins {
    pub const NONE: Self = Self(0);
    /// Temporary objects.
    pub const TEMPORARY: Self = Self(1);
    /// Cursors `WITH HOLD`.
    pub const HOLD: Self = Self(1 << 1);
    /// It listens.
    pub const LISTEN: Self = Self(1 << 2);
    /// Session advisory locks.
    pub const LOCK: Self = Self(1 << 3);
    /// Statements prepared by SQL, out of the pooler's sight.
    pub const PREPARED: Self = Self(1 << 4);
    /// Statements of the protocol that only this connection has.
    pub const NAMED: Self = Self(1 << 7);
    /// What it has could not be found out.
    pub const UNKNOWN: Self = Self(1 << 5);
    /// What ends with the server connection only.
    pub const FOR_GOOD: Self = Self(1 << 6);

    /// It has asked for the process, a moment ago.
    pub const PROCESS: Self = Self(1 << 8);
    /// It has drawn a number, a moment ago, and may ask which.
    pub const NUMBERS: Self = Self(1 << 9);

    /// An unnamed statement that is too long to be taken along.
    pub const UNNAMED: Self = Self(1 << 10);

    /// As a number, for who shows it; see [`pin_reasons`].
    pub fn bits(self) -> u16 {
        self.0
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn has(self, any: Self) -> bool {
        self.0 & any.0 != 0
    }

    pub fn set(&mut self, which: Self, on: bool) {
        match on {
            true => self.0 |= which.0,
            false => self.0 &= !which.0,
        }
    }

    /// What the letters of [`crate::session::own::Own::State`] say.
    pub fn set_state(&mut self, letters: &[u8]) {
        for (letter, which) in [
            (b't', Self::TEMPORARY),
            (b'h', Self::HOLD),
            (b'l', Self::LISTEN),
            (b'p', Self::PREPARED),
        ] {
            self.set(which, letters.contains(&letter));
        }
    }

    /// In words, for logs.
    pub fn reasons(self) -> String {
        let mut reasons = pin_names(self.0);
        let first = reasons.next().unwrap_or("none").to_owned();
        reasons.fold(first, |all, name| all + ", " + name)
    }
}

const NAMES: [(Pins, &str); 11] = [
    (Pins::TEMPORARY, "temporary objects"),
    (Pins::HOLD, "cursors with hold"),
    (Pins::LISTEN, "listen"),
    (Pins::LOCK, "advisory locks"),
    (Pins::PREPARED, "statements prepared by SQL"),
    (Pins::NAMED, "prepared statements"),
    (Pins::UNNAMED, "a long unnamed statement"),
    (Pins::PROCESS, "the process"),
    (Pins::NUMBERS, "numbers of sequences"),
    (Pins::UNKNOWN, "unknown state"),
    (Pins::FOR_GOOD, "state that ends with the server connection"),
];

/// The same, one by one.
pub fn pin_names(bits: u16) -> impl Iterator<Item = &'static str> {
    let its = NAMES
        .iter()
        .filter(move |(which, _)| Pins(bits).has(*which));
    its.map(|(_, name)| *name)
}

/// What keeps a client on its server connection, in words, by the number that
/// its handle has ([`crate::pool::ClientHandle::pinned`]).
#[must_use]
pub fn pin_reasons(bits: u16) -> String {
    Pins(bits).reasons()
}

/// How much must be done before another client may have a server connection
/// whose client has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::proxy) enum Left {
    /// Nothing.
    Clean,
    /// `DISCARD ALL`.
    Resettable,
    /// It must be closed.
    ForGood,
}

/// What a FunctionCall can do, by the function's number, which is the same in
/// every version of PostgreSQL.
pub(in crate::proxy) fn findings_of_function(oid: u32) -> Findings {
    match oid {
        // set_config
        2078 => Findings::SETTINGS,
        // pg_advisory_lock and its kin; what gives them back
        2880..=2883 | 2886..=2889 => Findings::LOCK,
        2884 | 2885 | 2890..=2892 => Findings::REMOVES,
        // pg_backend_pid
        2026 => Findings::PROCESS,
        // nextval, setval; currval, lastval
        1574 | 1576 | 1765 => Findings::DRAWS,
        1575 | 2559 => Findings::SEQUENCES,
        // setseed, replication origin and slots, backup
        1599 | 2172 | 3779 | 3786 | 6006 => Findings::TAINTS,
        _ => Findings::NONE,
    }
}
