//! One login, and what it shows.

use std::time::{Duration, Instant};

use super::{Attempt, Purpose};
use crate::config::PoolSettings;
use crate::pool::Directory;
use crate::proxy::access::{Errand, Said, said_in};
use crate::server::{Row, Server, advice, advice_on_auth_query};
use crate::wire::{PgError, sqlstate};

/// What a server says of itself, and of the role that `$1` is.
const LIMITS: &str = "SELECT pg_catalog.current_setting('max_connections'), \
     pg_catalog.current_setting('superuser_reserved_connections'), \
     pg_catalog.current_setting('reserved_connections', true), \
     pg_catalog.pg_is_in_recovery(), \
     (SELECT rolconnlimit FROM pg_catalog.pg_roles WHERE rolname = $1), \
     (SELECT datconnlimit FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())";

/// Nothing is wrong.
#[derive(Debug)]
pub enum Fine {
    /// Clients can be served.
    Serves(Facts),
    /// `auth_query` works; was its own user among those that it knows?
    Asks(Facts, bool),
    /// A server is there and wants a proof, which nobody here has.
    IsThere,
}

/// What a login has shown.
#[derive(Debug)]
pub struct Facts {
    /// As the server reports it.
    pub version: String,
    /// The version of TLS, if there is any.
    pub tls: Option<&'static str>,
    /// From the name to the first ReadyForQuery.
    pub took: Duration,
    /// One question and its answer.
    pub round_trip: Duration,
    /// What it allows, or why it cannot tell.
    pub limits: Result<Limits, PgError>,
    /// The fallback is tried by a name that need not be there: it is not.
    pub lacks_the_usual: bool,
}

/// How many connections a server allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// `max_connections`.
    pub most: u64,
    /// Those that are kept for superusers and `pg_use_reserved_connections`.
    pub reserved: u64,
    /// Is it a standby?
    pub in_recovery: bool,
    /// CONNECTION LIMIT of the role.
    pub of_role: Option<u64>,
    /// CONNECTION LIMIT of the database.
    pub of_database: Option<u64>,
}

/// Something is wrong.
#[derive(Debug)]
pub struct Wrong {
    /// What.
    pub error: PgError,
    /// What to do about it.
    pub advice: Option<String>,
}

/// See [`Attempt::run`].
pub(super) async fn run(attempt: &Attempt, directory: &Directory) -> Result<Fine, Wrong> {
    match &attempt.purpose {
        Purpose::Serve(_) => serve(attempt, directory).await.map(Fine::Serves),
        Purpose::Ask(query) => ask(attempt, query, directory).await,
        Purpose::Reach { is_known } => match serve(attempt, directory).await {
            Ok(facts) => Ok(Fine::Serves(facts)),
            Err(wrong) if is_for_want_of_a_proof(&wrong.error, *is_known) => Ok(Fine::IsThere),
            Err(wrong) => Err(wrong),
        },
    }
}

/// Somebody who is nobody may also have no role, and no line in `pg_hba.conf`.
fn is_for_want_of_a_proof(error: &PgError, is_known: bool) -> bool {
    error.code == sqlstate::INVALID_PASSWORD
        || (!is_known && error.code == sqlstate::INVALID_AUTHORIZATION)
}

async fn serve(attempt: &Attempt, directory: &Directory) -> Result<Facts, Wrong> {
    let settings = &attempt.settings;
    let began = Instant::now();
    let login = directory.connect(settings, settings.startup.clone()).await;
    let took = began.elapsed();
    let mut server = match login {
        Ok(server) => server,
        // Its role is who it says, and clients name the database.
        Err(error) if attempt.section == "*" && is_about_the_database(&error) => {
            return Ok(Facts {
                version: String::new(),
                tls: None,
                took,
                round_trip: Duration::ZERO,
                limits: Err(error),
                lacks_the_usual: true,
            });
        }
        Err(error) => return Err(wrong(error, settings)),
    };
    let within = settings.server_connect_timeout;
    if let Some(text) = &settings.connect_query {
        let run = server.run_alone(text, within).await;
        run.map_err(|error| Wrong {
            error: PgError {
                message: format!("connect_query failed: {}", error.message),
                ..error
            },
            advice: None,
        })?;
    }
    Ok(look_at(&mut server, took, settings).await)
}

fn is_about_the_database(error: &PgError) -> bool {
    [
        sqlstate::INVALID_CATALOG_NAME,
        sqlstate::INSUFFICIENT_PRIVILEGE,
    ]
    .contains(&error.code.as_str())
}

async fn ask(attempt: &Attempt, query: &str, directory: &Directory) -> Result<Fine, Wrong> {
    let settings = attempt.settings.clone();
    let began = Instant::now();
    let errand = Errand {
        directory,
        settings,
    };
    let settings = &errand.settings;
    let mut server = errand
        .connect()
        .await
        .map_err(|error| wrong(error, settings))?;
    let took = began.elapsed();
    let within = settings.server_connect_timeout;
    let user = &settings.server_user;
    let rows = server.look_up(query, user, within).await;
    let said = rows.and_then(|rows| said_in(&rows, user));
    let said = said.map_err(|error| Wrong {
        advice: advice_on_auth_query(&error, user, &settings.dbname),
        error: PgError {
            message: format!("auth_query failed: {}", error.message),
            ..error
        },
    })?;
    let facts = look_at(&mut server, took, settings).await;
    Ok(Fine::Asks(facts, said != Said::Nobody))
}

fn wrong(error: PgError, settings: &PoolSettings) -> Wrong {
    Wrong {
        advice: advice(&error, &settings.server_user, &settings.dbname),
        error,
    }
}

async fn look_at(server: &mut Server, took: Duration, settings: &PoolSettings) -> Facts {
    let version = server.parameter("server_version").unwrap_or_default();
    let version = version.to_owned();
    let began = Instant::now();
    let within = settings.server_connect_timeout;
    let rows = server.look_up(LIMITS, &settings.server_user, within).await;
    Facts {
        version,
        tls: server.stream.tls_version(),
        took,
        round_trip: began.elapsed(),
        limits: rows.and_then(|rows| limits_in(&rows)),
        lacks_the_usual: false,
    }
}

fn limits_in(rows: &[Row]) -> Result<Limits, PgError> {
    let text = |at: usize| {
        let column = rows.first()?.get(at)?.as_ref()?;
        str::from_utf8(column).ok()
    };
    let number = |at: usize| text(at)?.parse::<u64>().ok();
    match (number(0), number(1)) {
        (Some(most), Some(for_superusers)) => Ok(Limits {
            most,
            reserved: for_superusers + number(2).unwrap_or(0),
            in_recovery: text(3) == Some("t"),
            // -1 is no limit, and no number here.
            of_role: number(4),
            of_database: number(5),
        }),
        _ => Err(PgError::error(
            sqlstate::INTERNAL_ERROR,
            "it does not tell its limits",
        )),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use zeroize::Zeroizing;

    use super::*;

    #[test]
    fn limits_are_read_whether_the_server_has_all_of_them_or_not() {
        let row = |columns: [&str; 6]| -> Row {
            let value =
                |text: &str| (text != "-").then(|| Zeroizing::new(text.as_bytes().to_vec()));
            columns.into_iter().map(value).collect()
        };
        let limits = limits_in(&[row(["100", "3", "-", "f", "-1", "7"])]).unwrap();
        assert_eq!((limits.most, limits.reserved), (100, 3));
        assert_eq!((limits.of_role, limits.of_database), (None, Some(7)));
        let limits = limits_in(&[row(["100", "3", "5", "t", "9", "-1"])]).unwrap();
        assert_eq!((limits.reserved, limits.of_role), (8, Some(9)));
        assert!(limits.in_recovery);
        assert!(limits_in(&[]).is_err() && limits_in(&[row(["x"; 6])]).is_err());
    }
}
