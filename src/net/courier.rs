//! Messages between two processes of one machine, with open descriptors beside
//! them (`unix(7)`, `SCM_RIGHTS`).

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::sync::Mutex;
use zeroize::Zeroizing;

/// The longest message, in bytes: what one client may have prepared is less.
const LONGEST: usize = 256 << 20;

/// So many descriptors may go with one message.
const MOST: usize = 4;

/// One end of a connection to another process of the same user.
#[derive(Debug)]
pub struct Courier {
    stream: UnixStream,
    /// One message at a time, each way; true while it is under way: if it was cut off,
    /// nothing can follow.
    sending: Mutex<bool>,
    receiving: Mutex<()>,
}

/// What has come: a message, and the descriptors beside it. Wiped when dropped: there
/// may be secrets in it.
pub type Delivery = (Zeroizing<Vec<u8>>, Vec<OwnedFd>);

impl Courier {
    /// Talks by this socket, if the process at its other end is of the same user as
    /// this one, of root, or of the user `also`.
    ///
    /// # Errors
    /// `PermissionDenied` where it is somebody else's.
    pub fn new(stream: UnixStream, also: Option<u32>) -> io::Result<Self> {
        let theirs = stream.peer_cred()?.uid();
        if theirs != nix::unistd::getuid().as_raw() && theirs != 0 && also != Some(theirs) {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        Ok(Self {
            stream,
            sending: Mutex::default(),
            receiving: Mutex::default(),
        })
    }

    /// The number of the process at the other end, where the system tells it.
    #[must_use]
    pub fn pid(&self) -> Option<i32> {
        self.stream.peer_cred().ok().and_then(|peer| peer.pid())
    }

    /// Sends a message, and of each descriptor a copy.
    ///
    /// # Errors
    /// `InvalidInput` where it is too long, before anything is sent; else what the
    /// socket reports.
    ///
    /// # Cancel safety
    /// Dropped before its end, a part may have been sent: nothing can be sent any more,
    /// and the other end drops what it has of it when the connection ends.
    pub async fn send(&self, message: &[u8], beside: &[BorrowedFd<'_>]) -> io::Result<()> {
        let length = u32::try_from(message.len()).ok();
        let fits = message.len() <= LONGEST && beside.len() <= MOST;
        let Some(length) = length.filter(|_| fits) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let mut under_way = self.sending.lock().await;
        if *under_way {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        *under_way = true;
        // The descriptors arrive with the first byte, which is of the length.
        let head = length.to_be_bytes();
        let sent = self.write(&head, beside).await?;
        let rest = head.get(sent..).unwrap_or_default();
        for mut part in [rest, message] {
            while !part.is_empty() {
                let sent = self.write(part, &[]).await?;
                part = part.get(sent..).unwrap_or_default();
            }
        }
        *under_way = false;
        Ok(())
    }

    async fn write(&self, bytes: &[u8], beside: &[BorrowedFd<'_>]) -> io::Result<usize> {
        let send = || {
            let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
            let mut control = SendAncillaryBuffer::new(&mut room);
            if !beside.is_empty() && !control.push(SendAncillaryMessage::ScmRights(beside)) {
                return Err(io::ErrorKind::InvalidInput.into());
            }
            let parts = [IoSlice::new(bytes)];
            let sent = sendmsg(self.stream.as_fd(), &parts, &mut control, quiet());
            sent.map_err(io::Error::from)
        };
        match self.stream.async_io(Interest::WRITABLE, send).await? {
            0 => Err(io::ErrorKind::WriteZero.into()),
            sent => Ok(sent),
        }
    }

    /// The next message; `None` when the other end has closed the connection between
    /// two of them.
    ///
    /// # Errors
    /// `InvalidData` where it is too long; else what the socket reports. Nothing more is to
    /// be expected then. Descriptors for which this process has no room are missing.
    ///
    /// # Cancel safety
    /// Dropped before its end, the connection is of no more use.
    pub async fn receive(&self) -> io::Result<Option<Delivery>> {
        let _alone = self.receiving.lock().await;
        let mut beside = Vec::new();
        let mut head = [0; 4];
        if !self.fill(&mut head, &mut beside).await? {
            return Ok(None);
        }
        let length = usize::try_from(u32::from_be_bytes(head)).unwrap_or(usize::MAX);
        if length > LONGEST {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut message = Zeroizing::new(vec![0; length]);
        if length > 0 && !self.fill(&mut message, &mut beside).await? {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(Some((message, beside)))
    }

    /// Fills a buffer; false when the end came before its first byte.
    async fn fill(&self, buffer: &mut [u8], beside: &mut Vec<OwnedFd>) -> io::Result<bool> {
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            let read = || read(&self.stream, rest, beside);
            match self.stream.async_io(Interest::READABLE, read).await? {
                0 if filled == 0 => return Ok(false),
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => filled += read,
            }
        }
        Ok(true)
    }
}

fn read(stream: &UnixStream, into: &mut [u8], beside: &mut Vec<OwnedFd>) -> io::Result<usize> {
    let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut control = RecvAncillaryBuffer::new(&mut room);
    let mut parts = [IoSliceMut::new(into)];
    let read = recvmsg(stream.as_fd(), &mut parts, &mut control, private())?;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            beside.extend(descriptors.inspect(keep_private));
        }
    }
    Ok(read.bytes)
}

/// No signal where the other end is gone; elsewhere there is none in any case.
fn quiet() -> SendFlags {
    #[cfg(target_os = "linux")]
    return SendFlags::NOSIGNAL;
    #[cfg(not(target_os = "linux"))]
    SendFlags::empty()
}

/// The same as [`private`], where that does not exist.
fn keep_private(descriptor: &OwnedFd) {
    if !cfg!(target_os = "linux") {
        let _ = rustix::io::fcntl_setfd(descriptor, rustix::io::FdFlags::CLOEXEC);
    }
}

/// Programs that are started do not get the descriptors.
fn private() -> RecvFlags {
    #[cfg(target_os = "linux")]
    return RecvFlags::CMSG_CLOEXEC;
    #[cfg(not(target_os = "linux"))]
    RecvFlags::empty()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::{Read, Seek, Write};

    use super::*;

    fn couple() -> (Courier, Courier) {
        let (one, other) = UnixStream::pair().unwrap();
        (
            Courier::new(one, None).unwrap(),
            Courier::new(other, None).unwrap(),
        )
    }

    #[tokio::test]
    async fn messages_come_in_order_with_what_is_beside_them() {
        let (one, other) = couple();
        let path = std::env::temp_dir().join(format!("pgweave-courier-{}", std::process::id()));
        let mut file = std::fs::File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path)
            .unwrap();
        std::fs::remove_file(&path).unwrap();
        file.write_all(b"hello").unwrap();
        let long = vec![7; 1 << 20];
        let send = async {
            one.send(b"first", &[file.as_fd()]).await.unwrap();
            one.send(b"", &[]).await.unwrap();
            one.send(&long, &[file.as_fd(), file.as_fd()])
                .await
                .unwrap();
            drop(one);
        };
        let receive = async {
            let mut all = Vec::new();
            while let Some(delivery) = other.receive().await.unwrap() {
                all.push(delivery);
            }
            all
        };
        let ((), mut all) = tokio::join!(send, receive);
        let shape: Vec<_> = all.iter().map(|(m, f)| (m.len(), f.len())).collect();
        assert_eq!(shape, [(5, 1), (0, 0), (1 << 20, 2)]);
        let mut copy = std::fs::File::from(all.remove(0).1.remove(0));
        let mut text = String::new();
        copy.rewind().unwrap();
        copy.read_to_string(&mut text).unwrap();
        assert_eq!(text, "hello");
    }

    #[tokio::test]
    async fn a_message_that_is_cut_off_is_none() {
        let (one, other) = couple();
        one.write(&[0, 0, 0, 9], &[]).await.unwrap();
        one.write(b"half", &[]).await.unwrap();
        drop(one);
        let error = other.receive().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[tokio::test]
    async fn a_length_beyond_all_bounds_is_refused() {
        let (one, other) = couple();
        one.write(&[0xff; 4], &[]).await.unwrap();
        let error = other.receive().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
