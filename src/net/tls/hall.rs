//! All that is in force of TLS, and how files are read again.

use std::collections::HashMap;

use parking_lot::RwLock;

use super::{Acceptor, Connector};
use crate::config::{Config, ServerTls, SslMode, Tls as Side, TlsMistake};

/// What clients and servers are taken into TLS with.
#[derive(Debug, Default)]
pub struct Tls {
    in_force: RwLock<InForce>,
}

#[derive(Debug, Default)]
struct InForce {
    acceptor: Option<Acceptor>,
    connectors: HashMap<ServerTls, Connector>,
}

/// What is wrong with the files of one side.
#[must_use]
pub fn mistakes(side: &Side<'_>) -> Vec<TlsMistake> {
    match side {
        Side::Clients(tls) => Acceptor::load(tls).err(),
        Side::Servers(tls) => Connector::load(tls).err(),
    }
    .unwrap_or_default()
}

impl Tls {
    /// Reads all files that the configuration names.
    ///
    /// # Errors
    /// What is wrong with them, all at once.
    pub fn load(config: &Config) -> Result<Self, Vec<String>> {
        let in_force = RwLock::new(InForce::load(config)?);
        Ok(Self { in_force })
    }

    /// Reads all files again, for connections that begin from now on.
    ///
    /// # Errors
    /// What is wrong with them; then all stays as it was.
    pub fn reload(&self, config: &Config) -> Result<(), Vec<String>> {
        let fresh = InForce::load(config)?;
        *self.in_force.write() = fresh;
        Ok(())
    }

    /// What takes clients into TLS, if anything does.
    #[must_use]
    pub fn acceptor(&self) -> Option<Acceptor> {
        self.in_force.read().acceptor.clone()
    }

    /// What takes connections to a server into TLS; none if they stay in clear
    /// text.
    ///
    /// # Errors
    /// What is wrong with its files, where it was not in force yet.
    pub fn connector(&self, tls: &ServerTls) -> Result<Option<Connector>, Vec<TlsMistake>> {
        if tls.mode == SslMode::Disable {
            return Ok(None);
        }
        if let Some(known) = self.in_force.read().connectors.get(tls) {
            return Ok(Some(known.clone()));
        }
        let connector = Connector::load(tls)?;
        let mut in_force = self.in_force.write();
        in_force.connectors.insert(tls.clone(), connector.clone());
        Ok(Some(connector))
    }
}

impl InForce {
    fn load(config: &Config) -> Result<Self, Vec<String>> {
        let mut wrong = Vec::new();
        let mut told = |side: &str, mistakes: Vec<TlsMistake>| {
            wrong.extend(mistakes.iter().map(|mistake| format!("{side}_{mistake}")));
        };
        let mut fresh = Self::default();
        if let Some(tls) = config.general.client_tls() {
            match Acceptor::load(&tls) {
                Ok(acceptor) => fresh.acceptor = Some(acceptor),
                Err(mistakes) => told("client", mistakes),
            }
        }
        for tls in config.all_server_tls() {
            match Connector::load(&tls) {
                Ok(connector) => drop(fresh.connectors.insert(tls, connector)),
                Err(mistakes) => told("server", mistakes),
            }
        }
        match wrong.is_empty() {
            true => Ok(fresh),
            false => Err(wrong),
        }
    }
}
