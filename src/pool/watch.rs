//! What is noted of a turn while slow transactions are looked for. It belongs to
//! the server connection, and its room is used again from turn to turn: clients
//! cost nothing for it.

use std::sync::Arc;
use std::time::Duration;

use crate::session::fingerprint::{Fingerprint, fingerprint};
use crate::session::statements::Statement;

/// So much of a text is kept, in bytes.
const KEPT: usize = 8 * 1024;

/// See the module.
#[derive(Debug, Default)]
pub struct Watch {
    waited: Duration,
    /// Of what was sent since all was answered, the longest text: `BEGIN`, or what
    /// else goes ahead, is short.
    runs: Ran,
    /// What took longest, and how long.
    slowest: Ran,
    took: Duration,
}

/// A statement: its text or, where it is shared, itself.
#[derive(Debug, Default)]
struct Ran {
    text: Vec<u8>,
    statement: Option<Arc<Statement>>,
    length: usize,
}

impl Ran {
    fn forget(&mut self) {
        self.text.clear();
        self.statement = None;
        self.length = 0;
    }
}

impl Watch {
    /// A turn begins; its client has waited so long for it.
    pub(super) fn begins(&mut self, waited: Duration) {
        self.forget();
        (self.waited, self.took) = (waited, Duration::ZERO);
    }

    /// The turn is over: nothing is kept of what ran.
    pub fn forget(&mut self) {
        self.runs.forget();
        self.slowest.forget();
    }

    /// A statement runs, whose text of this length begins so.
    pub fn runs(&mut self, text: &[u8], length: usize) {
        if length >= self.runs.length {
            self.runs.forget();
            let kept = text.get(..KEPT).unwrap_or(text);
            self.runs.text.extend_from_slice(kept);
            self.runs.length = length;
        }
    }

    /// A prepared statement runs.
    pub fn runs_prepared(&mut self, statement: &Arc<Statement>) {
        let length = statement.text().len();
        if length >= self.runs.length {
            self.runs.forget();
            self.runs.statement = Some(Arc::clone(statement));
            self.runs.length = length;
        }
    }

    /// All that was sent is answered, after so long.
    pub(super) fn answered(&mut self, took: Duration) {
        if took >= self.took {
            std::mem::swap(&mut self.runs, &mut self.slowest);
            self.took = took;
        }
        self.runs.forget();
    }

    /// How long its client has waited for the turn.
    #[must_use]
    pub fn waited(&self) -> Duration {
        self.waited
    }

    /// What took longest, without its literals; none where that is not known.
    #[must_use]
    pub fn slowest(&self) -> Option<Fingerprint> {
        let Ran {
            text,
            statement,
            length,
        } = &self.slowest;
        let text = statement.as_ref().map_or(&**text, |known| known.text());
        let kept = text.get(..KEPT).unwrap_or(text);
        (*length > 0).then(|| fingerprint(kept, kept.len() == *length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::statements::private;

    fn slowest(watch: &Watch) -> Option<String> {
        watch.slowest()?.text
    }

    #[test]
    fn what_took_longest_is_told_and_of_what_came_together_the_longest_text() {
        let mut watch = Watch::default();
        watch.begins(Duration::ZERO);
        assert_eq!(slowest(&watch), None);
        watch.runs(b"BEGIN", 5);
        watch.runs_prepared(&private(b"SELECT 1 FROM a\0\0\0", None));
        watch.runs(b"SELECT 2", 8);
        watch.answered(Duration::from_millis(20));
        watch.runs(b"SELECT 3 FROM b", 15);
        watch.answered(Duration::from_millis(10));
        assert_eq!(slowest(&watch).as_deref(), Some("SELECT ? FROM a"));
        watch.runs(b"COMMIT", 6);
        watch.answered(Duration::from_millis(30));
        assert_eq!(slowest(&watch).as_deref(), Some("COMMIT"));
        watch.begins(Duration::from_millis(1));
        assert_eq!(slowest(&watch), None);
        assert_eq!(watch.waited(), Duration::from_millis(1));
    }

    #[test]
    fn of_a_long_text_the_beginning_is_kept() {
        let mut watch = Watch::default();
        let text = format!("SELECT '{}'", "x".repeat(2 * KEPT));
        watch.runs(text.as_bytes(), text.len());
        assert_eq!(watch.runs.text.len(), KEPT);
        watch.answered(Duration::ZERO);
        assert_eq!(slowest(&watch).as_deref(), Some("SELECT ? ..."));
        // One that has not arrived to its end.
        watch.runs(b"SELECT a, 'b", 100);
        watch.answered(Duration::ZERO);
        assert_eq!(slowest(&watch).as_deref(), Some("SELECT a, ? ..."));
    }
}
