//! The old process lets go.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, sleep};

use super::messages::{Ask, hear};
use super::offer::Successor;
use super::way::Way;
use crate::app::ending::{share, wanted};
use crate::app::signals::{Signals, Stop};
use crate::net::Courier;
use crate::pool::{ClientHandle, Wish};
use crate::proxy::House;
use crate::wire::CancelKey;

/// How often it is looked who is still there.
const TICK: Duration = Duration::from_millis(50);

/// So long it is tried at least, whatever `shutdown_timeout` says.
const LEAST: Duration = Duration::from_secs(5);

/// Clients that are asked to go at one tick.
const A_TICK: usize = 500;

/// How a hand-over has ended.
pub(in crate::app) enum Outcome {
    /// Nobody is left here.
    Done,
    /// The new process is gone: this one goes on with whom it has.
    Alone,
    /// This one is to end as it was told.
    Stop(Stop),
}

/// Hands clients and server connections over until none is left. Those who cannot go
/// come to their boundary, as at an ordinary end, within `shutdown_timeout`.
pub(in crate::app) async fn hand_over(
    house: &Arc<House>,
    successor: &Successor,
    signals: &mut Signals,
    console: &mut Receiver<Stop>,
) -> Outcome {
    let pid = successor.courier.pid();
    tracing::info!(successor = pid, clients = house.connected(), "handing over");
    let all = house.clients.all();
    let staying = all.iter().filter(|client| !could_go(client));
    let pools = staying.filter_map(|client| client.who.pool());
    let keep_one: HashSet<_> = pools.map(|pool| Arc::as_ptr(pool).addr()).collect();
    for pool in house.directory.pools() {
        let least = keep_one.contains(&Arc::as_ptr(&pool).addr());
        pool.freeze(pool.open().max(least.into()));
    }
    let (way, listening) = Way::new(Arc::clone(&successor.courier), keep_one);
    let way = Arc::new(way);
    house.open_exit(Some(Arc::clone(&way) as _));
    let outcome = tokio::select! {
        done = all_gone(house, &way) => done,
        () = way.tell_listening(listening) => Outcome::Alone,
        () = listen_to(house, &way, &successor.courier) => Outcome::Alone,
        stop = wanted(signals, console) => Outcome::Stop(stop),
    };
    house.open_exit(None);
    way.is_over(matches!(outcome, Outcome::Alone));
    stay(house);
    let (clients, servers) = (&way.clients, &way.servers);
    tracing::info!(
        successor = pid,
        clients = clients.load(Ordering::Relaxed),
        servers = servers.load(Ordering::Relaxed),
        "handed over"
    );
    match outcome {
        Outcome::Alone => tracing::warn!(
            successor = pid,
            "the new process has ended: this one goes on with those who are left"
        ),
        Outcome::Done | Outcome::Stop(_) => {}
    }
    outcome
}

async fn all_gone(house: &Arc<House>, way: &Way) -> Outcome {
    let within = house.config().general.shutdown_timeout.max(LEAST);
    let begun = Instant::now();
    let share = share(house.clients.count(), within);
    let mut asked = 0;
    while house.connected() > 0 {
        if begun.elapsed() >= within {
            house.clients.want_of_all(Wish::EndNow);
            sleep(TICK).await;
            break;
        }
        asked += 1;
        // The second half of the time is for those who have found no moment to go.
        let is_late = begun.elapsed() >= within / 2 || way.is_broken();
        ask_to_go(house, asked * A_TICK, is_late);
        ask_to_end(house, asked * share, is_late);
        leave_idle_connections(house, way).await;
        sleep(TICK).await;
    }
    leave_idle_connections(house, way).await;
    Outcome::Done
}

/// Asks so many clients to go, the oldest first.
fn ask_to_go(house: &House, asked: usize, is_late: bool) {
    let all = house.clients.all().into_iter();
    let going = all.filter(|client| could_go(client) && !is_late);
    going
        .take(asked)
        .for_each(|client| client.want(Wish::MoveAway));
}

/// Asks so many of those who can never go, or have not gone, to end.
fn ask_to_end(house: &House, asked: usize, is_late: bool) {
    let all = house.clients.all().into_iter();
    let staying = all.filter(|client| is_late || !could_go(client));
    staying
        .take(asked)
        .for_each(|client| client.want(Wish::EndAtBoundary));
}

/// Is it one of those who go, sooner or later?
fn could_go(client: &ClientHandle) -> bool {
    client.who.pool().is_some() && !client.who.is_tls
}

/// Server connections of pools that have no clients here any more go as well.
async fn leave_idle_connections(house: &House, way: &Way) {
    let all = house.clients.all();
    let used: HashSet<_> = all
        .iter()
        .filter_map(|client| client.who.pool().map(Arc::as_ptr))
        .collect();
    for pool in house.directory.pools() {
        way.tell_open(&pool).await;
        if used.contains(&Arc::as_ptr(&pool)) {
            continue;
        }
        for shelf in pool.all_shelves() {
            while !way.is_broken() && way.pass_server(&shelf).await {}
        }
        // Those in TLS.
        pool.close_idle();
    }
}

/// What the new process asks for; returns when it has gone.
async fn listen_to(house: &Arc<House>, way: &Way, courier: &Courier) {
    while let Ok(Some((said, _))) = hear(courier).await {
        match said {
            Ask::Took(number) => way.has_answered(number, true),
            Ask::Left(number) => way.has_answered(number, false),
            Ask::Cancel(key) => cancel(house, &key),
            Ask::Hello { .. } | Ask::Serving => return,
        }
    }
}

/// If it is one of those who are here: others have been asked already.
fn cancel(house: &Arc<House>, key: &[u8]) {
    let key = CancelKey::read(key);
    if let Some(client) = key.and_then(|key| house.clients.owner(&key)) {
        let within = house.config().general.cancel_wait_timeout;
        tokio::spawn(async move { client.cancel(within).await });
    }
}

/// Those who were to go, or to end, go on here.
fn stay(house: &House) {
    for pool in house.directory.pools() {
        pool.thaw();
    }
    for client in house.clients.all() {
        client.granted(Wish::MoveAway);
        client.granted(Wish::EndAtBoundary);
        client.wake();
    }
}
