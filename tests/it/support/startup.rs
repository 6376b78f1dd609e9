//! How a raw client opens a connection: the StartupMessage and the answers to
//! what the other side asks (`protocol-flow.html#PROTOCOL-FLOW-START-UP`).

use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{ChannelBinding, ScramSha256};

use super::frames::{Frame, frame, untyped};
use super::raw::Connection;

/// What a client says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Startup {
    /// Protocol version, 3.0 unless told.
    pub version: u32,
    /// Parameters in the order in which they are sent.
    pub parameters: Vec<(String, String)>,
    /// What to answer when asked.
    pub password: String,
}

impl Startup {
    /// Protocol 3.0, user and database, nothing else.
    pub fn new(user: &str, database: &str) -> Self {
        let parameters = vec![
            ("user".into(), user.into()),
            ("database".into(), database.into()),
        ];
        Self {
            version: 196_608,
            parameters,
            password: String::new(),
        }
    }

    /// One parameter more.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.parameters.push((name.into(), value.into()));
        self
    }

    /// Another minor version of protocol 3.
    pub fn minor(mut self, minor: u32) -> Self {
        self.version = 196_608 + minor;
        self
    }

    /// The password to answer with.
    pub fn password(mut self, password: &str) -> Self {
        self.password = password.into();
        self
    }

    /// The same for another database; in other parameters `{database}` stands
    /// for its name.
    pub fn database(mut self, database: &str) -> Self {
        for (name, value) in &mut self.parameters {
            *value = match name.as_str() {
                "database" => database.into(),
                _ => value.replace("{database}", database),
            };
        }
        self
    }

    /// The StartupMessage.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut rest = Vec::new();
        for (name, value) in &self.parameters {
            rest.extend([name.as_bytes(), b"\0", value.as_bytes(), b"\0"].concat());
        }
        rest.push(0);
        untyped(self.version, &rest)
    }

    fn user(&self) -> &str {
        self.parameters
            .iter()
            .find(|(name, _)| name == "user")
            .map_or("", |(_, value)| value)
    }
}

/// Sends the StartupMessage, authenticates, and gives all frames up to the
/// first ReadyForQuery or the end of the connection.
pub fn start_up(connection: &mut Connection, startup: &Startup) -> Vec<Frame> {
    connection.send(&startup.to_bytes());
    let mut frames = Vec::new();
    let mut scram = None;
    while let Some(next) = connection.read_frame("an answer to the startup") {
        frames.push(next.clone());
        match next.tag {
            b'Z' => break,
            b'R' => answer(connection, startup, &next, &mut scram),
            _ => {}
        }
    }
    frames
}

fn answer(
    connection: &mut Connection,
    startup: &Startup,
    request: &Frame,
    scram: &mut Option<ScramSha256>,
) {
    let (code, data) = request.body.split_at(4);
    match u32::from_be_bytes(code.try_into().unwrap()) {
        3 => connection.send(&password(startup.password.as_bytes())),
        5 => {
            let salt = data.try_into().unwrap();
            let hash = md5_hash(startup.user().as_bytes(), startup.password.as_bytes(), salt);
            connection.send(&password(hash.as_bytes()));
        }
        10 => {
            let exchange =
                ScramSha256::new(startup.password.as_bytes(), ChannelBinding::unsupported());
            let first = exchange.message();
            let mut body = b"SCRAM-SHA-256\0".to_vec();
            body.extend(u32::try_from(first.len()).unwrap().to_be_bytes());
            body.extend(first);
            connection.send(&frame(b'p', &body));
            *scram = Some(exchange);
        }
        11 => {
            let exchange = scram.as_mut().expect("SASL begins before it goes on");
            exchange.update(data).unwrap();
            connection.send(&frame(b'p', exchange.message()));
        }
        12 => scram
            .as_mut()
            .expect("SASL begins before it ends")
            .finish(data)
            .unwrap(),
        _ => {}
    }
}

fn password(bytes: &[u8]) -> Vec<u8> {
    frame(b'p', &[bytes, b"\0"].concat())
}
