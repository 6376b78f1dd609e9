//! A TLS session over a socket.
//!
//! What has been decrypted and what has been encrypted may both wait inside of
//! rustls: a socket with nothing to read does not mean that there is nothing to
//! read here, and what was written is on its way only after a flush.

use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};

use std::future::{Future, poll_fn};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::unconstrained;
use tokio_rustls::TlsStream;
use tokio_rustls::rustls::{CommonState, ProtocolVersion};

use super::ALPN;

/// An encrypted stream. Dropping it says so to the other end (close_notify), if
/// the socket takes that at once.
#[derive(Debug)]
pub struct Encrypted {
    stream: TlsStream<TcpStream>,
}

/// What the other side has shown of itself in the handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown {
    /// That it speaks PostgreSQL's protocol.
    pub alpn: bool,
    /// A certificate, which has been checked.
    pub certificate: bool,
}

/// Polls once, whatever the task has done before in its turn.
pub(in crate::net) fn now<T>(poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
    pin!(unconstrained(poll_fn(poll))).poll(&mut Context::from_waker(Waker::noop()))
}

impl Encrypted {
    pub(super) fn new(stream: TlsStream<TcpStream>) -> Self {
        Self { stream }
    }

    fn session(&self) -> &CommonState {
        self.stream.get_ref().1
    }

    pub(in crate::net) fn shown(&self) -> Shown {
        let session = self.session();
        let chain = session.peer_certificates();
        Shown {
            alpn: session.alpn_protocol() == Some(ALPN),
            certificate: chain.is_some_and(|chain| !chain.is_empty()),
        }
    }

    /// The version of TLS that was agreed on.
    pub(in crate::net) fn version(&self) -> &'static str {
        match self.session().protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => "TLS 1.2",
            Some(ProtocolVersion::TLSv1_3) => "TLS 1.3",
            _ => "TLS",
        }
    }

    /// The certificate of the other side, in DER.
    pub(in crate::net) fn peer_certificate(&self) -> Option<&[u8]> {
        let chain = self.session().peer_certificates()?;
        chain.first().map(|certificate| certificate.as_ref())
    }

    /// The name that the client asked for.
    #[cfg(test)]
    pub(super) fn sni(&self) -> Option<String> {
        match &self.stream {
            TlsStream::Server(stream) => stream.get_ref().1.server_name().map(str::to_owned),
            TlsStream::Client(_) => None,
        }
    }

    /// May something have arrived? See [`super::super::Stream::may_be_readable`].
    pub(in crate::net) fn may_be_readable(&self) -> bool {
        // Without a wish to read something is decrypted, or the end has come.
        let socket = self.stream.get_ref().0;
        !self.session().wants_read() || now(|cx| socket.poll_read_ready(cx)).is_ready()
    }

    /// Reads what is there now.
    pub(in crate::net) fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut buffer = ReadBuf::new(buffer);
        match now(|cx| Pin::new(&mut *self).poll_read(cx, &mut buffer)) {
            Poll::Ready(result) => result.map(|()| buffer.filled().len()),
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// Writes what the socket takes at once.
    pub(in crate::net) fn write_last(&mut self, bytes: &[u8]) {
        if let Poll::Ready(Ok(_)) = now(|cx| Pin::new(&mut *self).poll_write(cx, bytes)) {
            let _ = now(|cx| Pin::new(&mut *self).poll_flush(cx));
        }
    }
}

impl Drop for Encrypted {
    fn drop(&mut self) {
        // PostgreSQL does so too; without it libpq reports a broken connection.
        let _ = now(|cx| Pin::new(&mut self.stream).poll_shutdown(cx));
    }
}

impl AsyncRead for Encrypted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        // One record a read; those behind it are decrypted already, and go on
        // together.
        while buf.filled().len() > before && buf.remaining() > 0 && !self.session().wants_read() {
            before = buf.filled().len();
            match Pin::new(&mut self.stream).poll_read(cx, buf) {
                Poll::Ready(Ok(())) => {}
                // It comes again with the next read.
                Poll::Ready(Err(_)) | Poll::Pending => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Encrypted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
