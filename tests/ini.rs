//! PgBouncer's ini files as users have them, in `tests/ini`: each means what the
//! file of the same name in TOML says, whose head is the warning.
//!
//! `UPDATE_INI=1` writes those anew: read them then.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing
)]

use std::fs;
use std::path::{Path, PathBuf};

use pgweave::config::{Config, FromIni, Mistake, Sources, from_ini, from_toml, to_toml};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ini")
}

fn sources<T>(look: impl FnOnce(&Sources<'_>) -> T) -> T {
    look(&Sources {
        env: &|_| None,
        read_file: &|path| fs::read_to_string(path),
        // The files of certificates and users are not here.
        try_tls: &|_| Vec::new(),
        try_logins: &|_| Vec::new(),
    })
}

fn read(text: &str) -> Result<FromIni, Vec<Mistake>> {
    sources(|sources| from_ini("a.ini", text, sources))
}

fn told(text: &str) -> Vec<String> {
    let mistakes = read(text).unwrap_err();
    mistakes.iter().map(ToString::to_string).collect()
}

fn toml(text: &str) -> Config {
    sources(|sources| from_toml("a.toml", text, sources)).unwrap()
}

#[test]
fn each_file_means_what_its_toml_says() {
    let mut count = 0;
    for entry in fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "ini") {
            continue;
        }
        count += 1;
        let text = fs::read_to_string(&path).unwrap();
        let name = path.display().to_string();
        let read = sources(|sources| from_ini(&name, &text, sources));
        let read = read.unwrap_or_else(|mistakes| panic!("{name}: {mistakes:#?}"));
        let warning = read.warning.unwrap_or_else(|| "all is honoured".to_owned());
        let shown = format!("# {warning}\n\n{}", to_toml(&read.config));
        assert_eq!(toml(&shown), read.config, "{name}\n{shown}");
        let golden = path.with_extension("toml");
        if std::env::var_os("UPDATE_INI").is_some() {
            fs::write(&golden, &shown).unwrap();
        }
        let expected = fs::read_to_string(&golden).unwrap();
        assert_eq!(shown, expected, "{name}");
    }
    assert!(count >= 20, "{count} files");
}

#[test]
fn every_mistake_is_told_with_its_place() {
    let text = "\
x = 1
[databases]
app = host=db port=many
two = host
three = hots=db
[users]
u = pool_size=-1
[peers]
1 = port=6432
b = host=b
2 = host=b user=c
[somewhere]
a = b
[pgbouncer]
listen_addr = 127.0.0.1
auth_type = trust
pool_mode = sessoin
max_client_con = 5
nonsense
%include nowhere.ini
";
    let told = told(text);
    let starts = [
        "a.ini:1: a section must come first",
        "a.ini:19: is neither",
        "a.ini:20: nowhere.ini: cannot read it",
        "a.ini:3: [databases] app: port: ",
        "a.ini:4: [databases] two: ",
        "a.ini:5: [databases] three: hots: is no setting",
        "a.ini:7: [users] u: pool_size: ",
        "a.ini:9: peers.1.host: must be given",
        "a.ini:10: [peers] b: is not the peer_id",
        "a.ini:11: [peers] 2: user: is no setting",
        "a.ini:13: there is no section [somewhere]",
        "a.ini:17: pool_mode: ",
        "a.ini:18: max_client_con: is no setting of PgBouncer's, nor of pgweave's (did you mean \"max_client_conn\"?)",
    ];
    for start in starts {
        assert!(
            told.iter().any(|line| line.starts_with(start)),
            "{start}\n{told:#?}"
        );
    }
    assert_eq!(told.len(), starts.len(), "{told:#?}");
}

#[test]
fn settings_of_pgweaves_own_may_stand_in_an_ini_file() {
    let text = "[databases]\na = host=b\n[pgbouncer]\nauth_type = trust\nsession_state = reset\nworkers = 2\n";
    let config = read(text).unwrap().config;
    assert_eq!(config.general.workers, 2);
}

#[test]
fn files_that_include_each_other_come_to_an_end() {
    let include = |_: &Path| Ok("%include a.ini\n%include b.ini\n".to_owned());
    let read = from_ini(
        "x.ini",
        "%include a.ini\n",
        &Sources {
            env: &|_| None,
            read_file: &include,
            try_tls: &|_| Vec::new(),
            try_logins: &|_| Vec::new(),
        },
    );
    assert!(!read.unwrap_err().is_empty());
}

/// Every setting of PgBouncer 1.25's `[pgbouncer]`.
const SETTINGS: &str = "admin_users application_name_add_host auth_dbname auth_file auth_hba_file
auth_ident_file auth_ldap_options auth_query auth_type auth_user autodb_idle_timeout
cancel_wait_timeout client_idle_timeout client_login_timeout client_tls13_ciphers
client_tls_ca_file client_tls_cert_file client_tls_ciphers client_tls_dheparams
client_tls_ecdhcurve client_tls_key_file client_tls_protocols client_tls_sslmode conffile
default_pool_size disable_pqexec dns_max_ttl dns_nxdomain_ttl dns_zone_check_period
idle_transaction_timeout ignore_startup_parameters job_name listen_addr listen_backlog listen_port
log_connections log_disconnections log_pooler_errors log_stats logfile login_notify_message
max_client_conn max_db_client_connections max_db_connections max_packet_size
max_prepared_statements max_user_client_connections max_user_connections min_pool_size peer_id
pidfile pkt_buf pool_idle_timeout pool_mode query_timeout query_wait_notify query_wait_timeout
reserve_pool_size reserve_pool_timeout resolv_conf sbuf_loopcnt scram_iterations server_check_delay
server_check_query server_connect_timeout server_fast_close server_idle_timeout server_lifetime
server_login_retry server_reset_query server_reset_query_always server_round_robin
server_tls13_ciphers server_tls_ca_file server_tls_cert_file server_tls_ciphers server_tls_key_file
server_tls_protocols server_tls_sslmode service_name so_reuseport stats_period stats_users
suspend_timeout syslog syslog_facility syslog_ident tcp_defer_accept tcp_keepalive tcp_keepcnt
tcp_keepidle tcp_keepintvl tcp_socket_buffer tcp_user_timeout track_extra_parameters
transaction_timeout unix_socket_dir unix_socket_group unix_socket_mode user verbose";

#[test]
fn each_setting_of_pgbouncers_is_honoured_or_named_with_the_reason() {
    for setting in SETTINGS.split_whitespace() {
        // A value that none of them means as its default.
        let text =
            format!("[databases]\na = host=b\n[pgbouncer]\nauth_type = trust\n{setting} = 31\n");
        match read(&text) {
            // Honoured, or named.
            Ok(_) => {}
            // Known, and the value is wrong for it, or others are missing.
            Err(mistakes) => {
                let told: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
                assert!(
                    !told.join("\n").contains("is no setting"),
                    "{setting}: {told:#?}"
                );
            }
        }
    }
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "(\\[(pgbouncer|users|databases|peers)\\]\n|[a-z_*\"]{1,12} ?= ?|[\"'\\[\\]{}%;$0-9a-z.= -]{0,12}|\n){0,14}") {
        let _ = read(&text);
    }
}

#[test]
fn extra_parameters_are_tracked_unless_nobody_looks() {
    let text = |more: &str| {
        let text = format!(
            "[databases]\na = host=db\n[pgbouncer]\nauth_type = trust\n\
             track_extra_parameters = search_path\n{more}"
        );
        read(&text).unwrap().warning
    };
    assert_eq!(text(""), None);
    assert_eq!(text("session_state = reset"), None);
    let warning = "these settings are not honoured: track_extra_parameters (with session_state \
                   pgbouncer nobody looks at settings)";
    assert_eq!(text("session_state = pgbouncer").as_deref(), Some(warning));
    let of_a_user = "[users]\nu = session_state=pgbouncer";
    assert_eq!(text(of_a_user).as_deref(), Some(warning));
}
