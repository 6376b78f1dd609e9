//! The unnamed statement, which belongs to its client.

use std::sync::Arc;

use super::identity::Statement;
use crate::session::findings::Findings;

/// A client's unnamed statement.
#[derive(Debug, Default)]
pub enum Unnamed {
    /// There is none.
    #[default]
    None,
    /// Shared with nobody: to be sent again to a server that does not have it.
    Kept(Arc<Statement>),
    /// It is EXECUTE, DEALLOCATE or PREPARE of a statement: kept under a name
    /// of ours, since what it calls has another name on each server.
    Calls(Arc<Statement>),
    /// Only the server connection in use has it, and the client keeps that;
    /// running it can do this.
    OnServer(Findings),
}

/// A server connection's unnamed statement is not known.
pub const UNNAMED_UNKNOWN: u64 = 0;

/// A server connection has no unnamed statement.
pub const UNNAMED_NONE: u64 = 1;

impl Unnamed {
    /// What running it can do to the session.
    #[must_use]
    pub fn can(&self) -> Findings {
        match self {
            Unnamed::None | Unnamed::Calls(_) => Findings::NONE,
            Unnamed::Kept(statement) => statement.can,
            Unnamed::OnServer(can) => *can,
        }
    }

    /// What a server connection that has it is marked with.
    #[must_use]
    pub fn mark(&self) -> u64 {
        match self {
            Unnamed::None | Unnamed::Calls(_) => UNNAMED_NONE,
            Unnamed::Kept(statement) => statement.id,
            Unnamed::OnServer(_) => UNNAMED_UNKNOWN,
        }
    }

    /// Does only the server connection in use have it?
    #[must_use]
    pub fn is_on_server(&self) -> bool {
        match self {
            Unnamed::None | Unnamed::Calls(_) => false,
            Unnamed::Kept(statement) => statement.is_in_doubt(),
            Unnamed::OnServer(_) => true,
        }
    }
}
