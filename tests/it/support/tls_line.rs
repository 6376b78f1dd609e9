//! What a raw client's bytes travel on: a socket, or TLS over it.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, ClientConnection, StreamOwned};

/// See the module.
pub enum Line {
    /// A socket.
    Plain(TcpStream),
    /// TLS over it, and whether the other side has ended that in order.
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>, bool),
}

impl Line {
    /// The handshake; the other side must be `localhost`.
    pub fn into_tls(self, config: &Arc<ClientConfig>) -> io::Result<Self> {
        let Self::Plain(mut socket) = self else {
            panic!("TLS inside of TLS")
        };
        socket.set_read_timeout(Some(Duration::from_secs(10)))?;
        let name = ServerName::try_from("localhost").unwrap();
        let mut session = ClientConnection::new(Arc::clone(config), name).unwrap();
        while session.is_handshaking() {
            session.complete_io(&mut socket)?;
        }
        Ok(Self::Tls(
            Box::new(StreamOwned::new(session, socket)),
            false,
        ))
    }

    /// The socket itself.
    pub fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(stream, _) => stream.get_ref(),
        }
    }

    /// Writes all, to the wire.
    pub fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.write_all(bytes),
            Self::Tls(stream, _) => {
                stream.write_all(bytes)?;
                stream.flush()
            }
        }
    }

    /// Reads once.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buffer),
            Self::Tls(stream, in_order) => {
                let read = stream.read(buffer);
                *in_order |= matches!(read, Ok(0));
                // An alert of the other side's is its end, too.
                read.map_err(|error| match error.kind() {
                    ErrorKind::InvalidData => ErrorKind::UnexpectedEof.into(),
                    _ => error,
                })
            }
        }
    }

    /// Has the other side ended TLS in order?
    pub fn ended_in_order(&self) -> bool {
        matches!(self, Self::Tls(_, true))
    }
}
