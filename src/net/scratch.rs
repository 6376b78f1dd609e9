//! One read buffer a thread, lent only inside one poll.
//!
//! A connection that waits owns no buffer: what it reads passes through this
//! one and is written on before the poll returns; only leftovers are kept.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

/// Bytes of the read buffer: one read takes at most this.
pub const SIZE: usize = 64 * 1024;

/// The buffers of one thread.
#[derive(Debug)]
pub struct Scratch {
    /// What was read.
    pub read: Box<[u8]>,
    /// Where a changed run of messages is built; empty when lent.
    pub write: Vec<u8>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> =
        RefCell::new(Scratch { read: vec![0; SIZE].into_boxed_slice(), write: Vec::new() });
}

/// Lends this thread's buffers. Not to be called inside itself.
#[inline]
pub fn with<R>(then: impl FnOnce(&mut Scratch) -> R) -> R {
    SCRATCH.with_borrow_mut(|scratch| {
        scratch.write.clear();
        let result = then(scratch);
        if scratch.write.capacity() > 4 * SIZE {
            scratch.write = Vec::new();
        }
        result
    })
}

/// Reads once into `buffer`; zero bytes are the end of the stream.
///
/// # Errors
/// Whatever the stream reports.
#[inline]
pub fn poll_read<S: AsyncRead + Unpin>(
    stream: &mut S,
    cx: &mut Context<'_>,
    buffer: &mut [u8],
) -> Poll<io::Result<usize>> {
    let mut buffer = ReadBuf::new(buffer);
    ready!(Pin::new(stream).poll_read(cx, &mut buffer))?;
    Poll::Ready(Ok(buffer.filled().len()))
}
