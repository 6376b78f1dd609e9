//! A configuration as TOML that means the same.

use std::fmt::Write as _;

use crate::config::keys::{DATABASE, GENERAL, Group, PEER, USER, each};
use crate::config::{Config, Database, General, Peer, Secret, User};

/// What [`crate::config::from_toml`] reads as the same configuration: every
/// setting that is not as it is without a word. Secrets are written as they are.
#[must_use]
pub fn to_toml(config: &Config) -> String {
    let mut out = String::new();
    section(
        &mut out,
        "pgweave",
        GENERAL,
        &config.general,
        &General::default(),
    );
    secrets_of_general(&mut out, &config.general);
    for db in config.databases.values().chain(&config.fallback) {
        let heading = format!("databases.{}", quoted(&db.name));
        section(&mut out, &heading, DATABASE, db, &Database::named(&db.name));
        secret(&mut out, "password", db.password.as_ref());
    }
    for user in config.users.values() {
        let heading = format!("users.{}", quoted(&user.name));
        section(&mut out, &heading, USER, user, &User::named(&user.name));
        secret(&mut out, "password", user.password.as_ref());
    }
    for peer in config.peers.values() {
        let heading = format!("peers.{}", peer.id);
        section(&mut out, &heading, PEER, peer, &Peer::numbered(peer.id));
    }
    out
}

fn section<T>(out: &mut String, heading: &str, groups: &'static [Group<T>], given: &T, usual: &T) {
    let gap = if out.is_empty() { "" } else { "\n" };
    let _ = writeln!(out, "{gap}[{heading}]");
    for setting in each(groups).filter(|setting| !setting.secret) {
        let shown = (setting.show)(given);
        if let Some(shown) = shown.filter(|shown| (setting.show)(usual).as_ref() != Some(shown)) {
            let _ = writeln!(out, "{} = {}", setting.name, shown.replace("${", "$${"));
        }
    }
}

fn secrets_of_general(out: &mut String, general: &General) {
    secret(out, "auth_ldap_options", general.auth_ldap_options.as_ref());
}

fn secret(out: &mut String, key: &str, secret: Option<&Secret>) {
    if let Some(secret) = secret {
        let _ = match secret.file() {
            Some(file) => writeln!(out, "{key}_file = {}", quoted(&file.display().to_string())),
            None => writeln!(
                out,
                "{key} = {}",
                quoted(&secret.expose().replace("${", "$${"))
            ),
        };
    }
}

/// A basic string (`toml.io`): for keys as well, which must stand on one line.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
