//! What clients have left on the server connections of a pool: a fresh client
//! must find each of them as a fresh direct connection is.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use super::postgres::Database;
use super::raw::Connection;
use super::startup::Startup;

/// Everything that a session can leave behind and that can be looked at, a line
/// each. What loaded libraries bring is no trace of anybody, nor is what each
/// transaction begins with, nor a value that is the one of a new session,
/// whoever has set it.
const LOOK: &str = "\
SELECT 'setting ' || name || ' = ' || setting \
FROM pg_catalog.pg_settings WHERE context IN ('user', 'superuser') AND name <> 'application_name' \
AND name !~ '^transaction_' AND (name !~ '[.]' OR source = 'session') \
UNION ALL SELECT 'role ' || pg_catalog.current_setting('role') \
UNION ALL SELECT 'current user ' || current_user::text \
UNION ALL SELECT 'session user ' || session_user::text \
UNION ALL SELECT 'listens to ' || channel FROM pg_catalog.pg_listening_channels() AS channel \
UNION ALL SELECT 'temporary ' || pg_catalog.pg_describe_object(classid, objid, objsubid) \
FROM pg_catalog.pg_depend WHERE refclassid = 2615 AND refobjid = pg_catalog.pg_my_temp_schema() \
UNION ALL SELECT pg_catalog.concat_ws(' ', 'advisory lock', classid, objid, mode) \
FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND pid = pg_catalog.pg_backend_pid() \
UNION ALL SELECT 'prepared by SQL ' || name FROM pg_catalog.pg_prepared_statements WHERE from_sql \
UNION ALL SELECT 'open cursor ' || name FROM pg_catalog.pg_cursors WHERE is_holdable";

/// What to look at.
#[derive(Debug, Clone, Default)]
pub struct Look {
    /// Settings with a dot in their name, which no list of PostgreSQL shows. An
    /// empty text is as good as none: PostgreSQL never forgets such a name.
    pub custom: Vec<String>,
    /// Whether `lastval()` is to be undefined.
    pub sequences: bool,
}

impl Look {
    /// Looks at all `size` server connections of a pool at once, as a client of
    /// each of these startup messages. Gives what is not as it should be.
    pub fn at(
        &self,
        address: SocketAddr,
        size: usize,
        database: &Database,
        startups: &[Startup],
    ) -> Vec<String> {
        let mut wrong = Vec::new();
        // Connections opened for one startup message are closed for another, so
        // there is one look at what is there before each has a look of its own.
        let mixed: Vec<&Startup> = startups.iter().cycle().take(size).collect();
        let each = startups
            .iter()
            .map(|startup| vec![startup; size])
            .filter(|_| startups.len() > 1);
        for clients in std::iter::once(mixed).chain(each) {
            wrong.extend(self.at_once(address, database, &clients));
        }
        wrong
    }

    fn at_once(
        &self,
        address: SocketAddr,
        database: &Database,
        startups: &[&Startup],
    ) -> Vec<String> {
        let mut open: Vec<Connection> = startups
            .iter()
            .map(|startup| Connection::login(address, startup))
            .collect();
        for client in &mut open {
            client.send(&super::frames::query("BEGIN"));
        }
        let mut wrong = Vec::new();
        for (number, client) in open.iter_mut().enumerate() {
            let what = "a server connection after all clients have left";
            client.until_ready(1, what);
            let mut direct = Connection::login(database.cluster.address(), startups[number]);
            direct.rows("BEGIN");
            let (wanted, found) = (self.seen(&mut direct), self.seen(client));
            let lines = |from: &BTreeSet<String>, other: &BTreeSet<String>, how: &str| {
                let tell = |line| format!("{how} on server connection {}: {line}", number + 1);
                from.difference(other).map(tell).collect::<Vec<_>>()
            };
            wrong.extend(lines(&found, &wanted, "left"));
            wrong.extend(lines(&wanted, &found, "missing"));
        }
        for client in &mut open {
            client.rows("ROLLBACK");
        }
        wrong
    }

    fn seen(&self, client: &mut Connection) -> BTreeSet<String> {
        let rows = client.rows(LOOK);
        let mut seen: BTreeSet<String> = rows.into_iter().flatten().flatten().collect();
        assert!(seen.len() > 100, "too little seen: {seen:?}");
        for name in &self.custom {
            let sql = format!("SELECT pg_catalog.current_setting('{name}', true)");
            let value = client.rows(&sql).into_iter().flatten().flatten().next();
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                seen.insert(format!("setting {name} = {value}"));
            }
        }
        if self.sequences {
            client.rows("SAVEPOINT look");
            let answer = client.query("SELECT pg_catalog.lastval()");
            for row in super::raw::rows_of(&answer) {
                seen.insert(format!("lastval {row:?}"));
            }
            client.rows("ROLLBACK TO look");
        }
        seen
    }
}
