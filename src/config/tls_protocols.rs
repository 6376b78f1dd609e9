//! Which versions of TLS are spoken.

use super::given::{Bounds, Field, Given, Refusal};
use super::suggest::did_you_mean;

/// A set of versions, never empty. There are two that are still safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TlsProtocols {
    /// TLS 1.2.
    pub v1_2: bool,
    /// TLS 1.3.
    pub v1_3: bool,
}

/// The words that a list is made of.
const WORDS: [&str; 4] = ["secure", "all", "tlsv1.2", "tlsv1.3"];

/// PgBouncer's further words, which stand for versions that nobody should use.
const TOO_OLD: [&str; 4] = ["tlsv1", "tlsv1.0", "tlsv1.1", "legacy"];

impl TlsProtocols {
    /// Both.
    pub const ALL: Self = Self {
        v1_2: true,
        v1_3: true,
    };

    fn add(&mut self, word: &str) -> Result<(), Refusal> {
        match word {
            "secure" | "all" => *self = Self::ALL,
            "tlsv1.2" => self.v1_2 = true,
            "tlsv1.3" => self.v1_3 = true,
            old if TOO_OLD.contains(&old) => {
                return Err(Refusal::new(format!(
                    "{old:?} stands for versions before TLS 1.2, which are not safe and which \
                     pgweave does not speak"
                ))
                .suggesting("write \"secure\""));
            }
            unknown => {
                return Err(Refusal {
                    what: format!("{unknown:?} is not one of {}", WORDS.join(", ")),
                    suggestion: did_you_mean(unknown, WORDS.into_iter()),
                });
            }
        }
        Ok(())
    }
}

impl Field for TlsProtocols {
    fn read(given: &Given, bounds: Bounds) -> Result<Self, Refusal> {
        let mut protocols = Self {
            v1_2: false,
            v1_3: false,
        };
        for word in Vec::<String>::read(given, bounds)? {
            protocols.add(&word.to_ascii_lowercase())?;
        }
        if !protocols.v1_2 && !protocols.v1_3 {
            return Err(Refusal::new("names no version").suggesting("write \"secure\""));
        }
        Ok(protocols)
    }

    fn kind(_: Bounds) -> String {
        "\"secure\", or a list of \"tlsv1.2\" and \"tlsv1.3\"".to_owned()
    }

    fn show(&self) -> Option<String> {
        Some(match (self.v1_2, self.v1_3) {
            (true, false) => "\"tlsv1.2\"".to_owned(),
            (false, true) => "\"tlsv1.3\"".to_owned(),
            (true, true) | (false, false) => "\"secure\"".to_owned(),
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::config::keys::ANY;

    fn read(text: &str) -> Result<TlsProtocols, Refusal> {
        TlsProtocols::read(&Given::Text(text.into()), ANY)
    }

    #[test]
    fn words_and_lists_of_them_are_read() {
        for (text, v1_2, v1_3) in [
            ("secure", true, true),
            ("all", true, true),
            ("tlsv1.2", true, false),
            ("TLSv1.3", false, true),
            ("tlsv1.3, tlsv1.2", true, true),
        ] {
            assert_eq!(read(text).unwrap(), TlsProtocols { v1_2, v1_3 }, "{text}");
        }
    }

    #[test]
    fn what_is_too_old_or_unknown_is_named() {
        for (text, what) in [
            ("tlsv1.1", "before TLS 1.2"),
            ("secure,tlsv1.0", "before TLS 1.2"),
            ("legacy", "before TLS 1.2"),
            ("tls1.3", "is not one of"),
            ("", "names no version"),
        ] {
            let refusal = read(text).unwrap_err();
            assert!(refusal.what.contains(what), "{text}: {refusal:?}");
        }
    }
}
