//! What all clients share.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::RwLock;

use super::access::Access;
use super::console::Console;
use crate::auth::Verifiers;
use crate::config::Config;
use crate::net::tls::Tls;
use crate::net::{Names, Ttl};
use crate::pool::{Clients, Directory, Peers, ServerPool};
use crate::wire::CancelKey;

/// The pools, the clients, and the configuration in force.
#[derive(Debug)]
pub struct House {
    config: RwLock<Arc<Config>>,
    /// What clients and servers are taken into TLS with.
    pub tls: Arc<Tls>,
    /// All pools.
    pub directory: Directory,
    /// All clients that have logged in.
    pub clients: Arc<Clients>,
    /// Other processes at the same address.
    pub peers: Peers,
    /// Who may log in.
    pub access: Access,
    /// What judges the clients' secrets.
    pub verifiers: Verifiers,
    connected: AtomicU32,
    console: OnceLock<Arc<dyn Console>>,
    /// Takes what is told of transactions, if somebody does.
    #[cfg(feature = "otel")]
    pub spans: OnceLock<super::spans::Spans>,
}

/// A client connection counts against `max_client_conn` as long as this lives.
#[derive(Debug)]
pub struct Connected(Arc<House>);

impl Connected {
    /// Where it is connected.
    #[must_use]
    pub fn house(&self) -> &Arc<House> {
        &self.0
    }
}

impl House {
    /// A house for this configuration; `names` knows where hosts are, `secret` is
    /// random.
    #[must_use]
    pub fn new(
        config: Config,
        tls: Tls,
        access: Access,
        names: Names,
        secret: [u8; 32],
    ) -> Arc<Self> {
        let (start, _) = secret.split_first_chunk::<8>().unwrap_or((&[0; 8], &[]));
        crate::session::statements::number_from(u64::from_be_bytes(*start));
        let mut verifiers = Verifiers::new(secret, config.general.scram_iterations);
        if access.knows_verifiers(&config) {
            verifiers = verifiers.with_unknown_users_like_scram_users();
        }
        let tls = Arc::new(tls);
        let (clients, peers) = (Arc::<Clients>::default(), Peers::new(names.clone()));
        clients.are_of_peer(config.general.peer_id);
        peers.adopt(&config);
        names.remember_for(ttl(&config));
        Arc::new(Self {
            config: RwLock::new(Arc::new(config)),
            directory: Directory::new(Arc::clone(&tls), names),
            tls,
            clients,
            peers,
            access,
            verifiers,
            connected: AtomicU32::new(0),
            console: OnceLock::new(),
            #[cfg(feature = "otel")]
            spans: OnceLock::new(),
        })
    }

    /// The configuration in force.
    #[must_use]
    pub fn config(&self) -> Arc<Config> {
        Arc::clone(&self.config.read())
    }

    /// Goes on with another configuration, all of it or nothing. Clients stay,
    /// and look what holds for them at their next boundary. Blocks for files.
    ///
    /// # Errors
    /// What is wrong with the files that it names; then all stays as it was.
    pub fn adopt(&self, config: Config) -> Result<(), Vec<String>> {
        let lists = self.access.read(&config).map_err(|wrong| {
            let wrong = wrong.iter();
            wrong.map(ToString::to_string).collect::<Vec<_>>()
        })?;
        self.tls.reload(&config)?;
        self.access.adopt(lists);
        let config = Arc::new(config);
        *self.config.write() = Arc::clone(&config);
        // What was asked in between was asked by the settings of before.
        self.access.forget();
        self.directory.names().remember_for(ttl(&config));
        self.directory.adopt(&config);
        self.peers.adopt(&config);
        self.clients.are_of_peer(config.general.peer_id);
        self.clients.reloaded();
        Ok(())
    }

    /// Has clients told that they have waited for `query_wait_notify`.
    pub fn tell_those_who_wait(&self, config: &Config) {
        let patience = config.general.query_wait_notify;
        let waits = |pool: &Arc<ServerPool>| pool.waiting().0 > 0;
        if !patience.is_zero() && self.directory.pools().iter().any(waits) {
            self.clients.tell_those_queued_for(patience);
        }
    }

    /// Serves a CancelRequest: cancels what the client of this key has running,
    /// or passes it on to the peer that gave the key. A key that is nobody's is
    /// dropped.
    ///
    /// # Cancel safety
    /// Dropped before its end, the server connection is closed rather than
    /// handed on.
    pub async fn cancel(&self, key: &CancelKey) {
        let config = self.config();
        let within = config.general.cancel_wait_timeout;
        match self.clients.owner(key) {
            Some(client) => client.cancel(within).await,
            None => {
                let own = config.general.peer_id;
                self.peers.pass_on(key, own, within).await;
            }
        }
    }

    /// Follows names to their addresses: to be called about once a second.
    pub fn keep_names(&self) {
        let reconnects = self.config().general.dns_reconnect;
        self.directory.keep_names(reconnects);
        if reconnects {
            self.access.leave_lost_addresses(self.directory.names());
        }
    }

    /// From now on this serves who asks for the console; the first one stays.
    pub fn open_console(&self, console: Arc<dyn Console>) {
        let _ = self.console.set(console);
    }

    /// What serves who asks for the console.
    #[must_use]
    pub fn console(&self) -> Option<&Arc<dyn Console>> {
        self.console.get()
    }

    /// Client connections now.
    #[must_use]
    pub fn connected(&self) -> u32 {
        self.connected.load(Ordering::Relaxed)
    }

    /// Counts one more client connection; the number with it.
    #[must_use]
    pub fn connect(self: &Arc<Self>) -> (Connected, u32) {
        let before = self.connected.fetch_add(1, Ordering::AcqRel);
        (Connected(Arc::clone(self)), before + 1)
    }
}

/// How long the addresses of names are remembered.
fn ttl(config: &Config) -> Ttl {
    Ttl {
        found: config.general.dns_max_ttl,
        not_found: config.general.dns_nxdomain_ttl,
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.connected.fetch_sub(1, Ordering::AcqRel);
    }
}
