//! What rules ask about a user's roles.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::auth::hba::{Answers, HostName, Interface, Membership};

/// The roles of one user, once somebody has wanted to know.
#[derive(Debug, Default)]
pub(super) struct Roles {
    known: Option<HashSet<String>>,
    was_asked: AtomicBool,
}

impl Roles {
    /// These are all.
    pub fn known(roles: HashSet<String>) -> Self {
        Self {
            known: Some(roles),
            was_asked: AtomicBool::new(false),
        }
    }

    /// Has somebody asked in vain?
    pub fn are_wanted(&self) -> bool {
        self.was_asked.load(Ordering::Relaxed)
    }
}

impl Membership for Roles {
    fn is_member(&self, _user: &str, role: &str) -> Option<bool> {
        if self.known.is_none() {
            self.was_asked.store(true, Ordering::Relaxed);
        }
        Some(self.known.as_ref()?.contains(role))
    }
}

/// Nothing else is known.
impl Answers for Roles {
    fn interfaces(&self) -> Option<&[Interface]> {
        None
    }

    fn host_name(&self, _client: IpAddr) -> HostName {
        HostName::CannotTell
    }
}
