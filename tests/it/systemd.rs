//! What systemd gives a service and is told by it (`sd_listen_fds(3)`, `sd_notify(3)`),
//! played by the case.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::support::machine::scratch_directory;
use crate::support::postgres::{Cluster, Database};
use crate::support::raw::Connection;
use crate::support::wait;

/// The service, with what systemd hears of it.
struct Service {
    child: Child,
    heard: UnixDatagram,
    directory: PathBuf,
}

impl Service {
    /// Started with one socket as its third descriptor, if any, and further variables.
    fn start(
        database: &Database,
        settings: &str,
        socket: Option<OwnedFd>,
        vars: &[(&str, &str)],
    ) -> Self {
        let directory = scratch_directory("systemd");
        let file = directory.join("pgweave.toml");
        let address = database.cluster.address();
        let text = format!(
            "[pgweave]\nlisten_port = 0\nlisten_addr = '127.0.0.1'\nauth_type = 'trust'\n{settings}\n\
             [databases.'*']\nhost = '{}'\nport = {}\n[users.postgres]\npassword = 'x'\n",
            address.ip(),
            address.port()
        );
        std::fs::write(&file, text).unwrap();
        let path = directory.join("notify");
        let heard = UnixDatagram::bind(&path).unwrap();
        heard.set_read_timeout(Some(wait::SOON)).unwrap();
        let has_socket = socket.is_some();
        let script = match has_socket {
            true => "LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" \"$@\" 3<&0 </dev/null",
            false => "exec \"$0\" \"$@\"",
        };
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", script, env!("CARGO_BIN_EXE_pgweave")])
            .arg(&file)
            .env_clear()
            .env("NOTIFY_SOCKET", &path)
            .envs(vars.iter().copied())
            .stdin(socket.map_or_else(Stdio::null, Stdio::from))
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Self {
            child: command.spawn().unwrap(),
            heard,
            directory,
        }
    }

    /// Reads what it tells until that.
    fn until(&self, wanted: &str) -> String {
        let mut buffer = [0; 4096];
        loop {
            let read = self
                .heard
                .recv(&mut buffer)
                .unwrap_or_else(|error| panic!("waited for {wanted}: {error}"));
            let said = String::from_utf8_lossy(&buffer[..read]).into_owned();
            if said.lines().any(|line| line.starts_with(wanted)) {
                return said;
            }
        }
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args([signal, &pid]).status();
        assert!(sent.unwrap().success());
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

#[test]
fn it_is_told_when_it_is_ready_reloads_and_ends() {
    let database = Cluster::shared().database();
    let mut service = Service::start(&database, "", None, &[]);
    service.until("READY=1");
    service.signal("-HUP");
    let said = service.until("RELOADING=1");
    assert!(said.contains("MONOTONIC_USEC="), "{said}");
    service.until("READY=1");
    service.signal("-TERM");
    service.until("STOPPING=1");
    assert!(service.child.wait().unwrap().success());
}

#[test]
fn it_shows_that_it_lives_as_often_as_is_wanted() {
    let database = Cluster::shared().database();
    let service = Service::start(&database, "", None, &[("WATCHDOG_USEC", "200000")]);
    (0..5).for_each(|_| drop(service.until("WATCHDOG=1")));
}

#[test]
fn it_serves_at_the_socket_that_it_is_given_and_nowhere_else() {
    let database = Cluster::shared().database();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    // Whoever comes before it runs waits in the socket.
    let early = Connection::open(address);
    let service = Service::start(&database, "", Some(socket.into()), &[]);
    service.until("READY=1");
    drop(early);
    let mut client = Connection::superuser(address, &database.name);
    assert_eq!(client.value("SELECT 1"), "1");
    let ports = listening(service.child.id());
    assert_eq!(ports, [address.port()]);
}

/// The TCP ports on which a process listens, as far as the system tells.
fn listening(pid: u32) -> Vec<u16> {
    let sockets: Vec<String> = std::fs::read_dir(format!("/proc/{pid}/fd"))
        .map(|files| {
            let links = files.filter_map(|file| std::fs::read_link(file.ok()?.path()).ok());
            links.map(|link| link.display().to_string()).collect()
        })
        .unwrap_or_default();
    let table = std::fs::read_to_string(format!("/proc/{pid}/net/tcp")).unwrap_or_default();
    let lines = table.lines().skip(1);
    let ports = lines.filter_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let is_its_own = sockets.contains(&format!("socket:[{}]", fields.get(9)?));
        let (_, port) = fields.get(1)?.split_once(':')?;
        (fields.get(3) == Some(&"0A") && is_its_own).then(|| u16::from_str_radix(port, 16).ok())?
    });
    ports.collect()
}

#[test]
fn a_unix_socket_of_its_stays_when_the_service_ends() {
    let database = Cluster::shared().database();
    let directory = scratch_directory("socket-unit");
    let path = directory.join(".s.PGSQL.6432");
    let socket = UnixListener::bind(&path).unwrap();
    let kept = socket.try_clone().unwrap();
    let mut service = Service::start(&database, "", Some(socket.into()), &[]);
    service.until("READY=1");
    let psql = Command::new("psql")
        .env("PGHOST", &directory)
        .args(["-p", "6432", "-U", "postgres", "-Atc", "SELECT 1"])
        .arg(&database.name)
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&psql.stdout).trim(), "1");
    service.signal("-TERM");
    assert!(service.child.wait().unwrap().success());
    assert!(path.exists(), "it is systemd's to remove");
    drop(kept);
    let _ = std::fs::remove_dir_all(directory);
}

#[test]
fn a_restart_by_the_console_goes_on_as_another_main_process() {
    let database = Cluster::shared().database();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address: SocketAddr = socket.local_addr().unwrap();
    let settings = "takeover_socket = '{}'\nadmin_users = ['postgres']";
    let place = scratch_directory("takeover");
    let settings = settings.replace("{}", &place.join("t").display().to_string());
    let mut service = Service::start(&database, &settings, Some(socket.into()), &[]);
    service.until("READY=1");
    let mut client = Connection::superuser(address, &database.name);
    client.rows("SET my.own TO 'kept'");
    let mut console = Connection::superuser(address, "pgbouncer");
    console.query("RESTART");
    let said = service.until("MAINPID=");
    let pid: i32 = said.lines().next().unwrap()["MAINPID=".len()..]
        .parse()
        .unwrap();
    assert!(service.child.wait().unwrap().success());
    assert_eq!(client.value("SHOW my.own"), "kept");
    assert_eq!(
        Connection::superuser(address, &database.name).value("SELECT 1"),
        "1"
    );
    let end = Command::new("kill").arg(pid.to_string()).status();
    assert!(end.unwrap().success());
    wait::until(Duration::from_secs(10), "the new process to end", || {
        !std::path::Path::new(&format!("/proc/{pid}/exe")).exists()
    });
    let _ = std::fs::remove_dir_all(place);
}
