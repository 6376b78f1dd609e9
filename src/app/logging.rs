//! Logs to stderr or a file.

use std::fs::OpenOptions;
use std::io;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

use crate::config::{General, LogFormat, LogLevel, Word};

/// Starts logging.
///
/// # Errors
/// When the log file cannot be opened.
pub(super) fn start(general: &General, level: LogLevel) -> io::Result<()> {
    let writer = match &general.logfile {
        Some(path) => {
            let file = OpenOptions::new().create(true).append(true).open(path)?;
            BoxMakeWriter::new(std::sync::Mutex::new(file))
        }
        None => BoxMakeWriter::new(io::stderr),
    };
    let filter = EnvFilter::new(level.as_str());
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        .with_ansi(false)
        .with_writer(writer);
    match general.log_format {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().init(),
    }
    Ok(())
}
