//! Other processes that clients reach at the same address: where the cancel
//! requests go that are not for us.
//!
//! Whoever can connect can send such a request, without a login. So at most
//! `pool_size` of them are on their way to one peer, few wait beside these, none
//! longer than `cancel_wait_timeout`, and each may be passed on three times in
//! all, whatever the peers' settings say.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::AsyncReadExt;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::config::{Config, Tcp};
use crate::net::{DialError, Names, Stream, Target, dial};
use crate::wire::CancelKey;

/// So many requests wait for a peer; one more is dropped.
const MOST_WAITING: u32 = 1_000;

/// All peers, by their numbers.
#[derive(Debug)]
pub struct Peers {
    names: Names,
    by_id: Mutex<BTreeMap<u16, Arc<PeerPool>>>,
}

/// One of them, with the requests that are under way to it.
#[derive(Debug)]
pub struct PeerPool {
    settings: Settings,
    names: Names,
    /// For requests that are on their way.
    places: Semaphore,
    waiting: AtomicU32,
    connecting: AtomicU32,
    sent: AtomicU32,
    /// The last request did not come through, which has been told.
    is_lost: AtomicBool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Settings {
    id: u16,
    target: Target,
    pool_size: u32,
}

/// The requests of one peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Requests {
    /// Not yet sent.
    pub waiting: u32,
    /// Those of them for which a connection is being opened.
    pub connecting: u32,
    /// Sent, and the peer has not yet closed the connection.
    pub sent: u32,
}

impl Peers {
    /// None yet; their hosts are found by these names.
    #[must_use]
    pub fn new(names: Names) -> Self {
        Self {
            names,
            by_id: Mutex::default(),
        }
    }

    /// Goes on with what is configured now. A peer whose settings have not
    /// changed stays.
    pub fn adopt(&self, config: &Config) {
        let mut now = self.by_id.lock();
        let before = std::mem::take(&mut *now);
        for settings in Settings::of_all(config) {
            let same = before.get(&settings.id);
            let same = same.filter(|peer| peer.settings == settings).cloned();
            let id = settings.id;
            now.insert(
                id,
                same.unwrap_or_else(|| Arc::new(PeerPool::new(settings, self.names.clone()))),
            );
        }
    }

    /// All of them, by their numbers.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<PeerPool>> {
        self.by_id.lock().values().cloned().collect()
    }

    /// Passes a request on to the one that its key names, if that is a peer, and
    /// waits until it has been served there. `own` is our own number.
    ///
    /// # Cancel safety
    /// Dropped before its end, the request may or may not have been passed on.
    pub async fn pass_on(&self, key: &CancelKey, own: u16, within: Duration) {
        let id = key.peer();
        if own == 0 || id == own {
            return;
        }
        let Some(peer) = self.by_id.lock().get(&id).cloned() else {
            return tracing::debug!(peer = id, "a cancel request names nobody known");
        };
        let Some(key) = key.passed_on() else {
            return tracing::debug!(
                peer = id,
                "a cancel request has been passed on often enough"
            );
        };
        peer.pass_on(&key, within).await;
    }
}

impl Settings {
    /// Those that there are, but for our own.
    fn of_all(config: &Config) -> impl Iterator<Item = Self> {
        let general = &config.general;
        let others = config
            .peers
            .values()
            .filter(|peer| peer.id != general.peer_id);
        others.filter_map(|peer| {
            Some(Self {
                id: peer.id,
                target: Target::new(peer.host.as_deref()?, peer.port),
                pool_size: peer.pool_size.unwrap_or(general.default_pool_size),
            })
        })
    }
}

impl PeerPool {
    fn new(settings: Settings, names: Names) -> Self {
        let places = usize::try_from(settings.pool_size).unwrap_or(usize::MAX);
        Self {
            places: Semaphore::new(places.min(Semaphore::MAX_PERMITS)),
            settings,
            names,
            waiting: AtomicU32::new(0),
            connecting: AtomicU32::new(0),
            sent: AtomicU32::new(0),
            is_lost: AtomicBool::new(false),
        }
    }

    /// Its number.
    #[must_use]
    pub fn id(&self) -> u16 {
        self.settings.id
    }

    /// Those that there are now.
    #[must_use]
    pub fn requests(&self) -> Requests {
        Requests {
            waiting: self.waiting.load(Ordering::Relaxed),
            connecting: self.connecting.load(Ordering::Relaxed),
            sent: self.sent.load(Ordering::Relaxed),
        }
    }

    async fn pass_on(&self, key: &CancelKey, within: Duration) {
        let waits = Counted::among(&self.waiting);
        if waits.number > MOST_WAITING {
            return;
        }
        let outcome = timeout(within, self.send(key, within, waits)).await;
        match outcome {
            Ok(Ok(())) => self.is_lost.store(false, Ordering::Relaxed),
            Ok(Err(error)) => self.lost(&error),
            Err(_) => self.lost(&DialError::TimedOut),
        }
    }

    /// Told once, until one comes through again: anybody can send requests.
    fn lost(&self, error: &DialError) {
        if !self.is_lost.swap(true, Ordering::Relaxed) {
            let Settings { id, target, .. } = &self.settings;
            tracing::warn!(
                peer = id,
                "a cancel request could not be passed on to {target}: {error}"
            );
        }
    }

    async fn send(
        &self,
        key: &CancelKey,
        within: Duration,
        waits: Counted<'_>,
    ) -> Result<(), DialError> {
        let Ok(_place) = self.places.acquire().await else {
            return Ok(());
        };
        let mut stream = self.connect(within).await?;
        drop(waits);
        let _sent = Counted::among(&self.sent);
        stream
            .send(&key.request())
            .await
            .map_err(DialError::Refused)?;
        // Nothing is ever answered; a reset is as good an end as a close.
        let _ = stream.read(&mut [0; 64]).await;
        Ok(())
    }

    async fn connect(&self, within: Duration) -> Result<Stream, DialError> {
        let _connects = Counted::among(&self.connecting);
        let places = timeout(within, self.names.places(&self.settings.target)).await;
        let places = places.map_err(|_| DialError::TimedOut)?;
        let mut failed = DialError::TimedOut;
        for place in places.map_err(|why| DialError::Refused(io::Error::other(why)))? {
            match dial(&place, Tcp::default(), within).await {
                Ok((stream, _)) => return Ok(stream),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }
}

/// Counted as long as it lives.
struct Counted<'c> {
    count: &'c AtomicU32,
    /// How many there were with it.
    number: u32,
}

impl<'c> Counted<'c> {
    fn among(count: &'c AtomicU32) -> Self {
        let number = count.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        Self { count, number }
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}
