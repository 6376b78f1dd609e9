//! pgweave as a process of its own, with a generated configuration.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::janitor;
use super::machine::scratch_directory;
use super::postgres::Database;
use super::raw::Connection;
use super::startup::Startup;
use super::wait;

/// What the configuration file is made of.
pub struct Plan {
    settings: Vec<String>,
    databases: String,
    users: String,
    database: String,
    variables: Vec<(String, String)>,
}

impl Plan {
    /// A pooler before `database`; every name is looked for at that server.
    pub fn before(database: &Database) -> Self {
        Self::before_address(database.cluster.address(), &database.name)
    }

    /// A pooler before any server, for clients that ask for `database`.
    pub fn before_address(server: SocketAddr, database: &str) -> Self {
        let databases = format!(
            "[databases.\"*\"]\nhost = \"{}\"\nport = {}\n",
            server.ip(),
            server.port()
        );
        let settings = vec![
            "listen_addr = \"127.0.0.1\"".into(),
            "listen_port = 0".into(),
        ];
        Self {
            settings,
            databases,
            users: String::new(),
            database: database.into(),
            variables: Vec::new(),
        }
        .setting("auth_type", "\"trust\"")
        // Cases look which process serves them.
        .setting("pin_process", "0")
        .user("postgres", "unused")
    }

    /// Only the one database, under its own name; others are unknown.
    pub fn without_fallback(mut self) -> Self {
        self.databases = self.databases.replace("\"*\"", &self.database);
        self
    }

    /// The server by another name, or by the directory of its socket.
    pub fn host(mut self, host: &str) -> Self {
        let (head, rest) = self.databases.split_once("host = \"").unwrap();
        let (_, tail) = rest.split_once('"').unwrap();
        self.databases = format!("{head}host = \"{host}\"{tail}");
        self
    }

    /// Server connections per pool.
    pub fn pool_size(self, size: usize) -> Self {
        self.setting("default_pool_size", &size.to_string())
    }

    /// `transaction` unless told.
    pub fn pool_mode(self, mode: &str) -> Self {
        self.setting("pool_mode", &format!("{mode:?}"))
    }

    /// One key of `[pgweave]`; `value` is TOML. A later one replaces an earlier one.
    pub fn setting(mut self, key: &str, value: &str) -> Self {
        let prefix = format!("{key} = ");
        self.settings.retain(|line| !line.starts_with(&prefix));
        self.settings.push(prefix + value);
        self
    }

    /// A variable of its environment, which has no others.
    #[cfg(feature = "otel")]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Lines to stand under the section of the database, or further sections.
    pub fn database_lines(mut self, toml: &str) -> Self {
        let _ = writeln!(self.databases, "{toml}");
        self
    }

    /// A user and what it must prove.
    pub fn user(self, name: &str, password: &str) -> Self {
        self.user_lines(name, &format!("password = {password:?}"))
    }

    /// A user with any keys.
    pub fn user_lines(mut self, name: &str, toml: &str) -> Self {
        let _ = writeln!(self.users, "[users.{name}]\n{toml}");
        self
    }

    /// Starts pgweave and waits until it listens.
    pub fn start(self) -> Pooler {
        let text = format!(
            "[pgweave]\n{}\n{}\n{}",
            self.settings.join("\n"),
            self.databases,
            self.users
        );
        Pooler::start_in("pgweave.toml", &text, &self.database, &self.variables)
    }
}

/// Collects what it says, but while it `is_deaf`.
fn collect_log(child: &mut Child, is_deaf: &Arc<AtomicBool>) -> Arc<Mutex<String>> {
    let is_deaf = Arc::clone(is_deaf);
    let log = Arc::new(Mutex::new(String::new()));
    let (stderr, sink) = (child.stderr.take().unwrap(), Arc::clone(&log));
    thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            let mut log = sink.lock().unwrap();
            log.push_str(&line);
            log.push('\n');
            drop(log);
            while is_deaf.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(5));
            }
        }
    });
    log
}

/// A running pgweave; it ends with the value.
pub struct Pooler {
    child: Child,
    log: Arc<Mutex<String>>,
    /// Its successors have it, too.
    directory: Arc<PathBuf>,
    is_deaf: Arc<AtomicBool>,
    killed: bool,
    /// Where clients connect.
    pub address: SocketAddr,
    /// The database that `client` asks for.
    pub database: String,
}

impl Pooler {
    /// Starts it with a file of this name and text; clients ask for `database`.
    /// In the text `{folder}` stands for the file's folder.
    pub fn start(name: &str, text: &str, database: &str) -> Self {
        Self::start_in(name, text, database, &[])
    }

    fn start_in(name: &str, text: &str, database: &str, variables: &[(String, String)]) -> Self {
        let mut pooler = Self::spawn(name, text, database, variables);
        pooler.address =
            wait::until_some(wait::SOON, "pgweave to listen", || pooler.listening(text));
        pooler
    }

    fn spawn(name: &str, text: &str, database: &str, variables: &[(String, String)]) -> Self {
        let directory = scratch_directory("pgweave");
        let file = directory.join(name);
        let text = text.replace("{folder}", &directory.display().to_string());
        fs::write(&file, &text).unwrap();
        let mut pooler = Self::run(&[file.as_os_str()], &Arc::new(directory), variables);
        pooler.database = database.to_owned();
        pooler
    }

    fn run(arguments: &[&OsStr], directory: &Arc<PathBuf>, variables: &[(String, String)]) -> Self {
        let program = env!("CARGO_BIN_EXE_pgweave");
        Self::run_program(program, arguments, directory, variables)
    }

    fn run_program(
        program: &str,
        arguments: &[&OsStr],
        directory: &Arc<PathBuf>,
        variables: &[(String, String)],
    ) -> Self {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env_clear()
            .envs(variables.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        janitor::started(&child, directory);
        let is_deaf = Arc::<AtomicBool>::default();
        let log = collect_log(&mut child, &is_deaf);
        let address = ([127, 0, 0, 1], 0).into();
        Self {
            child,
            log,
            directory: Arc::clone(directory),
            is_deaf,
            killed: false,
            address,
            database: String::new(),
        }
    }

    /// Starts another process with the same file, which takes over from this one, and
    /// waits until it listens.
    pub fn successor(&self) -> Self {
        let file = fs::read_dir(&*self.directory).unwrap();
        let mut files = file.map(|entry| entry.unwrap().path());
        let file = files.find(|path| path.extension().is_some_and(|e| e == "toml"));
        let file = file.expect("a configuration");
        let mut next = Self::run(&[file.as_os_str(), "-R".as_ref()], &self.directory, &[]);
        next.database = self.database.clone();
        next.address = wait::until_some(wait::SOON, "pgweave to listen", || next.listening("-R"));
        next
    }

    /// The same, after these commands of the shell.
    pub fn successor_with(&self, limits: &str) -> Self {
        let file = self.directory.join("pgweave.toml");
        let script = format!("{limits}; exec \"$0\" \"$1\" -R");
        let binary = env!("CARGO_BIN_EXE_pgweave").as_ref();
        let arguments = ["-c".as_ref(), script.as_ref(), binary, file.as_os_str()];
        let mut next = Self::run_program("/bin/sh", &arguments, &self.directory, &[]);
        next.database = self.database.clone();
        next.address = wait::until_some(wait::SOON, "pgweave to listen", || next.listening("-R"));
        next
    }

    /// The same, where it logs to a file.
    pub fn start_logging_to(name: &str, text: &str, database: &str, log: &str) -> Self {
        let port = text
            .lines()
            .find_map(|line| line.strip_prefix("listen_port = "))
            .expect("a port of its own");
        let address: SocketAddr = format!("127.0.0.1:{port}").parse().unwrap();
        let mut pooler = Self::spawn(name, text, database, &[]);
        pooler.address = address;
        wait::until(wait::SOON, "pgweave to listen", || {
            fs::read_to_string(log).is_ok_and(|log| log.contains("listening on"))
        });
        pooler
    }

    /// Where its configuration is.
    pub fn directory(&self) -> &std::path::Path {
        &self.directory
    }

    fn listening(&mut self, configuration: &str) -> Option<SocketAddr> {
        let ended = self.child.try_wait().unwrap();
        let log = self.log();
        let address = log.lines().find_map(|line| {
            let (_, rest) = line.split_once("listening on ")?;
            let ends = |c: char| c.is_whitespace() || c == '"';
            rest.split(ends).next()?.parse().ok()
        });
        assert!(
            address.is_some() || ended.is_none(),
            "pgweave ended: {ended:?}\n{log}\n{configuration}"
        );
        address
    }

    /// A client of the superuser, logged in.
    pub fn client(&self) -> Connection {
        Connection::superuser(self.address, &self.database)
    }

    /// How such a client starts up.
    pub fn startup(&self) -> Startup {
        Startup::new("postgres", &self.database)
    }

    /// Everything that pgweave wrote to stderr so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// From now on nobody reads what it writes to stderr, or somebody does again.
    pub fn is_unheard(&self, is_so: bool) {
        self.is_deaf.store(is_so, Ordering::Relaxed);
    }

    /// Resident memory in KiB, where the system tells it (Linux).
    pub fn resident_kib(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
        line.split_whitespace().nth(1)?.parse().ok()
    }

    /// Is the process still there?
    pub fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Sends a signal by its number.
    pub fn signal(&self, signal: impl std::fmt::Display) {
        let _ = Command::new("kill")
            .arg(format!("-{signal}"))
            .arg(self.child.id().to_string())
            .status();
    }

    /// Ends the process at once, which then is no failure.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.killed = true;
    }

    /// Waits for the end of the process.
    pub fn wait(&mut self) -> ExitStatus {
        wait::until_some(wait::SOON, "pgweave to end", || {
            self.child.try_wait().unwrap()
        })
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        self.is_unheard(false);
        if thread::panicking() {
            let log = self.log();
            let start = log.lines().count().saturating_sub(30);
            eprintln!("the end of pgweave's log:");
            log.lines()
                .skip(start)
                .for_each(|line| eprintln!("  {line}"));
        }
        let ended = self.child.try_wait().ok().flatten();
        let crashed = !self.killed && ended.is_some_and(|status| !status.success());
        if ended.is_none() {
            self.signal(15);
        }
        let deadline = std::time::Instant::now() + Duration::from_secs(2);
        while self.child.try_wait().is_ok_and(|status| status.is_none())
            && std::time::Instant::now() < deadline
        {
            thread::sleep(Duration::from_millis(5));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        janitor::ended(&self.child);
        if Arc::strong_count(&self.directory) == 1 {
            let _ = fs::remove_dir_all(&*self.directory);
        }
        let panicked = self.log().contains("panicked at");
        if !thread::panicking() {
            assert!(
                !crashed && !panicked,
                "pgweave crashed or panicked:\n{}",
                self.log()
            );
        }
    }
}
