//! Reading the configuration again.

use std::sync::Arc;

use parking_lot::Mutex;

use super::cli::{Cli, Origin};
use super::logging::Logging;
use super::watch::Files;
use crate::config::{General, waits_for_a_start};
use crate::proxy::House;
use crate::telemetry::LogCounts;

/// What it takes to do that.
#[derive(Debug)]
pub(super) struct Reloader {
    origin: Origin,
    cli: Cli,
    logging: Logging,
    /// As they were read last, rightly or in vain.
    files: Mutex<Arc<Files>>,
}

impl Reloader {
    /// `files` are those that were read first.
    pub fn new(origin: Origin, cli: Cli, logging: Logging, files: Files) -> Self {
        Self {
            origin,
            cli,
            logging,
            files: Mutex::new(Arc::new(files)),
        }
    }

    /// The files that were read last, as they were then.
    pub fn files(&self) -> Arc<Files> {
        Arc::clone(&self.files.lock())
    }

    /// Logs as the settings say now.
    pub fn log_as(&self, general: &General) {
        self.logging.follow(general, &self.cli);
    }

    /// Lines of the log that came to nothing.
    pub fn log_counts(&self) -> LogCounts {
        self.logging.counts()
    }

    /// Waits a moment for lines of the log that are on their way. Blocks.
    pub fn finish_log(&self) {
        self.logging.finish();
    }

    /// All that can change while the process runs does, or nothing. Blocks.
    ///
    /// # Errors
    /// Every mistake in the files.
    pub fn reload(&self, house: &House) -> Result<(), Vec<String>> {
        let files = Files::default();
        let reloaded = self.reload_noting(house, &files);
        if reloaded.is_err() {
            // Where reading ended early, those of before may help.
            files.note_all(&self.files());
        }
        *self.files.lock() = Arc::new(files);
        reloaded
    }

    fn reload_noting(&self, house: &House, files: &Files) -> Result<(), Vec<String>> {
        let loaded = self.origin.load_noting(files).map_err(|mistakes| {
            let lines = mistakes.lines();
            lines.map(str::to_owned).collect::<Vec<_>>()
        })?;
        let before = house.config();
        house.adopt(loaded.config)?;
        let now = house.config();
        self.logging.renew(&now.general, &self.cli);
        for key in waits_for_a_start(&before.general, &now.general) {
            tracing::warn!("{key} has changed: it holds from the next start on");
        }
        if let Some(warning) = loaded.warning {
            tracing::warn!("{warning}");
        }
        Ok(())
    }
}
