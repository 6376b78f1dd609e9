//! What functions do to the session, out of sight of those who call them.
//!
//! The bodies of a database's functions are scanned as texts are, once they are
//! needed; a text that names one that changes the session is taken to do so
//! itself. Triggers lend what they do to the name of their table.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::findings::Findings;
use super::scan::Scan;
use super::settings::Touched;
use super::sql::is_identifier;

/// What of a function's body matters to those who call it.
const MATTERS: Findings = Findings::SETTINGS
    .and(Findings::RESETS)
    .and(Findings::TEMPORARY)
    .and(Findings::HOLD)
    .and(Findings::LISTEN)
    .and(Findings::LOCK)
    .and(Findings::PREPARES)
    .and(Findings::REMOVES)
    .and(Findings::LOCAL_SETTINGS)
    .and(Findings::SEQUENCES)
    .and(Findings::OPAQUE)
    .and(Findings::LISTS_STATEMENTS)
    .and(Findings::TAINTS);

/// Functions that call functions that call ...
const MOST_ROUNDS: usize = 16;

/// What naming a function, or writing to a table, does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Does {
    /// What it can do to the session.
    pub can: Findings,
    /// Which settings it can change.
    pub touches: Touched,
}

impl Does {
    fn add(&mut self, more: &Self) {
        self.can |= more.can;
        self.touches.add(&more.touches);
    }
}

/// The names in one database that do something to the session, in lower case.
#[derive(Debug, Default)]
pub struct Learned(HashMap<Box<[u8]>, Does>);

/// A row of what a server tells: a function and its body, or a table and the
/// function of one of its triggers.
#[derive(Debug)]
pub enum Told {
    /// A function's name and body.
    Function(Box<[u8]>, Box<[u8]>),
    /// A table's name, and that of a function which a trigger on it calls.
    Trigger(Box<[u8]>, Box<[u8]>),
}

impl Learned {
    /// What there is to know from these; `pinning` do what cannot be seen.
    #[must_use]
    pub fn from(told: &[Told], pinning: &[String]) -> Self {
        let mut learned = Self::default();
        for name in pinning {
            let does = Does {
                can: Findings::TAINTS,
                ..Does::default()
            };
            learned.add(name.as_bytes(), &does);
        }
        let functions = || {
            told.iter().filter_map(|told| match told {
                Told::Function(name, body) => Some((name, body)),
                Told::Trigger(..) => None,
            })
        };
        for (name, body) in functions() {
            let can = Scan::of_body(body);
            if can.has(MATTERS) {
                let mut touches = Touched::by(body);
                touches.unknown |= can.has(Findings::OPAQUE);
                learned.add(name, &Does { can, touches });
            }
        }
        for _ in 0..MOST_ROUNDS {
            let before = learned.0.len();
            for (name, body) in functions() {
                if !learned.knows(name)
                    && let Some(called) = learned.by(body)
                {
                    learned.add(name, &called);
                }
            }
            if learned.0.len() == before {
                break;
            }
        }
        for row in told {
            if let Told::Trigger(table, function) = row
                && let Some(does) = learned.0.get(&lower(function)).cloned()
            {
                learned.add(table, &does);
            }
        }
        learned
    }

    fn knows(&self, name: &[u8]) -> bool {
        self.0.contains_key(&lower(name))
    }

    fn add(&mut self, name: &[u8], does: &Does) {
        self.0.entry(lower(name)).or_default().add(does);
    }

    /// The names of custom settings that they change.
    pub fn custom_settings(&self) -> impl Iterator<Item = &Box<str>> {
        let names = self.0.values().flat_map(|does| does.touches.names.iter());
        names.filter(|name| name.contains('.'))
    }

    /// What a text does by the names in it.
    #[must_use]
    pub fn by(&self, text: &[u8]) -> Option<Does> {
        if self.0.is_empty() {
            return None;
        }
        let mut found: Option<Does> = None;
        for word in text.split(|byte| !is_identifier(*byte)) {
            if let Some(does) = self.0.get(&lower(word)) {
                found.get_or_insert_default().add(does);
            }
        }
        if let Some(does) = found.as_mut().filter(|does| does.touches.unknown) {
            does.touches.add_literals(text);
        }
        found
    }
}

fn lower(name: &[u8]) -> Box<[u8]> {
    name.to_ascii_lowercase().into()
}

/// What is known of one database's functions.
#[derive(Debug, Default)]
pub struct Hidden {
    learned: Mutex<Option<Arc<Learned>>>,
    /// Functions may have changed where nobody saw it.
    is_due: AtomicBool,
    /// It is known that no name does anything.
    is_quiet: AtomicBool,
    /// It is known that some names do something.
    is_loud: AtomicBool,
}

/// What a text does by the names in it.
#[derive(Debug, PartialEq, Eq)]
pub enum Called {
    /// Nothing.
    Nothing,
    /// This.
    Does(Box<Does>),
    /// It is not known what functions there are.
    Unknown,
}

impl Hidden {
    /// Is it known that no name does anything?
    #[inline]
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.is_quiet.load(Ordering::Acquire)
    }

    /// Is it known that some names do something? A text need not look like a call
    /// to name a view that calls.
    #[inline]
    #[must_use]
    pub fn is_loud(&self) -> bool {
        self.is_loud.load(Ordering::Acquire)
    }

    /// What a text does by the names in it.
    #[must_use]
    pub fn by(&self, text: &[u8]) -> Called {
        let Some(learned) = self.learned.lock().clone() else {
            return Called::Unknown;
        };
        match learned.by(text) {
            Some(does) => Called::Does(Box::new(does)),
            None => Called::Nothing,
        }
    }

    /// Should a server be asked anew what functions there are? True for one only.
    #[must_use]
    pub fn is_due(&self) -> bool {
        self.is_due.swap(false, Ordering::AcqRel)
    }

    /// A server has told.
    pub fn learn(&self, told: &[Told], pinning: &[String]) -> Arc<Learned> {
        let learned = Arc::new(Learned::from(told, pinning));
        let is_quiet = learned.0.is_empty();
        *self.learned.lock() = Some(Arc::clone(&learned));
        self.is_due.store(false, Ordering::Release);
        self.is_quiet.store(is_quiet, Ordering::Release);
        self.is_loud.store(!is_quiet, Ordering::Release);
        learned
    }

    /// Functions or triggers have changed: nothing is known any more.
    pub fn forget(&self) {
        self.is_quiet.store(false, Ordering::Release);
        self.is_loud.store(false, Ordering::Release);
        *self.learned.lock() = None;
    }

    /// They may have changed since where nobody saw it; what is known holds
    /// until a server has told anew.
    pub fn is_old(&self) {
        if self.learned.lock().is_some() {
            self.is_due.store(true, Ordering::Release);
            self.is_quiet.store(false, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(name: &str, body: &str) -> Told {
        Told::Function(name.as_bytes().into(), body.as_bytes().into())
    }

    fn learned() -> Learned {
        let told = [
            function("Outer", "BEGIN PERFORM middle(); END"),
            function("middle", "BEGIN RETURN become(1); END"),
            function(
                "become",
                "BEGIN PERFORM set_config('app.tenant', '1', false); END",
            ),
            function("harmless", "BEGIN UPDATE t SET a = 1; RETURN 1; END"),
            function("locks", "BEGIN PERFORM pg_advisory_lock(1); END"),
            function("dynamic", "BEGIN EXECUTE 'SET work_mem = 1'; END"),
            function("says", "BEGIN EXECUTE $1; END"),
            function("sets", "BEGIN PERFORM set_config(name, value, false); END"),
            function("tenant", "SELECT sets('app.other', $1)"),
            Told::Trigger(b"audited"[..].into(), b"become"[..].into()),
            function("remembers", "BEGIN RETURN plperl_sum(1); END"),
        ];
        Learned::from(&told, &["PLPerl_sum".to_owned()])
    }

    #[test]
    fn who_calls_what_changes_the_session_changes_it() {
        let learned = learned();
        let can = |text: &str| learned.by(text.as_bytes()).unwrap_or_default().can;
        for text in [
            "SELECT become(2)",
            "select OUTER()",
            "INSERT INTO audited VALUES (1)",
            "SELECT dynamic()",
        ] {
            assert!(can(text).has(Findings::SETTINGS), "{text}");
        }
        assert!(can("SELECT locks()").has(Findings::LOCK));
        for text in ["SELECT plperl_sum(2)", "SELECT remembers()"] {
            assert!(can(text).has(Findings::TAINTS), "{text}");
        }
        assert!(can("SELECT harmless(), becoming()").is_empty());
        assert!(can("SELECT says('SET a = 1')").has(Findings::OPAQUE));
        let does = learned.by(b"SELECT tenant('5')").unwrap_or_default();
        assert!(does.touches.unknown && does.touches.names.contains("app.other"));
        let does = learned.by(b"SELECT outer()").unwrap_or_default();
        assert!(does.touches.names.contains("app.tenant"));
    }

    #[test]
    fn nothing_is_known_before_it_is_told() {
        let hidden = Hidden::default();
        assert_eq!(hidden.by(b"SELECT f()"), Called::Unknown);
        assert!(!hidden.is_quiet());
        let _ = hidden.learn(&[function("f", "SELECT 1")], &[]);
        assert_eq!(hidden.by(b"SELECT f()"), Called::Nothing);
        assert!(hidden.is_quiet() && !hidden.is_due());
        hidden.is_old();
        assert!(hidden.is_due() && !hidden.is_due() && !hidden.is_quiet());
        assert_eq!(hidden.by(b"SELECT f()"), Called::Nothing);
        hidden.forget();
        assert_eq!(hidden.by(b"SELECT f()"), Called::Unknown);
    }
}
