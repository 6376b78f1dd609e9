//! Which logins are tried.

use std::collections::BTreeSet;

use crate::config::{AuthType, Config, Database, PoolSettings, Secret, SecretForm};
use crate::proxy::access::{Access, USUAL, errand};

/// Who comes to a database of which no user's password is known here.
const NOBODY: &str = "pgweave";

/// One login.
#[derive(Debug, Clone, PartialEq)]
pub struct Attempt {
    /// The database's section; `*` for the fallback.
    pub section: String,
    /// Where, as whom and by what: at one host.
    pub settings: PoolSettings,
    /// What it is for.
    pub purpose: Purpose,
}

/// What a login is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purpose {
    /// To serve clients.
    Serve(Whose),
    /// To ask for users by this `auth_query`.
    Ask(String),
    /// Only to see whether a server is there, since nobody's password is known: as a
    /// user who will come, or as anybody.
    Reach {
        /// The former.
        is_known: bool,
    },
}

/// Which of the users that a database may log in as is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// The one that the database names.
    Forced,
    /// One of so many that are known here.
    OneOf(usize),
}

/// See [`super::Rehearsal::attempts`].
pub(super) fn attempts(config: &Config, access: &Access) -> Vec<Attempt> {
    let mut all = Vec::new();
    for section in config.databases.values().chain(&config.fallback) {
        let (settings, purpose) = of_section(config, access, section);
        // With another database's server and user the fallback shows nothing new.
        let is_shown = |shown: &Attempt| {
            let (one, other) = (&shown.settings, &settings);
            section.name == "*"
                && (&one.host, one.port, &one.server_user, &one.server_tls)
                    == (
                        &other.host,
                        other.port,
                        &other.server_user,
                        &other.server_tls,
                    )
        };
        if !all.iter().any(is_shown) {
            all.push(Attempt {
                section: section.name.clone(),
                settings,
                purpose,
            });
        }
    }
    for (section, settings, query) in errands(config, access) {
        all.push(Attempt {
            section,
            settings,
            purpose: Purpose::Ask(query),
        });
    }
    all.iter().flat_map(at_each_host).collect()
}

/// Every `auth_query`, once for each place where it is asked.
pub(super) fn errands(config: &Config, access: &Access) -> Vec<(String, PoolSettings, String)> {
    let mut all: Vec<(String, PoolSettings, String)> = Vec::new();
    let password_of = |name: &str| access.listed(config, name);
    for section in config.databases.values().chain(&config.fallback) {
        let Some((settings, query)) = errand(config, &password_of, &section.name) else {
            continue;
        };
        let is_there = |(_, other, known): &(String, PoolSettings, String)| {
            let place = |of: &PoolSettings| {
                let (host, dbname, user) =
                    (of.host.clone(), of.dbname.clone(), of.server_user.clone());
                (host, of.port, dbname, user, of.server_tls.clone())
            };
            known == query && place(other) == place(&settings)
        };
        if !all.iter().any(is_there) {
            all.push((section.name.clone(), settings, query.to_owned()));
        }
    }
    all
}

fn at_each_host(attempt: &Attempt) -> Vec<Attempt> {
    let hosts = attempt.settings.host.split(',').map(str::trim);
    let at = |host: &str| {
        let mut attempt = attempt.clone();
        host.clone_into(&mut attempt.settings.host);
        attempt
    };
    hosts.map(at).collect()
}

/// A database, as the user that says most about whether clients can be served.
fn of_section(config: &Config, access: &Access, section: &Database) -> (PoolSettings, Purpose) {
    let known = access.known(config);
    let (user, purpose) = match (&section.user, most_telling(config, access, &known)) {
        (Some(user), _) => (user.clone(), Purpose::Serve(Whose::Forced)),
        (None, Some(user)) if !has_password(config, access, &user) && will_learn(config) => {
            (user, Purpose::Reach { is_known: true })
        }
        (None, Some(user)) => (user, Purpose::Serve(Whose::OneOf(known.len()))),
        (None, None) => {
            let asking = section.auth_user.as_ref();
            let asking = asking.or(config.general.auth_user.as_ref());
            let user = asking.map_or(NOBODY, String::as_str);
            (user.to_owned(), Purpose::Reach { is_known: false })
        }
    };
    let mut settings = section.settings(config, &user);
    if section.name == "*" && section.dbname.is_none() {
        USUAL.clone_into(&mut settings.dbname);
    }
    if settings.server_password.is_none() && settings.password_command.is_none() {
        settings.server_password = access.listed(config, &settings.server_user);
    }
    (settings, purpose)
}

/// Of the users that are known one with a password that logs in to servers, rather
/// than one who is there for the console.
fn most_telling(config: &Config, access: &Access, known: &BTreeSet<String>) -> Option<String> {
    let general = &config.general;
    let of_console = |name: &String| {
        let lists = general.admin_users.iter().chain(&general.stats_users);
        lists.flatten().any(|listed| listed == name)
    };
    let known = known.iter();
    known
        .min_by_key(|name| (!has_password(config, access, name), of_console(name)))
        .cloned()
}

/// Is a password known, or a hash, by which to log in to a server? A SCRAM verifier is
/// none.
fn has_password(config: &Config, access: &Access, name: &str) -> bool {
    let section = config.users.get(name);
    let is_of_use =
        |secret: Secret| !secret.expose().is_empty() && secret.form() != SecretForm::Scram;
    section.is_some_and(|user| user.password_command.is_some())
        || access.listed(config, name).is_some_and(is_of_use)
}

/// Do clients show what serves to log in to a server?
fn will_learn(config: &Config) -> bool {
    match config.general.auth_type {
        AuthType::Plain
        | AuthType::Md5
        | AuthType::ScramSha256
        | AuthType::Hba
        | AuthType::Passthrough
        | AuthType::Ldap
        | AuthType::Pam => true,
        AuthType::Trust | AuthType::Any | AuthType::Cert | AuthType::Peer | AuthType::Oauth => {
            false
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::config::User;

    fn config(users: &[(&str, &str)]) -> Config {
        let mut config = Config::default();
        for (name, password) in users {
            let mut user = User::named(*name);
            user.password = (!password.is_empty()).then(|| Secret::new(*password));
            config.users.insert((*name).to_owned(), user);
        }
        config
    }

    fn with(mut config: Config, databases: &[Database]) -> Vec<(String, String, String, String)> {
        for database in databases {
            match database.name.as_str() {
                "*" => config.fallback = Some(database.clone()),
                name => drop(config.databases.insert(name.to_owned(), database.clone())),
            }
        }
        let shown = |attempt: Attempt| {
            let purpose = match attempt.purpose {
                Purpose::Serve(Whose::Forced) => "forced".to_owned(),
                Purpose::Serve(Whose::OneOf(of)) => format!("one of {of}"),
                Purpose::Ask(_) => "asks".to_owned(),
                Purpose::Reach { .. } => "reaches".to_owned(),
            };
            let PoolSettings {
                host,
                server_user,
                dbname,
                ..
            } = attempt.settings;
            (host, dbname, server_user, purpose)
        };
        let access = Access::load(&config).unwrap();
        attempts(&config, &access).into_iter().map(shown).collect()
    }

    fn row(
        host: &str,
        dbname: &str,
        user: &str,
        purpose: &str,
    ) -> (String, String, String, String) {
        (host.into(), dbname.into(), user.into(), purpose.into())
    }

    #[test]
    fn each_database_is_tried_at_each_host_as_whom_it_logs_in() {
        let mut app = Database::named("app");
        app.host = "a, b".to_owned();
        let mut other = Database::named("other");
        (other.host, other.user) = ("c".to_owned(), Some("owner".to_owned()));
        let mut config = config(&[("admin", "x"), ("hashed", "SCRAM-SHA-256$x"), ("web", "y")]);
        config.general.admin_users = Some(vec!["admin".to_owned()]);
        let expected = [
            row("a", "app", "web", "one of 3"),
            row("b", "app", "web", "one of 3"),
            row("c", "other", "owner", "forced"),
        ];
        assert_eq!(with(config, &[app, other]), expected);
    }

    #[test]
    fn who_only_has_a_verifier_logs_in_with_what_its_client_shows() {
        let mut config = config(&[("hashed", "SCRAM-SHA-256$x")]);
        let app = [Database::named("app")];
        let reached = row("127.0.0.1", "app", "hashed", "reaches");
        assert_eq!(with(config.clone(), &app), [reached]);
        config.general.auth_type = AuthType::Cert;
        let tried = row("127.0.0.1", "app", "hashed", "one of 1");
        assert_eq!(with(config, &app), [tried]);
    }

    #[test]
    fn the_fallback_is_tried_by_a_usual_name_unless_it_shows_nothing_new() {
        let users = [("web", "y")];
        let (app, mut any) = (Database::named("app"), Database::named("*"));
        let alone = with(config(&users), &[any.clone()]);
        assert_eq!(alone, [row("127.0.0.1", "postgres", "web", "one of 1")]);
        let both = with(config(&users), &[app.clone(), any.clone()]);
        assert_eq!(both, [row("127.0.0.1", "app", "web", "one of 1")]);
        any.port = 5433;
        assert_eq!(with(config(&users), &[app, any]).len(), 2);
    }

    #[test]
    fn who_asks_about_users_asks_once_and_a_database_without_users_is_reached() {
        let mut config = config(&[]);
        config.general.auth_user = Some("asker".to_owned());
        config.general.auth_dbname = Some("users".to_owned());
        let found = with(config, &[Database::named("a"), Database::named("b")]);
        let expected = [
            row("127.0.0.1", "a", "asker", "reaches"),
            row("127.0.0.1", "b", "asker", "reaches"),
            row("127.0.0.1", "users", "asker", "asks"),
        ];
        assert_eq!(found, expected);
    }
}
