//! Where each setting was written, for mistakes that show only afterwards.

use std::collections::BTreeMap;

use super::Mistake;
use super::given::Refusal;

/// Where one setting, or one section, was written.
#[derive(Debug, Clone)]
struct Place {
    file: String,
    line: Option<usize>,
    key: String,
}

/// The places of all settings, by path: `pgweave.listen_port`.
#[derive(Debug)]
pub(super) struct Places {
    file: String,
    by_path: BTreeMap<String, Place>,
}

impl Places {
    /// `file` is named for what was written nowhere.
    pub fn new(file: &str) -> Self {
        Self {
            file: file.to_owned(),
            by_path: BTreeMap::new(),
        }
    }

    /// Notes the line at which a path was written in the file.
    pub fn note_line(&mut self, path: &str, line: usize) {
        let place = Place {
            file: self.file.clone(),
            line: Some(line),
            key: path.to_owned(),
        };
        self.by_path.insert(path.to_owned(), place);
    }

    /// Notes where a path was written, in whichever file, and under which key.
    pub fn note(&mut self, path: &str, file: &str, line: usize, key: &str) {
        let place = Place {
            file: file.to_owned(),
            line: Some(line),
            key: key.to_owned(),
        };
        self.by_path.insert(path.to_owned(), place);
    }

    /// Notes that a path was given by an environment variable, whatever the file says.
    pub fn note_variable(&mut self, path: &str, variable: &str) {
        let place = Place {
            file: ENVIRONMENT.to_owned(),
            line: None,
            key: variable.to_owned(),
        };
        self.by_path.insert(path.to_owned(), place);
    }

    /// Under which key a mistake about a path is told.
    pub fn key<'a>(&'a self, path: &'a str) -> &'a str {
        self.by_path
            .get(path)
            .map_or(path, |place| place.key.as_str())
    }

    /// A mistake about a path, at its own place or else at its section's.
    pub fn mistake(&self, path: &str, refusal: Refusal) -> Mistake {
        let Refusal { what, suggestion } = refusal;
        if let Some(place) = self.by_path.get(path).cloned() {
            return Mistake {
                file: place.file,
                line: place.line,
                key: place.key,
                what,
                suggestion,
            };
        }
        let section = self
            .by_path
            .iter()
            .filter(|(section, _)| {
                path.strip_prefix(*section)
                    .is_some_and(|k| k.starts_with('.'))
            })
            .max_by_key(|(section, _)| section.len());
        let (file, line) = match section {
            Some((_, place)) => (place.file.clone(), place.line),
            None => (self.file.clone(), None),
        };
        Mistake {
            file,
            line,
            key: path.to_owned(),
            what,
            suggestion,
        }
    }
}

/// Stands in a [`Mistake`] for the name of a file.
pub(super) const ENVIRONMENT: &str = "environment";

/// The path of a named section: `databases.app`, `users."a.b"`.
pub(super) fn section_path(section: &str, name: &str) -> String {
    let bare = !name.is_empty()
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if bare {
        format!("{section}.{name}")
    } else {
        format!("{section}.{name:?}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_stands_at_its_key_or_else_at_its_section() {
        let mut places = Places::new("a.toml");
        places.note_line("users.a", 4);
        places.note_line("users.a.pool_size", 5);
        places.note_variable("pgweave.listen_port", "PGWEAVE_LISTEN_PORT");
        let told = |path| places.mistake(path, Refusal::new("wrong")).to_string();
        assert_eq!(
            told("users.a.pool_size"),
            "a.toml:5: users.a.pool_size: wrong"
        );
        assert_eq!(
            told("users.a.password"),
            "a.toml:4: users.a.password: wrong"
        );
        assert_eq!(told("users.abc"), "a.toml: users.abc: wrong");
        assert_eq!(
            told("pgweave.listen_port"),
            "environment: PGWEAVE_LISTEN_PORT: wrong"
        );
    }

    #[test]
    fn a_name_that_is_not_bare_is_quoted() {
        assert_eq!(section_path("users", "a-1"), "users.a-1");
        assert_eq!(section_path("databases", "*"), "databases.\"*\"");
        assert_eq!(section_path("users", ""), "users.\"\"");
    }
}
