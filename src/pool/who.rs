//! Who a client is.

use std::sync::Arc;

use super::headcount::TooMany;
use super::server_pool::ServerPool;
use super::shelf::Shelf;
use crate::net::Peer;
use crate::wire::{PgError, sqlstate};

/// A name that few clients have: it costs the others little.
#[derive(Debug, Clone)]
pub struct Alias(pub Box<str>);

/// Who a client is, as its login told.
#[derive(Debug, Clone)]
pub struct Who {
    /// Whose connections serve it; none: the console does.
    pub shelf: Option<Arc<Shelf>>,
    /// The name that it logged in with, where that is not its server user's.
    pub alias: Option<Box<Alias>>,
    /// Where it is.
    pub peer: Peer,
    /// What it called itself.
    pub application_name: Arc<str>,
    /// Is it in TLS?
    pub is_tls: bool,
}

/// Why a client was not registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotRegistered {
    /// There are too many.
    TooMany(TooMany),
    /// The system has no random bytes.
    NoRandomBytes,
    /// There is one with its key.
    KnownAlready,
}

impl From<NotRegistered> for PgError {
    fn from(why: NotRegistered) -> Self {
        let full = |limit: &str| {
            let what = format!("no more connections allowed ({limit})");
            PgError::fatal(sqlstate::TOO_MANY_CONNECTIONS, what)
        };
        match why {
            NotRegistered::TooMany(TooMany::OfDatabase) => full("max_db_client_connections"),
            NotRegistered::TooMany(TooMany::OfUser) => full("max_user_client_connections"),
            NotRegistered::NoRandomBytes => {
                PgError::fatal(sqlstate::INTERNAL_ERROR, "no random bytes")
            }
            NotRegistered::KnownAlready => PgError::fatal(
                sqlstate::INTERNAL_ERROR,
                "a client has this cancel key already",
            ),
        }
    }
}

impl Who {
    /// Its pool; none on the console.
    #[must_use]
    pub fn pool(&self) -> Option<&Arc<ServerPool>> {
        self.shelf.as_ref().map(|shelf| shelf.pool())
    }

    /// The database and the user that it counts for; none on the console.
    pub(super) fn groups(&self) -> Option<(&str, &str)> {
        Some((self.pool()?.database.as_str(), self.user()?))
    }

    /// The name that it logged in with; none on the console.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        let alias = self.alias.as_deref().map(|alias| &*alias.0);
        alias.or(self.pool().map(|pool| pool.server_user.as_str()))
    }
}

#[cfg(test)]
impl Who {
    /// Of no importance.
    pub fn anybody() -> Self {
        Self {
            shelf: None,
            alias: None,
            peer: Peer::Unix,
            application_name: "".into(),
            is_tls: false,
        }
    }
}
