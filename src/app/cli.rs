//! The command line, and where the configuration comes from.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use clap::{ArgAction, Parser, Subcommand};

use super::watch::Files;
use crate::config::{
    Config, FromIni, General, LogLevel, Mistake, Sources, from_environment, from_ini, from_toml,
    to_toml,
};
use crate::net::tls::mistakes;
use crate::proxy::{login_files, login_mistakes};

/// The files that are looked for when none is named.
const USUAL_FILES: [&str; 2] = ["./pgweave.toml", "/etc/pgweave/pgweave.toml"];

/// A transaction-aware connection pooler for PostgreSQL.
///
/// Without CONFIG it reads ./pgweave.toml or /etc/pgweave/pgweave.toml; failing
/// both, it pools the server that DATABASE_URL, or PGHOST and its like, name.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "pgweave",
    version,
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true
)]
pub struct Cli {
    /// The configuration file: TOML, or PgBouncer's if it ends in .ini
    pub config: Option<PathBuf>,

    /// Log warnings and errors only; with `syslog`, nothing to the standard error output
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,

    /// Log more
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,

    /// Run in the background; needs logfile or syslog
    #[arg(short, long)]
    pub daemon: bool,

    /// What -d starts
    #[arg(long, hide = true)]
    pub in_background: bool,

    /// Take over from the process that runs: its sockets, its clients
    #[arg(short = 'R', long)]
    pub reboot: bool,

    /// Run as this user, when started by root
    #[arg(short, long, value_name = "NAME")]
    pub user: Option<String>,

    /// What to do instead of running the pooler.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What to do instead of running the pooler.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Tell every mistake in the configuration, with its line
    Check {
        /// The configuration file: TOML, or PgBouncer's if it ends in .ini; found as the pooler finds it
        config: Option<PathBuf>,
        /// Log in to each database as the pooler would, and tell what is wrong
        #[arg(long)]
        connect: bool,
    },
    /// Print PgBouncer's configuration as TOML that means the same, secrets too
    Convert {
        /// PgBouncer's configuration file
        file: PathBuf,
    },
    /// Print what completes this command line in a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man,
    /// Ask the running process whether it is ready; exit code 0 or 1, within 2 seconds
    Health {
        /// The configuration file that it runs with; where it needs none, neither does this
        config: Option<PathBuf>,
        /// Ask whether it lives, not whether it wants clients
        #[arg(long)]
        live: bool,
    },
}

impl Cli {
    /// The log level: that of the configuration, unless `-q` or `-v` was given.
    pub fn log_level(&self, general: &General) -> LogLevel {
        match general.log_level {
            // Nothing is hidden from the system's log.
            configured if self.is_mute(general) => configured,
            // Quieter than -q already.
            LogLevel::Error if self.quiet => LogLevel::Error,
            _ if self.quiet => LogLevel::Warn,
            _ if self.verbose > 0 => LogLevel::Debug,
            configured => configured,
        }
    }

    /// Is nothing to be logged to the standard error output? Only where there is
    /// the system's log, with which PgBouncer's `-q` means that.
    pub fn is_mute(&self, general: &General) -> bool {
        self.quiet && general.syslog
    }
}

/// Where a configuration comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A file.
    File(PathBuf),
    /// `DATABASE_URL`, or `PGHOST` and its like.
    Environment,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Origin::File(path) => path.display().fmt(f),
            Origin::Environment => f.write_str("environment variables"),
        }
    }
}

/// Chooses the configuration: the file that was named, else the first of the
/// usual ones that `exists`, else the environment.
pub fn locate(named: Option<&Path>, exists: &dyn Fn(&Path) -> bool) -> Origin {
    let usual = || USUAL_FILES.iter().map(Path::new).find(|path| exists(path));
    named
        .or_else(usual)
        .map_or(Origin::Environment, |path| Origin::File(path.to_owned()))
}

/// The same with the files of this machine.
pub(super) fn found(named: Option<&Path>) -> Origin {
    locate(named, &|path| path.is_file())
}

/// Loads the configuration that the command line asks for, and tells where it
/// was found. To load it again later, keep the [`Origin`].
///
/// # Errors
///
/// Every mistake, one a line, ready to be printed.
pub(super) fn load(cli: &Cli, files: &Files) -> Result<(Loaded, Origin), String> {
    let origin = found(cli.config.as_deref());
    Ok((origin.load_noting(files)?, origin))
}

/// A configuration, and what of it is not honoured.
pub type Loaded = FromIni;

/// PgBouncer's configuration as TOML; what is not honoured stands in comments.
///
/// # Errors
///
/// Every mistake, one a line, ready to be printed.
pub fn convert(file: &Path) -> Result<String, String> {
    // What is named may be on another machine.
    let loaded = load_ini(
        file,
        &Sources {
            try_tls: &|_| Vec::new(),
            try_logins: &|_| Vec::new(),
            ..sources()
        },
    )?;
    let toml = to_toml(&loaded.config);
    Ok(match loaded.warning {
        Some(warning) => format!("# {warning}\n\n{toml}"),
        None => toml,
    })
}

/// This process's environment and files.
pub(super) fn sources() -> Sources<'static> {
    Sources {
        env: &|name| std::env::var(name).ok(),
        read_file: &|path| std::fs::read_to_string(path),
        try_tls: &mistakes,
        try_logins: &login_mistakes,
    }
}

impl Origin {
    /// Loads the configuration from here, with this process's environment and files.
    ///
    /// # Errors
    ///
    /// Every mistake, one a line, ready to be printed.
    pub fn load(&self) -> Result<Loaded, String> {
        self.load_with(&sources())
    }

    /// The same, and notes each file before it is read.
    ///
    /// # Errors
    ///
    /// As above.
    pub(super) fn load_noting(&self, files: &Files) -> Result<Loaded, String> {
        let note = |path: &Path| files.note(path);
        self.load_with(&Sources {
            read_file: &|path| {
                note(path);
                std::fs::read_to_string(path)
            },
            try_tls: &|tls| {
                tls.files().paths().for_each(note);
                mistakes(tls)
            },
            try_logins: &|general| {
                login_files(general, &note);
                login_mistakes(general)
            },
            ..sources()
        })
    }

    fn load_with(&self, sources: &Sources<'_>) -> Result<Loaded, String> {
        let whole = |config| Loaded {
            config,
            warning: None,
        };
        match self {
            Origin::File(path) if path.extension() == Some(OsStr::new("ini")) => {
                load_ini(path, sources)
            }
            Origin::File(path) => from_file(path, sources).map(whole),
            Origin::Environment => match from_environment(sources) {
                Ok(Some(config)) => Ok(whole(config)),
                Ok(None) => Err(nothing_to_read()),
                Err(mistakes) => Err(one_a_line(&mistakes)),
            },
        }
    }
}

fn text_of(path: &Path, sources: &Sources<'_>) -> Result<String, String> {
    let name = path.display();
    (sources.read_file)(path).map_err(|error| format!("{name}: cannot read it: {error}"))
}

fn from_file(path: &Path, sources: &Sources<'_>) -> Result<Config, String> {
    let text = text_of(path, sources)?;
    let name = path.display().to_string();
    from_toml(&name, &text, sources).map_err(|mistakes| one_a_line(&mistakes))
}

fn load_ini(path: &Path, sources: &Sources<'_>) -> Result<Loaded, String> {
    let text = text_of(path, sources)?;
    let name = path.display().to_string();
    from_ini(&name, &text, sources).map_err(|mistakes| one_a_line(&mistakes))
}

fn nothing_to_read() -> String {
    let [here, everywhere] = USUAL_FILES;
    format!(
        "pgweave: there is no configuration. Any of these is one:\n\
         \x20 a file:            pgweave FILE.toml, or {here}, or {everywhere}\n\
         \x20 the environment:   DATABASE_URL=postgres://USER:PASSWORD@HOST/DATABASE pgweave\n\
         \x20 PgBouncer's file:  pgweave pgbouncer.ini\n\
         A file to begin with, for PostgreSQL on this machine:\n\
         \x20 [databases.\"*\"]\n\
         \x20 host = \"127.0.0.1\"\n\
         \x20 [users.NAME]\n\
         \x20 password = \"...\"\n\
         More are in config/ of the sources; `pgweave check --connect` tries what you have written."
    )
}

pub(super) fn one_a_line(mistakes: &[Mistake]) -> String {
    let lines: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split(' '))
    }

    fn origin(named: Option<&str>, existing: &[&str]) -> Origin {
        locate(named.map(Path::new), &|path| {
            existing.iter().any(|e| Path::new(e) == path)
        })
    }

    /// The outcome of loading `origin` with these variables and files.
    fn loaded(
        origin: &Origin,
        vars: &[(&str, &str)],
        files: &[(&str, &str)],
    ) -> Result<Config, String> {
        let loaded = loaded_whole(origin, vars, files)?;
        Ok(loaded.config)
    }

    fn loaded_whole(
        origin: &Origin,
        vars: &[(&str, &str)],
        files: &[(&str, &str)],
    ) -> Result<Loaded, String> {
        let find = |of: &[(&str, &str)], name: &str| {
            of.iter()
                .find(|(n, _)| *n == name)
                .map(|(_, value)| (*value).to_owned())
        };
        origin.load_with(&Sources {
            try_tls: &|_| Vec::new(),
            try_logins: &|_| Vec::new(),
            env: &|name| find(vars, name),
            read_file: &|path| {
                let text = path.to_str().and_then(|path| find(files, path));
                text.ok_or_else(|| std::io::ErrorKind::NotFound.into())
            },
        })
    }

    #[test]
    fn the_definition_is_sound() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn a_bare_argument_is_the_configuration_and_a_command_is_a_command() {
        let cli = parse("pgweave a.toml").unwrap();
        assert_eq!(
            (cli.config.as_deref(), cli.command),
            (Some(Path::new("a.toml")), None)
        );
        let cli = parse("pgweave check a.toml").unwrap();
        assert_eq!(
            cli.command,
            Some(Command::Check {
                config: Some("a.toml".into()),
                connect: false
            })
        );
        let cli = parse("pgweave check --connect").unwrap();
        assert_eq!(
            cli.command,
            Some(Command::Check {
                config: None,
                connect: true
            })
        );
        let cli = parse("pgweave health --live").unwrap();
        assert_eq!(
            cli.command,
            Some(Command::Health {
                config: None,
                live: true
            })
        );
        let cli = parse("pgweave").unwrap();
        assert_eq!((cli.config, cli.command), (None, None));
    }

    #[test]
    fn wrong_usage_exits_with_2_and_asking_for_help_with_0() {
        for line in [
            "pgweave check a.toml b.toml",
            "pgweave a.toml b.toml",
            "pgweave completions nosuchshell",
            "pgweave --nope",
            "pgweave -q -v",
            "pgweave convert",
        ] {
            assert_eq!(parse(line).unwrap_err().exit_code(), 2, "{line}");
        }
        for line in [
            "pgweave -h",
            "pgweave --help",
            "pgweave -V",
            "pgweave --version",
        ] {
            assert_eq!(parse(line).unwrap_err().exit_code(), 0, "{line}");
        }
    }

    #[test]
    fn pgbouncers_flags_are_known() {
        let cli = parse("pgweave -u pooler -q a.ini").unwrap();
        assert_eq!(cli.user.as_deref(), Some("pooler"));
        assert!(!cli.reboot && parse("pgweave -R a.ini").unwrap().reboot);
        assert!(parse("pgweave -d a.ini").unwrap().daemon);
        let again = format!("pgweave -d a.ini {}", crate::app::background::FLAG);
        assert!(parse(&again).unwrap().in_background);
    }

    #[test]
    fn flags_come_before_the_configured_log_level() {
        let mut general = General::default();
        let level = |line: &str| parse(line).unwrap().log_level(&General::default());
        assert_eq!(level("pgweave"), LogLevel::Info);
        assert_eq!(level("pgweave -q"), LogLevel::Warn);
        assert_eq!(level("pgweave -v a.toml"), LogLevel::Debug);
        assert_eq!(level("pgweave -vv"), LogLevel::Debug);
        let quiet = parse("pgweave -q").unwrap();
        general.log_level = LogLevel::Error;
        assert_eq!(quiet.log_level(&general), LogLevel::Error);
        assert!(!quiet.is_mute(&general));
        general.syslog = true;
        general.log_level = LogLevel::Info;
        assert_eq!(quiet.log_level(&general), LogLevel::Info);
        assert!(quiet.is_mute(&general) && !parse("pgweave").unwrap().is_mute(&general));
    }

    #[test]
    fn a_named_file_comes_first_then_the_usual_ones_then_the_environment() {
        let [here, etc] = USUAL_FILES;
        let file = |path: &str| Origin::File(path.into());
        assert_eq!(origin(Some("x.toml"), &[here, etc]), file("x.toml"));
        assert_eq!(origin(None, &[here, etc]), file(here));
        assert_eq!(origin(None, &[etc]), file(etc));
        assert_eq!(origin(None, &[]), Origin::Environment);
    }

    #[test]
    fn a_file_is_loaded_or_its_mistakes_are_told_one_a_line() {
        let file = Origin::File("a.toml".into());
        let good = "[databases.app]\n[users.alice]\npassword = 'a'\n";
        assert!(
            loaded(&file, &[], &[("a.toml", good)])
                .unwrap()
                .databases
                .contains_key("app")
        );
        let told = loaded(&file, &[], &[("a.toml", "[pgweave]\na = 1\nb = 2\n")]).unwrap_err();
        let lines: Vec<&str> = told.lines().collect();
        assert!(
            lines
                .iter()
                .any(|line| line.starts_with("a.toml:2: pgweave.a: ")),
            "{told}"
        );
        assert!(
            lines
                .iter()
                .any(|line| line.starts_with("a.toml:3: pgweave.b: ")),
            "{told}"
        );
        assert!(
            loaded(&file, &[], &[])
                .unwrap_err()
                .starts_with("a.toml: cannot read it: ")
        );
        let ini = Origin::File("a.ini".into());
        let text = "[databases]\na = host=b\n[pgbouncer]\nauth_type = trust\npkt_buf = 1\nclient_tls_ciphers = HIGH\n";
        let loaded = loaded_whole(&ini, &[], &[("a.ini", text)]).unwrap();
        assert!(loaded.config.databases.contains_key("a"));
        assert!(loaded.warning.unwrap().contains("client_tls_ciphers ("));
    }

    #[test]
    fn the_environment_is_a_configuration_or_there_is_none() {
        let url = [("DATABASE_URL", "postgres://me:pw@db/app")];
        let config = loaded(&Origin::Environment, &url, &[]).unwrap();
        assert!(config.databases.contains_key("app"));
        let none = loaded(&Origin::Environment, &[], &[]).unwrap_err();
        assert!(
            ["DATABASE_URL", "pgweave.toml", "pgbouncer.ini"]
                .iter()
                .all(|way| none.contains(way)),
            "{none}"
        );
        let wrong = loaded(&Origin::Environment, &[("PGPORT", "x")], &[]).unwrap_err();
        assert!(wrong.starts_with("environment: PGPORT: "), "{wrong}");
    }
}
