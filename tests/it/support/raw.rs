//! A raw protocol client over a blocking socket: it sends any bytes in any
//! pieces, and whatever it waits for has a deadline and a name.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_rustls::rustls::ClientConfig;

use super::frames::{self, Frame, take_frame};
use super::startup::{Startup, start_up};
use super::tls_line::Line;
use super::transcript::render;

/// Rows as text: what `rows` gives.
pub type Rows = Vec<Vec<Option<String>>>;

/// One connection of a client, to PostgreSQL or to pgweave.
pub struct Connection {
    line: Line,
    inbox: Vec<u8>,
    ended: bool,
    limit: Duration,
    /// Body of the BackendKeyData, when one came.
    pub key: Vec<u8>,
    /// Everything up to the first ReadyForQuery.
    pub greeting: Vec<Frame>,
    /// Status byte of the last ReadyForQuery; 0 before the first.
    pub status: u8,
}

impl Connection {
    /// A TCP connection, nothing said yet.
    pub fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address)
            .unwrap_or_else(|error| panic!("cannot connect to {address}: {error}"));
        stream.set_nodelay(true).unwrap();
        stream
            .set_write_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        let limit = Duration::from_secs(10);
        Self {
            line: Line::Plain(stream),
            inbox: Vec::new(),
            ended: false,
            limit,
            key: Vec::new(),
            greeting: Vec::new(),
            status: 0,
        }
    }

    /// Opens, starts up; gives the frames of the refusal if it was refused.
    pub fn try_login(address: SocketAddr, startup: &Startup) -> Result<Self, Vec<Frame>> {
        Self::open(address).try_start_up(startup)
    }

    /// Starts up; gives the frames of the refusal if it was refused.
    pub fn try_start_up(mut self, startup: &Startup) -> Result<Self, Vec<Frame>> {
        let greeting = start_up(&mut self, startup);
        if self.status == 0 {
            return Err(greeting);
        }
        self.greeting = greeting;
        Ok(self)
    }

    /// A TCP connection that goes over to TLS by an SSLRequest.
    pub fn open_tls(address: SocketAddr, config: &Arc<ClientConfig>) -> std::io::Result<Self> {
        let mut connection = Self::open(address);
        connection.send(&frames::ssl_request());
        let answer = connection.read_byte("the answer to an SSLRequest");
        if answer != Some(b'S') {
            let what = format!("SSLRequest was answered with {answer:?}");
            return Err(std::io::Error::other(what));
        }
        connection.into_tls(config)
    }

    /// Goes over to TLS now.
    pub fn into_tls(mut self, config: &Arc<ClientConfig>) -> std::io::Result<Self> {
        self.line = self.line.into_tls(config)?;
        Ok(self)
    }

    /// Has the other side ended TLS in order?
    pub fn ended_in_order(&self) -> bool {
        self.line.ended_in_order()
    }

    /// Opens and starts up; a refusal fails the test.
    pub fn login(address: SocketAddr, startup: &Startup) -> Self {
        Self::try_login(address, startup).unwrap_or_else(|frames| {
            panic!("login to {address} was refused: {:?}", render_all(&frames))
        })
    }

    /// As the superuser, by trust.
    pub fn superuser(address: SocketAddr, database: &str) -> Self {
        Self::login(address, &Startup::new("postgres", database))
    }

    /// Sends all bytes in one write.
    pub fn send(&mut self, bytes: &[u8]) {
        self.try_send(bytes)
            .unwrap_or_else(|error| panic!("cannot send {} bytes: {error}", bytes.len()));
    }

    /// Sends, where the other side may already be gone.
    pub fn try_send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.line.write_all(bytes)
    }

    /// The address that it comes from.
    pub fn local_address(&self) -> SocketAddr {
        self.writer().local_addr().unwrap()
    }

    /// A second handle, to write from another thread.
    pub fn writer(&self) -> TcpStream {
        self.line.socket().try_clone().unwrap()
    }

    /// The next frame; `None` when the other side closed the connection.
    pub fn read_frame(&mut self, what: &str) -> Option<Frame> {
        let deadline = Instant::now() + self.limit;
        loop {
            if let Some(frame) = take_frame(&mut self.inbox) {
                self.note(&frame);
                return Some(frame);
            }
            if self.ended {
                assert!(
                    self.inbox.is_empty(),
                    "the connection ended within a frame: {:?}",
                    self.inbox
                );
                return None;
            }
            self.fill(deadline, what);
        }
    }

    /// One bare byte, as the answer to SSLRequest is.
    pub fn read_byte(&mut self, what: &str) -> Option<u8> {
        let deadline = Instant::now() + self.limit;
        while self.inbox.is_empty() && !self.ended {
            self.fill(deadline, what);
        }
        (!self.inbox.is_empty()).then(|| self.inbox.remove(0))
    }

    /// Frames up to the `count`-th ReadyForQuery, or to the end.
    pub fn until_ready(&mut self, count: usize, what: &str) -> Vec<Frame> {
        let mut left = count;
        self.read_while(what, |frame| {
            left -= usize::from(frame.tag == b'Z');
            left > 0
        })
    }

    /// Frames up to and with the first of type `tag`, or to the end.
    pub fn until_tag(&mut self, tag: u8, what: &str) -> Vec<Frame> {
        self.read_while(what, |frame| frame.tag != tag)
    }

    /// Reads up to a frame of type `tag` without keeping its body, calls `look`
    /// meanwhile, and gives the length of the body.
    pub fn until_tag_watching(&mut self, tag: u8, look: &mut dyn FnMut()) -> usize {
        let deadline = Instant::now() + self.limit;
        loop {
            let header = self.inbox.get(..5).map(<[u8]>::to_vec);
            match header {
                Some(header) if header[0] == tag => {
                    let length = u32::from_be_bytes(header[1..].try_into().unwrap()) as usize - 4;
                    self.inbox.drain(..5);
                    self.drop_bytes(length, look);
                    return length;
                }
                Some(_) if take_frame(&mut self.inbox).is_some() => {}
                _ => self.fill(deadline, "a frame of a huge reply"),
            }
        }
    }

    fn drop_bytes(&mut self, mut count: usize, look: &mut dyn FnMut()) {
        while count > 0 {
            if self.inbox.is_empty() {
                self.fill(Instant::now() + self.limit, "the body of a huge frame");
                look();
            }
            let some = self.inbox.len().min(count);
            self.inbox.drain(..some);
            count -= some;
        }
    }

    /// All frames that come before the other side closes.
    pub fn until_end(&mut self, what: &str) -> Vec<Frame> {
        self.read_while(what, |_| true)
    }

    fn read_while(&mut self, what: &str, mut wanted: impl FnMut(&Frame) -> bool) -> Vec<Frame> {
        let mut frames = Vec::new();
        while let Some(frame) = self.read_frame(what) {
            let more = wanted(&frame);
            frames.push(frame);
            if !more {
                break;
            }
        }
        frames
    }

    /// True after the other side has closed the connection.
    pub fn ended(&self) -> bool {
        self.ended
    }

    /// A simple Query and its whole answer.
    pub fn query(&mut self, sql: &str) -> Vec<Frame> {
        self.send(&frames::query(sql));
        self.until_ready(1, sql)
    }

    /// The rows of a simple Query; an error fails the test.
    pub fn rows(&mut self, sql: &str) -> Rows {
        let answer = self.query(sql);
        assert!(
            answer.iter().all(|f| f.tag != b'E') && answer.last().is_some_and(|f| f.tag == b'Z'),
            "{sql}: {:?}",
            render_all(&answer)
        );
        rows_of(&answer)
    }

    /// The one value of a simple Query.
    pub fn value(&mut self, sql: &str) -> String {
        let rows = self.rows(sql);
        let value = rows.first().and_then(|row| row.first()).cloned().flatten();
        value.unwrap_or_else(|| panic!("{sql} gave no value"))
    }

    /// The SQLSTATE of a simple Query that must fail.
    pub fn failure(&mut self, sql: &str) -> String {
        let answer = self.query(sql);
        first_error(&answer)
            .unwrap_or_else(|| panic!("{sql} did not fail: {:?}", render_all(&answer)))
    }

    /// Says Terminate and closes.
    pub fn terminate(mut self) {
        let _ = self.try_send(&frames::terminate());
    }

    /// Closes with a RST, as a crashed host does.
    pub fn reset(self) {
        let socket = socket2::SockRef::from(self.line.socket());
        socket.set_linger(Some(Duration::ZERO)).unwrap();
    }

    fn note(&mut self, frame: &Frame) {
        match frame.tag {
            b'Z' => self.status = frame.body[0],
            b'K' => self.key.clone_from(&frame.body),
            _ => {}
        }
    }

    fn fill(&mut self, deadline: Instant, what: &str) {
        let left = deadline.saturating_duration_since(Instant::now());
        assert!(
            !left.is_zero(),
            "waited {:?} in vain for {what}; half a frame: {:?}",
            self.limit,
            self.inbox
        );
        self.line.socket().set_read_timeout(Some(left)).unwrap();
        let mut buffer = vec![0; 65_536];
        match self.line.read(&mut buffer) {
            Ok(0) => self.ended = true,
            Ok(count) => self.inbox.extend(&buffer[..count]),
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof
                ) =>
            {
                self.ended = true;
            }
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                ) => {}
            Err(error) => panic!("reading while waiting for {what}: {error}"),
        }
    }
}

/// Asks for the cancellation of what the owner of `key` runs; returns when the
/// other side has closed the connection, as libpq waits for it.
pub fn cancel(address: SocketAddr, key: &[u8]) {
    let mut connection = Connection::open(address);
    connection.send(&frames::cancel_request(key));
    let answer = connection.until_end("the end of a CancelRequest's connection");
    assert!(
        answer.is_empty(),
        "a CancelRequest was answered: {:?}",
        render_all(&answer)
    );
}

/// The rows among frames, as text.
pub fn rows_of(frames: &[Frame]) -> Rows {
    let row = |frame: &Frame| {
        frame
            .columns()
            .into_iter()
            .map(|c| c.map(|c| String::from_utf8_lossy(&c).into_owned()))
            .collect()
    };
    frames
        .iter()
        .filter(|frame| frame.tag == b'D')
        .map(row)
        .collect()
}

/// The SQLSTATE of the first ErrorResponse among frames.
pub fn first_error(frames: &[Frame]) -> Option<String> {
    frames
        .iter()
        .find(|frame| frame.tag == b'E')
        .map(Frame::sqlstate)
}

/// Frames as text, for messages of failing tests.
pub fn render_all(frames: &[Frame]) -> Vec<String> {
    frames.iter().map(render).collect()
}
