//! SQL that the server runs for pgweave.

use super::given::{Bounds, Field, Given, Refusal};

/// One command or several; may be empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sql(pub String);

impl Sql {
    /// From a text.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl Field for Sql {
    fn read(given: &Given, bounds: Bounds) -> Result<Self, Refusal> {
        match given {
            Given::Text(text) if text.trim().is_empty() => Ok(Self(String::new())),
            given => String::read(given, bounds).map(Self),
        }
    }

    fn kind(_: Bounds) -> String {
        "SQL, or an empty text".to_owned()
    }

    fn show(&self) -> Option<String> {
        self.0.show()
    }
}
