//! Which rule is a login's (`auth-pg-hba-conf.html`).

use std::net::IpAddr;

use super::answers::Answers;
use super::names::{any_database, any_user};
use super::rules::{ConnectionType, Rule};

/// What a rule is found by (`auth-pg-hba-conf.html#AUTH-PG-HBA-CONF`).
#[derive(Debug, Clone, Copy)]
pub struct Login<'l> {
    /// How the client has come.
    pub connection: Connection,
    /// As it asks for it; the user's name if it asks for none.
    pub database: &'l str,
    /// As whom.
    pub user: &'l str,
    /// Physical replication: `replication=true`. What asks for
    /// `replication=database` is a login to that database, as any other.
    pub is_replication: bool,
}

/// How a client has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connection {
    /// Through a Unix socket.
    Local,
    /// By TCP.
    Host {
        /// Where from. IPv4 in the clothes of IPv6 is taken for IPv4.
        address: IpAddr,
        /// Is it encrypted?
        is_tls: bool,
    },
}

impl Rule {
    /// Is it about this login? What is surely different decides, whatever else
    /// cannot be told.
    pub(super) fn covers(&self, login: &Login<'_>, answers: &dyn Answers) -> Option<bool> {
        if !self.kind.covers(login.connection) {
            return Some(false);
        }
        let columns = [
            any_database(&self.databases, login, answers),
            any_user(&self.users, login.user, answers),
        ];
        if columns.contains(&Some(false)) {
            return Some(false);
        }
        // Comes last, since a host name may have to be looked up.
        match self.covers_address(login.connection, answers) {
            Some(true) if columns.contains(&None) => None,
            address => address,
        }
    }

    fn covers_address(&self, connection: Connection, answers: &dyn Answers) -> Option<bool> {
        match (&self.address, connection) {
            (None, Connection::Local) => Some(true),
            (Some(rule), Connection::Host { address, .. }) => {
                rule.admits(address.to_canonical(), answers)
            }
            (None, Connection::Host { .. }) | (Some(_), Connection::Local) => Some(false),
        }
    }
}

impl ConnectionType {
    fn covers(self, connection: Connection) -> bool {
        match (self, connection) {
            (Self::Local, Connection::Local) => true,
            (Self::Host | Self::HostNoGssEnc, Connection::Host { .. }) => true,
            (Self::HostSsl, Connection::Host { is_tls, .. }) => is_tls,
            (Self::HostNoSsl, Connection::Host { is_tls, .. }) => !is_tls,
            (Self::HostGssEnc, Connection::Host { .. }) => false,
            (Self::Local, Connection::Host { .. }) => false,
            (
                Self::Host
                | Self::HostSsl
                | Self::HostNoSsl
                | Self::HostGssEnc
                | Self::HostNoGssEnc,
                Connection::Local,
            ) => false,
        }
    }
}
