//! A line of pg_hba.conf becomes a rule (`auth-pg-hba-conf.html`).

use std::vec;

use super::addresses::{Address, FirstColumn, Range};
use super::answers::CanAsk;
use super::files::{Line, Place};
use super::lexer::{Field, Token};
use super::names::{DatabaseItem, UserItem};
use super::options::{ClientCert, Options};
use crate::config::Mistake;

/// The first column: which connections a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionType {
    /// Unix sockets.
    Local,
    /// TCP.
    Host,
    /// TCP with TLS.
    HostSsl,
    /// TCP without TLS.
    HostNoSsl,
    /// TCP with GSSAPI encryption, which pgweave has not: matches nothing.
    HostGssEnc,
    /// TCP without GSSAPI encryption: all of it.
    HostNoGssEnc,
}

/// How a client has to prove who it is (`auth-methods.html`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Not at all.
    Trust,
    /// It cannot: refused.
    Reject,
    /// By SCRAM-SHA-256.
    ScramSha256,
    /// By a salted md5 hash; a user with a SCRAM verifier uses SCRAM.
    Md5,
    /// By the password in clear text.
    Password,
    /// By its certificate.
    Cert,
    /// By the system's user at the other end of the Unix socket; `ident` is
    /// the same there.
    Peer,
    /// By a password that an LDAP server is asked about.
    Ldap,
    /// By a password that PAM is asked about.
    Pam,
    /// By a token of an issuer that is trusted.
    Oauth,
}

/// A rule: whom it is about, and what they have to prove
/// (`auth-pg-hba-conf.html#AUTH-PG-HBA-CONF`).
#[derive(Debug, Clone)]
pub struct Rule {
    /// Where it stands, for the log.
    pub place: Place,
    /// Which connections it is about.
    pub kind: ConnectionType,
    pub(super) databases: Vec<DatabaseItem>,
    pub(super) users: Vec<UserItem>,
    /// Those of `local` have none.
    pub(super) address: Option<Address>,
    /// What they have to prove.
    pub method: Method,
    /// And how.
    pub options: Options,
}

impl Rule {
    /// What a client's certificate must show, if it must have one: `cert`
    /// demands it without being told.
    #[must_use]
    pub fn client_cert(&self) -> Option<ClientCert> {
        match self.method {
            Method::Cert => Some(ClientCert::VerifyFull),
            Method::Trust
            | Method::Reject
            | Method::ScramSha256
            | Method::Md5
            | Method::Password
            | Method::Peer
            | Method::Ldap
            | Method::Pam
            | Method::Oauth => self.options.client_cert,
        }
    }

    /// Nothing if something is wrong: then `mistakes` has grown.
    pub(super) fn read(line: Line, can: CanAsk, mistakes: &mut Vec<Mistake>) -> Option<Self> {
        let mut columns = Columns {
            fields: line.fields.into_iter(),
            place: line.place,
            is_over: false,
            mistakes,
        };
        let kind = columns.kind();
        let databases = columns.list("database", |token| {
            DatabaseItem::parse(token, can.membership)
        });
        let users = columns.list("user", |token| UserItem::parse(token, can.membership));
        // Without the type it is not known which column comes next.
        let kind = kind?;
        let address = match kind {
            ConnectionType::Local => Some(None),
            ConnectionType::Host
            | ConnectionType::HostSsl
            | ConnectionType::HostNoSsl
            | ConnectionType::HostGssEnc
            | ConnectionType::HostNoGssEnc => columns.address(can).map(Some),
        };
        let method = columns.method(kind);
        let options = columns.options(kind, method?)?;
        Some(Self {
            kind,
            databases: databases?,
            users: users?,
            address: address?,
            method: method?,
            options,
            place: columns.place,
        })
    }
}

/// The columns of a line, from left to right. What is wrong is noted, and `None`
/// comes back.
struct Columns<'m> {
    fields: vec::IntoIter<Field>,
    place: Place,
    /// Something was missing: what else is missing is not told.
    is_over: bool,
    mistakes: &'m mut Vec<Mistake>,
}

impl Columns<'_> {
    fn wrong<T>(&mut self, column: &str, what: impl Into<String>) -> Option<T> {
        self.mistakes.push(self.place.mistake(column, what));
        None
    }

    fn noted<T>(&mut self, column: &str, result: Result<T, String>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(what) => self.wrong(column, what),
        }
    }

    fn next(&mut self, column: &str) -> Option<Field> {
        let field = self.fields.next();
        if field.is_none() && !self.is_over {
            self.is_over = true;
            return self.wrong(column, "the line ends before this column");
        }
        field
    }

    /// A column that holds one token.
    fn one(&mut self, column: &str) -> Option<Token> {
        let mut tokens = self.next(column)?.into_iter();
        match (tokens.next(), tokens.next()) {
            (Some(token), None) => Some(token),
            (None | Some(_), _) => self.wrong(column, "a list cannot stand here"),
        }
    }

    /// A column that may hold several; all that is wrong in it is noted.
    fn list<T>(
        &mut self,
        column: &str,
        parse: impl Fn(&Token) -> Result<T, String>,
    ) -> Option<Vec<T>> {
        let field = self.next(column)?;
        let items = field.iter().map(|token| self.noted(column, parse(token)));
        // Two steps, so that what is wrong does not end the first.
        let items: Vec<Option<T>> = items.collect();
        items.into_iter().collect()
    }

    fn kind(&mut self) -> Option<ConnectionType> {
        let token = self.one("type")?;
        Some(match token.text.as_str() {
            "local" => ConnectionType::Local,
            "host" => ConnectionType::Host,
            "hostssl" => ConnectionType::HostSsl,
            "hostnossl" => ConnectionType::HostNoSsl,
            "hostgssenc" => ConnectionType::HostGssEnc,
            "hostnogssenc" => ConnectionType::HostNoGssEnc,
            other => {
                let what = format!("{other:?} is no type of connection");
                return self.wrong("type", what);
            }
        })
    }

    fn address(&mut self, can: CanAsk) -> Option<Address> {
        let token = self.one("address")?;
        let first =
            FirstColumn::parse(&token, can).map_err(|what| format!("{:?}: {what}", token.text));
        match self.noted("address", first)? {
            FirstColumn::Whole(address) => Some(address),
            FirstColumn::WantsMask(network) => {
                let mask = self.one("netmask")?;
                let range = Range::of_mask(network, &mask.text)
                    .map_err(|what| format!("{:?}: {what}", mask.text));
                // Most likely it was left out, and this is the method.
                self.is_over |= range.is_err();
                self.noted("netmask", range).map(Address::Range)
            }
        }
    }

    fn method(&mut self, kind: ConnectionType) -> Option<Method> {
        let token = self.one("method")?;
        let method = method_of(&token.text, kind);
        self.noted("method", method)
    }

    /// All that is wrong in them is noted.
    fn options(&mut self, kind: ConnectionType, method: Method) -> Option<Options> {
        let mut options = Options::default();
        let known = self.mistakes.len();
        let tokens: Vec<_> = self.fields.by_ref().flatten().collect();
        for token in tokens {
            let added = options.add(&token, kind, method);
            self.noted("options", added);
        }
        (self.mistakes.len() == known).then_some(options)
    }
}

fn method_of(name: &str, kind: ConnectionType) -> Result<Method, String> {
    let is_local = kind == ConnectionType::Local;
    match name {
        "trust" => Ok(Method::Trust),
        "reject" => Ok(Method::Reject),
        "scram-sha-256" => Ok(Method::ScramSha256),
        "md5" => Ok(Method::Md5),
        "password" => Ok(Method::Password),
        "ldap" => Ok(Method::Ldap),
        "pam" => Ok(Method::Pam),
        "oauth" => Ok(Method::Oauth),
        "cert" if kind == ConnectionType::HostSsl => Ok(Method::Cert),
        "cert" => Err("cert needs hostssl".to_owned()),
        "peer" | "ident" if is_local => Ok(Method::Peer),
        "peer" => Err("peer needs local".to_owned()),
        "ident" => {
            Err("ident needs local, where it is peer: pgweave asks no ident server".to_owned())
        }
        "gss" | "sspi" | "radius" | "bsd" => {
            Err(format!("pgweave does not support the method {name}"))
        }
        other => Err(format!("there is no method {other:?}")),
    }
}
