//! One client of the console, from its login to its end.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::time::timeout;

use super::act::{self, Stopped};
use super::command::{Command, PARAMETERS, Role};
use super::conversation::{Answer, Conversation, Todo};
use super::{Desk, show};
use crate::config::General;
use crate::net::Stream;
use crate::pool::{Alias, ClientLimits, Registered, Who, Wish};
use crate::proxy::House;
use crate::proxy::console::Visitor;
use crate::wire::{PgError, backend, frame, sqlstate};

/// Longest message of a client, in bytes.
const LONGEST: usize = 64 * 1024;

/// So many rows are written down at once; for more another thread is asked.
const FEW_ROWS: usize = 100;

/// Whoever does not take an answer for so long is left.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is written at once, in bytes.
const PIECE: usize = 64 * 1024;

/// Why a session ends.
enum End {
    /// The client has left, or does not listen.
    Gone,
    /// It is told this.
    Told(PgError),
}

impl From<std::io::Error> for End {
    fn from(_: std::io::Error) -> Self {
        End::Gone
    }
}

/// What one visit has.
pub(super) struct Session {
    pub desk: Desk,
    pub house: Arc<House>,
    pub role: Role,
    /// It has said `SUSPEND`, which ends with it.
    pub suspends: bool,
    handle: Registered,
    stream: Stream,
    inbox: Vec<u8>,
    talk: Conversation,
}

/// Serves a client that has proven who it is.
///
/// # Cancel safety
/// Dropped before its end, the connection is closed; what was ordered stays.
pub(super) async fn serve(desk: Desk, house: Arc<House>, mut visitor: Visitor) {
    let peer = visitor.peer;
    let config = house.config();
    let role = match visitor.is_owner {
        true => Some(Role::Admin),
        false => role_of(&config.general, &visitor.startup.user),
    };
    let (role, handle) = match (role, register(&house, &visitor)) {
        (Some(role), Ok(handle)) => (role, handle),
        (None, _) => return refuse(&mut visitor, &not_allowed()).await,
        (_, Err(error)) => return refuse(&mut visitor, &error).await,
    };
    let _counted = visitor.connected;
    tracing::info!(client = %peer, user = visitor.startup.user, "the console has a visitor");
    let greeting = greeting(visitor.accepted, &handle);
    let mut session = Session {
        desk,
        house,
        role,
        suspends: false,
        handle,
        stream: visitor.stream,
        inbox: visitor.ahead,
        talk: Conversation::default(),
    };
    let end = match session.send(&greeting).await {
        Ok(()) => session.talk().await,
        Err(end) => Err(end),
    };
    if session.suspends {
        session.house.directory.resume(None);
    }
    if let Err(End::Told(error)) = end {
        let _ = session.send(&error.to_frame()).await;
    }
    tracing::info!(client = %peer, "the console's visitor has left");
}

/// What a user may do here.
fn role_of(general: &General, user: &str) -> Option<Role> {
    let names = |users: &Option<Vec<String>>| {
        let mut users = users.iter().flatten();
        users.any(|name| name == user)
    };
    match (names(&general.admin_users), names(&general.stats_users)) {
        (true, _) => Some(Role::Admin),
        (false, true) => Some(Role::Stats),
        (false, false) => None,
    }
}

fn not_allowed() -> PgError {
    PgError::fatal(
        sqlstate::INVALID_AUTHORIZATION,
        "this user is not allowed to use the console",
    )
    .with_hint("Only those that admin_users or stats_users name are.")
}

async fn refuse(visitor: &mut Visitor, error: &PgError) {
    tracing::info!(target: "limited", client = %visitor.peer, user = visitor.startup.user, sqlstate = %error.code, "login failed: {}", error.message);
    let told = [visitor.accepted.as_slice(), &error.to_frame()].concat();
    let _ = timeout(PATIENCE, visitor.stream.send(&told)).await;
}

fn register(house: &House, visitor: &Visitor) -> Result<Registered, PgError> {
    let startup = &visitor.startup;
    let mut settings = startup.settings.iter();
    let name = settings.find(|(key, _)| key.eq_ignore_ascii_case("application_name"));
    let who = Who {
        shelf: None,
        alias: Some(Box::new(Alias(startup.user.as_str().into()))),
        peer: visitor.peer,
        application_name: name.map_or("", |(_, value)| value.as_str()).into(),
        is_tls: visitor.stream.is_tls(),
    };
    house
        .clients
        .register(who, startup.agreed_minor() >= 2, ClientLimits::default())
        .map_err(PgError::from)
}

fn greeting(accepted: Vec<u8>, handle: &Registered) -> Vec<u8> {
    let greeting = backend::session_begins(PARAMETERS, handle.pid, handle.secret(), b"");
    [accepted, greeting].concat()
}

impl Session {
    async fn talk(&mut self) -> Result<(), End> {
        loop {
            let Some((tag, body)) = self.next_message()? else {
                self.wait_for_more().await?;
                continue;
            };
            let mut out = Vec::new();
            let todo = self.talk.take(tag, &body, &mut out).map_err(End::Told)?;
            match todo {
                None => {}
                Some(Todo::Leave) => return Ok(()),
                Some(Todo::Query(commands)) => self.query(commands, &mut out).await?,
                Some(Todo::Execute {
                    command,
                    portal,
                    limit,
                }) => match self.carry_out(&command).await? {
                    Ok(answer) => self.talk.executed(&portal, limit, answer, &mut out),
                    Err(error) => self.talk.failed(&error, &mut out),
                },
            }
            self.send(&out).await?;
        }
    }

    async fn query(
        &mut self,
        commands: Vec<Result<Command, PgError>>,
        out: &mut Vec<u8>,
    ) -> Result<(), End> {
        let is_empty = commands.is_empty();
        for command in commands {
            let done = match &command {
                Ok(command) => self.carry_out(command).await?,
                Err(error) => Err(error.clone()),
            };
            match (&command, done) {
                (Ok(command), Ok(answer)) => out.extend(written(command, answer).await),
                (_, Err(error)) => {
                    self.talk.failed(&error, out);
                    break;
                }
                (Err(_), Ok(_)) => {}
            }
        }
        self.talk.query_is_over(is_empty, out);
        Ok(())
    }

    /// The next message, once it has arrived.
    fn next_message(&mut self) -> Result<Option<(u8, Vec<u8>)>, End> {
        let header = frame::header(&self.inbox, LONGEST).map_err(|_| {
            let what = "a message to the console is too long, or none";
            End::Told(PgError::fatal(sqlstate::PROTOCOL_VIOLATION, what))
        })?;
        let Some(header) = header.filter(|header| self.inbox.len() >= header.total) else {
            return Ok(None);
        };
        let rest = self.inbox.split_off(header.total);
        let message = std::mem::replace(&mut self.inbox, rest);
        let body = message.get(frame::HEADER..).unwrap_or_default().to_vec();
        Ok(Some((header.tag, body)))
    }

    async fn wait_for_more(&mut self) -> Result<(), End> {
        tokio::select! {
            wish = self.handle.wished(Wish::EndAtBoundary) => match wish {
                Wish::Deadline | Wish::MoveAway => self.handle.granted(wish),
                Wish::None | Wish::StopWaiting | Wish::EndAtBoundary | Wish::EndNow => {
                    return Err(End::Told(PgError::shutting_down()));
                }
            },
            read = self.stream.read_buf(&mut self.inbox) => if read? == 0 {
                return Err(End::Gone);
            },
        }
        Ok(())
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<(), End> {
        if bytes.is_empty() {
            return Ok(());
        }
        // Long ones in pieces, between which others have their turn.
        for piece in bytes.chunks(PIECE) {
            match timeout(PATIENCE, self.stream.send(piece)).await {
                Ok(sent) => sent?,
                Err(_) => return Err(End::Gone),
            }
            if bytes.len() > PIECE {
                tokio::task::yield_now().await;
            }
        }
        Ok(())
    }

    /// Carries out a command, if its role allows; meanwhile the client may leave
    /// or cancel it.
    async fn carry_out(&mut self, command: &Command) -> Result<Result<Answer, PgError>, End> {
        if self.role < command.needs() {
            return Ok(Err(PgError::error(
                sqlstate::INSUFFICIENT_PRIVILEGE,
                "admin access needed",
            )));
        }
        match command {
            Command::Begin => self.talk.in_transaction = true,
            Command::End(_) => self.talk.in_transaction = false,
            Command::Suspend => self.suspends = true,
            Command::Resume(None) => self.suspends = false,
            _ => {}
        }
        let (desk, house) = (self.desk.clone(), Arc::clone(&self.house));
        if command.only_looks() {
            // Ten thousand rows take a while: not on a thread that serves queries.
            let command = command.clone();
            let shown =
                tokio::task::spawn_blocking(move || show::answer(&desk, &house, &command)).await;
            return Ok(shown
                .map_err(|_| PgError::error(sqlstate::INTERNAL_ERROR, "it could not be shown")));
        }
        // A CancelRequest finds one that waits.
        self.handle.waits();
        let carried_out = {
            let act = std::pin::pin!(act::carry_out(&desk, &house, command));
            self.unless_stopped(act).await
        };
        self.handle.served_by_nobody();
        self.handle.granted(Wish::StopWaiting);
        match carried_out? {
            Ok(done) => Ok(done),
            Err(Stopped) => {
                act::take_back(&house, command);
                Ok(Err(PgError::canceled()))
            }
        }
    }

    async fn unless_stopped<T>(
        &mut self,
        mut act: std::pin::Pin<&mut impl Future<Output = T>>,
    ) -> Result<Result<T, Stopped>, End> {
        loop {
            tokio::select! {
                biased;
                done = &mut act => return Ok(Ok(done)),
                wish = self.handle.wished(Wish::StopWaiting) => match wish {
                    Wish::StopWaiting => return Ok(Err(Stopped)),
                    Wish::Deadline | Wish::MoveAway => self.handle.granted(wish),
                    Wish::None | Wish::EndAtBoundary | Wish::EndNow => {
                        return Err(End::Told(PgError::shutting_down()));
                    }
                },
                read = self.stream.read_buf(&mut self.inbox), if self.inbox.len() < LONGEST => {
                    if read? == 0 {
                        return Err(End::Gone);
                    }
                }
            }
        }
    }
}

/// As it is sent: many rows are put down where no queries are served.
async fn written(command: &Command, answer: Answer) -> Vec<u8> {
    let command = command.clone();
    let is_long = answer.rows.len() > FEW_ROWS;
    let write = move || {
        let mut out = Vec::new();
        Conversation::answer(&command, answer, &mut out);
        out
    };
    match is_long {
        true => tokio::task::spawn_blocking(write)
            .await
            .unwrap_or_else(|_| {
                PgError::error(sqlstate::INTERNAL_ERROR, "it could not be written").to_frame()
            }),
        false => write(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_is_named_may_come_in() {
        let list = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect());
        let general = General {
            admin_users: list(&["root", "both"]),
            stats_users: list(&["metrics", "both"]),
            ..General::default()
        };
        let role = |user| role_of(&general, user);
        assert_eq!(role("root"), Some(Role::Admin));
        assert_eq!(role("both"), Some(Role::Admin));
        assert_eq!(role("metrics"), Some(Role::Stats));
        assert_eq!((role("app"), role("")), (None, None));
        assert_eq!(role_of(&General::default(), "root"), None);
    }
}
