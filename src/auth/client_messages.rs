//! The bodies of a client's `p` messages, cut without trusting them, and what
//! is said of those that are wrong.

use super::binding::BOUND_HEADER;
use super::{MAX_SCRAM_BYTES, SCRAM_SHA_256, SCRAM_SHA_256_PLUS};
use crate::wire::{PgError, sqlstate};

/// The text of a PasswordMessage: one string, ended by the only NUL.
///
/// # Errors
/// 08P01 for anything else.
pub fn password_of(body: &[u8]) -> Result<&[u8], PgError> {
    match body.split_last() {
        Some((0, password)) if !password.contains(&0) => Ok(password),
        _ => Err(violation("invalid password packet")),
    }
}

/// Is a SCRAM exchange bound to the server's certificate?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bound {
    /// It is.
    Yes,
    /// It could be: that was offered.
    Declined,
    /// It cannot be.
    No,
}

/// The data of a SASLInitialResponse, if there is any, and what the client has
/// chosen, where `offered` says whether it may choose to be bound
/// (`protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-SASLINITIALRESPONSE`).
pub(super) fn initial_response(
    body: &[u8],
    offered: bool,
) -> Result<(Bound, Option<&[u8]>), PgError> {
    let (mechanism, data) = mechanism_and_data(body)?;
    let bound = match offered {
        true if mechanism == SCRAM_SHA_256_PLUS.as_bytes() => Bound::Yes,
        true if mechanism == SCRAM_SHA_256.as_bytes() => Bound::Declined,
        false if mechanism == SCRAM_SHA_256.as_bytes() => Bound::No,
        true | false => {
            return Err(violation(
                "client selected an invalid SASL authentication mechanism",
            ));
        }
    };
    Ok((bound, data))
}

/// What a SASLInitialResponse names, and its data, if there is any.
pub(super) fn mechanism_and_data(body: &[u8]) -> Result<(&[u8], Option<&[u8]>), PgError> {
    let malformed = || violation("malformed SASLInitialResponse message");
    let end = body
        .iter()
        .position(|byte| *byte == 0)
        .ok_or_else(malformed)?;
    let (mechanism, rest) = body.split_at(end);
    let (length, data) = rest
        .get(1..)
        .and_then(<[u8]>::split_first_chunk)
        .ok_or_else(malformed)?;
    match i32::from_be_bytes(*length) {
        -1 if data.is_empty() => Ok((mechanism, None)),
        length if usize::try_from(length) == Ok(data.len()) => Ok((mechanism, Some(data))),
        _ => Err(malformed()),
    }
}

/// What pgwire does not look at, or would report without saying why.
pub(super) fn check_client_first(client_first: &[u8], bound: Bound) -> Result<(), PgError> {
    check_scram_length(client_first)?;
    match (client_first.first(), bound) {
        (Some(b'p'), Bound::Yes) if !client_first.starts_with(BOUND_HEADER.as_bytes()) => Err(
            violation("unsupported SCRAM channel-binding type, or an authorization identity"),
        ),
        (Some(b'n' | b'y'), Bound::Yes) => Err(malformed_scram().with_detail(
            "The client selected SCRAM-SHA-256-PLUS, \
             but the SCRAM message does not include channel binding data.",
        )),
        // Somebody in between may have taken the offer away.
        (Some(b'y'), Bound::Declined) => Err(PgError::fatal(
            sqlstate::INVALID_AUTHORIZATION,
            "SCRAM channel binding negotiation error",
        )
        .with_detail(
            "The client supports SCRAM channel binding but thinks the server does not. \
             However, this server does support channel binding.",
        )),
        (Some(b'p'), Bound::Declined | Bound::No) => Err(malformed_scram().with_detail(
            "The client selected SCRAM-SHA-256 without channel binding, \
             but the SCRAM message includes channel binding data.",
        )),
        _ if client_first.iter().any(|byte| byte.is_ascii_control()) => Err(malformed_scram()),
        _ => Ok(()),
    }
}

pub(super) fn check_scram_length(message: &[u8]) -> Result<(), PgError> {
    if message.len() <= MAX_SCRAM_BYTES {
        Ok(())
    } else {
        Err(violation("SCRAM message is too long"))
    }
}

pub(super) fn malformed_scram() -> PgError {
    violation("malformed SCRAM message")
}

pub(super) fn out_of_turn() -> PgError {
    violation("unexpected authentication message")
}

pub(super) fn violation(message: &str) -> PgError {
    PgError::fatal(sqlstate::PROTOCOL_VIOLATION, message)
}
