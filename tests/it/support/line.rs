//! A connection on which silence is a value, not a failure.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::frames::{Frame, take_frame};
use super::raw::Connection;

/// No answer for so long is no answer.
const PATIENCE: Duration = Duration::from_secs(4);

/// A logged-in connection.
pub struct Line {
    stream: TcpStream,
    inbox: Vec<u8>,
    /// What it was before; it is closed with the value.
    pub connection: Connection,
}

impl Line {
    /// From here on over a connection.
    pub fn of(connection: Connection) -> Self {
        let stream = connection.writer();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self {
            stream,
            inbox: Vec::new(),
            connection,
        }
    }

    /// Whoever does not take it will not answer either.
    pub fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// The next frame, or none.
    pub fn read(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = take_frame(&mut self.inbox) {
                return Some(frame);
            }
            let mut buffer = [0; 8192];
            match self.stream.read(&mut buffer) {
                Ok(0) => return None,
                Ok(count) => self.inbox.extend(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return None,
            }
        }
    }
}
