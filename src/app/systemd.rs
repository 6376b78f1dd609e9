//! Telling systemd how the process is (`sd_notify(3)`). Where there is no systemd
//! nothing is told.

use std::time::Duration;

use sd_notify::{NotifyState, notify, watchdog_enabled};
use tokio::time::sleep;

/// It listens, or goes on after a reload.
pub(super) fn is_ready() {
    tell(&[NotifyState::Ready]);
}

/// The configuration is being read again, until it is ready once more.
pub(super) fn reloads() {
    if let Ok(now) = NotifyState::monotonic_usec_now() {
        tell(&[NotifyState::Reloading, now]);
    }
}

/// It is about to end.
pub(super) fn is_ending() {
    tell(&[NotifyState::Stopping]);
}

/// From now on the service is this process, which goes on with the work.
pub(super) fn goes_on_as(pid: i32) {
    if let Ok(pid) = u32::try_from(pid) {
        tell(&[NotifyState::MainPid(pid), NotifyState::Ready]);
    }
}

/// Shows that the process lives as often as systemd wants to see it (`WatchdogSec`),
/// for ever; at once over where it does not.
///
/// # Cancel safety
/// Dropping it ends that.
pub(super) async fn show_life() {
    let Some(period) = watchdog_enabled() else {
        return;
    };
    loop {
        tell(&[NotifyState::Watchdog]);
        sleep((period / 2).max(Duration::from_millis(1))).await;
    }
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = notify(states) {
        tracing::debug!("systemd cannot be told: {error}");
    }
}
