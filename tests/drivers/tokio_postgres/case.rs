//! Runs one case after the other and prints a line for each. A case fails by
//! panicking, by taking longer than its time, or by leaving a transaction open on
//! the server.

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

/// The cases run so far, and PostgreSQL itself to look at.
pub struct Cases {
    passed: usize,
    failed: usize,
    shared_statements: bool,
}

impl Cases {
    /// Reads what `tests/drivers/run` exports; panics when it is not there.
    pub fn from_env() -> Self {
        let shared_statements = variable("PGWEAVE_TEST_SHARED_STATEMENTS") == "yes";
        Self {
            passed: 0,
            failed: 0,
            shared_statements,
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
        match reason {
            None => {
                self.passed += 1;
                println!("ok tokio_postgres: {name}");
            }
            Some(reason) => {
                self.failed += 1;
                println!("FAILED tokio_postgres: {name}: {}", one_line(&reason));
                end_what_is_left().await;
            }
        }
    }

    /// Runs a case in which more clients than there are server connections keep
    /// named statements.
    pub async fn check_shared_statements<F>(&mut self, name: &str, case: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        if self.shared_statements {
            self.check(name, case).await;
        } else {
            println!("left out tokio_postgres: {name} (--shared-statements runs it)");
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

/// Where the pooler is and who we are.
pub fn config() -> Config {
    let mut config = Config::new();
    config
        .host(variable("PGHOST"))
        .port(variable("PGPORT").parse().unwrap())
        .user(variable("PGUSER"))
        .password(variable("PGPASSWORD"))
        .dbname(variable("PGDATABASE"));
    config
}

/// Where the pooler that trusts is, and the user that it trusts.
pub fn trusted_config() -> Config {
    let mut config = Config::new();
    config
        .host(variable("PGHOST"))
        .port(variable("PGWEAVE_TEST_TRUST_PORT").parse().unwrap())
        .user(variable("PGWEAVE_TEST_TRUST_USER"))
        .dbname(variable("PGDATABASE"));
    config
}

/// A client through the pooler, its connection driven by a task of its own.
pub async fn connect() -> Client {
    connect_with(&config()).await
}

/// A client of that configuration.
pub async fn connect_with(config: &Config) -> Client {
    let (client, connection) = config.connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// PostgreSQL itself, past the pooler, as superuser.
pub async fn server() -> Client {
    let mut config = Config::new();
    config
        .host(variable("PGWEAVE_TEST_SERVER_HOST"))
        .port(variable("PGWEAVE_TEST_SERVER_PORT").parse().unwrap())
        .user("postgres")
        .dbname(variable("PGDATABASE"));
    connect_with(&config).await
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

/// The SQLSTATE of an error.
#[track_caller]
pub fn sqlstate<T>(result: Result<T, tokio_postgres::Error>) -> String {
    match result {
        Ok(_) => panic!("an error was expected and did not come"),
        Err(error) => error
            .code()
            .unwrap_or_else(|| panic!("no SQLSTATE: {error:?}"))
            .code()
            .to_owned(),
    }
}
