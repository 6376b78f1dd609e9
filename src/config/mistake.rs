//! One thing that is wrong in a configuration.

use std::fmt;

/// A mistake, told so that its author can mend it. Never holds a secret: a
/// refused value is shown only where it cannot be one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The file's name as it was given, or `environment`.
    pub file: String,
    /// Counted from 1; none when the mistake stands in no line.
    pub line: Option<usize>,
    /// `pgweave.listen_port`, `databases.app`, or a variable's name; empty when
    /// the text could not be read as TOML at all.
    pub key: String,
    /// What is wrong, in a few words.
    pub what: String,
    /// What to write instead.
    pub suggestion: Option<String>,
}

impl fmt::Display for Mistake {
    /// `file:line: key: what (suggestion)`, without the parts that are not known.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file)?;
        if let Some(line) = self.line {
            write!(f, "{line}:")?;
        }
        if !self.key.is_empty() {
            write!(f, " {}:", self.key)?;
        }
        write!(f, " {}", self.what)?;
        match &self.suggestion {
            Some(suggestion) => write!(f, " ({suggestion})"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_is_one_line_with_what_is_known() {
        let mut mistake = Mistake {
            file: "a.toml".into(),
            line: Some(3),
            key: "pgweave.x".into(),
            what: "unknown key".into(),
            suggestion: Some("did you mean \"y\"?".into()),
        };
        assert_eq!(
            mistake.to_string(),
            "a.toml:3: pgweave.x: unknown key (did you mean \"y\"?)"
        );
        mistake.line = None;
        mistake.suggestion = None;
        assert_eq!(mistake.to_string(), "a.toml: pgweave.x: unknown key");
    }
}
