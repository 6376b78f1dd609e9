//! Judging what a server said: which bytes are the client's, what they change.

use std::num::NonZeroU32;

use super::Server;
use super::session_state::{EnvQuestion, LONGEST_ANSWER};
use super::wording::{in_clients_words, statement_in};
use crate::session::statements::{ClientStatements, FIRST_ID, UNKNOWN_SHAPE};
use crate::session::{About, Pay, TxStatus, Violation};
use crate::wire::frontend::frame_into;
use crate::wire::run::{Forward, Run};
use crate::wire::{backend, frame};

/// Frames up to this many bytes are waited for whole when what they say
/// matters; what matters in longer ones stands at their beginning.
const WHOLE: usize = 16 * 1024;

/// Longest frame that a server may send.
const MAX_FRAME: usize = 0x7fff_ffff;

/// What one read of a server brought.
#[derive(Debug)]
pub struct Digest {
    /// Which bytes go to the client.
    pub forward: Forward,
    /// An error that ends the server connection was among them.
    pub fatal: bool,
    /// ReadyForQuery messages seen.
    pub ready: u32,
    /// Those of them that ended a transaction.
    pub transactions: u32,
    /// All prepared statements of the session are gone.
    pub deallocated_all: bool,
    /// The session has the client's settings.
    pub aligned: bool,
    /// It could not be given them: the error's body.
    pub misaligned: Option<Vec<u8>>,
    /// What was asked about the session is answered.
    pub answered: bool,
    /// Nothing ends it while it rests.
    pub calmed: bool,
    /// Where, in what is forwarded, notifications can be put in: before the first
    /// that is there or, if there is none, before the first ReadyForQuery outside
    /// of a transaction.
    pub interlude: Option<usize>,
    /// A notification is there.
    pub notified: bool,
    /// The connection could not be made to listen, or no longer to.
    pub unheard: bool,
    /// It no longer listens for the client.
    pub listened: bool,
    /// Under which settings statements were parsed.
    pub env_known: Vec<EnvQuestion>,
    /// A command was among them that changes what functions there are.
    pub functions_changed: bool,
    /// A command was among them that changes what sessions begin with.
    pub defaults_changed: bool,
    /// A command was among them that changes what texts mean.
    pub catalog_changed: bool,
    /// A shared statement no longer fits the catalog (SQLSTATE 0A000).
    pub stale_statement: bool,
    /// A transaction, or a part of one, was undone: something failed or was
    /// rolled back.
    pub undone: bool,
    /// A statement that the server was believed to hold and does not.
    pub lost_statement: Option<About>,
    /// SQLSTATEs of the errors that are the client's.
    pub errors: Vec<[u8; 5]>,
    /// What the client was told that its statements take and return.
    pub told: Vec<(About, NonZeroU32)>,
    /// The server broke the protocol while it owed something.
    pub violation: Option<Violation>,
}

/// For whom a server's words are judged.
pub struct Reader<'a> {
    /// The client's prepared statements: an error speaks of them by its own names.
    pub names: Option<&'a ClientStatements>,
    /// Settings may have been reset, and this is what `application_name` goes
    /// back to then.
    pub reset_name: Option<&'a str>,
    /// The process id that the client was told.
    pub pid: Option<i32>,
    /// Is a parameter's value news to the client?
    pub is_news: Option<IsNews<'a>>,
}

/// Told a parameter's name and value.
type IsNews<'a> = &'a mut dyn FnMut(&[u8], &[u8]) -> bool;

impl Reader<'_> {
    /// For nobody.
    pub fn nobody() -> Self {
        Self {
            names: None,
            reset_name: None,
            pid: None,
            is_news: None,
        }
    }

    fn is_news(&mut self, name: &[u8], value: &[u8]) -> bool {
        let is_news = self.is_news.as_mut();
        is_news.is_some_and(|is_news| is_news(name, value))
    }
}

impl Server {
    /// Judges `read`, the next bytes from the server. `out` is empty and takes
    /// what goes to the client where that is not a plain slice of `read`.
    ///
    /// A server that breaks the protocol is to be closed: see
    /// [`Digest::violation`].
    pub fn digest(&mut self, read: &[u8], out: &mut Vec<u8>, reader: &mut Reader<'_>) -> Digest {
        if self.inbox.is_empty() {
            return self.digest_run(read, out, reader);
        }
        let mut whole = std::mem::take(&mut self.inbox);
        whole.extend_from_slice(read);
        let mut digest = self.digest_run(&whole, out, reader);
        if let Forward::Slice(range) = digest.forward {
            out.extend_from_slice(whole.get(range).unwrap_or_default());
            digest.forward = Forward::Built;
        }
        digest
    }

    fn digest_run(&mut self, read: &[u8], out: &mut Vec<u8>, reader: &mut Reader<'_>) -> Digest {
        let mut digest = Digest {
            forward: Forward::Built,
            fatal: false,
            ready: 0,
            transactions: 0,
            deallocated_all: false,
            aligned: false,
            misaligned: None,
            answered: false,
            calmed: false,
            interlude: None,
            notified: false,
            unheard: false,
            listened: false,
            env_known: Vec::new(),
            functions_changed: false,
            defaults_changed: false,
            catalog_changed: false,
            stale_statement: false,
            undone: false,
            lost_statement: None,
            errors: Vec::new(),
            told: Vec::new(),
            violation: None,
        };
        let mut run = Run::new(read, out);
        if let Err(violation) = self.walk(read, &mut run, reader, &mut digest) {
            if self.tracker.owes() {
                digest.violation = Some(violation);
            } else {
                self.tracker.spoil();
            }
        }
        digest.forward = run.finish();
        digest
    }

    fn walk(
        &mut self,
        read: &[u8],
        run: &mut Run<'_>,
        reader: &mut Reader<'_>,
        digest: &mut Digest,
    ) -> Result<(), Violation> {
        let mut at = 0;
        while at < read.len() {
            if self.body_left > 0 {
                let part = self.body_left.min(read.len() - at);
                if self.body_is_forwarded {
                    run.pass(at..at + part);
                }
                self.body_left -= part;
                at += part;
                self.answer(run);
                continue;
            }
            let rest = read.get(at..).unwrap_or_default();
            let Some(header) = frame::header(rest, MAX_FRAME).map_err(|_| Violation('?'))? else {
                self.inbox = rest.to_vec();
                return Ok(());
            };
            if header.total > longest(header.tag) {
                return Err(Violation(char::from(header.tag)));
            }
            let whole = header.total <= rest.len();
            let about = self.tracker.head_is_about();
            let waits = match is_bulk(header.tag) {
                true => about.is_question() && header.total <= LONGEST_ANSWER,
                // What describes a statement is compared to its last column.
                false => header.total <= WHOLE || describes(header.tag, about),
            };
            if !whole && waits {
                self.inbox = rest.to_vec();
                return Ok(());
            }
            let here = header.total.min(rest.len());
            let bytes = rest.get(..here).unwrap_or_default();
            let mut forwarded = self.judge(header.tag, bytes, reader, digest)?
                || (about == About::PARAMETERS && header.tag == b't');
            if about.id != 0 && whole {
                forwarded &= self.note_own(header.tag, about, bytes, digest);
                if digest.misaligned.is_some() {
                    // What follows answers nothing that has run.
                    return Ok(());
                }
                self.note_statement(header.tag, about, forwarded, bytes, digest);
            }
            if header.tag == b'E' {
                self.described_parameters = Box::default();
            }
            if forwarded && header.tag == b'Z' && self.must_report {
                self.report(reader, run);
            }
            if forwarded && header.tag == b'Z' {
                self.name_has_settled();
            }
            if forwarded && matches!(header.tag, b'A' | b'Z') {
                self.note_interlude(header.tag, run, digest);
            }
            if forwarded {
                let reworded = match header.tag {
                    b'E' if whole => self.reworded(about, bytes, reader.names),
                    b'A' if whole => self.by_its_client(bytes, reader.pid),
                    _ => None,
                };
                match reworded {
                    Some(body) => frame_into(run.insert(), header.tag, &[&body]),
                    None => run.pass(at..at + here),
                }
            }
            self.body_left = header.total - here;
            self.body_is_forwarded = forwarded;
            at += here;
            self.answer(run);
        }
        Ok(())
    }

    /// Answers of ours whose turn has come, between two frames.
    #[inline]
    fn answer(&mut self, run: &mut Run<'_>) {
        if self.body_left == 0 && self.tracker.has_answers() {
            self.tracker.answers(run.insert());
        }
    }

    /// Judges one frame; true when it goes to the client.
    #[inline]
    fn judge(
        &mut self,
        tag: u8,
        bytes: &[u8],
        reader: &mut Reader<'_>,
        digest: &mut Digest,
    ) -> Result<bool, Violation> {
        if is_bulk(tag) {
            // Rows and copy data: never looked at.
            let pay = self.tracker.body_pay().ok_or(Violation(char::from(tag)))?;
            return Ok(pay == Pay::Forward);
        }
        let body = bytes.get(frame::HEADER..).unwrap_or_default();
        let forwarded = self.tracker.received(tag, body)? == Pay::Forward;
        match tag {
            b'Z' => {
                digest.ready += u32::from(forwarded);
                digest.transactions +=
                    u32::from(forwarded && self.tracker.status() == TxStatus::Idle);
            }
            b'E' => {
                if !self.env_questions.is_empty() {
                    self.drop_skipped_questions();
                }
                digest.undone = true;
                self.name_may_revert();
                if forwarded {
                    let code = backend::sqlstate_of(body).unwrap_or_default();
                    digest.errors.push(code.try_into().unwrap_or(*b"XX000"));
                }
                digest.fatal |= backend::is_fatal(body);
                digest.stale_statement |= backend::sqlstate_of(body) == Some(b"0A000");
            }
            b'C' => match body {
                tag if changes_catalog(tag) => {
                    digest.catalog_changed = true;
                    digest.defaults_changed |= changes_defaults(tag);
                    digest.functions_changed |= changes_functions(tag);
                }
                b"ROLLBACK\0" => {
                    digest.undone = true;
                    self.name_may_revert();
                }
                b"COMMIT\0" | b"PREPARE TRANSACTION\0" => self.name_may_revert(),
                b"DEALLOCATE ALL\0" => digest.deallocated_all = true,
                b"DISCARD ALL\0" => {
                    digest.deallocated_all = true;
                    if forwarded && self.begins_with.is_some() {
                        // A client has taken from it what others count on.
                        self.identity.doom();
                    }
                }
                _ => {}
            },
            b'S' => return Ok(self.note_parameter(body, reader)),
            b'A' => return Ok(self.is_heard(body)),
            _ => {}
        }
        Ok(forwarded)
    }

    /// True when it is news to the client, whatever the server did meanwhile.
    fn note_parameter(&mut self, body: &[u8], reader: &mut Reader<'_>) -> bool {
        let Some((name, value)) = backend::parameter(body) else {
            return false;
        };
        let text = String::from_utf8_lossy(value);
        if name == b"application_name" {
            self.application_name = text.as_ref().into();
            // What that is to the client is known at ReadyForQuery.
            self.must_report |= self.stand_in.is_some();
        }
        let known = self.parameters.iter_mut();
        if let Some((_, known)) = known
            .into_iter()
            .find(|(other, _)| other.as_bytes() == name)
        {
            *known = text.into_owned();
        }
        !self.must_report && reader.is_news(name, value)
    }

    /// Before a ReadyForQuery: tells the client what it does not know yet.
    fn report(&mut self, reader: &mut Reader<'_>, run: &mut Run<'_>) {
        self.must_report = false;
        let parameters = std::mem::take(&mut self.parameters);
        for (name, value) in &parameters {
            if name == "application_name" && *value != *self.application_name {
                // Not reported where it is as it was at the last report.
                self.application_name = value.as_str().into();
            }
            let is_name = name == "application_name";
            let own = is_name.then(|| self.name_of_client(value)).flatten();
            let value = match (&own, reader.reset_name) {
                (Some(own), _) => own,
                // Server connections are opened without the client's own name.
                (None, Some(startup)) if is_name && value.is_empty() => startup,
                (None, _) => value,
            };
            if reader.is_news(name.as_bytes(), value.as_bytes()) {
                let parts = [name.as_bytes(), b"\0", value.as_bytes(), b"\0"];
                frame_into(run.insert(), b'S', &parts);
            }
        }
        self.parameters = parameters;
    }

    /// What a message says that answers one of the pooler's own about the
    /// session; false if it is not the client's to see.
    fn note_own(&mut self, tag: u8, about: About, bytes: &[u8], digest: &mut Digest) -> bool {
        let body = bytes.get(frame::HEADER..).unwrap_or_default();
        match (tag, about) {
            (b'D', about) if about.is_question() => self.hear(about, body),
            (b'E', about) if about.is_question() => {
                if let Some(answers) = &mut self.answers {
                    answers.failed = true;
                    answers.lost = backend::sqlstate_of(body) == Some(b"26000");
                }
            }
            (b'Z', About::ASKED) => {
                digest.answered = true;
                self.leave_out_what_it_began_with();
            }
            (b'Z', About::CALMED) => digest.calmed = true,
            (b'Z', About::LISTENED) => digest.listened = true,
            (b'E', About::LISTENS | About::LISTENED) => digest.unheard = true,
            (b'C', About::ALIGNED) => digest.aligned = true,
            (b'3', About::ENV_KNOWN) => digest.env_known.extend(self.env_questions.pop_front()),
            (b'E', About::ALIGN | About::ALIGNED) if !backend::is_fatal(body) => {
                digest.misaligned = Some(body.to_vec());
                return false;
            }
            _ => {}
        }
        true
    }

    /// What a message says of the statement that the head of the queue was about.
    fn note_statement(
        &mut self,
        tag: u8,
        about: About,
        forwarded: bool,
        bytes: &[u8],
        digest: &mut Digest,
    ) {
        let body = bytes.get(frame::HEADER..).unwrap_or_default();
        match tag {
            b't' => self.described_parameters = body.into(),
            b'T' | b'n' if !self.described_parameters.is_empty() => {
                let parameters = std::mem::take(&mut self.described_parameters);
                let shape = backend::shape_of(&parameters, tag, body);
                self.statements.described(about.id, shape);
                if forwarded {
                    digest.told.push((about, shape));
                }
            }
            // The client has asked for the columns in vain, and knows none: of this
            // copy PostgreSQL still judges itself, another one could not be right.
            b'E' if is_stale(body) && !self.described_parameters.is_empty() => {
                self.statements.described(about.id, UNKNOWN_SHAPE);
                digest.told.push((about, UNKNOWN_SHAPE));
            }
            // It was believed to be there: a function has dropped it, say.
            b'E' if backend::sqlstate_of(body) == Some(b"26000") => {
                if let Some(id) = statement_in(body)
                    && self.statements.remove(id).is_some()
                {
                    digest.lost_statement = Some(About { id, ..about });
                }
            }
            _ => {}
        }
    }

    /// Is a notification the client's?
    fn is_heard(&mut self, body: &[u8]) -> bool {
        let notification = backend::notification(body);
        match (&mut self.ear, notification) {
            (Some(ear), Some(notification)) => ear.hears(&notification),
            _ => true,
        }
    }

    /// A notification that this session has sent itself carries the process id
    /// that its client was told.
    fn by_its_client(&self, bytes: &[u8], pid: Option<i32>) -> Option<Vec<u8>> {
        let (sender, rest) = bytes.get(frame::HEADER..)?.split_first_chunk::<4>()?;
        let is_own = i32::from_be_bytes(*sender) == self.identity.pid;
        let pid = pid.filter(|_| is_own)?;
        Some([&pid.to_be_bytes(), rest].concat())
    }

    /// Notes where more notifications could be put in.
    fn note_interlude(&self, tag: u8, run: &Run<'_>, digest: &mut Digest) {
        let is_idle = tag == b'Z' && self.tracker.status() == TxStatus::Idle;
        if tag == b'A' || is_idle {
            digest.interlude.get_or_insert(run.written());
            digest.notified |= tag == b'A';
        }
    }

    fn reworded(
        &self,
        about: About,
        bytes: &[u8],
        names: Option<&ClientStatements>,
    ) -> Option<Vec<u8>> {
        let body = bytes.get(frame::HEADER..).unwrap_or_default();
        in_clients_words(&self.tracker, about, body, names)
    }
}

/// "cached plan must not change result type", by the function that says so in
/// every language.
fn is_stale(body: &[u8]) -> bool {
    backend::sqlstate_of(body) == Some(b"0A000")
        && backend::fields(body).any(|field| field == (b'R', b"RevalidateCachedQuery"))
}

/// Is this a description of a statement?
fn describes(tag: u8, about: About) -> bool {
    matches!(tag, b't' | b'T') && about.id >= FIRST_ID
}

/// Longest message of a type that PostgreSQL could send: garbage that looks
/// like a frame is not waited for.
fn longest(tag: u8) -> usize {
    match tag {
        b'Z' | b'1' | b'2' | b'3' | b'n' | b's' | b'I' | b'c' => 6,
        b'C' => 1024,
        b'G' | b'H' | b'W' => 8 * 1024,
        b't' => 5 + 2 + 4 * 65_536,
        b'T' => 1 << 20,
        _ => MAX_FRAME,
    }
}

/// Does a command of this tag change what a text can mean?
fn changes_catalog(tag: &[u8]) -> bool {
    tag.starts_with(b"CREATE ") || tag.starts_with(b"ALTER ") || tag.starts_with(b"DROP ")
}

/// Does it change what sessions begin with?
fn changes_defaults(tag: &[u8]) -> bool {
    matches!(tag, b"ALTER ROLE\0" | b"DROP ROLE\0" | b"ALTER DATABASE\0")
}

/// Does it change what functions and triggers there are?
fn changes_functions(tag: &[u8]) -> bool {
    let of = tag.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
    matches!(
        of.strip_suffix(b"\0").unwrap_or(of),
        b"FUNCTION" | b"PROCEDURE" | b"ROUTINE" | b"TRIGGER" | b"EXTENSION" | b"RULE" | b"SCHEMA"
    )
}

/// DataRow and CopyData.
#[inline]
fn is_bulk(tag: u8) -> bool {
    matches!(tag, b'D' | b'd')
}
