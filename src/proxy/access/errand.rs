//! Which server is asked about users, as whom, and by what query.

use crate::config::{Config, Database, PoolSettings, Secret};
use crate::pool::Directory;
use crate::proxy::console::NAMES;
use crate::server::Server;
use crate::wire::PgError;

/// What the connection is opened with, whatever the role has set: names in the
/// query mean what they say, whoever may create objects where.
const SETTINGS: [(&str, &str); 2] = [
    ("search_path", "pg_catalog"),
    ("application_name", "pgweave asks for a user"),
];

/// Where users are asked for, of databases that only the fallback knows: nearly
/// every server has it.
pub(in crate::proxy) const USUAL: &str = "postgres";

/// Where to ask, and as whom.
pub(in crate::proxy) struct Errand<'e> {
    pub directory: &'e Directory,
    pub settings: PoolSettings,
}

impl Errand<'_> {
    /// Logs in there.
    pub async fn connect(&self) -> Result<Server, PgError> {
        let startup = SETTINGS.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let settings = &self.settings;
        self.directory.connect(settings, startup.to_vec()).await
    }
}

/// Where to ask, as whom, and what. For a database that is not there the first
/// of the others is asked, so that it looks the same; for one that only the
/// fallback knows [`USUAL`], since its name comes from who may be anybody.
pub(in crate::proxy) fn errand<'c>(
    config: &'c Config,
    password_of: &dyn Fn(&str) -> Option<Secret>,
    database: &str,
) -> Option<(PoolSettings, &'c str)> {
    let general = &config.general;
    if NAMES.contains(&database) {
        return of_console(config, password_of);
    }
    let (name, asked) = match section(config, database) {
        Some(section) => (database, section),
        None => config
            .databases
            .iter()
            .map(|(name, section)| (name.as_str(), section))
            .next()?,
    };
    let user = asked.auth_user.as_ref().or(general.auth_user.as_ref())?;
    let query = asked.auth_query.as_ref().unwrap_or(&general.auth_query);
    let is_anything = asked.name == "*" && asked.dbname.is_none();
    let usual = is_anything.then(|| USUAL.to_owned());
    let named = asked.auth_dbname.as_ref().or(general.auth_dbname.as_ref());
    let elsewhere = named.cloned().or(usual);
    let settings = match elsewhere {
        Some(other) if config.databases.contains_key(&other) => {
            config.pool_settings(&other, user)?
        }
        Some(other) => PoolSettings {
            dbname: other,
            ..config.pool_settings(name, user)?
        },
        None => config.pool_settings(name, user)?,
    };
    Some((as_user(config, settings, user, password_of), query))
}

/// Users of the console are whom it knows itself, or whom the database says that
/// the configuration names for that: never whoever has the first of all.
fn of_console<'c>(
    config: &'c Config,
    password_of: &dyn Fn(&str) -> Option<Secret>,
) -> Option<(PoolSettings, &'c str)> {
    let general = &config.general;
    let user = general.auth_user.as_ref()?;
    let name = general.auth_dbname.as_ref()?;
    let section = config.databases.get(name)?;
    let query = section.auth_query.as_ref().unwrap_or(&general.auth_query);
    let settings = config.pool_settings(name, user)?;
    Some((as_user(config, settings, user, password_of), query))
}

/// As this user, whatever user the database forces on its clients.
fn as_user(
    config: &Config,
    mut settings: PoolSettings,
    user: &str,
    password_of: &dyn Fn(&str) -> Option<Secret>,
) -> PoolSettings {
    if settings.server_user != *user {
        user.clone_into(&mut settings.server_user);
        settings.server_password = None;
        settings.password_command = None;
    }
    if settings.password_command.is_none() {
        let section = config.users.get(user);
        let command = section.and_then(|user| user.password_command.clone());
        settings.password_command = command.map(|command| command.0);
    }
    settings.server_password = password_of(user).or(settings.server_password);
    settings
}

fn section<'c>(config: &'c Config, database: &str) -> Option<&'c Database> {
    config.databases.get(database).or(config.fallback.as_ref())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn config() -> Config {
        let mut config = Config::default();
        config.general.auth_user = Some("asker".to_owned());
        let mut app = Database::named("app");
        app.user = Some("owner".to_owned());
        app.password = Some(Secret::new("of the owner"));
        config.databases.insert("app".to_owned(), app);
        config
    }

    fn asked(config: &Config, database: &str) -> Option<(String, String, Option<Secret>)> {
        let password_of = |name: &str| (name == "asker").then(|| Secret::new("of the asker"));
        let (settings, _) = errand(config, &password_of, database)?;
        Some((
            settings.dbname,
            settings.server_user,
            settings.server_password,
        ))
    }

    #[test]
    fn auth_user_asks_whoever_the_database_forces_on_its_clients() {
        let expected = ("app", "asker", Some(Secret::new("of the asker")));
        let found = asked(&config(), "app").unwrap();
        assert_eq!((found.0.as_str(), found.1.as_str(), found.2), expected);
        // A database that is not there.
        assert_eq!(asked(&config(), "nowhere").unwrap().0, "app");
    }

    #[test]
    fn auth_dbname_is_where_to_ask_listed_or_not() {
        let mut config = config();
        config.general.auth_dbname = Some("users".to_owned());
        assert_eq!(asked(&config, "app").unwrap().0, "users");
        let mut users = Database::named("users");
        users.dbname = Some("real".to_owned());
        config.databases.insert("users".to_owned(), users);
        assert_eq!(asked(&config, "app").unwrap().0, "real");
        config.databases.get_mut("app").unwrap().auth_dbname = Some("own".to_owned());
        assert_eq!(asked(&config, "app").unwrap().0, "own");
    }

    #[test]
    fn no_stranger_chooses_the_database_that_is_asked() {
        let mut config = config();
        config.fallback = Some(Database::named("*"));
        assert_eq!(asked(&config, "whatever").unwrap().0, "postgres");
        config.general.auth_dbname = Some("users".to_owned());
        assert_eq!(asked(&config, "whatever").unwrap().0, "users");
    }

    #[test]
    fn users_of_the_console_are_asked_for_only_where_the_configuration_says() {
        let mut config = config();
        for name in NAMES {
            assert!(asked(&config, name).is_none());
            config.general.auth_dbname = Some("elsewhere".to_owned());
            assert!(asked(&config, name).is_none());
            config.general.auth_dbname = Some("app".to_owned());
            assert_eq!(asked(&config, name).unwrap().0, "app");
            config.general.auth_dbname = None;
        }
    }

    #[test]
    fn without_auth_user_nobody_is_asked() {
        let mut config = config();
        config.general.auth_user = None;
        assert!(asked(&config, "app").is_none());
        config.databases.get_mut("app").unwrap().auth_user = Some("other".to_owned());
        assert_eq!(asked(&config, "app").unwrap().1, "other");
    }
}
