//! What holds for one pool once user, database and `[pgweave]` have spoken.

use std::time::Duration;

use super::settings::NO_COMMAND;
use super::{
    ApplicationNamePolicy, AssignPolicy, Command, Config, Database, General, Listen, LoadBalance,
    PoolMode, Secret, ServerProxyProtocol, ServerTls, SessionState, User, Verify,
};

/// The settings of one (database, user) pool. See `keys` for the meanings.
///
/// Where a database forces a server user, clients of several names share one
/// pool: key it by `server_user`. What belongs to the server connections
/// (sizes, limits) then follows the section of the server user, and what
/// belongs to the client (`pool_mode`, its timeouts) that of the client.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)] // Each field is documented in `keys`, under its own name.
pub struct PoolSettings {
    pub host: String,
    pub port: u16,
    pub load_balance_hosts: LoadBalance,
    pub dbname: String,
    /// Whom pgweave logs in as on the server.
    pub server_user: String,
    pub server_password: Option<Secret>,
    /// Never beside a password.
    pub password_command: Option<Vec<String>>,
    pub password_command_ttl: Duration,
    pub password_command_timeout: Duration,
    pub server_tls: ServerTls,
    pub server_proxy_protocol: ServerProxyProtocol,
    pub pool_mode: PoolMode,
    pub session_state: SessionState,
    pub application_name_policy: ApplicationNamePolicy,
    pub listen: Listen,
    pub verify: Verify,
    pub pin_functions: Vec<String>,
    pub pin_notice: bool,
    pub pin_process: Duration,
    pub pin_numbers: Duration,
    pub pool_size: u32,
    /// Never more than `pool_size`.
    pub min_pool_size: u32,
    pub reserve_pool_size: u32,
    pub reserve_pool_timeout: Duration,
    pub max_db_connections: u32,
    pub max_user_connections: u32,
    pub query_wait_timeout: Duration,
    pub server_connect_timeout: Duration,
    pub server_login_retry: Duration,
    pub server_lifetime: Duration,
    pub server_idle_timeout: Duration,
    pub server_check_delay: Duration,
    pub server_fast_close: bool,
    /// What a connection that has rested is asked; none: it is not.
    pub server_check_query: Option<String>,
    pub server_reset_query: String,
    /// After each transaction, too; never if there is none.
    pub server_reset_query_always: bool,
    pub assign_policy: AssignPolicy,
    pub max_prepared_statements: usize,
    pub max_prepared_bytes: usize,
    pub max_client_prepared_statements: usize,
    pub max_client_prepared_bytes: usize,
    pub idle_transaction_timeout: Duration,
    pub transaction_timeout: Duration,
    pub query_timeout: Duration,
    pub client_idle_timeout: Duration,
    pub drain_timeout: Duration,
    pub cancel_wait_timeout: Duration,
    pub tcp: Tcp,
    /// How many clients there may be of the database, and of this user; 0 is
    /// without limit.
    pub max_db_client_connections: u32,
    pub max_user_client_connections: u32,
    /// What server connections are opened with unless the client says it.
    pub startup: Vec<(String, String)>,
    /// What is run on each once it is open.
    pub connect_query: Option<String>,
}

impl PoolSettings {
    /// Do these lead to another server, or by another way?
    #[must_use]
    pub fn connects_elsewhere(&self, other: &Self) -> bool {
        let place = |settings: &Self| {
            let Self {
                host, port, dbname, ..
            } = settings;
            (
                host.clone(),
                *port,
                dbname.clone(),
                settings.server_tls.clone(),
                settings.server_proxy_protocol,
            )
        };
        place(self) != place(other)
            || !same_password(&self.server_password, &other.server_password)
            || self.password_command != other.password_command
    }

    /// Are connections kept in another order, or for another time, or begun
    /// otherwise?
    #[must_use]
    pub fn keeps_otherwise(&self, other: &Self) -> bool {
        self.server_idle_timeout != other.server_idle_timeout
            || self.server_lifetime != other.server_lifetime
            || self.assign_policy != other.assign_policy
            || self.connect_query != other.connect_query
    }
}

/// One that stands in a file is read for each login: what stands there now is of
/// no matter to connections that are open.
fn same_password(one: &Option<Secret>, other: &Option<Secret>) -> bool {
    let file = |secret: &Option<Secret>| secret.as_ref().and_then(|secret| secret.file().cloned());
    one == other || file(one).is_some_and(|path| file(other) == Some(path))
}

/// How sockets are set up; zero leaves it to the system.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Tcp {
    /// Is a vanished peer noticed?
    pub keepalive: bool,
    /// After so much silence the other end is asked.
    pub idle: Duration,
    /// And again.
    pub interval: Duration,
    /// So often.
    pub count: u32,
    /// Sent data may stay unacknowledged for so long.
    pub user_timeout: Duration,
    /// Bytes.
    pub buffer: u32,
}

impl General {
    /// How sockets are set up.
    #[must_use]
    pub fn tcp(&self) -> Tcp {
        Tcp {
            keepalive: self.tcp_keepalive,
            idle: self.tcp_keepidle,
            interval: self.tcp_keepintvl,
            count: self.tcp_keepcnt,
            user_timeout: self.tcp_user_timeout.0,
            buffer: self.tcp_socket_buffer,
        }
    }
}

impl Database {
    /// What holds for `user` on it, by the name of its section.
    #[must_use]
    pub fn settings(&self, config: &Config, user: &str) -> PoolSettings {
        config.settings_of(self, &self.name, user)
    }

    /// What its server connections are opened with.
    fn startup(&self) -> Vec<(String, String)> {
        let settings = [
            ("client_encoding", &self.client_encoding),
            ("DateStyle", &self.datestyle),
            ("TimeZone", &self.timezone),
            ("application_name", &self.application_name),
        ];
        let given = settings.into_iter();
        let given = given.filter_map(|(name, value)| Some((name.to_owned(), value.clone()?)));
        given.collect()
    }
}

impl Config {
    /// Does the database log in to the server as one user, whoever the client is?
    #[must_use]
    pub fn forces_user(&self, database: &str) -> bool {
        let section = self.databases.get(database).or(self.fallback.as_ref());
        section.is_some_and(|section| section.user.is_some())
    }

    /// What holds for `user` on `database`, or `None` when there is neither
    /// such a database nor a fallback. Precedence: user, database, `[pgweave]`.
    pub fn pool_settings(&self, database: &str, user: &str) -> Option<PoolSettings> {
        let db = self.databases.get(database).or(self.fallback.as_ref())?;
        Some(self.settings_of(db, database, user))
    }

    fn settings_of(&self, db: &Database, database: &str, user: &str) -> PoolSettings {
        let general = &self.general;
        let client = self.users.get(user);
        let server_user = db.user.as_deref().unwrap_or(user);
        let owner = self.users.get(server_user);
        let pool_size = owner
            .and_then(|u| u.pool_size)
            .or(db.pool_size)
            .unwrap_or(general.default_pool_size);
        let (server_password, password_command) = server_password(db, owner);
        PoolSettings {
            host: db.host.clone(),
            port: db.port,
            load_balance_hosts: db.load_balance_hosts,
            dbname: db.dbname.clone().unwrap_or_else(|| database.to_owned()),
            server_user: server_user.to_owned(),
            server_password,
            password_command,
            password_command_ttl: general.password_command_ttl,
            password_command_timeout: general.password_command_timeout,
            server_tls: general.server_tls(db),
            server_proxy_protocol: db
                .server_proxy_protocol
                .unwrap_or(general.server_proxy_protocol),
            pool_mode: client
                .and_then(|u| u.pool_mode)
                .or(db.pool_mode)
                .unwrap_or(general.pool_mode),
            session_state: client
                .and_then(|u| u.session_state)
                .or(db.session_state)
                .unwrap_or(general.session_state),
            application_name_policy: db
                .application_name_policy
                .unwrap_or(general.application_name_policy),
            listen: db.listen.unwrap_or(general.listen),
            verify: general.verify,
            pin_functions: general.pin_functions.clone().unwrap_or_default(),
            pin_notice: general.pin_notice,
            pin_process: general.pin_process,
            pin_numbers: general.pin_numbers,
            pool_size,
            min_pool_size: db
                .min_pool_size
                .unwrap_or(general.min_pool_size)
                .min(pool_size),
            reserve_pool_size: owner
                .and_then(|u| u.reserve_pool_size)
                .or(db.reserve_pool_size)
                .unwrap_or(general.reserve_pool_size),
            reserve_pool_timeout: general.reserve_pool_timeout,
            max_db_connections: db.max_db_connections.unwrap_or(general.max_db_connections),
            max_user_connections: owner
                .and_then(|u| u.max_user_connections)
                .unwrap_or(general.max_user_connections),
            query_wait_timeout: client
                .and_then(|u| u.query_wait_timeout)
                .or(db.query_wait_timeout)
                .unwrap_or(general.query_wait_timeout),
            server_connect_timeout: general.server_connect_timeout,
            server_login_retry: general.server_login_retry,
            server_lifetime: db.server_lifetime.unwrap_or(general.server_lifetime),
            server_idle_timeout: general.server_idle_timeout,
            server_check_delay: general.server_check_delay,
            server_fast_close: general.server_fast_close,
            server_check_query: check_query(&general.server_check_query.0),
            server_reset_query: general.server_reset_query.0.clone(),
            server_reset_query_always: general.server_reset_query_always
                && !general.server_reset_query.0.is_empty(),
            assign_policy: match general.server_round_robin {
                true => AssignPolicy::Fifo,
                false => general.assign_policy,
            },
            max_prepared_statements: count(general.max_prepared_statements),
            max_prepared_bytes: count(general.max_prepared_bytes),
            max_client_prepared_statements: count(general.max_client_prepared_statements),
            max_client_prepared_bytes: count(general.max_client_prepared_bytes),
            idle_transaction_timeout: client
                .and_then(|u| u.idle_transaction_timeout)
                .unwrap_or(general.idle_transaction_timeout),
            transaction_timeout: client
                .and_then(|u| u.transaction_timeout)
                .unwrap_or(general.transaction_timeout),
            query_timeout: client
                .and_then(|u| u.query_timeout)
                .unwrap_or(general.query_timeout),
            client_idle_timeout: client
                .and_then(|u| u.client_idle_timeout)
                .unwrap_or(general.client_idle_timeout),
            drain_timeout: general.drain_timeout,
            cancel_wait_timeout: general.cancel_wait_timeout,
            tcp: general.tcp(),
            max_db_client_connections: db
                .max_db_client_connections
                .unwrap_or(general.max_db_client_connections),
            max_user_client_connections: client
                .and_then(|user| user.max_user_client_connections)
                .unwrap_or(general.max_user_client_connections),
            startup: db.startup(),
            connect_query: db.connect_query.clone(),
        }
    }
}

/// `<empty>` is PgBouncer's word for a query that says nothing.
fn check_query(text: &str) -> Option<String> {
    match text {
        "" => None,
        NO_COMMAND => Some(";".to_owned()),
        text => Some(text.to_owned()),
    }
}

fn count(setting: u32) -> usize {
    usize::try_from(setting).unwrap_or(usize::MAX)
}

/// What to log in with: what the database says goes first.
fn server_password(db: &Database, owner: Option<&User>) -> (Option<Secret>, Option<Vec<String>>) {
    let given = |password: &Option<Secret>, command: &Option<Command>| {
        let command = command.as_ref().map(|command| command.0.clone());
        let password = password.clone().filter(|_| command.is_none());
        (password.is_some() || command.is_some()).then_some((password, command))
    };
    given(&db.password, &db.password_command)
        .or_else(|| owner.and_then(|user| given(&user.password, &user.password_command)))
        .unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::config::{Database, User};

    fn config() -> Config {
        let mut config = Config::default();
        let mut app = Database::named("app");
        app.pool_size = Some(7);
        config.databases.insert("app".into(), app);
        let mut alice = User::named("alice");
        alice.password = Some(Secret::new("a"));
        alice.pool_mode = Some(PoolMode::Session);
        config.users.insert("alice".into(), alice);
        config
    }

    #[test]
    fn user_comes_before_database_and_database_before_pgweave() {
        let mut config = config();
        let settings = config.pool_settings("app", "alice").unwrap();
        assert_eq!(settings.pool_mode, PoolMode::Session);
        assert_eq!(settings.pool_size, 7);
        assert_eq!(settings.query_wait_timeout, Duration::from_secs(120));
        config.users.get_mut("alice").unwrap().pool_size = Some(3);
        assert_eq!(config.pool_settings("app", "alice").unwrap().pool_size, 3);
        assert_eq!(config.pool_settings("app", "bob").unwrap().pool_size, 7);
    }

    #[test]
    fn another_password_leads_elsewhere_unless_it_stands_in_the_same_file() {
        let settings = config().pool_settings("app", "alice").unwrap();
        let with = |text: &str, file: Option<&str>| {
            let secret = Secret::new(text);
            let secret = match file {
                Some(file) => secret.read_from(std::path::Path::new(file)),
                None => secret,
            };
            PoolSettings {
                server_password: Some(secret),
                ..settings.clone()
            }
        };
        let before = with("a", Some("x"));
        assert!(!before.connects_elsewhere(&with("b", Some("x"))));
        assert!(before.connects_elsewhere(&with("b", Some("y"))));
        assert!(before.connects_elsewhere(&with("b", None)));
        assert!(with("a", None).connects_elsewhere(&with("b", None)));
    }

    #[test]
    fn a_name_without_a_section_takes_the_fallback_and_keeps_its_name() {
        let mut config = config();
        assert!(config.pool_settings("other", "alice").is_none());
        config.fallback = Some(Database::named("*"));
        let settings = config.pool_settings("other", "alice").unwrap();
        assert_eq!(settings.dbname, "other");
        assert_eq!(settings.pool_size, 20);
    }

    #[test]
    fn a_client_logs_in_to_the_server_as_itself_unless_the_database_says_otherwise() {
        let mut config = config();
        let own = config.pool_settings("app", "alice").unwrap();
        assert_eq!(
            (own.server_user.as_str(), own.server_password),
            ("alice", Some(Secret::new("a")))
        );
        config.databases.get_mut("app").unwrap().user = Some("owner".into());
        let forced = config.pool_settings("app", "alice").unwrap();
        assert_eq!(
            (forced.server_user.as_str(), forced.server_password),
            ("owner", None)
        );
        config.databases.get_mut("app").unwrap().password = Some(Secret::new("o"));
        let forced = config.pool_settings("app", "alice").unwrap();
        assert_eq!(forced.server_password, Some(Secret::new("o")));
    }

    #[test]
    fn a_shared_pool_is_sized_by_its_server_user() {
        let mut config = config();
        config.databases.get_mut("app").unwrap().user = Some("owner".into());
        let mut owner = User::named("owner");
        owner.pool_size = Some(2);
        config.users.insert("owner".into(), owner);
        config.users.get_mut("alice").unwrap().pool_size = Some(9);
        let settings = config.pool_settings("app", "alice").unwrap();
        assert_eq!(settings.pool_size, 2);
        assert_eq!(settings.pool_mode, PoolMode::Session);
    }

    #[test]
    fn the_least_is_never_more_than_the_most() {
        let mut config = config();
        config.general.min_pool_size = 10;
        assert_eq!(
            config.pool_settings("app", "alice").unwrap().min_pool_size,
            7
        );
    }
}
