//! How the process ends.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, sleep, timeout_at};

use super::signals::{Signals, Stop};
use crate::pool::Wish;
use crate::proxy::House;

/// How often it is looked whether the last has gone.
const TICK: Duration = Duration::from_millis(100);

/// The first who wants the process to end: by a signal, or on the console.
///
/// # Cancel safety
/// Nothing is lost.
pub(super) async fn wanted(signals: &mut Signals, console: &mut Receiver<Stop>) -> Stop {
    tokio::select! {
        stop = signals.next() => stop,
        Some(stop) = console.recv() => stop,
    }
}

/// Waits for what is to be waited for, unless the end is wanted once more.
pub(super) async fn wait(
    house: &Arc<House>,
    how: Stop,
    signals: &mut Signals,
    console: &mut Receiver<Stop>,
) {
    tracing::info!(clients = house.connected(), "shutting down");
    tokio::select! {
        () = all_gone(house, how) => {}
        _ = wanted(signals, console) => {}
    }
}

async fn all_gone(house: &Arc<House>, how: Stop) {
    match how {
        Stop::Orderly => drain(house).await,
        // Whoever asked for it hears that it is done.
        Stop::AtOnce => sleep(TICK).await,
        Stop::WhenServersAreFree => free_servers(house).await,
        Stop::WhenClientsAreGone => {
            while house.clients.pooled() > 0 {
                sleep(TICK).await;
            }
        }
    }
}

/// Lets every client come to its boundary, within `shutdown_timeout`.
async fn drain(house: &Arc<House>) {
    let deadline = Instant::now() + house.config().general.shutdown_timeout;
    house.clients.want_of_all(Wish::EndAtBoundary);
    let all_gone = async {
        while house.clients.count() > 0 {
            sleep(TICK).await;
            house.clients.want_of_all(Wish::EndAtBoundary);
        }
    };
    if timeout_at(deadline, all_gone).await.is_err() {
        house.clients.want_of_all(Wish::EndNow);
        sleep(TICK).await;
    }
}

/// Lets nobody have a server connection any more, sends away who waits for one,
/// and waits until the last is free.
async fn free_servers(house: &Arc<House>) {
    house.directory.pause(None);
    loop {
        let clients = house.clients.all().into_iter();
        let waiting = clients.filter(|client| client.who.pool().is_some());
        waiting
            .filter(|client| client.waits_for().is_some())
            .for_each(|client| client.want(Wish::EndNow));
        let pools = house.directory.pools();
        pools.iter().for_each(|pool| pool.close_idle());
        if pools.iter().all(|pool| pool.in_use() == 0) {
            house.clients.want_of_all(Wish::EndNow);
            return sleep(TICK).await;
        }
        sleep(TICK).await;
    }
}
