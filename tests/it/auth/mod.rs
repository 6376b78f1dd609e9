//! Who may come in, by what, and what that is worth toward the server.

mod matrix;
mod outside;
mod passthrough;
mod passwords;
mod query;
mod rules;
mod sockets;
mod throttle;

use crate::support::certificates::Folder;
use crate::support::frames::Frame;
use crate::support::pooler::{Plan, Pooler};
use crate::support::postgres::Database;
use crate::support::raw::{Connection, first_error};
use crate::support::startup::Startup;

/// What became of a login and of the first query: its SQLSTATE, or `ok`.
fn outcome(pooler: &Pooler, user: &str, password: &str) -> String {
    told(attempt(pooler, user, password))
}

fn attempt(pooler: &Pooler, user: &str, password: &str) -> Result<Connection, Vec<Frame>> {
    let startup = Startup::new(user, &pooler.database).password(password);
    Connection::try_login(pooler.address, &startup)
}

fn told(attempt: Result<Connection, Vec<Frame>>) -> String {
    match attempt {
        Ok(mut client) => {
            assert_eq!(client.value("SELECT 6 * 7"), "42");
            "ok".to_owned()
        }
        Err(frames) => first_error(&frames).unwrap_or_else(|| "no word".to_owned()),
    }
}

/// A pooler whose users stand in a file, and the folder of that file.
fn with_auth_file(database: &Database, auth_type: &str, users: &str) -> (Plan, Folder) {
    let folder = Folder::new();
    let path = folder.put("userlist.txt", users);
    let plan = Plan::before(database)
        .without_fallback()
        .pool_size(2)
        .setting("auth_type", &format!("{auth_type:?}"))
        .setting("auth_file", &format!("{path:?}"));
    (plan, folder)
}
