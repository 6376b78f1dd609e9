//! `PAUSE` and `RESUME` by signals, as PgBouncer takes them.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::sleep;

use super::conductor::Conductor;
use crate::admin::Process;
use crate::proxy::House;

/// How often connections that have come back are closed in a pause.
const TICK: Duration = Duration::from_millis(10);

/// The signals that hold everybody (SIGUSR1), and that let them go on (SIGUSR2).
pub(super) struct Holds {
    pause: Signal,
    resume: Signal,
}

impl Holds {
    /// From now on these signals are ours.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            pause: signal(SignalKind::user_defined1())?,
            resume: signal(SignalKind::user_defined2())?,
        })
    }
}

/// Does what the signals say, until the process ends.
pub(super) async fn follow(house: Arc<House>, conductor: Arc<Conductor>, mut holds: Holds) {
    loop {
        tokio::select! {
            _ = holds.pause.recv() => match conductor.is_ending() || !house.directory.pause(None) {
                true => tracing::info!("SIGUSR1: paused or ending already"),
                false => tracing::info!("SIGUSR1: paused"),
            },
            _ = holds.resume.recv() => match conductor.is_ending() || !house.directory.resume(None) {
                true => tracing::info!("SIGUSR2: not paused, or ending"),
                false => tracing::info!("SIGUSR2: resumed"),
            },
            () = sleep(TICK), if has_to_close(&house) => {
                house.directory.pools().iter().for_each(|pool| pool.close_idle());
            }
        }
    }
}

fn has_to_close(house: &House) -> bool {
    let (paused, _) = house.directory.is_all_paused();
    paused && house.directory.pools().iter().any(|pool| pool.open() > 0)
}
