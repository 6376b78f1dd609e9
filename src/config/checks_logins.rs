//! What is wrong about how clients log in, in the view of several settings.

use super::checks::Finding;
use super::given::Refusal;
use super::places::section_path;
use super::{AuthType, Config};

/// Every mistake about how clients log in.
pub(super) fn logins(config: &Config, found: &mut Vec<Finding>) {
    let general = &config.general;
    let auth_type = general.auth_type;
    let mut missing = |key: &str, why: &str| {
        found.push(Finding::new(
            format!("pgweave.{key}"),
            &["pgweave.auth_type"],
            Refusal::new(format!(
                "is not set, but auth_type is {auth_type}, which {why}"
            )),
        ));
    };
    match auth_type {
        AuthType::Hba if general.auth_hba_file.is_none() => {
            missing("auth_hba_file", "needs a file of rules");
        }
        AuthType::Peer if general.unix_socket_dir.is_none() => {
            missing("unix_socket_dir", "is for Unix sockets alone");
        }
        AuthType::Cert
            if general
                .client_tls()
                .is_none_or(|tls| tls.files.ca.is_none()) =>
        {
            missing(
                "client_tls_ca_file",
                "needs TLS, and an authority for certificates of clients",
            );
        }
        AuthType::Oauth if general.auth_oauth_issuer.is_none() => {
            missing("auth_oauth_issuer", "trusts somebody's tokens");
        }
        AuthType::Oauth if general.auth_oauth_audience.is_none() => {
            missing(
                "auth_oauth_audience",
                "takes tokens that are meant for it alone",
            );
        }
        AuthType::Oauth if general.auth_oauth_jwks_file.is_none() => {
            missing("auth_oauth_jwks_file", "needs the issuer's keys");
        }
        AuthType::Ldap if general.auth_ldap_options.is_none() => {
            missing("auth_ldap_options", "must know whom to ask");
        }
        AuthType::Any => any(config, found),
        AuthType::Plain | AuthType::Md5 | AuthType::ScramSha256 => nobody(config, found),
        AuthType::Trust
        | AuthType::Hba
        | AuthType::Peer
        | AuthType::Cert
        | AuthType::Oauth
        | AuthType::Ldap
        | AuthType::Pam
        | AuthType::Passthrough => {}
    }
    if !is_built_in(auth_type) {
        let what =
            format!("this build of pgweave has no {auth_type}: it was made without that feature");
        found.push(Finding::new("pgweave.auth_type", &[], Refusal::new(what)));
    }
    auth_query(config, found);
}

/// Is it in this build?
fn is_built_in(auth_type: AuthType) -> bool {
    let lacks = [
        (AuthType::Oauth, cfg!(not(feature = "oauth"))),
        (AuthType::Ldap, cfg!(not(feature = "ldap"))),
        (AuthType::Pam, cfg!(not(feature = "pam"))),
    ];
    !lacks.contains(&(auth_type, true))
}

/// Whoever comes is nobody: the database must say who logs in.
fn any(config: &Config, found: &mut Vec<Finding>) {
    for db in config.databases.values().chain(&config.fallback) {
        if db.user.is_none() {
            found.push(Finding::new(
                format!("{}.user", section_path("databases", &db.name)),
                &["pgweave.auth_type"],
                Refusal::new(
                    "is not set, but auth_type is any, for which clients' names do not matter",
                ),
            ));
        }
    }
}

/// Has anybody a secret to prove?
fn nobody(config: &Config, found: &mut Vec<Finding>) {
    let general = &config.general;
    let asks = |db: &super::Database| db.auth_user.is_some();
    // A single user may lack a password: it may be there for the settings of a
    // forced server user.
    let is_somebody = config.users.values().any(|user| user.password.is_some())
        || general.auth_file.is_some()
        || general.auth_user.is_some()
        || config.databases.values().chain(&config.fallback).any(asks);
    if !is_somebody {
        let auth_type = general.auth_type;
        let refusal =
            format!("no user has a password, so with auth_type {auth_type} nobody can log in");
        found.push(Finding::new(
            "users",
            &["pgweave.auth_type"],
            Refusal::new(refusal)
                .suggesting("add [users.NAME] with a password, or set auth_type = \"trust\""),
        ));
    }
}

/// A query that nobody runs.
fn auth_query(config: &Config, found: &mut Vec<Finding>) {
    if config.general.auth_user.is_some() {
        return;
    }
    for db in config.databases.values().chain(&config.fallback) {
        if db.auth_query.is_some() && db.auth_user.is_none() {
            found.push(Finding::new(
                format!("{}.auth_query", section_path("databases", &db.name)),
                &["pgweave.auth_user"],
                Refusal::new("nobody runs it: auth_user is set neither here nor in [pgweave]"),
            ));
        }
    }
}
