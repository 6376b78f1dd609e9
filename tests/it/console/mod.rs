//! The console: databases `pgweave` and `pgbouncer`.

mod clients;
mod driving;
mod end;
mod protocol;
mod roles;
mod shows;
mod stats;

use crate::support::frames::Frame;
use crate::support::pooler::{Plan, Pooler};
use crate::support::postgres::Database;
use crate::support::raw::Connection;
use crate::support::startup::Startup;
use crate::support::wait;

/// A pooler whose superuser is the console's admin.
pub fn plan(database: &Database) -> Plan {
    Plan::before(database).setting("admin_users", "\"postgres\"")
}

/// The console of the admin.
pub fn console(pooler: &Pooler) -> Connection {
    Connection::login(pooler.address, &Startup::new("postgres", "pgweave"))
}

/// The names in a RowDescription.
pub fn names(description: &Frame) -> Vec<String> {
    assert_eq!(description.tag, b'T');
    let (mut names, mut rest) = (Vec::new(), &description.body[2..]);
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| *byte == 0).unwrap();
        names.push(String::from_utf8(rest[..end].to_vec()).unwrap());
        rest = &rest[end + 1 + 18..];
    }
    names
}

/// The rows of a `SHOW` by the names of their columns.
pub struct Shown {
    names: Vec<String>,
    rows: Vec<Vec<Option<String>>>,
}

impl Shown {
    pub fn of(console: &mut Connection, what: &str) -> Self {
        let answer = console.query(&format!("SHOW {what}"));
        Self {
            names: names(&answer[0]),
            rows: crate::support::raw::rows_of(&answer),
        }
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// The value of one column in the row where another has this value.
    pub fn value(&self, key: &str, is: &str, column: &str) -> Option<String> {
        let at = |name: &str| {
            let found = self.names.iter().position(|other| other == name);
            found.unwrap_or_else(|| panic!("no column {name} in {:?}", self.names))
        };
        let (key, column) = (at(key), at(column));
        let mut rows = self.rows.iter();
        let row = rows.find(|row| row[key].as_deref() == Some(is))?;
        row[column].clone()
    }

    pub fn number(&self, key: &str, is: &str, column: &str) -> u64 {
        let value = self.value(key, is, column);
        let value = value.unwrap_or_else(|| panic!("{key} = {is} has no {column}"));
        value.parse().unwrap()
    }
}

/// Shows again and again, until it is so: a client has its answer a moment before
/// its turn is counted.
pub fn until_shown(console: &mut Connection, what: &str, is_so: impl Fn(&Shown) -> bool) -> Shown {
    wait::until_some(wait::SOON, what, || {
        Some(Shown::of(console, what)).filter(|shown| is_so(shown))
    })
}

/// Waits until so many clients of the pooler's database wait.
pub fn until_waiting(console: &mut Connection, pooler: &Pooler, count: u64) {
    wait::until(wait::SOON, "clients to wait", || {
        let pools = Shown::of(console, "POOLS");
        pools.number("database", &pooler.database, "cl_waiting") == count
    });
}

/// A client in a transaction on the only server connection, and one that waits.
pub fn one_waits(console: &mut Connection, pooler: &Pooler) -> (Connection, Connection) {
    let (mut holder, mut waiting) = (pooler.client(), pooler.client());
    holder.rows("BEGIN");
    waiting.send(&crate::support::frames::query("SELECT 1"));
    until_waiting(console, pooler, 1);
    (holder, waiting)
}

/// The message of the error that a command ends with.
pub fn complaint(console: &mut Connection, command: &str) -> String {
    let answer = console.query(command);
    let error = answer.iter().find(|frame| frame.tag == b'E');
    let error = error.unwrap_or_else(|| panic!("{command} did not fail"));
    error.field(b'M').unwrap()
}

/// The tag that a command ends with.
pub fn tag(console: &mut Connection, command: &str) -> String {
    console.send(&crate::support::frames::query(command));
    finished(console, command)
}

/// The tag with which a command that was sent ends.
pub fn finished(console: &mut Connection, command: &str) -> String {
    let answer = console.until_ready(1, command);
    let complete = answer.iter().find(|frame| frame.tag == b'C');
    let complete = complete.unwrap_or_else(|| {
        let told = crate::support::raw::render_all(&answer);
        panic!("{command} was not done: {told:?}")
    });
    String::from_utf8(complete.body[..complete.body.len() - 1].to_vec()).unwrap()
}
