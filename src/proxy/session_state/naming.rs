//! When a server connection takes on the client's `application_name`
//! (`application_name_policy`).

use crate::config::{ApplicationNamePolicy, PoolMode};
use crate::pool::Lease;
use crate::proxy::client::Client;
use crate::session::TxStatus;
use crate::session::settings::{may_reset_name, speaks_of_name};
use crate::wire::run::Run;

/// Does the session take on the client's name as a turn begins?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::proxy) enum Names {
    /// It has it.
    NeedNot,
    /// It does, if need be by a command of its own.
    Alone,
    /// It does if other settings are set as well.
    Along,
    /// It does not.
    Leave,
}

impl Client {
    /// The session has another name. Who begins with these bytes, and in them speaks of
    /// its name or resets it, has its own.
    #[cold]
    pub(in crate::proxy) fn names_session(&self, first: &[u8]) -> Names {
        if self.mode == PoolMode::Session {
            return Names::Alone;
        }
        match self.shelf.pool().settings().application_name_policy {
            ApplicationNamePolicy::Exact => Names::Alone,
            _ if may_reset_name(first) => Names::Alone,
            ApplicationNamePolicy::Lazy => Names::Along,
            ApplicationNamePolicy::Off => Names::Leave,
        }
    }

    /// Later in the turn this text is about to run: the same.
    #[inline]
    pub(in crate::proxy) fn name_if_spoken_of(
        &self,
        lease: &mut Lease,
        text: &[u8],
        run: &mut Run<'_>,
    ) {
        if lease.has_anothers_name() && speaks_of_name(text) {
            self.name_now(lease, run);
        }
    }

    /// What is about to run may change the name, or tell it.
    pub(in crate::proxy) fn name_now(&self, lease: &mut Lease, run: &mut Run<'_>) {
        let tracker = &lease.tracker;
        // Amid a pipeline nobody knows whether the transaction has failed, where a
        // message of ours would fail as well.
        if !lease.has_anothers_name() || !tracker.settled() {
            return;
        }
        let is_apart = !tracker.unsynced() || tracker.only_own_unsynced();
        match tracker.status() {
            TxStatus::Idle if is_apart => lease.take_name(run.insert()),
            TxStatus::Idle | TxStatus::InTransaction => lease.take_name_for_now(run.insert()),
            TxStatus::Failed => {}
        }
    }
}
