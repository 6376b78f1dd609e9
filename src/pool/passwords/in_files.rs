//! Passwords for servers that stand in files which others write anew
//! (`password_file`).

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use zeroize::Zeroizing;

/// Longest password that is read, in bytes.
const MAX: usize = 64 * 1024;

/// A password as a file holds it.
type Text = Arc<Zeroizing<String>>;

/// What was read last, by file. Clones share it.
#[derive(Clone, Default)]
pub struct InFiles(Arc<Mutex<HashMap<Arc<Path>, Text>>>);

impl std::fmt::Debug for InFiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("InFiles(..)")
    }
}

impl InFiles {
    /// The password in the file; where there is none now, the one that was there
    /// last, if it has been read here. Blocks for the file.
    pub fn read(&self, file: &Arc<Path>) -> Option<Text> {
        match password_in(file) {
            Ok(password) => {
                let password = Arc::new(password);
                self.0
                    .lock()
                    .insert(Arc::clone(file), Arc::clone(&password));
                Some(password)
            }
            Err(error) => {
                tracing::warn!(file = %file.display(), "cannot read the password again: {error}");
                self.0.lock().get(file).cloned()
            }
        }
    }
}

fn password_in(path: &Path) -> io::Result<Zeroizing<String>> {
    // What is no file, a pipe for instance, could keep us waiting.
    let about = std::fs::metadata(path)?;
    if !about.is_file() || about.len() > MAX as u64 {
        return Err(io::Error::other("it is no file, or too large"));
    }
    let mut text = Zeroizing::new(String::with_capacity(2 * MAX));
    File::open(path)?
        .take(MAX as u64)
        .read_to_string(&mut text)?;
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err(io::Error::other("it is empty")),
        password => Ok(Zeroizing::new(password.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_file_that_is_not_there_for_a_moment_held_what_it_held_last() {
        let name = format!("pgweave-in-files-{}", std::process::id());
        let path: Arc<Path> = std::env::temp_dir().join(name).into();
        let files = InFiles::default();
        let read = || files.read(&path).map(|text| text.as_str().to_owned());
        assert_eq!(read(), None);
        for (written, expected) in [
            ("first\n", "first"),
            ("second\r\n", "second"),
            ("", "second"),
            ("\n", "second"),
            (" third ", " third "),
        ] {
            std::fs::write(&path, written).unwrap();
            assert_eq!(read().as_deref(), Some(expected), "{written:?}");
        }
        std::fs::write(&path, "x".repeat(100_000)).unwrap();
        assert_eq!(read().as_deref(), Some(" third "));
        std::fs::remove_file(&path).unwrap();
        nix::unistd::mkfifo(&*path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(read().as_deref(), Some(" third "));
        std::fs::remove_file(&path).unwrap();
        assert_eq!(read().as_deref(), Some(" third "));
    }
}
