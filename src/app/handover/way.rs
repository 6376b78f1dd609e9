//! The way that clients and server connections go to the new process.

use std::collections::{HashMap, HashSet};
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Mutex as AsyncMutex;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::messages::{Open, Tell, say};
use crate::net::Courier;
use crate::pool::{ServerPool, Shelf};
use crate::proxy::{Departure, Exit, Listens, Luggage, Taken};

/// The other process reads on, or is stuck.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is to be told of clients that listen, and of which pool they are.
pub(super) type Told = UnboundedReceiver<(Listens, Arc<ServerPool>)>;

/// See the module.
#[derive(Debug)]
pub(super) struct Way {
    courier: Arc<Courier>,
    /// Pools whose credential has gone.
    told: Mutex<HashSet<(String, String)>>,
    /// How many server connections the other process knows of, by the pool's address.
    known: AsyncMutex<HashMap<usize, u32>>,
    is_broken: AtomicBool,
    /// The other process has ended.
    is_alone: AtomicBool,
    /// What is to be told of clients that listen.
    listening: UnboundedSender<(Listens, Arc<ServerPool>)>,
    /// Clients of which it is to be heard whether they have arrived.
    asked: Mutex<HashMap<u64, oneshot::Sender<bool>>>,
    /// Pools, by their address, that have clients who stay to the end.
    keep_one: HashSet<usize>,
    pub clients: AtomicUsize,
    pub servers: AtomicUsize,
}

impl Way {
    /// The way, and what is to be told on it by [`Way::tell_listening`].
    pub fn new(courier: Arc<Courier>, keep_one: HashSet<usize>) -> (Self, Told) {
        // One for each client at most.
        let (listening, told) = unbounded_channel();
        let way = Self {
            courier,
            listening,
            asked: Mutex::default(),
            keep_one,
            told: Mutex::default(),
            known: AsyncMutex::default(),
            is_broken: AtomicBool::new(false),
            is_alone: AtomicBool::new(false),
            clients: AtomicUsize::new(0),
            servers: AtomicUsize::new(0),
        };
        (way, told)
    }

    /// Tells of those who listen, for ever.
    pub async fn tell_listening(&self, mut told: Told) {
        while let Some((listens, pool)) = told.recv().await {
            self.pass_credential(&pool).await;
            let listens = Tell::Listens(listens);
            self.within(say(&self.courier, &listens, &[])).await;
        }
    }

    /// Has something gone wrong? Then nothing more can go this way.
    pub fn is_broken(&self) -> bool {
        self.is_broken.load(Ordering::Acquire)
    }

    /// Does it within a time; what does not succeed breaks the way.
    async fn within<T>(&self, act: impl Future<Output = io::Result<T>>) -> Option<T> {
        if self.is_broken() {
            return None;
        }
        let error = match timeout(PATIENCE, act).await {
            Ok(Ok(done)) => return Some(done),
            // Too long: that is about this one thing alone.
            Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidInput => return None,
            Ok(Err(error)) => error,
            Err(_) => io::ErrorKind::TimedOut.into(),
        };
        if !self.is_broken.swap(true, Ordering::AcqRel) {
            tracing::warn!("the new process takes nothing more: {error}");
        }
        None
    }

    /// Lets an idle server connection go, if there is one; says whether there was.
    pub async fn pass_server(&self, shelf: &Arc<Shelf>) -> bool {
        let pool = shelf.pool();
        if self.keep_one.contains(&Arc::as_ptr(pool).addr()) && pool.open() <= 1 {
            return false;
        }
        let Some(departing) = shelf.part_with_one().await else {
            return false;
        };
        let Some(socket) = departing.socket() else {
            return false;
        };
        let mut known = self.known.lock().await;
        let left = shelf.pool().open().saturating_sub(1);
        let about = Tell::Server(departing.about.clone(), left);
        let said = self.within(say(&self.courier, &about, &[socket])).await;
        if said.is_some() {
            departing.is_gone();
            shelf.pool().freeze(left);
            known.insert(Arc::as_ptr(shelf.pool()).addr(), left);
            self.servers.fetch_add(1, Ordering::Relaxed);
        }
        said.is_some()
    }

    /// Tells how many server connections a pool has, if that is news.
    pub async fn tell_open(&self, pool: &Arc<ServerPool>) {
        let mut known = self.known.lock().await;
        let now = Open::of(pool);
        let before = known.insert(Arc::as_ptr(pool).addr(), now.count);
        if before != Some(now.count) {
            self.within(say(&self.courier, &Tell::Open(now), &[])).await;
        }
    }

    async fn pass_client(
        &self,
        luggage: Luggage,
        socket: BorrowedFd<'_>,
        shelf: &Arc<Shelf>,
    ) -> Departure {
        self.pass_credential(shelf.pool()).await;
        // Its connection before it: the new process opens one less.
        self.pass_server(shelf).await;
        let number = luggage.number;
        let (answer, arrived) = oneshot::channel();
        self.asked.lock().insert(number, answer);
        let client = Tell::Client(Box::new(luggage));
        let said = self.within(say(&self.courier, &client, &[socket])).await;
        let arrived = match said {
            Some(()) => timeout(PATIENCE, arrived).await,
            None => Ok(Ok(false)),
        };
        self.asked.lock().remove(&number);
        match arrived {
            Ok(Ok(true)) => {
                self.clients.fetch_add(1, Ordering::Relaxed);
                Departure::Gone
            }
            Ok(Ok(false)) => Departure::Stays,
            // The other process has ended without a word.
            Ok(Err(_)) if self.is_alone.load(Ordering::Acquire) => Departure::Stays,
            Ok(Err(_)) | Err(_) => Departure::InDoubt,
        }
    }

    /// The other process has said what has become of a client.
    pub fn has_answered(&self, number: u64, arrived: bool) {
        if let Some(answer) = self.asked.lock().remove(&number) {
            let _ = answer.send(arrived);
        }
    }

    /// Nothing goes this way any more. If the other process has ended (`alone`), who has not
    /// arrived there is here.
    pub fn is_over(&self, alone: bool) {
        self.is_alone.store(alone, Ordering::Release);
        self.is_broken.store(true, Ordering::Release);
        self.asked.lock().clear();
    }

    async fn pass_credential(&self, pool: &ServerPool) {
        let key = (pool.database.clone(), pool.server_user.clone());
        if !self.told.lock().insert(key) {
            return;
        }
        if let Some(credential) = pool.learned().to_carry() {
            let learned = Tell::Credential {
                database: pool.database.clone(),
                user: pool.server_user.clone(),
                credential,
            };
            self.within(say(&self.courier, &learned, &[])).await;
        }
    }
}

impl Exit for Way {
    fn take<'a>(
        &'a self,
        luggage: Luggage,
        socket: BorrowedFd<'a>,
        shelf: &'a Arc<Shelf>,
    ) -> Taken<'a> {
        Box::pin(self.pass_client(luggage, socket, shelf))
    }

    fn listens(&self, listens: Listens, pool: &Arc<ServerPool>) {
        let _ = self.listening.send((listens, Arc::clone(pool)));
    }
}
