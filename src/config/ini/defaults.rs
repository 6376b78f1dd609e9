//! PgBouncer's defaults, where ours are others.

use std::time::Duration;

use crate::config::{AuthType, Config, FileMode, PoolMode};

/// Where PgBouncer makes its socket, and looks for PostgreSQL's.
pub(super) const SOCKETS: &str = "/tmp";

/// What holds before a line is read.
pub(in crate::config) fn config() -> Config {
    let mut config = Config::default();
    let general = &mut config.general;
    general.listen_addr = Vec::new();
    general.listen_backlog = 128;
    general.unix_socket_dir = Some(SOCKETS.into());
    general.unix_socket_mode = FileMode(0o777);
    general.max_client_conn = 100;
    general.pool_mode = PoolMode::Session;
    general.query_wait_notify = Duration::from_secs(5);
    general.auth_type = AuthType::Md5;
    general.auth_trust_unlisted = false;
    general.log_stats = true;
    general.syslog_ident = "pgbouncer".to_owned();
    config
}
