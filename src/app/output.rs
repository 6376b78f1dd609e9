//! Lines of the log on their way to stderr or a file.
//!
//! A pipe that nobody reads blocks whoever writes, and a disk may be full or slow:
//! so a thread writes, from a bounded queue. What finds no room there, or cannot be
//! written, is lost and counted, and when lines can be written again one tells how
//! many.

use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};

use super::limiter::Limiter;
use super::lines::Lines;
use crate::config::LogFormat;

/// Lines that wait to be written, and their bytes.
const QUEUE: usize = 10_000;
const QUEUE_BYTES: usize = 4 << 20;

/// How often it is told, at most, that lines were lost; and how often it is looked
/// for what is to be told late.
const TICK: Duration = Duration::from_secs(1);

/// Somebody has made stderr a pipe that does not block: it is tried again so soon.
const AGAIN: Duration = Duration::from_millis(10);

/// The way there, shared by all who log.
#[derive(Debug, Clone)]
pub(super) struct Output(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    lines: Lines<Said>,
    is_mute: AtomicBool,
}

/// What the thread is told.
#[derive(Debug)]
enum Said {
    Line(Vec<u8>),
    /// What comes now goes to this file.
    To(File),
    /// Lines that were lost are told of at once.
    Tell,
}

impl Output {
    /// To this file, else to stderr; a thread carries it from now on.
    ///
    /// # Errors
    /// When the system has no thread.
    pub fn begin(file: Option<File>, format: LogFormat, limiter: &Limiter) -> io::Result<Self> {
        let inner = Arc::new(Inner {
            lines: Lines::new(QUEUE, QUEUE_BYTES),
            is_mute: AtomicBool::new(false),
        });
        let mut carrier = Carrier {
            inner: Arc::clone(&inner),
            limiter: limiter.clone(),
            format,
            sink: file.map_or(Sink::Stderr, Sink::File),
            is_torn: false,
            told: 0,
            told_at: None,
        };
        let named = thread::Builder::new().name("log".to_owned());
        named.spawn(move || carrier.carry())?;
        Ok(Self(inner))
    }

    /// What is logged from now on goes to this file.
    pub fn go_on_with(&self, file: File) {
        self.0.lines.order(Said::To(file));
    }

    /// Is anything to be written?
    pub fn mute(&self, is_mute: bool) {
        self.0.is_mute.store(is_mute, Ordering::Relaxed);
    }

    /// Lines that were lost.
    pub fn lost(&self) -> u64 {
        self.0.lines.lost()
    }

    /// Waits so long for what is on its way. Blocks.
    pub fn finish(&self, within: Duration) {
        self.0.lines.order(Said::Tell);
        self.0.lines.finish(within);
    }
}

impl<'a> MakeWriter<'a> for Output {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        let is_mute = self.0.is_mute.load(Ordering::Relaxed);
        Line((!is_mute).then_some(&self.0.lines))
    }
}

/// One line: it comes in one piece.
pub(super) struct Line<'a>(Option<&'a Lines<Said>>);

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(lines) = self.0 {
            lines.push(Said::Line(bytes.to_vec()), bytes.len());
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Where lines are written.
enum Sink {
    /// Not by the standard library's: whoever else wrote there, about a failure at
    /// the end for instance, would wait for its lock.
    Stderr,
    File(File),
}

impl Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Sink::Stderr => Ok(nix::unistd::write(io::stderr(), bytes)?),
            Sink::File(file) => file.write(bytes),
        }
    }
}

/// What the thread knows.
struct Carrier {
    inner: Arc<Inner>,
    limiter: Limiter,
    format: LogFormat,
    sink: Sink,
    /// The last line was written in part.
    is_torn: bool,
    /// Lost lines that have been told of, and when that was.
    told: u64,
    told_at: Option<Instant>,
}

impl Carrier {
    /// Writes what comes, for as long as somebody may log.
    fn carry(&mut self) {
        loop {
            let is_late = self.untold() > 0 || self.limiter.owes();
            match self.inner.lines.next(is_late.then_some(TICK)) {
                Some(Said::Line(line)) => match self.write(&line) {
                    true => self.tell_of_losses(false),
                    false => self.inner.lines.lose(),
                },
                Some(Said::To(file)) => {
                    self.sink = Sink::File(file);
                    self.is_torn = false;
                }
                Some(Said::Tell) => self.tell_of_losses(true),
                None => self.tell_of_losses(false),
            }
            self.limiter.tell(Instant::now());
        }
    }

    fn untold(&self) -> u64 {
        self.inner.lines.lost().saturating_sub(self.told)
    }

    /// In the log, where there is a gap now. By its own hand: a line that is logged
    /// would go to the end of the queue, or be lost as well.
    fn tell_of_losses(&mut self, at_once: bool) {
        let lost = self.untold();
        let is_soon = self.told_at.is_some_and(|when| when.elapsed() < TICK);
        if lost > 0 && (at_once || !is_soon) && self.write(&loss(self.format, lost)) {
            self.told += lost;
            self.told_at = Some(Instant::now());
        }
    }

    /// Writes a line; false if that failed.
    fn write(&mut self, line: &[u8]) -> bool {
        if self.is_torn {
            // What is left of another line is no part of this one.
            if !self.write_all(b"\n") {
                return false;
            }
        }
        self.write_all(line)
    }

    fn write_all(&mut self, mut rest: &[u8]) -> bool {
        while let Some(first) = rest.first() {
            match self.sink.write(rest) {
                Ok(0) => return false,
                Ok(written) => {
                    let last = rest.get(written.saturating_sub(1)).unwrap_or(first);
                    self.is_torn = *last != b'\n';
                    rest = rest.get(written..).unwrap_or_default();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(AGAIN),
                Err(_) => return false,
            }
        }
        true
    }
}

/// The line that tells that so many were lost.
fn loss(format: LogFormat, lost: u64) -> Vec<u8> {
    let mut time = String::new();
    let _ = SystemTime.format_time(&mut Writer::new(&mut time));
    let what = "lines of the log were lost";
    let line = match format {
        LogFormat::Text => format!("{time}  WARN {what} lines={lost}\n"),
        LogFormat::Json => {
            let fields = serde_json::json!({ "message": what, "lines": lost });
            let line = serde_json::json!({ "timestamp": time, "level": "WARN", "fields": fields });
            format!("{line}\n")
        }
    };
    line.into_bytes()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    fn to(file: File) -> Output {
        Output::begin(Some(file), LogFormat::Text, &Limiter::default()).unwrap()
    }

    fn say(output: &Output, line: &str) {
        output.make_writer().write_all(line.as_bytes()).unwrap();
    }

    fn scratch(name: &str) -> std::path::PathBuf {
        std::env::temp_dir().join(format!("pgweave-output-{}-{name}", std::process::id()))
    }

    #[test]
    fn what_cannot_be_written_is_counted_and_told_of_when_it_can_again() {
        let Ok(full) = File::options().write(true).open("/dev/full") else {
            return;
        };
        let output = to(full);
        (0..3).for_each(|_| say(&output, "lost\n"));
        output.finish(SOON);
        assert_eq!(output.lost(), 3);
        let path = scratch("full");
        output.go_on_with(File::create(&path).unwrap());
        say(&output, "found\n");
        output.finish(SOON);
        let log = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let (found, told) = log.split_once('\n').unwrap();
        assert_eq!(found, "found");
        assert!(
            told.ends_with("  WARN lines of the log were lost lines=3\n"),
            "{log}"
        );
        assert_eq!(output.lost(), 3);
    }

    #[test]
    fn who_logs_does_not_wait_for_a_pipe_that_nobody_reads() {
        let (mut reader, writer) = io::pipe().unwrap();
        let output = to(File::from(std::os::fd::OwnedFd::from(writer)));
        let began = Instant::now();
        let line = format!("{}\n", "x".repeat(99));
        (0..5 * QUEUE).for_each(|_| say(&output, &line));
        output.finish(Duration::from_millis(50));
        assert!(began.elapsed() < SOON);
        let lost = output.lost();
        assert!(lost > 0);
        // What was not lost comes whole and in order once somebody reads.
        let reading = thread::spawn(move || {
            let mut log = vec![0; 100 * 1000];
            io::Read::read_exact(&mut reader, &mut log).unwrap();
            String::from_utf8_lossy(&log).into_owned()
        });
        let log = reading.join().unwrap();
        let told = log.lines().find(|line| line.contains("were lost")).unwrap();
        let number = told
            .rsplit_once('=')
            .map(|(_, number)| number.parse::<u64>());
        assert!(number.unwrap().unwrap() <= lost, "{told}");
    }

    #[test]
    fn nothing_is_written_while_it_is_mute() {
        let path = scratch("mute");
        let output = to(File::create(&path).unwrap());
        output.mute(true);
        say(&output, "unheard\n");
        output.mute(false);
        say(&output, "heard\n");
        output.finish(SOON);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "heard\n");
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn the_line_about_losses_is_json_where_the_log_is() {
        let line = loss(LogFormat::Json, 7);
        let value: serde_json::Value = serde_json::from_slice(&line).unwrap();
        assert_eq!(value.pointer("/fields/lines"), Some(&7.into()));
        assert_eq!(value.pointer("/level"), Some(&"WARN".into()));
        assert!(line.ends_with(b"\n"));
    }
}
