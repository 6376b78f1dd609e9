//! Messages toward a server that pgweave itself originates, and the views it
//! takes of a client's.
//!
//! Source: `protocol-message-formats.html`.

use pgwire::messages::extendedquery::{Flush, Sync};
use pgwire::messages::simplequery::Query;
use pgwire::messages::startup::Startup;
use pgwire::messages::terminate::Terminate;

use super::encode;
use super::frame::cstr;

/// A simple query.
#[must_use]
pub fn query(text: &str) -> Vec<u8> {
    encode(Query::new(text.to_owned()))
}

/// Sync.
#[must_use]
pub fn sync() -> Vec<u8> {
    encode(Sync::new())
}

/// Flush.
#[must_use]
pub fn flush() -> Vec<u8> {
    encode(Flush::new())
}

/// Terminate.
#[must_use]
pub fn terminate() -> Vec<u8> {
    encode(Terminate::new())
}

/// CopyFail with a reason.
#[must_use]
pub fn copy_fail(reason: &str) -> Vec<u8> {
    encode(pgwire::messages::copy::CopyFail::new(reason.to_owned()))
}

/// StartupMessage of protocol 3.0 with the given parameters.
#[must_use]
pub fn startup<'a>(parameters: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<u8> {
    let mut message = Startup::new();
    message.parameters = parameters
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    encode(message)
}

/// SSLRequest.
#[must_use]
pub fn ssl_request() -> [u8; 8] {
    let [a, b, c, d] = super::startup::SSL_CODE.to_be_bytes();
    [0, 0, 0, 8, a, b, c, d]
}

/// CancelRequest with a key of any length (4 bytes up to protocol 3.0, up to
/// 256 in 3.2).
#[must_use]
pub fn cancel_request(pid: i32, secret: &[u8]) -> Vec<u8> {
    let length = u32::try_from(12 + secret.len()).unwrap_or(u32::MAX);
    let mut frame = Vec::with_capacity(12 + secret.len());
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(&super::startup::CANCEL_CODE.to_be_bytes());
    frame.extend_from_slice(&pid.to_be_bytes());
    frame.extend_from_slice(secret);
    frame
}

/// Writes one frame with its header into `out`; `parts` are the body.
pub fn frame_into(out: &mut Vec<u8>, tag: u8, parts: &[&[u8]]) {
    let body: usize = parts.iter().map(|part| part.len()).sum();
    let length = u32::try_from(body + 4).unwrap_or(u32::MAX);
    out.push(tag);
    out.extend_from_slice(&length.to_be_bytes());
    for part in parts {
        out.extend_from_slice(part);
    }
}

/// The names at the head of a Bind: portal, statement, and all that follows.
#[must_use]
pub fn bind_names(body: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (portal, rest) = cstr(body)?;
    let (statement, rest) = cstr(rest)?;
    Some((portal, statement, rest))
}

/// The parameters' values in what follows the names of a Bind, as far as it is
/// there; those that are NULL are left out.
pub fn bind_values(rest: &[u8]) -> impl Iterator<Item = &[u8]> {
    let values = || {
        let (formats, rest) = rest.split_first_chunk::<2>()?;
        let formats = usize::from(u16::from_be_bytes(*formats)) * 2;
        let (count, rest) = rest.get(formats..)?.split_first_chunk::<2>()?;
        Some((u16::from_be_bytes(*count), rest))
    };
    let (mut left, mut rest) = values().unwrap_or((0, &[]));
    std::iter::from_fn(move || {
        while left > 0 {
            left -= 1;
            let (length, after) = rest.split_first_chunk::<4>()?;
            rest = after;
            if let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) {
                let value = rest.get(..length)?;
                rest = rest.get(length..)?;
                return Some(value);
            }
        }
        None
    })
}

/// What a Describe or Close names: `S` or `P`, and the name.
#[must_use]
pub fn target(body: &[u8]) -> Option<(u8, &[u8])> {
    let (kind, rest) = body.split_first()?;
    let (name, rest) = cstr(rest)?;
    (rest.is_empty() && matches!(kind, b'S' | b'P')).then_some((*kind, name))
}

/// A Parse: its name, and the rest (text, parameter types) as it came.
#[must_use]
pub fn parse_parts(body: &[u8]) -> Option<(&[u8], &[u8])> {
    let (name, rest) = cstr(body)?;
    // The text must end and a count of types must follow, or PostgreSQL would
    // refuse the message; what it refuses must not become an identity here.
    let (_text, types) = cstr(rest)?;
    let (count, types) = types.split_first_chunk::<2>()?;
    (types.len() == usize::from(u16::from_be_bytes(*count)) * 4).then_some((name, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cancel_request_carries_its_code_and_key() {
        assert_eq!(
            cancel_request(7, &[1, 2, 3, 4]),
            [0, 0, 0, 16, 4, 210, 22, 46, 0, 0, 0, 7, 1, 2, 3, 4]
        );
    }

    #[test]
    fn names_are_found_at_the_head_of_a_message() {
        assert_eq!(
            bind_names(b"p\0s\0rest"),
            Some((&b"p"[..], &b"s"[..], &b"rest"[..]))
        );
        assert_eq!(bind_names(b"p\0s"), None);
        assert_eq!(target(b"Sabc\0"), Some((b'S', &b"abc"[..])));
        assert_eq!(target(b"Xabc\0"), None);
        assert_eq!(target(b"Sabc\0more"), None);
    }

    #[test]
    fn the_values_of_a_bind_are_found() {
        let rest = b"\0\x01\0\0\0\x03\0\0\0\x01a\xff\xff\xff\xff\0\0\0\x02bc\0\0";
        let found: Vec<_> = bind_values(rest).collect();
        assert_eq!(found, [&b"a"[..], b"bc"]);
        assert_eq!(bind_values(b"\0\0\0\x01\0\0\0\x09a").count(), 0);
        assert_eq!(bind_values(b"\0").count(), 0);
    }

    #[test]
    fn a_parse_whose_types_do_not_fit_has_no_parts() {
        assert!(parse_parts(b"s\0select 1\0\0\0").is_some());
        assert!(parse_parts(b"s\0select 1\0\0\x01").is_none());
        assert!(parse_parts(b"s\0select 1\0\0\x01\0\0\0\x17").is_some());
        assert!(parse_parts(b"s\0select 1").is_none());
    }

    #[test]
    fn a_frame_is_written_with_its_length() {
        let mut out = Vec::new();
        frame_into(&mut out, b'B', &[b"ab", b"c"]);
        assert_eq!(out, b"B\0\0\0\x07abc");
    }
}
