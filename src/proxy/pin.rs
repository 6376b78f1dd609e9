//! What ties a client to its server connection between transactions.

use crate::session::Findings;

/// State that a client has, or may have, in the session of its server
/// connection, which it therefore keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Pin {
    /// None.
    No,
    /// What `DISCARD ALL` undoes.
    Resettable,
    /// What ends with the server connection only.
    ForGood,
}

impl Pin {
    /// What running such a text may leave behind.
    pub(super) fn of(can: Findings) -> Self {
        match can {
            Findings { taints: true, .. } => Pin::ForGood,
            Findings {
                keeps_state: true, ..
            }
            | Findings { prepares: true, .. } => Pin::Resettable,
            Findings { .. } => Pin::No,
        }
    }
}
