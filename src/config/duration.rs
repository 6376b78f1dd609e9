//! Durations as text: seconds, or a number with one of PostgreSQL's units
//! (`config-setting.html#CONFIG-SETTING-NAMES-VALUES`).

use std::time::Duration;

use super::given::Refusal;

/// The units and their length in microseconds, the longest first, so that a
/// duration is shown in the largest that fits.
const UNITS: &[(&str, u64)] = &[
    ("d", 86_400_000_000),
    ("h", 3_600_000_000),
    ("min", 60_000_000),
    ("s", 1_000_000),
    ("ms", 1_000),
    ("us", 1),
];

/// Far beyond any use, and far below what a clock can add up to.
const LONGEST: Duration = Duration::from_secs(3_650 * 86_400);

/// Reads `90`, `1.5`, `"90s"`, `"500ms"`, `"5min"`, `"1h"`, `"1d"`.
pub(super) fn parse(text: &str) -> Result<Duration, Refusal> {
    let text = text.trim();
    let digits = text
        .bytes()
        .take_while(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'+'));
    let (number, unit) = text.split_at(digits.count());
    let unit = unit.trim();
    let unit_or_seconds = if unit.is_empty() { "s" } else { unit };
    let size = UNITS
        .iter()
        .find(|(name, _)| *name == unit_or_seconds)
        .map(|(_, micros)| *micros);
    let (Some(size), Ok(number)) = (size, number.parse::<f64>()) else {
        return Err(unreadable(text, number, unit));
    };
    if number < 0.0 {
        return Err(Refusal::new(format!("{text} is less than no time")));
    }
    match Duration::try_from_secs_f64(number * Duration::from_micros(size).as_secs_f64()) {
        Ok(time) if time <= LONGEST => Ok(time),
        _ => Err(Refusal::new(format!("{text} is longer than ten years"))),
    }
}

fn unreadable(text: &str, number: &str, unit: &str) -> Refusal {
    let refusal = Refusal::new(format!("{text:?} is not a duration"));
    match unit {
        "m" | "mins" | "minute" | "minutes" => {
            refusal.suggesting(format!("minutes: \"{number}min\""))
        }
        _ => refusal.suggesting("write seconds, or a number with us, ms, s, min, h or d"),
    }
}

/// As [`parse`] reads it, in the largest unit that leaves a whole number.
pub(super) fn show(time: Duration) -> String {
    let micros = time.as_micros();
    if micros == 0 {
        return "0".to_owned();
    }
    let largest = UNITS
        .iter()
        .find(|(_, size)| micros.is_multiple_of(u128::from(*size)));
    match largest {
        Some((unit, size)) => format!("\"{}{unit}\"", micros / u128::from(*size)),
        // The last unit divides everything.
        None => format!("\"{micros}us\""),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_number_is_seconds_and_a_unit_says_otherwise() {
        for (text, millis) in [
            ("90", 90_000),
            ("1.5", 1_500),
            ("0", 0),
            ("30s", 30_000),
            ("500ms", 500),
            ("5 min", 300_000),
            ("1h", 3_600_000),
            ("1d", 86_400_000),
            ("2000us", 2),
        ] {
            assert_eq!(
                parse(text).unwrap(),
                Duration::from_millis(millis),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in [
            "",
            "s",
            "ten",
            "-1",
            "1e400",
            "1 fortnight",
            "99999d",
            "inf",
            "nan",
            "1.2.3",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        let refusal = parse("5m").unwrap_err();
        assert_eq!(refusal.suggestion.as_deref(), Some("minutes: \"5min\""));
    }

    #[test]
    fn what_is_shown_reads_back_the_same() {
        for millis in [0, 1, 500, 1_000, 90_000, 120_000, 3_600_000, 86_400_000] {
            let time = Duration::from_millis(millis);
            assert_eq!(parse(show(time).trim_matches('"')).unwrap(), time);
        }
        assert_eq!(show(Duration::from_secs(600)), "\"10min\"");
    }
}
