//! What all clients share.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::RwLock;

use super::access::Access;
use super::console::Console;
use super::moving::{Before, Exit};
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
    /// `log_min_duration_transaction`, for each turn to look at: microseconds.
    slow_after: AtomicU64,
    /// `log_traceparent`, which is looked at for each query.
    traces: AtomicBool,
    console: OnceLock<Arc<dyn Console>>,
    /// The way to another process, while it takes clients.
    exit: RwLock<Option<Arc<dyn Exit>>>,
    /// The process of before, while it still has clients.
    before: RwLock<Option<Arc<dyn Before>>>,
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
        let slow_after = slow_after(&config);
        let traces = AtomicBool::new(config.general.log_traceparent);
        Arc::new(Self {
            config: RwLock::new(Arc::new(config)),
            directory: Directory::new(Arc::clone(&tls), names),
            tls,
            clients,
            peers,
            access,
            verifiers,
            connected: AtomicU32::new(0),
            slow_after: AtomicU64::new(slow_after),
            traces,
            console: OnceLock::new(),
            exit: RwLock::new(None),
            before: RwLock::new(None),
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
        self.slow_after
            .store(slow_after(&config), Ordering::Relaxed);
        let traces = config.general.log_traceparent;
        self.traces.store(traces, Ordering::Relaxed);
        // What was asked in between was asked by the settings of before.
        self.access.forget();
        self.directory.names().remember_for(ttl(&config));
        self.directory.adopt(&config);
        self.peers.adopt(&config);
        self.clients.are_of_peer(config.general.peer_id);
        self.clients.reloaded();
        Ok(())
    }

    /// How long a transaction takes that is slow; none: nobody wants to know.
    #[inline]
    #[must_use]
    pub fn slow_after(&self) -> Option<Duration> {
        match self.slow_after.load(Ordering::Relaxed) {
            0 => None,
            after => Some(Duration::from_micros(after)),
        }
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
                if let Some(before) = &*self.before.read() {
                    before.cancel(key);
                }
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

    /// From now on, or no longer, clients can go over to another process this way.
    pub fn open_exit(&self, exit: Option<Arc<dyn Exit>>) {
        *self.exit.write() = exit;
    }

    /// From now on, or no longer, there may be clients in the process of before.
    pub fn knows_before(&self, before: Option<Arc<dyn Before>>) {
        *self.before.write() = before;
    }

    /// The way to another process, if there is one.
    #[must_use]
    pub fn exit(&self) -> Option<Arc<dyn Exit>> {
        self.exit.read().clone()
    }

    /// Does it matter which traces queries belong to?
    #[inline]
    #[must_use]
    pub fn traces(&self) -> bool {
        #[cfg(feature = "otel")]
        if self.spans.get().is_some() {
            return true;
        }
        self.traces.load(Ordering::Relaxed)
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

/// What [`House::slow_after`] looks at.
fn slow_after(config: &Config) -> u64 {
    let after = config.general.log_min_duration_transaction;
    u64::try_from(after.as_micros()).unwrap_or(u64::MAX)
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
