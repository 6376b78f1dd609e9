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

/// Clients that are asked to end at one tick, if there is time for that.
const A_TICK: usize = 50;

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

/// Serves on for `shutdown_delay`, so that whoever looks at `/readyz` can send clients
/// elsewhere first; unless the end is wanted once more. Returns how to end then.
pub(super) async fn delay(
    house: &Arc<House>,
    how: Stop,
    signals: &mut Signals,
    console: &mut Receiver<Stop>,
) -> Stop {
    let delay = house.config().general.shutdown_delay;
    if how != Stop::Orderly || delay.is_zero() {
        return how;
    }
    tracing::info!("about to end: clients are let in for {delay:?} more");
    tokio::select! {
        () = sleep(delay) => how,
        once_more = wanted(signals, console) => once_more,
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

/// Lets every client come to its boundary, within `shutdown_timeout`; not all at
/// once, since they come to others next.
async fn drain(house: &Arc<House>) {
    let within = house.config().general.shutdown_timeout;
    let deadline = Instant::now() + within;
    let share = share(house.clients.count(), within);
    let all_gone = async {
        let mut asked = 0;
        while house.clients.count() > 0 {
            asked += share;
            // The oldest first; those who are asked again know it.
            let clients = house.clients.all().into_iter().take(asked);
            clients.for_each(|client| client.want(Wish::EndAtBoundary));
            sleep(TICK).await;
        }
    };
    if timeout_at(deadline, all_gone).await.is_err() {
        house.clients.want_of_all(Wish::EndNow);
        sleep(TICK).await;
    }
}

/// So many of these clients are asked to end at each tick: few enough for those whom
/// they come to next, and so many that all are asked in half of the time.
pub(super) fn share(clients: usize, within: Duration) -> usize {
    let ticks = within.as_millis() / 2 / TICK.as_millis();
    let ticks = usize::try_from(ticks).unwrap_or(usize::MAX).max(1);
    clients.div_ceil(ticks).max(A_TICK)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_clients_are_asked_in_half_of_the_time() {
        let minute = Duration::from_secs(60);
        assert_eq!((share(0, minute), share(10_000, minute)), (50, 50));
        assert_eq!(share(60_000, minute), 200);
        assert_eq!(share(7, Duration::ZERO), 50);
        assert_eq!(share(70, Duration::ZERO), 70);
    }
}
