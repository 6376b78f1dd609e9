//! Opening a server connection, up to its first ReadyForQuery.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::login::Login;
use super::{Identity, Server};
use crate::auth::{Credential, KeyCache};
use crate::net::{DialError, Outbox, Stream, Target, dial};
use crate::session::Tracker;
use crate::session::statements::ServerStatements;
use crate::wire::{PgError, sqlstate};

/// All that is needed to log in to a server.
#[derive(Debug)]
pub struct LoginSpec {
    /// Where it listens.
    pub target: Target,
    /// The role.
    pub user: String,
    /// The database.
    pub database: String,
    /// How to prove to be that role.
    pub credential: Credential,
    /// Startup parameters besides user and database, `application_name` too.
    pub settings: Vec<(String, String)>,
    /// Keys derived so far.
    pub keys: KeyCache,
    /// `tcp_keepalive`.
    pub keepalive: bool,
    /// Connecting and logging in may take this long.
    pub within: Duration,
}

/// Opens a server connection. It stands at a boundary then.
///
/// # Errors
/// The server's own error where it gave one; 08001 when it cannot be reached,
/// 08P01 when it broke the protocol.
///
/// # Cancel safety
/// Dropped before its end, the half-open connection is closed.
pub async fn connect(spec: &LoginSpec) -> Result<Server, PgError> {
    match timeout(spec.within, open(spec)).await {
        Ok(result) => result,
        Err(_) => Err(unreachable(&spec.target, "timed out")),
    }
}

async fn open(spec: &LoginSpec) -> Result<Server, PgError> {
    let (stream, _) = dial(&spec.target, spec.keepalive, spec.within)
        .await
        .map_err(|error: DialError| unreachable(&spec.target, &error.to_string()))?;
    let login = Login::run(stream, spec).await?;
    Ok(logged_in(login, spec))
}

fn logged_in(login: Login, spec: &LoginSpec) -> Server {
    let reported = login
        .parameters
        .iter()
        .find(|(name, _)| name == "application_name");
    let application_name: Arc<str> = reported.map_or("", |(_, value)| value.as_str()).into();
    let stream: Stream = login.stream;
    Server {
        stream,
        outbox: Outbox::default(),
        mid_frame: false,
        tracker: Tracker::default(),
        statements: ServerStatements::default(),
        unnamed: crate::session::statements::UNNAMED_NONE,
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
        identity: Arc::new(Identity::new(login.pid, login.secret, spec.target.clone())),
        parameters: login.parameters,
        must_report: false,
        inbox: Vec::new(),
        body_left: 0,
        body_is_forwarded: false,
    }
}

fn unreachable(target: &Target, why: &str) -> PgError {
    PgError::fatal(
        sqlstate::CANNOT_CONNECT,
        format!("could not connect to PostgreSQL at {target}: {why}"),
    )
}
