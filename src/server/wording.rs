//! Errors in the client's own words: a statement goes by another name on the
//! server, and a message of ours may have been refused in its stead.

use crate::session::statements::{ClientStatements, FIRST_ID, ServerName};
use crate::session::{About, Refused, Tracker};
use crate::wire::backend::{fields, sqlstate_of};
use crate::wire::{PgError, sqlstate};

/// The body of an error about a message that named statement `about` under its
/// name on the server, as the client gets it; `None`: as it is.
pub(super) fn in_clients_words(
    tracker: &Tracker,
    about: About,
    body: &[u8],
    names: Option<&ClientStatements>,
) -> Option<Vec<u8>> {
    if let Some(why) = about.is_refused() {
        // Anything else than what was provoked has a reason of its own.
        return (sqlstate_of(body) == Some(b"26000")).then(|| refused(why));
    }
    if about.id < FIRST_ID {
        return None;
    }
    let name = names
        .and_then(|names| names.name_of(about))
        .or_else(|| tracker.earlier_name_of(about));
    let ours = [b"\"", ServerName::of(about.id).as_bytes(), b"\""].concat();
    let mut reworded = Vec::with_capacity(body.len() + 64);
    for (kind, text) in fields(body) {
        reworded.push(kind);
        match (kind, name) {
            (b'M' | b'D' | b'H', Some(name)) => rename(&mut reworded, text, &ours, name),
            (b'P', _) => reworded.extend_from_slice(&moved(text, about.shift)),
            _ => reworded.extend_from_slice(text),
        }
        reworded.push(0);
    }
    reworded.push(0);
    (reworded != body).then_some(reworded)
}

fn refused(why: Refused) -> Vec<u8> {
    let error = match why {
        Refused::TooMany => PgError::error(
            sqlstate::CONFIGURATION_LIMIT_EXCEEDED,
            "too many prepared statements",
        )
        .with_hint("Close some, or raise max_client_prepared_statements or max_client_prepared_bytes in pgweave's configuration."),
        Refused::Stale => PgError::error(
            sqlstate::FEATURE_NOT_SUPPORTED,
            "cached plan must not change result type",
        ),
    };
    error.to_body()
}

/// Writes a text in which one quoted name is replaced by another.
fn rename(out: &mut Vec<u8>, text: &[u8], ours: &[u8], name: &[u8]) {
    let at = text.windows(ours.len()).position(|window| window == ours);
    let parts = at.and_then(|at| Some((text.get(..at)?, text.get(at + ours.len()..)?)));
    match parts {
        Some((head, tail)) => {
            for part in [head, b"\"", name, b"\"", tail] {
                out.extend_from_slice(part);
            }
        }
        None => out.extend_from_slice(text),
    }
}

/// A position in the text that was sent, as one in the text that the client
/// sent. What an error can point to stands behind the name.
fn moved(position: &[u8], shift: i16) -> Vec<u8> {
    let number = std::str::from_utf8(position)
        .ok()
        .and_then(|text| text.parse::<i64>().ok());
    match number {
        Some(number) => (number - i64::from(shift)).max(1).to_string().into_bytes(),
        None => position.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNKNOWN: &[u8] = b"SERROR\0C26000\0Mprepared statement \"_pw5000\" does not exist\0\0";

    fn reworded(about: About, body: &[u8]) -> Option<String> {
        let mut tracker = Tracker::default();
        tracker.owe_about(
            crate::session::Kind::Bind,
            crate::session::Pay::Forward,
            about,
        );
        tracker.attach(crate::session::statements::Op::Called {
            id: 5000,
            name: b"mine"[..].into(),
        });
        in_clients_words(&tracker, about, body, None)
            .map(|body| String::from_utf8_lossy(&body).into_owned())
    }

    #[test]
    fn the_clients_own_name_is_told() {
        let told = reworded(About::new(5000, b"mine"), UNKNOWN).unwrap_or_default();
        assert!(
            told.contains("prepared statement \"mine\" does not exist"),
            "{told}"
        );
        assert_eq!(reworded(About::default(), UNKNOWN), None);
    }

    #[test]
    fn a_position_is_that_in_the_clients_text() {
        let about = About::new(5000, b"mine").shifted(5);
        let told = reworded(about, b"SERROR\0Mno column\0P20\0\0").unwrap_or_default();
        assert_eq!(told, "SERROR\0Mno column\0P15\0\0");
    }

    #[test]
    fn what_was_to_be_refused_is_told_our_reason() {
        let about = About::refused(Refused::TooMany);
        let told = reworded(about, UNKNOWN).unwrap_or_default();
        assert!(told.contains("too many prepared statements"), "{told}");
        assert_eq!(reworded(about, b"SERROR\0C57014\0\0"), None);
    }
}
