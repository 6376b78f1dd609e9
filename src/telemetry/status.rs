//! The status, as JSON.

use serde_json::{Value, json};

use super::sight::{PoolSight, Sight};

/// What there is, for people and scripts.
pub(super) fn json(sight: &Sight) -> Value {
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "ready": !sight.is_ending,
        "uptime_seconds": sight.uptime.as_secs(),
        "client_connections": sight.connected,
        "max_client_connections": sight.most_connected,
        "log_lines": {
            "dropped": sight.log.dropped,
            "syslog_dropped": sight.log.syslog_dropped,
            "suppressed": sight.log.suppressed,
        },
        "pools": sight.pools.iter().map(of_pool).collect::<Vec<_>>(),
        "pools_left_out": sight.left_out,
    })
}

fn of_pool(sight: &PoolSight) -> Value {
    let pool = &sight.pool;
    json!({
        "database": pool.database,
        "user": pool.server_user,
        "size": pool.size(),
        "server_connections": { "open": pool.open(), "idle": pool.idle() },
        "clients": {
            "idle": sight.clients.idle,
            "waiting": sight.clients.waiting,
            "served": sight.clients.served,
        },
        "oldest_wait_seconds": sight.oldest_wait.as_secs_f64(),
        "paused": sight.is_paused,
        // Of PostgreSQL, which readiness does not depend on.
        "reachable": sight.trouble.is_none(),
        "sqlstate": sight.trouble,
    })
}
