//! The permissions of a file, written as the digits that chmod takes.

use super::given::{Bounds, Field, Given, Refusal};

/// Permission bits, at most `0o777`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileMode(pub u32);

impl Field for FileMode {
    fn read(given: &Given, bounds: Bounds) -> Result<Self, Refusal> {
        // A number in TOML is decimal: 777 would be read as something else.
        let Given::Text(text) = given else {
            return Err(Self::wrong(given, bounds).suggesting("put it in quotes"));
        };
        u32::from_str_radix(text, 8)
            .ok()
            .filter(|mode| *mode <= 0o777 && !text.starts_with('+'))
            .map(Self)
            .ok_or_else(|| Self::wrong(given, bounds))
    }

    fn kind(_: Bounds) -> String {
        "octal digits in quotes, from \"000\" to \"777\"".to_owned()
    }

    fn show(&self) -> Option<String> {
        Some(format!("\"{:04o}\"", self.0))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::config::keys::ANY;

    #[test]
    fn octal_digits_alone_are_a_mode() {
        let read = |text: &str| FileMode::read(&Given::Text(text.to_owned()), ANY);
        assert_eq!(read("0770").unwrap(), FileMode(0o770));
        assert_eq!(read("600").unwrap().show().as_deref(), Some("\"0600\""));
        for wrong in ["", "8", "1777", "rw", "-1", "+7", "0o7"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        assert!(FileMode::read(&Given::Whole(770), ANY).is_err());
    }
}
