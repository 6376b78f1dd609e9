//! What pgweave will do with its servers, once and on trial, before a client
//! comes: log in as pools do, ask as `auth_query` does, and add up how many
//! connections the pools may open.
//!
//! It logs in by the code of the pools themselves, so that what it says is what
//! clients would meet.

mod attempt;
mod plan;
mod sizes;

pub use attempt::{Facts, Fine, Limits, Wrong};
pub use plan::{Attempt, Purpose, Whose};
pub use sizes::{Load, Share};

use super::access::Access;
use crate::config::Config;
use crate::pool::Directory;

/// See the module.
#[derive(Debug)]
pub struct Rehearsal<'a> {
    /// The configuration that is tried.
    pub config: &'a Config,
    /// What its files say of users.
    pub access: &'a Access,
}

impl Rehearsal<'_> {
    /// Every login that is worth a try: each database at each of its hosts, and
    /// each `auth_query`.
    #[must_use]
    pub fn attempts(&self) -> Vec<Attempt> {
        plan::attempts(self.config, self.access)
    }

    /// How many connections pools may open, by server.
    #[must_use]
    pub fn loads(&self) -> Vec<Load> {
        let known = self.access.known(self.config);
        let desks = plan::errands(self.config, self.access);
        let asking = desks.iter().map(|(_, settings, _)| settings);
        sizes::loads(self.config, &known, asking)
    }

    /// How many users are known by name.
    #[must_use]
    pub fn users(&self) -> usize {
        self.access.known(self.config).len()
    }
}

impl Attempt {
    /// Tries it.
    ///
    /// # Errors
    /// What is wrong, and what to do about it.
    ///
    /// # Cancel safety
    /// Dropped before its end, the connection is closed.
    pub async fn run(&self, directory: &Directory) -> Result<Fine, Wrong> {
        attempt::run(self, directory).await
    }
}
