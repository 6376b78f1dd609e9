//! A PostgreSQL that does what a case tells it: a thread per connection, each
//! logged in by trust and then handed to the case's own closure.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::frames::{Frame, frame, take_frame};

/// The listening side and what it has recorded.
pub struct FakeServer {
    /// Where it listens.
    pub address: SocketAddr,
    record: Arc<Mutex<Record>>,
}

#[derive(Default)]
struct Record {
    logins: usize,
    received: Vec<(usize, Frame)>,
    cancels: Vec<Vec<u8>>,
}

impl FakeServer {
    /// Serves every connection by `behaviour`, which is told how many logged in
    /// before.
    pub fn start(behaviour: impl Fn(usize, &mut Peer) + Send + Sync + 'static) -> Self {
        Self::serving(move |peer| {
            if let Some(true) = peer.first_packets() {
                peer.send(&greeting(peer.number));
                behaviour(peer.number, peer);
            }
        })
    }

    fn serving(serve: impl Fn(&mut Peer) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let record = Arc::new(Mutex::new(Record::default()));
        let (shared, serve) = (Arc::clone(&record), Arc::new(serve));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (record, serve) = (Arc::clone(&shared), Arc::clone(&serve));
                thread::spawn(move || serve(&mut Peer::accepted(stream, record)));
            }
        });
        Self { address, record }
    }

    /// Answers the first `count` startups with an error and closes, then
    /// answers each Query with its own text as a row.
    pub fn refusing(count: usize, refusal: Vec<u8>) -> Self {
        Self::serving(move |peer| {
            if let Some(true) = peer.first_packets() {
                if peer.number < count {
                    return peer.send(&refusal);
                }
                peer.send(&greeting(peer.number));
                peer.echo();
            }
        })
    }

    /// How many connections logged in.
    pub fn logins(&self) -> usize {
        self.record.lock().unwrap().logins
    }

    /// Frames received so far, with the number of their connection.
    pub fn received(&self) -> Vec<(usize, Frame)> {
        self.record.lock().unwrap().received.clone()
    }

    /// Keys of the CancelRequests received so far.
    pub fn cancels(&self) -> Vec<Vec<u8>> {
        self.record.lock().unwrap().cancels.clone()
    }
}

/// One connection, seen from the fake server.
pub struct Peer {
    stream: TcpStream,
    inbox: Vec<u8>,
    number: usize,
    record: Arc<Mutex<Record>>,
}

impl Peer {
    fn accepted(stream: TcpStream, record: Arc<Mutex<Record>>) -> Self {
        let _ = stream.set_nodelay(true);
        let _ = stream.set_read_timeout(Some(Duration::from_secs(30)));
        Self {
            stream,
            inbox: Vec::new(),
            number: 0,
            record,
        }
    }

    /// Everything before authentication. True when a StartupMessage came, false
    /// for a CancelRequest, `None` when the other side went away.
    fn first_packets(&mut self) -> Option<bool> {
        loop {
            let message = self.untyped()?;
            match u32::from_be_bytes(message[..4].try_into().unwrap()) {
                80_877_103 | 80_877_104 => self.send(b"N"),
                80_877_102 => {
                    self.record
                        .lock()
                        .unwrap()
                        .cancels
                        .push(message[4..].to_vec());
                    return Some(false);
                }
                _ => {
                    let mut record = self.record.lock().unwrap();
                    self.number = record.logins;
                    record.logins += 1;
                    return Some(true);
                }
            }
        }
    }

    fn untyped(&mut self) -> Option<Vec<u8>> {
        while self.inbox.len() < 4 || self.inbox.len() < length_at_start(&self.inbox) {
            self.fill()?;
        }
        let rest = self.inbox.split_off(length_at_start(&self.inbox));
        let whole = std::mem::replace(&mut self.inbox, rest);
        Some(whole[4..].to_vec())
    }

    fn fill(&mut self) -> Option<()> {
        let mut buffer = [0; 8192];
        let count = self
            .stream
            .read(&mut buffer)
            .ok()
            .filter(|count| *count > 0)?;
        self.inbox.extend(&buffer[..count]);
        Some(())
    }

    /// The next frame; `None` when the pooler closed the connection.
    pub fn read_frame(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = take_frame(&mut self.inbox) {
                self.record
                    .lock()
                    .unwrap()
                    .received
                    .push((self.number, frame.clone()));
                return Some(frame);
            }
            self.fill()?;
        }
    }

    /// The text of the next Query; other frames are passed over.
    pub fn read_query(&mut self) -> Option<String> {
        loop {
            let frame = self.read_frame()?;
            if frame.tag == b'Q' {
                return Some(
                    String::from_utf8_lossy(&frame.body[..frame.body.len() - 1]).into_owned(),
                );
            }
        }
    }

    /// Sends bytes in one write; a pooler that went away is no failure.
    pub fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// Sends each byte in a segment of its own, as far as TCP lets us.
    pub fn send_byte_by_byte(&mut self, bytes: &[u8]) {
        bytes.chunks(1).for_each(|byte| self.send(byte));
    }

    /// Closes in order.
    pub fn close(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// The connection breaks off with a RST when the closure returns.
    pub fn reset_at_end(&mut self) {
        let _ = socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
    }

    /// Answers each Query with its own text as a row.
    pub fn echo(&mut self) {
        while let Some(text) = self.read_query() {
            self.send(&one_row(&text));
        }
    }

    /// Waits until the pooler has closed this connection.
    pub fn until_closed(&mut self) {
        while self.read_frame().is_some() {}
    }
}

fn length_at_start(bytes: &[u8]) -> usize {
    u32::from_be_bytes(bytes[..4].try_into().unwrap()) as usize
}

fn greeting(number: usize) -> Vec<u8> {
    let mut bytes = frame(b'R', &[0, 0, 0, 0]);
    for (name, value) in [
        ("server_version", "15.0"),
        ("client_encoding", "UTF8"),
        ("server_encoding", "UTF8"),
    ] {
        bytes.extend(frame(
            b'S',
            &[name.as_bytes(), b"\0", value.as_bytes(), b"\0"].concat(),
        ));
    }
    let key = u32::try_from(number).unwrap() + 1000;
    bytes.extend(frame(
        b'K',
        &[key.to_be_bytes(), (key * 7).to_be_bytes()].concat(),
    ));
    bytes.extend(ready(b'I'));
    bytes
}

/// ReadyForQuery with a status.
pub fn ready(status: u8) -> Vec<u8> {
    frame(b'Z', &[status])
}

/// The whole answer to `SELECT` of one text value.
pub fn one_row(value: &str) -> Vec<u8> {
    let mut description = vec![0, 1];
    description.extend(b"value\0");
    description.extend([
        0, 0, 0, 0, 0, 0, 0, 0, 0, 25, 255, 255, 255, 255, 255, 255, 0, 0,
    ]);
    let mut row = vec![0, 1];
    row.extend(u32::try_from(value.len()).unwrap().to_be_bytes());
    row.extend(value.as_bytes());
    [
        frame(b'T', &description),
        frame(b'D', &row),
        frame(b'C', b"SELECT 1\0"),
        ready(b'I'),
    ]
    .concat()
}

/// An ErrorResponse.
pub fn error(severity: &str, code: &str, message: &str) -> Vec<u8> {
    frame(
        b'E',
        format!("S{severity}\0V{severity}\0C{code}\0M{message}\0\0").as_bytes(),
    )
}
