//! What a pool has done: plain counts, added to when a lease ends.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::histogram::Histogram;

/// Different SQLSTATEs that are counted apart.
const KINDS_OF_ERRORS: usize = 256;

/// What a pool has done.
#[derive(Debug, Default)]
pub struct PoolStats {
    /// Times that a client got a server connection.
    pub assignments: AtomicU64,
    /// Transactions ended.
    pub transactions: AtomicU64,
    /// ReadyForQuery messages forwarded.
    pub queries: AtomicU64,
    /// Bytes received from clients.
    pub received: AtomicU64,
    /// Bytes sent to clients.
    pub sent: AtomicU64,
    /// How long transactions took, from the first message to the boundary.
    pub transaction: Histogram,
    /// How long the queries in them took, or what clients sent at once: what was not
    /// spent waiting for the client.
    pub query: Histogram,
    /// How long clients waited for a server connection.
    pub wait: Histogram,
    /// Named statements that clients prepared.
    pub client_parses: AtomicU64,
    /// Named statements that server connections were given for them.
    pub server_parses: AtomicU64,
    /// Named statements that clients bound.
    pub binds: AtomicU64,
    /// Clients that logged in.
    pub logins: AtomicU64,
    /// Server connections opened.
    pub opened: AtomicU64,
    /// Errors that clients were told.
    pub errors: Errors,
}

/// What is added to the counts at once.
#[derive(Debug, Default)]
pub struct Counts {
    /// See [`PoolStats`], as all of these.
    pub transactions: u32,
    /// See there.
    pub queries: u32,
    /// See there.
    pub client_parses: u32,
    /// See there.
    pub binds: u32,
    /// See there.
    pub received: u64,
    /// See there.
    pub sent: u64,
}

impl PoolStats {
    /// Adds what has been counted since.
    pub fn add(&self, counts: &Counts) {
        let add = |to: &AtomicU64, count: u64| {
            if count > 0 {
                to.fetch_add(count, Ordering::Relaxed);
            }
        };
        add(&self.transactions, counts.transactions.into());
        add(&self.queries, counts.queries.into());
        add(&self.client_parses, counts.client_parses.into());
        add(&self.binds, counts.binds.into());
        add(&self.received, counts.received);
        add(&self.sent, counts.sent);
    }

    /// A client got a server connection.
    #[inline]
    pub fn assigned(&self) {
        self.assignments.fetch_add(1, Ordering::Relaxed);
    }
}

/// Errors by SQLSTATE.
#[derive(Debug, Default)]
pub struct Errors(Mutex<BTreeMap<[u8; 5], u64>>);

impl Errors {
    /// A client was told of an error. One SQLSTATE too many is counted as XX000.
    pub fn count(&self, sqlstate: &[u8]) {
        let known = |code: &[u8; 5]| code.iter().all(u8::is_ascii_alphanumeric);
        let code = <[u8; 5]>::try_from(sqlstate).ok().filter(known);
        let mut by_code = self.0.lock();
        let code =
            code.filter(|code| by_code.len() < KINDS_OF_ERRORS || by_code.contains_key(code));
        *by_code.entry(code.unwrap_or(*b"XX000")).or_default() += 1;
    }

    /// All that there were, by the class of the SQLSTATE: its first two characters.
    #[must_use]
    pub fn by_class(&self) -> BTreeMap<String, u64> {
        let mut classes = BTreeMap::new();
        for (code, count) in &*self.0.lock() {
            let class = String::from_utf8_lossy(code.get(..2).unwrap_or_default());
            *classes.entry(class.into_owned()).or_default() += count;
        }
        classes
    }

    /// All that there were, by SQLSTATE.
    #[must_use]
    pub fn all(&self) -> Vec<(String, u64)> {
        let by_code = self.0.lock();
        let told =
            |(code, count): (&[u8; 5], &u64)| (String::from_utf8_lossy(code).into_owned(), *count);
        by_code.iter().map(told).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_counted_by_their_sqlstate() {
        let errors = Errors::default();
        for code in [&b"42601"[..], b"42601", b"23505", b"", b"4260\x07"] {
            errors.count(code);
        }
        let expected = [("23505", 1), ("42601", 2), ("XX000", 2)];
        assert_eq!(
            errors.all(),
            expected.map(|(code, count)| (code.to_owned(), count))
        );
    }

    #[test]
    fn a_server_that_makes_up_sqlstates_costs_no_memory() {
        let errors = Errors::default();
        for number in 0..10_000 {
            errors.count(format!("{number:05}").as_bytes());
        }
        assert!(errors.all().len() <= KINDS_OF_ERRORS + 1);
        let told: u64 = errors.all().iter().map(|(_, count)| count).sum();
        assert_eq!(told, 10_000);
    }
}
