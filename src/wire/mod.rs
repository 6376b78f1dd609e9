//! Bytes and frames of PostgreSQL's frontend/backend protocol (`protocol.html`).
//!
//! Pure: no I/O, no clock. The only room that names pgwire's message types
//! (`auth` names its SCRAM functions). Knows what a frame looks like, never
//! what it means for the frames that follow: that is `session`.

pub mod backend;
mod cancel_key;
mod error;
pub mod frame;
pub mod frontend;
pub mod proxy_header;
pub mod run;
pub mod startup;

pub use cancel_key::CancelKey;
pub use error::{PgError, Severity, sqlstate};

use bytes::BytesMut;
use pgwire::messages::Message;

/// The bytes of one message that we make ourselves.
///
/// pgwire can fail to encode only what we never build (oversized messages);
/// such a message comes out empty.
#[must_use]
pub fn encode(message: impl Message) -> Vec<u8> {
    let mut buffer = BytesMut::new();
    match message.encode(&mut buffer) {
        Ok(()) => buffer.to_vec(),
        Err(_) => Vec::new(),
    }
}
