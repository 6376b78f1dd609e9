//! From accept to ReadyForQuery (`protocol-flow.html#PROTOCOL-FLOW-START-UP`).

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::time::timeout;

mod application_name;
mod demand;
mod names;
mod outside;
mod passthrough;
mod prove;
mod roles;

use self::application_name::{is_plain, with_host};
use self::prove::{Proven, Trial, prove};
use super::client::{Client, End};
use super::console::{self, Visit};
use super::house::House;
use super::intro::{Intro, first_words};
use super::moving::Departure;
use super::proxy_protocol::read_header;
use super::replication::{self, Kind, Replication};
use crate::auth::{Credential, StoredSecret};
use crate::config::{Config, PoolSettings};
use crate::net::{Peer, Stream};
use crate::pool::{
    Alias, Beginning, ClientLimits, Registered, ServerPool, Shelf, StartupClass, Who,
};
use crate::session::Rest;
use crate::wire::startup::Startup;
use crate::wire::{PgError, Severity, backend, sqlstate};

/// Why a login ended without a session.
pub(super) enum NoSession {
    /// It was a cancel request, or the client left: nothing to say.
    Silence,
    /// The client is told.
    Refused(PgError),
    /// The same: its proof was wrong, and it is not a password of ours.
    #[cfg_attr(
        not(any(feature = "oauth", feature = "ldap", feature = "pam")),
        allow(dead_code)
    )]
    Unproven(PgError),
    /// The client has proven who it is, which it is told first.
    RefusedLater(Vec<u8>, PgError),
    /// The console serves it.
    Console(Box<Visit>),
    /// It replicates.
    Replication(Box<Replication>),
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
///
/// # Cancel safety
/// Dropped before its end, a server connection in use is closed.
pub async fn serve(house: Arc<House>, stream: Stream, peer: Peer) {
    // Logging in and ending are boxed: an idle client pays only for itself.
    let Some(mut client) = Box::pin(admit(house, stream, peer)).await else {
        return;
    };
    if let Some(end) = live(&mut client).await {
        Box::pin(client.end(*end)).await;
    }
}

/// Serves a client that has logged in, until its session ends, which is then to be
/// brought to its end; `None` when another process goes on with it.
///
/// # Cancel safety
/// Dropped before its end, a server connection in use is closed.
pub(super) async fn live(client: &mut Client) -> Option<Box<End>> {
    loop {
        // Boxed, and before the next wait: who idles has no room for it.
        let end = match client.serve().await {
            End::Moves => None,
            end => Some(Box::new(end)),
        };
        if end.is_some() {
            return end;
        }
        match Box::pin(client.leave()).await {
            Departure::Gone => return None,
            Departure::Stays => {}
            Departure::InDoubt => return Some(Box::new(End::Told(PgError::shutting_down()))),
        }
    }
}

/// Logs a client in; `None` when that came to nothing, and it has been told.
async fn admit(house: Arc<House>, mut stream: Stream, mut peer: Peer) -> Option<Client> {
    let (connected, number) = house.connect();
    let config = house.config();
    let within = config.general.client_login_timeout;
    let log = config.general.log_pooler_errors;
    match timeout(within, log_in(&house, &mut stream, &mut peer, number)).await {
        Ok(Ok(logged_in)) => Some(Client::new(stream, connected, &house, logged_in)),
        Ok(Err(NoSession::Silence)) => None,
        Ok(Err(NoSession::Refused(error) | NoSession::Unproven(error))) => {
            refuse(&mut stream, peer, Vec::new(), &error, log).await
        }
        Ok(Err(NoSession::RefusedLater(accepted, error))) => {
            refuse(&mut stream, peer, accepted, &error, log).await
        }
        Ok(Err(NoSession::Replication(replication))) => {
            replication.serve(stream, peer, connected).await;
            None
        }
        Ok(Err(NoSession::Console(visit))) => {
            visit.serve(house, stream, peer, connected).await;
            None
        }
        Err(_) => {
            if log {
                tracing::info!(target: "limited", client = %peer, "closing because: client_login_timeout");
            }
            stream.write_last(
                &PgError::fatal(sqlstate::PROTOCOL_VIOLATION, "client_login_timeout").to_frame(),
            );
            None
        }
    }
}

async fn refuse(
    stream: &mut Stream,
    peer: Peer,
    mut reply: Vec<u8>,
    error: &PgError,
    log: bool,
) -> Option<Client> {
    if log {
        let message = error.message.escape_debug();
        tracing::info!(target: "limited", client = %peer, sqlstate = %error.code, "login failed: {message}");
    }
    reply.extend_from_slice(&error.to_frame());
    let _ = stream.send(&reply).await;
    None
}

/// All that a session begins with.
pub(super) struct LoggedIn {
    pub shelf: Arc<Shelf>,
    pub settings: PoolSettings,
    pub handle: Registered,
    pub application_name: Arc<str>,
    /// What its session begins with.
    pub beginning: Beginning,
    /// What the client has sent already.
    pub ahead: Vec<u8>,
}

async fn log_in(
    house: &Arc<House>,
    stream: &mut Stream,
    peer: &mut Peer,
    number: u32,
) -> Result<LoggedIn, NoSession> {
    let mut intro = Intro {
        stream,
        peer: *peer,
        via: None,
        read: Default::default(),
        binding: None,
    };
    let told = read_header(&mut intro, &house.config().general).await;
    *peer = intro.peer;
    let peer = *peer;
    told?;
    let startup = first_words(house, &mut intro).await?;
    let max_client_conn = house.config().general.max_client_conn;
    if number > console::most_connections(&startup, max_client_conn) {
        return Err(PgError::fatal(
            sqlstate::TOO_MANY_CONNECTIONS,
            "no more connections allowed (max_client_conn)",
        )
        .into());
    }
    if startup.needs_negotiation() {
        let options = startup.protocol_options.clone();
        intro
            .stream
            .send(&backend::negotiate_protocol_version(
                startup.agreed_minor(),
                options,
            ))
            .await?;
    }
    let asked = Kind::of(&startup)?;
    let is_same_uid = intro.via.is_none() && console::is_same_uid(intro.stream);
    let vouched = console::vouched_for(&startup, is_same_uid);
    let is_owner = vouched.is_some();
    let config = house.config();
    let proven = match vouched {
        Some(accepted) => Proven {
            accepted,
            learned: None,
        },
        None => {
            let trial = Trial {
                house,
                config: &config,
                intro: &mut intro,
                startup: &startup,
                roles: Default::default(),
                is_counted: false,
            };
            prove(trial).await?
        }
    };
    if console::is_asked_for(&startup) {
        return Err(NoSession::Console(Box::new(Visit {
            startup,
            is_owner,
            accepted: proven.accepted,
            ahead: intro.read.to_vec(),
        })));
    }
    let at = (peer, intro.stream.is_tls());
    let Proven { accepted, learned } = proven;
    let found = match find_pool(house, &config, &startup, learned) {
        Ok(found) => found,
        Err(error) => return Err(NoSession::RefusedLater(accepted, error)),
    };
    if asked != Kind::None {
        let opening = replication::open(house, &config, &startup, found, at, intro.read.to_vec());
        return Err(match opening.await {
            Ok(replication) => NoSession::Replication(Box::new(replication.greeted_by(accepted))),
            Err(error) => NoSession::RefusedLater(accepted, error),
        });
    }
    let mut logged_in = match enter(house, &config, &startup, at, found).await {
        Ok(entered) => entered,
        Err(error) => return Err(NoSession::RefusedLater(accepted, error)),
    };
    let message = config.general.login_notify_message.as_deref();
    let greeting = greeting(accepted, &logged_in, message.unwrap_or_default());
    intro.stream.send(&greeting).await?;
    if config.general.log_connections {
        let is_tls = intro.stream.is_tls();
        let (database, user) = (startup.database.escape_debug(), startup.user.escape_debug());
        let via = intro.via.map(tracing::field::display);
        // Each is a field of its own; as text the line reads as PgBouncer's.
        tracing::info!(db = %database, %user, tls = is_tls, client = %peer, via, "login:");
    }
    logged_in.ahead = intro.read.to_vec();
    Ok(logged_in)
}

/// All that the client is told up to its first ReadyForQuery; a message that is
/// not empty as a notice.
fn greeting(accepted: Vec<u8>, logged_in: &LoggedIn, message: &str) -> Vec<u8> {
    let notice = match message {
        "" => Vec::new(),
        message => PgError::error(sqlstate::SUCCESSFUL_COMPLETION, message).to_notice("NOTICE"),
    };
    let told = logged_in.beginning.greeting.iter().map(|(name, value)| {
        let value = match name.as_str() {
            "application_name" => &*logged_in.application_name,
            _ => value.as_str(),
        };
        (name.as_str(), value)
    });
    let handle = &logged_in.handle;
    let greeting = backend::session_begins(told, handle.pid, handle.secret(), &notice);
    [accepted, greeting].concat()
}

/// Finds the pool of a client that has proven who it is.
fn find_pool(
    house: &House,
    config: &Config,
    startup: &Startup,
    learned: Option<Credential>,
) -> Result<(Arc<ServerPool>, PoolSettings), PgError> {
    let Some((pool, settings)) = house
        .directory
        .pool(config, &startup.database, &startup.user)
    else {
        let what = format!("database \"{}\" does not exist", startup.database);
        return Err(PgError::fatal(sqlstate::INVALID_CATALOG_NAME, what));
    };
    if house.directory.is_disabled(&startup.database) {
        let what = format!("database \"{}\" is disabled", startup.database);
        return Err(PgError::fatal(sqlstate::NOT_IN_PREREQUISITE_STATE, what));
    }
    if settings.server_password.is_none() && settings.password_command.is_none() {
        // As the user of its own name it logs in with what the client has shown;
        // as another with what is known of that one.
        let is_forced = config.forces_user(&startup.database);
        let own = learned.filter(|_| !is_forced && settings.server_user == startup.user);
        let listed = || {
            let secret = house.access.listed(config, &settings.server_user)?;
            Some(Credential::of(&StoredSecret::parse(secret.expose())))
        };
        // A login that shows nothing takes nothing away that others have shown.
        let shown = own.or_else(listed);
        if let Some(credential) = shown.filter(|shown| !matches!(shown, Credential::None)) {
            pool.learn(&credential);
        }
    }
    Ok((pool, settings))
}

/// Begins the session of a client in its pool.
async fn enter(
    house: &Arc<House>,
    config: &Config,
    startup: &Startup,
    at: (Peer, bool),
    (pool, settings): (Arc<ServerPool>, PoolSettings),
) -> Result<LoggedIn, PgError> {
    let ignored = config.general.ignore_startup_parameters.as_deref();
    let (class, application_name) =
        startup_class(startup, ignored.unwrap_or_default(), &settings.startup);
    let shelf = pool.shelf(class);
    let beginning = beginning(&shelf).await?;
    let application_name =
        application_name.unwrap_or_else(|| reported(&beginning.greeting, "application_name"));
    let application_name = match config.general.application_name_add_host {
        true => with_host(&application_name, at.0),
        false => application_name,
    };
    let who = who(startup, &shelf, Arc::clone(&application_name), at);
    let handle = register(house, startup, who, &settings)?;
    pool.stats.logins.fetch_add(1, Ordering::Relaxed);
    Ok(LoggedIn {
        shelf,
        settings,
        handle,
        application_name,
        beginning,
        ahead: Vec::new(),
    })
}

/// Enters a client into the registry.
pub(super) fn register(
    house: &House,
    startup: &Startup,
    who: Who,
    settings: &PoolSettings,
) -> Result<Registered, PgError> {
    let limits = ClientLimits {
        of_database: settings.max_db_client_connections,
        of_user: settings.max_user_client_connections,
    };
    let registered = house
        .clients
        .register(who, startup.agreed_minor() >= 2, limits);
    registered.map_err(PgError::from)
}

/// Who a client is, for those who list them.
pub(super) fn who(
    startup: &Startup,
    shelf: &Arc<Shelf>,
    application_name: Arc<str>,
    (peer, is_tls): (Peer, bool),
) -> Who {
    let is_alias = startup.user != shelf.pool().server_user;
    Who {
        shelf: Some(Arc::clone(shelf)),
        alias: is_alias.then(|| Box::new(Alias(startup.user.as_str().into()))),
        peer,
        application_name,
        is_tls,
    }
}

/// Is this startup parameter one of `ignore_startup_parameters`?
pub(super) fn is_ignored(ignored: &[String], parameter: &str) -> bool {
    let mut ignored = ignored.iter();
    ignored.any(|ignored| ignored.eq_ignore_ascii_case(parameter))
}

/// What the server connections of this client are opened with, and its
/// `application_name`, which they take on when they serve it.
///
/// A name that PostgreSQL changes is left to it.
fn startup_class(
    startup: &Startup,
    ignored: &[String],
    usual: &[(String, String)],
) -> (StartupClass, Option<Arc<str>>) {
    let mut name = None;
    let mut class: StartupClass = Vec::with_capacity(startup.settings.len());
    let says = |key: &str| {
        startup
            .settings
            .iter()
            .any(|(said, _)| said.eq_ignore_ascii_case(key))
    };
    let unsaid = usual.iter().filter(|(key, _)| !says(key));
    for (key, value) in startup.settings.iter().chain(unsaid) {
        if is_ignored(ignored, key) {
            continue;
        }
        if key.eq_ignore_ascii_case("application_name") && is_plain(value) {
            name = Some(value.as_str().into());
        } else {
            class.push((key.clone(), value.clone()));
        }
    }
    class.sort();
    (class, name)
}

/// What sessions of this shelf begin with; opens one if none has begun yet.
async fn beginning(shelf: &Arc<Shelf>) -> Result<Beginning, PgError> {
    loop {
        if let Some(beginning) = shelf.beginning() {
            return Ok(beginning);
        }
        let lease = Arc::clone(shelf)
            .lease(0, None)
            .await
            .map_err(|error| error.with_severity(Severity::Fatal))?;
        if let Rest::Boundary(boundary) = lease.tracker.rest() {
            lease.give_back(boundary);
        }
    }
}

fn reported(greeting: &[(String, String)], name: &str) -> Arc<str> {
    greeting
        .iter()
        .find(|(reported, _)| reported == name)
        .map_or("", |(_, value)| value.as_str())
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes of what a function of these arguments is as a task.
    fn size_of_task<A, B, C, F>(_: impl Fn(A, B, C) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn a_client_is_in_its_task_but_once() {
        let (task, client) = (size_of_task(serve), size_of::<Client>());
        assert!(task <= client + 192, "{task} with a client of {client}");
    }

    #[test]
    fn a_client_costs_little_while_it_idles() {
        // What a task holds for an idle client, all sockets' and maps' memory apart.
        let most = if cfg!(feature = "otel") { 424 } else { 416 };
        assert!(size_of::<Client>() <= most, "{}", size_of::<Client>());
    }

    #[test]
    fn the_application_name_is_not_part_of_the_class_if_it_is_plain() {
        let startup = |name: &str| Startup {
            settings: vec![
                ("application_name".into(), name.into()),
                ("DateStyle".into(), "ISO".into()),
            ],
            ..Startup::default()
        };
        let (class, name) = startup_class(&startup("psql"), &[], &[]);
        assert_eq!((class.len(), name.as_deref()), (1, Some("psql")));
        let (class, name) = startup_class(&startup("ps\u{e9}l"), &[], &[]);
        assert_eq!((class.len(), name), (2, None));
        let ignored = ["datestyle".to_owned(), "APPLICATION_NAME".to_owned()];
        let (class, name) = startup_class(&startup("psql"), &ignored, &[]);
        assert_eq!((class.len(), name), (0, None));
        let usual = ["datestyle", "TimeZone"].map(|key| (key.to_owned(), "x".to_owned()));
        let (class, _) = startup_class(&startup("psql"), &[], &usual);
        let said = [("DateStyle", "ISO"), ("TimeZone", "x")];
        assert_eq!(
            class,
            said.map(|(key, value)| (key.to_owned(), value.to_owned()))
        );
    }
}
