//! The old process starts the new one itself: `RESTART`.

use std::env;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::process::Command;

/// Tells the new process where to find the old one, which it must.
pub(in crate::app) const FROM: &str = "_PGWEAVE_TAKES_OVER";

/// What the new process is not to take for its own: the system's orders to this one.
const NOT_ITS_OWN: [&str; 4] = ["WATCHDOG_PID", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"];

/// Knows by which path the program was started: another version may stand there by now.
#[derive(Debug)]
pub(in crate::app) struct Program {
    path: io::Result<PathBuf>,
    is_starting: Arc<AtomicBool>,
}

impl Program {
    /// Of this process; to be called early.
    pub fn of_this() -> Self {
        // As it was said, so that what a link leads to may be another by then.
        let said = env::args_os().next().map(PathBuf::from);
        let said = said.filter(|said| said.components().count() > 1);
        Self {
            path: said.map_or_else(env::current_exe, std::path::absolute),
            is_starting: Arc::default(),
        }
    }

    /// Starts it with the arguments of this process, and to take over from it at this
    /// place. Its end, should it come before that of this process, is logged.
    ///
    /// # Errors
    /// Why not, in words.
    pub fn start(&self, place: &Path) -> Result<(), String> {
        let path = self.path.as_ref().map_err(ToString::to_string)?;
        if self.is_starting.swap(true, Ordering::AcqRel) {
            return Err("a new process is at work already".to_owned());
        }
        let mut command = Command::new(path);
        command.args(env::args_os().skip(1));
        command.env(FROM, place).stdin(Stdio::null());
        NOT_ITS_OWN.iter().for_each(|name| {
            command.env_remove(name);
        });
        let is_starting = Arc::clone(&self.is_starting);
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) => {
                is_starting.store(false, Ordering::Release);
                return Err(format!("cannot start {}: {error}", path.display()));
            }
        };
        tracing::info!(pid = child.id(), "a new process starts, to take over");
        tokio::spawn(async move {
            if let Ok(status) = child.wait().await {
                tracing::error!(%status, "the new process has ended: this one goes on");
            }
            is_starting.store(false, Ordering::Release);
        });
        Ok(())
    }
}
