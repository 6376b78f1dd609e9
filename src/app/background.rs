//! `-d`: pgweave at work in the background.
//!
//! No fork, which a program with threads cannot do: the program is started again,
//! as the leader of a session of its own, and waited for until it listens. So what
//! keeps it from starting is told where it was started, and when the command is over
//! clients can come.

use std::env;
use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::process::{Command, Stdio};

use nix::unistd::{dup2_stderr, dup2_stdout, setsid};

use crate::config::General;

/// The flag that says to be that other process.
pub(super) const FLAG: &str = "--in-background";

/// Starts it, and waits until it listens or has ended.
///
/// # Errors
/// It would log to nobody, or has not come to listen; why it has said itself.
pub(super) fn start(general: &General) -> Result<(), String> {
    if general.logfile.is_none() && !general.syslog {
        return Err("pgweave: -d needs logfile or syslog: nobody would see the log".to_owned());
    }
    let failed = |error: io::Error| format!("pgweave: cannot go to the background: {error}");
    let mut child = Command::new(env::current_exe().map_err(failed)?)
        .args(env::args_os().skip(1))
        .arg(FLAG)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let mut said = Vec::new();
    if let Some(mut stdout) = child.stdout.take() {
        stdout.read_to_end(&mut said).map_err(failed)?;
    }
    match said.is_empty() {
        true => Err("pgweave: it did not start".to_owned()),
        false => Ok(()),
    }
}

/// Leaves the terminal, whose end would be a SIGHUP.
///
/// # Errors
/// The system's own.
pub(super) fn leave_terminal() -> Result<(), String> {
    let left = setsid().map(drop);
    left.map_err(|error| format!("pgweave: cannot go to the background: {error}"))
}

/// It listens: whoever has started it may go, and hears nothing more.
pub(super) fn is_ready() -> io::Result<()> {
    let mut stdout = io::stdout();
    stdout.write_all(b"\n")?;
    stdout.flush()?;
    let nowhere = OpenOptions::new().write(true).open("/dev/null")?;
    dup2_stderr(&nowhere)?;
    dup2_stdout(&nowhere)?;
    Ok(())
}
