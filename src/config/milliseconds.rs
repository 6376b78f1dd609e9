//! A time that PgBouncer counts in milliseconds.

use std::time::Duration;

use super::given::{Bounds, Field, Given, Refusal};

/// A duration; a number without a unit is milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Milliseconds(pub Duration);

impl Field for Milliseconds {
    fn read(given: &Given, bounds: Bounds) -> Result<Self, Refusal> {
        let bare = match given {
            Given::Whole(number) => Some(number.to_string()),
            Given::Text(text) if text.trim().bytes().all(|byte| byte.is_ascii_digit()) => {
                Some(text.trim().to_owned())
            }
            _ => None,
        };
        let given = match bare {
            Some(number) => Given::Text(format!("{number}ms")),
            None => given.clone(),
        };
        Duration::read(&given, bounds).map(Self)
    }

    fn kind(_: Bounds) -> String {
        "milliseconds, or a duration with its unit".to_owned()
    }

    fn show(&self) -> Option<String> {
        Some(format!("\"{}ms\"", self.0.as_millis()))
    }
}
