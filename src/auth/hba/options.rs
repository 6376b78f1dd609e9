//! What may stand behind a rule's method: `name=value`
//! (`auth-pg-hba-conf.html`, `auth-ldap.html`, `auth-pam.html`,
//! `auth-cert.html`).

use super::lexer::{Token, fields};
use super::rules::{ConnectionType, Method};
use crate::config::Secret;

/// What a client's certificate must show (`clientcert`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientCert {
    /// An authority that is trusted signed it.
    VerifyCa,
    /// And its name is the user's, or is mapped to it.
    VerifyFull,
}

/// Which name in a client's certificate counts (`clientname`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ClientName {
    /// The common name.
    #[default]
    Cn,
    /// The whole distinguished name, in the form of RFC 2253.
    Dn,
}

/// An option of `ldap` or `pam`, as it is written. The value may be a password.
#[derive(Debug, Clone)]
pub struct Setting {
    /// One that PostgreSQL knows for the method.
    pub name: &'static str,
    /// Not looked at.
    pub value: Secret,
}

/// The options of a rule.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The map of pg_ident.conf that leads from a system's user to a database's.
    pub map: Option<String>,
    /// As written: [`super::Rule::client_cert`] tells what holds.
    pub client_cert: Option<ClientCert>,
    /// Which name the map is asked for.
    pub client_name: Option<ClientName>,
    /// Those of `ldap` and `pam`, in their order.
    pub settings: Vec<Setting>,
}

const LDAP: [&str; 11] = [
    "ldapserver",
    "ldapport",
    "ldapscheme",
    "ldaptls",
    "ldapprefix",
    "ldapsuffix",
    "ldapbasedn",
    "ldapbinddn",
    "ldapbindpasswd",
    "ldapsearchattribute",
    "ldapsearchfilter",
];
const OAUTH: [&str; 2] = ["issuer", "scope"];
const PAM: [&str; 2] = ["pamservice", "pam_use_hostname"];

/// The options of ldap, as they stand behind it in a rule.
///
/// # Errors
/// What is wrong with them.
pub fn ldap_options(text: &str) -> Result<Vec<(&'static str, Secret)>, String> {
    let mut options = Options::default();
    for token in fields(text)?.into_iter().flatten() {
        options.add(&token, ConnectionType::HostSsl, Method::Ldap)?;
    }
    Ok(options.pairs())
}

impl Options {
    /// The method's own.
    #[must_use]
    pub fn pairs(&self) -> Vec<(&'static str, Secret)> {
        let pair = |setting: &Setting| (setting.name, setting.value.clone());
        self.settings.iter().map(pair).collect()
    }

    /// Takes one option in. What is told of a mistake never holds the value:
    /// it may be a password.
    pub(super) fn add(
        &mut self,
        token: &Token,
        kind: ConnectionType,
        method: Method,
    ) -> Result<(), String> {
        let Some((name, value)) = token.text.split_once('=') else {
            return Err("an option must be name=value".to_owned());
        };
        match name {
            "map" => self.add_map(value, method),
            "clientcert" => self.add_client_cert(value, kind, method),
            "clientname" => self.add_client_name(value, kind),
            name => self.add_setting(name, value, method),
        }
    }

    fn add_map(&mut self, value: &str, method: Method) -> Result<(), String> {
        if !matches!(method, Method::Cert | Method::Peer | Method::Oauth) {
            return Err("map is an option of cert, peer, ident and oauth alone".to_owned());
        }
        if value.is_empty() {
            return Err("map names no map".to_owned());
        }
        once(&mut self.map, value.to_owned(), "map")
    }

    fn add_client_cert(
        &mut self,
        value: &str,
        kind: ConnectionType,
        method: Method,
    ) -> Result<(), String> {
        only_with_tls(kind, "clientcert")?;
        let wanted = match value {
            "verify-ca" if method == Method::Cert => {
                return Err("with cert, clientcert can be verify-full alone".to_owned());
            }
            "verify-ca" => ClientCert::VerifyCa,
            "verify-full" => ClientCert::VerifyFull,
            _ => return Err("clientcert must be verify-ca or verify-full".to_owned()),
        };
        once(&mut self.client_cert, wanted, "clientcert")
    }

    fn add_client_name(&mut self, value: &str, kind: ConnectionType) -> Result<(), String> {
        only_with_tls(kind, "clientname")?;
        let wanted = match value {
            "CN" => ClientName::Cn,
            "DN" => ClientName::Dn,
            _ => return Err("clientname must be CN or DN".to_owned()),
        };
        once(&mut self.client_name, wanted, "clientname")
    }

    fn add_setting(&mut self, name: &str, value: &str, method: Method) -> Result<(), String> {
        let find = |names: &[&'static str]| names.iter().copied().find(|known| *known == name);
        let known = match (find(&LDAP), find(&PAM)) {
            (Some(known), _) if method == Method::Ldap => known,
            (_, Some(known)) if method == Method::Pam => known,
            (Some(known), _) => return Err(format!("{known} is an option of ldap alone")),
            (_, Some(known)) => return Err(format!("{known} is an option of pam alone")),
            (None, None) if method == Method::Oauth && OAUTH.contains(&name) => {
                return Err(format!(
                    "{name} stands in the configuration, as auth_oauth_{name}"
                ));
            }
            (None, None) => return Err(format!("there is no option {name:?}")),
        };
        if self.settings.iter().any(|setting| setting.name == known) {
            return Err(twice(known));
        }
        if known == "pam_use_hostname" && value != "0" {
            return Err("pam_use_hostname is not supported: PAM is told the address".to_owned());
        }
        let value = Secret::new(value);
        self.settings.push(Setting { name: known, value });
        Ok(())
    }
}

fn only_with_tls(kind: ConnectionType, option: &str) -> Result<(), String> {
    match kind {
        ConnectionType::HostSsl => Ok(()),
        ConnectionType::Local
        | ConnectionType::Host
        | ConnectionType::HostNoSsl
        | ConnectionType::HostGssEnc
        | ConnectionType::HostNoGssEnc => Err(format!("{option} is an option of hostssl alone")),
    }
}

fn once<T>(option: &mut Option<T>, value: T, name: &str) -> Result<(), String> {
    match option.replace(value) {
        None => Ok(()),
        Some(_) => Err(twice(name)),
    }
}

fn twice(name: &str) -> String {
    format!("{name} is given twice")
}
