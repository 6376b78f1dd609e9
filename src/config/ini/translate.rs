//! From lines to settings, by the tables that the parser of TOML walks.

use std::collections::BTreeMap;

use super::FromIni;
use super::connection_string::pairs;
use super::defaults::{self, SOCKETS};
use super::differences::{self, reason, says_nothing};
use super::lines::Line;
use crate::config::file::not_a_peer;
use crate::config::given::{Given, Refusal};
use crate::config::keys::{self, DATABASE, GENERAL, Group, PEER, USER};
use crate::config::places::{Places, section_path};
use crate::config::suggest::did_you_mean;
use crate::config::{
    Config, Database, LogLevel, Mistake, Peer, SessionState, Sources, User, checks, environment,
};

/// PgBouncer's names for what has another here, or means the same.
const ALIASES: [(&str, &str); 1] = [("reserve_pool", "reserve_pool_size")];

/// A limit that PgBouncer has none of is this: more than any client waits.
const NO_LIMIT: &str = "365d";

/// Sets what the lines say. The last of two that are about one key counts.
pub(super) fn translate(
    file: &str,
    lines: &[Line],
    mistakes: Vec<Mistake>,
    sources: &Sources<'_>,
) -> Result<FromIni, Vec<Mistake>> {
    let mut translator = Translator {
        config: defaults::config(),
        places: Places::new(file),
        mistakes,
        not_honoured: BTreeMap::new(),
    };
    for line in last_of_each(lines) {
        translator.line(line);
    }
    translator.sockets_of_servers();
    translator.finish(sources)
}

/// In the order of their places; of those about one key the last.
fn last_of_each(lines: &[Line]) -> Vec<&Line> {
    let mut last = BTreeMap::new();
    for (at, line) in lines.iter().enumerate() {
        last.insert((&line.section, &line.key), at);
    }
    let mut at: Vec<_> = last.into_values().collect();
    at.sort_unstable();
    at.into_iter().filter_map(|at| lines.get(at)).collect()
}

struct Translator {
    config: Config,
    places: Places,
    mistakes: Vec<Mistake>,
    /// Reasons, and the keys that they are about.
    not_honoured: BTreeMap<&'static str, Vec<String>>,
}

impl Translator {
    fn line(&mut self, line: &Line) {
        match line.section.as_str() {
            "pgbouncer" => self.general(line),
            "databases" => self.database(line),
            "users" => self.user(line),
            "peers" => self.peer(line),
            other => {
                let what = format!("there is no section [{other}]");
                self.mistakes.push(line.mistake("", what));
            }
        }
    }

    fn general(&mut self, line: &Line) {
        let (key, value) = (line.key.as_str(), line.value.as_str());
        let path = format!("pgweave.{key}");
        self.places.note(&path, &line.file, line.number, key);
        if self.general_of_its_own(line) {
            return;
        }
        let general = &mut self.config.general;
        match set(GENERAL, general, key, value, differences::GENERAL) {
            Outcome::Set => {}
            Outcome::NotHonoured(_) if says_nothing(key, value) => {}
            Outcome::NotHonoured(reason) => self.ignore(reason, key.to_owned()),
            Outcome::Refused(refusal) => self.mistakes.push(Mistake {
                suggestion: refusal.suggestion,
                ..line.mistake(key, refusal.what)
            }),
        }
    }

    /// Settings whose values mean something else here, or are written otherwise.
    fn general_of_its_own(&mut self, line: &Line) -> bool {
        let general = &mut self.config.general;
        match (line.key.as_str(), line.value.as_str()) {
            ("verbose", value) => {
                let is_more = value.parse().is_ok_and(|level: u8| level > 0);
                general.log_level = if is_more {
                    LogLevel::Debug
                } else {
                    LogLevel::Info
                };
            }
            ("listen_addr", "") => general.listen_addr = Vec::new(),
            ("unix_socket_dir", "") => general.unix_socket_dir = None,
            ("unix_socket_dir", abstracted) if abstracted.starts_with('@') => {
                let what = "pgweave makes no abstract sockets";
                self.mistakes.push(line.mistake("unix_socket_dir", what));
            }
            // What may be empty there is not set here.
            (
                "logfile"
                | "auth_file"
                | "auth_hba_file"
                | "auth_ident_file"
                | "auth_user"
                | "auth_dbname"
                | "unix_socket_group"
                | "client_tls_key_file"
                | "client_tls_cert_file"
                | "client_tls_ca_file"
                | "server_tls_key_file"
                | "server_tls_cert_file"
                | "server_tls_ca_file"
                | "syslog_ident"
                | "syslog_facility"
                | "auth_ldap_options"
                | "ignore_startup_parameters"
                | "login_notify_message",
                "",
            ) => {}
            _ => return false,
        }
        true
    }

    fn database(&mut self, line: &Line) {
        let name = line.key.clone();
        let path = section_path("databases", &name);
        self.places.note(
            &path,
            &line.file,
            line.number,
            &format!("[databases] {name}"),
        );
        let mut database = Database::named(name.clone());
        // None: found below.
        database.host.clear();
        self.pairs(line, DATABASE, &mut database, differences::DATABASE);
        match name.as_str() {
            "*" => self.config.fallback = Some(database),
            _ => drop(self.config.databases.insert(name, database)),
        }
    }

    fn user(&mut self, line: &Line) {
        let name = line.key.clone();
        let path = section_path("users", &name);
        self.places
            .note(&path, &line.file, line.number, &format!("[users] {name}"));
        let mut user = User::named(name.clone());
        self.pairs(line, USER, &mut user, differences::USER);
        self.config.users.insert(name, user);
    }

    fn peer(&mut self, line: &Line) {
        let label = format!("[peers] {}", line.key);
        let Some(id) = Peer::id_of(&line.key) else {
            return self.mistakes.push(line.mistake(&label, not_a_peer().what));
        };
        let path = section_path("peers", &line.key);
        self.places.note(&path, &line.file, line.number, &label);
        let mut peer = Peer::numbered(id);
        self.pairs(line, PEER, &mut peer, &[]);
        self.config.peers.insert(id, peer);
    }

    /// Sets the pairs of a connection string.
    fn pairs<T>(
        &mut self,
        line: &Line,
        groups: &'static [Group<T>],
        into: &mut T,
        others: &[(&str, &'static str)],
    ) {
        let label = format!("[{}] {}", line.section, line.key);
        let found = match pairs(&line.value) {
            Ok(found) => found,
            Err(what) => return self.mistakes.push(line.mistake(&label, what)),
        };
        for (key, value) in found {
            // PgBouncer's word for "not set".
            if value == "-1" && key.ends_with("_timeout") {
                continue;
            }
            match set(groups, into, &key, &value, others) {
                Outcome::Set => {}
                Outcome::NotHonoured(reason) => self.ignore(reason, format!("{key} of {label}")),
                Outcome::Refused(refusal) => self.mistakes.push(Mistake {
                    suggestion: refusal.suggestion,
                    ..line.mistake(&format!("{label}: {key}"), refusal.what)
                }),
            }
        }
    }

    fn ignore(&mut self, reason: &'static str, key: String) {
        let keys = self.not_honoured.entry(reason).or_default();
        if !keys.contains(&key) {
            keys.push(key);
        }
    }

    /// A database without a host is on this machine, by the socket.
    fn sockets_of_servers(&mut self) {
        let directory = self.config.general.unix_socket_dir.clone();
        let directory =
            directory.map_or_else(|| SOCKETS.to_owned(), |path| path.display().to_string());
        let databases = self.config.databases.values_mut();
        for database in databases.chain(&mut self.config.fallback) {
            if database.host.is_empty() {
                database.host.clone_from(&directory);
            }
        }
    }

    fn finish(mut self, sources: &Sources<'_>) -> Result<FromIni, Vec<Mistake>> {
        let general = &mut self.config.general;
        let overridden = environment::overrides(general, &mut self.places, sources);
        self.mistakes.extend(overridden);
        let found = checks::check(&self.config, &self.places, sources, &self.mistakes);
        self.mistakes.extend(found);
        self.mistakes
            .extend((sources.try_logins)(&self.config.general));
        if !self.mistakes.is_empty() {
            return Err(self.mistakes);
        }
        if !nobody_looks(&self.config) {
            self.not_honoured.remove(differences::TRACKED);
        }
        let told = |(reason, keys): (&str, Vec<String>)| format!("{} ({reason})", keys.join(", "));
        let told: Vec<String> = self.not_honoured.into_iter().map(told).collect();
        Ok(FromIni {
            config: self.config,
            warning: (!told.is_empty())
                .then(|| format!("these settings are not honoured: {}", told.join("; "))),
        })
    }
}

/// Are there clients whose settings do not go with them?
fn nobody_looks(config: &Config) -> bool {
    let all = std::iter::once(Some(config.general.session_state));
    let of_databases = config.databases.values().chain(&config.fallback);
    let of_users = config.users.values().map(|user| user.session_state);
    all.chain(of_databases.map(|database| database.session_state))
        .chain(of_users)
        .any(|state| state == Some(SessionState::Pgbouncer))
}

/// What became of a setting.
enum Outcome {
    Set,
    NotHonoured(&'static str),
    Refused(Refusal),
}

fn set<T>(
    groups: &'static [Group<T>],
    into: &mut T,
    key: &str,
    value: &str,
    others: &[(&str, &'static str)],
) -> Outcome {
    let alias = ALIASES.iter().find(|(theirs, _)| *theirs == key);
    let key = alias.map_or(key, |(_, ours)| *ours);
    // Ours, too, so that nobody has to leave the ini file for them.
    let known = keys::each(groups).find(|setting| setting.name == key);
    let Some(setting) = known else {
        return match reason(others, key) {
            Some(reason) => Outcome::NotHonoured(reason),
            None => {
                let names = keys::each(groups).map(|setting| setting.name);
                Outcome::Refused(Refusal {
                    what: "is no setting of PgBouncer's, nor of pgweave's".to_owned(),
                    suggestion: did_you_mean(key, names),
                })
            }
        };
    };
    let value = Given::Text(without_limit(key, value).to_owned());
    match (setting.set)(into, &value) {
        Ok(()) => Outcome::Set,
        Err(refusal) => Outcome::Refused(refusal),
    }
}

/// Where 0 is without limit there and refused here.
fn without_limit<'v>(key: &str, value: &'v str) -> &'v str {
    let is_zero = value.parse::<f64>().is_ok_and(|number| number == 0.0);
    match key {
        "client_login_timeout" | "server_connect_timeout" | "cancel_wait_timeout" if is_zero => {
            NO_LIMIT
        }
        "default_pool_size" | "pool_size" if is_zero => "100000",
        _ => value,
    }
}
