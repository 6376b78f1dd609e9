//! A script played on direct connections and through a pool, turn by turn.

use super::message::{Message, Script, Turn, Unanswered};
use crate::support::frames::Frame;
use crate::support::line::Line;
use crate::support::pooler::{Plan, Pooler};
use crate::support::postgres::Database;
use crate::support::transcript::render;

const CLIENTS: usize = 3;
const SERVERS: usize = 2;

/// Where scripts are played.
pub struct Stage<'a> {
    database: &'a Database<'a>,
}

impl<'a> Stage<'a> {
    pub fn new(database: &'a Database<'a>) -> Self {
        Self { database }
    }

    /// Plays a script before a pooler of its own; gives how many turns were
    /// played, or what differed.
    pub fn play(&self, script: &Script) -> Result<u64, String> {
        let pooler = Plan::before(self.database)
            .pool_size(SERVERS)
            .setting("server_round_robin", "true")
            .start();
        let mut clients: Vec<Pair> = (0..CLIENTS).map(|_| self.pair(&pooler)).collect();
        let mut played = 0;
        for (number, turn) in script.0.iter().enumerate() {
            let others = |(who, pair): &(usize, &Pair)| *who != turn.who && pair.holds();
            let held = clients.iter().enumerate().filter(others).count();
            // The pool would let it wait for ever.
            if held >= SERVERS && !clients[turn.who].holds() {
                continue;
            }
            if turn.anew || clients[turn.who].ended {
                clients[turn.who] = self.pair(&pooler);
            }
            clients[turn.who]
                .turn(turn)
                .map_err(|what| format!("in turn {}, client {}: {what}", number + 1, turn.who))?;
            played += 1;
        }
        Ok(played)
    }

    fn pair(&self, pooler: &Pooler) -> Pair {
        Pair {
            direct: Line::of(self.database.direct()),
            pooled: Line::of(pooler.client()),
            unanswered: Unanswered::default(),
            status: b'I',
            pinned: false,
            ended: false,
        }
    }
}

/// One client: what it says goes both ways.
struct Pair {
    direct: Line,
    pooled: Line,
    unanswered: Unanswered,
    status: u8,
    /// It keeps its server connection, whatever its status.
    pinned: bool,
    ended: bool,
}

impl Pair {
    /// Does it keep a server connection from the others?
    fn holds(&self) -> bool {
        self.status != b'I' || !self.unanswered.is_empty() || self.pinned
    }

    fn turn(&mut self, turn: &Turn) -> Result<(), String> {
        self.unanswered.sent(&turn.messages);
        self.pinned |= turn
            .messages
            .iter()
            .filter_map(Message::text)
            .any(|text| text.starts_with("PREPARE"));
        for piece in turn.pieces() {
            self.direct.send(&piece);
            self.pooled.send(&piece);
        }
        if turn.ends_synced() {
            return self.compare();
        }
        Ok(())
    }

    fn compare(&mut self) -> Result<(), String> {
        let mut wanted = Vec::new();
        while !self.unanswered.is_empty() {
            let Some(frame) = self.direct.read() else {
                let told: Vec<String> = wanted.iter().map(render).collect();
                return Err(format!("PostgreSQL itself is silent after {told:?}"));
            };
            self.unanswered.received(&frame);
            // PostgreSQL gives up over some commands when EXECUTE runs them.
            self.ended = frame.field(b'V').as_deref() == Some("FATAL");
            wanted.push(frame);
            if self.ended {
                break;
            }
        }
        let mut at = 0;
        while let Some(frame) = wanted.get(at) {
            let mut got = self.pooled.read();
            if self.is_refused_in_failed(got.as_ref()) {
                at += wanted[at..]
                    .iter()
                    .position(|frame| frame.tag == b'Z')
                    .unwrap_or(0);
                got = self.pooled.read();
            }
            let frame = wanted.get(at).unwrap_or(frame);
            let equal = got.as_ref().map(render) == Some(render(frame));
            if !equal && !is_described_anew(&wanted[..at], frame, got.as_ref()) {
                return Err(told(&wanted[..at], frame, got.as_ref()));
            }
            if frame.tag == b'Z' {
                self.status = frame.body[0];
            }
            at += 1;
        }
        Ok(())
    }

    /// A difference allowed for: in a failed transaction a statement that
    /// this server connection does not have cannot be prepared there, so that
    /// its use is refused with 25P02, whatever PostgreSQL would have said of it.
    fn is_refused_in_failed(&self, got: Option<&Frame>) -> bool {
        let code = got
            .filter(|frame| frame.tag == b'E')
            .and_then(|frame| frame.field(b'C'));
        self.status == b'E' && code.as_deref() == Some("25P02")
    }
}

/// The other difference allowed for: a prepared EXECUTE is described by what it
/// calls now, not by what it called when it was prepared.
fn is_described_anew(before: &[Frame], wanted: &Frame, got: Option<&Frame>) -> bool {
    let is_result = |frame: &Frame| matches!(frame.tag, b'T' | b'n');
    before.last().is_some_and(|frame| frame.tag == b't')
        && is_result(wanted)
        && got.is_some_and(is_result)
        && wanted.tag != got.map_or(0, |frame| frame.tag)
}

fn told(equal: &[Frame], wanted: &Frame, got: Option<&Frame>) -> String {
    let equal: Vec<String> = equal
        .iter()
        .map(|frame| format!("      equal: {}\n", render(frame)))
        .collect();
    let got = got.map_or("nothing".into(), render);
    format!(
        "\n{}     direct: {}\n     pooled: {got}",
        equal.concat(),
        render(wanted)
    )
}
