//! The one server connection on which all listening clients of a pool listen
//! between their transactions.
//!
//! It is opened beside the pool's own when the first client listens, listens to
//! what any of them listens to, and is closed when for a while none does. When it
//! is lost it is opened anew, and clients are told that they may have missed
//! something.

mod line;
mod mailbox;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::clients::ClientHandle;
use super::server_pool::ServerPool;
use crate::server::{Identity, Server};
use crate::session::channels::{Channels, notify, position_of};
use crate::wire::{backend, frame};

pub use mailbox::{Mail, Mailbox};

/// Channels listened to, or no longer, in one request.
const BATCH: usize = 500;

/// See the module.
#[derive(Debug)]
pub struct Listener {
    /// The channel of positions, see [`crate::session::channels`].
    pub position: Arc<str>,
    next_token: AtomicU64,
    /// Who listens to what has changed.
    changed: Notify,
    /// The server is another now: the connection is to be opened anew.
    is_elsewhere: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    channels: HashMap<Box<str>, Channel>,
    /// Whose mailbox turns at a position.
    turning: HashMap<u64, Arc<Mailbox>>,
    /// Who the connection is, while there is one.
    identity: Option<Arc<Identity>>,
    /// Its `client_encoding`.
    encoding: Option<Box<str>>,
    is_running: bool,
    /// Positions to be marked.
    marks: Vec<Mark>,
}

/// A position that is to be marked here and for another process as soon as all of these
/// channels are heard: there is the end of what is told there, and the beginning here.
#[derive(Debug)]
struct Mark {
    channels: Channels,
    /// The channel of positions there, and the position.
    there: (Box<str>, u64),
    here: u64,
}

#[derive(Debug, Default)]
struct Channel {
    mailboxes: Vec<Arc<Mailbox>>,
    /// Whatever is committed from now on comes here.
    is_heard: bool,
}

/// What one client listens to; dropped, it listens to nothing any more.
#[derive(Debug)]
pub struct Subscription {
    listener: Arc<Listener>,
    /// What came for it.
    pub mailbox: Arc<Mailbox>,
    channels: Channels,
}

impl Default for Listener {
    fn default() -> Self {
        let mut random = [0; 8];
        let _ = getrandom::fill(&mut random);
        Self {
            position: format!("_pw_position_{:016x}", u64::from_be_bytes(random)).into(),
            next_token: AtomicU64::new(1),
            changed: Notify::new(),
            is_elsewhere: AtomicBool::new(false),
            state: Mutex::default(),
        }
    }
}

impl Listener {
    /// Is this so of the connection, if there is one?
    pub(super) fn is_any(&self, is_so: impl Fn(&Identity) -> bool) -> bool {
        self.state.lock().identity.as_deref().is_some_and(is_so)
    }

    /// The server is another now.
    pub(super) fn moves(&self) {
        self.is_elsewhere.store(true, Ordering::Release);
        self.changed.notify_one();
    }
}

impl Subscription {
    /// Of a client that listens to nothing yet.
    #[must_use]
    pub fn new(pool: &ServerPool, client: &Arc<ClientHandle>) -> Self {
        Self {
            listener: Arc::clone(&pool.listener),
            mailbox: Arc::new(Mailbox::new(client)),
            channels: Channels::new(),
        }
    }

    /// Of a client that comes over from another process and listens to these channels.
    /// `there` is where it ends there: the channel of positions, and a position that
    /// is marked when this process hears all that follows.
    #[must_use]
    pub fn coming(pool: &Arc<ServerPool>, channels: Channels, there: (Box<str>, u64)) -> Self {
        let mut subscription = Self {
            listener: Arc::clone(&pool.listener),
            mailbox: Arc::new(Mailbox::unclaimed()),
            channels: Channels::new(),
        };
        let here = subscription.turn(true);
        let mark = Mark {
            channels: channels.clone(),
            there,
            here,
        };
        pool.listener.state.lock().marks.push(mark);
        subscription.set(pool, channels);
        subscription
    }

    /// The client is here.
    pub fn is_claimed_by(&self, client: &Arc<ClientHandle>) {
        self.mailbox.is_claimed_by(client);
    }

    /// What it listens to.
    #[must_use]
    pub fn channels(&self) -> &Channels {
        &self.channels
    }

    /// The channel of positions.
    #[must_use]
    pub fn position(&self) -> &Arc<str> {
        &self.listener.position
    }

    /// It listens to these from now on.
    pub fn set(&mut self, pool: &Arc<ServerPool>, channels: Channels) {
        let before = std::mem::replace(&mut self.channels, channels);
        self.listener
            .leave(&self.mailbox, before.difference(&self.channels));
        let new: Vec<_> = self.channels.difference(&before).cloned().collect();
        if !new.is_empty() {
            self.listener.join(pool, &self.mailbox, new);
        }
    }

    /// Would all that it listens to be heard, by a client of this encoding?
    #[must_use]
    pub fn is_heard(&self, encoding: &str) -> bool {
        let state = self.listener.state.lock();
        let is_heard = |name| {
            state
                .channels
                .get(name)
                .is_some_and(|channel| channel.is_heard)
        };
        state.encoding.as_deref() == Some(encoding) && self.channels.iter().all(is_heard)
    }

    /// A position that is yet to be marked, at which the mailbox opens or closes.
    #[must_use]
    pub fn turn(&self, open: bool) -> u64 {
        let token = self.listener.next_token.fetch_add(1, Ordering::Relaxed);
        self.mailbox.turns_at(token, open);
        let mut state = self.listener.state.lock();
        state.turning.insert(token, Arc::clone(&self.mailbox));
        token
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.listener.leave(&self.mailbox, self.channels.iter());
        let mut state = self.listener.state.lock();
        let is_other = |_: &u64, mailbox: &mut Arc<Mailbox>| !Arc::ptr_eq(mailbox, &self.mailbox);
        state.turning.retain(is_other);
    }
}

impl Listener {
    fn join(self: &Arc<Self>, pool: &Arc<ServerPool>, mailbox: &Arc<Mailbox>, new: Vec<Box<str>>) {
        let mut state = self.state.lock();
        for name in new {
            let channel = state.channels.entry(name).or_default();
            channel.mailboxes.push(Arc::clone(mailbox));
        }
        if !std::mem::replace(&mut state.is_running, true) {
            tokio::spawn(line::run(Arc::clone(self), Arc::clone(pool)));
        }
        drop(state);
        self.changed.notify_one();
    }

    fn leave<'a>(&self, mailbox: &Arc<Mailbox>, channels: impl Iterator<Item = &'a Box<str>>) {
        let mut state = self.state.lock();
        for name in channels {
            let Some(channel) = state.channels.get_mut(name) else {
                continue;
            };
            let is_it = |other: &Arc<Mailbox>| Arc::ptr_eq(other, mailbox);
            if let Some(at) = channel.mailboxes.iter().position(is_it) {
                channel.mailboxes.swap_remove(at);
            }
            if channel.mailboxes.is_empty() {
                state.channels.remove(name);
            }
        }
        drop(state);
        self.changed.notify_one();
    }

    /// What the connection, which listens to `heard`, has yet to listen to, and
    /// what it need not any more.
    fn changes(&self, heard: &HashSet<Box<str>>) -> (Vec<Box<str>>, Vec<Box<str>>) {
        let mut state = self.state.lock();
        let is_wanted = |name: &str| state.channels.contains_key(name);
        let gone = heard.iter().filter(|name| !is_wanted(name));
        let gone = gone.take(BATCH).cloned().collect();
        let mut new = Vec::new();
        for (name, channel) in &mut state.channels {
            match heard.contains(name) {
                // Somebody has come back to it.
                true => channel.hear(),
                false if new.len() < BATCH => new.push(name.clone()),
                false => {}
            }
        }
        (new, gone)
    }

    /// Commands that mark the positions that can be marked now.
    fn marks(&self) -> String {
        let mut state = self.state.lock();
        let State {
            channels, marks, ..
        } = &mut *state;
        let is_heard = |name: &str| channels.get(name).is_some_and(|there| there.is_heard);
        let is_ready = |mark: &mut Mark| mark.channels.iter().all(|name| is_heard(name));
        let ready = marks.extract_if(.., is_ready).take(BATCH);
        ready
            .map(|Mark { there, here, .. }| {
                let (channel, there) = there;
                notify(&channel, there) + &notify(&self.position, here)
            })
            .collect()
    }

    fn hears(&self, names: &[Box<str>]) {
        let mut state = self.state.lock();
        for name in names {
            if let Some(channel) = state.channels.get_mut(name) {
                channel.hear();
            }
        }
    }

    /// A NotificationResponse has come.
    fn tell(&self, frame: &[u8]) {
        let body = frame.get(frame::HEADER..).unwrap_or_default();
        let Some(notification) = backend::notification(body) else {
            return;
        };
        let mut state = self.state.lock();
        if notification.channel == self.position.as_bytes() {
            let token = position_of(notification.payload);
            let turning = token.and_then(|token| Some((token, state.turning.remove(&token)?)));
            drop(state);
            if let Some((token, mailbox)) = turning {
                mailbox.pass(token);
            }
            return;
        }
        let name = std::str::from_utf8(notification.channel).unwrap_or_default();
        if let Some(channel) = state.channels.get(name) {
            channel
                .mailboxes
                .iter()
                .for_each(|mailbox| mailbox.deliver(frame));
        }
    }

    /// The connection is there.
    fn is_there(&self, server: &Server) {
        let mut state = self.state.lock();
        state.identity = Some(Arc::clone(&server.identity));
        state.encoding = server.parameter("client_encoding").map(Into::into);
    }

    /// It is lost.
    fn is_lost(&self) {
        let mut state = self.state.lock();
        (state.identity, state.encoding) = (None, None);
        let turning = std::mem::take(&mut state.turning);
        let mut concerned: HashMap<*const Mailbox, Arc<Mailbox>> = turning
            .into_values()
            .map(|mailbox| (Arc::as_ptr(&mailbox), mailbox))
            .collect();
        for channel in state.channels.values_mut() {
            if std::mem::take(&mut channel.is_heard) {
                let mailboxes = channel
                    .mailboxes
                    .iter()
                    .map(|m| (Arc::as_ptr(m), Arc::clone(m)));
                concerned.extend(mailboxes);
            }
        }
        drop(state);
        concerned.into_values().for_each(|mailbox| mailbox.gap());
    }

    fn is_unused(&self) -> bool {
        self.state.lock().channels.is_empty()
    }

    /// Does nobody listen? Then the task has ended, as far as others know.
    fn ends(&self) -> bool {
        let mut state = self.state.lock();
        let is_unused = state.channels.is_empty();
        state.is_running = !is_unused;
        is_unused
    }
}

impl Channel {
    fn hear(&mut self) {
        if !std::mem::replace(&mut self.is_heard, true) {
            self.mailboxes.iter().for_each(|mailbox| mailbox.hears());
        }
    }
}
