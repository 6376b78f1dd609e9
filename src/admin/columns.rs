//! The columns of each `SHOW`: PgBouncer's in its order, ours behind.

use super::command::Show;
use super::table::Column;
use super::table::Kind::{Int4, Int8, Numeric, Text};

/// The columns of what is shown; none where a notice tells it all.
pub(super) fn columns(show: Show) -> &'static [Column] {
    match show {
        Show::Help => &[],
        Show::Version => &[("version", Text)],
        Show::Stats => &STATS,
        Show::StatsTotals => &TOTALS,
        Show::StatsAverages => &AVERAGES,
        Show::Totals => &[("name", Text), ("value", Numeric)],
        Show::Pools => &POOLS,
        Show::PeerPools => &PEER_POOLS,
        Show::Clients | Show::Servers => SOCKETS.split_at(CLIENT_COLUMNS).0,
        Show::Sockets | Show::ActiveSockets => &SOCKETS,
        Show::Databases => &DATABASES,
        Show::Users => &USERS,
        Show::Lists => &[("list", Text), ("items", Int4)],
        Show::Peers => &[
            ("peer_id", Int4),
            ("host", Text),
            ("port", Int4),
            ("pool_size", Int4),
        ],
        Show::Config => &[
            ("key", Text),
            ("value", Text),
            ("default", Text),
            ("changeable", Text),
        ],
        Show::State => &[("key", Text), ("value", Text)],
        Show::Mem => &[
            ("name", Text),
            ("size", Int4),
            ("used", Int4),
            ("free", Int4),
            ("memtotal", Int8),
        ],
        Show::DnsHosts => &[("hostname", Text), ("ttl", Int8), ("addrs", Text)],
        Show::DnsZones => &[("zonename", Text), ("serial", Int8), ("count", Int4)],
        Show::Fds => &FDS,
        Show::Pins => &PINS,
        Show::Statements => &[
            ("database", Text),
            ("user", Text),
            ("statements", Int8),
            ("bytes", Int8),
        ],
        Show::Errors => &[
            ("database", Text),
            ("user", Text),
            ("sqlstate", Text),
            ("count", Int8),
        ],
    }
}

const STATS: [Column; 25] = [
    ("database", Text),
    ("total_server_assignment_count", Numeric),
    ("total_xact_count", Numeric),
    ("total_query_count", Numeric),
    ("total_received", Numeric),
    ("total_sent", Numeric),
    ("total_xact_time", Numeric),
    ("total_query_time", Numeric),
    ("total_wait_time", Numeric),
    ("total_client_parse_count", Numeric),
    ("total_server_parse_count", Numeric),
    ("total_bind_count", Numeric),
    ("total_client_login_count", Numeric),
    ("avg_server_assignment_count", Numeric),
    ("avg_xact_count", Numeric),
    ("avg_query_count", Numeric),
    ("avg_recv", Numeric),
    ("avg_sent", Numeric),
    ("avg_xact_time", Numeric),
    ("avg_query_time", Numeric),
    ("avg_wait_time", Numeric),
    ("avg_client_parse_count", Numeric),
    ("avg_server_parse_count", Numeric),
    ("avg_bind_count", Numeric),
    ("avg_client_login_count", Numeric),
];

const TOTALS: [Column; 13] = [
    ("database", Text),
    ("server_assignment_count", Numeric),
    ("xact_count", Numeric),
    ("query_count", Numeric),
    ("bytes_received", Numeric),
    ("bytes_sent", Numeric),
    ("xact_time", Numeric),
    ("query_time", Numeric),
    ("wait_time", Numeric),
    ("client_parse_count", Numeric),
    ("server_parse_count", Numeric),
    ("bind_count", Numeric),
    ("client_login_count", Numeric),
];

const AVERAGES: [Column; 13] = [
    ("database", Text),
    ("server_assignment_count", Numeric),
    ("xact_count", Numeric),
    ("query_count", Numeric),
    ("bytes_received", Numeric),
    ("bytes_sent", Numeric),
    ("xact_time", Numeric),
    ("query_time", Numeric),
    ("wait_time", Numeric),
    ("avg_client_parse_count", Numeric),
    ("avg_server_parse_count", Numeric),
    ("avg_bind_count", Numeric),
    ("avg_client_login_count", Numeric),
];

const POOLS: [Column; 17] = [
    ("database", Text),
    ("user", Text),
    ("cl_active", Int4),
    ("cl_waiting", Int4),
    ("cl_active_cancel_req", Int4),
    ("cl_waiting_cancel_req", Int4),
    ("sv_active", Int4),
    ("sv_active_cancel", Int4),
    ("sv_being_canceled", Int4),
    ("sv_idle", Int4),
    ("sv_used", Int4),
    ("sv_tested", Int4),
    ("sv_login", Int4),
    ("maxwait", Int4),
    ("maxwait_us", Int4),
    ("pool_mode", Text),
    ("load_balance_hosts", Text),
];

const PEER_POOLS: [Column; 5] = [
    ("peer_id", Int4),
    ("cl_active_cancel_req", Int4),
    ("cl_waiting_cancel_req", Int4),
    ("sv_active_cancel", Int4),
    ("sv_login", Int4),
];

/// How many of the following are those of clients and servers.
const CLIENT_COLUMNS: usize = 21;

static SOCKETS: [Column; 28] = [
    ("type", Text),
    ("user", Text),
    ("database", Text),
    ("replication", Text),
    ("state", Text),
    ("addr", Text),
    ("port", Int4),
    ("local_addr", Text),
    ("local_port", Int4),
    ("connect_time", Text),
    ("request_time", Text),
    ("wait", Int4),
    ("wait_us", Int4),
    ("close_needed", Int4),
    ("ptr", Text),
    ("link", Text),
    ("remote_pid", Int4),
    ("tls", Text),
    ("application_name", Text),
    ("prepared_statements", Int4),
    ("id", Int8),
    ("recv_pos", Int4),
    ("pkt_pos", Int4),
    ("pkt_remain", Int4),
    ("send_pos", Int4),
    ("send_remain", Int4),
    ("pkt_avail", Int4),
    ("send_avail", Int4),
];

const DATABASES: [Column; 17] = [
    ("name", Text),
    ("host", Text),
    ("port", Int4),
    ("database", Text),
    ("force_user", Text),
    ("pool_size", Int4),
    ("min_pool_size", Int4),
    ("reserve_pool_size", Int4),
    ("server_lifetime", Int4),
    ("pool_mode", Text),
    ("load_balance_hosts", Text),
    ("max_connections", Int4),
    ("current_connections", Int4),
    ("max_client_connections", Int4),
    ("current_client_connections", Int4),
    ("paused", Int4),
    ("disabled", Int4),
];

const USERS: [Column; 8] = [
    ("name", Text),
    ("pool_size", Text),
    ("reserve_pool_size", Text),
    ("pool_mode", Text),
    ("max_user_connections", Int4),
    ("current_connections", Int4),
    ("max_user_client_connections", Int4),
    ("current_client_connections", Int4),
];

const FDS: [Column; 15] = [
    ("fd", Int4),
    ("task", Text),
    ("user", Text),
    ("database", Text),
    ("addr", Text),
    ("port", Int4),
    ("cancel", Int8),
    ("link", Int4),
    ("client_encoding", Text),
    ("std_strings", Text),
    ("datestyle", Text),
    ("timezone", Text),
    ("password", Text),
    ("scram_client_key", Text),
    ("scram_server_key", Text),
];

const PINS: [Column; 9] = [
    ("id", Int8),
    ("user", Text),
    ("database", Text),
    ("addr", Text),
    ("port", Int4),
    ("application_name", Text),
    ("remote_pid", Int4),
    ("since", Int8),
    ("why", Text),
];
