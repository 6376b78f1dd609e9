//! The files that say who may log in, and how: `auth_file`, `auth_hba_file`,
//! `auth_ident_file`.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::Path;

use crate::auth::hba::{CanAsk, Files, Method, Rules, Unreadable};
use crate::auth::ident::Maps;
use crate::auth::userlist;
use crate::config::{AuthType, General, Mistake, Secret};

/// Largest file that is read, in bytes.
const MAX_FILE: u64 = 64 << 20;

/// What rules may ask: about roles the server, where somebody may.
fn can_ask(general: &General) -> CanAsk {
    CanAsk {
        membership: general.auth_user.is_some(),
        interfaces: false,
        host_names: false,
    }
}

/// What the files hold.
#[derive(Debug, Default)]
pub(super) struct Lists {
    /// Users and their secrets.
    pub users: HashMap<String, Secret>,
    /// None unless `auth_type` is `hba`.
    pub rules: Option<Rules>,
    /// Which other names stand for users.
    pub maps: Maps,
}

impl Lists {
    /// Reads the files that the configuration names.
    pub fn read(general: &General) -> Result<Self, Vec<Mistake>> {
        let mut lists = Self::default();
        let can_ask = can_ask(general);
        let mut mistakes = Vec::new();
        if let Some(path) = &general.auth_file {
            match users(path) {
                Ok(users) => lists.users = users,
                Err(found) => mistakes.extend(found),
            }
        }
        if let Some(path) = &general.auth_ident_file {
            match Maps::read(path, &OnDisk, can_ask.membership) {
                Ok(maps) => lists.maps = maps,
                Err(found) => mistakes.extend(found),
            }
        }
        if let (AuthType::Hba, Some(path)) = (general.auth_type, &general.auth_hba_file) {
            match Rules::read(path, &OnDisk, can_ask) {
                Ok(rules) => lists.rules = Some(rules),
                Err(found) => mistakes.extend(found),
            }
        }
        #[cfg(feature = "oauth")]
        if let (AuthType::Oauth | AuthType::Hba, Some(path)) =
            (general.auth_type, &general.auth_oauth_jwks_file)
        {
            let wrong = super::issuer::keys(path).err();
            mistakes.extend(wrong.map(|what| about(path, "auth_oauth_jwks_file", what)));
        }
        if mistakes.is_empty() {
            mistakes.extend(lists.maps_that_are_not_there());
            mistakes.extend(lists.rules_that_nobody_can_judge(general));
        }
        match mistakes.is_empty() {
            true => Ok(lists),
            false => Err(mistakes),
        }
    }

    /// Tells the files that those which the configuration names are made of.
    pub fn files(general: &General, note: &dyn Fn(&Path)) {
        let (noting, can_ask) = (Noting(note), can_ask(general));
        if let Some(path) = &general.auth_file {
            note(path);
        }
        if let Some(path) = &general.auth_ident_file {
            drop(Maps::read(path, &noting, can_ask.membership));
        }
        if let (AuthType::Hba, Some(path)) = (general.auth_type, &general.auth_hba_file) {
            drop(Rules::read(path, &noting, can_ask));
        }
    }

    /// Rules that ask for what this build has not, or the configuration not.
    fn rules_that_nobody_can_judge(&self, general: &General) -> Vec<Mistake> {
        let lacks = |method: Method| match method {
            Method::Ldap if cfg!(not(feature = "ldap")) => Some("this build has no ldap"),
            Method::Pam if cfg!(not(feature = "pam")) => Some("this build has no pam"),
            Method::Oauth if cfg!(not(feature = "oauth")) => Some("this build has no oauth"),
            Method::Oauth
                if general.auth_oauth_issuer.is_none()
                    || general.auth_oauth_audience.is_none()
                    || general.auth_oauth_jwks_file.is_none() =>
            {
                Some("auth_oauth_issuer, auth_oauth_audience and auth_oauth_jwks_file must be set")
            }
            _ => None,
        };
        let rules = self.rules.iter().flat_map(Rules::iter);
        let lacking = rules.filter_map(|rule| Some((rule, lacks(rule.method)?)));
        lacking
            .map(|(rule, what)| rule.place.mistake("method", what))
            .collect()
    }

    /// A rule with such a map would let nobody in, and nobody would know why.
    fn maps_that_are_not_there(&self) -> Vec<Mistake> {
        let rules = self.rules.iter().flat_map(Rules::iter);
        let named = rules.filter_map(|rule| Some((rule, rule.options.map.as_ref()?)));
        named
            .filter(|(_, map)| !self.maps.has(map))
            .map(|(rule, map)| {
                let what = format!("there is no map {map:?} in auth_ident_file");
                rule.place.mistake("map", what)
            })
            .collect()
    }
}

fn users(path: &Path) -> Result<HashMap<String, Secret>, Vec<Mistake>> {
    let file = path.display().to_string();
    match text(path) {
        Ok(text) => userlist::parse(&file, &text),
        Err(error) => {
            let what = format!("cannot read it: {error}");
            Err(vec![about(path, "auth_file", what)])
        }
    }
}

fn about(path: &Path, key: &str, what: String) -> Mistake {
    Mistake {
        file: path.display().to_string(),
        line: None,
        key: key.to_owned(),
        what,
        suggestion: None,
    }
}

/// The system's files.
struct OnDisk;

impl Files for OnDisk {
    fn text(&self, path: &Path) -> Result<String, Unreadable> {
        text(path).map_err(unreadable)
    }

    fn names_in(&self, folder: &Path) -> Result<Vec<String>, Unreadable> {
        let mut names = Vec::new();
        for entry in fs::read_dir(folder).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            names.extend(entry.file_name().into_string().ok());
        }
        Ok(names)
    }
}

/// The same, each told before it is read.
struct Noting<'a>(&'a dyn Fn(&Path));

impl Files for Noting<'_> {
    fn text(&self, path: &Path) -> Result<String, Unreadable> {
        (self.0)(path);
        OnDisk.text(path)
    }

    fn names_in(&self, folder: &Path) -> Result<Vec<String>, Unreadable> {
        (self.0)(folder);
        OnDisk.names_in(folder)
    }
}

pub(super) fn text(path: &Path) -> io::Result<String> {
    let about = fs::metadata(path)?;
    if !about.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    if about.len() > MAX_FILE {
        return Err(io::Error::other("it is too large"));
    }
    fs::read_to_string(path)
}

fn unreadable(error: io::Error) -> Unreadable {
    match error.kind() {
        io::ErrorKind::NotFound => Unreadable::Missing,
        _ => Unreadable::Because(error.to_string()),
    }
}
