//! The keys of the issuer whose tokens are taken (`auth_oauth_jwks_file`): read
//! again when the file has changed.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;

use crate::auth::oauth::{Keys, Wanted};
use crate::config::General;

/// The file is not looked at more often.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The keys, and what tokens must say.
pub(crate) type Trusted = Arc<(Keys, Wanted)>;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Issuer(Mutex<Known>);

/// Which file it is, and how far it is written: the time alone may be the same for
/// two writes that follow each other.
#[derive(Debug, PartialEq, Eq)]
struct State {
    file: u64,
    bytes: u64,
    changed: Option<SystemTime>,
}

#[derive(Debug, Default)]
struct Known {
    looked: Option<Instant>,
    seen: Option<State>,
    trusted: Option<Trusted>,
}

/// Reads the file.
pub(super) fn keys(path: &Path) -> Result<Keys, String> {
    let text = super::files::text(path).map_err(|error| format!("cannot read it: {error}"))?;
    Keys::read(&text)
}

fn wanted(general: &General) -> Wanted {
    let text = |setting: &Option<String>| setting.clone().unwrap_or_default();
    Wanted {
        issuer: text(&general.auth_oauth_issuer),
        audience: text(&general.auth_oauth_audience),
        scope: text(&general.auth_oauth_scope),
        user_claim: general.auth_oauth_user_claim.clone(),
    }
}

impl Issuer {
    /// What is trusted now; none where the keys have never been read. Blocks for
    /// the file.
    pub fn trusted(&self, general: &General) -> Option<Trusted> {
        let mut known = self.0.lock();
        let is_due = known.looked.is_none_or(|at| at.elapsed() >= LOOK_EVERY);
        if let Some(path) = general.auth_oauth_jwks_file.as_ref().filter(|_| is_due) {
            known.looked = Some(Instant::now());
            known.look(path, general);
        }
        known.trusted.clone()
    }

    /// The configuration may be another.
    pub fn forget(&self) {
        *self.0.lock() = Known::default();
    }
}

impl State {
    fn of(about: &fs::Metadata) -> Self {
        Self {
            file: about.ino(),
            bytes: about.len(),
            changed: about.modified().ok(),
        }
    }
}

impl Known {
    fn look(&mut self, path: &Path, general: &General) {
        let seen = fs::metadata(path).ok().map(|about| State::of(&about));
        if self.trusted.is_some() && seen == self.seen {
            return;
        }
        self.seen = seen;
        match keys(path) {
            Ok(keys) => self.trusted = Some(Arc::new((keys, wanted(general)))),
            Err(what) => {
                let file = path.display();
                tracing::warn!("auth_oauth_jwks_file {file} {what}; the keys stay as they were");
            }
        }
    }
}
