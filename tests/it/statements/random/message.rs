//! What a script is made of, and what PostgreSQL answers to each message.

use std::fmt;

use crate::support::frames::{
    Frame, bind, close, describe, execute, flush, parse_typed, query, sync,
};

/// One message of a client.
#[derive(Debug, Clone)]
pub enum Message {
    Parse(&'static str, &'static str, &'static [u32]),
    Bind(&'static str, &'static str, Vec<&'static str>),
    DescribeStatement(&'static str),
    DescribePortal(&'static str),
    Execute(&'static str, u32),
    CloseStatement(&'static str),
    ClosePortal(&'static str),
    Flush,
    Sync,
    Query(&'static str),
}

impl Message {
    /// As it stands on the wire.
    pub fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Parse(name, text, types) => parse_typed(name, text, types),
            Self::Bind(portal, name, values) => {
                let values: Vec<_> = values.iter().map(|v| Some(v.as_bytes())).collect();
                bind(portal, name, &values)
            }
            Self::DescribeStatement(name) => describe(b'S', name),
            Self::DescribePortal(name) => describe(b'P', name),
            Self::Execute(portal, rows) => execute(portal, *rows),
            Self::CloseStatement(name) => close(b'S', name),
            Self::ClosePortal(name) => close(b'P', name),
            Self::Flush => flush(),
            Self::Sync => sync(),
            Self::Query(text) => query(text),
        }
    }

    /// The SQL in it.
    pub fn text(&self) -> Option<&'static str> {
        match self {
            Self::Parse(_, text, _) | Self::Query(text) => Some(text),
            _ => None,
        }
    }

    /// Is this type the last of its replies?
    fn is_answered_by(&self, tag: u8) -> bool {
        match self {
            Self::Parse(..) => tag == b'1',
            Self::Bind(..) => tag == b'2',
            Self::DescribeStatement(_) | Self::DescribePortal(_) => matches!(tag, b'T' | b'n'),
            Self::Execute(..) => matches!(tag, b'C' | b'I' | b's'),
            Self::CloseStatement(_) | Self::ClosePortal(_) => tag == b'3',
            Self::Flush => false,
            Self::Sync | Self::Query(_) => tag == b'Z',
        }
    }

    fn ends_with_ready(&self) -> bool {
        matches!(self, Self::Sync | Self::Query(_))
    }
}

/// Messages that wait for their replies.
#[derive(Default)]
pub struct Unanswered(std::collections::VecDeque<Message>);

impl Unanswered {
    pub fn sent(&mut self, messages: &[Message]) {
        let answered = messages.iter().filter(|m| !matches!(m, Message::Flush));
        self.0.extend(answered.cloned());
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// PostgreSQL itself has said this: which messages are done with?
    pub fn received(&mut self, frame: &Frame) {
        let Some(first) = self.0.front() else {
            return;
        };
        if frame.tag == b'E' && !first.ends_with_ready() {
            while self.0.front().is_some_and(|m| !matches!(m, Message::Sync)) {
                self.0.pop_front();
            }
        } else if first.is_answered_by(frame.tag) {
            self.0.pop_front();
        }
    }
}

/// One client's turn.
#[derive(Debug, Clone)]
pub struct Turn {
    /// Which of the three.
    pub who: usize,
    /// It breaks its connection off first, and comes back on a new one.
    pub anew: bool,
    /// What it sends.
    pub messages: Vec<Message>,
    /// Where what it sends is cut into writes: a length each, in order.
    pub writes: Vec<usize>,
}

impl Turn {
    /// Does it leave nothing without an answer?
    pub fn ends_synced(&self) -> bool {
        matches!(self.messages.last(), Some(Message::Sync))
    }

    /// The writes, in order.
    pub fn pieces(&self) -> Vec<Vec<u8>> {
        let mut rest: Vec<u8> = self.messages.iter().flat_map(Message::bytes).collect();
        let mut pieces = Vec::new();
        for length in &self.writes {
            if rest.len() > *length {
                let tail = rest.split_off(*length);
                pieces.push(std::mem::replace(&mut rest, tail));
            }
        }
        pieces.push(rest);
        pieces
    }
}

/// What the clients do, one turn after the other.
#[derive(Debug, Clone)]
pub struct Script(pub Vec<Turn>);

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for turn in &self.0 {
            let anew = if turn.anew { " comes anew" } else { "" };
            writeln!(f, "client {}{anew}, writes {:?}", turn.who, turn.writes)?;
            for message in &turn.messages {
                writeln!(f, "    {message:?}")?;
            }
        }
        Ok(())
    }
}
