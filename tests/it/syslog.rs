//! Lines of the log in the system's own.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::certificates::Folder;
use crate::support::machine::scratch_directory;
use crate::support::pooler::Pooler;
use crate::support::raw::Connection;
use crate::support::startup::Startup;
use crate::support::wait;
use crate::support::{janitor, postgres::Cluster};

/// The other end of `/dev/log`.
struct Daemon(UnixDatagram);

impl Daemon {
    fn at(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self(socket)
    }

    /// Waits for a line of this priority that holds `words`.
    fn hears(&self, priority: u32, words: &str) {
        let head = format!("<{priority}>");
        wait::until(wait::SOON, words, || {
            let mut line = [0; 16 * 1024];
            let Ok(length) = self.0.recv(&mut line) else {
                return false;
            };
            let line = String::from_utf8_lossy(&line[..length]).into_owned();
            line.starts_with(&head) && line.contains(words)
        });
    }
}

/// In the words of PgBouncer.
fn ini(port: u16, socket: &Path, settings: &str) -> String {
    format!(
        "[databases]\n* = host=127.0.0.1 port={port}\n[users]\npostgres = max_user_connections=0\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
         listen_port = 0\nunix_socket_dir =\nauth_type = trust\nadmin_users = postgres\n\
         syslog_socket = {}\n{settings}\n",
        socket.display()
    )
}

#[test]
fn the_systems_log_hears_what_stderr_hears() {
    let database = Cluster::shared().database();
    let folder = Folder::new();
    let socket = folder.put("taken", "") + ".log";
    let daemon = Daemon::at(Path::new(&socket));
    let settings = "syslog = 1\nsyslog_ident = pooler\nsyslog_facility = local1";
    let text = ini(
        database.cluster.address().port(),
        Path::new(&socket),
        settings,
    );
    let mut pooler = Pooler::start("pgbouncer.ini", &text, &database.name);
    // local1 is 17, information 6.
    daemon.hears(17 * 8 + 6, "pooler[");
    daemon.hears(17 * 8 + 6, "]: listening on 127.0.0.1:");
    assert!(pooler.log().contains("listening on "));
    let mut console = Connection::login(pooler.address, &Startup::new("postgres", "pgbouncer"));
    console.rows("SET syslog_facility = 'user'");
    daemon.hears(8 + 6, "]: the console has changed syslog_facility");
    // Switched off, and on again.
    console.rows("SET syslog = 0");
    console.rows("SET log_connections = 1");
    console.rows("SET syslog = 1");
    daemon.hears(8 + 6, "]: the console has changed syslog");
    pooler.signal(15);
    daemon.hears(8 + 6, "]: pgweave ends");
    assert!(pooler.wait().success());
}

#[test]
fn a_daemon_that_is_away_keeps_nobody_waiting() {
    let database = Cluster::shared().database();
    let folder = Folder::new();
    let socket = folder.put("taken", "") + ".log";
    let port = database.cluster.address().port();
    let text = ini(port, Path::new(&socket), "syslog = 1");
    let pooler = Pooler::start("pgbouncer.ini", &text, &database.name);
    assert_eq!(pooler.client().value("SELECT 6 * 7"), "42");
    wait::until(wait::SOON, "a warning", || {
        pooler.log().contains("syslog: nobody reads ")
    });
    let daemon = Daemon::at(Path::new(&socket));
    wait::until(wait::SOON, "the daemon to be found", || {
        drop(pooler.client());
        let mut line = [0; 16 * 1024];
        daemon.0.recv(&mut line).is_ok()
    });
    daemon.hears(3 * 8 + 4, "lines did not get here");
    assert_eq!(pooler.log().matches("syslog: nobody reads ").count(), 1);
}

#[test]
fn with_the_systems_log_quiet_means_that_stderr_is() {
    let folder = scratch_directory("syslog");
    let socket = folder.join("log");
    let daemon = Daemon::at(&socket);
    let config = folder.join("pgbouncer.ini");
    fs::write(&config, ini(1, &socket, "syslog = 1")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_pgweave"));
    command.arg("-q").arg(&config).env_clear();
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let child = command.stderr(Stdio::piped()).spawn().unwrap();
    janitor::started(&child, &folder);
    daemon.hears(3 * 8 + 6, "]: listening on ");
    let id = child.id().to_string();
    let _ = Command::new("kill").arg("-15").arg(id).status();
    daemon.hears(3 * 8 + 6, "]: pgweave ends");
    janitor::ended(&child);
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.is_empty(), "{said}");
    fs::remove_dir_all(&folder).unwrap();
}
