//! Opening a server connection, up to its first ReadyForQuery.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::encrypt::{NotEncrypted, encrypt};
use super::introduce::introduce;
use super::login::{Failed, Login};
use super::{Hosts, Identity, Server};
use crate::auth::{Credential, KeyCache};
use crate::config::{ServerProxyProtocol, SslMode, Tcp};
use crate::net::tls::Connector;
use crate::net::{DialError, Names, Outbox, Place, Stream, Target, dial};
use crate::session::Tracker;
use crate::session::statements::ServerStatements;
use crate::wire::{PgError, sqlstate};

/// All that is needed to log in to a server.
#[derive(Debug)]
pub struct LoginSpec {
    /// Where it listens.
    pub hosts: Arc<Hosts>,
    /// Who knows the addresses of hosts.
    pub names: Names,
    /// What takes the connection into TLS; none leaves it in clear text.
    pub tls: Option<Connector>,
    /// The header that it begins with, ahead of TLS.
    pub header: ServerProxyProtocol,
    /// The role.
    pub user: String,
    /// The database.
    pub database: String,
    /// How to prove to be that role.
    pub credential: Credential,
    /// Refused is a server that asks for no proof.
    pub must_be_asked: bool,
    /// Startup parameters besides user and database, `application_name` too.
    pub settings: Vec<(String, String)>,
    /// Keys derived so far.
    pub keys: KeyCache,
    /// How the socket is set up.
    pub tcp: Tcp,
    /// Connecting and logging in may take this long, at each address.
    pub within: Duration,
}

/// Opens a server connection. It stands at a boundary then.
///
/// # Errors
/// The server's own error where it gave one; 08001 when it cannot be reached,
/// or not as its TLS settings ask, 08P01 when it broke the protocol.
///
/// # Cancel safety
/// Dropped before its end, the half-open connection is closed.
pub async fn connect(spec: &LoginSpec) -> Result<Server, PgError> {
    let mut last = PgError::fatal(sqlstate::CANNOT_CONNECT, "there is no host");
    for target in spec.hosts.in_order(Instant::now()) {
        match at_host(spec, &target).await {
            Err(error) if is_about_the_host(&error) => {
                spec.hosts.tried(&target, false, Instant::now());
                last = error;
            }
            outcome => {
                spec.hosts.tried(&target, true, Instant::now());
                return outcome;
            }
        }
    }
    Err(last)
}

/// The same at one host: by each of its addresses, until one works.
async fn at_host(spec: &LoginSpec, target: &Target) -> Result<Server, PgError> {
    let mut last = unreachable(target, "it has no address");
    let places = places(spec, target).await?;
    for place in spec.hosts.best_first(places, Instant::now()) {
        let answered = AtomicBool::new(false);
        let opening = open(spec, (target, &place), &answered);
        let outcome = match timeout(spec.within, opening).await {
            Ok(outcome) => outcome,
            Err(_) => Err(silent(target, &place, answered.into_inner())),
        };
        let is_down = outcome.as_ref().is_err_and(is_about_the_host);
        spec.hosts.reached(&place, !is_down, Instant::now());
        match outcome {
            Err(error) if is_down => last = error,
            outcome => return outcome,
        }
    }
    if let Target::Tcp(host, _) = target {
        spec.names.doubt(host);
    }
    Err(last)
}

/// The addresses of a host.
async fn places(spec: &LoginSpec, target: &Target) -> Result<Vec<Place>, PgError> {
    let unresolved = |why: &str| {
        let why = format!("could not resolve the host name: {why}");
        unreachable(target, &why).with_hint(
            "Is the name right, and does this machine's resolver know it? `getent hosts` asks the same.",
        )
    };
    match timeout(spec.within, spec.names.places(target)).await {
        Ok(Ok(places)) => Ok(places),
        Ok(Err(why)) => Err(unresolved(&why)),
        Err(_) => Err(unresolved("timed out")),
    }
}

/// Might another host do better?
fn is_about_the_host(error: &PgError) -> bool {
    error.code == sqlstate::CANNOT_CONNECT || error.code == sqlstate::CANNOT_CONNECT_NOW
}

/// `answered` tells whoever gives up whether somebody took the connection.
async fn open(
    spec: &LoginSpec,
    (target, place): (&Target, &Place),
    answered: &AtomicBool,
) -> Result<Server, PgError> {
    // Nobody reads along on this machine.
    let tls = spec
        .tls
        .as_ref()
        .filter(|_| matches!(target, Target::Tcp(..)));
    let Some(connector) = tls else {
        return attempt(spec, (target, place), None, answered)
            .await
            .map_err(Failure::told);
    };
    let (first, second) = match connector.mode() {
        SslMode::Disable => (None, None),
        SslMode::Allow => (None, Some(Some(connector))),
        SslMode::Prefer => (Some(connector), Some(None)),
        SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => (Some(connector), None),
    };
    let tried = attempt(spec, (target, place), first, answered).await;
    match (tried, second) {
        (Err(Failure::AboutTls(_)), Some(second)) => {
            let tried = attempt(spec, (target, place), second, answered).await;
            tried.map_err(Failure::told)
        }
        (result, _) => result.map_err(Failure::told),
    }
}

/// Why one attempt came to nothing.
enum Failure {
    /// It might be different the other way, with TLS or without.
    AboutTls(PgError),
    /// Anything else.
    Other(PgError),
}

impl Failure {
    fn told(self) -> PgError {
        match self {
            Failure::AboutTls(error) | Failure::Other(error) => error,
        }
    }
}

/// One connection, one login.
async fn attempt(
    spec: &LoginSpec,
    (target, place): (&Target, &Place),
    tls: Option<&Connector>,
    answered: &AtomicBool,
) -> Result<Server, Failure> {
    let (mut stream, _) = dial(place, spec.tcp, spec.within)
        .await
        .map_err(|error| Failure::Other(not_dialled(target, place, &error)))?;
    answered.store(true, Ordering::Relaxed);
    introduce(&mut stream, spec.header)
        .await
        .map_err(|error| Failure::Other(unreachable(target, &error.to_string())))?;
    if let Some(connector) = tls {
        match encrypt(&mut stream, target, connector).await {
            Ok(()) => {}
            Err(NotEncrypted::Declined) if !connector.mode().is_required() => {}
            Err(failed @ NotEncrypted::Handshake(_)) => {
                return Err(Failure::AboutTls(failed.told(target)));
            }
            Err(failed) => return Err(Failure::Other(failed.told(target))),
        }
    }
    let as_asked = stream.is_tls() == tls.is_some();
    match Login::run(stream, spec).await {
        Ok(login) => Ok(logged_in(login, spec.header, (target, place), tls)),
        // PostgreSQL says so where pg_hba.conf lets nobody in by this way.
        Err(Failed::Refused(error))
            if as_asked && error.code == sqlstate::INVALID_AUTHORIZATION =>
        {
            Err(Failure::AboutTls(error))
        }
        Err(Failed::Refused(error) | Failed::Broken(error)) => Err(Failure::Other(error)),
    }
}

fn logged_in(
    login: Login,
    header: ServerProxyProtocol,
    (target, place): (&Target, &Place),
    tls: Option<&Connector>,
) -> Server {
    let stream: Stream = login.stream;
    let mut identity = Identity::new(login.pid, login.secret, target.clone(), place.clone());
    identity.header = header;
    identity.tls = tls.filter(|_| stream.is_tls()).cloned();
    Server::at_rest(stream, identity, login.parameters)
}

impl Server {
    /// A connection whose session has just begun, or is as if it had.
    #[must_use]
    pub fn at_rest(stream: Stream, identity: Identity, parameters: Vec<(String, String)>) -> Self {
        let mut reported = parameters.iter();
        let reported = reported.find(|(name, _)| name == "application_name");
        let application_name: Arc<str> = reported.map_or("", |(_, value)| value.as_str()).into();
        Server {
            stream,
            outbox: Outbox::default(),
            mid_frame: false,
            tracker: Tracker::default(),
            statements: ServerStatements::default(),
            unnamed: crate::session::statements::UNNAMED_NONE,
            begins_with: None,
            profile: None,
            sequences_of: 0,
            sequences_are_mixed: false,
            own: Default::default(),
            answers: None,
            env_questions: Default::default(),
            temporary_schema: Default::default(),
            ear: None,
            described_parameters: Default::default(),
            application_name,
            stand_in: None,
            trace: None,
            waited: Duration::ZERO,
            identity: Arc::new(identity),
            parameters,
            must_report: false,
            inbox: Vec::new(),
            body_left: 0,
            body_is_forwarded: false,
        }
    }
}

fn not_dialled(target: &Target, place: &Place, error: &DialError) -> PgError {
    let told = unreachable(target, &error.to_string());
    match error.hint(place) {
        Some(hint) => told.with_hint(hint),
        None => told,
    }
}

/// Time is up.
fn silent(target: &Target, place: &Place, answered: bool) -> PgError {
    match answered {
        false => not_dialled(target, place, &DialError::TimedOut),
        true => unreachable(target, "timed out while logging in").with_hint(
            "Somebody takes the connection there and says nothing: is it PostgreSQL, and does it have \
             time? A load balancer may have no server behind it.",
        ),
    }
}

pub(super) fn unreachable(target: &Target, why: &str) -> PgError {
    PgError::fatal(
        sqlstate::CANNOT_CONNECT,
        format!("could not connect to PostgreSQL at {target}: {why}"),
    )
}
