//! Lines of the log on their way to the system's own log, by the datagrams that
//! syslog(3) sends to `/dev/log` and local daemons read (RFC 3164).
//!
//! A datagram waits while the daemon does not read, so a thread sends them, from a
//! bounded queue: who logs never waits, and what finds no room is counted.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::RwLock;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::{DefaultFields, Writer};
use tracing_subscriber::layer::Context;

use super::lines::Lines;
use crate::config::{General, SyslogFacility};

/// Lines that wait for the daemon, and their bytes.
const QUEUE: usize = 1024;
const QUEUE_BYTES: usize = 1 << 20;

/// A longer line is cut: daemons take no more.
const LONGEST: usize = 8 * 1024;

/// So long the thread waits for a daemon that does not read.
const PATIENCE: Duration = Duration::from_millis(500);

/// A daemon that is away is looked for so often at most.
const LOOKED_FOR: Duration = Duration::from_secs(1);

/// The way there, shared by all who use it.
#[derive(Debug, Clone, Default)]
pub(super) struct Syslog(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// None: it is off.
    to: RwLock<Option<Arc<Address>>>,
    /// Once there is a thread that carries them.
    lines: OnceLock<Arc<Lines<Said>>>,
}

/// Where lines go, and as whose.
#[derive(Debug, PartialEq, Eq)]
struct Address {
    socket: PathBuf,
    ident: String,
    facility: SyslogFacility,
}

/// A line, and where it goes.
type Said = (Arc<Address>, Vec<u8>);

impl Syslog {
    /// Goes on as the settings say. The thread is there once it is needed.
    pub fn follow(&self, general: &General) {
        let wanted = general.syslog.then(|| {
            Arc::new(Address {
                socket: general.syslog_socket.clone(),
                ident: general.syslog_ident.clone(),
                facility: general.syslog_facility,
            })
        });
        if wanted.is_some() && self.0.lines.get().is_none() {
            self.begin();
        }
        *self.0.to.write() = wanted;
    }

    fn begin(&self) {
        let lines = Arc::new(Lines::new(QUEUE, QUEUE_BYTES));
        let carried = Arc::clone(&lines);
        let named = thread::Builder::new().name("syslog".to_owned());
        match named.spawn(move || carry(&carried)) {
            Ok(_) => drop(self.0.lines.set(lines)),
            Err(error) => tracing::warn!("syslog: cannot start a thread: {error}"),
        }
    }

    fn say(&self, level: Level, text: &str) {
        let to = self.0.to.read().clone();
        let (Some(to), Some(lines)) = (to, self.0.lines.get()) else {
            return;
        };
        let line = datagram(&to, level, text);
        let bytes = line.len();
        lines.push((to, line), bytes);
    }

    /// Lines that did not get there.
    pub fn lost(&self) -> u64 {
        self.0.lines.get().map_or(0, |lines| lines.lost())
    }

    /// Waits so long for what is on its way. Blocks.
    pub fn finish(&self, within: Duration) {
        if let Some(lines) = self.0.lines.get() {
            lines.finish(within);
        }
    }
}

/// Hears each event that is logged at all.
impl<S: Subscriber> Layer<S> for Syslog {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if self.0.to.read().is_none() {
            return;
        }
        let mut text = String::new();
        if DefaultFields::new()
            .format_fields(Writer::new(&mut text), event)
            .is_ok()
        {
            self.say(*event.metadata().level(), &text);
        }
    }
}

/// `<PRI>IDENT[PID]: TEXT`. The daemon puts the time to it: ours would have to be
/// in the system's time zone.
fn datagram(to: &Address, level: Level, text: &str) -> Vec<u8> {
    let severity = match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    };
    let priority = number(to.facility) * 8 + severity;
    let mut line = format!("<{priority}>{}[{}]: ", to.ident, std::process::id());
    // A line break would begin what looks like a line of its own.
    for c in text.chars().map(|c| if c.is_control() { ' ' } else { c }) {
        if line.len() + c.len_utf8() > LONGEST {
            break;
        }
        line.push(c);
    }
    line.into_bytes()
}

/// As RFC 3164 counts them.
fn number(facility: SyslogFacility) -> u32 {
    match facility {
        SyslogFacility::User => 1,
        SyslogFacility::Daemon => 3,
        SyslogFacility::Auth => 4,
        SyslogFacility::Authpriv => 10,
        SyslogFacility::Local0 => 16,
        SyslogFacility::Local1 => 17,
        SyslogFacility::Local2 => 18,
        SyslogFacility::Local3 => 19,
        SyslogFacility::Local4 => 20,
        SyslogFacility::Local5 => 21,
        SyslogFacility::Local6 => 22,
        SyslogFacility::Local7 => 23,
    }
}

/// Sends what comes, for as long as somebody may log.
fn carry(lines: &Lines<Said>) {
    let mut daemon = Daemon::default();
    // Lost lines that it has been told of.
    let mut told = 0;
    while let Some((to, line)) = lines.next(None) {
        if !daemon.hears(&to, &line) {
            lines.lose();
            continue;
        }
        let missed = lines.lost() - told;
        if missed > 0 {
            let line = format!("{missed} lines did not get here");
            if daemon.hears(&to, &datagram(&to, Level::WARN, &line)) {
                told += missed;
            }
        }
    }
}

/// The daemon's socket, as far as it is there.
#[derive(Debug, Default)]
struct Daemon {
    socket: Option<(Arc<Address>, UnixDatagram)>,
    /// When it was looked for in vain.
    away: Option<Instant>,
}

impl Daemon {
    /// Sends a line; false when that was in vain.
    fn hears(&mut self, to: &Arc<Address>, line: &[u8]) -> bool {
        if self
            .socket
            .as_ref()
            .is_some_and(|(of, _)| of.socket != to.socket)
        {
            (self.socket, self.away) = (None, None);
        }
        match self.send(to, line) {
            Ok(()) => true,
            // It may have been started anew.
            Err(error) if self.socket.is_some() && !is_about_time(&error) => {
                self.socket = None;
                self.send(to, line)
                    .inspect_err(|error| self.is_away(&to.socket, error))
                    .is_ok()
            }
            Err(error) => {
                self.is_away(&to.socket, &error);
                false
            }
        }
    }

    fn send(&mut self, to: &Arc<Address>, line: &[u8]) -> io::Result<()> {
        if self.socket.is_none() {
            if self.away.is_some_and(|when| when.elapsed() < LOOKED_FOR) {
                return Err(io::ErrorKind::NotConnected.into());
            }
            let socket = UnixDatagram::unbound()?;
            socket.set_write_timeout(Some(PATIENCE))?;
            socket.connect(&to.socket)?;
            self.socket = Some((Arc::clone(to), socket));
        }
        let Some((_, socket)) = &self.socket else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        socket.send(line)?;
        self.away = None;
        Ok(())
    }

    /// Tells once that it is away.
    fn is_away(&mut self, socket: &Path, error: &io::Error) {
        if is_about_time(error) {
            return;
        }
        if self.away.is_none() {
            tracing::warn!("syslog: nobody reads {}: {error}", socket.display());
        }
        if self.away.is_none_or(|when| when.elapsed() >= LOOKED_FOR) {
            self.away = Some(Instant::now());
        }
    }
}

/// It is there, and does not read.
fn is_about_time(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn address(socket: &Path) -> Arc<Address> {
        Arc::new(Address {
            socket: socket.to_owned(),
            ident: "pooler".to_owned(),
            facility: SyslogFacility::Local3,
        })
    }

    #[test]
    fn a_line_has_its_priority_and_who_it_is_of() {
        let to = address(Path::new("/dev/log"));
        let said = |level| String::from_utf8(datagram(&to, level, "a\nb\u{e9}")).unwrap();
        let pid = std::process::id();
        assert_eq!(said(Level::ERROR), format!("<155>pooler[{pid}]: a b\u{e9}"));
        let levels = [Level::WARN, Level::INFO, Level::DEBUG, Level::TRACE];
        let heads = ["<156>", "<158>", "<159>", "<159>"];
        for (level, head) in levels.into_iter().zip(heads) {
            assert!(said(level).starts_with(head), "{level}");
        }
    }

    #[test]
    fn a_long_line_is_cut_between_characters() {
        let to = address(Path::new("/dev/log"));
        for shift in 0..3 {
            let text = "x".repeat(shift) + &"\u{20ac}".repeat(LONGEST);
            let line = datagram(&to, Level::INFO, &text);
            assert!(line.len() <= LONGEST && line.len() > LONGEST - 3);
            assert!(String::from_utf8(line).is_ok());
        }
    }

    use std::sync::atomic::{AtomicU64, Ordering};

    /// A name for a socket that nothing else has.
    fn free_name() -> PathBuf {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        std::env::temp_dir().join(format!("pgweave-syslog-{}-{number}", std::process::id()))
    }

    fn hear(daemon: &UnixDatagram) -> String {
        daemon
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        let mut line = vec![0; LONGEST];
        let length = daemon.recv(&mut line).unwrap();
        line.truncate(length);
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn what_a_daemon_missed_it_is_told_when_it_is_there() {
        let path = free_name();
        let general = General {
            syslog: true,
            syslog_socket: path.clone(),
            ..General::default()
        };
        let syslog = Syslog::default();
        syslog.say(Level::INFO, "it is off");
        syslog.follow(&general);
        syslog.say(Level::INFO, "nobody is there");
        syslog.finish(PATIENCE);
        let daemon = UnixDatagram::bind(&path).unwrap();
        // It is looked for once a second.
        thread::sleep(LOOKED_FOR);
        syslog.say(Level::INFO, "first");
        assert!(hear(&daemon).ends_with("]: first"));
        assert!(hear(&daemon).ends_with("]: 1 lines did not get here"));
        // One that is started anew is found at once.
        drop(daemon);
        std::fs::remove_file(&path).unwrap();
        let daemon = UnixDatagram::bind(&path).unwrap();
        syslog.say(Level::INFO, "second");
        assert!(hear(&daemon).ends_with("]: second"));
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn who_logs_does_not_wait_for_a_daemon_that_does_not_read() {
        let path = free_name();
        let _daemon = UnixDatagram::bind(&path).unwrap();
        let general = General {
            syslog: true,
            syslog_socket: path.clone(),
            ..General::default()
        };
        let syslog = Syslog::default();
        syslog.follow(&general);
        let began = Instant::now();
        for _ in 0..5 * QUEUE {
            syslog.say(Level::INFO, "nobody reads this");
        }
        assert!(began.elapsed() < Duration::from_secs(5));
        assert!(syslog.lost() > 0);
        std::fs::remove_file(&path).unwrap();
    }
}
