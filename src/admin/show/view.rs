//! What the tables are made of: who there is at this moment.

use std::collections::HashMap;
use std::sync::Arc;

use crate::config::Config;
use crate::pool::{ClientHandle, ServerEntry, ServerPool, Serving};
use crate::proxy::House;
use crate::server::Identity;

/// A client, and what serves it.
pub(super) struct Seen {
    pub handle: Arc<ClientHandle>,
    pub serving: Serving,
}

/// What a server connection does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ServerState {
    /// A query of its client's is being cancelled.
    BeingCanceled,
    /// It serves a client.
    Active,
    /// Nothing.
    Idle,
}

/// The house at one moment, or nearly: nobody is kept from moving meanwhile.
pub(super) struct View<'a> {
    pub house: &'a House,
    pub config: Arc<Config>,
    pub pools: Vec<Arc<ServerPool>>,
    pub clients: Vec<Seen>,
    /// Who is served by a server connection: its place among the clients.
    served: HashMap<*const Identity, usize>,
    /// The numbers of server connections.
    numbers: HashMap<*const Identity, u64>,
}

impl<'a> View<'a> {
    pub fn of(house: &'a House) -> Self {
        let seen = |handle: Arc<ClientHandle>| Seen {
            serving: handle.serving(),
            handle,
        };
        let clients: Vec<Seen> = house.clients.all().into_iter().map(seen).collect();
        let by = |(at, client): (usize, &Seen)| match &client.serving {
            Serving::Server(identity) => Some((Arc::as_ptr(identity), at)),
            Serving::Nobody | Serving::Waiting => None,
        };
        let served = clients.iter().enumerate().filter_map(by).collect();
        let pools = house.directory.pools_of(None);
        let servers = pools.iter().flat_map(|pool| pool.servers());
        let numbers = servers.map(|server| (Arc::as_ptr(&server.identity), server.id));
        Self {
            numbers: numbers.collect(),
            house,
            config: house.config(),
            pools,
            clients,
            served,
        }
    }

    /// Whom a server connection serves.
    pub fn client_of(&self, server: &ServerEntry) -> Option<&Seen> {
        let at = self.served.get(&Arc::as_ptr(&server.identity))?;
        self.clients.get(*at)
    }

    /// What a server connection does.
    pub fn state_of(&self, server: &ServerEntry) -> ServerState {
        match self.client_of(server) {
            _ if server.identity.is_being_canceled() => ServerState::BeingCanceled,
            Some(_) => ServerState::Active,
            None => ServerState::Idle,
        }
    }

    /// The clients of the console.
    pub fn visitors(&self) -> usize {
        let visitors = self.clients.iter().filter(|client| client.pool().is_none());
        visitors.count()
    }

    /// How many server connections there are.
    pub fn servers(&self) -> usize {
        self.pools.iter().map(|pool| pool.servers().len()).sum()
    }

    /// The number of the server connection that this is.
    pub fn number_of(&self, identity: &Arc<Identity>) -> Option<u64> {
        self.numbers.get(&Arc::as_ptr(identity)).copied()
    }

    /// The names of all databases: those of the configuration, and those that
    /// clients have asked for.
    pub fn databases(&self) -> Vec<String> {
        let configured = self.config.databases.keys().cloned();
        let asked_for = self.pools.iter().map(|pool| pool.database.clone());
        let mut names: Vec<String> = configured.chain(asked_for).collect();
        names.sort();
        names.dedup();
        names
    }
}

impl Seen {
    /// Its pool; none on the console.
    pub fn pool(&self) -> Option<&Arc<ServerPool>> {
        self.handle.who.pool()
    }

    pub fn waits(&self) -> bool {
        matches!(self.serving, Serving::Waiting)
    }

    /// The database that it asked for.
    pub fn database(&self) -> &str {
        self.pool()
            .map_or(super::process::CONSOLE, |pool| pool.database.as_str())
    }

    pub fn user(&self) -> &str {
        self.handle.user().unwrap_or_default()
    }
}
