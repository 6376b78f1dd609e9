//! The settings as they are used. Their meanings stand in `keys`, once.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::{
    ApplicationNamePolicy, AssignPolicy, AuthType, Command, FileMode, Listen, LoadBalance,
    LogFormat, LogLevel, Milliseconds, Networks, PoolMode, ProxyProtocol, Secret,
    ServerProxyProtocol, SessionState, Sql, SslMode, SyslogFacility, TlsNegotiation, TlsProtocols,
    Verify,
};

/// Names a user and its secret; who is not to log in any more has none.
const AUTH_QUERY: &str = "SELECT rolname, CASE WHEN rolvaliduntil < now() THEN NULL ELSE rolpassword END \
     FROM pg_authid WHERE rolname = $1 AND rolcanlogin";

/// The largest number of a peer, PgBouncer's bound.
pub(super) const MAX_PEER_ID: u16 = 16_383;

/// The value of `server_check_query` for a query without a command in it.
pub(super) const NO_COMMAND: &str = "<empty>";

/// A whole configuration, checked.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Config {
    /// `[pgweave]`.
    pub general: General,
    /// `[databases.NAME]`, by the name that clients ask for.
    pub databases: BTreeMap<String, Database>,
    /// `[databases."*"]`: what holds for a name without a section.
    pub fallback: Option<Database>,
    /// `[users.NAME]`.
    pub users: BTreeMap<String, User>,
    /// `[peers.ID]`.
    pub peers: BTreeMap<u16, Peer>,
}

/// `[pgweave]`. A duration of zero means "off" unless the field says otherwise.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)] // Each field is documented in `keys`, under its own name.
pub struct General {
    pub listen_addr: Vec<String>,
    pub listen_port: u16,
    pub unix_socket_dir: Option<PathBuf>,
    pub unix_socket_mode: FileMode,
    pub unix_socket_group: Option<String>,
    pub listen_backlog: u32,
    pub max_client_conn: u32,
    pub tcp_keepalive: bool,
    /// Zero in these: the system's own.
    pub tcp_keepidle: Duration,
    pub tcp_keepintvl: Duration,
    pub tcp_keepcnt: u32,
    pub tcp_user_timeout: Milliseconds,
    /// Bytes.
    pub tcp_socket_buffer: u32,
    pub so_reuseport: bool,
    pub proxy_protocol: ProxyProtocol,
    pub proxy_protocol_from: Option<Networks>,
    /// 0: there are no peers.
    pub peer_id: u16,
    pub max_packet_size: u32,
    pub disable_pqexec: bool,
    pub ignore_startup_parameters: Option<Vec<String>>,
    pub pidfile: Option<PathBuf>,
    pub takeover_socket: Option<PathBuf>,
    pub workers: usize,
    pub auth_type: AuthType,
    pub auth_trust_unlisted: bool,
    pub auth_file: Option<PathBuf>,
    pub auth_hba_file: Option<PathBuf>,
    pub auth_ident_file: Option<PathBuf>,
    pub auth_user: Option<String>,
    pub auth_query: String,
    pub auth_dbname: Option<String>,
    pub auth_cache_ttl: Duration,
    pub auth_failures_per_minute: u32,
    pub auth_oauth_issuer: Option<String>,
    pub auth_oauth_audience: Option<String>,
    pub auth_oauth_scope: Option<String>,
    pub auth_oauth_user_claim: String,
    pub auth_oauth_jwks_file: Option<PathBuf>,
    pub auth_ldap_options: Option<Secret>,
    pub auth_pam_service: String,
    pub scram_iterations: u32,
    pub client_login_timeout: Duration,
    pub client_tls_sslmode: SslMode,
    pub client_tls_key_file: Option<PathBuf>,
    pub client_tls_cert_file: Option<PathBuf>,
    pub client_tls_ca_file: Option<PathBuf>,
    pub client_tls_protocols: TlsProtocols,
    pub pool_mode: PoolMode,
    pub default_pool_size: u32,
    pub min_pool_size: u32,
    pub reserve_pool_size: u32,
    pub reserve_pool_timeout: Duration,
    pub max_db_connections: u32,
    pub max_user_connections: u32,
    pub max_db_client_connections: u32,
    pub max_user_client_connections: u32,
    pub server_round_robin: bool,
    pub assign_policy: AssignPolicy,
    pub session_state: SessionState,
    pub listen: Listen,
    pub verify: Verify,
    pub pin_functions: Option<Vec<String>>,
    pub pin_notice: bool,
    pub pin_process: Duration,
    pub pin_numbers: Duration,
    pub max_prepared_statements: u32,
    /// Bytes.
    pub max_prepared_bytes: u32,
    pub max_client_prepared_statements: u32,
    /// Bytes.
    pub max_client_prepared_bytes: u32,
    pub query_wait_timeout: Duration,
    /// Zero: nobody is told.
    pub query_wait_notify: Duration,
    pub server_connect_timeout: Duration,
    pub server_login_retry: Duration,
    /// Zero: each connection asks anew.
    pub dns_max_ttl: Duration,
    pub dns_nxdomain_ttl: Duration,
    pub dns_reconnect: bool,
    pub password_command_ttl: Duration,
    pub password_command_timeout: Duration,
    /// Zero: a server connection is used once.
    pub server_lifetime: Duration,
    pub server_idle_timeout: Duration,
    /// Zero: every server connection is checked before use.
    pub server_check_delay: Duration,
    pub server_fast_close: bool,
    pub server_check_query: Sql,
    pub server_reset_query: Sql,
    pub server_reset_query_always: bool,
    pub server_proxy_protocol: ServerProxyProtocol,
    pub server_tls_sslmode: SslMode,
    pub server_tls_negotiation: TlsNegotiation,
    pub server_tls_ca_file: Option<PathBuf>,
    pub server_tls_key_file: Option<PathBuf>,
    pub server_tls_cert_file: Option<PathBuf>,
    pub server_tls_protocols: TlsProtocols,
    pub query_timeout: Duration,
    pub transaction_timeout: Duration,
    pub idle_transaction_timeout: Duration,
    pub client_idle_timeout: Duration,
    pub cancel_wait_timeout: Duration,
    /// Zero: a vanished client's server connection is closed at once.
    pub drain_timeout: Duration,
    /// Zero: never.
    pub autodb_idle_timeout: Duration,
    /// Zero: never.
    pub pool_idle_timeout: Duration,
    pub application_name_add_host: bool,
    pub application_name_policy: ApplicationNamePolicy,
    pub login_notify_message: Option<String>,
    /// Zero: nobody is let in any more.
    pub shutdown_delay: Duration,
    /// Zero: nothing is waited for.
    pub shutdown_timeout: Duration,
    pub admin_users: Option<Vec<String>>,
    pub stats_users: Option<Vec<String>>,
    pub stats_period: Duration,
    pub reload_on_change: bool,
    pub log_level: LogLevel,
    pub log_connections: bool,
    pub log_disconnections: bool,
    pub log_pooler_errors: bool,
    pub log_traceparent: bool,
    pub log_stats: bool,
    /// Zero: none is slow.
    pub log_min_duration_transaction: Duration,
    /// Zero: no limit.
    pub log_rate_limit: u32,
    pub http_listen: Option<String>,
    pub http_token: Option<Secret>,
    pub log_format: LogFormat,
    pub logfile: Option<PathBuf>,
    pub syslog: bool,
    pub syslog_ident: String,
    pub syslog_facility: SyslogFacility,
    pub syslog_socket: PathBuf,
}

impl Default for General {
    fn default() -> Self {
        Self {
            listen_addr: vec!["127.0.0.1".to_owned()],
            listen_port: 6432,
            unix_socket_dir: None,
            unix_socket_mode: FileMode(0o777),
            unix_socket_group: None,
            listen_backlog: 4096,
            max_client_conn: 10_000,
            tcp_keepalive: true,
            tcp_keepidle: Duration::ZERO,
            tcp_keepintvl: Duration::ZERO,
            tcp_keepcnt: 0,
            tcp_user_timeout: Milliseconds::default(),
            tcp_socket_buffer: 0,
            so_reuseport: false,
            proxy_protocol: ProxyProtocol::Off,
            proxy_protocol_from: None,
            peer_id: 0,
            max_packet_size: i32::MAX.unsigned_abs(),
            disable_pqexec: false,
            ignore_startup_parameters: None,
            pidfile: None,
            takeover_socket: None,
            workers: 0,
            auth_type: AuthType::ScramSha256,
            auth_trust_unlisted: true,
            auth_file: None,
            auth_hba_file: None,
            auth_ident_file: None,
            auth_user: None,
            auth_query: AUTH_QUERY.to_owned(),
            auth_dbname: None,
            auth_cache_ttl: Duration::from_secs(10),
            auth_failures_per_minute: 30,
            auth_oauth_issuer: None,
            auth_oauth_audience: None,
            auth_oauth_scope: None,
            auth_oauth_user_claim: "sub".to_owned(),
            auth_oauth_jwks_file: None,
            auth_ldap_options: None,
            auth_pam_service: "pgweave".to_owned(),
            scram_iterations: 4096,
            client_login_timeout: Duration::from_secs(60),
            client_tls_sslmode: SslMode::Disable,
            client_tls_key_file: None,
            client_tls_cert_file: None,
            client_tls_ca_file: None,
            client_tls_protocols: TlsProtocols::ALL,
            pool_mode: PoolMode::Transaction,
            default_pool_size: 20,
            min_pool_size: 0,
            reserve_pool_size: 0,
            reserve_pool_timeout: Duration::from_secs(5),
            max_db_connections: 0,
            max_user_connections: 0,
            max_db_client_connections: 0,
            max_user_client_connections: 0,
            server_round_robin: false,
            assign_policy: AssignPolicy::Lifo,
            session_state: SessionState::Keep,
            listen: Listen::Multiplex,
            verify: Verify::Flagged,
            pin_functions: None,
            pin_notice: false,
            pin_process: Duration::from_secs(2),
            pin_numbers: Duration::from_millis(100),
            max_prepared_statements: 200,
            max_prepared_bytes: 8 << 20,
            max_client_prepared_statements: 10_000,
            max_client_prepared_bytes: 64 << 20,
            query_wait_timeout: Duration::from_secs(120),
            query_wait_notify: Duration::ZERO,
            server_connect_timeout: Duration::from_secs(15),
            server_login_retry: Duration::from_secs(15),
            dns_max_ttl: Duration::from_secs(15),
            dns_nxdomain_ttl: Duration::from_secs(15),
            dns_reconnect: true,
            password_command_ttl: Duration::from_secs(600),
            password_command_timeout: Duration::from_secs(30),
            server_lifetime: Duration::from_secs(3600),
            server_idle_timeout: Duration::from_secs(600),
            server_check_delay: Duration::from_secs(30),
            server_fast_close: false,
            server_check_query: Sql::new(NO_COMMAND),
            server_reset_query: Sql::new("DISCARD ALL"),
            server_reset_query_always: false,
            server_proxy_protocol: ServerProxyProtocol::Off,
            server_tls_sslmode: SslMode::Prefer,
            server_tls_negotiation: TlsNegotiation::Postgres,
            server_tls_ca_file: None,
            server_tls_key_file: None,
            server_tls_cert_file: None,
            server_tls_protocols: TlsProtocols::ALL,
            query_timeout: Duration::ZERO,
            transaction_timeout: Duration::ZERO,
            idle_transaction_timeout: Duration::ZERO,
            client_idle_timeout: Duration::ZERO,
            cancel_wait_timeout: Duration::from_secs(10),
            drain_timeout: Duration::from_secs(2),
            autodb_idle_timeout: Duration::from_secs(3600),
            pool_idle_timeout: Duration::ZERO,
            application_name_add_host: false,
            application_name_policy: ApplicationNamePolicy::Exact,
            login_notify_message: None,
            shutdown_delay: Duration::ZERO,
            shutdown_timeout: Duration::from_secs(30),
            admin_users: None,
            stats_users: None,
            stats_period: Duration::from_secs(60),
            reload_on_change: false,
            log_level: LogLevel::Info,
            log_connections: true,
            log_disconnections: true,
            log_pooler_errors: true,
            log_traceparent: false,
            log_stats: false,
            log_min_duration_transaction: Duration::ZERO,
            log_rate_limit: 100,
            http_listen: None,
            http_token: None,
            log_format: LogFormat::Text,
            logfile: None,
            syslog: false,
            syslog_ident: "pgweave".to_owned(),
            syslog_facility: SyslogFacility::Daemon,
            syslog_socket: "/dev/log".into(),
        }
    }
}

impl General {
    /// The socket by which another process takes over: where that is said, or beside
    /// that of clients.
    #[must_use]
    pub fn takeover_socket(&self) -> Option<PathBuf> {
        let beside =
            |directory: &PathBuf| directory.join(format!(".s.PGSQL.{}.takeover", self.listen_port));
        let beside = self.unix_socket_dir.as_ref().map(beside);
        self.takeover_socket.clone().or(beside)
    }

    /// How many threads carry the clients on a machine with `cores` cores.
    ///
    /// Few: most of a pooled query's cost is in the kernel, and idle workers
    /// that wake each other cost more than they carry.
    pub fn worker_threads(&self, cores: usize) -> usize {
        match self.workers {
            0 => (cores / 2).clamp(1, 4),
            given => given,
        }
    }
}

/// `[databases.NAME]`. `None` means that `[pgweave]` decides.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)] // Each field is documented in `keys`, under its own name.
pub struct Database {
    /// The name that clients ask for; `*` for the fallback.
    pub name: String,
    /// Host names, addresses, or directories of Unix sockets (starting with `/`), separated by commas.
    pub host: String,
    pub port: u16,
    pub load_balance_hosts: LoadBalance,
    /// `None`: the name that the client asked for.
    pub dbname: Option<String>,
    /// `None`: the client's own user name.
    pub user: Option<String>,
    pub password: Option<Secret>,
    pub password_command: Option<Command>,
    pub auth_user: Option<String>,
    pub auth_query: Option<String>,
    pub auth_dbname: Option<String>,
    pub server_proxy_protocol: Option<ServerProxyProtocol>,
    pub server_tls_sslmode: Option<SslMode>,
    pub server_tls_negotiation: Option<TlsNegotiation>,
    pub server_tls_ca_file: Option<PathBuf>,
    pub server_tls_key_file: Option<PathBuf>,
    pub server_tls_cert_file: Option<PathBuf>,
    pub pool_mode: Option<PoolMode>,
    pub session_state: Option<SessionState>,
    pub listen: Option<Listen>,
    pub pool_size: Option<u32>,
    pub min_pool_size: Option<u32>,
    pub reserve_pool_size: Option<u32>,
    pub max_db_connections: Option<u32>,
    pub max_db_client_connections: Option<u32>,
    pub client_encoding: Option<String>,
    pub datestyle: Option<String>,
    pub timezone: Option<String>,
    pub application_name: Option<String>,
    pub application_name_policy: Option<ApplicationNamePolicy>,
    pub connect_query: Option<String>,
    pub query_wait_timeout: Option<Duration>,
    pub server_lifetime: Option<Duration>,
}

impl Database {
    /// A database with nothing but a name: PostgreSQL on this machine.
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            host: "127.0.0.1".to_owned(),
            port: 5432,
            load_balance_hosts: LoadBalance::RoundRobin,
            dbname: None,
            user: None,
            password: None,
            password_command: None,
            auth_user: None,
            auth_query: None,
            auth_dbname: None,
            server_proxy_protocol: None,
            server_tls_sslmode: None,
            server_tls_negotiation: None,
            server_tls_ca_file: None,
            server_tls_key_file: None,
            server_tls_cert_file: None,
            pool_mode: None,
            session_state: None,
            listen: None,
            pool_size: None,
            min_pool_size: None,
            reserve_pool_size: None,
            max_db_connections: None,
            max_db_client_connections: None,
            client_encoding: None,
            datestyle: None,
            timezone: None,
            application_name: None,
            application_name_policy: None,
            connect_query: None,
            query_wait_timeout: None,
            server_lifetime: None,
        }
    }
}

/// `[users.NAME]`. `None` means that the database or `[pgweave]` decides.
#[derive(Debug, Clone, Default, PartialEq)]
#[allow(missing_docs)] // Each field is documented in `keys`, under its own name.
pub struct User {
    /// The name that clients log in with.
    pub name: String,
    pub password: Option<Secret>,
    pub password_command: Option<Command>,
    pub pool_mode: Option<PoolMode>,
    pub session_state: Option<SessionState>,
    pub pool_size: Option<u32>,
    pub reserve_pool_size: Option<u32>,
    pub max_user_connections: Option<u32>,
    pub max_user_client_connections: Option<u32>,
    pub query_timeout: Option<Duration>,
    pub query_wait_timeout: Option<Duration>,
    pub idle_transaction_timeout: Option<Duration>,
    pub transaction_timeout: Option<Duration>,
    pub client_idle_timeout: Option<Duration>,
}

impl User {
    /// A user with nothing but a name.
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            ..Self::default()
        }
    }
}

/// `[peers.ID]`: another process that clients may reach at the same address.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)] // Each field is documented in `keys`, under its own name.
pub struct Peer {
    /// Its `peer_id`.
    pub id: u16,
    /// `None` is a mistake.
    pub host: Option<String>,
    pub port: u16,
    /// `None`: `default_pool_size`.
    pub pool_size: Option<u32>,
}

impl Peer {
    /// A peer with nothing but a number.
    pub fn numbered(id: u16) -> Self {
        Self {
            id,
            host: None,
            port: 6432,
            pool_size: None,
        }
    }

    /// The number that a section's name stands for.
    pub fn id_of(name: &str) -> Option<u16> {
        let id = name
            .parse()
            .ok()
            .filter(|id: &u16| id.to_string() == name)?;
        (1..=MAX_PEER_ID).contains(&id).then_some(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_stay_few_on_any_machine() {
        let mut general = General::default();
        assert_eq!(
            [0, 1, 2, 4, 8, 96].map(|cores| general.worker_threads(cores)),
            [1, 1, 1, 2, 4, 4]
        );
        general.workers = 7;
        assert_eq!(general.worker_threads(2), 7);
    }
}
