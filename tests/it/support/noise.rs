//! A hidden client that uses the pool between the steps of a script, so that
//! server connections pass through foreign hands, and that watches that it
//! sees nothing but its own bytes and its own state.

use super::frames::{Frame, bind, execute, extended, parse, query, sync};
use super::raw::{Connection, first_error, rows_of};

/// What the hidden client does to the server connections that it gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It leaves no state behind.
    Quiet,
    /// It keeps settings of its own, and other state for a short while.
    Dirty,
}

/// What the dirty one needs in the database. Whoever gets its search_path
/// writes into its table.
pub const SETUP: &[&str] = &[
    "CREATE SCHEMA noise",
    "CREATE SEQUENCE noise.numbers",
    "CREATE TABLE noise.t (x text DEFAULT 'of the noise')",
    "GRANT USAGE ON SCHEMA noise TO PUBLIC",
    "GRANT ALL ON ALL TABLES IN SCHEMA noise TO PUBLIC",
    "GRANT ALL ON ALL SEQUENCES IN SCHEMA noise TO PUBLIC",
];

/// Its settings: what it says in one round, and how it sees that in the next.
const SETTINGS: &[(&[&str], &str, &str)] = &[
    (
        &[
            "SET DateStyle = 'German, DMY'",
            "SET search_path = noise, public",
            "SET work_mem = '7777kB'",
            "SET TIME ZONE 'Asia/Kathmandu'",
            "SET noise.mark = 'first'",
            "SET ROLE guest",
        ],
        "SELECT concat_ws('|', '31.1.2026'::date, current_schema, current_user, session_user, \
         current_setting('TimeZone'), current_setting('noise.mark'), current_setting('work_mem'))",
        "31.01.2026|noise|guest|postgres|Asia/Kathmandu|first|7777kB",
    ),
    (
        &[
            "SET ROLE none; RESET work_mem; RESET DateStyle",
            "SET IntervalStyle = 'sql_standard'",
            "SELECT set_config('noise.mark', 'second', false)",
            "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ",
            "SET extra_float_digits = -3",
            "SET bytea_output = 'escape'",
            "SET statement_timeout = '8s'",
        ],
        "SELECT concat_ws('|', interval '1 day 2 hours', current_schema, current_user, \
         current_setting('transaction_isolation'), current_setting('noise.mark'), 0.1::float8, '\\x41'::bytea)",
        "1 2:00:00|noise|postgres|repeatable read|second|0.1|A",
    ),
    (
        &[
            "RESET ALL",
            "SET standard_conforming_strings = off; SET escape_string_warning = off",
            "BEGIN; SET noise.mark = 'third'; SAVEPOINT s; SET noise.mark = 'never'; ROLLBACK TO s; COMMIT",
            "BEGIN; SET search_path = never; ROLLBACK",
            "SET SESSION AUTHORIZATION guest",
        ],
        "SELECT concat_ws('|', length('a\\\\n'), current_user, session_user, current_setting('noise.mark'), \
         current_setting('IntervalStyle'), 0.1::float8, '\\x41'::bytea)",
        "3|guest|guest|third|postgres|0.1|\\x41",
    ),
    (
        &["DISCARD ALL"],
        "SELECT concat_ws('|', session_user, current_setting('standard_conforming_strings'))",
        "postgres|on",
    ),
];

/// State that would keep a server connection, and its end.
const PASSING: &[&[&str]] = &[
    &[
        "CREATE TEMP TABLE t (x int)",
        "INSERT INTO t VALUES (1)",
        "DROP TABLE t",
    ],
    &[
        "SELECT pg_advisory_lock(-815)",
        "SELECT pg_advisory_unlock(-815)",
    ],
    &["LISTEN noise", "UNLISTEN noise"],
    &["PREPARE q1 AS SELECT 'noise'", "DEALLOCATE q1"],
    &[
        "BEGIN",
        "DECLARE c1 CURSOR WITH HOLD FOR SELECT 1",
        "COMMIT",
        "CLOSE c1",
    ],
    &["SELECT nextval('noise.numbers')"],
];

/// The hidden client.
pub struct Noise {
    connection: Connection,
    kind: Kind,
    turn: usize,
    /// Before which step of the script.
    step: usize,
}

impl Noise {
    /// Goes to work on a connection of its own.
    pub fn new(connection: Connection, kind: Kind) -> Self {
        Self {
            connection,
            kind,
            turn: 0,
            step: 0,
        }
    }

    /// One round of every kind of traffic, before a step of the script.
    pub fn run(&mut self, step: usize) {
        self.turn += 1;
        self.step = step;
        if self.kind == Kind::Dirty {
            self.run_dirty();
        }
        self.run_quiet();
    }

    /// An even number of transactions, so that in a pool of two the next step
    /// meets another server connection than the last one did.
    fn run_quiet(&mut self) {
        let marker = format!("noise {}", self.turn);
        let sql = format!("SELECT '{marker}'");
        self.expect_rows(&query(&sql), 1, &[&marker]);
        self.expect_rows(&extended(&sql), 1, &[&marker]);
        self.expect_rows(&[parse("", &sql), sync()].concat(), 1, &[]);
        for (step, status) in [("BEGIN", b'T'), (sql.as_str(), b'T'), ("ROLLBACK", b'I')] {
            let rows: &[&str] = if step == sql { &[&marker] } else { &[] };
            self.expect_rows(&query(step), 1, rows);
            assert_eq!(self.connection.status, status, "after {step}");
        }
        self.expect_error(&query("SELECT 1/0 AS noise"));
        self.expect_error(&extended("SELECT nonsense_of_the_noise"));
        let leftovers = [
            parse("", "SELECT 'left behind'"),
            bind("", "", &[]),
            execute("", 0),
            sync(),
        ]
        .concat();
        self.expect_rows(&leftovers, 1, &["left behind"]);
        self.expect_rows(&query(&sql), 1, &[&marker]);
    }

    fn run_dirty(&mut self) {
        let round = self.turn - 1;
        if let Some(before) = round.checked_sub(1) {
            let (_, look, seen) = SETTINGS[before % SETTINGS.len()];
            self.expect_rows(&query(look), 1, &[seen]);
        }
        let passing = PASSING[round % PASSING.len()];
        let (settings, ..) = SETTINGS[round % SETTINGS.len()];
        for sql in passing.iter().chain(settings) {
            let answer = self.answer(&query(sql), 1);
            let error = first_error(&answer);
            assert_eq!(error, None, "{sql} of {}: {answer:?}", self.place());
        }
        // Now an even, now an odd number of transactions, so that clients who
        // take turns do not each meet always the same server connection.
        if self.turn.count_ones() % 2 == 1 {
            self.expect_rows(&query("SELECT 'odd'"), 1, &["odd"]);
        }
    }

    fn place(&self) -> String {
        format!("the hidden client before step {}", self.step)
    }

    fn answer(&mut self, bytes: &[u8], ready: usize) -> Vec<Frame> {
        self.connection.send(bytes);
        let what = format!("a server connection for {}", self.place());
        self.connection.until_ready(ready, &what)
    }

    fn expect_rows(&mut self, bytes: &[u8], ready: usize, wanted: &[&str]) {
        let answer = self.answer(bytes, ready);
        let (error, place) = (first_error(&answer), self.place());
        assert_eq!(error, None, "{place} got an error: {answer:?}");
        let rows: Vec<String> = rows_of(&answer).into_iter().flatten().flatten().collect();
        assert_eq!(rows, wanted, "{place} saw foreign rows");
    }

    fn expect_error(&mut self, bytes: &[u8]) {
        let answer = self.answer(bytes, 1);
        assert!(
            first_error(&answer).is_some(),
            "an error of {} got lost: {answer:?}",
            self.place()
        );
        assert_eq!(self.connection.status, b'I');
    }
}
