//! A client that listens: while a server connection serves it that connection
//! listens, in between the one that all listening clients of the pool share.
//!
//! ```text
//!   LISTEN    the shared one listens, too     position marked, UNLISTEN *
//!   Here ---------------------------------------------> Shared
//!     ^______ LISTEN again, position marked, a turn begins ____|
//! ```
//!
//! So all that a transaction does about channels is PostgreSQL's own doing, and
//! what it tells itself comes when PostgreSQL says so.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::time::{Duration, Instant};

use tokio::time::{Sleep, sleep};

use super::pins::Pins;
use crate::config::Listen;
use crate::pool::{Lease, Mail, Subscription};
use crate::proxy::client::{Client, End, Service};
use crate::proxy::moving::Listens;
use crate::server::{Answers, Digest};
use crate::session::channels::{self, Channels, Ear, Stretch};
use crate::session::statements::ClientStatements;
use crate::session::{About, Rest};
use crate::wire::{PgError, sqlstate};

/// A reply waits no longer for older notifications that are to come before it.
const PATIENCE: Duration = Duration::from_secs(1);

/// What a client has that listens.
pub(in crate::proxy) struct Listening {
    subscription: Subscription,
    /// The server connection is being told that it no longer listens.
    is_leaving: bool,
    /// It could not be made to listen.
    unheard: bool,
    /// It has channels that are not taken along.
    stays: bool,
    /// The reply that waits.
    held: Option<Held>,
    /// Since when it goes over to another process: at a position that is being marked, it
    /// ends here.
    going_since: Option<Instant>,
}

/// After so long it is tried anew.
const GOES_WITHIN: Duration = Duration::from_secs(2);

impl Listening {
    /// By this subscription, and not on a server connection.
    pub(in crate::proxy) fn by(subscription: Subscription) -> Self {
        Self {
            subscription,
            is_leaving: false,
            unheard: false,
            stays: false,
            held: None,
            going_since: None,
        }
    }

    /// What it listens to.
    pub(in crate::proxy) fn channels(&self) -> Channels {
        self.subscription.channels().clone()
    }

    /// Has it ended here, with all told that was to be told?
    pub(in crate::proxy) fn has_gone(&self) -> bool {
        let mailbox = &self.subscription.mailbox;
        self.going_since.is_some() && mailbox.has_ended() && mailbox.is_empty()
    }
}

struct Held {
    bytes: Vec<u8>,
    no_longer_than: Pin<Box<Sleep>>,
}

impl Client {
    /// A turn begins: ahead of all else the server connection is made to listen.
    pub(in crate::proxy) fn listen_here(&mut self, lease: &mut Lease, out: &mut Vec<u8>) {
        let Some(listening) = &self.listening else {
            return;
        };
        let subscription = &listening.subscription;
        if subscription.channels().is_empty() {
            self.listening = None;
            return;
        }
        let token = subscription.turn(false);
        let position = subscription.position();
        lease.ear = Some(Ear {
            position: Arc::clone(position),
            stretch: Stretch::After(token),
        });
        let names = subscription.channels().iter().map(|name| &**name);
        let text = channels::commands("LISTEN", names) + &channels::mark(position, token);
        lease.say(&text, About::LISTENS, out);
        // The client can see what its session listens to.
        let seen = channels::commands("UNLISTEN", [&**position]);
        lease.say(&seen, About::LISTENS, out);
        self.pins.set(Pins::LISTEN, true);
    }

    /// The server has told what the session listens to.
    pub(in crate::proxy) fn follow_channels(&mut self, answers: &Answers) {
        let may_share = self.shelf.pool().settings().listen == Listen::Multiplex;
        let begins = self.pins.has(Pins::LISTEN) && may_share;
        if self.listening.is_none() && !begins {
            return;
        }
        let pool = self.shelf.pool();
        let listening = self
            .listening
            .get_or_insert_with(|| Box::new(Listening::by(Subscription::new(pool, &self.handle))));
        let subscription = &mut listening.subscription;
        let (list, count) = &answers.channels;
        let found = channels::channels(list, count, subscription.position());
        listening.stays = found.is_none();
        let Some(mut found) = found else {
            return;
        };
        if std::mem::take(&mut listening.unheard) {
            found.extend(subscription.channels().iter().cloned());
        }
        subscription.set(pool, found);
    }

    /// At rest, if nothing else ties the client to its server connection: that no
    /// longer listens, as soon as the shared one does. True while that goes on.
    pub(in crate::proxy) fn stops_listening_here(&mut self) -> bool {
        let is_tied = self.pins != Pins::LISTEN
            || self.names.as_deref().is_some_and(ClientStatements::ties)
            || self.unnamed.is_on_server()
            || self.inbox_waits
            || self.body_left > 0
            || self.must_ask();
        let (Some(listening), Service::Leased(lease)) = (&mut self.listening, &mut self.service)
        else {
            return false;
        };
        if listening.is_leaving {
            return true;
        }
        let at_rest = matches!(lease.tracker.rest(), Rest::Boundary(_)) && lease.between_frames();
        if is_tied || listening.stays || !at_rest {
            return false;
        }
        let subscription = &listening.subscription;
        let mut out = Vec::new();
        if !subscription.channels().is_empty() {
            let encoding = lease.parameter("client_encoding").unwrap_or_default();
            if !subscription.is_heard(encoding) {
                return false;
            }
            let token = subscription.turn(true);
            let position = subscription.position();
            lease.ear = Some(Ear {
                position: Arc::clone(position),
                stretch: Stretch::Before(token),
            });
            let mark = channels::mark(position, token);
            lease.say(&mark, About::LISTENS, &mut out);
        }
        lease.say("UNLISTEN *", About::LISTENED, &mut out);
        lease.outbox.push(&out);
        listening.is_leaving = true;
        true
    }

    /// What the server has said of that.
    pub(in crate::proxy) fn follow_listening(&mut self, unheard: bool, listened: bool) {
        let Some(listening) = &mut self.listening else {
            return;
        };
        if unheard {
            // It is told by the shared connection; of what was told here
            // meanwhile, something may be lost.
            listening
                .subscription
                .mailbox
                .stays_open(listening.is_leaving);
            listening.unheard = !listening.is_leaving;
            self.pins.set(Pins::LISTEN, listening.is_leaving);
        }
        if listened {
            listening.is_leaving = false;
            self.pins.set(Pins::LISTEN, false);
            if listening.subscription.channels().is_empty() {
                self.listening = None;
            }
        }
    }

    /// The server connection that listens is given up.
    pub(in crate::proxy) fn listens_no_longer_here(&mut self) {
        if let Some(listening) = &mut self.listening {
            listening.subscription.mailbox.stays_open(true);
            listening.is_leaving = false;
            self.pins.set(Pins::LISTEN, false);
        }
    }

    /// Must what the client sends wait?
    #[inline]
    pub(in crate::proxy) fn is_between_connections(&self) -> bool {
        let is_busy = |listening: &Listening| {
            listening.is_leaving || listening.held.is_some() || listening.going_since.is_some()
        };
        self.listening.as_deref().is_some_and(is_busy)
    }

    /// Is a reply waiting for older notifications?
    #[inline]
    pub(in crate::proxy) fn holds_a_reply(&self) -> bool {
        let holds = |listening: &Listening| listening.held.is_some();
        self.listening.as_deref().is_some_and(holds)
    }

    /// Writes what a server said to a client that listens: with what has come by
    /// the shared connection where that has its place.
    pub(in crate::proxy) fn send_amid(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
        digest: &Digest,
    ) -> Result<(), End> {
        let at = digest.interlude.unwrap_or(bytes.len());
        let (before, after) = bytes.split_at_checked(at).unwrap_or((bytes, b""));
        self.send(cx, before)?;
        let Some(listening) = self.listening.as_deref_mut().filter(|_| !after.is_empty()) else {
            return self.send(cx, after);
        };
        if digest.notified && listening.subscription.mailbox.is_to_close() {
            listening.held = Some(Held {
                bytes: after.to_vec(),
                no_longer_than: Box::pin(sleep(PATIENCE)),
            });
            return Ok(());
        }
        // What comes after the last position follows what is told here.
        let mail = match listening.is_leaving {
            true => listening.subscription.mailbox.fetch_before(),
            false => listening.subscription.mailbox.fetch(),
        };
        self.send_mail(cx, mail)?;
        self.send(cx, after)
    }

    /// Does what can be done about listening now; true when something was.
    pub(in crate::proxy) fn step_listening(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        let Some(listening) = self.listening.as_deref_mut() else {
            return Ok(false);
        };
        if let Some(since) = listening.going_since
            && (since.elapsed() > GOES_WITHIN || self.connected.house().exit().is_none())
        {
            // Nobody takes it. What came since it was closed is lost.
            let mailbox = &listening.subscription.mailbox;
            mailbox.stays_open(mailbox.has_ended());
            listening.going_since = None;
            return Ok(true);
        }
        let mailbox = &listening.subscription.mailbox;
        if let Some(held) = &mut listening.held {
            let waits = mailbox.is_to_close() && held.no_longer_than.as_mut().poll(cx).is_pending();
            if waits {
                return Ok(false);
            }
            let bytes = std::mem::take(&mut held.bytes);
            let mail = mailbox.fetch_before();
            listening.held = None;
            self.send_mail(cx, mail)?;
            self.send(cx, &bytes)?;
            self.release_or_go_on();
            return Ok(true);
        }
        match &self.service {
            Service::Idle | Service::Waiting(_) => {
                let has_mail = self.outbox.is_empty() && !mailbox.is_empty();
                if has_mail {
                    let mail = mailbox.fetch();
                    self.send_mail(cx, mail)?;
                }
                Ok(has_mail)
            }
            Service::Leased(_) if listening.is_leaving => Ok(false),
            Service::Leased(_) => Ok(self.pins == Pins::LISTEN && self.stops_listening_here()),
        }
    }

    /// Begins to go over to another process, if nothing but that it listens is in the way:
    /// there it is to hear what follows a position in the order of notifications,
    /// and here what stands before.
    pub(in crate::proxy) fn goes_on_listening_elsewhere(&mut self) {
        let Some(exit) = self.connected.house().exit() else {
            return;
        };
        if matches!(self.service, Service::Leased(_)) {
            return;
        }
        let (pool, client) = (self.shelf.pool(), self.handle.id);
        let Some(listening) = self.listening.as_deref_mut() else {
            return;
        };
        let subscription = &listening.subscription;
        let is_ready = listening.going_since.is_none()
            && !listening.is_leaving
            && !listening.unheard
            && !listening.stays
            && listening.held.is_none()
            && !subscription.channels().is_empty()
            && subscription.mailbox.is_settled();
        if !is_ready {
            return;
        }
        listening.going_since = Some(Instant::now());
        let listens = Listens {
            client,
            database: pool.database.clone(),
            user: pool.server_user.clone(),
            channels: subscription.channels().clone(),
            position: (&**subscription.position()).into(),
            token: subscription.turn(false),
        };
        exit.listens(listens, pool);
        if matches!(self.service, Service::Waiting(_)) {
            // There it waits again: here a connection might come that it must not have.
            self.service = Service::Idle;
            self.handle.served_by_nobody();
            self.inbox_waits = !self.inbox.is_empty();
        }
    }

    /// Writes what has come by the shared connection.
    fn send_mail(&mut self, cx: &mut Context<'_>, mail: Mail) -> Result<(), End> {
        if mail.missed {
            self.send(cx, &missed().to_notice("WARNING"))?;
        }
        if !mail.frames.is_empty() {
            self.send(cx, &mail.frames)?;
        }
        match mail.is_full {
            true => Err(End::Told(PgError::fatal(
                sqlstate::CONFIGURATION_LIMIT_EXCEEDED,
                "too many notifications have not been read",
            ))),
            false => Ok(()),
        }
    }
}

fn missed() -> PgError {
    PgError::error(sqlstate::WARNING, "notifications may have been lost").with_detail(
        "The server connection that listens for this session was lost. It listens again now.",
    )
}
