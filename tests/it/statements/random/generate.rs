//! Scripts made up from a seed.

use super::message::{Message, Script, Turn};
use crate::support::random::Random;

/// Which statements may occur.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Menu {
    /// Nothing that forgets statements but Close.
    Protocol,
    /// DEALLOCATE ALL and DISCARD ALL as well.
    DeallocateAll,
    /// PREPARE, EXECUTE and DEALLOCATE of single names as well.
    Sql,
}

const NAMES: &[&str] = &["", "s1", "s1", "s2", "s3"];
const PORTALS: &[&str] = &["", "", "", "p"];

/// What can be parsed: nothing whose result depends on who runs it where.
const TEXTS: &[&str] = &[
    "SELECT 1",
    "SELECT 'two'",
    "SELECT 'two'",
    "SELECT $1::int + 1",
    "SELECT $1 || $2",
    "SELECT generate_series(1, 3)",
    "",
    "SELEC",
    "SELECT nothing",
    "SELECT 1/0",
    "SELECT 6 / (x - 2) FROM generate_series(1, 3) x",
    "SHOW work_mem",
];
const TRANSACTIONS: &[&str] = &[
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "SAVEPOINT a",
    "ROLLBACK TO a",
];
const QUERIES: &[&str] = &[
    "SELECT 3",
    "",
    "SELECT 4; SELECT 5",
    "SELEC",
    "SELECT 1/0",
    "BEGIN; SELECT 6",
    "SELECT 7; ROLLBACK",
];
const FORGET_ALL: &[&str] = &["DEALLOCATE ALL", "DEALLOCATE PREPARE ALL", "DISCARD ALL"];
const DEALLOCATES: &[&str] = &["DEALLOCATE s1", "DEALLOCATE s2", "DEALLOCATE q1"];
/// Never under a name: a statement that executes itself has no end.
const EXECUTES: &[&str] = &["EXECUTE s1", "EXECUTE s2", "EXECUTE q1"];
/// Only the first client's: it keeps a server connection by them.
const PREPARES: &[&str] = &["PREPARE q1 AS SELECT 8", "PREPARE s1 AS SELECT 9"];
const VALUES: &[&str] = &["7", "12"];
const TYPES: &[&[u32]] = &[&[], &[], &[], &[23], &[25, 25]];

/// A script of so many turns.
pub fn script(random: &mut Random, menu: Menu, turns: usize) -> Script {
    let turn = |_| {
        let who = random.below(3);
        let mut maker = Maker { random, menu, who };
        maker.turn()
    };
    Script((0..turns).map(turn).collect())
}

struct Maker<'a> {
    random: &'a mut Random,
    menu: Menu,
    who: usize,
}

impl Maker<'_> {
    fn turn(&mut self) -> Turn {
        let mut messages = Vec::new();
        for _ in 0..=self.random.below(5) {
            self.group(&mut messages);
        }
        if !self.random.one_in(12) {
            messages.push(Message::Sync);
        }
        let writes = match self.random.below(4) {
            0 => (0..self.random.below(6))
                .map(|_| 1 + self.random.below(60))
                .collect(),
            1 => vec![1 + self.random.below(200)],
            _ => Vec::new(),
        };
        Turn {
            who: self.who,
            anew: self.random.one_in(20),
            messages,
            writes,
        }
    }

    fn text(&mut self, name: &str) -> &'static str {
        match self.random.below(12) {
            0..=2 => self.random.of(TRANSACTIONS),
            3 if self.menu != Menu::Protocol => self.random.of(FORGET_ALL),
            4 if self.menu == Menu::Sql => self.random.of(DEALLOCATES),
            5 if self.menu == Menu::Sql && name.is_empty() => self.random.of(EXECUTES),
            6 if self.menu == Menu::Sql && self.who == 0 => self.random.of(PREPARES),
            _ => self.random.of(TEXTS),
        }
    }

    fn query_text(&mut self) -> &'static str {
        match self.random.below(3) {
            0 => self.random.of(QUERIES),
            _ => self.text(""),
        }
    }

    fn values(&mut self, text: Option<&str>) -> Vec<&'static str> {
        let wanted = text.map_or(0, |text| text.matches('$').count());
        let count = match self.random.below(10) {
            0 => self.random.below(3),
            _ => wanted,
        };
        (0..count).map(|_| self.random.of(VALUES)).collect()
    }

    /// Messages that go together, most of the time.
    fn group(&mut self, to: &mut Vec<Message>) {
        let (name, portal) = (self.random.of(NAMES), self.random.of(PORTALS));
        match self.random.below(12) {
            0..=3 => {
                let text = self.text(name);
                let types = self.types(text);
                to.push(Message::Parse(name, text, types));
                self.maybe(Message::DescribeStatement(name), to);
                let values = self.values(Some(text));
                self.bind_and_on(portal, name, values, to);
            }
            4..=6 => {
                let values = self.values(None);
                self.bind_and_on(portal, name, values, to);
            }
            7 => {
                to.push(Message::CloseStatement(name));
                let text = self.text(name);
                let types = self.types(text);
                to.push(Message::Parse(name, text, types));
            }
            8 => to.push(Message::Query(self.query_text())),
            9 => to.push(Message::Sync),
            _ => {
                let any = self.any(name, portal);
                to.push(any);
            }
        }
    }

    fn types(&mut self, text: &str) -> &'static [u32] {
        if text.contains('$') || self.random.one_in(8) {
            self.random.of(TYPES)
        } else {
            &[]
        }
    }

    fn maybe(&mut self, message: Message, to: &mut Vec<Message>) {
        if self.random.one_in(3) {
            to.push(message);
        }
    }

    fn bind_and_on(
        &mut self,
        portal: &'static str,
        name: &'static str,
        values: Vec<&'static str>,
        to: &mut Vec<Message>,
    ) {
        to.push(Message::Bind(portal, name, values));
        self.maybe(Message::DescribePortal(portal), to);
        let rows = self.random.of(&[0, 0, 0, 2]);
        if !self.random.one_in(8) {
            to.push(Message::Execute(portal, rows));
        }
        self.maybe(Message::ClosePortal(portal), to);
    }

    fn any(&mut self, name: &'static str, portal: &'static str) -> Message {
        match self.random.below(7) {
            0 => Message::Flush,
            1 => Message::DescribeStatement(name),
            2 => Message::DescribePortal(portal),
            3 => Message::Execute(portal, 0),
            4 => Message::CloseStatement(name),
            5 => Message::ClosePortal(portal),
            _ => Message::Parse(name, self.text(name), &[]),
        }
    }
}
