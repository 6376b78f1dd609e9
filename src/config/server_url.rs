//! `postgres://user:password@host:port/dbname?parameters`
//! (`libpq-connect.html#LIBPQ-CONNSTRING-URIS`).
//!
//! No refusal repeats a part of the URL that could be a password: where a
//! character was forgotten to be encoded, any part can be.

use std::path::PathBuf;
use std::time::Duration;

use super::given::Refusal;
use super::hosts::not_a_host;
use super::{SslMode, TlsFiles, TlsNegotiation, Word};

/// What a URL, or the `PG*` variables, say about a server.
#[derive(Default)]
pub(super) struct ServerUrl {
    pub host: Option<String>,
    pub port: Option<u16>,
    pub user: Option<String>,
    pub password: Option<String>,
    pub dbname: Option<String>,
    pub connect_timeout: Option<Duration>,
    pub sslmode: Option<SslMode>,
    pub sslnegotiation: Option<TlsNegotiation>,
    pub tls_files: TlsFiles,
}

impl ServerUrl {
    /// Reads a URL, or tells everything that is wrong with it.
    pub fn parse(url: &str) -> Result<Self, Vec<Refusal>> {
        let rest = after_scheme(url).map_err(|refusal| vec![refusal])?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, dbname) = rest.split_once('/').unwrap_or((rest, ""));
        let (userinfo, address) = authority.rsplit_once('@').unwrap_or(("", authority));
        let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
        let (host, port) = host_and_port(address);

        let mut server = Self::default();
        let mut refusals = Vec::new();
        let parts = [
            ("user", user),
            ("password", password),
            ("host", host),
            ("port", port),
            ("dbname", dbname),
        ];
        let query = query
            .split('&')
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        for (name, value) in parts
            .into_iter()
            .chain(query)
            .filter(|(_, value)| !value.is_empty())
        {
            let set = decoded(name, value).and_then(|value| server.set(name, &value));
            refusals.extend(set.err());
        }
        if refusals.is_empty() {
            Ok(server)
        } else {
            Err(refusals)
        }
    }

    /// Whether a parameter was given.
    pub fn has(&self, parameter: &str) -> bool {
        match parameter {
            "host" => self.host.is_some(),
            "port" => self.port.is_some(),
            "user" => self.user.is_some(),
            "password" => self.password.is_some(),
            "dbname" => self.dbname.is_some(),
            "sslmode" => self.sslmode.is_some(),
            "sslnegotiation" => self.sslnegotiation.is_some(),
            "sslrootcert" => self.tls_files.ca.is_some(),
            "sslcert" => self.tls_files.cert.is_some(),
            "sslkey" => self.tls_files.key.is_some(),
            "connect_timeout" => self.connect_timeout.is_some(),
            _ => false,
        }
    }

    /// Takes one parameter over, by libpq's name for it
    /// (`libpq-connect.html#LIBPQ-PARAMKEYWORDS`).
    pub fn set(&mut self, parameter: &str, value: &str) -> Result<(), Refusal> {
        if value.contains('\0') {
            return Err(Refusal::new(format!("{parameter} holds a zero character")));
        }
        match parameter {
            "host" => self.host = Some(host(value)?),
            "port" => self.port = Some(port(value)?),
            "user" => self.user = Some(value.to_owned()),
            "password" => self.password = Some(value.to_owned()),
            "dbname" => self.dbname = Some(value.to_owned()),
            "sslmode" => self.sslmode = Some(word(parameter, value)?),
            "sslnegotiation" => self.sslnegotiation = Some(word(parameter, value)?),
            // libpq's word for what an unset file means here.
            "sslrootcert" if value == "system" => self.tls_files.ca = None,
            "sslrootcert" => self.tls_files.ca = Some(PathBuf::from(value)),
            "sslcert" => self.tls_files.cert = Some(PathBuf::from(value)),
            "sslkey" => self.tls_files.key = Some(PathBuf::from(value)),
            "connect_timeout" => self.connect_timeout = connect_timeout(value)?,
            // Each client tells its own.
            "application_name" | "fallback_application_name" | "client_encoding" => {}
            unknown => {
                return Err(
                    Refusal::new(format!("the parameter {unknown:?} has no meaning here"))
                        .suggesting(
                            "leave it out; pgweave's own settings are PGWEAVE_... variables",
                        ),
                );
            }
        }
        Ok(())
    }
}

fn after_scheme(url: &str) -> Result<&str, Refusal> {
    let wanted = "postgres://user:password@host:port/dbname";
    let Some((scheme, rest)) = url.split_once("://") else {
        return Err(Refusal::new("is no URL").suggesting(wanted));
    };
    match scheme {
        "postgres" | "postgresql" => Ok(rest),
        _ if scheme.len() <= 20
            && scheme
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'+') =>
        {
            Err(Refusal::new(format!("{scheme:?} is not PostgreSQL")).suggesting(wanted))
        }
        _ => Err(Refusal::new("is no PostgreSQL URL").suggesting(wanted)),
    }
}

/// `host:port`, `[address]:port`, each part possibly missing.
fn host_and_port(address: &str) -> (&str, &str) {
    if let Some((host, behind)) = address.strip_prefix('[').and_then(|a| a.split_once(']')) {
        return (host, behind.strip_prefix(':').unwrap_or(behind));
    }
    address.split_once(':').unwrap_or((address, ""))
}

/// Undoes `%XX`.
fn decoded(name: &str, value: &str) -> Result<String, Refusal> {
    let refusal = || {
        Refusal::new(format!("{name} is not rightly percent-encoded"))
            .suggesting("a literal \"%\" is written %25")
    };
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(
            match byte {
                b'%' => hex_digit(rest.next())
                    .zip(hex_digit(rest.next()))
                    .map(|(h, l)| h << 4 | l),
                byte => Some(byte),
            }
            .ok_or_else(refusal)?,
        );
    }
    String::from_utf8(bytes).map_err(|_| refusal())
}

fn hex_digit(byte: Option<u8>) -> Option<u8> {
    match byte? {
        digit @ b'0'..=b'9' => Some(digit - b'0'),
        digit @ b'a'..=b'f' => Some(digit - b'a' + 10),
        digit @ b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

fn host(value: &str) -> Result<String, Refusal> {
    match not_a_host(value, "port") {
        None => Ok(value.to_owned()),
        Some(_) => Err(
            Refusal::new("the host is neither one host name nor one address")
                .suggesting("in a password, \"@\" is written %40, \":\" %3A and \"/\" %2F"),
        ),
    }
}

fn port(value: &str) -> Result<u16, Refusal> {
    value.parse().ok().filter(|port| *port != 0).ok_or_else(|| {
        Refusal::new("the port is not a number from 1 to 65535")
            .suggesting("in a password, \"@\" is written %40, \":\" %3A and \"/\" %2F")
    })
}

/// One of an enum's words; what was written may be a part of a password.
fn word<W: Word>(parameter: &str, value: &str) -> Result<W, Refusal> {
    let known = W::ALL.iter().copied().find(|word| word.as_str() == value);
    known.ok_or_else(|| {
        let words: Vec<&str> = W::ALL.iter().map(|word| word.as_str()).collect();
        Refusal::new(format!("{parameter} is not one of {}", words.join(", ")))
    })
}

/// Whole seconds; for libpq 0 and less mean "without limit", which is left to the default.
fn connect_timeout(value: &str) -> Result<Option<Duration>, Refusal> {
    let seconds: i32 = value
        .parse()
        .map_err(|_| Refusal::new("connect_timeout is not a number of seconds"))?;
    Ok(u64::try_from(seconds)
        .ok()
        .filter(|s| *s > 0)
        .map(Duration::from_secs))
}
