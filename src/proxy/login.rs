//! From accept to ReadyForQuery (`protocol-flow.html#PROTOCOL-FLOW-START-UP`).

use std::io;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::client::Client;
use super::house::House;
use crate::auth::{Exchange, MAX_ANSWER_BYTES, Method, Step, StoredSecret};
use crate::config::{AuthType, PoolMode, PoolSettings};
use crate::net::{Peer, Stream};
use crate::pool::{Registered, Shelf, StartupClass, Welcome};
use crate::session::Rest;
use crate::wire::startup::{FirstPacket, MAX_STARTUP, Startup, first_packet};
use crate::wire::{PgError, Severity, backend, frame, sqlstate};

/// Why a login ended without a session.
enum NoSession {
    /// It was a cancel request, or the client left: nothing to say.
    Silence,
    /// The client is told.
    Refused(PgError),
}

impl From<io::Error> for NoSession {
    fn from(_: io::Error) -> Self {
        NoSession::Silence
    }
}

impl From<PgError> for NoSession {
    fn from(error: PgError) -> Self {
        NoSession::Refused(error)
    }
}

/// Serves one connection from its first byte to its last.
pub async fn serve(house: Arc<House>, stream: Stream, peer: Peer) {
    let (_connected, number) = house.connect();
    let within = house.config().general.client_login_timeout;
    // Boxed: what a login needs is freed before the session begins.
    let mut stream = Box::new(stream);
    let login = Box::pin(timeout(within, log_in(&house, &mut stream, peer, number))).await;
    let client = match login {
        Ok(Ok(logged_in)) => Client::new(*stream, logged_in),
        Ok(Err(NoSession::Silence)) => return,
        Ok(Err(NoSession::Refused(error))) => {
            tracing::info!(client = %peer, sqlstate = %error.code, "login failed: {}", error.message);
            let _ = stream.write_all(&error.to_frame()).await;
            return;
        }
        Err(_) => {
            let error = PgError::fatal("08P01", "client_login_timeout");
            tracing::info!(client = %peer, "closing because: client_login_timeout");
            stream.write_last(&error.to_frame());
            return;
        }
    };
    client.run(peer).await;
}

/// All that a session begins with.
pub(super) struct LoggedIn {
    pub house: Arc<House>,
    pub shelf: Arc<Shelf>,
    pub settings: PoolSettings,
    pub handle: Registered,
    pub application_name: Arc<str>,
}

async fn log_in(house: &Arc<House>, stream: &mut Stream, peer: Peer, number: u32) -> Result<LoggedIn, NoSession> {
    let startup = first_words(house, stream).await?;
    if number > house.config().general.max_client_conn {
        return Err(PgError::fatal(sqlstate::TOO_MANY_CONNECTIONS, "no more connections allowed (max_client_conn)").into());
    }
    if startup.needs_negotiation() {
        let options = startup.protocol_options.clone();
        stream.write_all(&backend::negotiate_protocol_version(startup.agreed_minor(), options)).await?;
    }
    let accepted = authenticate(house, stream, &startup).await?;
    if startup.replication.as_deref().is_some_and(asks_for_replication) {
        return Err(PgError::fatal(sqlstate::FEATURE_NOT_SUPPORTED, "replication connections do not go through pgweave")
            .with_hint("Connect to PostgreSQL directly for replication.")
            .into());
    }
    let config = house.config();
    let Some((pool, settings)) = house.directory.pool(&config, &startup.database, &startup.user) else {
        return Err(PgError::fatal(
            sqlstate::INVALID_CATALOG_NAME,
            format!("database \"{}\" does not exist", startup.database),
        )
        .into());
    };
    let (class, application_name) = startup_class(&startup);
    let shelf = pool.shelf(class);
    let welcome = welcome(&shelf).await?;
    let handle = house
        .clients
        .register(startup.agreed_minor() >= 2)
        .map_err(|_| PgError::fatal(sqlstate::INTERNAL_ERROR, "no random bytes"))?;
    let application_name = application_name.unwrap_or_else(|| reported(&welcome, "application_name"));
    let mut reply = accepted;
    for (name, value) in welcome.iter() {
        let value = if name == "application_name" { &*application_name } else { value.as_str() };
        reply.extend_from_slice(&backend::parameter_status(name, value));
    }
    reply.extend_from_slice(&backend::backend_key_data(handle.pid, handle.secret()));
    reply.extend_from_slice(&backend::READY_IDLE);
    stream.write_all(&reply).await?;
    tracing::debug!(client = %peer, user = %startup.user, database = %startup.database, "login");
    Ok(LoggedIn { house: Arc::clone(house), shelf, settings, handle, application_name })
}

/// Everything before the StartupMessage, and it.
async fn first_words(house: &Arc<House>, stream: &mut Stream) -> Result<Startup, NoSession> {
    let (mut asked_tls, mut asked_gss) = (false, false);
    loop {
        let length = stream.read_u32().await?;
        let body = usize::try_from(length).ok().and_then(|length| length.checked_sub(4));
        let Some(body) = body.filter(|body| (4..=MAX_STARTUP).contains(body)) else {
            return Err(PgError::fatal(sqlstate::PROTOCOL_VIOLATION, "invalid length of startup packet").into());
        };
        let mut packet = vec![0; body];
        stream.read_exact(&mut packet).await?;
        match first_packet(&packet)? {
            FirstPacket::Ssl if !asked_tls => asked_tls = true,
            FirstPacket::GssEnc if !asked_gss => asked_gss = true,
            FirstPacket::Ssl | FirstPacket::GssEnc => {
                return Err(PgError::fatal(sqlstate::PROTOCOL_VIOLATION, "encryption was asked for twice").into());
            }
            FirstPacket::Cancel { pid, secret } => {
                let within = house.config().general.cancel_wait_timeout;
                house.clients.cancel(pid, &secret, within).await;
                return Err(NoSession::Silence);
            }
            FirstPacket::Startup(startup) => return Ok(startup),
        }
        // As PostgreSQL without TLS and GSSAPI: the client may go on in clear.
        stream.write_all(b"N").await?;
    }
}

/// Proves who the client is; returns the frames that say so.
async fn authenticate(house: &House, stream: &mut Stream, startup: &Startup) -> Result<Vec<u8>, NoSession> {
    let config = house.config();
    let method = match config.general.auth_type {
        AuthType::Trust => Method::Trust,
        AuthType::Plain => Method::Plain,
        AuthType::Md5 => Method::Md5,
        AuthType::ScramSha256 => Method::ScramSha256,
    };
    let secret = config.users.get(&startup.user).and_then(|user| user.password.as_ref());
    let secret = secret.map(|secret| StoredSecret::parse(secret.expose()));
    let mut random = [0; 32];
    getrandom::fill(&mut random).map_err(|_| PgError::fatal(sqlstate::INTERNAL_ERROR, "no random bytes"))?;
    let (mut exchange, mut step) = Exchange::begin(method, &startup.user, secret.as_ref(), &house.verifiers, random);
    loop {
        step = match step {
            Step::Send(frames) => {
                stream.write_all(&frames).await?;
                exchange.answer(&password_message(stream).await?)
            }
            Step::Derive(derivation) => {
                // 0.7 ms of CPU: not on a thread that serves queries.
                let _ = tokio::task::spawn_blocking(move || derivation.run()).await;
                exchange.resume()
            }
            Step::Accepted(frames) => return Ok(frames),
            Step::Refused(error) => return Err(error.into()),
        };
    }
}

async fn password_message(stream: &mut Stream) -> Result<Vec<u8>, NoSession> {
    let mut head = [0; frame::HEADER];
    stream.read_exact(&mut head).await?;
    let header = frame::header(&head, MAX_ANSWER_BYTES).ok().flatten().filter(|header| header.tag == b'p');
    let Some(header) = header else {
        return Err(PgError::fatal(sqlstate::PROTOCOL_VIOLATION, "expected a password response").into());
    };
    let mut body = vec![0; header.total - frame::HEADER];
    stream.read_exact(&mut body).await?;
    Ok(body)
}

/// What the server connections of this client are opened with, and its
/// `application_name`, which they take on when they serve it.
///
/// PostgreSQL changes a name that is not plain ASCII in ways of its own, so
/// such a one is left to it.
fn startup_class(startup: &Startup) -> (StartupClass, Option<Arc<str>>) {
    let mut name = None;
    let mut class: StartupClass = Vec::with_capacity(startup.settings.len());
    for (key, value) in &startup.settings {
        let is_plain = value.bytes().all(|byte| (b' '..=b'~').contains(&byte)) && value.len() < 64;
        if key.eq_ignore_ascii_case("application_name") && is_plain {
            name = Some(value.as_str().into());
        } else {
            class.push((key.clone(), value.clone()));
        }
    }
    class.sort();
    (class, name)
}

/// What a server of this shelf reports about itself; asks one if none has
/// logged in yet.
async fn welcome(shelf: &Arc<Shelf>) -> Result<Welcome, PgError> {
    loop {
        if let Some(welcome) = shelf.welcome() {
            return Ok(welcome);
        }
        let lease = Arc::clone(shelf).lease().await.map_err(|error| error.with_severity(Severity::Fatal))?;
        if let Rest::Boundary(boundary) = lease.tracker.rest() {
            lease.give_back(boundary);
        }
    }
}

fn reported(welcome: &Welcome, name: &str) -> Arc<str> {
    welcome.iter().find(|(reported, _)| reported == name).map_or("", |(_, value)| value.as_str()).into()
}

/// PostgreSQL takes `replication` as a boolean, or `database`.
fn asks_for_replication(value: &str) -> bool {
    !matches!(value.to_ascii_lowercase().as_str(), "false" | "off" | "no" | "0" | "f" | "n" | "")
}

impl LoggedIn {
    /// Does one client keep its server connection to the end?
    pub fn is_session_mode(&self) -> bool {
        self.settings.pool_mode == PoolMode::Session
    }
}
