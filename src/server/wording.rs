//! Errors in the client's own words: a statement goes by another name on the
//! server, and a message of ours may have been refused in its stead.

use std::ops::Range;

use crate::session::statements::{ClientStatements, FIRST_ID, PREFIX};
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
    let mut reworded = Vec::with_capacity(body.len() + 64);
    for (kind, text) in fields(body) {
        reworded.push(kind);
        match kind {
            b'M' | b'D' | b'H' => rename(&mut reworded, text, |id| {
                let own = || names.and_then(|names| names.name_of(about));
                let of_about = || own().or_else(|| tracker.earlier_name_of(about));
                let known = (id == about.id).then(of_about).flatten();
                known.or_else(|| tracker.called(id))
            }),
            b'P' => reworded.extend_from_slice(&moved(text, about.shift)),
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
        Refused::SessionState => PgError::error(
            sqlstate::FEATURE_NOT_SUPPORTED,
            "what outlives the transaction is not allowed here",
        )
        .with_hint("pgweave's configuration has session_state = \"error\" for this user or database: use SET LOCAL and the like, or another setting."),
    };
    let mut body = error.to_body();
    if why == Refused::Stale {
        // Drivers know by the name of PostgreSQL's function that they may prepare
        // again.
        body.pop();
        body.extend_from_slice(b"Fplancache.c\0RRevalidateCachedQuery\0\0");
    }
    body
}

/// Writes a text with the client's name in place of the first one of ours.
fn rename<'a>(out: &mut Vec<u8>, text: &[u8], name_of: impl Fn(u64) -> Option<&'a [u8]>) {
    let renamed = ours_in(text).and_then(|(at, id)| {
        let (head, tail) = (text.get(..at.start)?, text.get(at.end..)?);
        Some([head, name_of(id)?, tail].concat())
    });
    out.extend_from_slice(renamed.as_deref().unwrap_or(text));
}

/// The statement of ours that an error's message names.
pub(super) fn statement_in(body: &[u8]) -> Option<u64> {
    let (_, message) = fields(body).find(|(kind, _)| *kind == b'M')?;
    ours_in(message).map(|(_, id)| id)
}

/// Where the first name of ours stands in a text, in quotes, and its identity.
fn ours_in(text: &[u8]) -> Option<(Range<usize>, u64)> {
    let quoted = [b"\"", PREFIX.as_bytes()].concat();
    let at = text
        .windows(quoted.len())
        .position(|window| window == quoted)?
        + 1;
    let digits = text.get(at + PREFIX.len()..)?;
    let length = digits.iter().position(|byte| *byte == b'"')?;
    let id = std::str::from_utf8(digits.get(..length)?)
        .ok()?
        .parse()
        .ok()?;
    Some((at..at + PREFIX.len() + length, id))
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
        let stale = reworded(About::refused(Refused::Stale), UNKNOWN).unwrap_or_default();
        assert!(stale.ends_with("RRevalidateCachedQuery\0\0"), "{stale}");
    }
}
