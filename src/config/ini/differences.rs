//! PgBouncer's settings that pgweave has not, and why.

/// Settings of `[pgbouncer]`.
pub(super) const GENERAL: &[(&str, &str)] = &[
    ("client_tls13_ciphers", CIPHERS),
    ("client_tls_ciphers", CIPHERS),
    ("client_tls_dheparams", CIPHERS),
    ("client_tls_ecdhcurve", CIPHERS),
    ("server_tls13_ciphers", CIPHERS),
    ("server_tls_ciphers", CIPHERS),
    ("conffile", "it is the file that pgweave was started with"),
    (
        "dns_zone_check_period",
        "names in use are asked about again after dns_max_ttl: no zone need be watched",
    ),
    (
        "resolv_conf",
        "the system resolves names, and reads its own file",
    ),
    ("job_name", "it is for Windows"),
    ("service_name", "it is for Windows"),
    ("pkt_buf", BUFFERS),
    ("sbuf_loopcnt", BUFFERS),
    (
        "suspend_timeout",
        "SUSPEND drops nobody: it waits until no server connection is in use",
    ),
    ("tcp_defer_accept", SOCKETS),
    ("track_extra_parameters", TRACKED),
    ("user", "start pgweave as that user"),
];

/// Keys of `[databases]`.
pub(super) const DATABASE: &[(&str, &str)] = &[];

/// Keys of `[users]`.
pub(super) const USER: &[(&str, &str)] = &[];

/// All settings of a session go with its client anyway, unless nobody looks.
pub(super) const TRACKED: &str = "with session_state pgbouncer nobody looks at settings";

const CIPHERS: &str = "the suites and curves are those of rustls, all of them sound";
const BUFFERS: &str = "buffers need no tuning";
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
        | "tcp_keepcnt"
        | "tcp_keepidle"
        | "tcp_keepintvl"
        | "tcp_socket_buffer"
        | "tcp_user_timeout"
        | "max_db_client_connections"
        | "max_user_client_connections"
        | "dns_zone_check_period" => &["0", ""],
        "tcp_defer_accept" => &["1"],
        "client_tls_ciphers"
        | "server_tls_ciphers"
        | "client_tls_ecdhcurve"
        | "client_tls_dheparams" => &["", "default", "auto", "secure", "fast", "normal"],
        "job_name" | "service_name" | "conffile" | "pkt_buf" | "sbuf_loopcnt"
        | "suspend_timeout" => {
            return true;
        }
        _ => &[""],
    };
    nothing.contains(&value)
}
