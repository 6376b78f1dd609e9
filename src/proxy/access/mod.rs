//! Who may log in: what files and servers say of users, and who has failed too
//! often.

mod desk;
mod desks;
mod errand;
mod files;
#[cfg(feature = "oauth")]
mod issuer;
mod throttle;
mod verified;

use std::collections::{BTreeSet, HashSet};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::{Mutex, RwLock};

use crate::auth::hba::Rules;
use crate::auth::ident::Maps;
use crate::config::{Config, General, Mistake, Secret, SecretForm};
use crate::net::Names;
use crate::pool::Directory;
use crate::wire::PgError;
pub(in crate::proxy) use desk::{Said, for_anybody, said_in};
use desks::Desks;
pub(in crate::proxy) use errand::{Errand, USUAL, errand};
use files::Lists;
use throttle::Throttle;
use verified::Verified;

/// See the module.
#[derive(Debug, Default)]
pub struct Access {
    lists: RwLock<Arc<Lists>>,
    throttle: Mutex<Throttle>,
    desks: Desks,
    #[cfg(feature = "oauth")]
    issuer: Arc<issuer::Issuer>,
    /// Whom servers have let in.
    pub(super) verified: Verified,
}

/// Files that have been read, and do not hold yet.
pub(super) struct Read(Lists);

/// What is wrong in the files that say who may log in.
#[must_use]
pub fn mistakes(general: &General) -> Vec<Mistake> {
    Lists::read(general).err().unwrap_or_default()
}

/// Tells each file that says who may log in, those that others include as well,
/// before it is read. `auth_oauth_jwks_file` is not among them: its keys are always
/// followed.
pub fn files_of(general: &General, note: &dyn Fn(&Path)) {
    Lists::files(general, note);
}

impl Access {
    /// Reads all files that the configuration names.
    ///
    /// # Errors
    /// What is wrong with them, all at once.
    pub fn load(config: &Config) -> Result<Self, Vec<Mistake>> {
        Ok(Self {
            lists: RwLock::new(Arc::new(Lists::read(&config.general)?)),
            ..Self::default()
        })
    }

    /// Reads all files that another configuration names.
    ///
    /// # Errors
    /// What is wrong with them.
    pub(super) fn read(&self, config: &Config) -> Result<Read, Vec<Mistake>> {
        Lists::read(&config.general).map(Read)
    }

    /// From now on they hold, and what servers have said is forgotten.
    pub(super) fn adopt(&self, Read(lists): Read) {
        *self.lists.write() = Arc::new(lists);
        self.forget();
    }

    /// Forgets what servers have said.
    pub(super) fn forget(&self) {
        self.desks.forget();
        #[cfg(feature = "oauth")]
        self.issuer.forget();
        self.verified.forget();
    }

    /// About once a second: closes connections that nobody asks by, and forgets
    /// answers of long ago.
    pub fn keep(&self, config: &Config) {
        let now = Instant::now();
        self.desks.keep(now, config.general.server_idle_timeout);
        self.verified.keep(now);
    }

    /// Closes connections to addresses that their names have lost.
    pub(super) fn leave_lost_addresses(&self, names: &Names) {
        self.desks.leave_lost_addresses(names);
    }

    /// Are secrets of known users SCRAM verifiers, as far as can be told?
    #[must_use]
    pub(super) fn knows_verifiers(&self, config: &Config) -> bool {
        let is_verifier = |secret: &Secret| secret.form() == SecretForm::Scram;
        let in_sections = config
            .users
            .values()
            .filter_map(|user| user.password.as_ref());
        config.general.auth_user.is_some()
            || in_sections
                .chain(self.lists.read().users.values())
                .any(is_verifier)
    }

    /// All users that sections or files name.
    pub(super) fn known(&self, config: &Config) -> BTreeSet<String> {
        let lists = self.lists.read();
        config
            .users
            .keys()
            .chain(lists.users.keys())
            .cloned()
            .collect()
    }

    /// A user's secret, if it is listed.
    #[must_use]
    pub(super) fn listed(&self, config: &Config, user: &str) -> Option<Secret> {
        let in_section = config
            .users
            .get(user)
            .and_then(|user| user.password.clone());
        in_section.or_else(|| self.lists.read().users.get(user).cloned())
    }

    /// What is known of a user, wherever it stands: the server is asked for those
    /// who are not listed.
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub(super) async fn said(
        &self,
        config: &Config,
        directory: &Directory,
        database: &str,
        user: &str,
    ) -> Result<Said, PgError> {
        if let Some(secret) = self.listed(config, user) {
            return Ok(Said::Secret(secret));
        }
        let password_of = |name: &str| self.listed(config, name);
        self.desks
            .find(config, directory, &password_of, database, user)
            .await
    }

    /// What roles a user is a member of; none where the server is not to be asked.
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub(super) async fn roles(
        &self,
        config: &Config,
        directory: &Directory,
        database: &str,
        user: &str,
    ) -> Result<Option<HashSet<String>>, PgError> {
        let password_of = |name: &str| self.listed(config, name);
        self.desks
            .roles(config, directory, &password_of, database, user)
            .await
    }

    /// What finds out which keys are trusted; it blocks for a file.
    #[cfg(feature = "oauth")]
    pub(super) fn issuer(
        &self,
        general: &General,
    ) -> impl FnOnce() -> Option<issuer::Trusted> + Send + use<> {
        let (issuer, general) = (Arc::clone(&self.issuer), general.clone());
        move || issuer.trusted(&general)
    }

    /// What was learned of a user's secret is in doubt: a login has failed.
    pub(super) fn doubt(&self, user: &str) {
        self.desks.doubt(user);
    }

    /// What the rules are, if there are any, and the maps.
    pub(super) fn rules<R>(&self, look: impl FnOnce(Option<&Rules>, &Maps) -> R) -> R {
        let lists = Arc::clone(&self.lists.read());
        look(lists.rules.as_ref(), &lists.maps)
    }

    /// May this user try to log in from there? From a Unix socket always.
    #[must_use]
    pub(super) fn admits(&self, config: &Config, from: Option<IpAddr>, user: &str) -> bool {
        let per_minute = config.general.auth_failures_per_minute;
        let admits = |from| {
            let throttle = self.throttle.lock();
            throttle.admits(from, user, per_minute, Instant::now())
        };
        from.is_none_or(admits)
    }

    /// What was counted as a failure beforehand was none.
    pub(super) fn was_no_failure(&self, from: Option<IpAddr>, user: &str) {
        if let Some(from) = from {
            self.throttle.lock().was_none(from, user);
        }
    }

    /// A login has come to its end.
    pub(super) fn judged(&self, config: &Config, from: Option<IpAddr>, user: &str, right: bool) {
        let Some(from) = from else { return };
        let mut throttle = self.throttle.lock();
        match right {
            true => throttle.succeeded(from, user),
            false => {
                let per_minute = config.general.auth_failures_per_minute;
                throttle.failed(from, user, per_minute, Instant::now());
            }
        }
    }
}
