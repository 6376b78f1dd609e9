//! Reading the configuration again.

use super::cli::{Cli, Origin};
use super::logging::Logging;
use crate::config::General;
use crate::proxy::House;

/// What it takes to do that.
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
        let level = self.cli.log_level(now.general.log_level);
        self.logging.renew(&now.general, level);
        for key in started_with(&before.general, &now.general) {
            tracing::warn!("{key} has changed: it holds from the next start on");
        }
        if let Some(warning) = loaded.warning {
            tracing::warn!("{warning}");
        }
        Ok(())
    }
}

/// Settings that a process starts with, where they have changed.
fn started_with(before: &General, now: &General) -> Vec<&'static str> {
    let changed = [
        ("listen_addr", before.listen_addr != now.listen_addr),
        ("listen_port", before.listen_port != now.listen_port),
        (
            "listen_backlog",
            before.listen_backlog != now.listen_backlog,
        ),
        (
            "unix_socket_dir",
            before.unix_socket_dir != now.unix_socket_dir,
        ),
        (
            "unix_socket_mode",
            before.unix_socket_mode != now.unix_socket_mode,
        ),
        (
            "unix_socket_group",
            before.unix_socket_group != now.unix_socket_group,
        ),
        ("pidfile", before.pidfile != now.pidfile),
        ("workers", before.workers != now.workers),
        ("log_format", before.log_format != now.log_format),
        (
            "scram_iterations",
            before.scram_iterations != now.scram_iterations,
        ),
    ];
    let changed = changed.into_iter().filter(|(_, changed)| *changed);
    changed.map(|(key, _)| key).collect()
}
