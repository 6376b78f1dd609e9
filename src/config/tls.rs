//! What TLS toward clients and toward servers is made of.
//!
//! Pure as the rest of this room: files are only named here. Whether they hold
//! what they should is judged by [`super::Sources::try_tls`], so that it is told
//! with the other mistakes.

use std::path::{Path, PathBuf};

use super::{AuthType, Config, Database, General, SslMode, TlsNegotiation, TlsProtocols};

/// The files of one side.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct TlsFiles {
    /// The certificate that is shown, with its chain.
    pub cert: Option<PathBuf>,
    /// Its private key.
    pub key: Option<PathBuf>,
    /// The authorities that the other side's certificate is checked against.
    pub ca: Option<PathBuf>,
}

impl TlsFiles {
    /// Those that there are.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        let files = [&self.cert, &self.key, &self.ca];
        files.into_iter().filter_map(|file| file.as_deref())
    }
}

/// TLS toward clients.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ClientTls {
    /// Never `Disable`.
    pub mode: SslMode,
    /// May a client show a certificate that is then looked at, whatever the mode?
    pub asks_certificates: bool,
    /// What is shown to clients, and what theirs are checked against.
    pub files: TlsFiles,
    /// The versions that are spoken.
    pub protocols: TlsProtocols,
}

/// TLS toward one database's server.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ServerTls {
    /// `Disable` for a Unix socket, whatever was asked for.
    pub mode: SslMode,
    /// How it begins.
    pub negotiation: TlsNegotiation,
    /// What is shown to the server, and what its own is checked against.
    pub files: TlsFiles,
    /// The versions that are spoken.
    pub protocols: TlsProtocols,
}

/// One of the two.
#[derive(Debug, Clone, Copy)]
pub enum Tls<'a> {
    /// Toward clients.
    Clients(&'a ClientTls),
    /// Toward a server.
    Servers(&'a ServerTls),
}

impl Tls<'_> {
    /// Its files.
    #[must_use]
    pub fn files(&self) -> &TlsFiles {
        match self {
            Tls::Clients(tls) => &tls.files,
            Tls::Servers(tls) => &tls.files,
        }
    }
}

/// Which setting a mistake is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsFile {
    /// The certificate.
    Cert,
    /// The private key.
    Key,
    /// The authorities.
    Ca,
}

impl TlsFile {
    /// The setting's name without its `client_` or `server_`.
    pub(super) fn key(self) -> &'static str {
        match self {
            TlsFile::Cert => "tls_cert_file",
            TlsFile::Key => "tls_key_file",
            TlsFile::Ca => "tls_ca_file",
        }
    }
}

/// A file that does not hold what it should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsMistake {
    /// Which setting names it.
    pub file: TlsFile,
    /// What is wrong, with the file's name; never what stands in it.
    pub what: String,
}

impl std::fmt::Display for TlsMistake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.file.key(), self.what)
    }
}

impl SslMode {
    /// Is nothing sent before the connection is encrypted?
    #[must_use]
    pub fn is_required(self) -> bool {
        match self {
            SslMode::Disable | SslMode::Allow | SslMode::Prefer => false,
            SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => true,
        }
    }

    /// Is the other side's certificate checked?
    #[must_use]
    pub fn verifies(self) -> bool {
        match self {
            SslMode::Disable | SslMode::Allow | SslMode::Prefer | SslMode::Require => false,
            SslMode::VerifyCa | SslMode::VerifyFull => true,
        }
    }
}

impl General {
    /// TLS toward clients, if there is any.
    #[must_use]
    pub fn client_tls(&self) -> Option<ClientTls> {
        (self.client_tls_sslmode != SslMode::Disable).then(|| ClientTls {
            mode: self.client_tls_sslmode,
            asks_certificates: matches!(self.auth_type, AuthType::Cert | AuthType::Hba),
            files: TlsFiles {
                cert: self.client_tls_cert_file.clone(),
                key: self.client_tls_key_file.clone(),
                ca: self.client_tls_ca_file.clone(),
            },
            protocols: self.client_tls_protocols,
        })
    }

    /// TLS toward the server of a database.
    pub(super) fn server_tls(&self, db: &Database) -> ServerTls {
        let asked = db.server_tls_sslmode.unwrap_or(self.server_tls_sslmode);
        let either = |own: &Option<PathBuf>, general: &Option<PathBuf>| {
            own.as_ref().or(general.as_ref()).cloned()
        };
        ServerTls {
            mode: match db.host.starts_with('/') {
                true => SslMode::Disable,
                false => asked,
            },
            negotiation: db
                .server_tls_negotiation
                .unwrap_or(self.server_tls_negotiation),
            files: TlsFiles {
                cert: either(&db.server_tls_cert_file, &self.server_tls_cert_file),
                key: either(&db.server_tls_key_file, &self.server_tls_key_file),
                ca: either(&db.server_tls_ca_file, &self.server_tls_ca_file),
            },
            protocols: self.server_tls_protocols,
        }
    }
}

impl Config {
    /// Every TLS toward a server that some database asks for, each once.
    #[must_use]
    pub fn all_server_tls(&self) -> Vec<ServerTls> {
        let mut all: Vec<ServerTls> = Vec::new();
        for db in self.databases.values().chain(&self.fallback) {
            let tls = self.general.server_tls(db);
            if tls.mode != SslMode::Disable && !all.contains(&tls) {
                all.push(tls);
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_comes_before_pgweave_and_a_unix_socket_before_both() {
        let general = General {
            server_tls_sslmode: SslMode::Require,
            server_tls_ca_file: Some("/general".into()),
            ..General::default()
        };
        let mut db = Database::named("app");
        assert_eq!(general.server_tls(&db).mode, SslMode::Require);
        db.server_tls_sslmode = Some(SslMode::VerifyFull);
        db.server_tls_ca_file = Some("/own".into());
        let tls = general.server_tls(&db);
        assert_eq!(
            (tls.mode, tls.files.ca),
            (SslMode::VerifyFull, Some("/own".into()))
        );
        db.host = "/run/postgresql".into();
        assert_eq!(general.server_tls(&db).mode, SslMode::Disable);
    }

    #[test]
    fn nothing_is_served_in_tls_unless_it_is_asked_for() {
        let mut general = General::default();
        assert_eq!(general.client_tls(), None);
        general.client_tls_sslmode = SslMode::Allow;
        assert!(general.client_tls().is_some());
    }

    #[test]
    fn equal_settings_are_tried_once() {
        let mut config = Config::default();
        for name in ["a", "b", "c"] {
            config.databases.insert(name.into(), Database::named(name));
        }
        assert_eq!(config.all_server_tls().len(), 1);
        if let Some(db) = config.databases.get_mut("c") {
            db.server_tls_sslmode = Some(SslMode::Disable);
        }
        if let Some(db) = config.databases.get_mut("b") {
            db.server_tls_sslmode = Some(SslMode::Require);
        }
        assert_eq!(config.all_server_tls().len(), 2);
    }
}
