//! A command that prints something.

use super::given::{Bounds, Field, Given, Refusal};

/// A program and its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command(pub Vec<String>);

impl Field for Command {
    /// A text is for the shell, a list is taken as it is.
    fn read(given: &Given, bounds: Bounds) -> Result<Self, Refusal> {
        match given {
            Given::List(items) if items.is_empty() => Err(Refusal::new("must not be empty")),
            Given::List(_) => Vec::<String>::read(given, bounds).map(Self),
            given => {
                let text = String::read(given, bounds)?;
                Ok(Self(vec!["/bin/sh".to_owned(), "-c".to_owned(), text]))
            }
        }
    }

    fn kind(_: Bounds) -> String {
        "text for the shell, or a list of a program and its arguments".to_owned()
    }

    fn show(&self) -> Option<String> {
        Some(format!("{:?}", self.0))
    }
}
