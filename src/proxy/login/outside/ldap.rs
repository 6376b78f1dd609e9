//! By a password that an LDAP server takes (`auth-ldap.html`): with a name that
//! is made of the user's (`ldapprefix`, `ldapsuffix`), or one that is found
//! (`ldapbasedn`).

use std::time::Duration;

use ldap3::{Ldap, LdapConnAsync, LdapConnSettings, LdapError, Scope, SearchEntry};
use tokio::time::timeout;

use crate::auth::Secret;
use crate::config::Secret as Setting;

/// All of it may take this long.
const PATIENCE: Duration = Duration::from_secs(15);

/// The server says that name or password are wrong.
const INVALID_CREDENTIALS: u32 = 49;

/// The server says nothing of the user (RFC 4511, appendix A): operationsError,
/// protocolError, timeLimitExceeded, authMethodNotSupported, strongerAuthRequired,
/// adminLimitExceeded, confidentialityRequired, busy, unavailable, other.
const COULD_NOT_TELL: [u32; 10] = [1, 2, 3, 7, 8, 11, 13, 51, 52, 80];

type Options = [(&'static str, Setting)];

fn option<'o>(options: &'o Options, name: &str) -> Option<&'o str> {
    let mut options = options.iter();
    let found = options.find(|(known, _)| *known == name);
    found.map(|(_, value)| value.expose())
}

/// Does a server take this password for this user? None: it cannot be told, and
/// the log says why.
pub(super) async fn accepts(options: &Options, user: &str, password: &Secret) -> Option<bool> {
    let outcome = match timeout(PATIENCE, ask(options, user, password)).await {
        Ok(outcome) => outcome,
        Err(_) => Err("it took too long".to_owned()),
    };
    let why = match outcome {
        Ok(verdict) => return Some(verdict),
        Err(why) => why,
    };
    tracing::warn!(user, "LDAP cannot tell: {}", why.escape_debug());
    None
}

async fn ask(options: &Options, user: &str, password: &Secret) -> Result<bool, String> {
    let Some(password) = password.text() else {
        return Err("the password is no text".to_owned());
    };
    let mut why = "ldapserver names no server".to_owned();
    for url in urls(options) {
        match connect(&url, options).await {
            Ok(mut ldap) => {
                let found = find_and_bind(&mut ldap, options, user, password).await;
                let _ = ldap.unbind().await;
                return found;
            }
            Err(error) => why = format!("{url}: {error}"),
        }
    }
    Err(why)
}

/// The servers, the first that answers counts.
fn urls(options: &Options) -> Vec<String> {
    let scheme = option(options, "ldapscheme").unwrap_or("ldap");
    let port = option(options, "ldapport").map_or_else(String::new, |port| format!(":{port}"));
    let servers = option(options, "ldapserver").unwrap_or_default();
    let url = |server: &str| format!("{scheme}://{server}{port}");
    servers.split_whitespace().map(url).collect()
}

async fn connect(url: &str, options: &Options) -> Result<Ldap, LdapError> {
    let settings = LdapConnSettings::new()
        .set_conn_timeout(PATIENCE / 3)
        .set_starttls(option(options, "ldaptls") == Some("1"));
    let (connection, ldap) = LdapConnAsync::with_settings(settings, url).await?;
    ldap3::drive!(connection);
    Ok(ldap)
}

async fn find_and_bind(
    ldap: &mut Ldap,
    options: &Options,
    user: &str,
    password: &str,
) -> Result<bool, String> {
    let name = match option(options, "ldapbasedn") {
        None => Some(name_of(options, user)),
        Some(base) => find(ldap, options, base, user).await?,
    };
    let Some(name) = name else { return Ok(false) };
    let told = ldap.simple_bind(&name, password).await;
    let told = told.map_err(|error| error.to_string())?;
    match told.rc {
        0 => Ok(true),
        INVALID_CREDENTIALS => Ok(false),
        code if COULD_NOT_TELL.contains(&code) => Err(told.to_string()),
        // Locked, not allowed, no such name: servers differ in what they say.
        _ => {
            tracing::info!(target: "limited", user, "LDAP does not let the user in: {told}");
            Ok(false)
        }
    }
}

/// `ldapprefix`, the user, `ldapsuffix`. In a distinguished name the user must
/// not end its part of it; what is none (`DOMAIN\user`) is taken as it is.
fn name_of(options: &Options, user: &str) -> String {
    let part = |name: &str| option(options, name).unwrap_or_default();
    let (prefix, suffix) = (part("ldapprefix"), part("ldapsuffix"));
    let is_dn = prefix.contains('=') || suffix.contains('=');
    match is_dn {
        true => format!("{prefix}{}{suffix}", ldap3::dn_escape(user)),
        false => format!("{prefix}{user}{suffix}"),
    }
}

/// The one entry that is the user's.
async fn find(
    ldap: &mut Ldap,
    options: &Options,
    base: &str,
    user: &str,
) -> Result<Option<String>, String> {
    let binds_as = option(options, "ldapbinddn").unwrap_or_default();
    let with = option(options, "ldapbindpasswd").unwrap_or_default();
    let told = |error: LdapError| error.to_string();
    let bound = ldap.simple_bind(binds_as, with).await.map_err(told)?;
    bound.success().map_err(told)?;
    let found = ldap
        .search(base, Scope::Subtree, &filter(options, user), ["1.1"])
        .await
        .map_err(told)?;
    let (entries, _) = found.success().map_err(told)?;
    let mut entries = entries.into_iter();
    match (entries.next(), entries.next()) {
        (Some(entry), None) => Ok(Some(SearchEntry::construct(entry).dn)),
        (None, _) => Ok(None),
        (Some(_), Some(_)) => Err(format!("there is more than one entry of {user:?}")),
    }
}

/// `ldapsearchfilter` with the user for `$username`, else the attribute.
fn filter(options: &Options, user: &str) -> String {
    let user = ldap3::ldap_escape(user);
    match option(options, "ldapsearchfilter") {
        Some(filter) => filter.replace("$username", &user),
        None => {
            let attribute = option(options, "ldapsearchattribute").unwrap_or("uid");
            format!("({attribute}={user})")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(pairs: &[(&'static str, &str)]) -> Vec<(&'static str, Setting)> {
        let setting = |(name, value): &(&'static str, &str)| (*name, Setting::new(*value));
        pairs.iter().map(setting).collect()
    }

    #[test]
    fn a_user_cannot_write_more_than_its_name() {
        let dn = options(&[("ldapprefix", "uid="), ("ldapsuffix", ",dc=x")]);
        assert_eq!(name_of(&dn, "bob"), "uid=bob,dc=x");
        assert_eq!(name_of(&dn, "bob,dc=y"), "uid=bob\\2cdc\\3dy,dc=x");
        let domain = options(&[("ldapprefix", "CORP\\")]);
        assert_eq!(name_of(&domain, "bob"), "CORP\\bob");
        assert_eq!(filter(&[], "b*)(uid=*"), "(uid=b\\2a\\29\\28uid=\\2a)");
        let own = options(&[("ldapsearchfilter", "(|(cn=$username)(mail=$username))")]);
        assert_eq!(filter(&own, "b)"), "(|(cn=b\\29)(mail=b\\29))");
        let other = options(&[("ldapsearchattribute", "cn")]);
        assert_eq!(filter(&other, "bob"), "(cn=bob)");
    }

    #[test]
    fn servers_are_tried_in_their_order() {
        let several = options(&[("ldapserver", "a b"), ("ldapport", "3890")]);
        assert_eq!(urls(&several), ["ldap://a:3890", "ldap://b:3890"]);
        let secure = options(&[("ldapserver", "a"), ("ldapscheme", "ldaps")]);
        assert_eq!(urls(&secure), ["ldaps://a"]);
    }
}
