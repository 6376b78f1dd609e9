//! So many lines of one kind in a while, and no more: what clients can provoke
//! must not fill the disk, nor push out what else there is to say.
//!
//! Warnings and errors are limited, and what else is logged with the target
//! `limited`. A kind is a place in the source and an SQLSTATE: many failed logins
//! hide no client that finds no room.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// What is logged with this target is limited, whatever its level.
const LIMITED: &str = "limited";

/// The while.
const WINDOW: Duration = Duration::from_secs(10);

/// Different SQLSTATEs are told apart up to so many kinds: servers can make them up.
const KINDS: usize = 256;

/// So much of a line is told as an example.
const EXAMPLE: usize = 120;

/// See the module.
#[derive(Debug, Clone, Default)]
pub(super) struct Limiter(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// 0: no limit.
    most: AtomicU32,
    kinds: Mutex<HashMap<Kind, Window>>,
    /// Something was suppressed that is not told yet.
    owes: AtomicBool,
    suppressed: AtomicU64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Kind {
    /// The name that tracing gives to the place.
    place: &'static str,
    sqlstate: Option<[u8; 5]>,
}

#[derive(Debug)]
struct Window {
    since: Instant,
    passed: u32,
    suppressed: u64,
    level: Level,
    /// The first line that was suppressed.
    example: String,
}

/// What is told of a kind when its window has ended.
#[derive(Debug, PartialEq, Eq)]
struct Debt {
    level: Level,
    suppressed: u64,
    example: String,
}

impl Limiter {
    /// So many lines of a kind in a window from now on; 0: no limit.
    pub fn allow(&self, most: u32) {
        self.0.most.store(most, Ordering::Relaxed);
    }

    /// Lines that were suppressed.
    pub fn suppressed(&self) -> u64 {
        self.0.suppressed.load(Ordering::Relaxed)
    }

    /// Is there something to be told yet?
    pub fn owes(&self) -> bool {
        self.0.owes.load(Ordering::Relaxed)
    }

    /// Tells how many were suppressed in the windows that have ended.
    pub fn tell(&self, now: Instant) {
        if self.owes() {
            self.0.settle(now).into_iter().for_each(log);
        }
    }

    /// Tells it of all windows: the process ends.
    pub fn tell_all(&self) {
        self.tell(Instant::now() + WINDOW);
    }
}

impl Inner {
    /// May one more of this kind pass now?
    fn passes(&self, kind: Kind, level: Level, now: Instant, example: impl Fn() -> String) -> bool {
        let most = self.most.load(Ordering::Relaxed);
        if most == 0 {
            return true;
        }
        let mut kinds = self.kinds.lock();
        let kind = room_for(&mut kinds, kind, now);
        let window = kinds.entry(kind).or_insert_with(|| Window {
            since: now,
            passed: 0,
            suppressed: 0,
            level,
            example: String::new(),
        });
        if now.saturating_duration_since(window.since) >= WINDOW {
            // What was suppressed is told with what will be.
            (window.since, window.passed) = (now, 0);
        }
        if window.passed < most {
            window.passed += 1;
            return true;
        }
        if window.suppressed == 0 {
            window.example = example();
        }
        window.suppressed += 1;
        self.owes.store(true, Ordering::Relaxed);
        self.suppressed.fetch_add(1, Ordering::Relaxed);
        false
    }

    /// What is to be told of windows that have ended.
    fn settle(&self, now: Instant) -> Vec<Debt> {
        let mut kinds = self.kinds.lock();
        let mut debts = Vec::new();
        kinds.retain(|_, window| {
            if !window.has_ended(now) {
                return true;
            }
            if window.suppressed > 0 {
                debts.push(Debt {
                    level: window.level,
                    suppressed: window.suppressed,
                    example: std::mem::take(&mut window.example),
                });
            }
            false
        });
        let owes = kinds.values().any(|window| window.suppressed > 0);
        self.owes.store(owes, Ordering::Relaxed);
        debts
    }
}

impl Window {
    fn has_ended(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) >= WINDOW
    }
}

/// The kind as it is counted: where there are too many, whatever its SQLSTATE.
fn room_for(kinds: &mut HashMap<Kind, Window>, kind: Kind, now: Instant) -> Kind {
    if kinds.len() < KINDS || kinds.contains_key(&kind) {
        return kind;
    }
    kinds.retain(|_, window| window.suppressed > 0 || !window.has_ended(now));
    Kind {
        sqlstate: None,
        ..kind
    }
}

fn log(debt: Debt) {
    const WHAT: &str = "more lines like this one were suppressed";
    let (suppressed, like) = (debt.suppressed, debt.example.as_str());
    match debt.level {
        Level::ERROR => tracing::error!(suppressed, like, "{WHAT}"),
        Level::WARN => tracing::warn!(suppressed, like, "{WHAT}"),
        _ => tracing::info!(suppressed, like, "{WHAT}"),
    }
}

/// Lets an event pass, or not, before it is formatted.
impl<S: Subscriber> Layer<S> for Limiter {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let metadata = event.metadata();
        if !is_limited(metadata) {
            return true;
        }
        let mut sqlstate = Word::new("sqlstate", 5);
        event.record(&mut sqlstate);
        let kind = Kind {
            place: metadata.name(),
            sqlstate: sqlstate.text.as_bytes().try_into().ok(),
        };
        self.0.passes(kind, *metadata.level(), Instant::now(), || {
            let mut message = Word::new("message", EXAMPLE);
            event.record(&mut message);
            message.text
        })
    }
}

fn is_limited(metadata: &Metadata<'_>) -> bool {
    let is_marked = metadata.target() == LIMITED || *metadata.level() <= Level::WARN;
    // What tells of what was suppressed is not.
    is_marked && metadata.target() != module_path!()
}

/// One field of an event, up to a length.
struct Word {
    field: &'static str,
    most: usize,
    text: String,
}

impl Word {
    fn new(field: &'static str, most: usize) -> Self {
        Self {
            field,
            most,
            text: String::new(),
        }
    }
}

impl Visit for Word {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == self.field {
            let _ = fmt::write(self, format_args!("{value:?}"));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }
}

impl fmt::Write for Word {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        for c in part.chars() {
            if self.text.len() + c.len_utf8() > self.most {
                break;
            }
            self.text.push(c);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    fn kind(sqlstate: &[u8; 5]) -> Kind {
        Kind {
            place: "here",
            sqlstate: Some(*sqlstate),
        }
    }

    /// How many of ten of this kind pass at this time.
    fn pass(limiter: &Limiter, kind: Kind, now: Instant) -> usize {
        let example = || "an example".to_owned();
        let ten = 0..10;
        ten.filter(|_| limiter.0.passes(kind, Level::INFO, now, example))
            .count()
    }

    #[test]
    fn so_many_of_a_kind_pass_in_a_window_and_then_it_is_told_how_many_did_not() {
        let limiter = Limiter::default();
        let start = Instant::now();
        assert_eq!(pass(&limiter, kind(b"28P01"), start), 10);
        limiter.allow(4);
        assert_eq!(pass(&limiter, kind(b"28P01"), start), 4);
        assert_eq!(pass(&limiter, kind(b"08P01"), start), 4);
        assert!(limiter.owes() && limiter.0.settle(start).is_empty());
        let later = start + WINDOW;
        let debts = limiter.0.settle(later);
        let debt = Debt {
            level: Level::INFO,
            suppressed: 6,
            example: "an example".to_owned(),
        };
        assert_eq!(debts.len(), 2);
        assert!(debts.iter().all(|told| *told == debt));
        assert!(!limiter.owes());
        assert_eq!(limiter.suppressed(), 12);
        assert_eq!(pass(&limiter, kind(b"28P01"), later), 4);
    }

    #[test]
    fn what_is_told_late_is_told_once() {
        let limiter = Limiter::default();
        limiter.allow(4);
        let start = Instant::now();
        assert_eq!(pass(&limiter, kind(b"28P01"), start), 4);
        // Nobody has looked in between.
        assert_eq!(pass(&limiter, kind(b"28P01"), start + WINDOW), 4);
        let debts = limiter.0.settle(start + 2 * WINDOW);
        assert_eq!(debts.first().map(|debt| debt.suppressed), Some(12));
        assert!(limiter.0.settle(start + 9 * WINDOW).is_empty());
    }

    #[test]
    fn sqlstates_that_are_made_up_cost_no_memory() {
        let limiter = Limiter::default();
        limiter.allow(1);
        let now = Instant::now();
        for made_up in 10_000..20_000_u32 {
            let mut sqlstate = [b'0'; 5];
            sqlstate.copy_from_slice(made_up.to_string().as_bytes());
            pass(&limiter, kind(&sqlstate), now);
        }
        assert!(limiter.0.kinds.lock().len() <= KINDS + 1);
    }

    /// Counts what passes.
    #[derive(Debug, Clone, Default)]
    struct Heard(Arc<Mutex<Vec<String>>>);

    impl<S: Subscriber> Layer<S> for Heard {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            let mut message = Word::new("message", EXAMPLE);
            event.record(&mut message);
            self.0.lock().push(message.text);
        }
    }

    #[test]
    fn warnings_and_what_is_marked_are_limited_and_nothing_else() {
        let (limiter, heard) = (Limiter::default(), Heard::default());
        limiter.allow(2);
        let subscriber = tracing_subscriber::registry()
            .with(heard.clone())
            .with(limiter.clone());
        tracing::subscriber::with_default(subscriber, || {
            for number in 0..5 {
                tracing::info!("free");
                tracing::warn!("warning {number}");
                tracing::info!(target: "limited", sqlstate = %"08P01", "marked");
            }
            tracing::info!(target: "limited", sqlstate = %"28P01", "marked");
            limiter.tell_all();
        });
        let heard = heard.0.lock();
        let count = |text: &str| heard.iter().filter(|said| said.starts_with(text)).count();
        assert_eq!(
            (count("free"), count("warning"), count("marked")),
            (5, 2, 3)
        );
        assert_eq!(count("more lines like this one were suppressed"), 2);
    }
}
