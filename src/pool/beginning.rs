//! What a server connection begins with beside its startup parameters: what
//! `connect_query` has made of the session.

use std::collections::BTreeSet;
use std::time::Duration;

use super::shelf::Shelf;
use crate::server::{Answers, Questions, Server};
use crate::session::hidden::Called;
use crate::session::settings::{IDENTITY, Touched, folded, goes_along};
use crate::session::{Findings, Scan};
use crate::wire::PgError;

impl Shelf {
    /// Runs `connect_query`, if there is one, on a server connection that stands at a
    /// boundary, just opened or cleaned. The settings that it makes are the
    /// connection's profile then, and that of clients who log in: so they are
    /// given back wherever a reset took them.
    ///
    /// # Errors
    /// The server's own, and those of [`Server::run_alone`]. The connection is then
    /// to be closed.
    ///
    /// # Cancel safety
    /// Dropped before its end, the connection is to be closed.
    pub async fn begin_session(
        &self,
        server: &mut Server,
        within: Duration,
    ) -> Result<(), PgError> {
        let Some(text) = self.pool.settings().connect_query.clone() else {
            return Ok(());
        };
        let run = async {
            server.run_alone(&text, within).await?;
            server.begins_with = None;
            let mut answers = self.look_at_session(server, &text, within).await?;
            server.begins_with = answers.found();
            Ok(())
        };
        run.await.map_err(|error: PgError| PgError {
            message: format!("connect_query failed: {}", error.message),
            ..error
        })
    }

    /// Finds out what a text that has been run has made of the session: its settings
    /// are the connection's profile then.
    ///
    /// # Errors
    /// Those of [`Server::ask_alone`]. The connection is then to be closed.
    ///
    /// # Cancel safety
    /// Dropped before its end, the connection is to be closed.
    pub(super) async fn look_at_session(
        &self,
        server: &mut Server,
        text: &str,
        within: Duration,
    ) -> Result<Answers, PgError> {
        let touched = self.touched_by(server, text, within).await?;
        let mut names = touched.names;
        let set = server.profile.iter().flat_map(|profile| &profile.settings);
        names.extend(set.map(|(name, _)| name.clone()));
        names.extend(IDENTITY.map(Into::into));
        let custom = self.defaults.custom().into_iter();
        let guessed: BTreeSet<_> = custom.filter(|name| !names.contains(name)).collect();
        names.extend(guessed.iter().cloned());
        let questions = Questions {
            defaults: self.defaults.want(names.iter()),
            names: names.into_iter().collect(),
            all: true,
            inventory: true,
            guessed,
            ..Questions::default()
        };
        let mut answers = server.ask_alone(questions, within).await?;
        for (name, value) in std::mem::take(&mut answers.defaults) {
            self.defaults.learn(&folded(&name), value);
        }
        let guessed = std::mem::take(&mut answers.questions.guessed);
        let names = std::mem::take(&mut answers.questions.names);
        let named = names.into_iter().zip(std::mem::take(&mut answers.values));
        // What clients have set on this server connection before is empty there.
        let is_set = |name: &str, value: &Option<Box<[u8]>>| {
            !guessed.contains(name) || value.as_ref().is_some_and(|value| !value.is_empty())
        };
        let named = named.filter(|(name, value)| is_set(name, value));
        let all = std::mem::take(&mut answers.all);
        // What was set to its default stays so when that changes.
        let set = all
            .iter()
            .map(|(name, value)| (folded(name), value.clone()));
        let set: Vec<_> = set.filter(|(name, _)| goes_along(name)).collect();
        let mut settings = self.defaults.differing(all, named);
        settings.extend(set);
        self.defaults.learn_custom(settings.keys());
        server.profile = self.profiles.intern(settings);
        Ok(answers)
    }

    /// The names of settings that a text can change, also inside of functions.
    async fn touched_by(
        &self,
        server: &mut Server,
        text: &str,
        within: Duration,
    ) -> Result<Touched, PgError> {
        let text = text.as_bytes();
        let mut touched = Touched::by(text);
        if !Scan::of(text).has(Findings::CALLS) {
            return Ok(touched);
        }
        touched.add_literals(text);
        let hidden = &self.pool.catalog.hidden;
        let mut called = hidden.by(text);
        if called == Called::Unknown {
            let questions = Questions {
                functions: true,
                ..Questions::default()
            };
            let answers = server.ask_alone(questions, within).await?;
            let learned = hidden.learn(&answers.functions, &self.pool.settings().pin_functions);
            self.defaults.learn_custom(learned.custom_settings());
            called = hidden.by(text);
        }
        if let Called::Does(does) = called {
            touched.add(&does.touches);
        }
        Ok(touched)
    }
}
