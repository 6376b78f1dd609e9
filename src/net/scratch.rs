//! One read buffer a thread, lent only inside one poll.
//!
//! A connection that waits owns no buffer: what it reads passes through this
//! one and is written on before the poll returns; only leftovers are kept.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, ReadBuf};

/// Bytes of the scratch buffer: one read takes at most this.
pub const SIZE: usize = 64 * 1024;

struct Scratch {
    read: Box<[u8]>,
    write: Vec<u8>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> =
        RefCell::new(Scratch { read: vec![0; SIZE].into_boxed_slice(), write: Vec::new() });
}

/// Reads once from `stream` into this thread's buffer and hands the bytes to
/// `then`, with an empty vector to build a changed message run in. Zero bytes
/// are the end of the stream.
///
/// # Errors
/// Whatever the stream reports.
#[inline]
pub fn poll_read_with<S: AsyncRead + Unpin, R>(
    stream: &mut S,
    cx: &mut Context<'_>,
    then: impl FnOnce(&mut S, &mut Context<'_>, &mut [u8], &mut Vec<u8>) -> R,
) -> Poll<io::Result<R>> {
    SCRATCH.with_borrow_mut(|scratch| {
        let mut buffer = ReadBuf::new(&mut scratch.read);
        match Pin::new(&mut *stream).poll_read(cx, &mut buffer) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) => {
                scratch.write.clear();
                let result = then(stream, cx, buffer.filled_mut(), &mut scratch.write);
                if scratch.write.capacity() > 4 * SIZE {
                    scratch.write = Vec::new();
                }
                Poll::Ready(Ok(result))
            }
        }
    })
}
