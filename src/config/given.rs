//! A value as it was written, and what a setting asks of it.

use std::fmt;
use std::path::PathBuf;

/// A value as written. A variable's value, and any value with `${...}` in it,
/// is text; so text that reads as a number is taken for one.
#[derive(Clone, PartialEq)]
pub(super) enum Given {
    Whole(i64),
    Fraction(f64),
    Flag(bool),
    Text(String),
    /// What stands in a file.
    InFile(String, PathBuf),
    List(Vec<Given>),
}

impl Given {
    /// What it is, without its content: it may be a secret.
    fn sort(&self) -> &'static str {
        match self {
            Given::Whole(_) => "a whole number",
            Given::Fraction(_) => "a fraction",
            Given::Flag(_) => "true or false",
            Given::Text(_) | Given::InFile(..) => "text",
            Given::List(_) => "a list",
        }
    }
}

impl fmt::Display for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Given::Whole(number) => write!(f, "{number}"),
            Given::Fraction(number) => write!(f, "{number}"),
            Given::Flag(flag) => write!(f, "{flag}"),
            Given::Text(text) => write!(f, "{text:?}"),
            Given::InFile(_, path) => write!(f, "what stands in {:?}", path.display()),
            Given::List(_) => f.write_str("a list"),
        }
    }
}

/// Why a value was refused: a [`super::Mistake`] without its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub what: String,
    pub suggestion: Option<String>,
}

impl Refusal {
    pub fn new(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            suggestion: None,
        }
    }

    pub fn suggesting(mut self, suggestion: impl Into<String>) -> Self {
        self.suggestion = Some(suggestion.into());
        self
    }
}

/// The smallest and the largest value; for durations `least` is 0 where zero
/// has a meaning (mostly "off") and 1 where it has none.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub least: u32,
    pub most: u32,
}

/// The type of a setting's value.
pub(super) trait Field: Sized {
    /// Takes the value over, or says why not.
    fn read(given: &Given, bounds: Bounds) -> Result<Self, Refusal>;

    /// What may be written, in words that follow "wants".
    fn kind(bounds: Bounds) -> String;

    /// The value as TOML, or none where nothing is set.
    fn show(&self) -> Option<String>;

    /// The refusal of a value of another type.
    fn wrong(given: &Given, bounds: Bounds) -> Refusal {
        Refusal::new(format!(
            "wants {}, not {}",
            Self::kind(bounds),
            given.sort()
        ))
    }
}
