//! Messages toward a client that pgweave itself originates, and the views it
//! takes of a server's.
//!
//! Source: `protocol-message-formats.html`.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::num::NonZeroU32;

use pgwire::messages::startup::{
    BackendKeyData, NegotiateProtocolVersion, ParameterStatus, SecretKey,
};

use super::encode;
use super::frame::cstr;

/// AuthenticationOk.
pub const AUTHENTICATION_OK: [u8; 9] = *b"R\0\0\0\x08\0\0\0\0";
/// ParseComplete.
pub const PARSE_COMPLETE: [u8; 5] = *b"1\0\0\0\x04";
/// CloseComplete.
pub const CLOSE_COMPLETE: [u8; 5] = *b"3\0\0\0\x04";
/// ReadyForQuery outside a transaction block.
pub const READY_IDLE: [u8; 6] = *b"Z\0\0\0\x05I";

/// ParameterStatus.
#[must_use]
pub fn parameter_status(name: &str, value: &str) -> Vec<u8> {
    encode(ParameterStatus::new(name.to_owned(), value.to_owned()))
}

/// BackendKeyData with a key of 4 bytes (protocol 3.0) or more (3.2).
#[must_use]
pub fn backend_key_data(pid: i32, secret: &[u8]) -> Vec<u8> {
    let key = match <[u8; 4]>::try_from(secret) {
        Ok(short) => SecretKey::I32(i32::from_be_bytes(short)),
        Err(_) => SecretKey::Bytes(secret.to_vec().into()),
    };
    encode(BackendKeyData::new(pid, key))
}

/// What a session begins with, behind AuthenticationOk: a ParameterStatus for each
/// parameter, BackendKeyData, a NoticeResponse or nothing, ReadyForQuery (`protocol-flow.html#PROTOCOL-FLOW-START-UP`).
#[must_use]
pub fn session_begins<'p>(
    parameters: impl IntoIterator<Item = (&'p str, &'p str)>,
    pid: i32,
    secret: &[u8],
    notice: &[u8],
) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in parameters {
        out.extend_from_slice(&parameter_status(name, value));
    }
    out.extend_from_slice(&backend_key_data(pid, secret));
    out.extend_from_slice(notice);
    out.extend_from_slice(&READY_IDLE);
    out
}

/// NegotiateProtocolVersion: the newest minor version of 3 that we speak to
/// this client, and the `_pq_.` options that we do not know.
#[must_use]
pub fn negotiate_protocol_version(minor: u16, unknown: Vec<String>) -> Vec<u8> {
    encode(NegotiateProtocolVersion::new(
        (3 << 16) | i32::from(minor),
        unknown,
    ))
}

/// Reads a ParameterStatus body: name and value as bytes.
#[must_use]
pub fn parameter(body: &[u8]) -> Option<(&[u8], &[u8])> {
    let (name, rest) = cstr(body)?;
    let (value, _) = cstr(rest)?;
    Some((name, value))
}

/// What a NotificationResponse says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Notification<'a> {
    /// The process that sent it.
    pub pid: i32,
    /// Its channel.
    pub channel: &'a [u8],
    /// Its payload.
    pub payload: &'a [u8],
}

/// Reads a NotificationResponse body.
#[must_use]
pub fn notification(body: &[u8]) -> Option<Notification<'_>> {
    let (pid, rest) = body.split_first_chunk::<4>()?;
    let (channel, rest) = cstr(rest)?;
    let (payload, _) = cstr(rest)?;
    Some(Notification {
        pid: i32::from_be_bytes(*pid),
        channel,
        payload,
    })
}

/// Reads a BackendKeyData body: process id and key of 4 to 256 bytes.
#[must_use]
pub fn key_data(body: &[u8]) -> Option<(i32, &[u8])> {
    let (pid, secret) = body.split_first_chunk::<4>()?;
    (4..=256)
        .contains(&secret.len())
        .then_some((i32::from_be_bytes(*pid), secret))
}

/// Is the error in this ErrorResponse body one that ends the connection?
///
/// The fields that say so come first (`S`, `V`, then `C`), so a body that has
/// only begun to arrive is enough.
#[must_use]
pub fn is_fatal(body: &[u8]) -> bool {
    fields(body)
        .find(|(kind, _)| *kind == b'V')
        .or_else(|| fields(body).find(|(kind, _)| *kind == b'S'))
        .is_some_and(|(_, text)| matches!(text, b"FATAL" | b"PANIC"))
}

/// The SQLSTATE of an ErrorResponse body, if it has arrived.
#[must_use]
pub fn sqlstate_of(body: &[u8]) -> Option<&[u8]> {
    fields(body)
        .find(|(kind, _)| *kind == b'C')
        .map(|(_, text)| text)
}

/// The fields of an ErrorResponse body, kind and text.
pub fn fields(body: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut rest = body;
    std::iter::from_fn(move || {
        let (field, after) = cstr(rest)?;
        rest = after;
        let (kind, text) = field.split_first()?;
        Some((*kind, text))
    })
}

/// A digest of what PostgreSQL compares before it says that a result type has
/// changed: names and types of the columns, not where they come from. Of a
/// RowDescription that has arrived to its end, or of NoData; `parameters` is the
/// body of the ParameterDescription before it.
#[must_use]
pub fn shape_of(parameters: &[u8], tag: u8, body: &[u8]) -> NonZeroU32 {
    let mut hasher = DefaultHasher::new();
    (parameters, tag).hash(&mut hasher);
    let mut rest = body.get(2..).unwrap_or_default();
    while let Some((name, of_type, after)) = column(rest) {
        (name, of_type).hash(&mut hasher);
        rest = after;
    }
    rest.hash(&mut hasher);
    let [a, b, c, d, ..] = hasher.finish().to_be_bytes();
    NonZeroU32::MIN | u32::from_be_bytes([a, b, c, d])
}

/// The first column of a RowDescription: its name, what says its type (with size
/// and modifier), and what follows it.
fn column(columns: &[u8]) -> Option<(&[u8], &[u8; 10], &[u8])> {
    let (name, fixed) = cstr(columns)?;
    // Table and column before the type, the format behind it.
    let (_, fixed) = fixed.split_first_chunk::<6>()?;
    let (of_type, fixed) = fixed.split_first_chunk::<10>()?;
    let (_, after) = fixed.split_first_chunk::<2>()?;
    Some((name, of_type, after))
}

/// The columns of a DataRow; `None` is NULL. Ends early where the body is malformed.
pub fn columns(body: &[u8]) -> impl Iterator<Item = Option<&[u8]>> {
    let mut rest = body.get(2..).unwrap_or_default();
    std::iter::from_fn(move || {
        let (length, after) = rest.split_first_chunk::<4>()?;
        let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) else {
            rest = after;
            return Some(None);
        };
        let value = after.get(..length)?;
        rest = after.get(length..)?;
        Some(Some(value))
    })
}

#[cfg(test)]
mod tests {
    use pgwire::messages::extendedquery::{CloseComplete, ParseComplete};
    use pgwire::messages::response::{ReadyForQuery, TransactionStatus};

    use super::*;
    use crate::wire::PgError;

    #[test]
    fn the_constant_frames_are_what_pgwire_encodes() {
        assert_eq!(encode(ParseComplete::new()), PARSE_COMPLETE);
        assert_eq!(encode(CloseComplete::new()), CLOSE_COMPLETE);
        assert_eq!(
            encode(ReadyForQuery::new(TransactionStatus::Idle)),
            READY_IDLE
        );
    }

    #[test]
    fn a_key_has_the_length_that_the_client_asked_for() {
        assert_eq!(backend_key_data(5, &[1, 2, 3, 4]).len(), 13);
        let long = backend_key_data(5, &[9; 32]);
        assert_eq!(long.len(), 41);
        assert_eq!(
            key_data(long.get(5..).unwrap_or_default()),
            Some((5, &[9u8; 32][..]))
        );
        assert_eq!(key_data(&[0; 7]), None);
        assert_eq!(key_data(&[0; 400]), None);
    }

    #[test]
    fn the_shape_of_a_result_is_names_and_types() {
        let row = |name: &[u8], table: u8, of_type: u8| {
            let fixed = [
                0, 0, 0, table, 0, 1, 0, 0, 0, of_type, 0, 4, 255, 255, 255, 255, 0, 0,
            ];
            shape_of(b"", b'T', &[&[0, 1], name, &[0], &fixed].concat())
        };
        assert_eq!(row(b"a", 1, 23), row(b"a", 2, 23));
        assert_ne!(row(b"a", 1, 23), row(b"b", 1, 23));
        assert_ne!(row(b"a", 1, 23), row(b"a", 1, 25));
        assert_ne!(row(b"a", 1, 23), shape_of(b"", b'n', b""));
        assert_ne!(
            shape_of(b"", b'n', b""),
            shape_of(&[0, 1, 0, 0, 0, 23], b'n', b"")
        );
        // A column that is cut off.
        let cut = |name| shape_of(b"", b'T', &[0, 1, name, 0, 1]);
        assert_ne!(cut(b'a'), cut(b'b'));
    }

    #[test]
    fn the_gravity_of_an_error_is_read_from_its_first_fields() {
        let fatal = PgError::fatal("57P01", "bye").to_frame();
        let body = fatal.get(5..).unwrap_or_default();
        assert!(is_fatal(body));
        assert_eq!(sqlstate_of(body), Some(&b"57P01"[..]));
        assert!(!is_fatal(b"SERROR\0VERROR\0C42601\0"));
        assert!(!is_fatal(b""));
        assert!(is_fatal(b"SFATAL\0"));
    }

    #[test]
    fn columns_are_cut_at_their_lengths() {
        let row = b"\0\x03\0\0\0\x02ab\xff\xff\xff\xff\0\0\0\0";
        let found: Vec<_> = columns(row).collect();
        assert_eq!(found, [Some(&b"ab"[..]), None, Some(b"")]);
        assert_eq!(columns(b"\0\x01\0\0\0\x09ab").count(), 0);
    }
}
