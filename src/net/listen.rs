//! Listening for clients.

use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, lookup_host};

use super::inherited::{Inherited, Passed, tcp_passed};
use super::listen_unix::{UnixPlace, UnixSocket};
use super::stream::{Peer, Stream};
use crate::config::Tcp;

/// How to listen.
#[derive(Debug, Clone, Copy)]
pub struct ListenOptions {
    /// Connections that the kernel queues before we accept them.
    pub backlog: i32,
    /// How the sockets of clients are set up.
    pub tcp: Tcp,
    /// May other processes listen there as well (`so_reuseport`)?
    pub shared: bool,
}

/// A socket that clients connect to.
#[derive(Debug)]
pub struct Listener(Socketed);

#[derive(Debug)]
enum Socketed {
    Tcp {
        socket: TcpListener,
        address: SocketAddr,
        tcp: Tcp,
    },
    Unix(UnixSocket),
}

impl std::fmt::Display for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Socketed::Tcp { address, .. } => address.fmt(f),
            Socketed::Unix(socket) => write!(f, "unix:{}", socket.path.display()),
        }
    }
}

impl Listener {
    /// The port, which the system chose where 0 was asked; none for a Unix socket.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        match &self.0 {
            Socketed::Tcp { address, .. } => Some(address.port()),
            Socketed::Unix(_) => None,
        }
    }

    /// What another process needs to go on with it.
    #[must_use]
    pub fn passed(&self) -> Passed<'_> {
        match &self.0 {
            Socketed::Tcp { socket, .. } => tcp_passed(socket),
            Socketed::Unix(socket) => socket.passed(),
        }
    }

    /// From now on another process has it, who removes its files in the end; or this
    /// one again.
    pub fn is_passed_on(&self, passed: bool) {
        if let Socketed::Unix(socket) = &self.0 {
            socket.is_passed_on(passed);
        }
    }

    /// The next client.
    ///
    /// # Errors
    /// Whatever accept(2) reports; most are about that one client, or about
    /// descriptors running out, and the caller goes on after a pause.
    ///
    /// # Cancel safety
    /// Dropping it loses no client.
    pub async fn accept(&self) -> io::Result<(Stream, Peer)> {
        match &self.0 {
            Socketed::Tcp { socket, tcp, .. } => {
                let (stream, address) = socket.accept().await?;
                // Elsewhere an accepted socket does not take the listener's options on.
                if !cfg!(target_os = "linux") {
                    super::dial::tune(&stream, *tcp);
                }
                Ok((Stream::Tcp(stream), Peer::Tcp(address)))
            }
            Socketed::Unix(socket) => {
                let (stream, _) = socket.listener.accept().await?;
                Ok((Stream::Unix(stream), Peer::Unix))
            }
        }
    }
}

/// Listens on a Unix socket, or goes on with the one that is `inherited`.
///
/// # Errors
/// When somebody listens there already, the directory is not there or not ours
/// to write to, or there is no such group.
pub fn listen_unix(
    place: &UnixPlace,
    backlog: i32,
    inherited: &mut Inherited,
) -> io::Result<Listener> {
    let socket = match inherited.unix_at(&place.path()) {
        Some(known) => UnixSocket::adopt(known),
        None => UnixSocket::bind(place, backlog),
    };
    socket.map(|socket| Listener(Socketed::Unix(socket)))
}

/// Listens on all that is inherited.
///
/// # Errors
/// Whatever the sockets report.
pub fn listen_on_all(inherited: &mut Inherited, tcp: Tcp) -> io::Result<Vec<Listener>> {
    let mut listeners = Vec::new();
    while let Some(socket) = inherited.any_tcp() {
        listeners.push(of_tcp(socket, tcp)?);
    }
    while let Some(known) = inherited.any_unix() {
        listeners.push(Listener(Socketed::Unix(UnixSocket::adopt(known)?)));
    }
    Ok(listeners)
}

/// Listens on every address that `host` stands for (`*` is all of them), or goes on
/// with those of them that are `inherited`.
///
/// # Errors
/// When a name has no address, or an address cannot be bound.
pub async fn listen(
    host: &str,
    port: u16,
    options: ListenOptions,
    inherited: &mut Inherited,
) -> io::Result<Vec<Listener>> {
    let mut bind = |address: SocketAddr| match inherited.tcp_at(address) {
        Some(socket) => of_tcp(socket, options.tcp),
        None => bind(address, options),
    };
    if host == "*" {
        // One socket for both families where the system has IPv6.
        return match bind(SocketAddr::from(([0u16; 8], port))) {
            Ok(listener) => Ok(vec![listener]),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(error),
            Err(_) => Ok(vec![bind(SocketAddr::from(([0u8; 4], port)))?]),
        };
    }
    let mut listeners = Vec::new();
    let mut seen = Vec::new();
    for address in lookup_host((host, port)).await? {
        if !seen.contains(&address) {
            seen.push(address);
            listeners.push(bind(address)?);
        }
    }
    Ok(listeners)
}

fn bind(address: SocketAddr, options: ListenOptions) -> io::Result<Listener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() && address.ip().is_unspecified() {
        socket.set_only_v6(false)?;
    }
    if options.shared {
        socket.set_reuse_port(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    super::dial::tune(&socket, options.tcp);
    socket.listen(options.backlog)?;
    of_tcp(socket.into(), options.tcp)
}

fn of_tcp(socket: std::net::TcpListener, tcp: Tcp) -> io::Result<Listener> {
    let socket = TcpListener::from_std(socket)?;
    let address = socket.local_addr()?;
    Ok(Listener(Socketed::Tcp {
        socket,
        address,
        tcp,
    }))
}
