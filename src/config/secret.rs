//! Passwords and what is derived from them, kept out of logs and freed memory.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// A password, md5 hash or SCRAM verifier. Its `Debug` shows nothing, its
/// memory is overwritten when dropped, comparison takes the same time for all
/// secrets of one length.
#[derive(Clone)]
pub struct Secret {
    text: Zeroizing<String>,
    file: Option<Arc<Path>>,
}

/// In which of PostgreSQL's forms a secret is written
/// (`catalog-pg-authid.html`, column `rolpassword`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretForm {
    /// The password itself.
    Plain,
    /// `md5` and 32 hexadecimal digits (lower case): md5 over password and user name.
    Md5,
    /// `SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey`.
    Scram,
}

/// How PostgreSQL marks a SCRAM verifier.
const SCRAM_MARK: &str = "SCRAM-SHA-256$";

impl Secret {
    /// Takes a secret over.
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            text: Zeroizing::new(text.into()),
            file: None,
        }
    }

    /// It was read from there, where another may stand later.
    #[must_use]
    pub fn read_from(mut self, file: &Path) -> Self {
        self.file = Some(file.into());
        self
    }

    /// Where it was read from, if it was not written in the configuration.
    #[must_use]
    pub fn file(&self) -> Option<&Arc<Path>> {
        self.file.as_ref()
    }

    /// The secret itself: for authentication only.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// Which of PostgreSQL's forms this is, told as PostgreSQL tells it: a
    /// text that only resembles md5 is a plain password.
    pub fn form(&self) -> SecretForm {
        let text = self.expose();
        if text.starts_with(SCRAM_MARK) {
            return SecretForm::Scram;
        }
        match text.strip_prefix("md5") {
            Some(hex)
                if hex.len() == 32
                    && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) =>
            {
                SecretForm::Md5
            }
            _ => SecretForm::Plain,
        }
    }

    /// Whether a text marked as a SCRAM verifier has all its parts. True for
    /// the other forms.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        match self.expose().strip_prefix(SCRAM_MARK) {
            Some(rest) => verifier_parts(rest).is_some(),
            None => true,
        }
    }
}

/// `iterations:salt$StoredKey:ServerKey`, checked as far as text goes.
fn verifier_parts(rest: &str) -> Option<()> {
    let (salting, keys) = rest.split_once('$')?;
    let (iterations, salt) = salting.split_once(':')?;
    let (stored, server) = keys.split_once(':')?;
    let iterations: u32 = iterations.parse().ok()?;
    let keys_fit = [stored, server]
        .iter()
        .all(|k| k.len() == 44 && is_base64(k));
    (iterations > 0 && !salt.is_empty() && is_base64(salt) && keys_fit).then_some(())
}

fn is_base64(text: &str) -> bool {
    let body = text.trim_end_matches('=');
    text.len().is_multiple_of(4)
        && text.len() - body.len() <= 2
        && body
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'+' || b == b'/')
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.expose()
            .as_bytes()
            .ct_eq(other.expose().as_bytes())
            .into()
    }
}

impl Eq for Secret {}

#[cfg(test)]
mod tests {
    use super::*;

    const VERIFIER: &str = "SCRAM-SHA-256$4096:c2FsdHNhbHRzYWx0c2FsdA==$\
        AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:\
        AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

    #[test]
    fn debug_shows_nothing_of_a_secret() {
        let shown = format!(
            "{:?} {:#?}",
            Secret::new("hunter2"),
            Some(Secret::new("hunter2"))
        );
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(shown.starts_with("Secret(..)"));
    }

    #[test]
    fn secrets_are_equal_by_content() {
        assert_eq!(Secret::new("a"), Secret::new("a"));
        assert_ne!(Secret::new("a"), Secret::new("b"));
        assert_ne!(Secret::new("a"), Secret::new("aa"));
    }

    #[test]
    fn the_form_is_told_as_postgresql_tells_it() {
        assert_eq!(Secret::new("md5").form(), SecretForm::Plain);
        assert_eq!(Secret::new("md5zz").form(), SecretForm::Plain);
        let md5 = |digits: &str| Secret::new(format!("md5{}", digits.repeat(8)));
        assert_eq!(md5("0af9").form(), SecretForm::Md5);
        assert_eq!(md5("0aF9").form(), SecretForm::Plain);
        assert_eq!(md5("0af").form(), SecretForm::Plain);
        assert_eq!(Secret::new(VERIFIER).form(), SecretForm::Scram);
    }

    #[test]
    fn a_verifier_with_a_part_missing_is_not_whole() {
        assert!(Secret::new(VERIFIER).is_whole());
        assert!(Secret::new("anything").is_whole());
        assert!(!Secret::new("SCRAM-SHA-256$4096:c2FsdA==").is_whole());
        assert!(!Secret::new(VERIFIER.replace("4096", "0")).is_whole());
        assert!(!Secret::new(VERIFIER.replace("c2Fs", "c2!s")).is_whole());
        assert!(!Secret::new(VERIFIER.trim_end_matches('=')).is_whole());
    }
}
