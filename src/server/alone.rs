//! A query that the configuration asks for, on a server connection that stands at
//! a boundary and serves nobody at the moment: `connect_query` and its like.

use std::time::Duration;

use tokio::time::timeout;

use super::login::{Failed, message};
use super::{Answers, Questions, Server};
use crate::session::statements::UNNAMED_NONE;
use crate::wire::{PgError, backend, frontend, sqlstate};

impl Server {
    /// Runs a simple query and drops what it returns. The tracker does not hear of
    /// it: it begins and ends at a boundary. Statements that it drops are forgotten;
    /// what it makes of the settings is for the caller to find out. True when there
    /// was a DISCARD ALL in it.
    ///
    /// # Errors
    /// The server's own; 0A000 if it asks for data or leaves a transaction
    /// open, 08006 when the connection breaks or it takes too long. The connection is
    /// then to be closed.
    ///
    /// # Cancel safety
    /// Dropped before its end, the connection is to be closed.
    pub async fn run_alone(&mut self, text: &str, within: Duration) -> Result<bool, PgError> {
        // Until it has ended nothing else may be said here.
        let before = std::mem::replace(&mut self.mid_frame, true);
        match timeout(within, self.run_now(text)).await {
            Ok(Ok(discarded)) => {
                self.mid_frame = before;
                Ok(discarded)
            }
            Ok(Err(error)) => Err(error),
            Err(_) => Err(broken("the server took too long to answer")),
        }
    }

    async fn run_now(&mut self, text: &str) -> Result<bool, PgError> {
        let mut discarded = false;
        self.unnamed = UNNAMED_NONE;
        let sent = self.stream.send(&frontend::query(text)).await;
        sent.map_err(|error| broken(&format!("the connection to PostgreSQL broke: {error}")))?;
        loop {
            let (tag, body) = match message(&mut self.stream).await {
                Ok(message) => message,
                Err(Failed::Refused(error) | Failed::Broken(error)) => return Err(error),
            };
            match tag {
                b'S' => self.learn_parameter(&body),
                b'C' => match &*body {
                    b"DISCARD ALL\0" => {
                        self.forget_statements();
                        self.profile = None;
                        discarded = true;
                    }
                    b"DEALLOCATE ALL\0" => self.forget_statements(),
                    _ => {}
                },
                b'G' | b'W' => return Err(unfit("it asks for data")),
                b'Z' if body == b"I" => return Ok(discarded),
                b'Z' => return Err(unfit("it leaves a transaction open")),
                _ => {}
            }
        }
    }

    fn learn_parameter(&mut self, body: &[u8]) {
        let Some((name, value)) = backend::parameter(body) else {
            return;
        };
        let value = String::from_utf8_lossy(value);
        if name == b"application_name" {
            self.application_name = value.as_ref().into();
        }
        let mut known = self.parameters.iter_mut();
        if let Some((_, known)) = known.find(|(other, _)| other.as_bytes() == name) {
            *known = value.into_owned();
        }
    }

    /// Asks about the session and waits for the answers.
    ///
    /// # Errors
    /// When there are none; the connection is then to be closed.
    ///
    /// # Cancel safety
    /// Dropped before its end, the connection is to be closed.
    pub async fn ask_alone(
        &mut self,
        questions: Questions,
        within: Duration,
    ) -> Result<Answers, PgError> {
        let name = std::sync::Arc::clone(&self.application_name);
        self.ask(questions, &name);
        let quiet = timeout(within, self.quiesce()).await;
        match (quiet, self.answers.take()) {
            (Ok(Ok(())), Some(answers)) if !answers.failed => Ok(*answers),
            (Err(_), _) => Err(broken("the server took too long to answer")),
            _ => Err(broken("the server cannot tell what it made of the session")),
        }
    }
}

fn broken(what: &str) -> PgError {
    PgError::fatal(sqlstate::CONNECTION_FAILURE, what)
}

fn unfit(what: &str) -> PgError {
    PgError::fatal(sqlstate::FEATURE_NOT_SUPPORTED, what)
}
