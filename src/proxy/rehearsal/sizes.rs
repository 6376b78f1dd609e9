//! How many connections all pools together may open at one server.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::{AuthType, Config, Database, Listen, PoolMode, PoolSettings};
use crate::net::Target;

/// Whoever is not listed.
const STRANGER: &str = "\0";

/// What pools may open at one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Load {
    /// The server, by the name that the configuration has for it.
    pub target: Target,
    /// The pools that are known by name.
    pub shares: Vec<Share>,
    /// The most that these may have open at once.
    pub most: u64,
    /// And beside the pools: connections that listen for clients, and ask about users.
    pub beside: u64,
    /// Users that are not listed bring pools of their own, each of so many.
    pub of_each_stranger: Option<u64>,
    /// Databases that have no section bring pools of their own.
    pub has_open_names: bool,
}

/// What one pool may open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// The database's section.
    pub database: String,
    /// The role.
    pub user: String,
    /// `pool_size` and `reserve_pool_size`.
    pub most: u64,
}

/// See [`super::Rehearsal::loads`].
pub(super) fn loads<'s>(
    config: &Config,
    known: &BTreeSet<String>,
    asking: impl Iterator<Item = &'s PoolSettings>,
) -> Vec<Load> {
    let mut sums: BTreeMap<String, Sum> = BTreeMap::new();
    for section in config.databases.values().chain(&config.fallback) {
        for target in targets(&section.host, section.port) {
            let sum = sums.entry(target.to_string());
            let sum = sum.or_insert_with(|| Sum::at(target));
            sum.add(config, known, section);
        }
    }
    for settings in asking {
        for target in targets(&settings.host, settings.port) {
            if let Some(sum) = sums.get_mut(&target.to_string()) {
                sum.load.beside += 1;
            }
        }
    }
    sums.into_values().map(Sum::load).collect()
}

fn targets(hosts: &str, port: u16) -> impl Iterator<Item = Target> {
    let hosts = hosts.split(',').map(str::trim);
    hosts.map(move |host| Target::new(host, port))
}

/// May users log in that are not listed?
fn lets_in_strangers(config: &Config, section: &Database) -> bool {
    let general = &config.general;
    if section.user.is_some() {
        return false;
    }
    section.auth_user.is_some()
        || general.auth_user.is_some()
        || match general.auth_type {
            AuthType::Trust => general.auth_trust_unlisted,
            AuthType::Plain | AuthType::Md5 | AuthType::ScramSha256 => false,
            AuthType::Any
            | AuthType::Cert
            | AuthType::Peer
            | AuthType::Oauth
            | AuthType::Ldap
            | AuthType::Pam
            | AuthType::Hba
            | AuthType::Passthrough => true,
        }
}

/// One server, as it is added up.
struct Sum {
    load: Load,
    /// By databases, each within its `max_db_connections`.
    by_database: u64,
    /// By users, before and within their `max_user_connections`.
    by_user: BTreeMap<String, (u64, u64)>,
    /// There are more users than those.
    has_strangers: bool,
}

impl Sum {
    fn at(target: Target) -> Self {
        Self {
            load: Load {
                target,
                shares: Vec::new(),
                most: 0,
                beside: 0,
                of_each_stranger: None,
                has_open_names: false,
            },
            by_database: 0,
            by_user: BTreeMap::new(),
            has_strangers: false,
        }
    }

    fn add(&mut self, config: &Config, known: &BTreeSet<String>, section: &Database) {
        let pools: BTreeMap<String, PoolSettings> = match &section.user {
            Some(user) => [(user.clone(), section.settings(config, user))].into(),
            None => {
                let named = |user: &String| (user.clone(), section.settings(config, user));
                known.iter().map(named).collect()
            }
        };
        let stranger = section.settings(config, STRANGER);
        let mut sum = 0;
        for (user, settings) in pools {
            let most = most_of(&settings);
            self.load.beside += u64::from(listens_apart(&settings));
            let of_user = self.by_user.entry(user.clone()).or_default();
            of_user.0 += most;
            of_user.1 = settings.max_user_connections.into();
            self.load.shares.push(Share {
                database: section.name.clone(),
                user,
                most,
            });
            sum += most;
        }
        self.load.has_open_names |= section.name == "*";
        let has_strangers = lets_in_strangers(config, section);
        self.has_strangers |= has_strangers;
        self.by_database += match u64::from(stranger.max_db_connections) {
            0 => sum,
            limit if has_strangers => limit,
            limit => limit.min(sum),
        };
        if has_strangers && stranger.max_db_connections == 0 {
            let each = self.load.of_each_stranger.unwrap_or(0);
            self.load.of_each_stranger = Some(each + most_of(&stranger));
        }
    }

    fn load(mut self) -> Load {
        let within = |(sum, limit): &(u64, u64)| if *limit == 0 { *sum } else { *sum.min(limit) };
        let by_user = self.by_user.values().map(within).sum();
        self.load.most = match self.has_strangers {
            false => self.by_database.min(by_user),
            true => self.by_database,
        };
        self.load
    }
}

fn most_of(settings: &PoolSettings) -> u64 {
    let (size, limit) = (settings.pool_size, settings.max_user_connections);
    let most = u64::from(size) + u64::from(settings.reserve_pool_size);
    if limit == 0 {
        most
    } else {
        most.min(limit.into())
    }
}

/// Has it a connection beside the pool on which all its clients listen?
fn listens_apart(settings: &PoolSettings) -> bool {
    settings.pool_mode != PoolMode::Session && settings.listen == Listen::Multiplex
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing)]
    use super::*;

    fn database(name: &str) -> Database {
        let mut database = Database::named(name);
        database.pool_size = Some(10);
        database
    }

    fn found(config: &Config, users: &[&str]) -> Vec<Load> {
        let known = users.iter().map(|user| (*user).to_owned()).collect();
        loads(config, &known, std::iter::empty())
    }

    fn config(databases: impl IntoIterator<Item = Database>) -> Config {
        let mut config = Config::default();
        for database in databases {
            match database.name.as_str() {
                "*" => config.fallback = Some(database),
                name => drop(config.databases.insert(name.to_owned(), database)),
            }
        }
        config
    }

    fn most(config: &Config, users: &[&str]) -> u64 {
        found(config, users).iter().map(|load| load.most).sum()
    }

    #[test]
    fn each_user_has_a_pool_of_each_database_unless_that_names_one() {
        let mut forced = database("forced");
        (forced.user, forced.reserve_pool_size) = (Some("owner".to_owned()), Some(5));
        let config = config([database("a"), database("b"), forced]);
        assert_eq!(most(&config, &["x", "y"]), 4 * 10 + 15);
        assert_eq!(found(&config, &["x", "y"])[0].beside, 5);
    }

    #[test]
    fn limits_of_databases_and_users_bound_the_sum() {
        let (mut a, b) = (database("a"), database("b"));
        a.max_db_connections = Some(12);
        let mut config = config([a, b]);
        assert_eq!(most(&config, &["x", "y"]), 12 + 20);
        config.general.max_user_connections = 7;
        assert_eq!(most(&config, &["x", "y"]), 14);
    }

    #[test]
    fn each_of_several_hosts_may_get_all_of_it() {
        let mut a = database("a");
        a.host = "one, two".to_owned();
        let loads = found(&config([a, database("b")]), &["x"]);
        let sums: Vec<_> = loads
            .iter()
            .map(|load| (load.target.to_string(), load.most))
            .collect();
        let expected = [("127.0.0.1:5432", 10), ("one:5432", 10), ("two:5432", 10)];
        assert_eq!(sums, expected.map(|(name, most)| (name.to_owned(), most)));
    }

    #[test]
    fn strangers_are_without_number_unless_the_database_has_a_limit() {
        let mut config = config([database("a")]);
        assert_eq!(found(&config, &["x"])[0].of_each_stranger, None);
        config.general.auth_user = Some("asker".to_owned());
        let load = found(&config, &["x"]).remove(0);
        assert_eq!((load.most, load.of_each_stranger), (10, Some(10)));
        config.general.max_db_connections = 50;
        let load = found(&config, &["x"]).remove(0);
        assert_eq!((load.most, load.of_each_stranger), (50, None));
    }

    #[test]
    fn the_fallback_counts_once_and_says_that_it_is_open() {
        let loads = found(&config([database("*")]), &["x"]);
        assert_eq!(loads[0].most, 10);
        assert!(loads[0].has_open_names);
    }
}
