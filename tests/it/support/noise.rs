//! A hidden client that uses the pool between the steps of a script, so that
//! server connections pass through foreign hands, and that watches that it
//! sees nothing but its own bytes.

use super::frames::{bind, execute, extended, parse, query, sync};
use super::raw::{Connection, first_error, rows_of};

/// The hidden client.
pub struct Noise {
    connection: Connection,
    turn: u32,
}

impl Noise {
    /// Goes to work on a connection of its own.
    pub fn new(connection: Connection) -> Self {
        Self {
            connection,
            turn: 0,
        }
    }

    /// One round of every kind of traffic: an even number of transactions, so
    /// that in a pool of two the next step meets another server connection than
    /// the last one did.
    pub fn run(&mut self) {
        self.turn += 1;
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

    fn expect_rows(&mut self, bytes: &[u8], ready: usize, wanted: &[&str]) {
        self.connection.send(bytes);
        let answer = self
            .connection
            .until_ready(ready, "a server connection for the hidden client");
        assert_eq!(
            first_error(&answer),
            None,
            "the hidden client got an error: {answer:?}"
        );
        let rows: Vec<String> = rows_of(&answer).into_iter().flatten().flatten().collect();
        assert_eq!(rows, wanted, "the hidden client saw foreign rows");
    }

    fn expect_error(&mut self, bytes: &[u8]) {
        self.connection.send(bytes);
        let answer = self.connection.until_ready(1, "the hidden client's error");
        assert!(
            first_error(&answer).is_some(),
            "the hidden client's error got lost: {answer:?}"
        );
        assert_eq!(self.connection.status, b'I');
    }
}
