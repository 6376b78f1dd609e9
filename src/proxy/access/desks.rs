//! The servers that are asked for users' secrets.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::desk::Desk;
use crate::auth::{Credential, StoredSecret};
use crate::config::{Config, Database, PoolSettings, Secret};
use crate::pool::Directory;
use crate::wire::PgError;

/// What the connection is opened with, whatever the role has set: names in the
/// query mean what they say, whoever may create objects where.
const SETTINGS: [(&str, &str); 2] = [
    ("search_path", "pg_catalog"),
    ("application_name", "pgweave asks for a user"),
];

/// All roles that a user is a member of, itself too, as hexadecimal digits: names may hold anything.
/// A superuser is a member of what it was made a member of (`auth-pg-hba-conf.html`).
const ROLES: &str = "WITH RECURSIVE member_of AS (\
    SELECT oid FROM pg_roles WHERE rolname = $1 \
    UNION SELECT m.roleid FROM pg_auth_members m JOIN member_of ON m.member = member_of.oid) \
    SELECT $1::text, string_agg(encode(convert_to(rolname, 'UTF8'), 'hex'), ',') \
    FROM member_of JOIN pg_roles USING (oid)";

/// Servers that are asked apart: host, port, database, user and query.
type Key = (String, u16, String, String, String);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Desks(Mutex<HashMap<Key, Arc<Desk>>>);

impl Desks {
    /// A user's secret; none where nobody is to be asked, too.
    pub async fn find(
        &self,
        config: &Config,
        directory: &Directory,
        password_of: &(dyn Fn(&str) -> Option<Secret> + Sync),
        database: &str,
        user: &str,
    ) -> Result<Option<Secret>, PgError> {
        let Some((settings, query)) = errand(config, password_of, database) else {
            return Ok(None);
        };
        self.ask(config, directory, &settings, query, user).await
    }

    /// What roles a user is a member of; none where nobody is to be asked.
    pub async fn roles(
        &self,
        config: &Config,
        directory: &Directory,
        password_of: &(dyn Fn(&str) -> Option<Secret> + Sync),
        database: &str,
        user: &str,
    ) -> Result<Option<HashSet<String>>, PgError> {
        let Some((settings, _)) = errand(config, password_of, database) else {
            return Ok(None);
        };
        let told = self.ask(config, directory, &settings, ROLES, user).await?;
        Ok(Some(
            told.map_or_else(HashSet::new, |told| names(told.expose())),
        ))
    }

    async fn ask(
        &self,
        config: &Config,
        directory: &Directory,
        settings: &PoolSettings,
        query: &str,
        user: &str,
    ) -> Result<Option<Secret>, PgError> {
        let login = || {
            let secret = settings.server_password.as_ref();
            let stored = secret.map(|secret| StoredSecret::parse(secret.expose()));
            let credential = stored.as_ref().map_or(Credential::None, Credential::of);
            let startup = SETTINGS.map(|(name, value)| (name.to_owned(), value.to_owned()));
            directory.login(settings, credential, startup.to_vec())
        };
        let ttl = config.general.auth_cache_ttl;
        self.desk(settings, query).find(user, ttl, login).await
    }

    fn desk(&self, settings: &PoolSettings, query: &str) -> Arc<Desk> {
        let key = (
            settings.host.clone(),
            settings.port,
            settings.dbname.clone(),
            settings.server_user.clone(),
            query.to_owned(),
        );
        let mut desks = self.0.lock();
        let desk = desks
            .entry(key)
            .or_insert_with(|| Arc::new(Desk::new(query)));
        Arc::clone(desk)
    }

    fn all(&self) -> Vec<Arc<Desk>> {
        self.0.lock().values().cloned().collect()
    }

    pub fn doubt(&self, user: &str) {
        self.all().iter().for_each(|desk| desk.doubt(user));
    }

    pub fn forget(&self) {
        self.all().iter().for_each(|desk| desk.forget());
        self.0.lock().clear();
    }

    pub fn keep(&self, now: Instant, idle_timeout: Duration) {
        self.all()
            .iter()
            .for_each(|desk| desk.keep(now, idle_timeout));
    }
}

/// The names in an answer to [`ROLES`].
fn names(told: &str) -> HashSet<String> {
    let name = |digits: &str| {
        let digits = digits.as_bytes().chunks(2);
        let bytes = digits.map(|pair| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok());
        String::from_utf8(bytes.collect::<Option<_>>()?).ok()
    };
    told.split(',').filter_map(name).collect()
}

/// Where to ask, as whom, and what. For a database that is not there the first
/// of the others is asked, so that it looks the same.
fn errand<'c>(
    config: &'c Config,
    password_of: &dyn Fn(&str) -> Option<Secret>,
    database: &str,
) -> Option<(PoolSettings, &'c str)> {
    let general = &config.general;
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
    let elsewhere = asked.auth_dbname.as_ref().or(general.auth_dbname.as_ref());
    let mut settings = match elsewhere {
        Some(other) if section(config, other).is_some() => config.pool_settings(other, user)?,
        Some(other) => PoolSettings {
            dbname: other.clone(),
            ..config.pool_settings(name, user)?
        },
        None => config.pool_settings(name, user)?,
    };
    // Whatever user the database forces on its clients.
    if settings.server_user != *user {
        settings.server_user.clone_from(user);
        settings.server_password = None;
    }
    settings.server_password = password_of(user).or(settings.server_password);
    Some((settings, query))
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
    fn roles_may_have_any_name() {
        let found = names("61,2c62,c3a4");
        assert_eq!(found, ["a", ",b", "ä"].map(str::to_owned).into());
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
