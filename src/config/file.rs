//! A configuration file in TOML, walked against the table of settings.
//!
//! The table is walked here, and not by a derived deserializer, because that
//! would stop at the first mistake.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::given::{Field, Given, Refusal};
use super::keys::{self, DATABASE, GENERAL, Group, PEER, Setting, USER};
use super::places::{Places, section_path};
use super::settings::MAX_PEER_ID;
use super::substitute::substitute;
use super::suggest::did_you_mean;
use super::written::{read_secret_file, written};
use super::{Config, Database, Mistake, Peer, Sources, User, checks, environment};

/// The sections that there are.
const SECTIONS: [&str; 4] = ["pgweave", "databases", "users", "peers"];

/// Reads a configuration file's text. `file_name` is only put into mistakes.
///
/// # Errors
///
/// Every mistake that the text, the files it names and the `PGWEAVE_*`
/// variables hold, in the order of the lines.
pub fn from_toml(
    file_name: &str,
    text: &str,
    sources: &Sources<'_>,
) -> Result<Config, Vec<Mistake>> {
    let (document, broken) = DeTable::parse_recoverable(text);
    let mut reader = Reader {
        text,
        sources,
        places: Places::new(file_name),
        mistakes: Vec::new(),
        config: Config::default(),
    };
    reader.document(document.get_ref());
    if !broken.is_empty() {
        return Err(reader.syntax(file_name, &broken));
    }
    let Reader {
        mut places,
        mut mistakes,
        mut config,
        ..
    } = reader;
    mistakes.extend(environment::overrides(
        &mut config.general,
        &mut places,
        sources,
    ));
    mistakes.extend(checks::check(&config, &places, sources, &mistakes));
    let about_files = (sources.try_logins)(&config.general);
    let mistakes: Vec<_> = in_order(mistakes).into_iter().chain(about_files).collect();
    match mistakes.is_empty() {
        true => Ok(config),
        false => Err(mistakes),
    }
}

/// The mistakes by line.
fn in_order(mut mistakes: Vec<Mistake>) -> Vec<Mistake> {
    mistakes.sort_by_key(|mistake| mistake.line.unwrap_or(usize::MAX));
    mistakes
}

struct Reader<'a> {
    text: &'a str,
    sources: &'a Sources<'a>,
    places: Places,
    mistakes: Vec<Mistake>,
    config: Config,
}

type Entry<'t, 'i> = (
    &'t Spanned<std::borrow::Cow<'i, str>>,
    &'t Spanned<DeValue<'i>>,
);

impl Reader<'_> {
    fn document(&mut self, document: &DeTable<'_>) {
        for (name, value) in document {
            let path = name.get_ref().as_ref();
            self.note(path, name);
            match path {
                "pgweave" => self.general(value),
                "databases" => self.named(path, value, Self::database),
                "users" => self.named(path, value, Self::user),
                "peers" => self.named(path, value, Self::peer),
                unknown => self.refuse(path, unknown_section(unknown)),
            }
        }
    }

    fn general(&mut self, value: &Spanned<DeValue<'_>>) {
        let Some(table) = value.get_ref().as_table() else {
            return self.refuse("pgweave", not_a_section("pgweave"));
        };
        let mut general = std::mem::take(&mut self.config.general);
        self.section("pgweave", "[pgweave]", table, GENERAL, &mut general);
        self.config.general = general;
    }

    /// Walks `[databases.*]`, `[users.*]` or `[peers.*]`.
    fn named(
        &mut self,
        section: &str,
        value: &Spanned<DeValue<'_>>,
        read: fn(&mut Self, &str, &str, &DeTable<'_>),
    ) {
        let Some(table) = value.get_ref().as_table() else {
            return self.refuse(section, not_a_section(&format!("{section}.NAME")));
        };
        for (written, value) in table {
            let mut path = section_path(section, written.get_ref());
            self.note(&path, written);
            let name = match self.name(written.get_ref()) {
                Ok(name) => name,
                Err(refusal) => {
                    self.refuse(&path, refusal);
                    continue;
                }
            };
            // Later checks know the name only.
            path = section_path(section, &name);
            self.note(&path, written);
            match value.get_ref().as_table() {
                Some(table) => read(self, &name, &path, table),
                None => self.refuse(&path, not_a_section(&path)),
            }
        }
    }

    /// The name of a section, variables put in.
    fn name(&self, written: &str) -> Result<String, Refusal> {
        let name = Given::Text(substitute(written, self.sources)?);
        let name = String::read(&name, keys::ANY);
        name.map_err(|refusal| Refusal {
            what: format!("the name {}", refusal.what),
            ..refusal
        })
    }

    fn database(&mut self, name: &str, path: &str, table: &DeTable<'_>) {
        if self.config.databases.contains_key(name)
            || (name == "*" && self.config.fallback.is_some())
        {
            return self.refuse(path, given_twice());
        }
        let mut database = Database::named(name);
        self.section(path, "[databases.NAME]", table, DATABASE, &mut database);
        match name {
            "*" => self.config.fallback = Some(database),
            name => drop(self.config.databases.insert(name.to_owned(), database)),
        }
    }

    fn user(&mut self, name: &str, path: &str, table: &DeTable<'_>) {
        if self.config.users.contains_key(name) {
            return self.refuse(path, given_twice());
        }
        let mut user = User::named(name);
        self.section(path, "[users.NAME]", table, USER, &mut user);
        self.config.users.insert(name.to_owned(), user);
    }

    fn peer(&mut self, name: &str, path: &str, table: &DeTable<'_>) {
        let Some(id) = Peer::id_of(name) else {
            return self.refuse(path, not_a_peer());
        };
        if self.config.peers.contains_key(&id) {
            return self.refuse(path, given_twice());
        }
        let mut peer = Peer::numbered(id);
        self.section(path, "[peers.ID]", table, PEER, &mut peer);
        self.config.peers.insert(id, peer);
    }

    /// Reads each key of one section into `into`.
    fn section<T>(
        &mut self,
        path: &str,
        home: &str,
        table: &DeTable<'_>,
        groups: &'static [Group<T>],
        into: &mut T,
    ) {
        for entry in table {
            let name = entry.0.get_ref().as_ref();
            let key = section_path(path, name);
            self.note(&key, entry.0);
            if let Err(refusal) = self.setting(name, home, entry, table, groups, into) {
                self.refuse(&key, refusal);
            }
        }
    }

    fn setting<T>(
        &self,
        name: &str,
        home: &str,
        (_, value): Entry<'_, '_>,
        table: &DeTable<'_>,
        groups: &'static [Group<T>],
        into: &mut T,
    ) -> Result<(), Refusal> {
        if let Some(setting) = keys::each(groups).find(|s| s.name == name) {
            return (setting.set)(into, &written(value.get_ref(), self.sources)?);
        }
        let Some(setting) = in_a_file(name, groups) else {
            return Err(unknown_key(name, home, groups));
        };
        if table.contains_key(setting.name) {
            return Err(Refusal::new(format!("{} is given too", setting.name))
                .suggesting("leave one of the two out"));
        }
        let path = written(value.get_ref(), self.sources)?;
        (setting.set)(into, &read_secret_file(&path, self.sources)?)
    }

    fn note<V>(&mut self, path: &str, at: &Spanned<V>) {
        let line = line_at(self.text, at.span().start);
        self.places.note_line(path, line);
    }

    fn refuse(&mut self, path: &str, refusal: Refusal) {
        let mistake = self.places.mistake(path, refusal);
        self.mistakes.push(mistake);
    }

    /// What is no TOML, with the other mistakes of the lines that are.
    fn syntax(self, file_name: &str, broken: &[toml::de::Error]) -> Vec<Mistake> {
        let mut mistakes: Vec<Mistake> = broken
            .iter()
            .map(|error| Mistake {
                file: file_name.to_owned(),
                line: error.span().map(|span| line_at(self.text, span.start)),
                key: String::new(),
                what: error.message().trim_end().replace('\n', ", "),
                suggestion: None,
            })
            .collect();
        let lines: Vec<_> = mistakes.iter().map(|mistake| mistake.line).collect();
        mistakes.extend(
            self.mistakes
                .into_iter()
                .filter(|m| !lines.contains(&m.line)),
        );
        in_order(mistakes)
    }
}

/// The secret setting that a key with `_file` behind it is for.
fn in_a_file<T>(name: &str, groups: &'static [Group<T>]) -> Option<&'static Setting<T>> {
    let secret = name.strip_suffix("_file")?;
    keys::each(groups).find(|s| s.secret && s.name == secret)
}

fn unknown_section(name: &str) -> Refusal {
    let refusal = Refusal::new("unknown section");
    if let Some(home) = keys::homes(name).first() {
        return Refusal::new("stands outside of any section")
            .suggesting(format!("put it under {home}"));
    }
    match name {
        "pgbouncer" => refusal.suggesting("here it is [pgweave]"),
        name => Refusal {
            suggestion: did_you_mean(name, SECTIONS.into_iter()),
            ..refusal
        },
    }
}

fn unknown_key<T>(name: &str, home: &str, groups: &'static [Group<T>]) -> Refusal {
    let near = did_you_mean(name, keys::each(groups).map(|s| s.name));
    let homes = keys::homes(name);
    let suggestion = match homes.is_empty() {
        true => near,
        false => Some(format!("it belongs in {}", homes.join(" or "))),
    };
    Refusal {
        what: format!("unknown key in {home}"),
        suggestion,
    }
}

fn not_a_section(path: &str) -> Refusal {
    Refusal::new("is not a section").suggesting(format!("write it as [{path}], its keys below"))
}

/// Only variables in names can lead to this.
fn given_twice() -> Refusal {
    Refusal::new("there is another section of this name")
}

/// What is told of a name that is no peer's.
pub(super) fn not_a_peer() -> Refusal {
    Refusal::new(format!(
        "is not the peer_id of another process, a whole number from 1 to {MAX_PEER_ID}"
    ))
}

/// The line of a byte, counted from 1.
fn line_at(text: &str, byte: usize) -> usize {
    let before = text.as_bytes().get(..byte).unwrap_or_default();
    before.iter().filter(|b| **b == b'\n').count() + 1
}
