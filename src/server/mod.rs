//! One connection of ours to PostgreSQL: connect, encrypt, log in, judge what it says,
//! bring it back to a boundary, cancel what it runs.
//!
//! Knows nothing of pools or of who waits. What a server says is untrusted.

mod advice;
mod alone;
mod cancel;
mod connect;
mod digest;
mod encrypt;
mod hosts;
mod identity;
mod introduce;
mod inventory;
mod login;
mod lookup;
mod session_state;
mod settle;
mod stand_in;
mod wording;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

pub use advice::{advice, advice_on_auth_query};
pub use cancel::cancel;
pub use connect::{LoginSpec, connect};
pub use digest::{Digest, Reader};
pub use hosts::Hosts;
pub use identity::Identity;
pub use inventory::Inventory;
pub use lookup::Row;
pub use session_state::{Answers, EnvQuestion, Questions};
pub use settle::Unsettled;
pub use stand_in::StandIn;

use crate::net::{Outbox, Stream};
use crate::session::channels::Ear;
use crate::session::own::OwnHeld;
use crate::session::settings::Profile;
use crate::session::statements::{Op, ServerStatements, UNNAMED_UNKNOWN};
use crate::session::{TraceParent, Tracker};

/// A logged-in server connection.
///
/// Dropping it says Terminate, if the socket takes it at once, and closes.
#[derive(Debug)]
pub struct Server {
    /// The socket.
    pub stream: Stream,
    /// What the socket has yet to take.
    pub outbox: Outbox,
    /// What it owes and where it stands.
    pub tracker: Tracker,
    /// The prepared statements that it holds under names of ours.
    pub statements: ServerStatements,
    /// The last frame sent, or to be sent, is not sent to its end.
    pub mid_frame: bool,
    /// Which unnamed statement it has ([`crate::session::statements::Unnamed::mark`]).
    pub unnamed: u64,
    /// What `connect_query` has made in the session beside settings.
    pub begins_with: Option<Box<Inventory>>,
    /// The settings that the session has.
    pub profile: Option<Arc<Profile>>,
    /// Whose the last numbers of sequences are, by the client's number (0: nobody's), and
    /// whether some are others'.
    pub sequences_of: u64,
    /// See there.
    pub sequences_are_mixed: bool,
    /// Which of the pooler's own statements it holds.
    pub own: OwnHeld,
    /// What it has been asked about its session, and has answered so far.
    pub answers: Option<Box<Answers>>,
    /// Under which settings statements were parsed: questions under way.
    pub env_questions: VecDeque<EnvQuestion>,
    /// `application_name` as last set here.
    pub application_name: Arc<str>,
    /// It has another's name, and whom it serves does not know.
    pub stand_in: Option<StandIn>,
    /// The span of the text that it was sent last in the transaction, if anybody
    /// wants to know.
    pub trace: Option<TraceParent>,
    /// For how long that has waited for it.
    pub waited: Duration,
    /// What cancels it, and who it is.
    pub identity: Arc<Identity>,
    /// ParameterStatus as reported last, in the order of the login.
    pub parameters: Vec<(String, String)>,
    /// What is reported is compared with what the client knows, and told, when
    /// it gets its next ReadyForQuery: PostgreSQL reports what has changed since
    /// its last report, which somebody else may have heard.
    pub must_report: bool,
    /// The schema for temporary objects, with which PostgreSQL analyses all
    /// statements anew.
    pub temporary_schema: TemporarySchema,
    /// Which notifications are the client's; none: all.
    pub ear: Option<Ear>,
    /// The ParameterDescription whose RowDescription is still to come.
    described_parameters: Box<[u8]>,
    /// The start of a frame whose rest has not arrived.
    inbox: Vec<u8>,
    /// Bytes of a frame's body that are still to come, and whether they are
    /// the client's.
    body_left: usize,
    body_is_forwarded: bool,
}

/// Has a session its schema for temporary objects?
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TemporarySchema {
    /// It has never had.
    #[default]
    None,
    /// It may have got one in the turn under way.
    New,
    /// The same, or it was taken back.
    InDoubt,
    /// It has, and its statements are of after that.
    Old,
}

impl Server {
    /// The session may have got its schema for temporary objects.
    pub fn may_have_temporary_schema(&mut self) {
        if self.temporary_schema != TemporarySchema::Old {
            self.temporary_schema = TemporarySchema::New;
        }
    }

    /// Something was undone.
    pub fn undid(&mut self) {
        if self.temporary_schema == TemporarySchema::New {
            self.temporary_schema = TemporarySchema::InDoubt;
        }
    }

    /// A turn is over. Where the schema for temporary objects is new, statements
    /// mean what the settings of their next use say: the others' are made anew.
    pub fn turn_is_over(&mut self) {
        self.temporary_schema = match self.temporary_schema {
            TemporarySchema::New => TemporarySchema::Old,
            TemporarySchema::InDoubt => TemporarySchema::None,
            TemporarySchema::None | TemporarySchema::Old => return,
        };
        self.statements.outdate();
        self.unnamed = UNNAMED_UNKNOWN;
    }

    /// Takes back a statement change that did not come to pass; one that is
    /// the client's to take back, too, is returned.
    pub fn undo(&mut self, op: Op) -> Option<Op> {
        match op {
            Op::ServerPrepares(id) => {
                self.statements.remove(id);
                None
            }
            Op::ServerForgets(held) => {
                self.statements.insert(held);
                None
            }
            Op::AsksShape(id) => {
                self.statements.ask(id, false);
                None
            }
            Op::AsksEnv(id) => {
                let is_other = |asked: &EnvQuestion| asked.statement.id != id;
                self.env_questions.retain(is_other);
                None
            }
            Op::ServerPreparesOwn(own) => {
                self.own.remove(own);
                None
            }
            Op::UnnamedAgrees => {
                self.unnamed = UNNAMED_UNKNOWN;
                None
            }
            Op::Unnamed { mark, .. } => {
                self.unnamed = mark;
                Some(op)
            }
            Op::ClientName { .. } | Op::SqlName { .. } => Some(op),
            Op::Called { .. } => None,
        }
    }

    /// What it has reported of a parameter.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        let mut parameters = self.parameters.iter();
        let found = parameters.find(|(other, _)| other == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Takes in what the server has said while nobody used it: notices and
    /// changed parameters are its right, anything else ends it. False when the
    /// connection is not fit for use.
    #[must_use]
    pub fn absorb(&mut self) -> bool {
        let mut buffer = [0; 2048];
        while self.stream.may_be_readable() {
            match self.stream.try_read(&mut buffer) {
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(_) | Ok(0) => return false,
                Ok(read) => {
                    let bytes = buffer.get(..read).unwrap_or_default();
                    // What is wrong with it leaves doubt in the tracker.
                    self.digest(bytes, &mut Vec::new(), &mut Reader::nobody());
                }
            }
        }
        self.between_frames() && matches!(self.tracker.rest(), crate::session::Rest::Boundary(_))
    }

    /// Is a frame that the client gets under way?
    #[must_use]
    pub fn mid_reply(&self) -> bool {
        self.body_left > 0 && self.body_is_forwarded
    }

    /// What was to be sent cannot be sent any more.
    pub fn give_up_sending(&mut self) {
        self.outbox = Outbox::default();
        self.mid_frame = true;
    }

    /// Has the last frame arrived to its end, and everything been sent?
    #[inline]
    #[must_use]
    pub fn between_frames(&self) -> bool {
        self.inbox.is_empty() && self.body_left == 0 && self.outbox.is_empty()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A frame cut short must not be followed by something that looks like
        // its rest.
        if self.outbox.is_empty() && !self.mid_frame {
            self.stream.write_last(&crate::wire::frontend::terminate());
        }
    }
}
