//! Which process this is, and as whom it runs.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::{User, getuid, setgid, setuid};

/// The file with this process's number, removed on drop.
#[derive(Debug)]
pub(super) struct PidFile(PathBuf);

impl PidFile {
    /// Writes it; one that a dead process left is replaced, and that of the process
    /// `before`, which this one takes over from.
    pub fn write(path: &Path, before: Option<i32>) -> Result<Self, String> {
        let told = |what: String| format!("pgweave: pidfile {}: {what}", path.display());
        match fs::read_to_string(path) {
            Ok(text) => match text.trim().parse::<u32>() {
                Ok(pid) if !is_ours(pid, before) && is_alive(pid) => {
                    return Err(told(format!("process {pid} is at work already")));
                }
                Ok(_) => fs::remove_file(path).map_err(|error| told(error.to_string()))?,
                Err(_) => return Err(told("it holds something else than a number".to_owned())),
            },
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(told(error.to_string())),
        }
        let file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(path);
        file.and_then(|mut file| writeln!(file, "{}", std::process::id()))
            .map_err(|error| told(error.to_string()))?;
        Ok(Self(path.to_owned()))
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // It may be the next process's by now.
        let own = std::process::id().to_string();
        if fs::read_to_string(&self.0).is_ok_and(|text| text.trim() == own) {
            let _ = fs::remove_file(&self.0);
        }
    }
}

/// Is it the number of this process, or of the one before?
fn is_ours(pid: u32, before: Option<i32>) -> bool {
    pid == std::process::id() || before.is_some_and(|before| u32::try_from(before) == Ok(pid))
}

/// Is there such a process? Asked without a word to it.
fn is_alive(pid: u32) -> bool {
    let pid = i32::try_from(pid).unwrap_or(i32::MAX);
    !matches!(
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), None),
        Err(nix::errno::Errno::ESRCH)
    )
}

/// The number of a user.
pub(super) fn number_of(name: &str) -> Option<u32> {
    let user = User::from_name(name).ok().flatten();
    user.map(|user| user.uid.as_raw())
}

/// As many files may be open as the system allows: each client and each server connection
/// is one.
pub(super) fn open_files() {
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard
    {
        // Where even that is refused, it stays as it was.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

/// Gives root's rights up for a user's. Files and sockets that are open stay.
pub(super) fn become_user(name: &str) -> Result<(), String> {
    let told = |what: &str| format!("pgweave: cannot run as {name:?}: {what}");
    let user = User::from_name(name).map_err(|error| told(error.desc()))?;
    let user = user.ok_or_else(|| told("there is no such user"))?;
    if getuid() == user.uid {
        return Ok(());
    }
    if !getuid().is_root() {
        return Err(told("only root may become somebody else"));
    }
    let c_name = std::ffi::CString::new(name).map_err(|_| told("that is no name"))?;
    #[cfg(not(target_os = "macos"))]
    nix::unistd::initgroups(&c_name, user.gid).map_err(|error| told(error.desc()))?;
    #[cfg(target_os = "macos")]
    drop(c_name);
    setgid(user.gid).map_err(|error| told(error.desc()))?;
    setuid(user.uid).map_err(|error| told(error.desc()))
}
