//! Framing: one type byte, a four-byte length that counts itself, a body.
//!
//! Source: `protocol-overview.html#PROTOCOL-MESSAGE-CONCEPTS`.

/// Bytes of a frame's header: type and length.
pub const HEADER: usize = 5;

/// The header of one frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Message type, as sent.
    pub tag: u8,
    /// Bytes of the whole frame, header included.
    pub total: usize,
}

/// The length word of a frame is smaller than itself, or above the bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("invalid message length")]
pub struct BadLength;

/// Reads the header at the start of `bytes`; `None` while it is incomplete.
///
/// # Errors
/// [`BadLength`] when the length word is below 4 or the frame would be larger
/// than `max_total` bytes.
#[inline]
pub fn header(bytes: &[u8], max_total: usize) -> Result<Option<Header>, BadLength> {
    let &[tag, a, b, c, d, ..] = bytes else {
        return Ok(None);
    };
    let length = u32::from_be_bytes([a, b, c, d]) as usize;
    if length < 4 || length >= max_total {
        return Err(BadLength);
    }
    Ok(Some(Header {
        tag,
        total: length + 1,
    }))
}

/// Splits a NUL-terminated string off the front of `bytes`: the string
/// without its terminator, and what follows it.
#[inline]
#[must_use]
pub fn cstr(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|b| *b == 0)?;
    Some((bytes.get(..end)?, bytes.get(end + 1..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_once_its_five_bytes_are_there() {
        assert_eq!(header(b"Q\0\0\0", 100), Ok(None));
        assert_eq!(
            header(b"S\0\0\0\x04", 100),
            Ok(Some(Header {
                tag: b'S',
                total: 5
            }))
        );
    }

    #[test]
    fn a_length_that_cannot_be_is_refused() {
        assert_eq!(header(b"Q\0\0\0\x03", 100), Err(BadLength));
        assert_eq!(header(b"Q\xff\xff\xff\xff", 1 << 30), Err(BadLength));
        assert_eq!(header(b"Q\0\0\0\x64", 100), Err(BadLength));
    }

    #[test]
    fn a_string_ends_at_its_nul() {
        assert_eq!(cstr(b"ab\0cd"), Some((&b"ab"[..], &b"cd"[..])));
        assert_eq!(cstr(b"ab"), None);
    }
}
