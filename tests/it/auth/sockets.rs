//! Clients that come by a Unix socket.

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::PathBuf;
use std::process::{Command, Output};

use crate::support::machine::{program_directory, scratch_directory};
use crate::support::pooler::{Plan, Pooler};
use crate::support::postgres::Cluster;

struct Socketed {
    pooler: Pooler,
    directory: PathBuf,
}

impl Drop for Socketed {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn start(plan: Plan) -> Socketed {
    let directory = scratch_directory("sockets");
    let text = format!("{:?}", directory.display().to_string());
    let pooler = plan.setting("unix_socket_dir", &text).start();
    Socketed { pooler, directory }
}

impl Socketed {
    fn socket(&self) -> PathBuf {
        let port = self.pooler.address.port();
        self.directory.join(format!(".s.PGSQL.{port}"))
    }

    fn psql(&self, user: &str, sql: &str) -> Output {
        let line = format!(
            "host={} port={} user={user} dbname={}",
            self.directory.display(),
            self.pooler.address.port(),
            self.pooler.database
        );
        Command::new(program_directory().join("psql"))
            .args(["-X", "-A", "-t", "-c", sql, &line])
            .env_clear()
            .output()
            .unwrap()
    }

    fn value(&self, user: &str, sql: &str) -> String {
        let output = self.psql(user, sql);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

/// Who runs the tests.
fn myself() -> String {
    let output = Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn a_client_comes_in_by_the_socket_which_goes_with_the_pooler() {
    let database = Cluster::shared().database();
    let plan = Plan::before(&database).setting("unix_socket_mode", "\"0700\"");
    let mut socketed = start(plan);
    assert_eq!(socketed.value("postgres", "SELECT 6 * 7"), "42");
    let about = fs::metadata(socketed.socket()).unwrap();
    assert!(about.file_type().is_socket());
    assert_eq!(about.permissions().mode() & 0o777, 0o700);
    socketed.pooler.signal(15);
    assert!(socketed.pooler.wait().success());
    assert!(!socketed.socket().exists());
}

#[test]
fn a_socket_that_nobody_listens_on_is_replaced_and_one_in_use_is_not() {
    let database = Cluster::shared().database();
    let port = crate::support::machine::free_port();
    let plan = || Plan::before(&database).setting("listen_port", &port.to_string());
    let mut first = start(plan());
    first.pooler.kill();
    let _ = first.pooler.wait();
    assert!(first.socket().exists(), "left behind");
    let text = format!("{:?}", first.directory.display().to_string());
    let _second = plan().setting("unix_socket_dir", &text).start();
    assert_eq!(first.value("postgres", "SELECT 6 * 7"), "42");
    let mut third = plan()
        .setting("listen_port", "0")
        .setting("unix_socket_dir", &text)
        .start();
    // Of another port.
    assert!(third.is_alive());
    assert_eq!(first.value("postgres", "SELECT 6 * 7"), "42");
}

#[test]
fn with_peer_the_systems_user_is_the_user() {
    let database = Cluster::shared().database();
    let myself = myself();
    let mut admin = Cluster::shared().admin();
    let known = format!("SELECT count(*) FROM pg_roles WHERE rolname = '{myself}'");
    if admin.value(&known) == "0" {
        admin.rows(&format!("CREATE ROLE \"{myself}\" LOGIN"));
    }
    let socketed = start(Plan::before(&database).setting("auth_type", "\"peer\""));
    assert_eq!(socketed.value(&myself, "SELECT session_user"), myself);
    let refused = socketed.psql("guest", "SELECT 1");
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(told.contains("peer authentication failed"), "{told}");
    // Whoever comes by TCP has no such user.
    let client = super::outcome(&socketed.pooler, &myself, "");
    assert_eq!(client, "28000");
}

#[test]
fn who_runs_the_pooler_needs_no_proof_at_its_console() {
    let database = Cluster::shared().database();
    let mut socketed = start(Plan::before(&database).setting("auth_type", "\"scram-sha-256\""));
    socketed.pooler.database = "pgbouncer".to_owned();
    assert!(
        socketed
            .value("pgbouncer", "SHOW VERSION")
            .contains("pgweave")
    );
    assert!(!socketed.value("pgbouncer", "SHOW CONFIG").is_empty());
    // Under another name, or by TCP, it is nobody.
    assert!(!socketed.psql("postgres", "SHOW VERSION").status.success());
    assert_ne!(super::outcome(&socketed.pooler, "pgbouncer", ""), "ok");
}

#[test]
fn tls_is_not_asked_of_clients_on_the_socket() {
    let database = Cluster::shared().database();
    let folder = crate::support::certificates::Folder::new();
    let issued = crate::support::certificates::Authority::new().issue(&["localhost"]);
    let cert = format!("{:?}", folder.put("s.crt", &issued.cert));
    let key = format!("{:?}", folder.put("s.key", &issued.key));
    let socketed = start(
        Plan::before(&database)
            .setting("client_tls_sslmode", "\"require\"")
            .setting("client_tls_cert_file", &cert)
            .setting("client_tls_key_file", &key),
    );
    assert_eq!(socketed.value("postgres", "SELECT 6 * 7"), "42");
    assert_eq!(super::outcome(&socketed.pooler, "postgres", ""), "28000");
}
