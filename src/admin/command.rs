//! What can be said to the console, and who may say it.

use super::words::{Said, Word, commands};
use crate::wire::{PgError, sqlstate};

/// What somebody may do on the console. Ordered: who may more may the lesser, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    /// To look (`stats_users`).
    Stats,
    /// To look and to change (`admin_users`).
    Admin,
}

/// What a `SHOW` shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // Named as they are written.
pub(super) enum Show {
    Help,
    Version,
    Stats,
    StatsTotals,
    StatsAverages,
    Totals,
    Pools,
    PeerPools,
    Clients,
    Servers,
    Sockets,
    ActiveSockets,
    Databases,
    Users,
    Lists,
    Peers,
    Config,
    State,
    Mem,
    DnsHosts,
    DnsZones,
    Fds,
    Pins,
    Statements,
    Errors,
}

/// How the process is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shutdown {
    /// Now.
    AtOnce,
    /// When nobody uses a server connection any more.
    WaitForServers,
    /// When the last client has left.
    WaitForClients,
}

/// One command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Command {
    Show(Show),
    /// A parameter of PostgreSQL's that drivers ask for: its name and value.
    ShowParameter(&'static str, &'static str),
    /// `SELECT 1`.
    SelectOne,
    /// `SELECT version()`.
    SelectVersion,
    Pause(Option<String>),
    Resume(Option<String>),
    Suspend,
    Disable(String),
    Enable(String),
    Reconnect(Option<String>),
    Kill(Option<String>),
    KillClient(u64),
    WaitClose(Option<String>),
    Reload,
    Shutdown(Shutdown),
    /// A new process goes on.
    Restart,
    Set(String, String),
    /// A driver's own; nothing follows from it: its tag.
    Ignored(&'static str),
    /// The same, with a notice.
    IgnoredSet,
    Begin,
    /// `COMMIT`, `ROLLBACK` and their like: the tag.
    End(&'static str),
}

/// What is shown, by its word.
const SHOWS: [(&str, Show); 25] = [
    ("help", Show::Help),
    ("version", Show::Version),
    ("stats", Show::Stats),
    ("stats_totals", Show::StatsTotals),
    ("stats_averages", Show::StatsAverages),
    ("totals", Show::Totals),
    ("pools", Show::Pools),
    ("peer_pools", Show::PeerPools),
    ("clients", Show::Clients),
    ("servers", Show::Servers),
    ("sockets", Show::Sockets),
    ("active_sockets", Show::ActiveSockets),
    ("databases", Show::Databases),
    ("users", Show::Users),
    ("lists", Show::Lists),
    ("peers", Show::Peers),
    ("config", Show::Config),
    ("state", Show::State),
    ("mem", Show::Mem),
    ("dns_hosts", Show::DnsHosts),
    ("dns_zones", Show::DnsZones),
    ("fds", Show::Fds),
    ("pins", Show::Pins),
    ("statements", Show::Statements),
    ("errors", Show::Errors),
];

/// What the console says of itself in parameters that drivers read.
pub(super) const PARAMETERS: [(&str, &str); 8] = [
    ("server_version", "1.25.2/bouncer"),
    ("server_encoding", "UTF8"),
    ("client_encoding", "UTF8"),
    ("DateStyle", "ISO"),
    ("TimeZone", "GMT"),
    ("standard_conforming_strings", "on"),
    ("is_superuser", "on"),
    ("default_transaction_isolation", "read committed"),
];

/// Settings of PostgreSQL's that drivers set without being asked.
const SESSION_SETTINGS: [&str; 18] = [
    "client_encoding",
    "datestyle",
    "timezone",
    "intervalstyle",
    "standard_conforming_strings",
    "default_transaction_isolation",
    "default_transaction_read_only",
    "application_name",
    "extra_float_digits",
    "client_min_messages",
    "statement_timeout",
    "lock_timeout",
    "idle_in_transaction_session_timeout",
    "search_path",
    "bytea_output",
    "row_security",
    "jit",
    "session",
];

impl Command {
    /// Is it answered by what there is to see, without anything being done?
    pub fn only_looks(&self) -> bool {
        matches!(
            self,
            Command::Show(_)
                | Command::ShowParameter(..)
                | Command::SelectOne
                | Command::SelectVersion
                | Command::IgnoredSet
        )
    }

    /// What one must be to say this.
    pub fn needs(&self) -> Role {
        match self {
            Command::Show(Show::Fds)
            | Command::Pause(_)
            | Command::Resume(_)
            | Command::Suspend
            | Command::Disable(_)
            | Command::Enable(_)
            | Command::Reconnect(_)
            | Command::Kill(_)
            | Command::KillClient(_)
            | Command::WaitClose(_)
            | Command::Reload
            | Command::Shutdown(_)
            | Command::Restart
            | Command::Set(..) => Role::Admin,
            Command::Show(_)
            | Command::ShowParameter(..)
            | Command::SelectOne
            | Command::SelectVersion
            | Command::Ignored(_)
            | Command::IgnoredSet
            | Command::Begin
            | Command::End(_) => Role::Stats,
        }
    }
}

/// The commands of a text, each with what is wrong with it.
pub(super) fn read(text: &str) -> Vec<Result<Command, PgError>> {
    let read = |said: &Said| one(&said.words).ok_or_else(|| invalid(&said.written));
    commands(text).iter().map(read).collect()
}

fn invalid(written: &str) -> PgError {
    // What is told back has a bound.
    let shown: String = written.chars().take(200).collect();
    PgError::error(
        sqlstate::SYNTAX_ERROR,
        format!("invalid command '{shown}', use SHOW HELP;"),
    )
}

fn one(words: &[Word]) -> Option<Command> {
    let (Word::Plain(verb), rest) = words.split_first()? else {
        return None;
    };
    Some(match verb.to_ascii_lowercase().as_str() {
        "show" => show(rest)?,
        "select" => select(rest)?,
        "pause" => Command::Pause(perhaps_a_name(rest)?),
        "resume" => Command::Resume(perhaps_a_name(rest)?),
        "suspend" if rest.is_empty() => Command::Suspend,
        "disable" => Command::Disable(name(rest)?),
        "enable" => Command::Enable(name(rest)?),
        "reconnect" => Command::Reconnect(perhaps_a_name(rest)?),
        "kill" => Command::Kill(perhaps_a_name(rest)?),
        "kill_client" => Command::KillClient(name(rest)?.parse().ok()?),
        "wait_close" => Command::WaitClose(perhaps_a_name(rest)?),
        "reload" if rest.is_empty() => Command::Reload,
        "shutdown" => Command::Shutdown(shutdown(rest)?),
        "restart" if rest.is_empty() => Command::Restart,
        "set" => set(rest)?,
        "reset" => Command::Ignored("RESET"),
        "discard" => Command::Ignored("DISCARD ALL"),
        "deallocate" => Command::Ignored("DEALLOCATE"),
        "begin" => Command::Begin,
        "start" if rest.first()?.is("transaction") => Command::Begin,
        "commit" | "end" => Command::End("COMMIT"),
        "rollback" | "abort" => Command::End("ROLLBACK"),
        _ => return None,
    })
}

fn show(rest: &[Word]) -> Option<Command> {
    let word = match rest {
        [Word::Plain(word)] => word.to_ascii_lowercase(),
        // As psql and JDBC ask.
        [transaction, isolation, level]
            if transaction.is("transaction") && isolation.is("isolation") && level.is("level") =>
        {
            "default_transaction_isolation".to_owned()
        }
        _ => return None,
    };
    if let Some((_, show)) = SHOWS.iter().find(|(name, _)| *name == word) {
        return Some(Command::Show(*show));
    }
    let mut parameters = PARAMETERS.iter();
    let found = parameters.find(|(name, _)| name.eq_ignore_ascii_case(&word));
    found.map(|(name, value)| Command::ShowParameter(name, value))
}

fn select(rest: &[Word]) -> Option<Command> {
    match rest {
        [one] if one.is("1") => Some(Command::SelectOne),
        [version, Word::Sign('('), Word::Sign(')')] if version.is("version") => {
            Some(Command::SelectVersion)
        }
        rest => show(rest),
    }
}

fn shutdown(rest: &[Word]) -> Option<Shutdown> {
    match rest {
        [] => Some(Shutdown::AtOnce),
        [how] if how.is("wait_for_servers") => Some(Shutdown::WaitForServers),
        [how] if how.is("wait_for_clients") => Some(Shutdown::WaitForClients),
        _ => None,
    }
}

fn set(rest: &[Word]) -> Option<Command> {
    let rest = match rest {
        [scope, rest @ ..] if scope.is("session") || scope.is("local") => rest,
        rest => rest,
    };
    let (key, rest) = rest.split_first()?;
    let key = key.text()?.to_ascii_lowercase();
    if SESSION_SETTINGS.contains(&key.as_str()) || key == "time" || key == "characteristics" {
        return Some(Command::IgnoredSet);
    }
    let value = match rest {
        [Word::Sign('='), value @ ..] => value,
        [to, value @ ..] if to.is("to") => value,
        _ => return None,
    };
    let mut text = String::new();
    for word in value {
        match word {
            Word::Sign(sign) => text.push(*sign),
            word => {
                if !text.is_empty() && !text.ends_with([',', '=', '(']) {
                    text.push(' ');
                }
                text.push_str(word.text()?);
            }
        }
    }
    (!value.is_empty()).then_some(Command::Set(key, text))
}

fn name(rest: &[Word]) -> Option<String> {
    match rest {
        [word] => word.text().map(str::to_owned),
        _ => None,
    }
}

/// `Some(None)` when nothing is named.
fn perhaps_a_name(rest: &[Word]) -> Option<Option<String>> {
    match rest {
        [] => Some(None),
        rest => name(rest).map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Option<Command> {
        let mut all = read(text);
        assert_eq!(all.len(), 1, "{text}");
        all.pop().and_then(Result::ok)
    }

    /// One command of each kind, and what one must be to say it.
    const TABLE: [(&str, Role); 46] = [
        ("SHOW HELP", Role::Stats),
        ("SHOW VERSION", Role::Stats),
        ("SHOW STATS", Role::Stats),
        ("SHOW STATS_TOTALS", Role::Stats),
        ("SHOW STATS_AVERAGES", Role::Stats),
        ("SHOW TOTALS", Role::Stats),
        ("SHOW POOLS", Role::Stats),
        ("SHOW PEER_POOLS", Role::Stats),
        ("SHOW CLIENTS", Role::Stats),
        ("SHOW SERVERS", Role::Stats),
        ("SHOW SOCKETS", Role::Stats),
        ("SHOW ACTIVE_SOCKETS", Role::Stats),
        ("SHOW DATABASES", Role::Stats),
        ("SHOW USERS", Role::Stats),
        ("SHOW LISTS", Role::Stats),
        ("SHOW PEERS", Role::Stats),
        ("SHOW CONFIG", Role::Stats),
        ("SHOW STATE", Role::Stats),
        ("SHOW MEM", Role::Stats),
        ("SHOW DNS_HOSTS", Role::Stats),
        ("SHOW DNS_ZONES", Role::Stats),
        ("SHOW PINS", Role::Stats),
        ("SHOW STATEMENTS", Role::Stats),
        ("SHOW ERRORS", Role::Stats),
        ("SHOW FDS", Role::Admin),
        ("SHOW client_encoding", Role::Stats),
        ("SELECT 1", Role::Stats),
        ("SELECT version()", Role::Stats),
        ("SET extra_float_digits = 3", Role::Stats),
        ("BEGIN", Role::Stats),
        ("COMMIT", Role::Stats),
        ("DISCARD ALL", Role::Stats),
        ("PAUSE", Role::Admin),
        ("RESUME app", Role::Admin),
        ("SUSPEND", Role::Admin),
        ("DISABLE app", Role::Admin),
        ("ENABLE app", Role::Admin),
        ("RECONNECT", Role::Admin),
        ("KILL app", Role::Admin),
        ("KILL_CLIENT 7", Role::Admin),
        ("WAIT_CLOSE app", Role::Admin),
        ("RELOAD", Role::Admin),
        ("SHUTDOWN", Role::Admin),
        ("SHUTDOWN WAIT_FOR_CLIENTS", Role::Admin),
        ("RESTART", Role::Admin),
        ("SET query_timeout = 5", Role::Admin),
    ];

    #[test]
    fn each_command_needs_its_role() {
        for (text, needs) in TABLE {
            assert_eq!(
                one(text).map(|command| command.needs()),
                Some(needs),
                "{text}"
            );
        }
        for (word, show) in SHOWS {
            let text = format!("SHOW {word}").to_ascii_uppercase();
            assert!(TABLE.iter().any(|(listed, _)| *listed == text), "{text}");
            assert_eq!(one(&text), Some(Command::Show(show)));
        }
        assert!(Role::Admin > Role::Stats);
    }

    #[test]
    fn keywords_are_written_as_one_likes_and_names_as_they_are() {
        assert_eq!(one("sHoW pOoLs;"), Some(Command::Show(Show::Pools)));
        assert_eq!(one("select pools"), Some(Command::Show(Show::Pools)));
        assert_eq!(one("pause App"), Some(Command::Pause(Some("App".into()))));
        assert_eq!(
            one("pause \"a b\""),
            Some(Command::Pause(Some("a b".into())))
        );
        assert_eq!(one("Kill"), Some(Command::Kill(None)));
    }

    #[test]
    fn a_setting_is_set_by_either_sign() {
        let set = |value: &str| Some(Command::Set("query_timeout".into(), value.into()));
        assert_eq!(one("set query_timeout=5"), set("5"));
        assert_eq!(one("set QUERY_TIMEOUT to '5min'"), set("5min"));
        assert_eq!(
            one("set admin_users = a, b"),
            Some(Command::Set("admin_users".into(), "a,b".into()))
        );
        assert_eq!(one("set query_timeout = ''"), set(""));
        assert_eq!(one("set query_timeout"), None);
        assert_eq!(one("set query_timeout ="), None);
        assert_eq!(one("SET TIME ZONE 'UTC'"), Some(Command::IgnoredSet));
        assert_eq!(
            one("SET client_encoding TO 'UTF8'"),
            Some(Command::IgnoredSet)
        );
    }

    #[test]
    fn what_is_no_command_is_told_back() {
        let told = |text: &str| {
            let error = read(text).pop().and_then(Result::err);
            error.map(|error| (error.code, error.message))
        };
        let expected = |text: &str| {
            let message = format!("invalid command '{text}', use SHOW HELP;");
            Some(("42601".to_owned(), message))
        };
        for text in [
            "nonsense",
            "show",
            "show nothing",
            "pause a b",
            "kill_client x",
            "kill_client -1",
            "disable",
            "shutdown soon",
            "reload now",
            "\"show\" pools",
            "select 2",
        ] {
            assert_eq!(told(text), expected(text));
        }
        assert!(told(&"x".repeat(10_000)).is_some_and(|(_, message)| message.len() < 300));
        assert!(read("").is_empty() && read("-- ping").is_empty());
    }

    #[test]
    fn several_commands_are_several() {
        let all = read("show pools; nonsense; show lists");
        assert_eq!(
            all.iter().map(Result::is_ok).collect::<Vec<_>>(),
            [true, false, true]
        );
    }
}
