//! How the cases connect. libpq's variables say where to.

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{Connection, Error, PgConnection};

/// A client through the pooler.
pub async fn connect() -> PgConnection {
    connect_with(&PgConnectOptions::new()).await.unwrap()
}

/// A client of that configuration.
pub async fn connect_with(options: &PgConnectOptions) -> Result<PgConnection, Error> {
    PgConnection::connect_with(options).await
}

/// The driver's own pool, of at most so many connections. It closes none for its
/// age: the task that looks at that may run in circles when connections end.
pub async fn pool(most: u32) -> PgPool {
    let options = PgPoolOptions::new()
        .max_connections(most)
        .max_lifetime(None)
        .idle_timeout(None);
    options.connect_with(PgConnectOptions::new()).await.unwrap()
}

/// The SQLSTATE of an error.
#[track_caller]
pub fn sqlstate<T>(result: Result<T, Error>) -> String {
    match result {
        Ok(_) => panic!("an error was expected and did not come"),
        Err(error) => code_of(&error).unwrap_or_else(|| panic!("no SQLSTATE: {error:?}")),
    }
}

/// The SQLSTATE, if it is PostgreSQL's error.
pub fn code_of(error: &Error) -> Option<String> {
    error
        .as_database_error()
        .and_then(|error| error.code())
        .map(|code| code.into_owned())
}
