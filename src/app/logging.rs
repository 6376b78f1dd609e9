//! Logs to stderr or a file.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use parking_lot::RwLock;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

use crate::config::{General, LogFormat, LogLevel, Word};

/// Changes what is logged while the process runs.
pub(super) struct Logging {
    file: Option<LogFile>,
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
    pub fn start(general: &General, level: LogLevel) -> io::Result<Self> {
        let file = match &general.logfile {
            Some(path) => Some(LogFile::open(path)?),
            None => None,
        };
        let writer = match &file {
            Some(file) => BoxMakeWriter::new(file.clone()),
            None => BoxMakeWriter::new(io::stderr),
        };
        let builder = tracing_subscriber::fmt()
            .with_env_filter(EnvFilter::new(level.as_str()))
            .with_target(false)
            .with_ansi(false)
            .with_writer(writer);
        let set_level: Box<dyn Fn(LogLevel) + Send + Sync> = match general.log_format {
            LogFormat::Text => {
                let builder = builder.with_filter_reloading();
                let handle = builder.reload_handle();
                builder.init();
                Box::new(move |level| drop(handle.reload(EnvFilter::new(level.as_str()))))
            }
            LogFormat::Json => {
                let builder = builder.json().with_filter_reloading();
                let handle = builder.reload_handle();
                builder.init();
                Box::new(move |level| drop(handle.reload(EnvFilter::new(level.as_str()))))
            }
        };
        Ok(Self { file, set_level })
    }

    /// Opens the log file anew, which somebody may have moved away, and logs from
    /// this level on.
    pub fn renew(&self, general: &General, level: LogLevel) {
        if let (Some(file), Some(path)) = (&self.file, &general.logfile)
            && let Err(error) = file.reopen(path)
        {
            tracing::warn!("cannot open {} again: {error}", path.display());
        }
        (self.set_level)(level);
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

impl<'a> MakeWriter<'a> for LogFile {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line(Arc::clone(&self.0.read()))
    }
}
