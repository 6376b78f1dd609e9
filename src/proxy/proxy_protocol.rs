//! What a load balancer tells of a client, ahead of all that the client says.

use std::io;

use tokio::io::AsyncReadExt;

use super::intro::Intro;
use super::login::NoSession;
use crate::config::{General, ProxyProtocol};
use crate::net::{Peer, Stream};
use crate::wire::proxy_header::{self, NoHeader, Step, Told};
use crate::wire::{PgError, sqlstate};

/// What is read at once of what need not be kept.
const PIECE: usize = 512;

/// Reads the header, where there may or must be one: from then on the client is
/// where that says. Nothing of what follows it is read: it may begin TLS.
pub(super) async fn read_header(intro: &mut Intro<'_>, general: &General) -> Result<(), NoSession> {
    let is_trusted = || {
        let from = general.proxy_protocol_from.as_ref();
        from.is_some_and(|from| from.contain(intro.peer.ip()))
    };
    if general.proxy_protocol == ProxyProtocol::Off || !is_trusted() {
        return Ok(());
    }
    let mut read = Vec::new();
    if !proxy_header::may_begin_with(first_byte(intro.stream, &mut read).await?) {
        if general.proxy_protocol == ProxyProtocol::Require {
            return Err(refused("a header of the PROXY protocol is missing")
                .with_detail("proxy_protocol is \"require\", and this address is one of proxy_protocol_from.")
                .into());
        }
        // No TLS begins on the streams where it has been taken.
        intro.read.extend_from_slice(&read);
        return Ok(());
    }
    let told = whole_header(intro.stream, &mut read).await?;
    intro.via = Some(intro.peer);
    if let Some(client) = told.client {
        intro.peer = Peer::Tcp(client);
    }
    Ok(())
}

/// The first byte; it is left where it is if the stream can do that.
async fn first_byte(stream: &mut Stream, read: &mut Vec<u8>) -> io::Result<u8> {
    if let Some(byte) = stream.peek().await? {
        return Ok(byte);
    }
    let byte = stream.read_u8().await?;
    read.push(byte);
    Ok(byte)
}

async fn whole_header(stream: &mut Stream, read: &mut Vec<u8>) -> Result<Told, NoSession> {
    loop {
        match proxy_header::read(read).map_err(|NoHeader| refused(&NoHeader.to_string()))? {
            Step::Needs(more) => take(stream, more, read).await?,
            Step::Says(told) => {
                let mut left = told.length.saturating_sub(read.len());
                while left > 0 {
                    read.clear();
                    take(stream, left.min(PIECE), read).await?;
                    left = left.saturating_sub(read.len());
                }
                return Ok(told);
            }
        }
    }
}

/// Reads what there is, at most so many bytes.
async fn take(stream: &mut Stream, most: usize, read: &mut Vec<u8>) -> io::Result<()> {
    let most = u64::try_from(most).unwrap_or(0);
    match stream.take(most).read_buf(read).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

fn refused(what: &str) -> PgError {
    PgError::fatal(sqlstate::PROTOCOL_VIOLATION, what)
}
