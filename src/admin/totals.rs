//! Counts of databases, and their averages over periods.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How many counts there are.
pub(super) const COUNTS: usize = 12;

/// The counts of one database, in the order of `SHOW STATS_TOTALS`: assignments,
/// transactions, queries, bytes received and sent, the times of transactions, of
/// queries and of waiting, statements parsed by clients and on servers, binds,
/// logins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Totals(pub [u64; COUNTS]);

/// Of every database, by name.
pub(super) type ByDatabase = BTreeMap<String, Totals>;

impl Totals {
    /// Both together.
    pub fn and(self, other: Self) -> Self {
        let mut sums = self.0;
        for (sum, more) in sums.iter_mut().zip(other.0) {
            *sum = sum.saturating_add(more);
        }
        Self(sums)
    }

    /// What has been added since `before`.
    fn since(self, before: Self) -> Self {
        let mut change = self.0;
        for (now, before) in change.iter_mut().zip(before.0) {
            *now = now.saturating_sub(before);
        }
        Self(change)
    }

    /// Of what was added within `period`: a second's worth of what is counted, and
    /// the mean of each time.
    fn average(self, period: Duration) -> Self {
        let change = self.0;
        let [assignments, transactions, queries, ..] = change;
        let mut averages = change.map(|count| a_second(count, period));
        let [_, _, _, _, _, in_transactions, in_queries, waiting, ..] = &mut averages;
        let [_, _, _, _, _, transaction_us, query_us, wait_us, ..] = change;
        *in_transactions = transaction_us.checked_div(transactions).unwrap_or(0);
        *in_queries = query_us.checked_div(queries).unwrap_or(0);
        *waiting = wait_us.checked_div(assignments).unwrap_or(0);
        Self(averages)
    }
}

fn a_second(count: u64, period: Duration) -> u64 {
    let micros = period.as_micros().max(1);
    u64::try_from(u128::from(count) * 1_000_000 / micros).unwrap_or(u64::MAX)
}

/// The latest period that is over.
#[derive(Debug, Default)]
pub(super) struct Periods {
    began: Option<Instant>,
    at_its_beginning: ByDatabase,
    averages: ByDatabase,
    of_all: Totals,
}

impl Periods {
    /// A period ends with these counts, and the next begins.
    pub fn ends(&mut self, totals: ByDatabase, now: Instant) {
        if let Some(began) = self.began {
            let period = now.duration_since(began);
            let mut sum = Totals::default();
            let of = |(name, counts): (&String, &Totals)| {
                let before = self.at_its_beginning.get(name).copied();
                let change = counts.since(before.unwrap_or_default());
                sum = sum.and(change);
                (name.clone(), change.average(period))
            };
            self.averages = totals.iter().map(of).collect();
            self.of_all = sum.average(period);
        }
        self.at_its_beginning = totals;
        self.began = Some(now);
    }

    /// The averages of a database; zeros before the first period is over.
    pub fn average(&self, database: &str) -> Totals {
        self.averages.get(database).copied().unwrap_or_default()
    }

    /// The averages of all databases together.
    pub fn of_all(&self) -> Totals {
        self.of_all
    }
}

/// The averages as PgBouncer logs them: tools look for these words.
impl std::fmt::Display for Totals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [_, transactions, queries, received, sent, rest @ ..] = self.0;
        let [
            transaction_us,
            query_us,
            wait_us,
            client_parses,
            server_parses,
            binds,
            _,
        ] = rest;
        write!(
            f,
            "stats: {transactions} xacts/s, {queries} queries/s, \
             {client_parses} client parses/s, {server_parses} server parses/s, {binds} binds/s, \
             in {received} B/s, out {sent} B/s, \
             xact {transaction_us} us, query {query_us} us, wait {wait_us} us"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn averages_are_a_seconds_worth_and_times_are_means() {
        let before = Totals([10, 100, 1000, 0, 0, 5000, 5000, 700, 0, 0, 0, 1]);
        let change = Totals([20, 40, 80, 2000, 4000, 8000, 4000, 600, 20, 10, 40, 20]);
        let averages = before.and(change).since(before);
        let averages = averages.average(Duration::from_secs(20));
        assert_eq!(averages.0, [1, 2, 4, 100, 200, 200, 50, 30, 1, 0, 2, 1]);
        assert_eq!(
            averages.to_string(),
            "stats: 2 xacts/s, 4 queries/s, 1 client parses/s, 0 server parses/s, 2 binds/s, \
             in 100 B/s, out 200 B/s, xact 200 us, query 50 us, wait 30 us"
        );
    }

    #[test]
    fn where_nothing_happened_nothing_is_divided() {
        let quiet = Totals([7; COUNTS]);
        let nothing = quiet.since(quiet);
        assert_eq!(nothing.average(Duration::ZERO), Totals::default());
    }

    #[test]
    fn a_period_is_compared_with_its_own_beginning() {
        let mut periods = Periods::default();
        let start = Instant::now();
        let totals = |count: u64| {
            let mut counts = [0; COUNTS];
            if let Some(first) = counts.first_mut() {
                *first = count;
            }
            ByDatabase::from([("app".to_owned(), Totals(counts))])
        };
        let average = |periods: &Periods| periods.average("app").0.first().copied();
        periods.ends(totals(100), start);
        assert_eq!(average(&periods), Some(0));
        periods.ends(totals(300), start + Duration::from_secs(10));
        assert_eq!(average(&periods), Some(20));
        periods.ends(totals(310), start + Duration::from_secs(20));
        assert_eq!(average(&periods), Some(1));
        assert_eq!(periods.average("other"), Totals::default());
    }

    #[test]
    fn times_of_all_databases_are_means_over_all_their_transactions() {
        let of = |transactions: u64, transaction_us: u64| {
            Totals([0, transactions, 0, 0, 0, transaction_us, 0, 0, 0, 0, 0, 0])
        };
        let mut periods = Periods::default();
        let start = Instant::now();
        periods.ends(ByDatabase::new(), start);
        let both = [("busy", of(90, 900)), ("slow", of(10, 9100))];
        let both = both.map(|(name, totals)| (name.to_owned(), totals));
        periods.ends(both.into(), start + Duration::from_secs(10));
        assert_eq!(periods.of_all(), of(10, 100));
        assert_eq!(periods.average("slow"), of(1, 910));
    }
}
