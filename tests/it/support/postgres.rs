//! Throwaway PostgreSQL clusters: own directory, free port, an unprivileged
//! user, no durability. A missing PostgreSQL fails the test; nothing is skipped.

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::certificates::Authority;
use super::machine::{free_port, program_directory, scratch_directory, unprivileged_owner};
use super::raw::Connection;
use super::startup::Startup;
use super::wait;

/// Waits for a line on its standard input, which ends with the test process
/// however that ends, then stops PostgreSQL. `keep` leaves the data in place.
const SUPERVISOR: &str = r#"
"$1/postgres" -D "$2/data" -p "$3" >>"$2/log" 2>&1 </dev/null &
server=$!
read -r how what
case "$how" in immediate) kill -QUIT $server ;; fast) kill -INT $server ;; *) kill -QUIT $server ;; esac
wait $server
[ "$what" = keep ] || rm -rf "$2"
"#;

const SETTINGS: &str = "
listen_addresses = '127.0.0.1'
max_connections = 300
max_prepared_transactions = 10
shared_buffers = 32MB
fsync = off
synchronous_commit = off
full_page_writes = off
autovacuum = off
timezone = 'UTC'
log_line_prefix = '%m [%p] %u@%d '
";

/// Roles that must prove a password; everybody else on loopback is trusted.
const ACCESS: &str = "
local all all trust
host replication all 127.0.0.1/32 trust
host all login_md5 127.0.0.1/32 md5
host all login_scram 127.0.0.1/32 scram-sha-256
host all login_plain 127.0.0.1/32 password
host all all 127.0.0.1/32 trust
";

/// Roles that may come in but one way.
const TLS_ACCESS: &str = "
hostnossl all only_tls all reject
hostssl all only_clear all reject
hostnossl all with_cert all reject
hostssl all with_cert all trust clientcert=verify-ca
";

const ROLES: &str = "
SET password_encryption = 'md5';
CREATE ROLE login_md5 LOGIN PASSWORD 'md5 secret';
SET password_encryption = 'scram-sha-256';
CREATE ROLE login_scram LOGIN PASSWORD 'scram secret';
CREATE ROLE login_plain LOGIN PASSWORD 'plain secret';
CREATE ROLE guest LOGIN;
CREATE ROLE certified LOGIN;
CREATE ROLE twofold LOGIN;
CREATE ROLE hashed LOGIN;
";

/// One cluster and the shell that watches over it.
pub struct Cluster {
    programs: PathBuf,
    directory: PathBuf,
    port: u16,
    owner: Option<(u32, u32)>,
    supervisor: Option<Child>,
}

impl Cluster {
    /// The cluster that the cases share. It ends with the test process.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(Self::with_temporary_schemas)
    }

    /// Another one, for the few cases in which nobody else may make tables or
    /// databases. A server process that is busy for a second does not hear of
    /// such changes; when it has missed some thousand of them, PostgreSQL has all
    /// its statements analysed anew, with the settings of that moment.
    pub fn quiet() -> &'static Self {
        static QUIET: OnceLock<Cluster> = OnceLock::new();
        QUIET.get_or_init(Self::with_temporary_schemas)
    }

    fn with_temporary_schemas() -> Self {
        let cluster = Self::private();
        cluster.make_temporary_schemas();
        cluster
    }

    /// Gives databases the schemas of temporary tables beforehand. PostgreSQL
    /// makes one when it first needs it, and then has everybody's statements
    /// analysed anew, with the settings of that moment: a text's meaning would
    /// depend on what others do.
    fn make_temporary_schemas(&self) {
        let mut admin = Connection::superuser(self.address(), "template1");
        admin.rows("SET allow_system_table_mods = on");
        admin.rows(
            "DO $$ BEGIN FOR n IN 1..330 LOOP \
             EXECUTE format('CREATE SCHEMA IF NOT EXISTS pg_temp_%s', n); \
             EXECUTE format('CREATE SCHEMA IF NOT EXISTS pg_toast_temp_%s', n); \
             END LOOP; END $$",
        );
        admin.terminate();
        wait::until(wait::SOON, "template1 to be nobody's", || {
            let others = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'template1'";
            self.admin().value(others) == "0"
        });
    }

    /// One with TLS, for all cases that need it; its certificate is for
    /// `localhost`. See `TLS_ACCESS` for its roles.
    pub fn with_tls() -> &'static Self {
        static WITH_TLS: OnceLock<Cluster> = OnceLock::new();
        WITH_TLS.get_or_init(|| {
            let mut cluster = Self::stopped();
            cluster.add_tls();
            cluster.start();
            cluster.make_roles();
            let mut admin = cluster.admin();
            admin.rows("CREATE ROLE only_tls LOGIN");
            admin.rows("CREATE ROLE only_clear LOGIN");
            admin.rows("CREATE ROLE with_cert LOGIN");
            cluster
        })
    }

    fn add_tls(&self) {
        let issued = Authority::of_the_cluster().issue(&["localhost"]);
        let data = self.directory.join("data");
        fs::write(data.join("server.crt"), &issued.cert).unwrap();
        fs::write(data.join("server.key"), &issued.key).unwrap();
        fs::write(data.join("root.crt"), &Authority::of_the_cluster().pem).unwrap();
        let key = data.join("server.key");
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        if let Some((user, group)) = self.owner {
            std::os::unix::fs::chown(&key, Some(user), Some(group)).unwrap();
        }
        self.append("postgresql.conf", "ssl = on\nssl_ca_file = 'root.crt'\n");
        let access = data.join("pg_hba.conf");
        let others = fs::read_to_string(&access).unwrap();
        fs::write(&access, TLS_ACCESS.to_owned() + &others).unwrap();
    }

    /// A cluster for one case that stops or kills it.
    pub fn private() -> Self {
        let mut cluster = Self::stopped();
        cluster.start();
        cluster.make_roles();
        cluster
    }

    fn make_roles(&self) {
        let mut admin = self.admin();
        for statement in ROLES.split(';').map(str::trim).filter(|s| !s.is_empty()) {
            admin.query(statement);
        }
    }

    /// A cluster whose server has not been started yet.
    pub fn stopped() -> Self {
        let programs = program_directory();
        let owner = unprivileged_owner();
        let directory = scratch_directory("postgres");
        if let Some((user, group)) = owner {
            std::os::unix::fs::chown(&directory, Some(user), Some(group)).unwrap();
        }
        let cluster = Self {
            programs,
            directory,
            port: free_port(),
            owner,
            supervisor: None,
        };
        cluster.initialize();
        cluster
    }

    fn initialize(&self) {
        let mut initdb = Command::new(self.programs.join("initdb"));
        initdb.args([
            "-U",
            "postgres",
            "-A",
            "trust",
            "--no-sync",
            "-E",
            "UTF8",
            "--locale=C",
            "-D",
        ]);
        let output = self
            .unprivileged(&mut initdb)
            .arg(self.directory.join("data"))
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "initdb failed: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let sockets = format!("unix_socket_directories = '{}'\n", self.directory.display());
        self.append("postgresql.conf", &(SETTINGS.to_owned() + &sockets));
        fs::write(self.directory.join("data/pg_hba.conf"), ACCESS).unwrap();
    }

    fn append(&self, file: &str, text: &str) {
        let path = self.directory.join("data").join(file);
        fs::OpenOptions::new()
            .append(true)
            .open(path)
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
    }

    fn unprivileged<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        if let Some((user, group)) = self.owner {
            command.uid(user).gid(group);
        }
        command.current_dir(&self.directory)
    }

    /// Starts the server and waits until it answers.
    pub fn start(&mut self) {
        let mut shell = Command::new("sh");
        shell
            .args(["-c", SUPERVISOR, "sh"])
            .arg(&self.programs)
            .arg(&self.directory)
            .arg(self.port.to_string());
        shell
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .process_group(0);
        self.supervisor = Some(self.unprivileged(&mut shell).spawn().unwrap());
        let socket = self.directory.join(format!(".s.PGSQL.{}", self.port));
        wait::until(Duration::from_secs(30), "the start of PostgreSQL", || {
            let log = fs::read_to_string(self.directory.join("log")).unwrap_or_default();
            assert!(
                !log.contains("could not bind"),
                "PostgreSQL did not start: {log}"
            );
            socket.exists() && self.answers()
        });
    }

    fn answers(&self) -> bool {
        std::net::TcpStream::connect(self.address()).is_ok()
            && Connection::try_login(self.address(), &Startup::new("postgres", "postgres")).is_ok()
    }

    /// Ends the server as `pg_ctl stop -m fast` does.
    pub fn stop(&mut self) {
        self.end("fast keep\n");
    }

    /// Ends the server at once, without a shutdown checkpoint.
    pub fn stop_immediately(&mut self) {
        self.end("immediate keep\n");
    }

    /// `stop` and `start`.
    pub fn restart(&mut self) {
        self.stop();
        self.start();
    }

    fn end(&mut self, command: &str) {
        if let Some(mut supervisor) = self.supervisor.take() {
            let _ = supervisor
                .stdin
                .take()
                .unwrap()
                .write_all(command.as_bytes());
            let _ = supervisor.wait();
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    /// Where its Unix socket is.
    pub fn socket_directory(&self) -> String {
        self.directory.display().to_string()
    }

    /// A direct connection of the superuser to the database `postgres`.
    pub fn admin(&self) -> Connection {
        Connection::superuser(self.address(), "postgres")
    }

    /// A new database, gone again when the value is dropped.
    pub fn database(&self) -> Database<'_> {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let name = format!("case_{}_x", NUMBER.fetch_add(1, Ordering::Relaxed));
        self.admin().rows(&format!("CREATE DATABASE {name}"));
        Database {
            cluster: self,
            name,
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.supervisor.is_some() {
            self.end("immediate\n");
        }
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// A database of one case's own.
pub struct Database<'a> {
    /// Where it is.
    pub cluster: &'a Cluster,
    /// Its name.
    pub name: String,
}

impl Database<'_> {
    /// A direct connection of the superuser.
    pub fn direct(&self) -> Connection {
        Connection::superuser(self.cluster.address(), &self.name)
    }

    /// How many server processes of clients match `condition` on
    /// pg_stat_activity, leaving out the one that asks.
    pub fn backends(&self, condition: &str) -> usize {
        let sql = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = '{}' AND pid <> pg_backend_pid() AND {condition}",
            self.name
        );
        self.cluster.admin().value(&sql).parse().unwrap()
    }

    /// Waits until no backend is in a transaction or runs anything.
    pub fn wait_until_quiet(&self) {
        wait::until(wait::SOON, "all server connections to be idle", || {
            self.backends("state <> 'idle'") == 0
        });
    }
}

impl Drop for Database<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let sql = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
            if let Ok(mut admin) = Connection::try_login(
                self.cluster.address(),
                &Startup::new("postgres", "postgres"),
            ) {
                admin.query(&sql);
            }
        }
    }
}
