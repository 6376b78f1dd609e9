//! Asking one server for users' secrets, by `auth_query`.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::errand::Errand;
use crate::auth::userlist::MAX_NAME_BYTES;
use crate::config::{PoolSettings, Secret};
use crate::net::Names;
use crate::server::{Row, Server, advice_on_auth_query};
use crate::wire::{PgError, sqlstate};

/// Most answers that are remembered.
const MAX_ANSWERS: usize = 10_000;

/// A server that could not be asked is not asked again for so long.
const PAUSE: Duration = Duration::from_secs(1);

/// A connection that asks, and what it was told.
#[derive(Debug)]
pub(super) struct Desk {
    query: String,
    /// One asks at a time; the others find its answer, or ask next.
    line: tokio::sync::Mutex<Line>,
    answers: Mutex<HashMap<String, Answer>>,
}

#[derive(Debug, Default)]
struct Line {
    server: Option<Server>,
    last_used: Option<Instant>,
    trouble: Option<(Instant, PgError)>,
}

/// What the server says of a user.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::proxy) enum Said {
    /// There is no such user.
    Nobody,
    /// There is, without a secret, or it is not to prove one.
    NoSecret,
    /// Its secret.
    Secret(Secret),
}

impl Said {
    /// The secret, if there is one.
    pub fn secret(self) -> Option<Secret> {
        match self {
            Said::Secret(secret) => Some(secret),
            Said::Nobody | Said::NoSecret => None,
        }
    }
}

#[derive(Debug, Clone)]
struct Answer {
    said: Said,
    at: Instant,
}

impl Desk {
    pub fn new(query: &str) -> Self {
        Self {
            query: query.to_owned(),
            line: tokio::sync::Mutex::default(),
            answers: Mutex::default(),
        }
    }

    /// What is said of a user; an answer that is younger than `ttl` is used again.
    ///
    /// # Errors
    /// When the server cannot be asked: in words for whoever may be anybody.
    ///
    /// # Cancel safety
    /// Dropped before its end, the connection is closed.
    pub async fn find(
        &self,
        user: &str,
        ttl: Duration,
        errand: &Errand<'_>,
    ) -> Result<Said, PgError> {
        // No role has such a name.
        if user.len() > MAX_NAME_BYTES {
            return Ok(Said::Nobody);
        }
        let asked = Instant::now();
        if let Some(known) = self.known(user, asked, ttl) {
            return Ok(known);
        }
        let mut line = self.line.lock().await;
        // Whoever was before may have asked for the same.
        if let Some(known) = self.known(user, asked, ttl) {
            return Ok(known);
        }
        let said = line.ask(&self.query, user, errand).await?;
        self.remember(user, said.clone(), ttl);
        Ok(said)
    }

    /// What is known for a login that began to ask then.
    fn known(&self, user: &str, asked: Instant, ttl: Duration) -> Option<Said> {
        let answers = self.answers.lock();
        let answer = answers.get(user)?;
        let is_fresh = answer.at >= asked || asked.duration_since(answer.at) < ttl;
        is_fresh.then(|| answer.said.clone())
    }

    fn remember(&self, user: &str, said: Said, ttl: Duration) {
        let at = Instant::now();
        let mut answers = self.answers.lock();
        if answers.len() >= MAX_ANSWERS {
            answers.retain(|_, answer| at.saturating_duration_since(answer.at) < ttl);
        }
        if answers.len() >= MAX_ANSWERS {
            answers.clear();
        }
        answers.insert(user.to_owned(), Answer { said, at });
    }

    /// The answer about a user may be old.
    pub fn doubt(&self, user: &str) {
        self.answers.lock().remove(user);
    }

    /// All answers may be old, and the connection may be another's.
    pub fn forget(&self) {
        self.answers.lock().clear();
        if let Ok(mut line) = self.line.try_lock() {
            *line = Line::default();
        }
    }

    /// Closes the connection if its name has lost its address.
    pub fn leave_lost_address(&self, names: &Names) {
        let Ok(mut line) = self.line.try_lock() else {
            return;
        };
        let server = line.server.as_ref();
        if server.is_some_and(|server| server.identity.has_moved(names)) {
            *line = Line::default();
        }
    }

    /// Closes the connection if it has not been used for so long; zero: never.
    pub fn keep(&self, now: Instant, idle_timeout: Duration) {
        let Ok(mut line) = self.line.try_lock() else {
            return;
        };
        let idle = line
            .last_used
            .map(|used| now.saturating_duration_since(used));
        if !idle_timeout.is_zero() && idle.is_some_and(|idle| idle > idle_timeout) {
            *line = Line::default();
        }
    }
}

impl Line {
    async fn ask(&mut self, query: &str, user: &str, errand: &Errand<'_>) -> Result<Said, PgError> {
        if let Some((until, error)) = &self.trouble
            && Instant::now() < *until
        {
            return Err(error.clone());
        }
        let found = self.try_to_ask(query, user, errand).await;
        let told = found.map_err(|error| {
            let message = error.message.escape_debug();
            let PoolSettings {
                server_user,
                dbname,
                ..
            } = &errand.settings;
            let hint = advice_on_auth_query(&error, server_user, dbname);
            tracing::warn!(sqlstate = %error.code, hint, "auth_query failed: {message}");
            for_anybody(&error)
        });
        // What is wrong about one user keeps no other out.
        let failed = told.as_ref().err().filter(|_| self.server.is_none());
        self.trouble = failed.map(|error| (Instant::now() + PAUSE, error.clone()));
        told
    }

    async fn try_to_ask(
        &mut self,
        query: &str,
        user: &str,
        errand: &Errand<'_>,
    ) -> Result<Said, PgError> {
        let within = errand.settings.server_connect_timeout;
        // Taken out: dropped half-way, it is closed.
        if let Some(mut server) = self.server.take()
            && !server.is_spent()
        {
            let began = Instant::now();
            let rows = server.look_up(query, user, within).await;
            if !server.is_spent() {
                self.keep(server);
                return said_in(&rows?, user);
            }
            // It had broken since it was used last, or does not answer.
            if began.elapsed() >= within {
                return said_in(&rows?, user);
            }
        }
        let mut server = errand.connect().await?;
        let rows = server.look_up(query, user, within).await;
        if !server.is_spent() {
            self.keep(server);
        }
        said_in(&rows?, user)
    }

    fn keep(&mut self, server: Server) {
        self.server = Some(server);
        self.last_used = Some(Instant::now());
    }
}

/// What the answer says.
pub(in crate::proxy) fn said_in(rows: &[Row], user: &str) -> Result<Said, PgError> {
    let wrong = |what: &str| Err(PgError::fatal(sqlstate::INTERNAL_ERROR, what));
    let row = match rows {
        [] => return Ok(Said::Nobody),
        [row] => row,
        _ => return wrong("it gave more than one row"),
    };
    let [name, secret] = row.as_slice() else {
        return wrong("it must give two columns, the name and the secret");
    };
    // Somebody else's secret must let nobody in.
    match name {
        Some(name) if name.as_slice() == user.as_bytes() => {}
        Some(_) => return wrong("it gave a row about another user"),
        // A function without a row to give.
        None => return Ok(Said::Nobody),
    }
    let Some(secret) = secret else {
        return Ok(Said::NoSecret);
    };
    let Ok(secret) = str::from_utf8(secret) else {
        return wrong("it gave a secret that is no text");
    };
    let secret = Secret::new(secret);
    match secret.is_whole() {
        true => Ok(Said::Secret(secret)),
        false => wrong("it gave a SCRAM verifier that is not whole"),
    }
}

/// Nothing of what stands behind: the client is not known yet.
pub(in crate::proxy) fn for_anybody(error: &PgError) -> PgError {
    let is_about_the_connection = ["08", "53", "57"]
        .iter()
        .any(|class| error.code.starts_with(class));
    let code = match is_about_the_connection {
        true => error.code.as_str(),
        false => sqlstate::INTERNAL_ERROR,
    };
    PgError::fatal(code, "the server could not be asked about the user")
        .with_hint("The log of pgweave tells why.")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use zeroize::Zeroizing;

    use super::*;

    fn row(columns: &[Option<&str>]) -> Row {
        let value = |text: &str| Zeroizing::new(text.as_bytes().to_vec());
        columns.iter().map(|column| column.map(value)).collect()
    }

    #[test]
    fn a_row_of_name_and_secret_is_an_answer() {
        let found = said_in(&[row(&[Some("alice"), Some("md5x")])], "alice").unwrap();
        assert_eq!(found, Said::Secret(Secret::new("md5x")));
        for (rows, expected) in [
            (vec![], Said::Nobody),
            (vec![row(&[Some("alice"), None])], Said::NoSecret),
            (vec![row(&[None, None])], Said::Nobody),
        ] {
            assert_eq!(said_in(&rows, "alice").unwrap(), expected);
        }
    }

    #[test]
    fn an_answer_of_another_shape_lets_nobody_in() {
        let alice = row(&[Some("alice"), Some("x")]);
        for wrong in [
            vec![alice.clone(), alice],
            vec![row(&[Some("x")])],
            vec![row(&[Some("alice"), Some("x"), None])],
            vec![row(&[Some("bob"), Some("x")])],
            vec![row(&[Some("Alice"), Some("x")])],
            vec![row(&[Some("alice"), Some("SCRAM-SHA-256$x")])],
        ] {
            assert!(said_in(&wrong, "alice").is_err());
        }
    }

    #[test]
    fn what_is_wrong_with_the_server_is_not_told_to_anybody() {
        let error = PgError::fatal("08001", "could not connect to 10.0.0.1").with_detail("x");
        let told = for_anybody(&error);
        assert_eq!(
            (told.code.as_str(), told.message.contains("10.")),
            ("08001", false)
        );
        assert_eq!(
            for_anybody(&PgError::fatal("42501", "denied")).code,
            "XX000"
        );
    }
}
