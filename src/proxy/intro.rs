//! What a client says before it has a session: requests for encryption, a
//! cancel, the StartupMessage (`protocol-flow.html#PROTOCOL-FLOW-START-UP`).

use std::io;
use std::sync::Arc;

use tokio::io::AsyncReadExt;
use zeroize::Zeroizing;

use super::house::House;
use super::login::NoSession;
use crate::auth::Binding;
use crate::net::tls::Acceptor;
use crate::net::{Peer, Stream};
use crate::wire::startup::{FirstPacket, MAX_STARTUP, Startup, first_packet};
use crate::wire::{PgError, sqlstate};

/// The first byte of TLS (a handshake record), which no packet of PostgreSQL's
/// begins with: it would be longer than any of them may be.
const TLS_HANDSHAKE: u8 = 0x16;

/// Reads what comes before a session: few system calls, bounded memory.
pub(super) struct Intro<'a> {
    pub stream: &'a mut Stream,
    /// Where the client is.
    pub peer: Peer,
    /// The load balancer that has said so.
    pub via: Option<Peer>,
    /// What has been read and not been taken yet.
    pub read: Zeroizing<Vec<u8>>,
    /// What SCRAM can be bound to, inside of TLS.
    pub binding: Option<Binding>,
}

impl Intro<'_> {
    /// The number of the system's user that the client is, which the system knows
    /// of a Unix socket. One that is behind somebody else is not that user.
    pub fn uid(&self) -> Option<u32> {
        match self.via {
            Some(_) => None,
            None => self.stream.peer_uid(),
        }
    }

    /// The next `count` bytes.
    pub async fn take(&mut self, count: usize) -> io::Result<Vec<u8>> {
        self.make_room(count.max(512));
        while self.read.len() < count {
            if self.stream.read_buf(&mut *self.read).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(self.read.drain(..count).collect())
    }

    /// Room for so many bytes in all. It may hold a password: what is left behind
    /// is wiped.
    fn make_room(&mut self, bytes: usize) {
        if self.read.capacity() < bytes {
            let mut larger = Zeroizing::new(Vec::with_capacity(bytes));
            larger.extend_from_slice(&self.read);
            self.read = larger;
        }
    }

    pub async fn take_array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let bytes = self.take(N).await?;
        bytes
            .try_into()
            .map_err(|_| io::ErrorKind::UnexpectedEof.into())
    }

    async fn packet(&mut self) -> Result<FirstPacket, NoSession> {
        let length = u32::from_be_bytes(self.take_array().await?);
        let body = usize::try_from(length)
            .ok()
            .and_then(|length| length.checked_sub(4));
        let Some(body) = body.filter(|body| (4..=MAX_STARTUP).contains(body)) else {
            return Err(violation("invalid length of startup packet").into());
        };
        Ok(first_packet(&self.take(body).await?)?)
    }
}

/// Everything before the StartupMessage, and it.
pub(super) async fn first_words(
    house: &Arc<House>,
    intro: &mut Intro<'_>,
) -> Result<Startup, NoSession> {
    let acceptor = house.tls.acceptor();
    let (mut asked_tls, mut asked_gss) = (false, false);
    if let Some(acceptor) = &acceptor
        && intro.stream.peek().await? == Some(TLS_HANDSHAKE)
    {
        encrypt(intro, acceptor, Begun::Directly).await?;
        (asked_tls, asked_gss) = (true, true);
    }
    loop {
        match intro.packet().await? {
            FirstPacket::Ssl if !asked_tls => {
                asked_tls = true;
                if let Some(acceptor) = &acceptor
                    && !intro.stream.is_unix()
                {
                    encrypt(intro, acceptor, Begun::AfterSslRequest).await?;
                    asked_gss = true;
                    continue;
                }
            }
            FirstPacket::GssEnc if !asked_gss => asked_gss = true,
            FirstPacket::Ssl | FirstPacket::GssEnc => {
                return Err(violation("encryption was asked for twice").into());
            }
            // PostgreSQL takes a cancel in clear text, too: many drivers send no
            // other, and its key is good for nothing else.
            FirstPacket::Cancel(key) => {
                house.cancel(&key).await;
                return Err(NoSession::Silence);
            }
            FirstPacket::Startup(startup) => {
                let is_required = acceptor.is_some_and(|acceptor| acceptor.is_required());
                // Nobody reads along on this machine.
                if is_required && !intro.stream.is_tls() && intro.peer != Peer::Unix {
                    return Err(tls_required().into());
                }
                return Ok(startup);
            }
        }
        // As PostgreSQL without TLS and GSSAPI: the client may go on in clear.
        intro.stream.send(b"N").await?;
    }
}

/// How TLS began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Begun {
    AfterSslRequest,
    Directly,
}

/// Goes over to TLS.
async fn encrypt(
    intro: &mut Intro<'_>,
    acceptor: &Acceptor,
    begun: Begun,
) -> Result<(), NoSession> {
    if begun == Begun::AfterSslRequest {
        // It came in clear text, perhaps from somebody in between, and would be
        // taken for something said inside of TLS.
        if !intro.read.is_empty() {
            return Err(violation("received unencrypted data after an SSLRequest")
                .with_detail("This can be a fault of the client's, or an attack by somebody between it and pgweave.")
                .into());
        }
        intro.stream.send(b"S").await?;
    }
    let shown = intro
        .stream
        .accept_tls(acceptor)
        .await
        .map_err(|error| match error.kind() {
            // It left: whoever only asks whether somebody is there does so.
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => NoSession::Silence,
            _ => violation(&format!("the TLS handshake failed: {error}")).into(),
        })?;
    intro.binding = acceptor.binding().cloned();
    // Other protocols are spoken inside of TLS as well: who begins with it must
    // say that this one is meant.
    if begun == Begun::Directly && !shown.alpn {
        return Err(violation(
            "TLS without an SSLRequest needs ALPN with the protocol \"postgresql\"",
        )
        .into());
    }
    if acceptor.wants_certificate() && !shown.certificate {
        return Err(PgError::fatal(
            sqlstate::INVALID_AUTHORIZATION,
            "connection requires a valid client certificate",
        )
        .into());
    }
    Ok(())
}

/// PostgreSQL's SQLSTATE where `pg_hba.conf` has but `hostssl` lines.
fn tls_required() -> PgError {
    PgError::fatal(
        sqlstate::INVALID_AUTHORIZATION,
        "connections without TLS are not allowed",
    )
    .with_hint("Set sslmode to require or stricter.")
}

fn violation(what: &str) -> PgError {
    PgError::fatal(sqlstate::PROTOCOL_VIOLATION, what)
}
