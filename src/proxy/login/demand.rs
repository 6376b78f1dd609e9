//! What a client has to prove: what `auth_type` or the rule that is about it
//! says.

use std::net::IpAddr;

use super::roles::Roles;
use crate::auth::Method;
use crate::auth::hba::{self, ClientCert, ClientName, Connection, Login, Rules};
use crate::config::{AuthType, General, Secret};
use crate::proxy::replication::Kind;
use crate::wire::startup::Startup;
use crate::wire::{PgError, sqlstate};

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Demand {
    pub proof: Proof,
    /// What its certificate must show besides.
    pub certificate: Option<ClientCert>,
    /// Which name of the certificate counts.
    pub name: ClientName,
    /// The map that says for whom a name stands.
    pub map: Option<String>,
    /// What a judge is told besides.
    pub settings: Vec<(&'static str, Secret)>,
}

/// How it has to prove who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Proof {
    /// By a secret that is known here, or not at all.
    Secret(Method),
    /// By the name in its certificate.
    Certificate,
    /// By the system's user at the other end of the Unix socket.
    Peer,
    /// By what the server takes for a proof.
    Server,
    /// By what somebody else says.
    Outside(Judge),
}

/// Who else judges clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Judge {
    /// Whoever issues tokens.
    Issuer,
    /// An LDAP server.
    Ldap,
    /// PAM.
    Pam,
}

impl Demand {
    fn of(proof: Proof) -> Self {
        Self {
            proof,
            certificate: None,
            name: ClientName::default(),
            map: None,
            settings: Vec::new(),
        }
    }

    /// By `auth_type`; none where rules decide.
    pub fn of_all(general: &General) -> Option<Self> {
        let proof = match general.auth_type {
            AuthType::Trust | AuthType::Any => Proof::Secret(Method::Trust),
            AuthType::Plain => Proof::Secret(Method::Plain),
            AuthType::Md5 => Proof::Secret(Method::Md5),
            AuthType::ScramSha256 => Proof::Secret(Method::ScramSha256),
            AuthType::Cert => Proof::Certificate,
            AuthType::Peer => Proof::Peer,
            AuthType::Passthrough => Proof::Server,
            AuthType::Oauth => Proof::Outside(Judge::Issuer),
            AuthType::Ldap => Proof::Outside(Judge::Ldap),
            AuthType::Pam => Proof::Outside(Judge::Pam),
            AuthType::Hba => return None,
        };
        let mut demand = Self::of(proof);
        if let (AuthType::Ldap, Some(options)) = (general.auth_type, &general.auth_ldap_options) {
            // Checked at the start.
            demand.settings = hba::ldap_options(options.expose()).unwrap_or_default();
        }
        Some(demand)
    }

    /// By the rule that is about this client.
    ///
    /// # Errors
    /// 28000 where it rejects, and where there is none.
    pub fn by_rules(
        rules: &Rules,
        startup: &Startup,
        from: Option<IpAddr>,
        is_tls: bool,
        roles: &Roles,
    ) -> Result<Self, PgError> {
        let connection = match from {
            Some(address) => Connection::Host { address, is_tls },
            None => Connection::Local,
        };
        let login = Login {
            connection,
            database: &startup.database,
            user: &startup.user,
            is_replication: Kind::of(startup)? == Kind::Physical,
        };
        let rule = rules.find(&login, roles);
        let Some((rule, proof)) = rule.and_then(|rule| Some((rule, proof(rule.method)?))) else {
            return Err(rejected(startup, from, is_tls));
        };
        Ok(Self {
            proof,
            certificate: rule.client_cert(),
            name: rule.options.client_name.unwrap_or_default(),
            map: rule.options.map.clone(),
            settings: rule.options.pairs(),
        })
    }
}

/// None: it cannot.
fn proof(method: hba::Method) -> Option<Proof> {
    Some(match method {
        hba::Method::Trust => Proof::Secret(Method::Trust),
        hba::Method::ScramSha256 => Proof::Secret(Method::ScramSha256),
        hba::Method::Md5 => Proof::Secret(Method::Md5),
        hba::Method::Password => Proof::Secret(Method::Plain),
        hba::Method::Cert => Proof::Certificate,
        hba::Method::Peer => Proof::Peer,
        hba::Method::Oauth => Proof::Outside(Judge::Issuer),
        hba::Method::Ldap => Proof::Outside(Judge::Ldap),
        hba::Method::Pam => Proof::Outside(Judge::Pam),
        hba::Method::Reject => return None,
    })
}

fn rejected(startup: &Startup, from: Option<IpAddr>, is_tls: bool) -> PgError {
    let from = from.map_or_else(|| "a Unix socket".to_owned(), |from| from.to_string());
    let how = if is_tls { "with TLS" } else { "without TLS" };
    let Startup { user, database, .. } = startup;
    PgError::fatal(
        sqlstate::INVALID_AUTHORIZATION,
        format!(
            "no rule of auth_hba_file lets user \"{user}\" connect to database \"{database}\" from {from} {how}"
        ),
    )
}
