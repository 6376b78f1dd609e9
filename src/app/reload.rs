//! Reading the configuration again.

use super::cli::{Cli, Origin};
use super::logging::Logging;
use crate::config::{General, waits_for_a_start};
use crate::proxy::House;

/// What it takes to do that.
#[derive(Debug)]
pub(super) struct Reloader {
    origin: Origin,
    cli: Cli,
    logging: Logging,
}

impl Reloader {
    pub fn new(origin: Origin, cli: Cli, logging: Logging) -> Self {
        Self {
            origin,
            cli,
            logging,
        }
    }

    /// Logs as the settings say now.
    pub fn log_as(&self, general: &General) {
        self.logging.renew(general, &self.cli);
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
        let loaded = self.origin.load().map_err(|mistakes| {
            let lines = mistakes.lines();
            lines.map(str::to_owned).collect::<Vec<_>>()
        })?;
        let before = house.config();
        house.adopt(loaded.config)?;
        let now = house.config();
        self.log_as(&now.general);
        for key in waits_for_a_start(&before.general, &now.general) {
            tracing::warn!("{key} has changed: it holds from the next start on");
        }
        if let Some(warning) = loaded.warning {
            tracing::warn!("{warning}");
        }
        Ok(())
    }
}
