//! Things that DDL changes while clients query them by prepared statements.
//!
//! A thing goes from version to version, and what it is in each is known exactly.
//! A client notes the version that was done before it asked and the one that was
//! begun when the answer came: the answer must be that of one of those. So an
//! answer of a plan that is out of date is found out, and so is an error without a
//! reason.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::runner::{server, variable};

/// What a query returns: names and values.
pub type Columns = Vec<(String, Value)>;

/// A value, by its type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    Int(i32),
    Text(String),
}

/// The types of what a version returns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Type {
    Columns(Vec<(String, bool)>),
    /// A type that there is in one version only.
    OwnOf(u32),
}

/// What is changed, and how.
struct Change {
    /// What follows the first two columns in a query of it.
    source: &'static str,
    /// Makes version 0.
    made: &'static [&'static str],
    /// Leads from version `k - 1` to `k`, in one transaction.
    step: fn(u32) -> Vec<String>,
    /// What version `k` returns; none while there is no such thing.
    columns: fn(u32) -> Option<Columns>,
}

fn int(name: &str, value: u32) -> (String, Value) {
    (name.to_owned(), Value::Int(i32::try_from(value).unwrap()))
}

fn text(name: impl Into<String>, value: impl Into<String>) -> (String, Value) {
    (name.into(), Value::Text(value.into()))
}

fn odd(k: u32) -> bool {
    k % 2 == 1
}

/// ADD COLUMN and DROP COLUMN under a `*`.
const WIDE: Change = Change {
    source: ", t.* FROM ddl_wide t",
    made: &[
        "DROP TABLE IF EXISTS ddl_wide",
        "CREATE TABLE ddl_wide AS SELECT 0 AS version",
    ],
    step: |k| {
        let change = match odd(k) {
            true => format!("ADD COLUMN c{k} text DEFAULT 'c{k}'"),
            false => format!("DROP COLUMN c{}", k - 1),
        };
        vec![
            format!("ALTER TABLE ddl_wide {change}"),
            format!("UPDATE ddl_wide SET version = {k}"),
        ]
    },
    columns: |k| {
        let mut columns = vec![int("version", k)];
        columns.extend(odd(k).then(|| text(format!("c{k}"), format!("c{k}"))));
        Some(columns)
    },
};

/// ALTER COLUMN TYPE: names and number of the columns stay.
const TYPED: Change = Change {
    source: ", version, v FROM ddl_typed",
    made: &[
        "DROP TABLE IF EXISTS ddl_typed",
        "CREATE TABLE ddl_typed AS SELECT 0 AS version, 0 AS v",
    ],
    step: |k| {
        let change = match odd(k) {
            true => format!("TYPE text USING '{k}'"),
            false => format!("TYPE int USING {k}"),
        };
        vec![format!(
            "ALTER TABLE ddl_typed ALTER COLUMN v {change}, ALTER COLUMN version TYPE int USING {k}"
        )]
    },
    columns: |k| {
        let v = match odd(k) {
            true => text("v", k.to_string()),
            false => int("v", k),
        };
        Some(vec![int("version", k), v])
    },
};

/// DROP TABLE, and CREATE TABLE with other columns after a while.
const GONE: Change = Change {
    source: ", t.* FROM ddl_gone t",
    made: &[
        "DROP TABLE IF EXISTS ddl_gone",
        "CREATE TABLE ddl_gone AS SELECT 'v0' AS said, 0 AS version",
    ],
    step: |k| {
        vec![match k % 4 {
            0 => format!("CREATE TABLE ddl_gone AS SELECT 'v{k}' AS said, {k} AS version"),
            2 => format!("CREATE TABLE ddl_gone AS SELECT {k} AS version"),
            _ => "DROP TABLE ddl_gone".to_owned(),
        }]
    },
    columns: |k| match k % 4 {
        0 => Some(vec![text("said", format!("v{k}")), int("version", k)]),
        2 => Some(vec![int("version", k)]),
        _ => None,
    },
};

/// CREATE OR REPLACE VIEW with one column more, DROP and CREATE VIEW with one less.
const LOOKS: Change = Change {
    source: ", t.* FROM ddl_looks t",
    made: &[
        "DROP VIEW IF EXISTS ddl_looks",
        "CREATE VIEW ddl_looks AS SELECT 0 AS version",
    ],
    step: |k| match odd(k) {
        true => vec![format!(
            "CREATE OR REPLACE VIEW ddl_looks AS SELECT {k} AS version, 'v{k}'::text AS said"
        )],
        false => vec![
            "DROP VIEW ddl_looks".to_owned(),
            format!("CREATE VIEW ddl_looks AS SELECT {k} AS version"),
        ],
    },
    columns: |k| {
        let mut columns = vec![int("version", k)];
        columns.extend(odd(k).then(|| text("said", format!("v{k}"))));
        Some(columns)
    },
};

/// CREATE OR REPLACE VIEW with the same columns: new values and never an error.
const STEADY: Change = Change {
    source: ", t.* FROM ddl_steady t",
    made: &[
        "DROP VIEW IF EXISTS ddl_steady",
        "CREATE VIEW ddl_steady AS SELECT 0 AS version",
    ],
    step: |k| {
        vec![format!(
            "CREATE OR REPLACE VIEW ddl_steady AS SELECT {k} AS version"
        )]
    },
    columns: |k| Some(vec![int("version", k)]),
};

/// DROP TYPE and CREATE TYPE: the driver has to ask about each anew.
const PAINTED: Change = Change {
    source: ", version, hue FROM ddl_painted",
    made: &[
        "DROP TABLE IF EXISTS ddl_painted",
        "DROP TYPE IF EXISTS ddl_hue",
        "CREATE TYPE ddl_hue AS ENUM ('v0')",
        "CREATE TABLE ddl_painted AS SELECT 0 AS version, 'v0'::ddl_hue AS hue",
    ],
    step: |k| {
        vec![
            "ALTER TABLE ddl_painted DROP COLUMN hue".to_owned(),
            "DROP TYPE ddl_hue".to_owned(),
            format!("CREATE TYPE ddl_hue AS ENUM ('other', 'v{k}')"),
            format!("ALTER TABLE ddl_painted ADD COLUMN hue ddl_hue DEFAULT 'v{k}'"),
            format!("UPDATE ddl_painted SET version = {k}"),
        ]
    },
    columns: |k| Some(vec![int("version", k), text("hue", format!("v{k}"))]),
};

/// CREATE INDEX and DROP INDEX: other plans, the same answer and never an error.
const INDEXED: Change = Change {
    source: ", t.* FROM ddl_indexed t WHERE id = 7",
    made: &[
        "DROP TABLE IF EXISTS ddl_indexed",
        "CREATE TABLE ddl_indexed AS SELECT id, 'v' || id AS said FROM generate_series(1, 1000) id",
    ],
    step: |k| {
        vec![match odd(k) {
            true => "CREATE INDEX ddl_index ON ddl_indexed (id)".to_owned(),
            false => "DROP INDEX ddl_index".to_owned(),
        }]
    },
    columns: |_| Some(vec![int("id", 7), text("said", "v7")]),
};

const CHANGES: [&Change; 7] = [&WIDE, &TYPED, &GONE, &LOOKS, &STEADY, &PAINTED, &INDEXED];

/// One that changes, or stays as it is.
pub struct Thing {
    /// None: constants, so many of them. No error is allowed there.
    change: Option<&'static Change>,
    constants: usize,
    pub begun: AtomicU32,
    pub done: AtomicU32,
}

impl Thing {
    fn new(change: Option<&'static Change>, constants: usize) -> Arc<Self> {
        Arc::new(Self {
            change,
            constants,
            begun: AtomicU32::new(0),
            done: AtomicU32::new(0),
        })
    }

    fn source(&self) -> String {
        match self.change {
            Some(change) => change.source.to_owned(),
            None => (0..self.constants)
                .map(|i| format!(", 'c{i}' AS c{i}"))
                .collect(),
        }
    }

    pub fn columns(&self, k: u32) -> Option<Columns> {
        let constants = || (0..self.constants).map(|i| text(format!("c{i}"), format!("c{i}")));
        match self.change {
            Some(change) => (change.columns)(k),
            None => Some(constants().collect()),
        }
    }

    fn has_own_type(&self) -> bool {
        self.change
            .is_some_and(|change| std::ptr::eq(change, &PAINTED))
    }

    fn types(&self, versions: impl Iterator<Item = u32>) -> Vec<Type> {
        let type_of = |k: u32| {
            let columns = self.columns(k)?;
            Some(match self.has_own_type() {
                true => Type::OwnOf(k),
                false => Type::Columns(
                    columns
                        .into_iter()
                        .map(|(name, value)| (name, matches!(value, Value::Int(_))))
                        .collect(),
                ),
            })
        };
        versions.filter_map(type_of).collect()
    }
}

/// A query, told apart from the others by its number; $1 comes back as n.
#[derive(Clone)]
pub struct Text {
    pub number: u32,
    pub query: Arc<str>,
    pub thing: Arc<Thing>,
}

/// All things, freshly made, and the texts that ask for them.
pub struct World {
    pub changing: Vec<Arc<Thing>>,
    pub texts: Vec<Text>,
    pub still: Vec<Text>,
    pub over: AtomicBool,
}

impl World {
    pub async fn new() -> Arc<Self> {
        let server = server().await;
        let role = format!("SET ROLE \"{}\"", variable("PGUSER"));
        server.batch_execute(&role).await.unwrap();
        for statement in CHANGES.iter().flat_map(|change| change.made) {
            server.batch_execute(statement).await.unwrap();
        }
        let changing: Vec<_> = CHANGES.iter().map(|c| Thing::new(Some(*c), 0)).collect();
        let still: Vec<_> = (0..5).map(|count| Thing::new(None, count)).collect();
        let four = changing.iter().flat_map(|thing| [thing; 4]);
        let six = still.iter().flat_map(|thing| [thing; 6]);
        let texts: Vec<Text> = (0..)
            .zip(four.chain(six))
            .map(|(number, thing)| Text {
                number,
                query: format!("SELECT {number} AS no, $1::int AS n{}", thing.source()).into(),
                thing: Arc::clone(thing),
            })
            .collect();
        let still = texts.iter().filter(|text| text.thing.change.is_none());
        Arc::new(Self {
            still: still.cloned().collect(),
            changing,
            texts,
            over: AtomicBool::new(false),
        })
    }

    /// How many versions of each are done.
    pub fn done(&self) -> Vec<u32> {
        let done = |thing: &Arc<Thing>| thing.done.load(Ordering::SeqCst);
        self.changing.iter().map(done).collect()
    }

    /// Begins the next version of a thing; the statements that lead there.
    pub fn begin(thing: &Thing) -> (u32, Vec<String>) {
        let k = thing.begun.fetch_add(1, Ordering::SeqCst) + 1;
        let step = thing.change.map(|change| (change.step)(k));
        (k, step.unwrap_or_default())
    }
}

/// What a client knows about its statements.
#[derive(Default)]
pub struct Known {
    /// The type of the last answer, by text: that of the statement, too.
    types: HashMap<u32, Type>,
    /// The version since which a statement without an answer may be there.
    since: HashMap<u32, u32>,
}

impl Known {
    /// The driver drops all.
    #[allow(dead_code, reason = "not every driver drops all at once")]
    pub fn all_prepared_anew(&mut self) {
        *self = Self::default();
    }
}

/// One query, from the moment before it is sent.
pub struct Attempt {
    text: Text,
    low: u32,
}

impl Attempt {
    pub fn new(known: &mut Known, text: &Text) -> Self {
        let low = text.thing.done.load(Ordering::SeqCst);
        known.since.entry(text.number).or_insert(low);
        let text = text.clone();
        Self { text, low }
    }

    fn versions(&self, since: u32) -> impl Iterator<Item = u32> + use<> {
        since..=self.text.thing.begun.load(Ordering::SeqCst)
    }

    /// The number of the text.
    #[allow(dead_code, reason = "not every driver drops single statements")]
    pub fn number(&self) -> u32 {
        self.text.number
    }

    /// The driver drops the statement: the next attempt prepares it.
    #[allow(dead_code, reason = "not every driver drops single statements")]
    pub fn prepared_anew(&self, known: &mut Known) {
        known.types.remove(&self.text.number);
        known.since.remove(&self.text.number);
    }

    /// The whole answer is that of one version which may have been met.
    pub fn answered(&self, known: &mut Known, n: i32, got: &Columns) {
        let thing = &self.text.thing;
        let whole = |columns: Columns| {
            let mut whole = vec![int("no", self.text.number), ("n".to_owned(), Value::Int(n))];
            whole.extend(columns);
            whole
        };
        let right: Vec<(u32, Columns)> = self
            .versions(self.low)
            .filter_map(|k| Some((k, whole(thing.columns(k)?))))
            .collect();
        let Some((k, _)) = right.iter().find(|(_, answer)| answer == got) else {
            panic!(
                "{} with {n} gave {got:?}, right is one of {right:?}",
                self.text.query
            );
        };
        let number = self.text.number;
        if let Some(own) = thing.types([*k].into_iter()).pop() {
            known.types.insert(number, own);
        }
        known.since.remove(&number);
    }

    /// Has 42P01, `relation does not exist`, a reason?
    pub fn may_be_missing(&self) -> bool {
        self.versions(self.low)
            .any(|k| self.text.thing.columns(k).is_none())
    }

    /// Has 0A000, `cached plan must not change result type`, a reason: may the
    /// columns have been others when the statement was prepared?
    pub fn may_have_another_type(&self, known: &Known) -> bool {
        let types = |since| self.text.thing.types(self.versions(since));
        let number = self.text.number;
        let prepared_for = match known.types.get(&number) {
            Some(last) => vec![last.clone()],
            None => types(known.since.get(&number).copied().unwrap_or(self.low)),
        };
        let now = types(self.low);
        prepared_for.iter().any(|a| now.iter().any(|b| a != b))
    }

    /// May the type of a column be gone between being told and asked about?
    pub fn may_have_lost_its_type(&self) -> bool {
        self.text.thing.has_own_type() && self.versions(self.low).count() > 1
    }
}
