//! How OTLP is put in JSON (`opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding`):
//! numbers of 64 bits as texts, identifiers in hexadecimal digits.

use std::fmt::Write;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// A text in quotes.
pub(super) fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_else(|_| "\"\"".to_owned())
}

/// An attribute that is a text.
pub(super) fn attribute(key: &str, value: &str) -> String {
    let (key, value) = (quoted(key), quoted(value));
    format!("{{\"key\":{key},\"value\":{{\"stringValue\":{value}}}}}")
}

/// One that is a whole number.
pub(super) fn whole(key: &str, value: i64) -> String {
    format!(
        "{{\"key\":{},\"value\":{{\"intValue\":\"{value}\"}}}}",
        quoted(key)
    )
}

/// One that is seconds.
pub(super) fn seconds(key: &str, value: f64) -> String {
    format!(
        "{{\"key\":{},\"value\":{{\"doubleValue\":{value}}}}}",
        quoted(key)
    )
}

/// What stands around spans or metrics: of what process they are.
pub(super) fn framed(resource: &[(String, String)], signal: [&str; 3], each: &str) -> String {
    let [resources, scopes, signal] = signal;
    let about: Vec<String> = resource
        .iter()
        .map(|(key, value)| attribute(key, value))
        .collect();
    format!(
        "{{\"{resources}\":[{{\"resource\":{{\"attributes\":[{}]}},\"{scopes}\":[{{\"scope\":\
         {{\"name\":\"pgweave\",\"version\":\"{}\"}},\"{signal}\":[{each}]}}]}}]}}",
        about.join(","),
        env!("CARGO_PKG_VERSION"),
    )
}

/// Hexadecimal digits.
pub(super) fn digits(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Tells the time of day of what was noted by the other clock.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    now: Instant,
    time: SystemTime,
}

impl Clock {
    /// As it is now.
    pub fn read() -> Self {
        Self {
            now: Instant::now(),
            time: SystemTime::now(),
        }
    }

    /// Nanoseconds since 1970.
    pub fn nanos(&self, at: Instant) -> u128 {
        let ago = self.now.saturating_duration_since(at);
        let time = self.time.checked_sub(ago).unwrap_or(UNIX_EPOCH);
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        since.as_nanos()
    }
}
