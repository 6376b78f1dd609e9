//! Logging in to a server (`protocol-flow.html#PROTOCOL-FLOW-START-UP`).

use std::io;

use tokio::io::AsyncReadExt;

use super::connect::LoginSpec;
use crate::auth::{Reply, ServerLogin, end_point};
use crate::net::Stream;
use crate::wire::{PgError, backend, frame, frontend, sqlstate};

/// Longest message that a server may send before it is ready, in bytes.
const MAX_MESSAGE: usize = 1 << 20;

/// Most parameters that a server may report before it is ready.
const MAX_PARAMETERS: usize = 1000;

/// What a login brought.
pub(super) struct Login {
    pub stream: Stream,
    pub parameters: Vec<(String, String)>,
    pub pid: i32,
    pub secret: Vec<u8>,
}

/// Why a login came to nothing.
pub(super) enum Failed {
    /// The server's own words.
    Refused(PgError),
    /// Ours: it broke the protocol, or the connection did.
    Broken(PgError),
}

impl From<PgError> for Failed {
    fn from(error: PgError) -> Self {
        Failed::Broken(error)
    }
}

impl Login {
    /// Logs in on a fresh connection and reads up to ReadyForQuery.
    pub async fn run(stream: Stream, spec: &LoginSpec) -> Result<Self, Failed> {
        let mut login = Self {
            stream,
            parameters: Vec::new(),
            pid: 0,
            secret: Vec::new(),
        };
        let names = [
            ("user", spec.user.as_str()),
            ("database", spec.database.as_str()),
        ];
        let settings = spec
            .settings
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        login
            .send(&frontend::startup(names.into_iter().chain(settings)))
            .await?;
        login.authenticate(spec).await?;
        login.read_until_ready().await?;
        Ok(login)
    }

    async fn authenticate(&mut self, spec: &LoginSpec) -> Result<(), Failed> {
        let mut nonce = [0; 18];
        getrandom::fill(&mut nonce)
            .map_err(|_| PgError::fatal(sqlstate::INTERNAL_ERROR, "no random bytes"))?;
        let mut exchange = ServerLogin::new(&spec.user, spec.credential.clone(), &spec.keys, nonce)
            .bound_to(self.stream.peer_certificate().and_then(end_point));
        let mut was_asked = false;
        loop {
            let (tag, body) = message(&mut self.stream).await?;
            let mut reply = match tag {
                b'R' => exchange.on_authentication(&body)?,
                b'N' => continue,
                // We ask for protocol 3.0 without options: nothing to negotiate.
                tag => return Err(out_of_turn(tag).into()),
            };
            if let Reply::Derive(derivation) = reply {
                let _ = tokio::task::spawn_blocking(move || derivation.run()).await;
                reply = exchange.resume()?;
            }
            match reply {
                Reply::Send(bytes) => {
                    was_asked = true;
                    self.send(&bytes).await?;
                }
                Reply::Wait | Reply::Derive(_) => {}
                Reply::Done if spec.must_be_asked && !was_asked => {
                    return Err(asks_nothing(&spec.user).into());
                }
                Reply::Done => return Ok(()),
            }
        }
    }

    async fn read_until_ready(&mut self) -> Result<(), Failed> {
        loop {
            let (tag, body) = message(&mut self.stream).await?;
            match tag {
                b'S' if self.parameters.len() < MAX_PARAMETERS => {
                    let (name, value) =
                        backend::parameter(&body).ok_or_else(|| out_of_turn(tag))?;
                    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                    self.parameters.push((text(name), text(value)));
                }
                b'K' => {
                    let (pid, secret) = backend::key_data(&body).ok_or_else(|| out_of_turn(tag))?;
                    self.pid = pid;
                    self.secret = secret.to_vec();
                }
                b'N' => {}
                b'Z' if body == b"I" => return Ok(()),
                tag => return Err(out_of_turn(tag).into()),
            }
        }
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<(), PgError> {
        self.stream.send(bytes).await.map_err(|error| lost(&error))
    }
}

/// The next message; an ErrorResponse is an error.
pub(super) async fn message(stream: &mut Stream) -> Result<(u8, Vec<u8>), Failed> {
    let mut head = [0; frame::HEADER];
    stream
        .read_exact(&mut head)
        .await
        .map_err(|error| lost(&error))?;
    let header = frame::header(&head, MAX_MESSAGE)
        .ok()
        .flatten()
        .ok_or_else(|| {
            PgError::fatal(
                sqlstate::PROTOCOL_VIOLATION,
                "the server sent a malformed message",
            )
        })?;
    let mut body = vec![0; header.total - frame::HEADER];
    stream
        .read_exact(&mut body)
        .await
        .map_err(|error| lost(&error))?;
    match header.tag {
        b'E' => Err(Failed::Refused(PgError::from_body(&body))),
        tag => Ok((tag, body)),
    }
}

fn asks_nothing(user: &str) -> PgError {
    PgError::fatal(
        sqlstate::INVALID_AUTHORIZATION,
        format!("the server asks pgweave for no password of user \"{user}\", so it cannot tell whether a client is that user"),
    )
    .with_hint(
        "Have the server ask for passwords (scram-sha-256 in its pg_hba.conf), or choose another auth_type.",
    )
}

fn out_of_turn(tag: u8) -> PgError {
    let what = format!(
        "the server sent message type {:?} during login",
        char::from(tag)
    );
    PgError::fatal(sqlstate::PROTOCOL_VIOLATION, what)
}

fn lost(error: &io::Error) -> PgError {
    let what = match error.kind() {
        io::ErrorKind::UnexpectedEof => "PostgreSQL closed the connection during login".to_owned(),
        _ => format!("the connection to PostgreSQL broke during login: {error}"),
    };
    PgError::fatal(sqlstate::CANNOT_CONNECT, what).with_hint(
        "PostgreSQL's own log may tell why; a load balancer may have no server behind it.",
    )
}
