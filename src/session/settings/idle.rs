//! `idle_session_timeout`: it is meant for the client, not for a server connection
//! that rests in the pool.

use std::time::Duration;

/// The setting's name.
pub const IDLE_SESSION_TIMEOUT: &str = "idle_session_timeout";

/// The limit that a value says, as PostgreSQL shows it: a number with a unit, of
/// milliseconds without one. `None`: no limit.
#[must_use]
pub fn limit(value: &[u8]) -> Option<Duration> {
    let value = std::str::from_utf8(value).ok()?;
    let digits = value.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = value.split_at_checked(digits)?;
    let number: u64 = number.parse().ok()?;
    let ms = match unit {
        "" | "ms" => 1,
        "s" => 1000,
        "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    let limit = Duration::from_millis(number.saturating_mul(ms));
    (!limit.is_zero()).then_some(limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_read_as_postgresql_shows_it() {
        let ms = |value: &str| limit(value.as_bytes()).map(|limit| limit.as_millis());
        assert_eq!(ms("300ms"), Some(300));
        assert_eq!(ms("2s"), Some(2000));
        assert_eq!(ms("5min"), Some(300_000));
        assert_eq!(ms("1h"), Some(3_600_000));
        assert_eq!(ms("2d"), Some(172_800_000));
        assert_eq!(ms("7"), Some(7));
        for none in ["0", "", "ms", "5 parsecs", "99999999999999999999h"] {
            assert_eq!(ms(none), None, "{none}");
        }
    }
}
