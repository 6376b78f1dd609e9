//! The names of settings that a text can change.

use std::collections::BTreeSet;

use crate::session::sql::is_identifier;

/// Most names that are kept of one transaction; beyond, they count as unknown.
const MOST: usize = 64;

/// Longest name, in bytes, that is taken for one.
const LONGEST: usize = 200;

/// These change settings without naming them.
const SAY_NOTHING: [&str; 4] = ["discard", "do", "call", "pg_settings"];

/// Which settings may have been changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Touched {
    /// In lower case, but for those with a dot, which PostgreSQL knows as they
    /// were first written. Some may be no settings at all.
    pub names: BTreeSet<Box<str>>,
    /// There may be others.
    pub unknown: bool,
}

impl Touched {
    /// What this text can change. It is looked for everywhere, in literals
    /// too: a word that is no setting's name costs a look-up that finds nothing.
    #[must_use]
    pub fn by(text: &[u8]) -> Self {
        let mut touched = Self {
            // A name whose letters are escaped: U&"..."
            unknown: text.windows(2).any(|pair| pair == b"&\""),
            ..Self::default()
        };
        let mut words = Words { rest: text };
        while let Some(word) = words.next_word() {
            if is(word, "set") {
                touched.set(&mut words);
            } else if is(word, "reset") {
                touched.reset(&mut words);
            } else if is(word, "set_config") {
                touched.set_config(&mut words);
            } else if SAY_NOTHING.iter().any(|keyword| is(word, keyword)) {
                touched.unknown = true;
            }
        }
        touched
    }

    /// Adds what another text can change.
    pub fn add(&mut self, more: &Self) {
        self.unknown |= more.unknown;
        for name in &more.names {
            self.insert(name);
        }
    }

    /// Adds a name, if it can be one.
    pub fn insert(&mut self, name: &str) {
        if self.names.len() >= MOST {
            self.unknown = true;
        } else {
            self.names.insert(name.into());
        }
    }

    /// Adds a value bound to a parameter, if it can be the name of a setting.
    pub fn insert_bound(&mut self, value: &[u8]) {
        if let Some(name) = as_name(value).filter(|_| value.len() <= LONGEST) {
            self.insert(&name);
        }
    }

    /// Adds what stands in quotes and can be the name of a custom setting: who
    /// calls a function that sets what it is told may tell it by a literal.
    pub fn add_literals(&mut self, text: &[u8]) {
        for literal in text.split(|byte| *byte == b'\'') {
            if literal.contains(&b'.')
                && let Some(name) = as_name(literal)
            {
                self.insert(&name);
            }
        }
    }

    /// Can it change a setting that this holds for?
    #[must_use]
    pub fn any(&self, what: impl Fn(&str) -> bool) -> bool {
        self.unknown || self.names.iter().any(|name| what(name))
    }

    fn set(&mut self, words: &mut Words<'_>) {
        let mut name = words.next_name();
        if let Some(Name::Plain(word)) = &name
            && matches!(word.as_str(), "session" | "local")
        {
            // SET SESSION x, or a setting of that name.
            if words.peek_name().is_some() {
                let was_session = word == "session";
                name = words.next_name();
                if matches!(&name, Some(Name::Plain(word)) if word == "session") {
                    name = words.next_name();
                }
                if let Some(Name::Plain(word)) = &name {
                    match word.as_str() {
                        "authorization" if was_session => {
                            self.insert("session_authorization");
                            self.insert("role");
                            return;
                        }
                        "characteristics" if was_session => {
                            for name in ["isolation", "read_only", "deferrable"] {
                                self.insert(&format!("default_transaction_{name}"));
                            }
                            return;
                        }
                        _ => {}
                    }
                }
            }
        }
        match name {
            Some(Name::Plain(word)) => match word.as_str() {
                "time" => self.insert("timezone"),
                "names" => self.insert("client_encoding"),
                "schema" => self.insert("search_path"),
                "xml" => self.insert("xmloption"),
                "transaction" | "constraints" => {}
                word => self.insert(word),
            },
            Some(Name::Quoted(name)) => self.insert(&name),
            None => self.unknown = true,
        }
    }

    fn reset(&mut self, words: &mut Words<'_>) {
        match words.next_name() {
            Some(Name::Plain(word)) => match word.as_str() {
                // What the client has set is asked for in any case.
                "all" => {}
                "time" => self.insert("timezone"),
                "session" => {
                    self.insert("session_authorization");
                    self.insert("role");
                }
                word => self.insert(word),
            },
            Some(Name::Quoted(name)) => self.insert(&name),
            None => self.unknown = true,
        }
    }

    /// `set_config('name', ...)`: a literal name, or one that is not known.
    fn set_config(&mut self, words: &mut Words<'_>) {
        match words.first_argument().and_then(as_name) {
            Some(name) => self.insert(&name),
            None => self.unknown = true,
        }
    }
}

/// A setting's name in lower case, if these bytes can be one.
fn as_name(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    let starts = |part: &str| {
        part.chars()
            .next()
            .is_some_and(|c| c.is_alphabetic() || c == '_')
    };
    let follows = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$');
    let is_name = !text.is_empty()
        && text.len() <= LONGEST
        && text
            .split('.')
            .all(|part| starts(part) && part.chars().all(follows));
    is_name.then(|| spelled(text))
}

/// As PostgreSQL knows it.
fn spelled(name: &str) -> String {
    match name.contains('.') {
        true => name.to_owned(),
        false => name.to_ascii_lowercase(),
    }
}

fn is(word: &[u8], keyword: &str) -> bool {
    word.eq_ignore_ascii_case(keyword.as_bytes())
}

enum Name {
    /// Folded.
    Plain(String),
    Quoted(String),
}

/// Walks over the words of a text.
struct Words<'a> {
    rest: &'a [u8],
}

impl<'a> Words<'a> {
    fn next_word(&mut self) -> Option<&'a [u8]> {
        let start = self.rest.iter().position(|byte| is_identifier(*byte))?;
        let from = self.rest.get(start..)?;
        let length = from.iter().take_while(|byte| is_identifier(**byte)).count();
        self.rest = from.get(length..)?;
        from.get(..length)
    }

    fn skip_blank(&mut self) {
        loop {
            self.rest = self.rest.trim_ascii_start();
            let skipped = match self.rest {
                [b'-', b'-', ..] => self.rest.iter().position(|byte| *byte == b'\n'),
                [b'/', b'*', ..] => self
                    .rest
                    .windows(2)
                    .position(|pair| pair == b"*/")
                    .map(|at| at + 1),
                _ => return,
            };
            let Some(at) = skipped else { return };
            self.rest = self.rest.get(at + 1..).unwrap_or_default();
        }
    }

    /// The identifier, dotted or not, that comes next.
    fn next_name(&mut self) -> Option<Name> {
        self.skip_blank();
        let (mut name, mut quoted) = (Vec::new(), false);
        loop {
            match self.rest.first() {
                Some(b'"') => {
                    quoted = true;
                    self.quoted_part(&mut name)?;
                }
                Some(byte) if is_identifier(*byte) => {
                    let length = self.rest.iter().take_while(|b| is_identifier(**b)).count();
                    name.extend_from_slice(self.rest.get(..length)?);
                    self.rest = self.rest.get(length..)?;
                }
                _ => return None,
            }
            // `SET a . b`: blanks may stand around the dot.
            let before = self.rest;
            self.skip_blank();
            if self.rest.first() != Some(&b'.') {
                self.rest = before;
                break;
            }
            name.push(b'.');
            self.rest = self.rest.get(1..)?;
            self.skip_blank();
        }
        let name = spelled(std::str::from_utf8(&name).ok()?);
        (name.len() <= LONGEST).then_some(match quoted {
            true => Name::Quoted(name),
            false => Name::Plain(name),
        })
    }

    /// The identifier that comes next, without taking it; `None` where it is
    /// rather an assignment: `SET session = 1`.
    fn peek_name(&self) -> Option<Name> {
        let mut ahead = Words { rest: self.rest };
        ahead
            .next_name()
            .filter(|name| !matches!(name, Name::Plain(word) if word == "to"))
    }

    fn quoted_part(&mut self, name: &mut Vec<u8>) -> Option<()> {
        let mut at = 1;
        loop {
            match (self.rest.get(at)?, self.rest.get(at + 1)) {
                (b'"', Some(b'"')) => {
                    name.push(b'"');
                    at += 2;
                }
                (b'"', _) => {
                    self.rest = self.rest.get(at + 1..)?;
                    return Some(());
                }
                (byte, _) => {
                    name.push(*byte);
                    at += 1;
                }
            }
        }
    }

    /// The literal that is the first argument of a call; quotes may be doubled
    /// where the call stands in a literal itself.
    fn first_argument(&mut self) -> Option<&'a [u8]> {
        self.skip_blank();
        self.rest = self.rest.strip_prefix(b"(")?;
        self.skip_blank();
        let quotes = self.rest.iter().take_while(|byte| **byte == b'\'').count();
        if quotes == 0 {
            return None;
        }
        self.rest = self.rest.get(quotes..)?;
        let length = self.rest.iter().position(|byte| *byte == b'\'')?;
        let argument = self.rest.get(..length)?;
        self.rest = self.rest.get(length + quotes..)?;
        self.skip_blank();
        // 'app.' || x is no literal.
        (self.rest.first() == Some(&b',')).then_some(argument)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> (Vec<String>, bool) {
        let touched = Touched::by(text.as_bytes());
        let names = touched.names.iter().map(|name| name.to_string()).collect();
        (names, touched.unknown)
    }

    fn known(text: &str) -> Vec<String> {
        let (names, unknown) = names(text);
        assert!(!unknown, "{text}");
        names
    }

    #[test]
    fn names_of_every_form_of_set_are_found() {
        for (text, wanted) in [
            ("SET work_mem = '1MB'", &["work_mem"][..]),
            ("set session Work_Mem to 1", &["work_mem"]),
            ("SET LOCAL x = 1", &["x"]),
            ("SET app.tenant = '1'", &["app.tenant"]),
            ("SET app . tenant TO 1", &["app.tenant"]),
            ("SET \"App\".tenant = 1", &["App.tenant"]),
            ("SET TIME ZONE 'Asia/Tokyo'", &["timezone"]),
            ("SET NAMES 'LATIN1'", &["client_encoding"]),
            ("SET SCHEMA 'x'", &["search_path"]),
            ("SET XML OPTION CONTENT", &["xmloption"]),
            ("SET ROLE bob", &["role"]),
            ("SET SESSION ROLE bob", &["role"]),
            (
                "SET SESSION SESSION AUTHORIZATION bob",
                &["role", "session_authorization"],
            ),
            (
                "SET SESSION AUTHORIZATION bob",
                &["role", "session_authorization"],
            ),
            (
                "RESET SESSION AUTHORIZATION",
                &["role", "session_authorization"],
            ),
            ("SET TRANSACTION READ ONLY", &[]),
            ("SET session.x = 1", &["session.x"]),
            ("SET /* a */ x -- b\n = 1", &["x"]),
            ("RESET x; RESET TIME ZONE", &["timezone", "x"]),
            ("RESET ALL", &[]),
            ("SET a = 1; SET b = 2", &["a", "b"]),
            ("SELECT set_config('App.t', '1', false)", &["App.t"]),
            ("SELECT set_config( 'a' , b, false)", &["a"]),
            ("UPDATE t SET a = 1", &["a"]),
        ] {
            assert_eq!(known(text), wanted, "{text}");
        }
        let characteristics = known("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY");
        assert_eq!(characteristics.len(), 3);
    }

    #[test]
    fn a_name_that_is_not_in_the_text_is_unknown() {
        for text in [
            "SELECT set_config($1, $2, false)",
            "SELECT set_config('app.' || x, '1', false)",
            "SELECT set_config(name, setting, false) FROM pg_settings",
            "DISCARD ALL",
            "DO $$ BEGIN PERFORM f(); END $$",
            "EXECUTE format('SET %I = 1', x)",
            "SELECT U&\"set\\005fconfig\"('a', 'b', false)",
        ] {
            assert!(names(text).1, "{text}");
        }
    }

    #[test]
    fn what_is_bound_may_be_a_name() {
        let mut touched = Touched::default();
        for value in [
            &b"app.Tenant"[..],
            b"42",
            b"a b",
            b"",
            b"\xff",
            b"x.",
            b"work_mem",
        ] {
            touched.insert_bound(value);
        }
        let names: Vec<_> = touched.names.iter().map(|name| &**name).collect();
        assert_eq!(names, ["app.Tenant", "work_mem"]);
    }

    #[test]
    fn literals_may_be_names() {
        let mut touched = Touched::default();
        touched.add_literals(b"SELECT note('app.tenant', 'a value', 'work_mem', '1.5')");
        let names: Vec<_> = touched.names.iter().map(|name| &**name).collect();
        assert_eq!(names, ["app.tenant"]);
    }

    #[test]
    fn the_names_kept_are_bounded() {
        let text: String = (0..1000).map(|n| format!("SET a{n} = 1;")).collect();
        let touched = Touched::by(text.as_bytes());
        assert!(touched.unknown);
        assert_eq!(touched.names.len(), MOST);
    }
}
