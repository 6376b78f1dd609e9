//! The unnamed statement, which belongs to its client.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::identity::Statement;
use crate::session::scan::Scan;

/// A client's unnamed statement.
#[derive(Debug, Default)]
pub enum Unnamed {
    /// There is none.
    #[default]
    None,
    /// Its Parse body after the (empty) name, to be sent again to a server
    /// that does not have it.
    Kept {
        /// Unique; a server connection has this very one, or not.
        version: u64,
        /// Text, NUL, parameter types.
        parse: Box<[u8]>,
        /// It may drop prepared statements when it is executed.
        deallocates: bool,
    },
    /// It is EXECUTE, DEALLOCATE or PREPARE of a statement: kept under a name
    /// of ours, since what it calls has another name on each server.
    Calls(Arc<Statement>),
    /// Only the server connection in use has it, and the client keeps that.
    OnServer,
}

/// A server connection's unnamed statement is not known.
pub const UNNAMED_UNKNOWN: u64 = 0;

/// A server connection has no unnamed statement.
pub const UNNAMED_NONE: u64 = 1;

impl Unnamed {
    /// One that can be sent again.
    #[must_use]
    pub fn keep(parse: &[u8]) -> Self {
        Self::Kept {
            version: NEXT_VERSION.fetch_add(1, Ordering::Relaxed),
            parse: parse.into(),
            deallocates: Scan::of(parse).deallocates,
        }
    }

    /// May it drop prepared statements when it is executed?
    #[must_use]
    pub fn deallocates(&self) -> bool {
        match self {
            Unnamed::None | Unnamed::Calls(_) => false,
            Unnamed::Kept { deallocates, .. } => *deallocates,
            Unnamed::OnServer => true,
        }
    }

    /// What a server connection that has it is marked with.
    #[must_use]
    pub fn mark(&self) -> u64 {
        match self {
            Unnamed::None | Unnamed::Calls(_) => UNNAMED_NONE,
            Unnamed::Kept { version, .. } => *version,
            Unnamed::OnServer => UNNAMED_UNKNOWN,
        }
    }

    /// Does only the server connection in use have it?
    #[must_use]
    pub fn is_on_server(&self) -> bool {
        matches!(self, Unnamed::OnServer)
    }
}

static NEXT_VERSION: AtomicU64 = AtomicU64::new(UNNAMED_NONE + 1);
