//! Settings from environment variables: `PGWEAVE_*` over a file's `[pgweave]`,
//! and a whole configuration from `DATABASE_URL` or `PGHOST` and its like.

use super::given::{Given, Refusal};
use super::keys::{self, GENERAL};
use super::places::{ENVIRONMENT, Places};
use super::server_url::ServerUrl;
use super::{AuthType, Config, Database, General, Mistake, Secret, Sources, User, checks};

/// The prefix of the variables that override `[pgweave]`.
const PREFIX: &str = "PGWEAVE_";

/// Any of these says that there is a server to pool. A user or password alone
/// does not.
const SERVER: [&str; 4] = ["DATABASE_URL", "PGHOST", "PGPORT", "PGDATABASE"];

/// Lets `PGWEAVE_LISTEN_PORT` and its like override `[pgweave]`. A variable
/// that is empty counts as not set.
pub(super) fn overrides(
    general: &mut General,
    places: &mut Places,
    sources: &Sources<'_>,
) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    for setting in keys::each(GENERAL) {
        let variable = format!("{PREFIX}{}", setting.name.to_ascii_uppercase());
        let Some(value) = sources.var(&variable) else {
            continue;
        };
        let path = format!("pgweave.{}", setting.name);
        places.note_variable(&path, &variable);
        if let Err(refusal) = (setting.set)(general, &Given::Text(value)) {
            mistakes.push(places.mistake(&path, refusal));
        }
    }
    mistakes
}

/// A configuration for one server that only environment variables describe:
/// `DATABASE_URL`, with `PGHOST`, `PGPORT`, `PGUSER`, `PGPASSWORD` and
/// `PGDATABASE` for what the URL leaves open
/// (`libpq-envars.html`, `libpq-connect.html#LIBPQ-CONNSTRING-URIS`).
///
/// Clients reach the server's databases under their own names. With a password
/// they must prove it, as the user that it belongs to; without one `auth_type`
/// is `trust`, as it must be on the server too.
///
/// `Ok(None)` when no such variable is set.
///
/// # Errors
///
/// Every mistake in these variables and in `PGWEAVE_*`.
pub fn from_environment(sources: &Sources<'_>) -> Result<Option<Config>, Vec<Mistake>> {
    if SERVER.iter().all(|name| sources.var(name).is_none()) {
        return Ok(None);
    }
    let mut mistakes = Vec::new();
    let server = described_server(sources, &mut mistakes);
    let mut config = one_server(server);
    let mut places = Places::new(ENVIRONMENT);
    mistakes.extend(overrides(&mut config.general, &mut places, sources));
    // What is missing because a variable was wrong is not missing.
    if mistakes.is_empty() {
        mistakes.extend(checks::check(&config, &places, sources, &[]));
    }
    if mistakes.is_empty() {
        Ok(Some(config))
    } else {
        Err(mistakes)
    }
}

/// The server of `DATABASE_URL` and the `PG*` variables.
fn described_server(sources: &Sources<'_>, mistakes: &mut Vec<Mistake>) -> ServerUrl {
    let mut refuse = |key: &str, refusal: Refusal| {
        mistakes.push(Mistake {
            file: ENVIRONMENT.to_owned(),
            line: None,
            key: key.to_owned(),
            what: refusal.what,
            suggestion: refusal.suggestion,
        });
    };
    let mut server = ServerUrl::default();
    if let Some(url) = sources.var("DATABASE_URL") {
        match ServerUrl::parse(&url) {
            Ok(parsed) => server = parsed,
            Err(refusals) => refusals.into_iter().for_each(|r| refuse("DATABASE_URL", r)),
        }
    }
    for (variable, parameter) in [
        ("PGHOST", "host"),
        ("PGPORT", "port"),
        ("PGUSER", "user"),
        ("PGPASSWORD", "password"),
        ("PGDATABASE", "dbname"),
        ("PGSSLMODE", "sslmode"),
        ("PGSSLNEGOTIATION", "sslnegotiation"),
        ("PGSSLROOTCERT", "sslrootcert"),
        ("PGSSLCERT", "sslcert"),
        ("PGSSLKEY", "sslkey"),
        ("PGCONNECT_TIMEOUT", "connect_timeout"),
    ] {
        let Some(value) = sources.var(variable).filter(|_| !server.has(parameter)) else {
            continue;
        };
        if let Err(refusal) = server.set(parameter, &value) {
            refuse(variable, refusal);
        }
    }
    server
}

/// The configuration that pools this server and nothing else.
fn one_server(server: ServerUrl) -> Config {
    let mut config = Config::default();
    let mut fallback = Database::named("*");
    fallback.host = server.host.unwrap_or(fallback.host);
    fallback.port = server.port.unwrap_or(fallback.port);
    // As in libpq, a database that is not named has its user's name.
    if let Some(name) = server.dbname.or_else(|| server.user.clone()) {
        let database = Database {
            name: name.clone(),
            dbname: Some(name.clone()),
            ..fallback.clone()
        };
        config.databases.insert(name, database);
    }
    config.fallback = Some(fallback);
    if let Some(time) = server.connect_timeout {
        config.general.server_connect_timeout = time;
    }
    let general = &mut config.general;
    general.server_tls_sslmode = server.sslmode.unwrap_or(general.server_tls_sslmode);
    let negotiation = server.sslnegotiation;
    general.server_tls_negotiation = negotiation.unwrap_or(general.server_tls_negotiation);
    general.server_tls_ca_file = server.tls_files.ca;
    general.server_tls_cert_file = server.tls_files.cert;
    general.server_tls_key_file = server.tls_files.key;
    if server.password.is_none() {
        config.general.auth_type = AuthType::Trust;
    }
    if let Some(name) = server.user {
        let password = server.password.map(Secret::new);
        config.users.insert(
            name.clone(),
            User {
                password,
                ..User::named(name)
            },
        );
    }
    config
}
