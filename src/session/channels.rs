//! Listening on two connections in turns: while a client has a server connection
//! it listens there, in between on one that all listening clients share.
//!
//! PostgreSQL keeps all notifications of a database in one order. A notification
//! of the pooler's own, on a channel that nobody can guess, marks a *position* in
//! it: what stands before it is taken from one connection, what follows from the
//! other. So none is lost and none comes twice (`sql-notify.html`,
//! `sql-listen.html`).

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::wire::backend::Notification;

/// Channels that a client listens to: printable ASCII, so that they are the
/// same bytes in every encoding.
pub type Channels = BTreeSet<Box<str>>;

/// Between the names in the answer of [`super::own::Own::State`].
const SEPARATOR: u8 = 1;

/// Reads the channels that a session listens to from their list and number;
/// `None` if one has a name that is not taken along. The channel of positions is
/// not among them.
#[must_use]
pub fn channels(list: &[u8], count: &[u8], position: &str) -> Option<Channels> {
    let names = list.split(|byte| *byte == SEPARATOR);
    let names: Vec<_> = names.filter(|name| !name.is_empty()).collect();
    if names.len().to_string().as_bytes() != count {
        return None;
    }
    let names = names.into_iter().map(|name| {
        let is_plain = name.iter().all(|byte| (b' '..=b'~').contains(byte));
        std::str::from_utf8(name).ok().filter(|_| is_plain)
    });
    let mut channels: Channels = names
        .map(|name| name.map(Into::into))
        .collect::<Option<_>>()?;
    channels.remove(position);
    Some(channels)
}

/// `LISTEN` or `UNLISTEN` for each of these channels.
#[must_use]
pub fn commands<'a>(command: &str, channels: impl IntoIterator<Item = &'a str>) -> String {
    let channels = channels.into_iter();
    channels
        .map(|channel| format!("{command} \"{}\";", channel.replace('"', "\"\"")))
        .collect()
}

/// Marks a position, on a connection that listens for it as well.
#[must_use]
pub fn mark(position: &str, token: u64) -> String {
    commands("LISTEN", [position]) + &notify(position, token)
}

/// Marks a position for those who listen to them.
#[must_use]
pub fn notify(position: &str, token: u64) -> String {
    let position = position.replace('"', "\"\"");
    format!("NOTIFY \"{position}\", '{token}';")
}

/// Which notifications of a server connection are its client's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ear {
    /// The channel of positions.
    pub position: Arc<str>,
    /// The stretch of notifications.
    pub stretch: Stretch,
}

/// See [`Ear`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stretch {
    /// Those that follow this position.
    After(u64),
    /// All.
    All,
    /// Those before this position.
    Before(u64),
    /// None.
    Nothing,
}

impl Ear {
    /// Is it the client's?
    pub fn hears(&mut self, notification: &Notification<'_>) -> bool {
        if notification.channel == self.position.as_bytes() {
            let at = position_of(notification.payload);
            self.stretch = match self.stretch {
                Stretch::After(token) if at == Some(token) => Stretch::All,
                Stretch::Before(token) if at == Some(token) => Stretch::Nothing,
                stretch => stretch,
            };
            return false;
        }
        matches!(self.stretch, Stretch::All | Stretch::Before(_))
    }
}

/// The position that a notification marks.
#[must_use]
pub fn position_of(payload: &[u8]) -> Option<u64> {
    std::str::from_utf8(payload).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note<'a>(channel: &'a [u8], payload: &'a [u8]) -> Notification<'a> {
        Notification {
            pid: 7,
            channel,
            payload,
        }
    }

    #[test]
    fn the_channels_are_those_that_were_counted() {
        let found = |list: &[u8], count: &[u8]| {
            channels(list, count, "_pw")
                .map(|found| found.into_iter().collect::<Vec<_>>().join(","))
        };
        assert_eq!(found(b"", b"0").as_deref(), Some(""));
        assert_eq!(found(b"b\x01_pw\x01a", b"3").as_deref(), Some("a,b"));
        assert_eq!(found(b"a\x01b", b"1"), None);
        assert_eq!(found("\u{e4}".as_bytes(), b"1"), None);
        assert_eq!(found(b"a\nb", b"1"), None);
    }

    #[test]
    fn channels_are_quoted() {
        assert_eq!(
            commands("LISTEN", ["a", "b \"c\""]),
            "LISTEN \"a\";LISTEN \"b \"\"c\"\"\";"
        );
        assert_eq!(mark("_pw", 3), "LISTEN \"_pw\";NOTIFY \"_pw\", '3';");
    }

    #[test]
    fn what_stands_between_two_positions_is_heard() {
        let mut ear = Ear {
            position: "_pw".into(),
            stretch: Stretch::After(3),
        };
        assert!(!ear.hears(&note(b"c", b"before")));
        assert!(!ear.hears(&note(b"_pw", b"2")));
        assert!(!ear.hears(&note(b"_pw", b"3")));
        assert!(ear.hears(&note(b"c", b"between")));
        ear.stretch = Stretch::Before(4);
        assert!(!ear.hears(&note(b"_pw", b"nonsense")));
        assert!(ear.hears(&note(b"c", b"between still")));
        assert!(!ear.hears(&note(b"_pw", b"4")));
        assert!(!ear.hears(&note(b"c", b"after")));
        assert_eq!(ear.stretch, Stretch::Nothing);
    }
}
