//! A client that has logged in, and the one loop that serves it.
//!
//! ```text
//!          a frame that needs a server       a lease
//!   Idle ------------------------------> Waiting ------> Leased
//!    ^  \________(a connection is idle)___________________^ |
//!    |______________________ boundary ______________________|
//! ```

use std::future::{Future, poll_fn};
use std::num::NonZeroU64;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Sleep, timeout};

use super::deadlines::Deadlines;
use super::house::{Connected, House};
use super::login::LoggedIn;
use super::session_state::Listening;
use super::session_state::{Names, Pins};
use super::upstream::MAX_FRAME;
use super::wrap_up::wrap_up;
use crate::config::{PoolMode, SessionState};
use crate::net::{Outbox, Stream, scratch};
use crate::pool::{Counts, Lease, Registered, Seeker, Shelf, Wish};
use crate::session::settings::{Profile, Reported, Touched};
use crate::session::statements::{Changing, ClientStatements, Unnamed};
use crate::session::{About, Findings, Rest, Scan, TraceParent, TxStatus};
use crate::wire::{PgError, sqlstate};

/// While a client waits for a server connection, this much more of what it
/// sends is read, so that its leaving is noticed.
const READ_AHEAD: usize = 64 * 1024;

/// Who is told to leave has this long to close; what it still sends is lost.
const SEE_OFF: Duration = Duration::from_millis(200);

type Waiting = std::pin::Pin<Box<dyn Future<Output = Result<Lease, PgError>> + Send>>;

/// What serves the client now.
pub(super) enum Service {
    /// Nothing: it is between transactions.
    Idle,
    /// It is in the queue.
    Waiting(Waiting),
    /// A server connection.
    Leased(Lease),
}

/// Why a client's session ends.
#[derive(Debug)]
pub(super) enum End {
    /// It said Terminate.
    Terminated,
    /// Its connection broke or was closed.
    Gone,
    /// It is told this, then closed.
    Told(PgError),
    /// The server ended its connection with an error that was forwarded.
    ServerEnded,
    /// It could go over to another process now.
    Moves,
}

/// What is to become of the frame under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Pass,
    Drop,
}

/// A server connection is being given the client's settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Aligning {
    /// Not at all, or they are there.
    No,
    /// It was told to take them, and what follows is sent behind that.
    Begun,
    /// And what the client asked for has been sent to its end: if they cannot
    /// be set the server skips so far, and no further.
    Held,
}

/// An error was sent instead of running what the client asked for: what
/// belongs to that is read and dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Nothing is refused.
    None,
    /// The very next frame is the refused one.
    Next,
    /// Everything up to Sync.
    UpToSync,
}

/// See the module.
pub(super) struct Client {
    stream: Stream,
    /// Counts against `max_client_conn`.
    pub(super) connected: Connected,
    pub(super) service: Service,
    pub(super) shelf: Arc<Shelf>,
    pub(super) handle: Registered,
    pub(super) mode: PoolMode,
    /// What the client has yet to take.
    pub(super) outbox: Outbox,
    /// What it sent that could not be dealt with yet: the start of a frame, or
    /// whole frames that wait for something.
    pub(super) inbox: Vec<u8>,
    /// The inbox waits for something other than more bytes.
    pub(super) inbox_waits: bool,
    /// It need not be looked at again before it has so many bytes.
    pub(super) wanted: u32,
    /// Bytes of the frame under way that are still to come.
    pub(super) body_left: usize,
    pub(super) body_fate: Fate,
    /// A reply is owed for it.
    pub(super) body_owes: bool,
    /// A Flush was sent to make room for more owed replies.
    pub(super) flushed_for_room: bool,
    /// `max_packet_size`, in bytes.
    pub(super) max_frame: u32,
    /// `disable_pqexec`.
    pub(super) refuses_queries: bool,
    pub(super) refusal: Refusal,
    /// Its prepared statements; none has no memory.
    pub(super) names: Option<Box<ClientStatements>>,
    pub(super) unnamed: Unnamed,
    /// One more than the segment in which that last changed.
    pub(super) unnamed_changed_in: Option<NonZeroU64>,
    /// Until then it keeps its server connection for what it has just asked or
    /// drawn.
    pub(super) moment: Option<Pin<Box<Sleep>>>,
    /// In the transaction under way it has changed what sessions begin with.
    pub(super) defaults_changed: bool,
    /// The process that its sequences' last numbers are in.
    pub(super) sequences_at: i32,
    /// It has changed the catalog in the transaction under way.
    pub(super) changing: Option<Changing>,
    /// What it runs may have changed settings that say what a text means.
    pub(super) env_in_doubt: bool,
    /// Which; none while that is not known either.
    pub(super) env_touched: Option<Box<Touched>>,
    /// What it has in the session of its server connection, which it keeps.
    pub(super) pins: Pins,
    /// What it may have done to the session since that was last asked about.
    pub(super) dirty: Findings,
    /// Which settings.
    pub(super) touched: Option<Box<Touched>>,
    /// It listens, and not only on its server connection.
    pub(super) listening: Option<Box<Listening>>,
    /// The settings that go with it.
    pub(super) profile: Option<Arc<Profile>>,
    pub(super) aligning: Aligning,
    pub(super) policy: SessionState,
    /// It has run something since the session was last asked about, and all of
    /// that is asked about.
    pub(super) unverified: bool,
    /// The parameters that it was told of.
    pub(super) reported: Reported,
    /// What it sent may drop all prepared statements: what a name stands for is
    /// known when everything is answered.
    pub(super) forgetting: bool,
    /// What it has prepared or bound may do so when it is executed.
    pub(super) may_forget: bool,
    /// The scan of a Query that has not arrived to its end.
    pub(super) scan: Option<Box<Scan>>,
    pub(super) application_name: Arc<str>,
    pub(super) counts: Counts,
    pub(super) deadlines: Option<Box<Deadlines>>,
    /// What is to be told of the transaction under way.
    #[cfg(feature = "otel")]
    pub(super) note: Option<Box<super::spans::Note>>,
}

impl Client {
    pub fn new(stream: Stream, connected: Connected, house: &Arc<House>, with: LoggedIn) -> Self {
        Self {
            stream,
            connected,
            service: Service::Idle,
            shelf: with.shelf,
            handle: with.handle,
            mode: with.settings.pool_mode,
            outbox: Outbox::default(),
            inbox_waits: !with.ahead.is_empty(),
            inbox: with.ahead,
            wanted: 0,
            body_left: 0,
            body_fate: Fate::Drop,
            body_owes: false,
            flushed_for_room: false,
            max_frame: house.config().general.max_packet_size.min(MAX_FRAME),
            refuses_queries: house.config().general.disable_pqexec,
            refusal: Refusal::None,
            names: None,
            unnamed: Unnamed::None,
            unnamed_changed_in: None,
            moment: None,
            defaults_changed: false,
            sequences_at: 0,
            changing: None,
            env_in_doubt: false,
            env_touched: None,
            pins: Pins::NONE,
            dirty: Findings::NONE,
            touched: None,
            listening: None,
            profile: with.beginning.profile,
            aligning: Aligning::No,
            policy: with.settings.session_state,
            unverified: false,
            reported: Reported::new(with.beginning.greeting),
            forgetting: false,
            may_forget: false,
            scan: None,
            application_name: with.application_name,
            counts: Counts::default(),
            deadlines: Deadlines::new(&house.clients, &with.settings),
            #[cfg(feature = "otel")]
            note: None,
        }
    }

    /// Serves the client until its session ends.
    pub fn serve(&mut self) -> impl Future<Output = End> {
        self.mark_idle();
        if let Some(idles) = self.profile.as_deref().and_then(|profile| profile.idle) {
            self.limit_idle_session(Some(idles));
        }
        let mut is_known = false;
        poll_fn(move |cx| {
            if !is_known {
                self.handle.wake_by(cx.waker());
                is_known = true;
            }
            self.poll(cx)
        })
    }

    /// Its socket.
    pub(super) fn stream(&self) -> &Stream {
        &self.stream
    }

    /// The end of a session: the server connection is brought to a boundary,
    /// the client hears why.
    pub async fn end(mut self, end: End) {
        let trace = self.trace();
        self.handle.served_by_nobody();
        self.cut_turn_off();
        #[cfg(feature = "otel")]
        self.span_is_cut_off(&end);
        self.flush_counts();
        let mid_frame = self.body_left > 0 && self.body_fate == Fate::Pass;
        let mid_reply = matches!(&self.service, Service::Leased(lease) if lease.mid_reply());
        let left = self.leaves_behind();
        if let Service::Leased(mut lease) = std::mem::replace(&mut self.service, Service::Idle) {
            if mid_frame && self.body_owes {
                lease.tracker.newest_is_cut_off();
            }
            // What runs outside of a transaction block would be done to its end.
            let orderly =
                matches!(end, End::Terminated) && lease.tracker.status() == TxStatus::Idle;
            let settings = Arc::clone(&self.shelf.pool().settings());
            let within = settings.drain_timeout;
            let runs_text = self.mode == PoolMode::Session || settings.server_reset_query_always;
            if !matches!(end, End::ServerEnded) {
                let changing = self.changing.take();
                tokio::spawn(async move {
                    wrap_up(lease, !orderly, mid_frame, left, runs_text, within).await;
                    drop(changing);
                });
            }
        }
        self.log_end(&end, trace.as_ref());
        match end {
            End::Terminated | End::Gone => {}
            End::ServerEnded => self.last_words(&[]).await,
            End::Moves => {}
            End::Told(error) => {
                self.shelf.pool().stats.errors.count(error.code.as_bytes());
                // In the middle of a row it would be taken for a part of that.
                if !mid_reply {
                    self.last_words(&error.to_frame()).await;
                    self.see_off().await;
                }
            }
        }
    }

    fn log_end(&self, end: &End, trace: Option<&TraceParent>) {
        let config = self.connected.house().config();
        let (ends, errors) = (
            config.general.log_disconnections,
            config.general.log_pooler_errors,
        );
        let (client, age) = (self.handle.who.peer, self.handle.age_s());
        let trace_id = trace.map(TraceParent::trace_id);
        let span_id = trace.map(TraceParent::span_id);
        let (database, user) = (&self.shelf.pool().database, self.handle.user());
        match end {
            End::Terminated | End::Gone if ends => {
                tracing::info!(%client, database, user, trace_id, span_id, "closing because: client close request (age={age}s)");
            }
            End::ServerEnded if ends => {
                tracing::info!(%client, database, user, trace_id, span_id, "closing because: the server ended the connection (age={age}s)");
            }
            End::Told(error) if ends || errors => {
                tracing::info!(target: "limited", %client, database, user, sqlstate = %error.code, trace_id, span_id, "closing because: {} (age={age}s)", error.message);
            }
            End::Terminated | End::Gone | End::ServerEnded | End::Told(_) | End::Moves => {}
        }
    }

    /// Gives the client a moment to take what is left for it.
    async fn last_words(&mut self, frame: &[u8]) {
        self.outbox.push(frame);
        let flushed = poll_fn(|cx| self.outbox.poll_flush(&mut self.stream, cx));
        let _ = timeout(Duration::from_secs(5), flushed).await;
    }

    /// Reads what the client still sends, if it is to leave between two transactions: to
    /// close now would reset its connection, and what it was told be lost with that.
    async fn see_off(&mut self) {
        if self.handle.wish() != Wish::EndAtBoundary {
            return;
        }
        let to_the_end = async {
            let mut lost = [0; 1024];
            self.stream.shutdown().await?;
            while self.stream.read(&mut lost).await? > 0 {}
            std::io::Result::Ok(())
        };
        let _ = timeout(SEE_OFF, to_the_end).await;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        loop {
            match self.step(cx) {
                Ok(true) => {}
                Ok(false) => return Poll::Pending,
                Err(end) => return Poll::Ready(end),
            }
        }
    }

    /// Does what can be done now; true when something was.
    fn step(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        if self.handle.is_wanted() {
            self.look_what_holds()?;
            self.hear_that_it_waits();
            self.grant_wish()?;
        }
        if self
            .outbox
            .poll_flush(&mut self.stream, cx)
            .is_ready_and_broken()
        {
            return Err(End::Gone);
        }
        let listened = self.step_listening(cx)? | self.moment_has_passed(cx);
        let served = match self.service {
            Service::Waiting(_) => self.step_waiting(cx)?,
            Service::Idle => self.step_client(cx)?,
            Service::Leased(_) => self.step_client(cx)? | self.step_server(cx)?,
        };
        Ok(listened | served)
    }

    fn step_waiting(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        let Service::Waiting(waiting) = &mut self.service else {
            return Ok(false);
        };
        match waiting.as_mut().poll(cx) {
            Poll::Ready(Ok(lease)) => {
                self.service = Service::Idle;
                self.retry_inbox(cx, Some(lease))?;
                Ok(true)
            }
            Poll::Ready(Err(error)) => {
                self.refuse(error)?;
                self.retry_inbox(cx, None)?;
                Ok(true)
            }
            // Reading on, within bounds, notices that the client has left.
            Poll::Pending if self.inbox.len() < READ_AHEAD => self.read_ahead(cx),
            Poll::Pending => Ok(false),
        }
    }

    /// `query_wait_notify`: nothing of a server's is on its way to the client, so
    /// it is told at once.
    fn hear_that_it_waits(&mut self) {
        if self.handle.is_to_hear_that_it_waits() && matches!(self.service, Service::Waiting(_)) {
            self.outbox.push(&queued().to_notice("NOTICE"));
        }
    }

    fn read_ahead(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        scratch::with(
            |scratch| match scratch::poll_read(&mut self.stream, cx, &mut scratch.read) {
                Poll::Pending => Ok(false),
                Poll::Ready(Err(_) | Ok(0)) => Err(End::Gone),
                Poll::Ready(Ok(read)) => {
                    self.inbox
                        .extend_from_slice(scratch.read.get(..read).unwrap_or_default());
                    Ok(true)
                }
            },
        )
    }

    /// From the client: what it sent before, or a read.
    fn step_client(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        if !self.may_take_from_client() {
            return Ok(false);
        }
        if self.inbox_waits {
            let before = self.inbox.len();
            self.retry_inbox(cx, None)?;
            return Ok(!self.inbox_waits || self.inbox.len() < before);
        }
        scratch::with(
            |scratch| match scratch::poll_read(&mut self.stream, cx, &mut scratch.read) {
                Poll::Pending => Ok(false),
                Poll::Ready(Err(_) | Ok(0)) => Err(End::Gone),
                Poll::Ready(Ok(read)) => {
                    self.counts.received += u64::try_from(read).unwrap_or(0);
                    let bytes = scratch.read.get(..read).unwrap_or_default();
                    if self.inbox.is_empty() {
                        self.take_in(cx, bytes, &mut scratch.write, None)?;
                    } else {
                        self.inbox.extend_from_slice(bytes);
                        if self.inbox.len() >= usize::try_from(self.wanted).unwrap_or(0) {
                            let whole = std::mem::take(&mut self.inbox);
                            self.take_in(cx, &whole, &mut scratch.write, None)?;
                        }
                    }
                    Ok(true)
                }
            },
        )
    }

    /// Back-pressure: nothing more from the client while the server, or the
    /// client itself, has not taken what it should.
    fn may_take_from_client(&mut self) -> bool {
        if self.is_between_connections() {
            return false;
        }
        match &self.service {
            Service::Leased(lease) => lease.outbox.is_empty() && self.outbox.len() < READ_AHEAD,
            Service::Idle => self.outbox.is_empty(),
            Service::Waiting(_) => false,
        }
    }

    /// Deals with what was put aside.
    fn retry_inbox(&mut self, cx: &mut Context<'_>, lease: Option<Lease>) -> Result<(), End> {
        let inbox = std::mem::take(&mut self.inbox);
        self.inbox_waits = false;
        scratch::with(|scratch| self.take_in(cx, &inbox, &mut scratch.write, lease))
    }

    /// Deals with bytes of the client, in order; `out` is empty. What cannot
    /// be dealt with yet goes to the inbox.
    fn take_in(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
        out: &mut Vec<u8>,
        lease: Option<Lease>,
    ) -> Result<(), End> {
        let mut rest = bytes;
        if let Some(lease) = lease {
            self.begin(lease, rest, out);
            #[cfg(feature = "otel")]
            self.span_is_served();
        } else if self.handle.is_wanted() {
            self.turn_away(bytes)?;
        }
        if !matches!(self.service, Service::Leased(_)) {
            let (taken, needs_server) = self.unleased(rest)?;
            rest = rest.get(taken..).unwrap_or_default();
            if self
                .outbox
                .poll_flush(&mut self.stream, cx)
                .is_ready_and_broken()
            {
                return Err(End::Gone);
            }
            if !needs_server {
                self.inbox = rest.to_vec();
                return Ok(());
            }
            if self.handle.wish() == Wish::EndAtBoundary {
                return Err(End::Told(PgError::shutting_down()));
            }
            let who = Seeker {
                client: self.handle.id,
                profile: self.profile.as_ref(),
            };
            let lease = self.shelf.try_lease(who);
            #[cfg(feature = "otel")]
            self.span_begins();
            match lease {
                Some(lease) => self.begin(lease, rest, out),
                None => return self.wait(rest),
            }
            #[cfg(feature = "otel")]
            self.span_is_served();
        }
        let Service::Leased(mut lease) = std::mem::replace(&mut self.service, Service::Idle) else {
            return Ok(());
        };
        let begins = lease.turn_goes_on();
        if let Some(now) = begins {
            self.handle.asks(now);
            self.watch(&mut lease);
        }
        let result = self.upstream(cx, &mut lease, rest, out);
        self.service = Service::Leased(lease);
        #[cfg(feature = "otel")]
        if begins.is_some() {
            self.span_begins();
            self.span_is_served();
        }
        self.mark_busy();
        result
    }

    fn wait(&mut self, rest: &[u8]) -> Result<(), End> {
        self.inbox = rest.to_vec();
        self.handle.waits();
        self.mark_busy();
        let lease = Arc::clone(&self.shelf).lease(self.handle.id, self.profile.clone());
        self.service = Service::Waiting(Box::pin(lease));
        Ok(())
    }

    /// A turn begins with these bytes of the client: the server connection takes on
    /// what is this client's.
    fn begin(&mut self, mut lease: Lease, first: &[u8], out: &mut Vec<u8>) {
        self.watch(&mut lease);
        let since = lease.turn_since().unwrap_or_else(Instant::now);
        self.trace_begins(&mut lease);
        self.handle.served_by(&lease.identity, since);
        self.shelf.pool().stats.assigned();
        self.listen_here(&mut lease, out);
        // Left by one who has vanished, perhaps.
        lease.stand_in = None;
        let is_named = lease.application_name == self.application_name;
        let names = match is_named {
            true => Names::NeedNot,
            false => self.names_session(first),
        };
        if !self.has_profile_of(&lease) {
            let (profile, name) = (self.profile.as_ref(), &self.application_name);
            lease.align(profile, name, names != Names::Leave, out);
            self.aligning = Aligning::Begun;
        } else if names == Names::Alone {
            lease.application_name = Arc::clone(&self.application_name);
            let text = set_application_name(&self.application_name);
            lease.say(&text, About::default(), out);
        }
        if lease.application_name != self.application_name {
            lease.stands_in_for(&self.application_name);
        }
        self.service = Service::Leased(lease);
    }

    /// From the server: a read, judged and forwarded.
    fn step_server(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        let may_read = self.outbox.is_empty() && !self.holds_a_reply();
        scratch::with(|scratch| {
            let Service::Leased(lease) = &mut self.service else {
                return Ok(false);
            };
            let server = &mut **lease;
            let was_stuck = !server.outbox.is_empty();
            // A broken connection shows when it is read.
            let flushed = match server.outbox.poll_flush(&mut server.stream, cx) {
                Poll::Ready(Ok(())) => true,
                Poll::Ready(Err(_)) => {
                    server.give_up_sending();
                    true
                }
                Poll::Pending => false,
            };
            if !may_read {
                return Ok(was_stuck && flushed);
            }
            match scratch::poll_read(&mut server.stream, cx, &mut scratch.read) {
                Poll::Pending => Ok(flushed && (self.release_at_boundary() || was_stuck)),
                Poll::Ready(Err(_) | Ok(0)) if self.shrugs_off() => Ok(true),
                Poll::Ready(Err(_) | Ok(0)) => Err(End::Told(server_lost())),
                Poll::Ready(Ok(read)) => {
                    let bytes = scratch.read.get(..read).unwrap_or_default();
                    self.downstream(cx, bytes, &mut scratch.write)?;
                    Ok(true)
                }
            }
        })
    }

    /// Writes to the client what is its own.
    pub(super) fn send(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Result<(), End> {
        self.counts.sent += u64::try_from(bytes.len()).unwrap_or(0);
        self.outbox
            .write(&mut self.stream, cx, bytes)
            .map_err(|_| End::Gone)
    }

    /// Is the turn over?
    fn at_boundary(&self) -> bool {
        let Service::Leased(lease) = &self.service else {
            return false;
        };
        self.mode != PoolMode::Session
            && self.body_left == 0
            && !self.inbox_waits
            && !self.is_pinned()
            && !self.must_ask()
            && !self.unnamed.is_on_server()
            && !lease.would_time_out()
            && lease.between_frames()
            && !matches!(lease.tracker.rest(), Rest::Busy)
    }

    /// Ends the turn if it is over; says whether it was.
    #[inline]
    pub(super) fn release_at_boundary(&mut self) -> bool {
        let over = self.at_boundary();
        if over {
            self.release();
        }
        over
    }

    fn release(&mut self) {
        let now = Instant::now();
        self.end_turn(now);
        let Service::Leased(mut lease) = std::mem::replace(&mut self.service, Service::Idle) else {
            return;
        };
        lease.stand_in = None;
        self.handle.served_by_nobody();
        #[cfg(feature = "otel")]
        self.span_ends(Some(&mut lease));
        self.flush_counts();
        self.handle.pinned_by(0);
        self.mark_idle();
        // Everything is answered; the next server connection counts anew.
        self.unnamed_changed_in = None;
        if let Some(names) = &mut self.names {
            names.changed_in = None;
        }
        self.transaction_ended();
        // In doubt the lease is dropped, which closes the server connection.
        if let Rest::Boundary(boundary) = lease.tracker.rest() {
            lease.turn_is_over();
            lease.give_back_at(boundary, now);
        }
    }

    /// What held for one transaction is over.
    pub(super) fn transaction_ended(&mut self) {
        self.settle_statements(false);
        if std::mem::take(&mut self.defaults_changed) {
            self.shelf.pool().generation.ends();
        }
        if let Some(names) = &mut self.names {
            names.calls.close_all();
        }
        self.env_in_doubt = false;
        self.env_touched = None;
        self.dirty = Findings::NONE;
        self.may_forget = false;
        self.forgetting = false;
        // Texts prepared meanwhile may have been about what was rolled back.
        self.changing = None;
    }

    pub(super) fn flush_counts(&mut self) {
        let counts = std::mem::take(&mut self.counts);
        self.shelf.pool().stats.add(&counts);
        if let Some(names) = self.names.as_deref() {
            self.handle.has_statements(names.size().0);
        }
    }

    /// A transaction has ended, and the client keeps its server connection. To be
    /// called before [`Client::transaction_ended`].
    pub(super) fn keeps_its_server(&mut self) {
        self.end_turn(Instant::now());
        if let Service::Leased(lease) = &mut self.service {
            lease.trace = None;
        }
        #[cfg(feature = "otel")]
        self.span_ends_here();
        self.flush_counts();
        self.handle.pinned_by(self.pins_shown());
    }

    /// Somebody wants something of this client.
    fn grant_wish(&mut self) -> Result<(), End> {
        match self.handle.wish() {
            Wish::None => Ok(()),
            Wish::StopWaiting => {
                self.handle.granted(Wish::StopWaiting);
                if matches!(self.service, Service::Waiting(_)) {
                    self.refuse(PgError::canceled())?;
                }
                Ok(())
            }
            Wish::MoveAway if self.may_move() => Err(End::Moves),
            Wish::MoveAway => {
                if self.could_move() {
                    self.goes_on_listening_elsewhere();
                }
                Ok(())
            }
            Wish::EndAtBoundary if self.is_at_rest() && self.handle.has_rested() => {
                Err(End::Told(PgError::shutting_down()))
            }
            // What it asks for next is not begun; if that is nothing it is looked at again.
            Wish::EndAtBoundary => Ok(()),
            Wish::Deadline => {
                self.handle.granted(Wish::Deadline);
                self.deadline_passed()
            }
            Wish::EndNow => Err(End::Told(PgError::shutting_down())),
        }
    }

    /// Between two transactions, and nothing has come of the next.
    fn is_at_rest(&self) -> bool {
        match &self.service {
            Service::Idle => self.body_left == 0 && self.inbox.is_empty(),
            Service::Leased(lease) => !matches!(lease.tracker.rest(), Rest::Busy),
            Service::Waiting(_) => false,
        }
    }

    /// Who is to leave and has kept its server connection hears it when it asks for something.
    fn turn_away(&self, bytes: &[u8]) -> Result<(), End> {
        let is_kept = matches!(self.service, Service::Leased(_)) && self.is_at_rest();
        if is_kept
            && self.body_left == 0
            && self.handle.wish() == Wish::EndAtBoundary
            && bytes.first() != Some(&b'X')
        {
            return Err(End::Told(PgError::shutting_down()));
        }
        Ok(())
    }

    /// What the client asked for is not run: it is told why. FATAL ends it.
    fn refuse(&mut self, error: PgError) -> Result<(), End> {
        self.trace_error(error.code.as_bytes(), None);
        self.service = Service::Idle;
        self.handle.served_by_nobody();
        self.mark_idle();
        if error.severity == crate::wire::Severity::Fatal {
            return Err(End::Told(error));
        }
        #[cfg(feature = "otel")]
        {
            self.span_fails(error.code.as_bytes());
            self.span_ends(None);
        }
        self.shelf.pool().stats.errors.count(error.code.as_bytes());
        self.outbox.push(&error.to_frame());
        self.refusal = Refusal::Next;
        self.inbox_waits = true;
        Ok(())
    }
}

/// A poll of a write: did it fail?
trait Broken {
    fn is_ready_and_broken(&self) -> bool;
}

impl Broken for Poll<std::io::Result<()>> {
    fn is_ready_and_broken(&self) -> bool {
        matches!(self, Poll::Ready(Err(_)))
    }
}

/// In PgBouncer's words.
fn queued() -> PgError {
    PgError::error(
        sqlstate::SUCCESSFUL_COMPLETION,
        "No server connection available in postgres backend, client being queued",
    )
}

fn server_lost() -> PgError {
    PgError::fatal(
        sqlstate::CONNECTION_FAILURE,
        "server closed the connection unexpectedly",
    )
}

/// The name is plain ASCII; with `E''` it reads the same whatever
/// `standard_conforming_strings` says.
fn set_application_name(name: &str) -> String {
    format!(
        "SET application_name TO E'{}'",
        name.replace('\\', "\\\\").replace('\'', "''")
    )
}
