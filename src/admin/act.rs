//! Commands that change something.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::Desk;
use super::command::Command;
use super::conversation::Answer;
use crate::config::is_secret;
use crate::pool::{ClientHandle, Wish};
use crate::proxy::House;
use crate::proxy::console::NAMES;
use crate::wire::{PgError, sqlstate};

/// How often it is looked whether what is waited for has come.
const TICK: Duration = Duration::from_millis(10);

/// How long clients that are sent away may take to leave.
const LEAVING: Duration = Duration::from_secs(5);

/// A command was cancelled.
#[derive(Debug)]
pub(super) struct Stopped;

type Done = Result<(), PgError>;

/// Carries out a command, to its end.
///
/// # Cancel safety
/// Dropped before its end, what was ordered stays: see [`take_back`].
pub(super) async fn carry_out(
    desk: &Desk,
    house: &House,
    command: &Command,
) -> Result<Answer, PgError> {
    let directory = &house.directory;
    let tag = match command {
        Command::Pause(database) => {
            let database = database.as_deref();
            not_ending(desk)?;
            known(house, database)?;
            if !directory.pause(database) {
                return Err(already_paused(database));
            }
            until_closed(house, database).await;
            "PAUSE"
        }
        Command::Suspend => {
            not_ending(desk)?;
            if !directory.suspend() {
                return Err(already_paused(None));
            }
            until_unused(house).await;
            "SUSPEND"
        }
        Command::Resume(database) => {
            not_ending(desk)?;
            resume(house, database.as_deref())?;
            "RESUME"
        }
        Command::Disable(database) => {
            known(house, Some(database))?;
            directory.disable(database, true);
            "DISABLE"
        }
        Command::Enable(database) => {
            known(house, Some(database))?;
            directory.disable(database, false);
            "ENABLE"
        }
        Command::Reconnect(database) => {
            known(house, database.as_deref())?;
            let pools = directory.pools_of(database.as_deref());
            pools.iter().for_each(|pool| pool.replace_connections());
            if house.config().general.server_fast_close {
                // Those in session mode do not bring them back.
                house.clients.reloaded();
            }
            "RECONNECT"
        }
        Command::WaitClose(database) => {
            known(house, database.as_deref())?;
            until_replaced(house, database.as_deref()).await;
            "WAIT_CLOSE"
        }
        Command::Kill(database) => {
            not_ending(desk)?;
            known(house, database.as_deref())?;
            kill(house, database.as_deref()).await;
            "KILL"
        }
        Command::KillClient(id) => {
            kill_client(house, *id)?;
            "KILL_CLIENT"
        }
        Command::Reload => {
            desk.0.process.reload().await.map_err(not_reloaded)?;
            "RELOAD"
        }
        Command::Set(key, value) => {
            let changed = desk.0.process.change(key, value);
            changed.map_err(|why| PgError::error(sqlstate::INVALID_PARAMETER_VALUE, why))?;
            return Ok(Answer {
                tag: set(key, value),
                ..Answer::default()
            });
        }
        Command::Shutdown(how) => {
            desk.0.process.shut_down(*how);
            "SHUTDOWN"
        }
        Command::Restart => {
            let started = desk.0.process.restart();
            started.map_err(|why| PgError::error(sqlstate::NOT_IN_PREREQUISITE_STATE, why))?;
            "RESTART"
        }
        Command::Begin => "BEGIN",
        Command::Ignored(tag) | Command::End(tag) => tag,
        // These are answered elsewhere.
        Command::Show(_)
        | Command::ShowParameter(..)
        | Command::SelectOne
        | Command::SelectVersion
        | Command::IgnoredSet => "",
    };
    Ok(Answer {
        tag: tag.into(),
        ..Answer::default()
    })
}

/// As PgBouncer says it, with the value; but for secrets.
fn set(key: &str, value: &str) -> Cow<'static, str> {
    match is_secret(key) {
        true => format!("SET {key}").into(),
        false => format!("SET {key}={value}").into(),
    }
}

/// A command that had begun was cancelled: what was ordered is taken back.
pub(super) fn take_back(house: &House, command: &Command) {
    match command {
        Command::Pause(database) | Command::Kill(database) => {
            house.directory.resume(database.as_deref());
        }
        Command::Suspend => {
            house.directory.resume(None);
        }
        _ => {}
    }
}

fn resume(house: &House, database: Option<&str>) -> Done {
    known(house, database)?;
    if house.directory.resume(database) {
        return Ok(());
    }
    let what = match database {
        Some(name) => format!("database {name} is not paused"),
        None => "pooler is not paused/suspended".to_owned(),
    };
    Err(PgError::error(sqlstate::NOT_IN_PREREQUISITE_STATE, what))
}

fn already_paused(database: Option<&str>) -> PgError {
    let what = match database {
        Some(name) => format!("database {name} is already suspended/paused"),
        None => "already suspended/paused".to_owned(),
    };
    PgError::error(sqlstate::NOT_IN_PREREQUISITE_STATE, what)
}

fn not_ending(desk: &Desk) -> Done {
    match desk.0.process.is_ending() {
        true => Err(PgError::error(
            sqlstate::CANNOT_CONNECT_NOW,
            "pooler is shutting down",
        )),
        false => Ok(()),
    }
}

/// Is there such a database, and is it not the console?
fn known(house: &House, database: Option<&str>) -> Done {
    let Some(name) = database else {
        return Ok(());
    };
    if NAMES.contains(&name) {
        let what = format!("{name} is the console, which takes no such command");
        return Err(PgError::error(sqlstate::FEATURE_NOT_SUPPORTED, what));
    }
    let is_configured = house.config().databases.contains_key(name);
    if is_configured || !house.directory.pools_of(database).is_empty() {
        return Ok(());
    }
    let what = format!("no such database: {name}");
    Err(PgError::error(sqlstate::INVALID_CATALOG_NAME, what))
}

/// Until no server connection is open any more.
async fn until_closed(house: &House, database: Option<&str>) {
    loop {
        let pools = house.directory.pools_of(database);
        pools.iter().for_each(|pool| pool.close_idle());
        if pools
            .iter()
            .all(|pool| pool.in_use() == 0 && pool.open() == 0)
        {
            return;
        }
        sleep(TICK).await;
    }
}

/// Until no server connection is in use any more.
async fn until_unused(house: &House) {
    while house.directory.pools().iter().any(|pool| pool.in_use() > 0) {
        sleep(TICK).await;
    }
}

/// Until all that were to be replaced are closed.
async fn until_replaced(house: &House, database: Option<&str>) {
    let is_there = || {
        let mut pools = house.directory.pools_of(database).into_iter();
        pools.any(|pool| pool.servers().iter().any(|server| server.is_outdated()))
    };
    while is_there() {
        sleep(TICK).await;
    }
}

async fn kill(house: &House, database: Option<&str>) {
    // It may be paused already.
    house.directory.pause(database);
    // Who comes from now on waits for RESUME, as in every pause.
    let killed: HashSet<u64> = clients_of(house, database)
        .map(|client| client.id)
        .collect();
    let deadline = Instant::now() + LEAVING;
    loop {
        let mut left: Vec<_> = clients_of(house, database).collect();
        left.retain(|client| killed.contains(&client.id));
        left.iter().for_each(|client| client.want(Wish::EndNow));
        let pools = house.directory.pools_of(database);
        pools.iter().for_each(|pool| pool.close_idle());
        let is_quiet = left.is_empty() && pools.iter().all(|pool| pool.open() == 0);
        if is_quiet || Instant::now() >= deadline {
            return;
        }
        sleep(TICK).await;
    }
}

fn clients_of<'a>(
    house: &House,
    database: Option<&'a str>,
) -> impl Iterator<Item = Arc<ClientHandle>> + use<'a> {
    house.clients.all().into_iter().filter(move |client| {
        let pool = client.who.pool();
        pool.is_some_and(|pool| database.is_none_or(|name| pool.database == name))
    })
}

fn kill_client(house: &House, id: u64) -> Done {
    let clients = house.clients.all();
    match clients.iter().find(|client| client.id == id) {
        Some(client) => {
            client.want(Wish::EndNow);
            Ok(())
        }
        None => Err(PgError::error(
            sqlstate::UNDEFINED_OBJECT,
            "client not found",
        )),
    }
}

fn not_reloaded(mistakes: Vec<String>) -> PgError {
    let mut mistakes = mistakes.into_iter();
    let first = mistakes.next().unwrap_or_default();
    let error = PgError::error(
        sqlstate::CONFIG_FILE_ERROR,
        format!("RELOAD failed: {first}"),
    );
    let rest: Vec<String> = mistakes.collect();
    match rest.is_empty() {
        true => error,
        false => error.with_detail(rest.join("\n")),
    }
}
