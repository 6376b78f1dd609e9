//! What the console says to messages that it cannot deal with.

use crate::wire::{PgError, sqlstate};

pub(super) fn malformed() -> PgError {
    PgError::fatal(sqlstate::PROTOCOL_VIOLATION, "invalid message format")
}

pub(super) fn no_parameters() -> PgError {
    PgError::error(
        sqlstate::FEATURE_NOT_SUPPORTED,
        "commands of the console take no parameters",
    )
}

pub(super) fn too_many() -> PgError {
    PgError::error(
        sqlstate::CONFIGURATION_LIMIT_EXCEEDED,
        "too many prepared statements or portals",
    )
}

pub(super) fn no_statement(name: &[u8]) -> PgError {
    let name = String::from_utf8_lossy(name);
    let what = format!("prepared statement \"{name}\" does not exist");
    PgError::error(sqlstate::INVALID_STATEMENT_NAME, what)
}

pub(super) fn no_portal(name: &[u8]) -> PgError {
    let what = format!(
        "portal \"{}\" does not exist",
        String::from_utf8_lossy(name)
    );
    PgError::error(sqlstate::INVALID_CURSOR_NAME, what)
}
