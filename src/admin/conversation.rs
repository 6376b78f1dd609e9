//! The protocol toward a client of the console: what each message asks for, and
//! how the answer is put (`protocol-flow.html`). Pure: somebody else carries the
//! commands out.
//!
//! ```text
//!   Query ----------------> Todo::Query    --(each carried out)--> rows, tag, ReadyForQuery
//!   Parse, Bind, Describe   answered here
//!   Execute --------------> Todo::Execute  --(carried out)-------> rows, tag
//!                an error:  all up to Sync is skipped
//! ```

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

mod errors;

use self::errors::{malformed, no_parameters, no_portal, no_statement, too_many};
use super::columns::columns;
use super::command::{Command, read};
use super::table::{Column, Format, Kind, Row, data_row, describe};
use crate::wire::frame::cstr;
use crate::wire::frontend::{bind_names, frame_into, parse_parts, target};
use crate::wire::{PgError, backend, sqlstate};

/// Prepared statements, and portals, that one client may have.
const MOST_NAMED: usize = 1000;

/// What a command has come to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Answer {
    /// Told first.
    pub notice: Option<PgError>,
    pub rows: Vec<Row>,
    /// The tag of CommandComplete.
    pub tag: Cow<'static, str>,
}

/// What is to be carried out.
#[derive(Debug)]
pub(super) enum Todo {
    /// The commands of a simple query.
    Query(Vec<Result<Command, PgError>>),
    /// The command of a portal, which is given back with its answer.
    Execute {
        command: Command,
        portal: Vec<u8>,
        limit: usize,
    },
    /// The client leaves.
    Leave,
}

/// A prepared statement: none is an empty one.
type Statement = Option<Arc<Command>>;

#[derive(Debug)]
struct Portal {
    command: Statement,
    formats: Vec<Format>,
    /// What is still to be fetched, once it has run, and its tag.
    left: Option<(std::vec::IntoIter<Row>, Cow<'static, str>)>,
}

/// One client's state.
#[derive(Debug, Default)]
pub(super) struct Conversation {
    statements: HashMap<Vec<u8>, Statement>,
    portals: HashMap<Vec<u8>, Portal>,
    /// An error was told: what follows is skipped up to Sync.
    skips: bool,
    /// It has said `BEGIN`, as drivers do.
    pub in_transaction: bool,
}

impl Conversation {
    /// Deals with one message; what it answers at once goes to `out`.
    ///
    /// # Errors
    /// FATAL, when the client has broken the protocol.
    pub fn take(
        &mut self,
        tag: u8,
        body: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Option<Todo>, PgError> {
        if self.skips && !matches!(tag, b'S' | b'X') {
            return Ok(None);
        }
        let todo = match tag {
            b'Q' => return Ok(Some(Todo::Query(read(&text(body)?)))),
            b'P' => self.parse(body, out)?,
            b'B' => self.bind(body, out)?,
            b'D' => self.describe(body, out)?,
            b'E' => return self.execute(body, out),
            b'C' => self.close(body, out)?,
            b'S' => {
                self.skips = false;
                // They end with their transaction.
                if !self.in_transaction {
                    self.portals.clear();
                }
                self.ready(out);
                Ok(())
            }
            b'H' => Ok(()),
            b'X' => return Ok(Some(Todo::Leave)),
            b'F' => Err(PgError::error(
                sqlstate::FEATURE_NOT_SUPPORTED,
                "the console has no functions to call",
            )),
            // The rest of a COPY that there never was.
            b'd' | b'c' | b'f' => Ok(()),
            tag => {
                let what = format!("invalid frontend message type {tag}");
                return Err(PgError::fatal(sqlstate::PROTOCOL_VIOLATION, what));
            }
        };
        if let Err(error) = todo {
            self.failed(&error, out);
            if tag == b'F' {
                self.skips = false;
                self.ready(out);
            }
        }
        Ok(None)
    }

    /// One command of a simple query has been carried out. With many rows it takes a while.
    pub fn answer(command: &Command, answer: Answer, out: &mut Vec<u8>) {
        let columns = columns_of(command);
        tell_notice(&answer, out);
        if !columns.is_empty() {
            describe(out, &columns, &[]);
        }
        for row in &answer.rows {
            data_row(out, &columns, &[], row);
        }
        complete(&answer.tag, out);
    }

    /// A simple query, which was `empty` or not, is answered to its end.
    pub fn query_is_over(&mut self, empty: bool, out: &mut Vec<u8>) {
        if empty {
            frame_into(out, b'I', &[]);
        }
        self.skips = false;
        self.ready(out);
    }

    /// The command of a portal has been carried out.
    pub fn executed(&mut self, portal: &[u8], limit: usize, answer: Answer, out: &mut Vec<u8>) {
        tell_notice(&answer, out);
        if let Some(portal) = self.portals.get_mut(portal) {
            portal.left = Some((answer.rows.into_iter(), answer.tag));
            portal.fetch(limit, out);
        }
    }

    /// A command has failed: in the extended protocol the rest is skipped.
    pub fn failed(&mut self, error: &PgError, out: &mut Vec<u8>) {
        out.extend_from_slice(&error.to_frame());
        self.skips = true;
    }

    fn ready(&self, out: &mut Vec<u8>) {
        let status = if self.in_transaction { b"T" } else { b"I" };
        frame_into(out, b'Z', &[status]);
    }

    fn parse(&mut self, body: &[u8], out: &mut Vec<u8>) -> Result<Result<(), PgError>, PgError> {
        let (name, rest) = parse_parts(body).ok_or_else(malformed)?;
        let (query, types) = cstr(rest).ok_or_else(malformed)?;
        let query = String::from_utf8(query.to_vec()).map_err(|_| malformed())?;
        if types.first_chunk::<2>() != Some(&[0, 0]) {
            return Ok(Err(no_parameters()));
        }
        if !name.is_empty() && self.statements.contains_key(name) {
            let what = format!(
                "prepared statement \"{}\" already exists",
                String::from_utf8_lossy(name)
            );
            return Ok(Err(PgError::error(sqlstate::DUPLICATE_STATEMENT, what)));
        }
        if self.statements.len() >= MOST_NAMED && !self.statements.contains_key(name) {
            return Ok(Err(too_many()));
        }
        let mut commands = read(&query);
        let command = match (commands.pop(), commands.is_empty()) {
            (None, _) => None,
            (Some(Ok(command)), true) => Some(Arc::new(command)),
            (Some(Err(error)), true) => return Ok(Err(error)),
            (Some(_), false) => {
                return Ok(Err(PgError::error(
                    sqlstate::SYNTAX_ERROR,
                    "cannot insert multiple commands into a prepared statement",
                )));
            }
        };
        self.statements.insert(name.to_vec(), command);
        out.extend_from_slice(&backend::PARSE_COMPLETE);
        Ok(Ok(()))
    }

    fn bind(&mut self, body: &[u8], out: &mut Vec<u8>) -> Result<Result<(), PgError>, PgError> {
        let (portal, name, rest) = bind_names(body).ok_or_else(malformed)?;
        let (_, rest) = codes(rest).ok_or_else(malformed)?;
        let Some(command) = self.statements.get(name).cloned() else {
            return Ok(Err(no_statement(name)));
        };
        let (count, rest) = rest.split_first_chunk::<2>().ok_or_else(malformed)?;
        if *count != [0, 0] {
            return Ok(Err(no_parameters()));
        }
        let (formats, rest) = codes(rest).ok_or_else(malformed)?;
        if !rest.is_empty() {
            return Err(malformed());
        }
        if self.portals.len() >= MOST_NAMED && !self.portals.contains_key(portal) {
            return Ok(Err(too_many()));
        }
        let bound = Portal {
            command,
            formats,
            left: None,
        };
        self.portals.insert(portal.to_vec(), bound);
        frame_into(out, b'2', &[]);
        Ok(Ok(()))
    }

    fn describe(&self, body: &[u8], out: &mut Vec<u8>) -> Result<Result<(), PgError>, PgError> {
        let (kind, name) = target(body).ok_or_else(malformed)?;
        let none: &[Format] = &[];
        let (command, formats) = match (kind, self.portals.get(name), self.statements.get(name)) {
            (b'P', Some(portal), _) => (&portal.command, portal.formats.as_slice()),
            (b'P', None, _) => return Ok(Err(no_portal(name))),
            (_, _, Some(statement)) => {
                frame_into(out, b't', &[&[0, 0]]);
                (statement, none)
            }
            (_, _, None) => return Ok(Err(no_statement(name))),
        };
        let columns = command.as_deref().map(columns_of).unwrap_or_default();
        match columns.is_empty() {
            true => frame_into(out, b'n', &[]),
            false => describe(out, &columns, formats),
        }
        Ok(Ok(()))
    }

    fn execute(&mut self, body: &[u8], out: &mut Vec<u8>) -> Result<Option<Todo>, PgError> {
        let (name, rest) = cstr(body).ok_or_else(malformed)?;
        let limit = rest.first_chunk::<4>().ok_or_else(malformed)?;
        let limit = usize::try_from(i32::from_be_bytes(*limit)).unwrap_or(0);
        let Some(portal) = self.portals.get_mut(name) else {
            self.failed(&no_portal(name), out);
            return Ok(None);
        };
        if portal.left.is_some() {
            portal.fetch(limit, out);
            return Ok(None);
        }
        match portal.command.as_deref() {
            Some(command) => Ok(Some(Todo::Execute {
                command: command.clone(),
                portal: name.to_vec(),
                limit,
            })),
            None => {
                frame_into(out, b'I', &[]);
                Ok(None)
            }
        }
    }

    fn close(&mut self, body: &[u8], out: &mut Vec<u8>) -> Result<Result<(), PgError>, PgError> {
        match target(body).ok_or_else(malformed)? {
            (b'P', name) => drop(self.portals.remove(name)),
            (_, name) => drop(self.statements.remove(name)),
        }
        out.extend_from_slice(&backend::CLOSE_COMPLETE);
        Ok(Ok(()))
    }
}

impl Portal {
    /// Sends at most `limit` further rows (0: all).
    fn fetch(&mut self, limit: usize, out: &mut Vec<u8>) {
        let Some((rows, tag)) = &mut self.left else {
            return;
        };
        let columns = self.command.as_deref().map(columns_of).unwrap_or_default();
        let most = if limit == 0 { usize::MAX } else { limit };
        for row in rows.by_ref().take(most) {
            data_row(out, &columns, &self.formats, &row);
        }
        match rows.len() {
            0 => complete(tag, out),
            // PortalSuspended.
            _ => frame_into(out, b's', &[]),
        }
    }
}

/// What a command returns; nothing where it returns no rows.
fn columns_of(command: &Command) -> Vec<Column> {
    match command {
        Command::Show(show) => columns(*show).to_vec(),
        Command::ShowParameter(name, _) => vec![(name, Kind::Text)],
        Command::SelectOne => vec![("?column?", Kind::Int4)],
        Command::SelectVersion => vec![("version", Kind::Text)],
        _ => Vec::new(),
    }
}

fn tell_notice(answer: &Answer, out: &mut Vec<u8>) {
    if let Some(notice) = &answer.notice {
        out.extend_from_slice(&notice.to_notice("NOTICE"));
    }
}

fn complete(tag: &str, out: &mut Vec<u8>) {
    frame_into(out, b'C', &[tag.as_bytes(), b"\0"]);
}

/// The text of a Query.
fn text(body: &[u8]) -> Result<String, PgError> {
    let (text, rest) = cstr(body).ok_or_else(malformed)?;
    if !rest.is_empty() {
        return Err(malformed());
    }
    String::from_utf8(text.to_vec()).map_err(|_| malformed())
}

/// Reads format codes with their count.
fn codes(rest: &[u8]) -> Option<(Vec<Format>, &[u8])> {
    let (count, rest) = rest.split_first_chunk::<2>()?;
    let length = usize::from(u16::from_be_bytes(*count)) * 2;
    let (codes, rest) = (rest.get(..length)?, rest.get(length..)?);
    let format = |code: &[u8]| match code {
        [0, 0] => Some(Format::Text),
        [0, 1] => Some(Format::Binary),
        _ => None,
    };
    let formats = codes.chunks_exact(2).map(format).collect::<Option<_>>()?;
    Some((formats, rest))
}

#[cfg(test)]
mod tests;
