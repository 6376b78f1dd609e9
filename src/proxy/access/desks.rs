//! The servers that are asked for users' secrets.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::desk::{Desk, Said};
use super::errand::{Errand, errand};
use crate::config::{Config, PoolSettings, Secret, ServerTls};
use crate::net::Names;
use crate::pool::Directory;
use crate::wire::PgError;

/// All roles that a user is a member of, itself too, as hexadecimal digits: names may hold anything.
/// A superuser is a member of what it was made a member of (`auth-pg-hba-conf.html`).
const ROLES: &str = "WITH RECURSIVE member_of AS (\
    SELECT oid FROM pg_roles WHERE rolname = $1 \
    UNION SELECT m.roleid FROM pg_auth_members m JOIN member_of ON m.member = member_of.oid) \
    SELECT $1::text, string_agg(encode(convert_to(rolname, 'UTF8'), 'hex'), ',') \
    FROM member_of JOIN pg_roles USING (oid)";

/// Servers that are asked apart: host, port, TLS, database, user and query.
type Key = (String, u16, ServerTls, String, String, String);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Desks(Mutex<HashMap<Key, Arc<Desk>>>);

impl Desks {
    /// What a server says of a user; where none is to be asked, there is nobody.
    pub async fn find(
        &self,
        config: &Config,
        directory: &Directory,
        password_of: &(dyn Fn(&str) -> Option<Secret> + Sync),
        database: &str,
        user: &str,
    ) -> Result<Said, PgError> {
        let Some((settings, query)) = errand(config, password_of, database) else {
            return Ok(Said::Nobody);
        };
        self.ask(config, directory, settings, query, user).await
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
        let told = self.ask(config, directory, settings, ROLES, user).await?;
        let told = told.secret();
        Ok(Some(
            told.map_or_else(HashSet::new, |told| names(told.expose())),
        ))
    }

    async fn ask(
        &self,
        config: &Config,
        directory: &Directory,
        settings: PoolSettings,
        query: &str,
        user: &str,
    ) -> Result<Said, PgError> {
        let ttl = config.general.auth_cache_ttl;
        let desk = self.desk(&settings, query);
        let errand = Errand {
            directory,
            settings,
        };
        desk.find(user, ttl, &errand).await
    }

    fn desk(&self, settings: &PoolSettings, query: &str) -> Arc<Desk> {
        let key = (
            settings.host.clone(),
            settings.port,
            settings.server_tls.clone(),
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

    pub fn leave_lost_addresses(&self, names: &Names) {
        self.all()
            .iter()
            .for_each(|desk| desk.leave_lost_address(names));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_may_have_any_name() {
        let found = names("61,2c62,c3a4");
        assert_eq!(found, ["a", ",b", "\u{e4}"].map(str::to_owned).into());
    }
}
