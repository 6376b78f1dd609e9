//! Files that name other files: `include`, `include_if_exists`, `include_dir`
//! and `@file` (`auth-pg-hba-conf.html`).
//!
//! What comes out is one list of lines, each with the place where it stands.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::lexer::{Field, Token, fields, logical_lines};
use crate::config::Mistake;

/// How deep files may include each other; PostgreSQL's own limit.
pub const MAX_DEPTH: usize = 10;
/// How many files may be read for one, that little text cannot become endless.
pub const MAX_FILES: usize = 1_000;

/// Reads what a file includes (`auth-pg-hba-conf.html#AUTH-PG-HBA-CONF`). It is
/// the caller that does the I/O, and says what may be read.
pub trait Files {
    /// The text of a file. A relative path is one that has been given so.
    ///
    /// # Errors
    ///
    /// [`Unreadable`].
    fn text(&self, path: &Path) -> Result<String, Unreadable>;

    /// The names of the files in a folder, in any order.
    ///
    /// # Errors
    ///
    /// [`Unreadable`].
    fn names_in(&self, folder: &Path) -> Result<Vec<String>, Unreadable>;
}

/// Why a file cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// `include_if_exists` goes on without it.
    #[error("there is no such file")]
    Missing,
    /// Any other reason, in words for the log.
    #[error("{0}")]
    Because(String),
}

/// Where something stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// As it was given, or joined to the folder of the file that includes it.
    pub file: Arc<str>,
    /// Counted from 1.
    pub line: usize,
}

impl Place {
    /// One that is made here.
    pub(crate) fn mistake(&self, key: &str, what: impl Into<String>) -> Mistake {
        Mistake {
            file: self.file.to_string(),
            line: Some(self.line),
            key: key.to_owned(),
            what: what.into(),
            suggestion: None,
        }
    }
}

/// A line that is no directive.
#[derive(Debug)]
pub(in crate::auth) struct Line {
    pub place: Place,
    /// Never empty.
    pub fields: Vec<Field>,
}

/// All lines of a file and of what it includes, in their order.
pub(in crate::auth) fn read(root: &Path, files: &dyn Files) -> (Vec<Line>, Vec<Mistake>) {
    let mut reader = Reader {
        files,
        open: Vec::new(),
        budget: MAX_FILES,
        lines: Vec::new(),
        mistakes: Vec::new(),
    };
    match files.text(root) {
        Ok(text) => reader.read(root.to_owned(), &text),
        Err(error) => reader.mistakes.push(Mistake {
            file: root.display().to_string(),
            line: None,
            key: String::new(),
            what: error.to_string(),
            suggestion: None,
        }),
    }
    (reader.lines, reader.mistakes)
}

struct Reader<'f> {
    files: &'f dyn Files,
    /// The files that are being read, each included by the one before.
    open: Vec<PathBuf>,
    /// How many more may be read.
    budget: usize,
    lines: Vec<Line>,
    mistakes: Vec<Mistake>,
}

impl Reader<'_> {
    fn read(&mut self, path: PathBuf, text: &str) {
        let file: Arc<str> = path.display().to_string().into();
        self.open.push(path);
        for (line, content) in logical_lines(text) {
            let file = Arc::clone(&file);
            self.read_line(Place { file, line }, &content);
        }
        self.open.pop();
    }

    fn read_line(&mut self, place: Place, content: &str) {
        let fields = match fields(content) {
            Ok(fields) => fields,
            Err(what) => return self.mistakes.push(place.mistake("", what)),
        };
        match fields.first().and_then(directive) {
            Some(directive) => match argument(&fields) {
                Some(name) => self.include(&place, directive, name),
                None => self.mistakes.push(place.mistake(
                    directive.word(),
                    "exactly one name of a file or folder must follow",
                )),
            },
            None => self.keep(place, fields),
        }
    }

    /// Keeps a line, files of names replaced by what they hold.
    fn keep(&mut self, place: Place, fields: Vec<Field>) {
        let known = self.mistakes.len();
        let mut expanded = Vec::with_capacity(fields.len());
        for field in fields {
            let mut tokens = Vec::with_capacity(field.len());
            for token in field {
                self.expand(&place, token, &mut tokens);
            }
            // To PostgreSQL the column is then not there, and others move up.
            if tokens.is_empty() && self.mistakes.len() == known {
                self.mistakes
                    .push(place.mistake("", "a file of names holds no name"));
            }
            expanded.push(tokens);
        }
        if self.mistakes.len() == known && !expanded.is_empty() {
            let fields = expanded;
            self.lines.push(Line { place, fields });
        }
    }

    fn expand(&mut self, place: &Place, token: Token, into: &mut Vec<Token>) {
        let name = token.text.strip_prefix('@');
        let Some(name) = name.filter(|name| !token.is_quoted && !name.is_empty()) else {
            return into.push(token);
        };
        let path = self.beside(name);
        match self.open_included(&path) {
            Ok(text) => self.read_names(path, &text, into),
            Err(what) => self.mistakes.push(place.mistake(&token.text, what)),
        }
    }

    /// A file of names: all its tokens, whatever the lines.
    fn read_names(&mut self, path: PathBuf, text: &str, into: &mut Vec<Token>) {
        let file: Arc<str> = path.display().to_string().into();
        self.open.push(path);
        for (line, content) in logical_lines(text) {
            let file = Arc::clone(&file);
            let place = Place { file, line };
            match fields(&content) {
                Ok(fields) => fields
                    .into_iter()
                    .flatten()
                    .for_each(|token| self.expand(&place, token, into)),
                Err(what) => self.mistakes.push(place.mistake("", what)),
            }
        }
        self.open.pop();
    }

    fn include(&mut self, place: &Place, directive: Directive, name: &str) {
        let path = self.beside(name);
        let outcome = match directive {
            Directive::Folder => self.include_folder(place, &path),
            Directive::File | Directive::FileIfExists => self.include_file(directive, path),
        };
        if let Err(what) = outcome {
            let key = format!("{} {name}", directive.word());
            self.mistakes.push(place.mistake(&key, what));
        }
    }

    fn include_file(&mut self, directive: Directive, path: PathBuf) -> Result<(), Refused> {
        match self.open_included(&path) {
            Ok(text) => self.read(path, &text),
            Err(Refused::Unreadable(Unreadable::Missing))
                if directive == Directive::FileIfExists => {}
            Err(refused) => return Err(refused),
        }
        Ok(())
    }

    /// The files of a folder that end with `.conf`, by name.
    fn include_folder(&mut self, place: &Place, folder: &Path) -> Result<(), Refused> {
        let mut names = self.files.names_in(folder)?;
        names.retain(|name| name.ends_with(".conf") && !name.starts_with('.'));
        names.sort_unstable();
        for name in names {
            if let Err(refused) = self.include_file(Directive::File, folder.join(&name)) {
                let what = String::from(refused);
                self.mistakes.push(place.mistake(&name, what));
            }
        }
        Ok(())
    }

    fn open_included(&mut self, path: &Path) -> Result<String, Refused> {
        if self.open.iter().any(|open| open == path) {
            return Err(Refused::Itself);
        }
        if self.open.len() > MAX_DEPTH {
            return Err(Refused::TooDeep);
        }
        self.budget = self.budget.checked_sub(1).ok_or(Refused::TooMany)?;
        Ok(self.files.text(path)?)
    }

    /// A name as seen from the file that is being read.
    fn beside(&self, name: &str) -> PathBuf {
        match self.open.last().and_then(|file| file.parent()) {
            Some(folder) => folder.join(name),
            None => PathBuf::from(name),
        }
    }
}

/// Why a file is not included.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    #[error("the file includes itself")]
    Itself,
    #[error("files include each other more than {MAX_DEPTH} deep")]
    TooDeep,
    #[error("more than {MAX_FILES} files are included")]
    TooMany,
}

impl From<Refused> for String {
    fn from(refused: Refused) -> Self {
        refused.to_string()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Directive {
    File,
    FileIfExists,
    Folder,
}

impl Directive {
    fn word(self) -> &'static str {
        match self {
            Self::File => "include",
            Self::FileIfExists => "include_if_exists",
            Self::Folder => "include_dir",
        }
    }
}

/// A quoted word is none: so a map may have such a name.
fn directive(field: &Field) -> Option<Directive> {
    let [token] = field.as_slice() else {
        return None;
    };
    [Directive::File, Directive::FileIfExists, Directive::Folder]
        .into_iter()
        .find(|directive| token.is_keyword(directive.word()))
}

fn argument(fields: &[Field]) -> Option<&str> {
    match fields {
        [_, name] => match name.as_slice() {
            [name] if !name.text.is_empty() => Some(&name.text),
            _ => None,
        },
        _ => None,
    }
}
