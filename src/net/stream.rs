//! A connected socket, in clear text or encrypted, and the bytes that it did not
//! take yet.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use socket2::{Domain, Socket};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use super::tls::{Acceptor, Connector, Encrypted, HandshakeError, Shown, now};

/// A connected stream socket.
#[derive(Debug)]
pub enum Stream {
    /// TCP.
    Tcp(TcpStream),
    /// Unix-domain.
    Unix(UnixStream),
    /// TCP with TLS.
    Tls(Box<Encrypted>),
    /// Nothing any more: a TLS handshake has the socket, or has failed.
    Closed,
}

/// Who is at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// An address and port.
    Tcp(SocketAddr),
    /// A process on this machine.
    Unix,
}

impl Peer {
    /// Its address; none for a process on this machine.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Peer::Tcp(address) => Some(address.ip()),
            Peer::Unix => None,
        }
    }
}

impl std::fmt::Display for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Peer::Tcp(address) => address.fmt(f),
            Peer::Unix => f.write_str("unix"),
        }
    }
}

impl Stream {
    /// May something have arrived, or the other end have closed? Costs no
    /// system call; true is only a hint. What TLS has decrypted and nobody has
    /// read counts, too.
    #[must_use]
    pub fn may_be_readable(&self) -> bool {
        match self {
            Stream::Tcp(stream) => now(|cx| stream.poll_read_ready(cx)).is_ready(),
            Stream::Unix(stream) => now(|cx| stream.poll_read_ready(cx)).is_ready(),
            Stream::Tls(stream) => stream.may_be_readable(),
            Stream::Closed => true,
        }
    }

    /// Reads what is there now, without waiting; zero bytes are the end.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is there; otherwise what the socket reports.
    pub fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.try_read(buffer),
            Stream::Unix(stream) => stream.try_read(buffer),
            Stream::Tls(stream) => stream.try_read(buffer),
            Stream::Closed => Ok(0),
        }
    }

    /// Writes what the socket takes at once, and forgets the rest: for last
    /// words to a peer that may be gone.
    pub fn write_last(&mut self, bytes: &[u8]) {
        let _ = match self {
            Stream::Tcp(stream) => stream.try_write(bytes),
            Stream::Unix(stream) => stream.try_write(bytes),
            Stream::Tls(stream) => return stream.write_last(bytes),
            Stream::Closed => return,
        };
    }

    /// Writes all of it and sees it on its way: TLS would keep a part.
    ///
    /// # Errors
    /// Whatever the socket reports.
    ///
    /// # Cancel safety
    /// Dropped before its end, a part may have been sent.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes).await?;
        self.flush().await
    }

    /// The first byte that the other end sends, which stays to be read; `None`
    /// where there is none to come, or the stream is not a plain TCP socket.
    ///
    /// # Errors
    /// Whatever the socket reports.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn peek(&self) -> io::Result<Option<u8>> {
        let Stream::Tcp(stream) = self else {
            return Ok(None);
        };
        let mut byte = [0];
        let read = stream.peek(&mut byte).await?;
        Ok(byte.first().copied().filter(|_| read > 0))
    }

    /// Goes over to TLS with a client. After a failure, and while it is under
    /// way, the stream is closed.
    ///
    /// # Errors
    /// What failed in the handshake.
    ///
    /// # Cancel safety
    /// Dropped before its end, the connection is closed.
    pub async fn accept_tls(&mut self, acceptor: &Acceptor) -> io::Result<Shown> {
        let encrypted = acceptor.accept(self.take_tcp()?).await?;
        let shown = encrypted.shown();
        *self = Stream::Tls(Box::new(encrypted));
        Ok(shown)
    }

    /// Goes over to TLS with the server at `host`. After a failure, and while it
    /// is under way, the stream is closed.
    ///
    /// # Errors
    /// What failed in the handshake.
    ///
    /// # Cancel safety
    /// Dropped before its end, the connection is closed.
    pub async fn connect_tls(
        &mut self,
        connector: &Connector,
        host: &str,
    ) -> Result<(), HandshakeError> {
        let encrypted = connector.connect(self.take_tcp()?, host).await?;
        *self = Stream::Tls(Box::new(encrypted));
        Ok(())
    }

    /// The addresses of this end and the other; none but for a plain TCP socket.
    ///
    /// # Errors
    /// When it is not connected any more.
    pub fn ends(&self) -> io::Result<Option<(SocketAddr, SocketAddr)>> {
        match self {
            Stream::Tcp(stream) => Ok(Some((stream.local_addr()?, stream.peer_addr()?))),
            Stream::Unix(_) | Stream::Tls(_) | Stream::Closed => Ok(None),
        }
    }

    /// The certificate that the other end has shown, in DER.
    #[must_use]
    pub fn peer_certificate(&self) -> Option<&[u8]> {
        match self {
            Stream::Tls(stream) => stream.peer_certificate(),
            Stream::Tcp(_) | Stream::Unix(_) | Stream::Closed => None,
        }
    }

    /// The number of the system's user at the other end of a Unix socket.
    #[must_use]
    pub fn peer_uid(&self) -> Option<u32> {
        match self {
            Stream::Unix(stream) => stream.peer_cred().ok().map(|peer| peer.uid()),
            Stream::Tcp(_) | Stream::Tls(_) | Stream::Closed => None,
        }
    }

    /// Goes on with a socket that another process has had.
    ///
    /// # Errors
    /// It is neither of TCP nor a Unix socket.
    pub fn resumed(socket: OwnedFd) -> io::Result<Self> {
        let socket = Socket::from(socket);
        socket.set_nonblocking(true)?;
        let domain = socket.local_addr()?.domain();
        if domain == Domain::UNIX {
            return UnixStream::from_std(OwnedFd::from(socket).into()).map(Stream::Unix);
        }
        TcpStream::from_std(socket.into()).map(Stream::Tcp)
    }

    /// Its socket, if another process could go on with it: inside of TLS there is more
    /// to a connection than that.
    #[must_use]
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Stream::Tcp(stream) => Some(stream.as_fd()),
            Stream::Unix(stream) => Some(stream.as_fd()),
            Stream::Tls(_) | Stream::Closed => None,
        }
    }

    /// Is it a Unix socket, on which there is no TLS?
    #[must_use]
    pub fn is_unix(&self) -> bool {
        matches!(self, Stream::Unix(_))
    }

    /// Is it encrypted?
    #[must_use]
    pub fn is_tls(&self) -> bool {
        matches!(self, Stream::Tls(_))
    }

    /// The version of TLS that it is encrypted with.
    #[must_use]
    pub fn tls_version(&self) -> Option<&'static str> {
        match self {
            Stream::Tls(stream) => Some(stream.version()),
            Stream::Tcp(_) | Stream::Unix(_) | Stream::Closed => None,
        }
    }

    fn take_tcp(&mut self) -> io::Result<TcpStream> {
        match std::mem::replace(self, Stream::Closed) {
            Stream::Tcp(stream) => Ok(stream),
            Stream::Unix(_) | Stream::Tls(_) | Stream::Closed => {
                Err(io::ErrorKind::Unsupported.into())
            }
        }
    }
}

impl AsyncRead for Stream {
    #[inline]
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Tls(stream) => Pin::new(&mut **stream).poll_read(cx, buf),
            Stream::Closed => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncWrite for Stream {
    #[inline]
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Stream::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
            Stream::Tls(stream) => Pin::new(&mut **stream).poll_write(cx, buf),
            Stream::Closed => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    #[inline]
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(_) | Stream::Unix(_) | Stream::Closed => Poll::Ready(Ok(())),
            Stream::Tls(stream) => Pin::new(&mut **stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(&mut **stream).poll_shutdown(cx),
            Stream::Closed => Poll::Ready(Ok(())),
        }
    }
}

/// What a socket has yet to take. Holds no memory while empty.
///
/// Bounded by its user: while it is not empty, nothing more is read that
/// would have to go the same way.
#[derive(Debug, Default)]
pub struct Outbox {
    bytes: Vec<u8>,
    written: usize,
}

impl Outbox {
    /// Is nothing waiting?
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Bytes that wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len() - self.written
    }

    /// Queues bytes behind those that wait.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Writes what waits; ready when nothing is left, inside of TLS neither.
    ///
    /// # Errors
    /// Whatever the stream reports.
    #[inline]
    pub fn poll_flush<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while let Some(rest) = self
            .bytes
            .get(self.written..)
            .filter(|rest| !rest.is_empty())
        {
            match ready!(Pin::new(&mut *stream).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                n => self.written += n,
            }
        }
        if !self.bytes.is_empty() {
            *self = Self::default();
        }
        Pin::new(stream).poll_flush(cx)
    }

    /// Writes `bytes` behind those that wait; keeps what is not taken.
    ///
    /// # Errors
    /// Whatever the stream reports.
    #[inline]
    pub fn write<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> io::Result<()> {
        let mut rest = bytes;
        if self.poll_flush(stream, cx)?.is_ready() {
            while !rest.is_empty() {
                match Pin::new(&mut *stream).poll_write(cx, rest) {
                    Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                    Poll::Ready(Ok(n)) => rest = rest.get(n..).unwrap_or_default(),
                    Poll::Ready(Err(error)) => return Err(error),
                    Poll::Pending => break,
                }
            }
        }
        self.push(rest);
        Ok(())
    }
}
