//! Does a client speak of its `application_name`?

use super::APPLICATION_NAME;

/// Bytes of the name before its underscore.
const BEFORE: usize = 11;

/// Do these bytes hold the name of that setting, in whatever case?
#[must_use]
pub fn speaks_of_name(bytes: &[u8]) -> bool {
    let is_name = |at: usize| {
        let start = at.checked_sub(BEFORE);
        let word = start.and_then(|start| bytes.get(start..start + APPLICATION_NAME.len()));
        word.is_some_and(|word| word.eq_ignore_ascii_case(APPLICATION_NAME.as_bytes()))
    };
    let mut bytes = bytes.iter().enumerate();
    bytes.any(|(at, byte)| *byte == b'_' && is_name(at))
}

/// May the setting be changed by what these bytes say: by its name, or with others?
#[must_use]
pub fn may_reset_name(bytes: &[u8]) -> bool {
    let rest = |at: usize| bytes.get(at..).unwrap_or_default();
    let begins = |at: usize, word: &[u8]| {
        let here = rest(at).get(..word.len());
        here.is_some_and(|here| here.eq_ignore_ascii_case(word))
    };
    let is_word = |(at, byte): (usize, &u8)| match byte {
        b'r' | b'R' => begins(at, b"reset"),
        b'd' | b'D' => begins(at, b"discard"),
        _ => false,
    };
    speaks_of_name(bytes) || bytes.iter().enumerate().any(is_word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_found_wherever_it_stands() {
        for text in [
            "application_name",
            "SHOW Application_Name;",
            "SELECT current_setting('APPLICATION_NAME')",
            "__application_name_",
        ] {
            assert!(speaks_of_name(text.as_bytes()), "{text}");
        }
        for text in ["Reset all", "x;DISCARD ALL", "application_name"] {
            assert!(may_reset_name(text.as_bytes()), "{text}");
        }
        for text in ["", "SELECT 1 FROM red", "RESE", "DISCAR"] {
            assert!(!may_reset_name(text.as_bytes()), "{text}");
        }
        for text in [
            "",
            "_name",
            "application name",
            "pplication_name",
            "application_nam",
        ] {
            assert!(!speaks_of_name(text.as_bytes()), "{text}");
        }
    }
}
