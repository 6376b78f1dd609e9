//! How to connect, told when pgweave listens.

use std::sync::Arc;

use crate::config::{Config, User};
use crate::net::Listener;

/// Tells how to connect, in one line with fields.
pub(super) fn welcome(config: &Config, listeners: &[Arc<Listener>]) {
    let port = listeners.iter().find_map(|listener| listener.port());
    if let Some(how) = how_to_connect(config, port) {
        tracing::info!("connect with: {how}");
    }
}

/// A command line that connects, as far as names are known. Without TCP by the
/// Unix socket; none where the configuration says nothing of that.
pub(super) fn how_to_connect(config: &Config, port: Option<u16>) -> Option<String> {
    let general = &config.general;
    let host = match general.listen_addr.first().map(String::as_str) {
        Some("*" | "0.0.0.0" | "::") => "127.0.0.1".to_owned(),
        Some(address) => address.to_owned(),
        None => general.unix_socket_dir.as_ref()?.display().to_string(),
    };
    let port = port.unwrap_or(general.listen_port);
    let database = config
        .databases
        .keys()
        .next()
        .map_or("DATABASE", String::as_str);
    let is_of_console = |user: &&User| {
        let lists = general.admin_users.iter().chain(&general.stats_users);
        lists.flatten().any(|name| *name == user.name)
    };
    let users = config.users.values();
    let user = users
        .min_by_key(is_of_console)
        .map_or("USER", |user| &user.name);
    let [host, database, user] = [&*host, database, user].map(quoted);
    Some(format!(
        "psql \"host={host} port={port} dbname={database} user={user}\""
    ))
}

/// As libpq reads values (`libpq-connect.html#LIBPQ-CONNSTRING-KEYWORD-VALUE`).
fn quoted(value: &str) -> String {
    let is_plain = |letter: char| letter.is_alphanumeric() || "_-./:".contains(letter);
    match !value.is_empty() && value.chars().all(is_plain) {
        true => value.to_owned(),
        false => format!("'{}'", value.escape_debug()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Database;

    #[test]
    fn who_wants_to_connect_is_told_how() {
        let mut config = Config::default();
        let how = |config: &Config, port| how_to_connect(config, port).unwrap_or_default();
        let told = "psql \"host=127.0.0.1 port=6432 dbname=DATABASE user=USER\"";
        assert_eq!(how(&config, None), told);
        for name in ["my shop", "other"] {
            config
                .databases
                .insert(name.to_owned(), Database::named(name));
        }
        for name in ["admin", "web"] {
            config.users.insert(name.to_owned(), User::named(name));
        }
        config.general.admin_users = Some(vec!["admin".to_owned()]);
        config.general.listen_addr = vec!["*".to_owned()];
        let told = "psql \"host=127.0.0.1 port=5 dbname='my shop' user=web\"";
        assert_eq!(how(&config, Some(5)), told);
        config.general.listen_addr.clear();
        assert_eq!(how_to_connect(&config, None), None);
        config.general.unix_socket_dir = Some("/run/pgweave".into());
        assert!(how(&config, None).starts_with("psql \"host=/run/pgweave port=6432 "));
    }
}
