//! Noticing that the files of the configuration have changed, where the
//! configuration asks for that.
//!
//! They are looked at every second: there is no event for all that may happen to
//! a file, and its links, on every file system.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{MissedTickBehavior, interval};

use super::conductor::read_again;
use super::reload::Reloader;
use crate::proxy::House;

/// How often files are looked at.
const TICK: Duration = Duration::from_secs(1);

/// What a path leads to, through all links: which file, how long it is, and when
/// it was written and changed. None: to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp(Option<(u64, u64, u64, [i64; 4])>);

impl Stamp {
    fn of(path: &Path) -> Self {
        let about = fs::metadata(path).ok();
        Self(about.map(|about| {
            let written = [about.mtime(), about.mtime_nsec()];
            let changed = [about.ctime(), about.ctime_nsec()];
            let [[a, b], [c, d]] = [written, changed];
            (about.dev(), about.ino(), about.size(), [a, b, c, d])
        }))
    }
}

/// Files, as they were just before they were read.
#[derive(Debug, Default)]
pub(super) struct Files(Mutex<BTreeMap<PathBuf, Stamp>>);

impl Files {
    /// This one is about to be read.
    pub fn note(&self, path: &Path) {
        let mut files = self.0.lock();
        if !files.contains_key(path) {
            files.insert(path.to_owned(), Stamp::of(path));
        }
    }

    /// So are those of another time.
    pub fn note_all(&self, others: &Self) {
        let others: Vec<PathBuf> = others.0.lock().keys().cloned().collect();
        others.iter().for_each(|path| self.note(path));
    }

    /// The same files as they are now.
    pub fn now(&self) -> Self {
        let now = Self::default();
        now.note_all(self);
        now
    }

    fn is_like(&self, other: &Self) -> bool {
        // Not both at once: somebody else may want the other first.
        let own = self.0.lock().clone();
        own == *other.0.lock()
    }
}

/// Decides when to read files again: when they have changed, and stand still.
#[derive(Debug, Default)]
struct Watch {
    seen: Option<Files>,
}

impl Watch {
    /// Files that were like this when they were read are like that now.
    fn is_time(&mut self, read: &Files, now: Files) -> bool {
        let before = self.seen.take();
        let stand_still = before.is_some_and(|before| before.is_like(&now));
        let is_time = stand_still && !read.is_like(&now);
        self.seen = Some(now);
        is_time
    }
}

/// Reads the configuration again whenever its files have changed.
pub(super) async fn follow_files(house: Arc<House>, reloader: Arc<Reloader>) {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut watch = Watch::default();
    loop {
        ticks.tick().await;
        if !house.config().general.reload_on_change {
            watch = Watch::default();
            continue;
        }
        let files = reloader.files();
        let looked_at = Arc::clone(&files);
        let now = tokio::task::spawn_blocking(move || looked_at.now()).await;
        let Ok(now) = now else { continue };
        if !watch.is_time(&files, now) {
            continue;
        }
        match read_again(Arc::clone(&house), Arc::clone(&reloader)).await {
            Ok(()) => tracing::info!("files have changed: the configuration was read again"),
            Err(mistakes) => {
                for mistake in mistakes {
                    tracing::error!("files have changed, but all stays as it was: {mistake}");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::symlink;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// A folder that ends with the value.
    struct Folder(PathBuf);

    impl Folder {
        fn new() -> Self {
            static NEXT: AtomicU64 = AtomicU64::new(0);
            let name = format!(
                "pgweave-watch-{}-{}",
                std::process::id(),
                NEXT.fetch_add(1, Ordering::Relaxed)
            );
            let path = std::env::temp_dir().join(name);
            fs::create_dir(&path).unwrap();
            Self(path)
        }

        fn put(&self, name: &str, text: &str) -> PathBuf {
            let path = self.0.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            path
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn files(path: &Path) -> Files {
        let files = Files::default();
        files.note(path);
        files
    }

    #[test]
    fn a_file_that_changes_is_read_when_it_stands_still() {
        let folder = Folder::new();
        let path = folder.put("a", "1");
        let read = files(&path);
        let mut watch = Watch::default();
        let mut look = |read: &Files| watch.is_time(read, read.now());
        assert_eq!([look(&read), look(&read)], [false, false]);
        folder.put("a", "12");
        assert!(!look(&read));
        folder.put("a", "123");
        assert_eq!([look(&read), look(&read)], [false, true]);
        // Whatever came of that, it is told once.
        let read = files(&path);
        assert_eq!([look(&read), look(&read)], [false, false]);
    }

    #[test]
    fn what_changes_while_it_is_read_is_read_again() {
        let folder = Folder::new();
        let path = folder.put("a", "1");
        let read = files(&path);
        folder.put("a", "2, which is longer");
        let mut watch = Watch::default();
        let mut look = |read: &Files| watch.is_time(read, read.now());
        assert_eq!([look(&read), look(&read)], [false, true]);
    }

    #[test]
    fn a_file_may_go_and_come_and_be_replaced() {
        let folder = Folder::new();
        let path = folder.put("a", "1");
        let there = files(&path);
        fs::remove_file(&path).unwrap();
        let gone = there.now();
        assert!(!there.is_like(&gone));
        let new = folder.put("b", "1");
        fs::rename(&new, &path).unwrap();
        assert!(!gone.now().is_like(&gone));
        assert!(!there.now().is_like(&there), "it is another file");
    }

    #[test]
    fn a_link_that_leads_elsewhere_is_a_change() {
        // As Kubernetes mounts a ConfigMap.
        let folder = Folder::new();
        folder.put("..1/pgweave.toml", "same");
        folder.put("..2/pgweave.toml", "same");
        let (data, config) = (folder.0.join("..data"), folder.0.join("pgweave.toml"));
        symlink("..1", &data).unwrap();
        symlink("..data/pgweave.toml", &config).unwrap();
        let read = files(&config);
        assert!(read.now().is_like(&read));
        let next = folder.0.join("..data_tmp");
        symlink("..2", &next).unwrap();
        fs::rename(&next, &data).unwrap();
        assert!(!read.now().is_like(&read));
    }
}
