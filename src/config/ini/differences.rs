//! PgBouncer's settings that pgweave has not, and why.

/// Settings of `[pgbouncer]`.
pub(super) const GENERAL: &[(&str, &str)] = &[
    ("application_name_add_host", NOT_YET),
    ("autodb_idle_timeout", NOT_YET),
    ("pool_idle_timeout", NOT_YET),
    ("client_tls13_ciphers", CIPHERS),
    ("client_tls_ciphers", CIPHERS),
    ("client_tls_dheparams", CIPHERS),
    ("client_tls_ecdhcurve", CIPHERS),
    ("server_tls13_ciphers", CIPHERS),
    ("server_tls_ciphers", CIPHERS),
    ("conffile", "it is the file that pgweave was started with"),
    ("dns_max_ttl", DNS),
    ("dns_nxdomain_ttl", DNS),
    ("dns_zone_check_period", DNS),
    ("resolv_conf", DNS),
    ("job_name", "it is for Windows"),
    ("service_name", "it is for Windows"),
    ("log_stats", "there are no statistics in the log yet"),
    ("login_notify_message", NOT_YET),
    ("peer_id", PEERS),
    ("pkt_buf", BUFFERS),
    ("sbuf_loopcnt", BUFFERS),
    ("query_wait_notify", NOT_YET),
    ("suspend_timeout", "SUSPEND waits for nothing"),
    ("syslog", SYSLOG),
    ("syslog_facility", SYSLOG),
    ("syslog_ident", SYSLOG),
    ("tcp_defer_accept", SOCKETS),
    ("track_extra_parameters", TRACKED),
    ("user", "start pgweave as that user"),
];

/// Keys of `[databases]`.
pub(super) const DATABASE: &[(&str, &str)] = &[];

/// Keys of `[users]`.
pub(super) const USER: &[(&str, &str)] = &[];

/// Why `[peers]` are not honoured.
pub(super) const PEERS: &str = "one process uses all cores: there are no peers to send cancels to";

/// All settings of a session go with its client anyway, unless nobody looks.
pub(super) const TRACKED: &str = "with session_state pgbouncer nobody looks at settings";

const NOT_YET: &str = "it is not there yet";
const CIPHERS: &str = "the suites and curves are those of rustls, all of them sound";
const DNS: &str = "names are resolved by the system, anew for each connection";
const BUFFERS: &str = "buffers need no tuning";
const SYSLOG: &str = "logs go to the standard error output or to logfile";
const SOCKETS: &str = "sockets have the system's own settings";

/// Why a setting is not honoured, if it is PgBouncer's.
pub(super) fn reason(table: &[(&str, &'static str)], key: &str) -> Option<&'static str> {
    let found = table.iter().find(|(name, _)| *name == key);
    found.map(|(_, reason)| *reason)
}

/// Values that say no more than that PgBouncer's default holds, or what pgweave
/// does anyway: not worth a warning.
pub(super) fn says_nothing(key: &str, value: &str) -> bool {
    let nothing: &[&str] = match key {
        "so_reuseport"
        | "application_name_add_host"
        | "syslog"
        | "peer_id"
        | "log_stats"
        | "tcp_keepcnt"
        | "tcp_keepidle"
        | "tcp_keepintvl"
        | "tcp_socket_buffer"
        | "tcp_user_timeout"
        | "max_db_client_connections"
        | "max_user_client_connections"
        | "pool_idle_timeout"
        | "dns_zone_check_period" => &["0", ""],
        "tcp_defer_accept" => &["1"],
        "client_tls_ciphers"
        | "server_tls_ciphers"
        | "client_tls_ecdhcurve"
        | "client_tls_dheparams" => &["", "default", "auto", "secure", "fast", "normal"],
        "job_name"
        | "service_name"
        | "conffile"
        | "pkt_buf"
        | "sbuf_loopcnt"
        | "dns_max_ttl"
        | "dns_nxdomain_ttl"
        | "suspend_timeout"
        | "autodb_idle_timeout"
        | "syslog_facility"
        | "syslog_ident" => return true,
        _ => &[""],
    };
    nothing.contains(&value)
}
