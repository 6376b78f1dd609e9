//! What a client may say before it is logged in.
//!
//! Source: `protocol-flow.html#PROTOCOL-FLOW-START-UP`.

use super::cancel_key::CancelKey;
use super::error::{PgError, sqlstate};
use super::frame::cstr;

/// Longest packet that is read before authentication, in bytes
/// (PostgreSQL's own bound).
pub const MAX_STARTUP: usize = 10_000;

/// Request code of CancelRequest.
pub const CANCEL_CODE: u32 = (1234 << 16) | 5678;
/// Request code of SSLRequest.
pub const SSL_CODE: u32 = (1234 << 16) | 5679;
const GSSENC_CODE: u32 = (1234 << 16) | 5680;

/// Newest minor version of protocol 3 that pgweave speaks to clients.
pub const NEWEST_MINOR: u16 = 2;

/// The packets that a connection can begin with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FirstPacket {
    /// The client asks for TLS.
    Ssl,
    /// The client asks for GSSAPI encryption.
    GssEnc,
    /// The client asks to cancel a query elsewhere.
    Cancel(CancelKey),
    /// The client wants a session.
    Startup(Startup),
}

/// A StartupMessage of protocol 3.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Startup {
    /// Minor protocol version that the client asked for.
    pub minor: u16,
    /// Role name.
    pub user: String,
    /// Database name; the role's when the client named none.
    pub database: String,
    /// The value of `replication`, if there was one.
    pub replication: Option<String>,
    /// All other parameters in the order in which they came: settings and
    /// `options`. `_pq_.` protocol options are not among them.
    pub settings: Vec<(String, String)>,
    /// `_pq_.` protocol options, which pgweave knows none of.
    pub protocol_options: Vec<String>,
}

impl Startup {
    /// The minor version that both sides speak from now on.
    #[must_use]
    pub fn agreed_minor(&self) -> u16 {
        self.minor.min(NEWEST_MINOR)
    }

    /// Must the client be told that it does not get all that it asked for?
    #[must_use]
    pub fn needs_negotiation(&self) -> bool {
        self.minor > NEWEST_MINOR || !self.protocol_options.is_empty()
    }
}

/// Reads a first packet's body: what follows the length word.
///
/// # Errors
/// FATAL 08P01 for malformed packets, 0A000 for other protocol versions,
/// 28000 without a user name, 22021 for text that is not UTF-8.
pub fn first_packet(body: &[u8]) -> Result<FirstPacket, PgError> {
    let (code, rest) = body.split_first_chunk::<4>().ok_or_else(malformed)?;
    match u32::from_be_bytes(*code) {
        SSL_CODE => Ok(FirstPacket::Ssl),
        GSSENC_CODE => Ok(FirstPacket::GssEnc),
        CANCEL_CODE => Ok(cancel(rest)),
        version => startup(version, rest).map(FirstPacket::Startup),
    }
}

fn cancel(rest: &[u8]) -> FirstPacket {
    // A key that cannot be is one that fits nobody: nothing is answered.
    FirstPacket::Cancel(CancelKey::read(rest).unwrap_or_default())
}

fn startup(version: u32, mut rest: &[u8]) -> Result<Startup, PgError> {
    let [major_high, major_low, minor_high, minor_low] = version.to_be_bytes();
    let major = u16::from_be_bytes([major_high, major_low]);
    let minor = u16::from_be_bytes([minor_high, minor_low]);
    if major != 3 {
        return Err(PgError::fatal(
            sqlstate::FEATURE_NOT_SUPPORTED,
            format!(
                "unsupported frontend protocol {major}.{minor}: server supports 3.0 to 3.{NEWEST_MINOR}"
            ),
        ));
    }
    let mut startup = Startup {
        minor,
        ..Startup::default()
    };
    loop {
        let (name, after) = cstr(rest).ok_or_else(malformed)?;
        if name.is_empty() {
            // PostgreSQL insists that the terminator is the last byte.
            return if after.is_empty() {
                complete(startup)
            } else {
                Err(malformed())
            };
        }
        let (value, after) = cstr(after).ok_or_else(malformed)?;
        rest = after;
        startup.take(text(name)?, text(value)?);
    }
}

impl Startup {
    fn take(&mut self, name: String, value: String) {
        match name.as_str() {
            "user" => self.user = value,
            "database" => self.database = value,
            "replication" => self.replication = Some(value),
            _ if name.starts_with("_pq_.") => self.protocol_options.push(name),
            _ => self.settings.push((name, value)),
        }
    }
}

fn complete(mut startup: Startup) -> Result<Startup, PgError> {
    if startup.user.is_empty() {
        return Err(PgError::fatal(
            sqlstate::INVALID_AUTHORIZATION,
            "no PostgreSQL user name specified in startup packet",
        ));
    }
    if startup.database.is_empty() {
        startup.database.clone_from(&startup.user);
    }
    Ok(startup)
}

fn text(bytes: &[u8]) -> Result<String, PgError> {
    String::from_utf8(bytes.to_vec())
        .map_err(|_| PgError::fatal("22021", "startup parameters must be valid UTF-8 text"))
}

fn malformed() -> PgError {
    PgError::fatal(
        sqlstate::PROTOCOL_VIOLATION,
        "invalid startup packet layout: expected terminator as last byte",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(version: u32, rest: &[u8]) -> Vec<u8> {
        [&version.to_be_bytes()[..], rest].concat()
    }

    fn parsed(rest: &[u8]) -> Result<Startup, PgError> {
        match first_packet(&packet(3 << 16, rest))? {
            FirstPacket::Startup(startup) => Ok(startup),
            other => Err(PgError::error("XX000", format!("{other:?}"))),
        }
    }

    #[test]
    fn a_startup_message_gives_user_database_and_settings() {
        let startup =
            parsed(b"user\0al\0database\0db\0DateStyle\0ISO\0_pq_.x\x001\0\0").unwrap_or_default();
        assert_eq!(
            (startup.user.as_str(), startup.database.as_str()),
            ("al", "db")
        );
        assert_eq!(
            startup.settings,
            [("DateStyle".to_owned(), "ISO".to_owned())]
        );
        assert_eq!(startup.protocol_options, ["_pq_.x"]);
        assert!(startup.needs_negotiation());
    }

    #[test]
    fn the_database_defaults_to_the_user() {
        assert_eq!(
            parsed(b"user\0al\0\0").map(|s| s.database),
            Ok("al".to_owned())
        );
    }

    #[test]
    fn malformed_packets_are_refused_with_their_sqlstate() {
        let code = |result: Result<Startup, PgError>| result.err().map(|e| e.code);
        assert_eq!(code(parsed(b"user\0al\0")).as_deref(), Some("08P01"));
        assert_eq!(code(parsed(b"user\0al")).as_deref(), Some("08P01"));
        assert_eq!(code(parsed(b"user\0al\0\0x")).as_deref(), Some("08P01"));
        assert_eq!(code(parsed(b"\0")).as_deref(), Some("28000"));
        assert_eq!(code(parsed(b"user\0\xff\0\0")).as_deref(), Some("22021"));
        assert_eq!(
            first_packet(b"ab").err().map(|e| e.code).as_deref(),
            Some("08P01")
        );
        assert_eq!(
            first_packet(&packet(2 << 16, b""))
                .err()
                .map(|e| e.code)
                .as_deref(),
            Some("0A000")
        );
    }

    #[test]
    fn requests_are_told_from_startup_messages() {
        assert_eq!(first_packet(&SSL_CODE.to_be_bytes()), Ok(FirstPacket::Ssl));
        assert_eq!(
            first_packet(&GSSENC_CODE.to_be_bytes()),
            Ok(FirstPacket::GssEnc)
        );
        assert_eq!(
            first_packet(&packet(CANCEL_CODE, &[0, 0, 0, 9, 1, 2, 3, 4])),
            Ok(FirstPacket::Cancel(
                CancelKey::read(&[0, 0, 0, 9, 1, 2, 3, 4]).unwrap_or_default()
            ))
        );
        assert_eq!(
            first_packet(&packet(CANCEL_CODE, &[0, 0, 0, 9, 1, 2, 3])),
            Ok(FirstPacket::Cancel(CancelKey::default()))
        );
    }

    #[test]
    fn versions_are_negotiated_only_when_we_are_older() {
        for (minor, agreed, negotiate) in
            [(0, 0, false), (2, 2, false), (3, 2, true), (9999, 2, true)]
        {
            let startup = Startup {
                minor,
                ..Startup::default()
            };
            assert_eq!(
                (startup.agreed_minor(), startup.needs_negotiation()),
                (agreed, negotiate)
            );
        }
    }
}
