//! What a script is made of.

use std::fmt;

use crate::support::frames::{bind, close, describe, execute, parse, query, sync, unnamed};

/// Messages that are answered with one ReadyForQuery.
#[derive(Debug, Clone)]
pub enum Act {
    /// A simple Query.
    Query(String),
    /// Texts by way of the unnamed statement, and a Sync.
    Extended(Vec<&'static str>),
    /// Parse of a named statement, and a Sync.
    Prepare(&'static str, &'static str),
    /// Bind, Describe, Execute and Sync.
    Run(&'static str),
    /// Close of a named statement, and a Sync.
    Close(&'static str),
}

impl Act {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Query(text) => query(text),
            Self::Extended(texts) => {
                let messages: Vec<u8> = texts.iter().flat_map(|text| unnamed(text)).collect();
                [messages, sync()].concat()
            }
            Self::Prepare(name, text) => [parse(name, text), sync()].concat(),
            Self::Run(name) => [
                bind("", name, &[]),
                describe(b'P', ""),
                execute("", 0),
                sync(),
            ]
            .concat(),
            Self::Close(name) => [close(b'S', name), sync()].concat(),
        }
    }

    /// The same in fewer words, if there are some.
    fn shorter(&self) -> Vec<Self> {
        let without = |count: usize, make: &dyn Fn(usize) -> Self| {
            let all = (0..count).filter(|_| count > 1);
            all.map(make).collect()
        };
        match self {
            Self::Query(text) => {
                let parts: Vec<&str> = text.split("; ").collect();
                let hides = text.contains('$');
                without(if hides { 0 } else { parts.len() }, &|at| {
                    let mut parts = parts.clone();
                    parts.remove(at);
                    Self::Query(parts.join("; "))
                })
            }
            Self::Extended(texts) => without(texts.len(), &|at| {
                let mut texts = texts.clone();
                texts.remove(at);
                Self::Extended(texts)
            }),
            _ => Vec::new(),
        }
    }
}

/// One client's turn.
#[derive(Debug, Clone)]
pub struct Turn {
    /// Which of the four.
    pub who: usize,
    /// It breaks its connection off first, and comes back on a new one.
    pub anew: bool,
    /// What it sends in one write.
    pub acts: Vec<Act>,
}

impl Turn {
    /// All that is sent.
    pub fn bytes(&self) -> Vec<u8> {
        self.acts.iter().flat_map(Act::bytes).collect()
    }

    /// May it ask for a setting that another client has made known?
    pub fn asks_for_custom(&self) -> bool {
        let asks = |act: &Act| match act {
            Act::Run(_) => true,
            Act::Query(text) => text.contains("current_setting('app.") || text.contains("EXECUTE"),
            other => format!("{other:?}").contains("current_setting('app."),
        };
        self.acts.iter().any(asks)
    }

    /// The same with less in it.
    pub fn shorter(&self) -> Vec<Self> {
        let mut all = Vec::new();
        if self.anew {
            all.push(Self {
                anew: false,
                ..self.clone()
            });
        }
        for at in 0..self.acts.len() {
            if self.acts.len() > 1 {
                let mut less = self.clone();
                less.acts.remove(at);
                all.push(less);
            }
            for act in self.acts[at].shorter() {
                let mut less = self.clone();
                less.acts[at] = act;
                all.push(less);
            }
        }
        all
    }
}

/// What the clients do, one turn after the other.
#[derive(Debug, Clone)]
pub struct Script(pub Vec<Turn>);

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for turn in &self.0 {
            let anew = if turn.anew { " comes anew" } else { "" };
            writeln!(f, "client {}{anew}", turn.who)?;
            for act in &turn.acts {
                writeln!(f, "    {act:?}")?;
            }
        }
        Ok(())
    }
}
