//! How the cases connect.

use tokio_postgres::{Client, Config, NoTls};

pub use crate::runner::{
    Cases, connections, fresh_table, integers, no_transaction_is_open, pool_size, server, variable,
};

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
