//! Logs to stderr or a file, and to the system's log.
//!
//! Nobody who logs waits for who reads: threads carry the lines.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::panic::PanicHookInfo;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::cli::Cli;
use super::limiter::Limiter;
use super::output::Output;
use super::syslog::Syslog;
use crate::config::{General, LogFormat, LogLevel, Word};
use crate::telemetry::LogCounts;

/// At the end of the process so much time is given to what waits.
const LAST_WAIT: Duration = Duration::from_secs(1);

/// Changes what is logged while the process runs.
pub(super) struct Logging {
    output: Output,
    is_to_file: bool,
    syslog: Syslog,
    limiter: Limiter,
    set_level: Box<dyn Fn(LogLevel) + Send + Sync>,
    is_finished: AtomicBool,
}

impl std::fmt::Debug for Logging {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Logging(..)")
    }
}

impl Logging {
    /// Starts logging.
    ///
    /// # Errors
    /// When the log file cannot be opened.
    pub fn start(general: &General, cli: &Cli) -> io::Result<Self> {
        let file = general.logfile.as_deref().map(opened).transpose()?;
        let is_to_file = file.is_some();
        let limiter = Limiter::default();
        limiter.allow(general.log_rate_limit);
        let output = Output::begin(file, general.log_format, &limiter)?;
        output.mute(!is_to_file && cli.is_mute(general));
        let syslog = Syslog::default();
        let level = cli.log_level(general);
        let builder = tracing_subscriber::fmt()
            .with_env_filter(EnvFilter::new(level.as_str()))
            .with_target(false)
            .with_ansi(false)
            // It would say so on stderr, and wait for that.
            .log_internal_errors(false)
            .with_writer(output.clone());
        let (heard, limited) = (syslog.clone(), limiter.clone());
        let set_level: Box<dyn Fn(LogLevel) + Send + Sync> = match general.log_format {
            LogFormat::Text => {
                let builder = builder.with_filter_reloading();
                let handle = builder.reload_handle();
                builder.finish().with(heard).with(limited).init();
                Box::new(move |level| drop(handle.reload(EnvFilter::new(level.as_str()))))
            }
            LogFormat::Json => {
                let builder = builder.json().with_filter_reloading();
                let handle = builder.reload_handle();
                builder.finish().with(heard).with(limited).init();
                Box::new(move |level| drop(handle.reload(EnvFilter::new(level.as_str()))))
            }
        };
        std::panic::set_hook(Box::new(log_panic));
        syslog.follow(general);
        Ok(Self {
            output,
            is_to_file,
            syslog,
            limiter,
            set_level,
            is_finished: AtomicBool::new(false),
        })
    }

    /// Opens the log file anew, which somebody may have moved away, and logs as
    /// the settings and flags say now. Blocks.
    pub fn renew(&self, general: &General, cli: &Cli) {
        if let Some(path) = general.logfile.as_deref().filter(|_| self.is_to_file) {
            match opened(path) {
                Ok(file) => self.output.go_on_with(file),
                Err(error) => tracing::warn!("cannot open {} again: {error}", path.display()),
            }
        }
        self.follow(general, cli);
    }

    /// Logs as the settings and flags say now.
    pub fn follow(&self, general: &General, cli: &Cli) {
        self.output.mute(!self.is_to_file && cli.is_mute(general));
        self.limiter.allow(general.log_rate_limit);
        self.syslog.follow(general);
        (self.set_level)(cli.log_level(general));
    }

    /// Lines that came to nothing.
    pub fn counts(&self) -> LogCounts {
        LogCounts {
            dropped: self.output.lost(),
            syslog_dropped: self.syslog.lost(),
            suppressed: self.limiter.suppressed(),
        }
    }

    /// Waits a moment for lines that are on their way. Blocks.
    pub fn finish(&self) {
        if self.is_finished.swap(true, Ordering::AcqRel) {
            return;
        }
        self.limiter.tell_all();
        self.syslog.finish(LAST_WAIT);
        self.output.finish(LAST_WAIT);
    }
}

impl Drop for Logging {
    /// Whatever ends the process, what it said last is heard.
    fn drop(&mut self) {
        self.finish();
    }
}

fn opened(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// A panic ends one task; the standard library's own words would wait for stderr.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let payload = panic.payload();
    let said = payload.downcast_ref::<&str>().copied();
    let said = said.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let thread = thread::current().name().map(str::to_owned);
    let place = panic.location().map(ToString::to_string);
    let trace = Backtrace::capture();
    let trace = (trace.status() == BacktraceStatus::Captured).then(|| trace.to_string());
    tracing::error!(
        thread,
        backtrace = trace,
        "panicked at {}: {}",
        place.unwrap_or_default(),
        said.unwrap_or_default()
    );
}

/// Says on stderr what keeps the pooler from running, whatever the logging. Waits a
/// moment for who reads it, and no longer.
pub(super) fn complain(message: &str) {
    let line = format!("{}\n", message.trim_end());
    let (done, is_done) = sync_channel(1);
    let _ = thread::Builder::new().spawn(move || {
        let _ = io::stderr().write_all(line.as_bytes());
        let _ = done.send(());
    });
    let _ = is_done.recv_timeout(LAST_WAIT);
}
