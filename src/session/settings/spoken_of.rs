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
