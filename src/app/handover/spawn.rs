//! The old process starts the new one itself: `RESTART`.

use std::env;
use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::process::Command;

/// The flag that says to take over.
const FLAG: &str = "--reboot";

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
        Self {
            path: env::current_exe(),
            is_starting: Arc::default(),
        }
    }

    /// Starts it with the arguments of this process, and to take over from it. Its end,
    /// should it come before that of this process, is logged.
    ///
    /// # Errors
    /// Why not, in words.
    pub fn start(&self) -> Result<(), String> {
        let path = self.path.as_ref().map_err(ToString::to_string)?;
        if self.is_starting.swap(true, Ordering::AcqRel) {
            return Err("a new process is at work already".to_owned());
        }
        let mut command = Command::new(path);
        let arguments = env::args_os().skip(1);
        command.args(arguments.filter(|argument| argument != FLAG && argument != "-R"));
        command.arg(FLAG).stdin(Stdio::null());
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
