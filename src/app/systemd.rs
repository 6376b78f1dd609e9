//! Telling systemd how the process is (`sd_notify(3)`). Where there is no systemd
//! nothing is told.

use std::os::fd::AsFd;
use std::time::Duration;

use sd_notify::{NotifyState, notify, notify_with_fds, watchdog_enabled};
use tokio::time::{sleep, timeout};

/// So long it may take systemd to read what it is told.
const BARRIER: Duration = Duration::from_secs(5);

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

/// From now on the service is this process, which goes on with the work. Returns when
/// systemd knows: the end of this one would be that of the service otherwise.
pub(super) async fn goes_on_as(pid: i32) {
    let Ok(pid) = u32::try_from(pid) else {
        return;
    };
    if std::env::var_os("NOTIFY_SOCKET").is_none() {
        return;
    }
    tell(&[NotifyState::MainPid(pid), NotifyState::Ready]);
    let known = tokio::task::spawn_blocking(barrier);
    if !matches!(timeout(BARRIER, known).await, Ok(Ok(Ok(())))) {
        tracing::warn!("systemd has not confirmed that the service goes on as process {pid}");
    }
}

/// Waits until all has been read that was told (`sd_notify_barrier(3)`). Blocks.
fn barrier() -> std::io::Result<()> {
    let (mut ours, theirs) = std::io::pipe()?;
    notify_with_fds(&[NotifyState::Custom("BARRIER=1")], &[theirs.as_fd()])?;
    drop(theirs);
    std::io::Read::read(&mut ours, &mut [0]).map(drop)
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
