//! `auth_type = "passthrough"`: whoever the server lets in may come in.
//!
//! The client sends its password in clear text, inside of TLS or from this
//! machine alone, and it is tried at the server. What the server has taken is
//! believed again for `auth_cache_ttl`; of it stays a SCRAM verifier here, and
//! the password in the pool, which logs in with it.

use tokio::sync::Semaphore;

use super::NoSession;
use super::prove::{Proven, Trial, accepted, password_message};
use crate::auth::userlist::MAX_NAME_BYTES;
use crate::auth::{Credential, Secret, ask_for_password, password_of};
use crate::proxy::console;
use crate::server::connect;
use crate::wire::{PgError, sqlstate};

/// Lets the server judge the client.
pub(super) async fn by_server(trial: &mut Trial<'_, '_>) -> Result<Proven, NoSession> {
    is_private(trial)?;
    if console::is_asked_for(trial.startup) {
        // Whose server would know?
        return Err(PgError::fatal(
            sqlstate::INVALID_AUTHORIZATION,
            "no server is asked who may use the console",
        )
        .with_hint("Come by the Unix socket as the user pgbouncer, or choose another auth_type.")
        .into());
    }
    trial.intro.stream.send(&ask_for_password()).await?;
    let body = password_message(trial.intro).await?;
    let password = Secret::new(password_of(&body)?);
    let database = &trial.startup.database;
    let user = &trial.startup.user;
    if user.len().max(database.len()) > MAX_NAME_BYTES {
        // No role has such a name, nor a database.
        return Err(PgError::fatal(
            sqlstate::INVALID_PASSWORD,
            format!("password authentication failed for user \"{user}\""),
        )
        .into());
    }
    if !is_known(trial, &password).await {
        let place = trial.house.access.verified.place(database, user);
        let _one_at_a_time = place.lock().await;
        // Whoever was before may have had the same password, or a wrong one.
        trial.is_to_wait()?;
        if !is_known(trial, &password).await {
            trial.count()?;
            ask_server(trial, &password).await?;
            remember(trial, &password).await;
        }
    }
    Ok(Proven {
        learned: Some(Credential::Plain(password)),
        ..accepted()
    })
}

/// Nobody may read along.
fn is_private(trial: &Trial<'_, '_>) -> Result<(), PgError> {
    let is_near = trial
        .from()
        .is_none_or(|from| from.to_canonical().is_loopback());
    if is_near || trial.intro.stream.is_tls() {
        return Ok(());
    }
    Err(PgError::fatal(
        sqlstate::INVALID_AUTHORIZATION,
        "connections without TLS are not allowed: the password would be sent in clear text",
    )
    .with_hint("Set sslmode to require or stricter."))
}

/// Is it what the server took last?
async fn is_known(trial: &Trial<'_, '_>, password: &Secret) -> bool {
    let access = &trial.house.access;
    let Some(verifier) = access
        .verified
        .get(&trial.startup.database, &trial.startup.user)
    else {
        return false;
    };
    let (verifiers, password) = (trial.house.verifiers.clone(), password.clone());
    let fits = tokio::task::spawn_blocking(move || verifiers.fits(&password, &verifier));
    fits.await.unwrap_or(false)
}

/// Logs in to the server as the client, and out again.
async fn ask_server(trial: &Trial<'_, '_>, password: &Secret) -> Result<(), PgError> {
    let (config, user) = (trial.config, &trial.startup.user);
    // A database that is not there is told of later: who may know that it is
    // not is found out at another.
    let database = &trial.startup.database;
    let settings = config.pool_settings(database, user).or_else(|| {
        let first = config.databases.keys().next()?;
        config.pool_settings(first, user)
    });
    let Some(mut settings) = settings else {
        return Err(PgError::fatal(
            sqlstate::INTERNAL_ERROR,
            "there is no database",
        ));
    };
    settings.server_user.clone_from(user);
    let name = (
        "application_name".to_owned(),
        "pgweave asks for a user".to_owned(),
    );
    let credential = Credential::Plain(password.clone());
    let mut spec = trial
        .house
        .directory
        .login(&settings, credential, vec![name])?;
    spec.must_be_asked = true;
    let _permit = ROOM.acquire().await;
    let Err(error) = connect(&spec).await else {
        return Ok(());
    };
    let message = error.message.escape_debug();
    tracing::info!(target: "limited", user, server = %spec.hosts, sqlstate = %error.code, "the server does not let the user in: {message}");
    Err(for_anybody(error, user))
}

async fn remember(trial: &Trial<'_, '_>, password: &Secret) {
    let verifiers = trial.house.verifiers.clone();
    let (user, password) = (trial.startup.user.clone(), password.clone());
    let made = tokio::task::spawn_blocking(move || verifiers.make(&user, &password));
    if let Ok(verifier) = made.await {
        let ttl = trial.config.general.auth_cache_ttl;
        let (database, user) = (&trial.startup.database, &trial.startup.user);
        trial
            .house
            .access
            .verified
            .put(database, user, verifier, ttl);
    }
}

/// So many are asked about at a time: each is a login to a server.
static ROOM: Semaphore = Semaphore::const_new(16);

/// What the server says is nothing for somebody who may be anybody.
fn for_anybody(error: PgError, user: &str) -> PgError {
    match error.code.as_str() {
        sqlstate::INVALID_PASSWORD => PgError::fatal(
            sqlstate::INVALID_PASSWORD,
            format!("password authentication failed for user \"{user}\""),
        ),
        sqlstate::INVALID_AUTHORIZATION => PgError::fatal(
            sqlstate::INVALID_AUTHORIZATION,
            format!("the server does not let user \"{user}\" in"),
        )
        .with_hint("The log of pgweave tells why."),
        _ => super::super::access::for_anybody(&error),
    }
}
