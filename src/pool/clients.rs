//! The clients that there are, for those who want something of one: cancels,
//! timeouts, shutdown.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use subtle::ConstantTimeEq;

use super::headcount::{ClientLimits, Headcount};
use super::who::{NotRegistered, Who};
use crate::server::{Identity, cancel};
use crate::wire::CancelKey;

/// Longest secret that a client can be given, in bytes (protocol 3.2).
pub const LONG_KEY: usize = 32;

/// What somebody wants of a client. Ordered: a graver wish replaces a lesser.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Wish {
    /// Nothing.
    None = 0,
    /// Go over to another process at the next boundary, if nothing is in the way.
    MoveAway = 1,
    /// Stop waiting for a server connection (CancelRequest).
    StopWaiting = 2,
    /// End at the next boundary: the pooler shuts down.
    EndAtBoundary = 3,
    /// The deadline that was set has passed.
    Deadline = 4,
    /// End now.
    EndNow = 5,
}

impl Wish {
    fn from_u8(value: u8) -> Self {
        match value {
            0 => Wish::None,
            1 => Wish::MoveAway,
            2 => Wish::StopWaiting,
            3 => Wish::EndAtBoundary,
            4 => Wish::Deadline,
            _ => Wish::EndNow,
        }
    }
}

/// Who is to end at a boundary and asks for nothing hears so that long after its last answer:
/// some drivers (libpq) take an error for a mere notice if they read it together with an answer.
const REST_MS: u16 = 50;

/// In the byte of a client's wish: its configuration has been read again.
const RELOADED: u8 = 0x80;

/// The same: it is to be told that it has waited for a while.
const QUEUED: u8 = 0x40;

/// What stands beside the wish.
const MARKS: u8 = RELOADED | QUEUED;

/// One client, as the rest of the house sees it.
#[derive(Debug)]
pub struct ClientHandle {
    /// The process id that the client was told. Where there are peers, others
    /// may have been told the same.
    pub pid: i32,
    /// Unique over the life of this process.
    pub id: u64,
    /// Who it is.
    pub who: Who,
    secret: Box<[u8]>,
    since: Instant,
    wish: AtomicU8,
    /// What keeps it on its server connection, in the words of `proxy`.
    pins: AtomicU16,
    /// Since when it waits or is pinned, which it cannot be both: milliseconds
    /// after its login, up to 49 days.
    since_ms: AtomicU32,
    /// Its prepared statements.
    statements: AtomicU32,
    /// Milliseconds after the registry's epoch; 0: none.
    deadline: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    waker: Option<Waker>,
    /// What serves it is told by these two, in the room of one: see [`Serving`].
    server: Option<Arc<Identity>>,
    waits: bool,
    /// It has been seen to that the client hears of that.
    told: bool,
    /// It is to end, and is at rest since then: milliseconds after its login, which begin
    /// anew now and then; 0: it is not.
    rests_since_ms: u16,
    /// When its latest turn began: seconds after its login.
    asked_s: u32,
}

impl State {
    fn serve(&mut self, serving: Serving) {
        (self.server, self.waits) = match serving {
            Serving::Nobody => (None, false),
            Serving::Waiting => (None, true),
            Serving::Server(identity) => (Some(identity), false),
        };
    }

    fn serving(&self) -> Serving {
        match &self.server {
            Some(identity) => Serving::Server(Arc::clone(identity)),
            None if self.waits => Serving::Waiting,
            None => Serving::Nobody,
        }
    }
}

/// What serves a client now.
#[derive(Debug, Clone, Default)]
pub enum Serving {
    /// Nobody.
    #[default]
    Nobody,
    /// It waits for a server connection.
    Waiting,
    /// This connection.
    Server(Arc<Identity>),
}

impl ClientHandle {
    /// The key that the client was told, for BackendKeyData.
    #[must_use]
    pub fn secret(&self) -> &[u8] {
        &self.secret
    }

    /// The first eight bytes of its key.
    fn head(&self) -> u64 {
        let secret = self.secret.first_chunk().copied().unwrap_or_default();
        let pid = u32::from_be_bytes(self.pid.to_be_bytes());
        u64::from(pid) << 32 | u64::from(u32::from_be_bytes(secret))
    }

    /// Cancels the query that it has running, or its wait for a server
    /// connection; does nothing, and says nothing, when there is none.
    ///
    /// # Cancel safety
    /// Dropped before its end, the server connection is closed rather than
    /// handed on.
    pub async fn cancel(&self, within: Duration) {
        // Announced under the lock that `served_by_nobody` takes before the
        // lease can end: the server connection is not handed on meanwhile.
        let under_way = match &self.state.lock().serving() {
            Serving::Nobody => return,
            Serving::Waiting => None,
            Serving::Server(identity) => Some(identity.begin_cancel()),
        };
        match under_way {
            None => self.want(Wish::StopWaiting),
            Some(under_way) => {
                cancel(&under_way, within).await;
            }
        }
    }

    /// What serves it now.
    #[must_use]
    pub fn serving(&self) -> Serving {
        self.state.lock().serving()
    }

    /// For how long it has waited, if it waits.
    #[must_use]
    pub fn waits_for(&self) -> Option<Duration> {
        let waits = self.state.lock().waits;
        waits.then(|| self.for_how_long())
    }

    /// What keeps it on its server connection is this; 0: nothing.
    #[inline]
    pub fn pinned_by(&self, pins: u16) {
        let before = self.pins.load(Ordering::Relaxed);
        if before == pins {
            return;
        }
        if before == 0 {
            self.begins_now();
        }
        self.pins.store(pins, Ordering::Relaxed);
    }

    /// What keeps it on its server connection, and for how long that has been.
    #[must_use]
    pub fn pinned(&self) -> (u16, Duration) {
        (self.pins.load(Ordering::Relaxed), self.for_how_long())
    }

    fn begins_now(&self) {
        let now = u32::try_from(self.since.elapsed().as_millis()).unwrap_or(u32::MAX);
        self.since_ms.store(now, Ordering::Relaxed);
    }

    fn for_how_long(&self) -> Duration {
        let since = Duration::from_millis(self.since_ms.load(Ordering::Relaxed).into());
        self.since.elapsed().saturating_sub(since)
    }

    /// A turn of its begins.
    #[inline]
    pub fn asks(&self, now: Instant) {
        self.state.lock().asked_s = self.seconds_at(now);
    }

    fn seconds_at(&self, now: Instant) -> u32 {
        let after = now.saturating_duration_since(self.since).as_secs();
        u32::try_from(after).unwrap_or(u32::MAX)
    }

    /// How long ago its latest turn began; before the first, how long ago it logged in.
    #[must_use]
    pub fn asked_ago(&self) -> Duration {
        let asked = Duration::from_secs(self.state.lock().asked_s.into());
        self.since.elapsed().saturating_sub(asked)
    }

    /// It has so many prepared statements.
    #[inline]
    pub fn has_statements(&self, count: usize) {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.statements.store(count, Ordering::Relaxed);
    }

    /// Its prepared statements, at the end of its last turn.
    #[must_use]
    pub fn statements(&self) -> u32 {
        self.statements.load(Ordering::Relaxed)
    }

    /// See [`Who::user`].
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.who.user()
    }

    /// How long ago it logged in.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.since.elapsed()
    }

    /// Seconds since it logged in.
    #[must_use]
    pub fn age_s(&self) -> u64 {
        self.since.elapsed().as_secs()
    }

    /// Waits until something is wanted that is at least as grave as `least`.
    ///
    /// # Cancel safety
    /// Nothing is lost: a wish stays until it is granted.
    pub async fn wished(&self, least: Wish) -> Wish {
        poll_fn(|cx| {
            self.wake_by(cx.waker());
            match self.wish() {
                wish if wish >= least => Poll::Ready(wish),
                _ => Poll::Pending,
            }
        })
        .await
    }

    /// The task that is to be woken by a wish.
    pub fn wake_by(&self, waker: &Waker) {
        self.state.lock().waker = Some(waker.clone());
    }

    /// A server connection serves it from now on. If it has waited for that its turn
    /// began with the wait.
    #[inline]
    pub fn served_by(&self, identity: &Arc<Identity>, now: Instant) {
        let mut state = self.state.lock();
        if !state.waits {
            state.asked_s = self.seconds_at(now);
        }
        state.serve(Serving::Server(Arc::clone(identity)));
    }

    /// It waits for a server connection.
    pub fn waits(&self) {
        self.begins_now();
        let mut state = self.state.lock();
        state.asked_s = self.seconds_at(Instant::now());
        state.told = false;
        state.serve(Serving::Waiting);
    }

    /// Nothing serves it. A cancel that comes later hits nobody; one that came
    /// before has announced itself to the server connection.
    #[inline]
    pub fn served_by_nobody(&self) {
        self.state.lock().serve(Serving::Nobody);
    }

    /// Is there anything to do besides serving it?
    #[inline]
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        self.wish.load(Ordering::Relaxed) != 0
    }

    /// What is wanted of it.
    #[inline]
    #[must_use]
    pub fn wish(&self) -> Wish {
        Wish::from_u8(self.wish.load(Ordering::Relaxed) & !MARKS)
    }

    /// Wants something of it, unless something graver is wanted already.
    pub fn want(&self, wish: Wish) {
        self.change(|now| now.max(wish as u8));
        self.wake();
    }

    /// Changes the wish, and leaves the marks beside it.
    fn change(&self, change: impl Fn(u8) -> u8) {
        let apart = |both: u8| Some(both & MARKS | change(both & !MARKS));
        let _ = self
            .wish
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, apart);
    }

    /// The configuration was read again: it is to look what holds for it now.
    pub fn is_reloaded(&self) {
        self.wish.fetch_or(RELOADED, Ordering::AcqRel);
        self.wake();
    }

    /// Is it to look what holds for it now?
    #[must_use]
    pub fn has_been_reloaded(&self) -> bool {
        self.wish.load(Ordering::Relaxed) & RELOADED != 0
    }

    /// It is about to look.
    pub fn looks(&self) {
        self.wish.fetch_and(!RELOADED, Ordering::AcqRel);
    }

    /// Has it waited for so long, and not been told so yet? Then it is to be.
    fn tell_if_queued_for(&self, patience: Duration) {
        let mut state = self.state.lock();
        if !state.waits || state.told || self.for_how_long() < patience {
            return;
        }
        state.told = true;
        drop(state);
        self.wish.fetch_or(QUEUED, Ordering::AcqRel);
        self.wake();
    }

    /// Is it to be told that it has waited for a while? Asked once each time.
    #[must_use]
    pub fn is_to_hear_that_it_waits(&self) -> bool {
        self.wish.load(Ordering::Relaxed) & QUEUED != 0
            && self.wish.fetch_and(!QUEUED, Ordering::AcqRel) & QUEUED != 0
    }

    /// Its task is to look what there is to do.
    pub fn wake(&self) {
        if let Some(waker) = &self.state.lock().waker {
            waker.wake_by_ref();
        }
    }

    /// It is to end and is at rest, where nothing is begun for it any more: for long enough?
    /// Looked at every 100 ms; the first time it is not.
    #[must_use]
    pub fn has_rested(&self) -> bool {
        let now =
            u16::try_from(self.since.elapsed().as_millis() % 65_536).map_or(1, |now| now.max(1));
        let mut state = self.state.lock();
        if state.rests_since_ms == 0 {
            state.rests_since_ms = now;
        }
        now.wrapping_sub(state.rests_since_ms) >= REST_MS
    }

    /// A wish has been granted, or is void now.
    pub fn granted(&self, wish: Wish) {
        self.change(|now| if now == wish as u8 { 0 } else { now });
    }

    /// From now on at most this long, in milliseconds of the registry's clock.
    #[inline]
    pub fn set_deadline(&self, at: Option<u64>) {
        self.deadline.store(at.unwrap_or(0), Ordering::Relaxed);
    }
}

/// All clients.
#[derive(Debug)]
pub struct Clients {
    /// By the first eight bytes of their keys.
    by_key: Mutex<HashMap<u64, Arc<ClientHandle>>>,
    /// Our own number among our peers, for the keys of clients to come; 0: none.
    peer_id: AtomicU16,
    headcount: Headcount,
    next_id: AtomicU64,
    epoch: Instant,
    /// Some client has, or has had, a deadline.
    deadlines: AtomicBool,
}

impl Default for Clients {
    fn default() -> Self {
        Self {
            by_key: Mutex::default(),
            peer_id: AtomicU16::new(0),
            headcount: Headcount::default(),
            next_id: AtomicU64::new(1),
            epoch: Instant::now(),
            deadlines: AtomicBool::new(false),
        }
    }
}

/// A client's place in the registry, left on drop.
#[derive(Debug)]
pub struct Registered {
    handle: Arc<ClientHandle>,
    clients: Arc<Clients>,
}

impl Registered {
    /// The registry.
    #[must_use]
    pub fn clients(&self) -> &Arc<Clients> {
        &self.clients
    }
}

impl std::ops::Deref for Registered {
    type Target = Arc<ClientHandle>;

    fn deref(&self) -> &Arc<ClientHandle> {
        &self.handle
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        if let Some((database, user)) = self.handle.who.groups() {
            self.clients.headcount.leave(database, user);
        }
        self.clients.by_key.lock().remove(&self.handle.head());
    }
}

impl Clients {
    /// Milliseconds since this registry was made; never 0.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis())
            .unwrap_or(u64::MAX)
            .saturating_add(1)
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.by_key.lock().len()
    }

    /// How many there are that have a pool.
    #[must_use]
    pub fn pooled(&self) -> usize {
        let by_key = self.by_key.lock();
        let pooled = by_key.values().filter(|client| client.who.pool().is_some());
        pooled.count()
    }

    /// All of them, the oldest first.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<ClientHandle>> {
        let mut all: Vec<_> = self.by_key.lock().values().cloned().collect();
        all.sort_unstable_by_key(|client| client.id);
        all
    }

    /// A new client, with a key of 4 bytes or, for protocol 3.2, a long one.
    /// Those of the console count for no database and no user.
    ///
    /// # Errors
    /// When there are as many as `limits` allow, or the system has no random bytes.
    pub fn register(
        self: &Arc<Self>,
        who: Who,
        long_key: bool,
        limits: ClientLimits,
    ) -> Result<Registered, NotRegistered> {
        let mut random = [0; LONG_KEY + 4];
        getrandom::fill(&mut random).map_err(|_| NotRegistered::NoRandomBytes)?;
        self.count_in(&who, limits)?;
        let (head, tail) = random.split_first_chunk::<8>().unwrap_or((&[0; 8], &[]));
        let (mut head, peer_id) = (u64::from_be_bytes(*head), self.peer_id());
        let mut by_key = self.by_key.lock();
        loop {
            head = CancelKey::head_for(head, peer_id);
            if !by_key.contains_key(&head) {
                break;
            }
            // Past the bits that are not random.
            head = head.wrapping_add(1 << 8);
        }
        let [a, b, c, d, short @ ..] = head.to_be_bytes();
        let pid = i32::from_be_bytes([a, b, c, d]);
        let secret = [&short[..], if long_key { tail } else { &[] }].concat();
        let handle = self.handle(who, pid, secret.into(), Instant::now());
        by_key.insert(head, Arc::clone(&handle));
        drop(by_key);
        Ok(self.registered(handle))
    }

    /// A client that has come over from another process: with the key that it was
    /// given there, and so old. Limits hold for those who come anew.
    ///
    /// # Errors
    /// When there is another one with its key.
    pub fn register_again(
        self: &Arc<Self>,
        who: Who,
        (pid, secret): (i32, Box<[u8]>),
        age: Duration,
    ) -> Result<Registered, NotRegistered> {
        let now = Instant::now();
        let since = now.checked_sub(age).unwrap_or(now);
        let handle = self.handle(who, pid, secret, since);
        match self.by_key.lock().entry(handle.head()) {
            Entry::Occupied(_) => return Err(NotRegistered::KnownAlready),
            Entry::Vacant(place) => place.insert(Arc::clone(&handle)),
        };
        let counted = self.count_in(&handle.who, ClientLimits::default());
        debug_assert!(counted.is_ok(), "no limits");
        Ok(self.registered(handle))
    }

    fn count_in(&self, who: &Who, limits: ClientLimits) -> Result<(), NotRegistered> {
        let Some((database, user)) = who.groups() else {
            return Ok(());
        };
        let entered = self.headcount.enter(database, user, limits);
        entered.map_err(NotRegistered::TooMany)
    }

    fn handle(&self, who: Who, pid: i32, secret: Box<[u8]>, since: Instant) -> Arc<ClientHandle> {
        Arc::new(ClientHandle {
            pid,
            id: self.next_id.fetch_add(1, Ordering::Relaxed),
            who,
            secret,
            pins: AtomicU16::new(0),
            since_ms: AtomicU32::new(0),
            statements: AtomicU32::new(0),
            since,
            wish: AtomicU8::new(0),
            deadline: AtomicU64::new(0),
            state: Mutex::default(),
        })
    }

    fn registered(self: &Arc<Self>, handle: Arc<ClientHandle>) -> Registered {
        Registered {
            handle,
            clients: Arc::clone(self),
        }
    }

    /// Wants the same of every client.
    pub fn want_of_all(&self, wish: Wish) {
        for client in self.all() {
            client.want(wish);
        }
    }

    /// The configuration was read again.
    pub fn reloaded(&self) {
        for client in self.all() {
            client.is_reloaded();
        }
    }

    /// Has those told of it who have waited for a server connection for so long.
    pub fn tell_those_queued_for(&self, patience: Duration) {
        let by_key = self.by_key.lock();
        by_key
            .values()
            .for_each(|client| client.tell_if_queued_for(patience));
    }

    /// From now on clients set deadlines.
    pub fn expect_deadlines(&self) {
        self.deadlines.store(true, Ordering::Relaxed);
    }

    /// Tells those whose deadline has passed.
    pub fn enforce_deadlines(&self) {
        if !self.deadlines.load(Ordering::Relaxed) {
            return;
        }
        let now = self.now_ms();
        let late: Vec<_> = self
            .by_key
            .lock()
            .values()
            .filter(|client| (1..=now).contains(&client.deadline.load(Ordering::Relaxed)))
            .cloned()
            .collect();
        for client in late {
            client.want(Wish::Deadline);
        }
    }

    /// Our own number among our peers; 0: there are none.
    fn peer_id(&self) -> u16 {
        self.peer_id.load(Ordering::Relaxed)
    }

    /// From now on this is our own number among our peers (0: there are none).
    /// Clients that are here keep their keys.
    pub fn are_of_peer(&self, id: u16) {
        self.peer_id.store(id, Ordering::Relaxed);
    }

    /// Whose key this is, if it is one of our clients'.
    #[must_use]
    pub fn owner(&self, key: &CancelKey) -> Option<Arc<ClientHandle>> {
        let own = self.peer_id();
        let owner = {
            let by_key = self.by_key.lock();
            let passed_on = || {
                let is_ours = own != 0 && key.peer() == own;
                is_ours.then(|| by_key.get(&key.head_as_given())).flatten()
            };
            by_key.get(&key.head()).or_else(passed_on).cloned()?
        };
        let tail = owner.secret.get(4..).unwrap_or_default();
        bool::from(tail.ct_eq(key.tail())).then_some(owner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn anybody(clients: &Arc<Clients>) -> Registered {
        let registered = clients.register(Who::anybody(), false, ClientLimits::default());
        registered.unwrap_or_else(|_| panic!("no random bytes"))
    }

    #[test]
    fn since_when_a_client_is_pinned_does_not_change_with_the_reason() {
        let clients = Arc::new(Clients::default());
        let client = anybody(&clients);
        assert_eq!(client.pinned().0, 0);
        client.pinned_by(1);
        client.since_ms.store(u32::MAX, Ordering::Relaxed);
        client.pinned_by(3);
        assert_eq!(client.pinned(), (3, Duration::ZERO));
        client.pinned_by(0);
        client.pinned_by(1);
        assert!(client.since_ms.load(Ordering::Relaxed) < u32::MAX);
    }

    #[test]
    fn what_a_client_costs_in_the_registry_is_little() {
        assert!(
            size_of::<ClientHandle>() <= 176,
            "{}",
            size_of::<ClientHandle>()
        );
    }

    #[test]
    fn what_was_reloaded_is_told_beside_any_wish() {
        let clients = Arc::new(Clients::default());
        let client = anybody(&clients);
        client.want(Wish::Deadline);
        clients.reloaded();
        assert_eq!(
            (client.wish(), client.has_been_reloaded()),
            (Wish::Deadline, true)
        );
        client.granted(Wish::Deadline);
        assert_eq!((client.wish(), client.is_wanted()), (Wish::None, true));
        client.looks();
        assert!(!client.is_wanted());
    }

    #[test]
    fn a_graver_wish_replaces_a_lesser_and_not_the_other_way() {
        let clients = Arc::new(Clients::default());
        let client = anybody(&clients);
        client.want(Wish::EndAtBoundary);
        client.want(Wish::StopWaiting);
        assert_eq!(client.wish(), Wish::EndAtBoundary);
        client.granted(Wish::StopWaiting);
        assert_eq!(client.wish(), Wish::EndAtBoundary);
        client.want(Wish::EndNow);
        assert_eq!(client.wish(), Wish::EndNow);
    }

    #[test]
    fn clients_leave_the_registry_when_they_go() {
        let clients = Arc::new(Clients::default());
        let [one, two] = [
            clients
                .register(Who::anybody(), false, ClientLimits::default())
                .ok(),
            clients
                .register(Who::anybody(), true, ClientLimits::default())
                .ok(),
        ];
        assert_eq!(clients.count(), 2);
        assert_eq!(one.as_ref().map(|client| client.secret().len()), Some(4));
        assert_eq!(
            two.as_ref().map(|client| client.secret().len()),
            Some(LONG_KEY)
        );
        assert!(
            one.as_ref()
                .is_some_and(|client| client.pid & (1 << 30) != 0 && client.pid > 0)
        );
        drop(one);
        assert_eq!(clients.count(), 1);
    }

    #[test]
    fn who_comes_over_keeps_key_and_age() {
        let [old, new] = [(); 2].map(|()| Arc::new(Clients::default()));
        let client = anybody(&old);
        let key = || (client.pid, Box::from(client.secret()));
        let age = Duration::from_secs(7);
        let Ok(moved) = new.register_again(Who::anybody(), key(), age) else {
            panic!("it is new there");
        };
        assert_eq!((moved.head(), moved.age_s()), (client.head(), 7));
        assert!(new.register_again(Who::anybody(), key(), age).is_err());
        drop(moved);
        assert_eq!(new.count(), 0);
    }

    #[test]
    fn a_passed_deadline_is_told_once_it_has_passed() {
        let clients = Arc::new(Clients::default());
        let client = anybody(&clients);
        clients.expect_deadlines();
        client.set_deadline(Some(clients.now_ms() + 60_000));
        clients.enforce_deadlines();
        assert_eq!(client.wish(), Wish::None);
        client.set_deadline(Some(1));
        clients.enforce_deadlines();
        assert_eq!(client.wish(), Wish::Deadline);
    }
}
