//! PgBouncer's ini files: read as PgBouncer reads them, with its defaults, into
//! the same [`Config`] as a file in TOML.
//!
//! [`read`] cuts a file, and what it includes, into lines with their places;
//! [`translate`] sets what they say, by the tables of the settings; what is not
//! honoured is told once, with the reason ([`differences`]).

mod connection_string;
mod convert;
pub(super) mod defaults;
mod differences;
mod lines;
mod translate;

use super::{Config, Mistake, Sources};

pub use convert::to_toml;

/// What an ini file comes to.
#[derive(Debug, Clone, PartialEq)]
pub struct FromIni {
    /// As a file in TOML would give it.
    pub config: Config,
    /// What is not honoured, in words: one text for all of it, if there is any.
    pub warning: Option<String>,
}

/// Reads an ini file's text. `file_name` is what others are included from.
///
/// # Errors
///
/// Every mistake in the file, in those that it includes and in those that it
/// names.
pub fn from_ini(
    file_name: &str,
    text: &str,
    sources: &Sources<'_>,
) -> Result<FromIni, Vec<Mistake>> {
    let (lines, mistakes) = lines::read(file_name, text, sources);
    translate::translate(file_name, &lines, mistakes, sources)
}
