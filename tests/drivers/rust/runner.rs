//! Runs one case after the other and prints a line for each; shared by the suites
//! in Rust. A case fails by panicking, by taking longer than its time, or by
//! leaving a transaction open on the server, which tokio-postgres looks at.

use std::env;
use std::future::Future;
use std::time::Duration;

use tokio_postgres::{Client, Config, NoTls};

/// How long a case may take.
const TIME: Duration = Duration::from_secs(60);

/// Transactions and queries of the users under test, as PostgreSQL sees them.
const OPEN: &str = "SELECT pid, state || ': ' || left(query, 60) FROM pg_stat_activity
    WHERE usename IN ($1, $2) AND backend_type = 'client backend'
      AND (xact_start IS NOT NULL OR state <> 'idle')";

/// The cases run so far.
pub struct Cases {
    suite: &'static str,
    passed: usize,
    failed: usize,
}

impl Cases {
    /// None yet.
    pub fn of(suite: &'static str) -> Self {
        Self {
            suite,
            passed: 0,
            failed: 0,
        }
    }

    /// At least one case, and none that failed.
    pub fn all_passed(&self) -> bool {
        self.failed == 0 && self.passed > 0
    }

    /// Runs one case.
    pub async fn check<F>(&mut self, name: &str, case: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let reason = match tokio::time::timeout(TIME, tokio::spawn(case)).await {
            Ok(Ok(())) => what_is_left_open().await,
            Ok(Err(panicked)) => Some(message(panicked)),
            Err(_) => Some(format!("not done after {} s", TIME.as_secs())),
        };
        let suite = self.suite;
        match reason {
            None => {
                self.passed += 1;
                println!("ok {suite}: {name}");
            }
            Some(reason) => {
                self.failed += 1;
                println!("FAILED {suite}: {name}: {}", one_line(&reason));
                end_what_is_left().await;
            }
        }
    }
}

fn message(panicked: tokio::task::JoinError) -> String {
    match panicked.try_into_panic() {
        Ok(panic) => panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
            .unwrap_or_else(|| "panicked".to_owned()),
        Err(_) => "cancelled".to_owned(),
    }
}

fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").chars().take(400).collect()
}

/// A variable that `tests/drivers/run` exports.
pub fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("{name} is not set: start this by tests/drivers/run"))
}

/// Server connections that a pool may have; `None` when there is no pooler.
pub fn pool_size() -> Option<i64> {
    variable("PGWEAVE_TEST_POOL_SIZE").parse().ok()
}

/// PostgreSQL itself, past the pooler, as superuser.
pub async fn server() -> Client {
    let mut config = Config::new();
    config
        .host(variable("PGWEAVE_TEST_SERVER_HOST"))
        .port(variable("PGWEAVE_TEST_SERVER_PORT").parse().unwrap())
        .user("postgres")
        .dbname(variable("PGDATABASE"));
    let (client, connection) = config.connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// A new table that the user under test owns.
pub async fn fresh_table(name: &str, columns: &str) {
    let user = variable("PGUSER");
    server()
        .await
        .batch_execute(&format!(
            "SET lock_timeout = '10s'; DROP TABLE IF EXISTS {name};
             CREATE TABLE {name} ({columns}); ALTER TABLE {name} OWNER TO \"{user}\""
        ))
        .await
        .unwrap();
}

/// The integers that a query returns in its first column, past the pooler.
pub async fn integers(query: &str) -> Vec<i32> {
    server()
        .await
        .query(query, &[])
        .await
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect()
}

/// How many connections PostgreSQL has of the user under test, in the pool: one that
/// listens for all clients stands beside it.
pub async fn connections(server: &Client) -> i64 {
    let query = "SELECT count(*) FROM pg_stat_activity WHERE usename = $1 AND datname = current_database() \
         AND application_name <> 'pgweave listens'";
    let row = server.query_one(query, &[&variable("PGUSER")]).await;
    row.unwrap().get(0)
}

async fn open_transactions(server: &Client) -> Vec<(i32, String)> {
    let users = [variable("PGUSER"), variable("PGWEAVE_TEST_TRUST_USER")];
    let rows = server.query(OPEN, &[&users[0], &users[1]]).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

async fn what_is_left_open() -> Option<String> {
    let server = server().await;
    for _ in 0..100 {
        if open_transactions(&server).await.is_empty() {
            return None;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Some(format!(
        "left open on the server: {:?}",
        open_transactions(&server).await
    ))
}

async fn end_what_is_left() {
    let server = server().await;
    for (pid, _) in open_transactions(&server).await {
        server
            .execute("SELECT pg_terminate_backend($1)", &[&pid])
            .await
            .unwrap();
    }
}

/// Waits, past the pooler, until no transaction is open.
pub async fn no_transaction_is_open() {
    assert_eq!(what_is_left_open().await, None);
}
