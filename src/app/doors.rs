//! Where clients come in, and those who ask for metrics: opened, closed, and opened
//! again when nobody else goes on with them.

use std::net::TcpListener as StdTcp;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::accept::accept;
use crate::config::{Config, General};
use crate::net::{
    Inherited, ListenOptions, Listener, UnixPlace, listen, listen_on_all, listen_unix,
};
use crate::proxy::House;
use crate::telemetry::{self, Telemetry};

/// See the module.
pub(super) struct Doors {
    pub listeners: Vec<Arc<Listener>>,
    /// That of HTTP.
    pub http: Option<Arc<StdTcp>>,
    /// The system has opened them.
    pub are_inherited: bool,
    accepting: JoinSet<()>,
    telling: JoinSet<()>,
}

impl Doors {
    /// Listens wherever the configuration says, and lets nobody in yet. What is
    /// inherited is gone on with; `http` is that of the process of before.
    ///
    /// # Errors
    /// Why that is not possible.
    pub async fn build(
        config: &Config,
        mut inherited: Inherited,
        http: Option<StdTcp>,
    ) -> Result<Self, String> {
        let general = &config.general;
        let http = listen_http(general, &mut inherited, http).await?;
        let are_inherited = inherited.are_all;
        let listeners = match are_inherited {
            true => listen_on_all(&mut inherited, general.tcp())
                .map_err(|error| format!("pgweave: a socket that was passed on: {error}"))?,
            false => listeners(config, &mut inherited).await?,
        };
        if listeners.is_empty() {
            return Err("pgweave: there is no address to listen on".to_owned());
        }
        Ok(Self {
            listeners: listeners.into_iter().map(Arc::new).collect(),
            http: http.map(Arc::new),
            are_inherited,
            accepting: JoinSet::new(),
            telling: JoinSet::new(),
        })
    }

    /// Lets people in.
    pub fn open(&mut self, house: &Arc<House>, pages: &Arc<Telemetry>) -> std::io::Result<()> {
        for listener in &self.listeners {
            tracing::info!("listening on {listener}");
            self.accepting
                .spawn(accept(Arc::clone(house), Arc::clone(listener)));
        }
        if let Some(http) = &self.http {
            let listener = TcpListener::from_std(http.try_clone()?)?;
            self.telling
                .spawn(telemetry::serve(Arc::clone(pages), listener));
        }
        Ok(())
    }

    /// The files of the sockets are this process's, to be removed in the end.
    pub fn are_ours(&self) {
        self.are_passed_on(false);
    }

    fn are_passed_on(&self, passed: bool) {
        for listener in &self.listeners {
            listener.is_passed_on(passed);
        }
    }

    /// Lets no client in any more: who comes is refused, or goes to another process at the
    /// same address. Who is inside stays.
    pub async fn close(&mut self) {
        self.accepting.shutdown().await;
        self.listeners.clear();
    }

    /// Another process lets them in from now on.
    pub async fn leave(&mut self) {
        self.accepting.shutdown().await;
        self.telling.shutdown().await;
        self.are_passed_on(true);
    }
}

/// Listens for those who ask for metrics and health.
async fn listen_http(
    general: &General,
    inherited: &mut Inherited,
    before: Option<StdTcp>,
) -> Result<Option<StdTcp>, String> {
    let Some(address) = &general.http_listen else {
        return Ok(None);
    };
    let cannot = |error| format!("pgweave: cannot listen on {address} (http_listen): {error}");
    let known = match address.parse() {
        Ok(address) => before
            .filter(|before| {
                let is_it = |there: std::net::SocketAddr| {
                    there.ip() == std::net::SocketAddr::ip(&address)
                        && [0, there.port()].contains(&address.port())
                };
                before.local_addr().is_ok_and(is_it)
            })
            .or_else(|| inherited.tcp_at(address)),
        Err(_) => None,
    };
    let listener = match known {
        Some(known) => known,
        None => {
            let bound = TcpListener::bind(address).await.map_err(cannot)?;
            bound.into_std().map_err(cannot)?
        }
    };
    listener.set_nonblocking(true).map_err(cannot)?;
    let address = listener.local_addr().map_err(cannot)?;
    tracing::info!("metrics and health on http://{address}");
    Ok(Some(listener))
}

async fn listeners(config: &Config, inherited: &mut Inherited) -> Result<Vec<Listener>, String> {
    let general = &config.general;
    let options = ListenOptions {
        backlog: i32::try_from(general.listen_backlog).unwrap_or(i32::MAX),
        tcp: general.tcp(),
        shared: general.so_reuseport,
    };
    let mut listeners = Vec::new();
    for address in &general.listen_addr {
        let port = general.listen_port;
        let found = listen(address, port, options, inherited).await;
        listeners.extend(
            found
                .map_err(|error| format!("pgweave: cannot listen on {address}:{port}: {error}"))?,
        );
    }
    if let Some(directory) = &general.unix_socket_dir {
        let place = UnixPlace {
            directory: directory.clone(),
            port: listeners
                .iter()
                .find_map(Listener::port)
                .unwrap_or(general.listen_port),
            mode: general.unix_socket_mode.0,
            group: general.unix_socket_group.clone(),
        };
        let found = listen_unix(&place, options.backlog, inherited);
        listeners.push(found.map_err(|error| {
            format!(
                "pgweave: cannot listen on a Unix socket in {}: {error}",
                directory.display()
            )
        })?);
    }
    Ok(listeners)
}
