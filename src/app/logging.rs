//! Logs to stderr or a file, and to the system's log.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::RwLock;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::cli::Cli;
use super::syslog::Syslog;
use crate::config::{General, LogFormat, LogLevel, Word};

/// Changes what is logged while the process runs.
pub(super) struct Logging {
    output: Output,
    syslog: Syslog,
    set_level: Box<dyn Fn(LogLevel) + Send + Sync>,
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
        let output = match &general.logfile {
            Some(path) => Output::File(LogFile::open(path)?),
            None => Output::Stderr(Arc::new(AtomicBool::new(cli.is_mute(general)))),
        };
        let syslog = Syslog::default();
        let level = cli.log_level(general);
        let builder = tracing_subscriber::fmt()
            .with_env_filter(EnvFilter::new(level.as_str()))
            .with_target(false)
            .with_ansi(false)
            .with_writer(output.clone());
        let set_level: Box<dyn Fn(LogLevel) + Send + Sync> = match general.log_format {
            LogFormat::Text => {
                let builder = builder.with_filter_reloading();
                let handle = builder.reload_handle();
                builder.finish().with(syslog.clone()).init();
                Box::new(move |level| drop(handle.reload(EnvFilter::new(level.as_str()))))
            }
            LogFormat::Json => {
                let builder = builder.json().with_filter_reloading();
                let handle = builder.reload_handle();
                builder.finish().with(syslog.clone()).init();
                Box::new(move |level| drop(handle.reload(EnvFilter::new(level.as_str()))))
            }
        };
        syslog.follow(general);
        Ok(Self {
            output,
            syslog,
            set_level,
        })
    }

    /// Opens the log file anew, which somebody may have moved away, and logs as
    /// the settings and flags say now.
    pub fn renew(&self, general: &General, cli: &Cli) {
        match (&self.output, &general.logfile) {
            (Output::File(file), Some(path)) => {
                if let Err(error) = file.reopen(path) {
                    tracing::warn!("cannot open {} again: {error}", path.display());
                }
            }
            (Output::File(_), None) => {}
            (Output::Stderr(is_mute), _) => is_mute.store(cli.is_mute(general), Ordering::Relaxed),
        }
        self.syslog.follow(general);
        (self.set_level)(cli.log_level(general));
    }

    /// Waits a moment for lines that are on their way. Blocks.
    pub fn finish(&self) {
        self.syslog.finish();
    }
}

/// Where lines go besides the system's log.
#[derive(Clone)]
enum Output {
    File(LogFile),
    /// Nowhere while that is so.
    Stderr(Arc<AtomicBool>),
}

impl<'a> MakeWriter<'a> for Output {
    type Writer = Box<dyn Write>;

    fn make_writer(&'a self) -> Box<dyn Write> {
        match self {
            Output::File(file) => Box::new(file.line()),
            Output::Stderr(is_mute) if is_mute.load(Ordering::Relaxed) => Box::new(io::sink()),
            Output::Stderr(_) => Box::new(io::stderr()),
        }
    }
}

/// A file that can be opened anew.
#[derive(Clone)]
struct LogFile(Arc<RwLock<Arc<File>>>);

impl LogFile {
    fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(Arc::new(RwLock::new(Arc::new(opened(path)?)))))
    }

    fn reopen(&self, path: &Path) -> io::Result<()> {
        *self.0.write() = Arc::new(opened(path)?);
        Ok(())
    }

    fn line(&self) -> Line {
        Line(Arc::clone(&self.0.read()))
    }
}

fn opened(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// One line of the log: the system keeps lines apart that are appended.
struct Line(Arc<File>);

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*self.0).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
