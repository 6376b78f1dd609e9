//! What each `SHOW` has for columns, by every way of asking.

use std::process::Command;

use super::{Shown, console, names, plan, until_shown};
use crate::support::frames;
use crate::support::machine::program_directory;
use crate::support::postgres::Cluster;

/// What is shown, PgBouncer's columns in its order, ours.
const COLUMNS: [(&str, &str, &str); 24] = [
    ("VERSION", "version", ""),
    (
        "STATS",
        "database total_server_assignment_count total_xact_count total_query_count total_received \
         total_sent total_xact_time total_query_time total_wait_time total_client_parse_count \
         total_server_parse_count total_bind_count total_client_login_count \
         avg_server_assignment_count avg_xact_count avg_query_count avg_recv avg_sent avg_xact_time \
         avg_query_time avg_wait_time avg_client_parse_count avg_server_parse_count avg_bind_count \
         avg_client_login_count",
        "",
    ),
    (
        "STATS_TOTALS",
        "database server_assignment_count xact_count query_count bytes_received bytes_sent xact_time \
         query_time wait_time client_parse_count server_parse_count bind_count client_login_count",
        "",
    ),
    (
        "STATS_AVERAGES",
        "database server_assignment_count xact_count query_count bytes_received bytes_sent xact_time \
         query_time wait_time avg_client_parse_count avg_server_parse_count avg_bind_count \
         avg_client_login_count",
        "",
    ),
    ("TOTALS", "name value", ""),
    (
        "POOLS",
        "database user cl_active cl_waiting cl_active_cancel_req cl_waiting_cancel_req sv_active \
         sv_active_cancel sv_being_canceled sv_idle sv_used sv_tested sv_login maxwait maxwait_us \
         pool_mode load_balance_hosts",
        "",
    ),
    (
        "PEER_POOLS",
        "peer_id cl_active_cancel_req cl_waiting_cancel_req sv_active_cancel sv_login",
        "",
    ),
    ("CLIENTS", CONNECTION, ""),
    ("SERVERS", CONNECTION, ""),
    ("SOCKETS", SOCKET, ""),
    ("ACTIVE_SOCKETS", SOCKET, ""),
    (
        "DATABASES",
        "name host port database force_user pool_size min_pool_size reserve_pool_size \
         server_lifetime pool_mode load_balance_hosts max_connections current_connections \
         max_client_connections current_client_connections paused disabled",
        "",
    ),
    (
        "USERS",
        "name pool_size reserve_pool_size pool_mode max_user_connections current_connections \
         max_user_client_connections current_client_connections",
        "",
    ),
    ("LISTS", "list items", ""),
    ("PEERS", "peer_id host port pool_size", ""),
    ("CONFIG", "key value default changeable", ""),
    ("STATE", "key value", ""),
    ("MEM", "name size used free memtotal", ""),
    ("DNS_HOSTS", "hostname ttl addrs", ""),
    ("DNS_ZONES", "zonename serial count", ""),
    (
        "FDS",
        "fd task user database addr port cancel link client_encoding std_strings datestyle timezone \
         password scram_client_key scram_server_key",
        "",
    ),
    (
        "PINS",
        "",
        "id user database addr port application_name remote_pid since why",
    ),
    ("STATEMENTS", "", "database user statements bytes"),
    ("ERRORS", "", "database user sqlstate count"),
];

const CONNECTION: &str = "type user database replication state addr port local_addr local_port \
    connect_time request_time wait wait_us close_needed ptr link remote_pid tls application_name \
    prepared_statements id";

const SOCKET: &str = "type user database replication state addr port local_addr local_port \
    connect_time request_time wait wait_us close_needed ptr link remote_pid tls application_name \
    prepared_statements id recv_pos pkt_pos pkt_remain send_pos send_remain pkt_avail send_avail";

fn expected(theirs: &str, ours: &str) -> Vec<String> {
    let all = theirs.split_whitespace().chain(ours.split_whitespace());
    all.map(str::to_owned).collect()
}

#[test]
fn columns_are_the_same_in_both_protocols() {
    let database = Cluster::shared().database();
    let pooler = plan(&database).start();
    let mut client = pooler.client();
    client.rows("SELECT 1");
    let mut console = console(&pooler);
    for (what, theirs, ours) in COLUMNS {
        let expected = expected(theirs, ours);
        let simple = console.query(&format!("SHOW {what};"));
        assert_eq!(names(&simple[0]), expected, "{what}");
        for row in simple.iter().filter(|frame| frame.tag == b'D') {
            assert_eq!(row.columns().len(), expected.len(), "{what}");
        }
        console.send(&frames::extended(&format!("show {what}")));
        let extended = console.until_ready(1, what);
        let described = extended.iter().find(|frame| frame.tag == b'T').unwrap();
        assert_eq!(names(described), expected, "{what}");
        let rows = |answer: &[frames::Frame]| answer.iter().filter(|f| f.tag == b'D').count();
        assert_eq!(rows(&extended), rows(&simple), "{what}");
        assert!(extended.iter().all(|frame| frame.tag != b'E'), "{what}");
    }
}

#[test]
fn psql_reads_every_table() {
    let database = Cluster::shared().database();
    let pooler = plan(&database).start();
    let mut client = pooler.client();
    client.rows("SELECT 1");
    let psql = program_directory().join("psql");
    for (what, theirs, ours) in COLUMNS {
        let output = Command::new(&psql)
            .args(["-X", "-A", "-F", " ", "-d", "pgbouncer", "-U", "postgres"])
            .args(["-h", "127.0.0.1", "-p", &pooler.address.port().to_string()])
            .args(["-c", &format!("SHOW {what}")])
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{what}: {told}");
        let text = String::from_utf8(output.stdout).unwrap();
        let header = expected(theirs, ours).join(" ");
        assert_eq!(text.lines().next(), Some(header.as_str()), "{what}");
    }
}

#[test]
fn help_is_a_notice() {
    let database = Cluster::shared().database();
    let pooler = plan(&database).start();
    let answer = console(&pooler).query("show help");
    let notice = answer.iter().find(|frame| frame.tag == b'N').unwrap();
    let detail = notice.field(b'D').unwrap();
    for word in ["SHOW", "PINS", "PAUSE", "RESUME", "RELOAD", "SHUTDOWN"] {
        assert!(detail.contains(word), "{word}");
    }
}

#[test]
fn a_client_and_its_server_connection_are_linked() {
    let database = Cluster::shared().database();
    let pooler = plan(&database).start();
    let mut console = console(&pooler);
    let mut client = pooler.client();
    client.rows("BEGIN");
    let pid = client.value("SELECT pg_backend_pid()");
    let clients = Shown::of(&mut console, "CLIENTS");
    let of = |column| clients.value("database", &pooler.database, column).unwrap();
    assert_eq!(
        (of("state"), of("remote_pid")),
        ("active".to_owned(), pid.clone())
    );
    assert_eq!(of("user"), "postgres");
    let servers = Shown::of(&mut console, "SERVERS");
    let server = |column| servers.value("remote_pid", &pid, column).unwrap();
    assert_eq!(server("state"), "active");
    assert_eq!((server("link"), server("ptr")), (of("ptr"), of("link")));
    let pools = Shown::of(&mut console, "POOLS");
    let pool = |column| pools.number("database", &pooler.database, column);
    assert_eq!(
        (pool("cl_active"), pool("sv_active"), pool("sv_idle")),
        (1, 1, 0)
    );
    client.rows("COMMIT");
    until_shown(&mut console, "POOLS", |pools| {
        let pool = |column| pools.number("database", &pooler.database, column);
        (pool("cl_active"), pool("sv_active"), pool("sv_idle")) == (1, 0, 1)
    });
    let clients = Shown::of(&mut console, "CLIENTS");
    let state = clients.value("database", &pooler.database, "state");
    assert_eq!(state.as_deref(), Some("idle"));
    let servers = Shown::of(&mut console, "SERVERS");
    assert_eq!(
        servers.value("remote_pid", &pid, "state").as_deref(),
        Some("idle")
    );
}

#[test]
fn when_a_client_last_asked_for_something_is_shown() {
    let database = Cluster::shared().database();
    for mode in ["transaction", "session"] {
        let pooler = plan(&database).pool_mode(mode).start();
        let mut console = console(&pooler);
        let mut client = pooler.client();
        let mut moments = |what: &str| {
            let shown = Shown::of(&mut console, what);
            let of = |column| shown.value("database", &pooler.database, column).unwrap();
            (of("connect_time"), of("request_time"))
        };
        let (connected, asked) = moments("CLIENTS");
        assert_eq!((asked.len(), &asked[19..]), (23, " UTC"), "{asked}");
        assert_eq!(asked, connected, "nothing was asked for yet");
        crate::support::wait::until(crate::support::wait::SOON, "a later request", || {
            client.rows("SELECT 1");
            let (client, server) = (moments("CLIENTS"), moments("SERVERS"));
            client.1 > connected && server.1 > server.0
        });
        assert_eq!(moments("CLIENTS").0, connected);
    }
}

#[test]
fn who_is_pinned_is_shown_with_the_reason() {
    let database = Cluster::shared().database();
    let pooler = plan(&database).start();
    let mut console = console(&pooler);
    let mut client = pooler.client();
    client.rows("SELECT 1");
    assert_eq!(Shown::of(&mut console, "PINS").len(), 0);
    client.rows("CREATE TEMPORARY TABLE t (a int)");
    until_shown(&mut console, "PINS", |pins| {
        let why = pins.value("database", &pooler.database, "why");
        why.as_deref() == Some("temporary objects")
    });
    client.rows("DROP TABLE t");
    until_shown(&mut console, "PINS", |pins| pins.len() == 0);
}

#[test]
fn a_forced_user_and_the_clients_own_are_told_apart() {
    let database = Cluster::shared().database();
    let pooler = plan(&database)
        .user("guest", "unused")
        .database_lines("user = \"postgres\"")
        .start();
    let startup = crate::support::startup::Startup::new("guest", &pooler.database)
        .with("application_name", "reports");
    let mut guest = crate::support::raw::Connection::login(pooler.address, &startup);
    assert_eq!(guest.value("SELECT current_user"), "postgres");
    let clients = Shown::of(&mut console(&pooler), "CLIENTS");
    let of = |column| clients.value("database", &pooler.database, column).unwrap();
    assert_eq!(of("user"), "guest");
    assert_eq!(of("application_name"), "reports");
}
