//! A header of the PROXY protocol ahead of all else, for servers that are reached
//! through something that wants one.

use std::io;

use crate::config::ServerProxyProtocol;
use crate::net::Stream;
use crate::wire::proxy_header;

/// Tells where the connection comes from and leads: from pgweave, since clients come
/// and go on it.
///
/// # Errors
/// Whatever the socket reports.
///
/// # Cancel safety
/// Dropped before its end, a part may have been sent.
pub(super) async fn introduce(stream: &mut Stream, how: ServerProxyProtocol) -> io::Result<()> {
    let header = match how {
        ServerProxyProtocol::Off => return Ok(()),
        ServerProxyProtocol::V1 => proxy_header::line_of(stream.ends()?),
        ServerProxyProtocol::V2 => proxy_header::binary_of(stream.ends()?),
    };
    stream.send(&header).await
}
