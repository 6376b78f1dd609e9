//! The notifications of one listening client that came while no server
//! connection served it.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use crate::pool::ClientHandle;

/// Most that waits for one client, in bytes.
const LONGEST: usize = 16 << 20;

/// See the module. Between two transactions it is open; while a server connection
/// listens for the client it is closed, from one position in the order of
/// notifications to another ([`crate::session::channels`]).
#[derive(Debug)]
pub struct Mailbox {
    /// None: it is on its way here.
    client: OnceLock<Arc<ClientHandle>>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Whole frames, in order.
    frames: Vec<u8>,
    /// So many bytes of them came before it was closed last.
    before: usize,
    is_open: bool,
    /// Positions to come: at which, and whether it is open from there on.
    turns: VecDeque<(u64, bool)>,
    missed: bool,
    /// Nothing comes at present: what is missed is told when that has changed.
    is_cut_off: bool,
    is_full: bool,
}

/// What was in a mailbox.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Mail {
    /// NotificationResponse frames.
    pub frames: Vec<u8>,
    /// Before them some may be missing.
    pub missed: bool,
    /// The client has left too many lying there.
    pub is_full: bool,
}

impl Mailbox {
    /// A closed one.
    #[must_use]
    pub fn new(client: &Arc<ClientHandle>) -> Self {
        Self {
            client: Arc::clone(client).into(),
            state: Mutex::default(),
        }
    }

    /// A closed one of a client that is on its way here.
    #[must_use]
    pub(super) fn unclaimed() -> Self {
        Self {
            client: OnceLock::new(),
            state: Mutex::default(),
        }
    }

    /// The client is here.
    pub(super) fn is_claimed_by(&self, client: &Arc<ClientHandle>) {
        let _ = self.client.set(Arc::clone(client));
    }

    fn wake(&self) {
        if let Some(client) = self.client.get() {
            client.wake();
        }
    }

    /// Is it open, and stays so?
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let state = self.state.lock();
        state.is_open && state.turns.is_empty() && !state.is_cut_off
    }

    /// Is it closed, and nothing missing of what came before?
    #[must_use]
    pub fn has_ended(&self) -> bool {
        let state = self.state.lock();
        !state.is_open && state.turns.is_empty() && !state.missed && !state.is_cut_off
    }

    /// From the position `token` on it is open, or closed.
    pub fn turns_at(&self, token: u64, open: bool) {
        self.state.lock().turns.push_back((token, open));
    }

    /// Is a position still to come from which on it is closed? What another
    /// connection tells follows what is still to come here.
    #[must_use]
    pub fn is_to_close(&self) -> bool {
        self.state.lock().turns.iter().any(|(_, open)| !open)
    }

    /// Is nothing there to be fetched?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let state = self.state.lock();
        state.frames.is_empty() && !state.is_full && (!state.missed || state.is_cut_off)
    }

    /// Takes what is there.
    #[must_use]
    pub fn fetch(&self) -> Mail {
        let mut state = self.state.lock();
        state.before = 0;
        let frames = std::mem::take(&mut state.frames);
        state.mail(frames)
    }

    /// Takes what came before it was closed last: what another connection has
    /// told since then follows that.
    #[must_use]
    pub fn fetch_before(&self) -> Mail {
        let mut state = self.state.lock();
        let before = std::mem::take(&mut state.before);
        let frames = state.frames.drain(..before).collect();
        state.mail(frames)
    }

    /// What other connections were to tell is not told: it is open from now on.
    /// `missed`: something may be lost.
    pub fn stays_open(&self, missed: bool) {
        {
            let mut state = self.state.lock();
            state.turns.clear();
            state.is_open = true;
            state.missed |= missed;
        }
        self.wake();
    }

    /// A notification, as a whole frame.
    pub(super) fn deliver(&self, frame: &[u8]) {
        {
            let mut state = self.state.lock();
            if !state.is_open || state.is_full {
                return;
            }
            match state.frames.len() + frame.len() <= LONGEST {
                true => state.frames.extend_from_slice(frame),
                false => state.is_full = true,
            }
        }
        self.wake();
    }

    /// A position has come.
    pub(super) fn pass(&self, token: u64) {
        {
            let mut state = self.state.lock();
            let Some(at) = state.turns.iter().position(|(turn, _)| *turn == token) else {
                return;
            };
            let past = state.turns.drain(..=at).next_back();
            state.turn(past.is_some_and(|(_, open)| open));
        }
        self.wake();
    }

    /// Notifications are being lost, and with them positions.
    pub(super) fn gap(&self) {
        {
            let mut state = self.state.lock();
            state.is_cut_off = true;
            let turns = std::mem::take(&mut state.turns);
            // It was open at some time, unless it is closed and stays so.
            state.missed |= state.is_open || !turns.is_empty();
            if let Some((_, open)) = turns.back() {
                state.turn(*open);
            }
        }
        self.wake();
    }

    /// A channel is listened to, from now on or again.
    pub(super) fn hears(&self) {
        self.state.lock().is_cut_off = false;
        self.wake();
    }
}

impl State {
    fn turn(&mut self, open: bool) {
        self.is_open = open;
        if !open {
            self.before = self.frames.len();
        }
    }

    fn mail(&mut self, frames: Vec<u8>) -> Mail {
        Mail {
            frames,
            missed: !self.is_cut_off && std::mem::take(&mut self.missed),
            is_full: self.is_full,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::{ClientLimits, Clients, Who};

    fn mailbox() -> Mailbox {
        let clients = Arc::new(Clients::default());
        match clients.register(Who::anybody(), false, ClientLimits::default()) {
            Ok(client) => Mailbox::new(&client),
            Err(error) => panic!("not registered: {error:?}"),
        }
    }

    fn frames(mailbox: &Mailbox) -> String {
        String::from_utf8(mailbox.fetch().frames).unwrap_or_default()
    }

    #[test]
    fn what_comes_between_two_positions_is_told_elsewhere() {
        let mailbox = mailbox();
        mailbox.deliver(b"a");
        mailbox.turns_at(1, true);
        mailbox.pass(1);
        mailbox.deliver(b"b");
        mailbox.turns_at(2, false);
        mailbox.turns_at(3, true);
        mailbox.deliver(b"c");
        assert!(mailbox.is_to_close());
        mailbox.pass(2);
        assert!(!mailbox.is_to_close());
        mailbox.deliver(b"d");
        mailbox.pass(3);
        mailbox.deliver(b"e");
        assert_eq!(mailbox.fetch_before().frames, b"bc");
        assert_eq!(frames(&mailbox), "e");
        assert!(mailbox.is_empty() && mailbox.fetch_before() == Mail::default());
    }

    #[test]
    fn a_position_that_was_missed_is_past_when_a_later_one_comes() {
        let mailbox = mailbox();
        mailbox.turns_at(1, true);
        mailbox.turns_at(2, false);
        mailbox.turns_at(3, true);
        mailbox.pass(3);
        mailbox.pass(1);
        mailbox.deliver(b"a");
        assert_eq!(frames(&mailbox), "a");
    }

    #[test]
    fn a_gap_is_told_to_whom_it_concerns() {
        let mailbox = mailbox();
        mailbox.gap();
        assert!(mailbox.is_empty());
        mailbox.turns_at(1, true);
        mailbox.gap();
        assert!(mailbox.is_empty());
        mailbox.hears();
        mailbox.deliver(b"a");
        let mail = mailbox.fetch();
        assert!(mail.missed && mail.frames == b"a");
        mailbox.turns_at(2, false);
        mailbox.stays_open(false);
        mailbox.pass(2);
        mailbox.deliver(b"b");
        assert_eq!(frames(&mailbox), "b");
    }

    #[test]
    fn it_does_not_grow_without_bounds() {
        let mailbox = mailbox();
        mailbox.stays_open(false);
        let frame = vec![b'x'; 1 << 20];
        (0..20).for_each(|_| mailbox.deliver(&frame));
        let mail = mailbox.fetch();
        assert!(mail.is_full && mail.frames.len() <= LONGEST);
    }
}
