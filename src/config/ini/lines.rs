//! The lines of an ini file and of those that it includes.

use std::path::{Path, PathBuf};

use crate::config::{Mistake, Sources, unquoted};

/// How deep files may include each other.
const MAX_DEPTH: usize = 10;

/// How many files may be included in all.
const MAX_FILES: usize = 1_000;

/// `key = value`, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub section: String,
    pub key: String,
    pub value: String,
    pub file: String,
    pub number: usize,
}

impl Line {
    pub fn mistake(&self, key: &str, what: impl Into<String>) -> Mistake {
        Mistake {
            file: self.file.clone(),
            line: Some(self.number),
            key: key.to_owned(),
            what: what.into(),
            suggestion: None,
        }
    }
}

/// Reads a text; what is wrong comes behind.
pub(super) fn read(file: &str, text: &str, sources: &Sources<'_>) -> (Vec<Line>, Vec<Mistake>) {
    let mut reader = Reader {
        sources,
        open: Vec::new(),
        budget: MAX_FILES,
        section: None,
        lines: Vec::new(),
        mistakes: Vec::new(),
    };
    reader.file(file, text);
    (reader.lines, reader.mistakes)
}

struct Reader<'s> {
    sources: &'s Sources<'s>,
    open: Vec<PathBuf>,
    budget: usize,
    /// It goes on behind an included file as that has left it.
    section: Option<String>,
    lines: Vec<Line>,
    mistakes: Vec<Mistake>,
}

impl Reader<'_> {
    fn file(&mut self, file: &str, text: &str) {
        self.open.push(PathBuf::from(file));
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        for (line, number) in text.lines().zip(1..) {
            if let Err(what) = self.line(file, number, line.trim()) {
                self.mistakes.push(Mistake {
                    file: file.to_owned(),
                    line: Some(number),
                    key: String::new(),
                    what,
                    suggestion: None,
                });
            }
        }
        self.open.pop();
    }

    fn line(&mut self, file: &str, number: usize, line: &str) -> Result<(), String> {
        if line.is_empty() || line.starts_with([';', '#']) {
            return Ok(());
        }
        if let Some(path) = line.strip_prefix("%include") {
            return match path.trim() {
                name if !name.is_empty() && path.starts_with(char::is_whitespace) => {
                    self.include(name)
                }
                _ => Err("a file's name must follow %include".to_owned()),
            };
        }
        if let Some(rest) = line.strip_prefix('[') {
            let name = rest
                .strip_suffix(']')
                .ok_or("the section's name has no closing bracket")?;
            self.section = Some(name.trim().to_owned());
            return Ok(());
        }
        let Some(section) = self.section.clone() else {
            return Err("a section must come first, [pgbouncer] or [databases]".to_owned());
        };
        let (key, value) = key_and_value(line)?;
        self.lines.push(Line {
            section,
            key,
            value: value.to_owned(),
            file: file.to_owned(),
            number,
        });
        Ok(())
    }

    fn include(&mut self, name: &str) -> Result<(), String> {
        let path = PathBuf::from(name);
        if self.open.contains(&path) {
            return Err(format!("{name}: the file includes itself"));
        }
        if self.open.len() > MAX_DEPTH {
            return Err(format!(
                "{name}: files include each other more than {MAX_DEPTH} deep"
            ));
        }
        self.budget = self
            .budget
            .checked_sub(1)
            .ok_or_else(|| format!("{name}: more than {MAX_FILES} files are included"))?;
        let (path, text) = self.text_of(path)?;
        self.file(&path.display().to_string(), &text);
        Ok(())
    }

    /// A relative name counts from where pgweave was started, as with PgBouncer;
    /// where nothing is there, from the file that includes it.
    fn text_of(&self, path: PathBuf) -> Result<(PathBuf, String), String> {
        let error = match (self.sources.read_file)(&path) {
            Ok(text) => return Ok((path, text)),
            Err(error) => error,
        };
        let beside = self.open.last().and_then(|file| file.parent());
        let beside = beside.map(|folder: &Path| folder.join(&path));
        match beside.map(|path| ((self.sources.read_file)(&path), path)) {
            Some((Ok(text), path)) => Ok((path, text)),
            Some((Err(_), _)) | None => Err(format!("{}: cannot read it: {error}", path.display())),
        }
    }
}

/// The key may stand in double quotes, one within them doubled.
fn key_and_value(line: &str) -> Result<(String, &str), String> {
    let (key, rest) = match line.strip_prefix('"') {
        Some(quoted) => {
            let (key, rest) = unquoted(quoted, '"').ok_or("the name has no closing quote")?;
            (key, rest)
        }
        None => {
            let end = line
                .find(|c: char| c == '=' || c.is_whitespace())
                .unwrap_or(line.len());
            let (key, rest) = line.split_at(end);
            (key.to_owned(), rest)
        }
    };
    let value = rest.trim_start().strip_prefix('=');
    match (key.is_empty(), value) {
        (false, Some(value)) => Ok((key, value.trim())),
        (true, _) | (_, None) => Err("is neither `key = value` nor a section".to_owned()),
    }
}
