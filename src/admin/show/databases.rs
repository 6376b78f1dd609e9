//! `SHOW DATABASES`, `SHOW USERS`.

use super::process::CONSOLE;
use super::view::View;
use crate::admin::table::{Cell, Row, row};
use crate::config::Word;

pub(super) fn databases(view: &View<'_>) -> Vec<Row> {
    let databases = view.databases();
    let mut rows: Vec<Row> = databases
        .iter()
        .filter_map(|name| database(view, name))
        .collect();
    rows.push(row![
        CONSOLE,
        "",
        u32::from(view.config.general.listen_port),
        CONSOLE,
        CONSOLE,
        0_u32,
        0_u32,
        0_u32,
        0_u32,
        "statement",
        Cell::Null,
        0_u32,
        0_u32,
        0_u32,
        view.visitors(),
        0_u32,
        0_u32,
    ]);
    rows
}

fn database(view: &View<'_>, name: &str) -> Option<Row> {
    let config = &view.config;
    let written = config.databases.get(name).or(config.fallback.as_ref())?;
    // What holds for a user that nothing is said of.
    let settings = config.pool_settings(name, "")?;
    let open = view.house.directory.open_on(name);
    let clients = view.clients.iter();
    let clients = clients.filter(|client| client.pool().is_some_and(|pool| pool.database == name));
    let directory = &view.house.directory;
    Some(row![
        name,
        settings.host.as_str(),
        u32::from(settings.port),
        settings.dbname.as_str(),
        written.user.as_deref(),
        settings.pool_size,
        settings.min_pool_size,
        settings.reserve_pool_size,
        settings.server_lifetime.as_secs(),
        settings.pool_mode.as_str(),
        super::pools::load_balancing(&settings),
        settings.max_db_connections,
        open,
        settings.max_db_client_connections,
        clients.count(),
        u32::from(directory.is_paused(name)),
        u32::from(directory.is_disabled(name)),
    ])
}

pub(super) fn users(view: &View<'_>) -> Vec<Row> {
    let configured = view.config.users.keys().cloned();
    let here = view.clients.iter().map(|client| client.user().to_owned());
    let owners = view.pools.iter().map(|pool| pool.server_user.clone());
    let mut names: Vec<String> = configured.chain(here).chain(owners).collect();
    names.sort();
    names.dedup();
    names.iter().map(|name| user(view, name)).collect()
}

fn user(view: &View<'_>, name: &str) -> Row {
    let written = view.config.users.get(name);
    let clients = view.clients.iter().filter(|client| client.user() == name);
    let most = written.and_then(|user| user.max_user_connections);
    row![
        name,
        perhaps(written.and_then(|user| user.pool_size)),
        perhaps(written.and_then(|user| user.reserve_pool_size)),
        written
            .and_then(|user| user.pool_mode)
            .map(|mode| mode.as_str()),
        most.unwrap_or(view.config.general.max_user_connections),
        view.house.directory.open_for(name),
        written
            .and_then(|user| user.max_user_client_connections)
            .unwrap_or(view.config.general.max_user_client_connections),
        clients.count(),
    ]
}

/// A number as PgBouncer has it here: text, on the right; nothing where it is not set.
fn perhaps(number: Option<u32>) -> Cell {
    number
        .map_or_else(String::new, |number| format!("{number:>9}"))
        .into()
}
