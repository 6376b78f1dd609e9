//! A client unpacks its things.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::num::NonZeroU32;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use parking_lot::Mutex;

use super::dialect;
use super::luggage::{Listens, Luggage, Packed, Settings};
use crate::auth::Credential;
use crate::net::{Peer, Stream};
use crate::pool::{
    Alias, Beginning, Elsewhere, HandedServer, Registered, ServerPool, Shelf, Subscription, Who,
};
use crate::proxy::client::Client;
use crate::proxy::house::House;
use crate::proxy::login::{LoggedIn, live};
use crate::proxy::session_state::Listening;
use crate::proxy::statements::next;
use crate::session::settings::Greeting;
use crate::session::statements::{ClientStatements, Named, Statement, Unnamed, private};
use crate::wire::{PgError, sqlstate};

/// Takes in what comes from the process of before.
#[derive(Debug)]
pub struct Arrivals {
    house: Arc<House>,
    /// What they were told that their statements return can be compared here.
    are_told: bool,
    /// Most were greeted alike.
    greetings: Mutex<HashSet<Greeting>>,
    /// Server connections that are there yet, by database and role.
    elsewhere: HashMap<(String, String), Elsewhere>,
    /// What clients listen to that are about to come, by their number there.
    listening: Mutex<HashMap<u64, Subscription>>,
}

/// A client that has come, and is not served yet: or cannot be, and is to hear why.
pub struct Arrived(Result<Box<Client>, (Stream, PgError)>);

impl Arrived {
    /// It is served from now on, in a task of its own.
    pub fn serve(self) {
        match self.0 {
            Ok(mut client) => drop(tokio::spawn(async move {
                if let Some(end) = live(&mut client).await {
                    Box::pin(client.end(*end)).await;
                }
            })),
            Err((mut stream, error)) => stream.write_last(&error.to_frame()),
        }
    }
}

impl Arrivals {
    /// In this house, from a process with this [`dialect`].
    #[must_use]
    pub fn new(house: Arc<House>, their_dialect: u32) -> Self {
        Self {
            house,
            are_told: their_dialect == dialect(),
            greetings: Mutex::default(),
            elsewhere: HashMap::new(),
            listening: Mutex::default(),
        }
    }

    /// A pool has so many server connections there yet.
    pub fn has_there(&mut self, database: &str, user: &str, count: u32) {
        let config = self.house.config();
        let key = (database.to_owned(), user.to_owned());
        match self.house.directory.pool(&config, database, user) {
            Some((pool, _)) if count > 0 => {
                self.elsewhere.entry(key).or_default().are(count, &pool);
            }
            _ => drop(self.elsewhere.remove(&key)),
        }
    }

    /// Listens for a client that is about to come.
    pub fn listens(&self, listens: Listens) {
        let config = self.house.config();
        let directory = &self.house.directory;
        let found = directory.pool(&config, &listens.database, &listens.user);
        if let Some((pool, _)) = found {
            let there = (listens.position, listens.token);
            let coming = Subscription::coming(&pool, listens.channels, there);
            self.listening.lock().insert(listens.client, coming);
        }
    }

    /// What clients have shown there is what this pool logs in with.
    pub fn learn(&self, database: &str, user: &str, credential: &Credential) {
        let config = self.house.config();
        let Some((pool, settings)) = self.house.directory.pool(&config, database, user) else {
            return;
        };
        let names_none = settings.server_password.is_none() && settings.password_command.is_none();
        // What somebody has shown here is newer.
        let is_new = matches!(pool.learned(), Credential::None);
        if names_none && is_new && pool.server_user == user {
            pool.learn(credential);
        }
    }

    /// Goes on with a server connection.
    ///
    /// # Errors
    /// Why not; it is closed then.
    ///
    /// # Cancel safety
    /// Dropped before its end, it is closed.
    pub fn server(&mut self, about: HandedServer, socket: OwnedFd) -> Result<(), String> {
        let stream = Stream::resumed(socket).map_err(|error| error.to_string())?;
        let config = self.house.config();
        let found = self
            .house
            .directory
            .pool(&config, &about.database, &about.user);
        match found {
            Some((pool, _)) => {
                let key = (about.database.clone(), about.user.clone());
                let elsewhere = self.elsewhere.entry(key).or_default();
                pool.go_on_with(about, stream, elsewhere)
            }
            None => Err("there is no such database any more".to_owned()),
        }
    }

    /// A client has come; `None` where that has failed, and it is to stay where it is.
    #[must_use]
    pub fn client(&self, luggage: Luggage, socket: OwnedFd) -> Option<Arrived> {
        let stream = Stream::resumed(socket).ok()?;
        Some(Arrived(match self.unpack(luggage) {
            Ok((logged_in, rest)) => {
                let (connected, _) = self.house.connect();
                let mut client = Client::new(stream, connected, &self.house, logged_in);
                self.put_back(&mut client, rest);
                Ok(Box::new(client))
            }
            Err(error) => Err((stream, error)),
        }))
    }

    fn unpack(&self, luggage: Luggage) -> Result<(LoggedIn, Luggage), PgError> {
        let config = self.house.config();
        let (database, user) = (luggage.database.as_str(), luggage.user.as_str());
        let Some((pool, settings)) = self.house.directory.pool(&config, database, user) else {
            return Err(is_over(&format!(
                "database \"{database}\" is not pooled any more"
            )));
        };
        if pool.server_user != luggage.server_user {
            return Err(is_over("the configuration of this database has changed"));
        }
        let shelf = pool.shelf(luggage.startup.clone());
        let set = values(&luggage.settings);
        let beginning = Beginning {
            greeting: self.greeting(&luggage),
            profile: shelf.profiles.intern(set),
        };
        let logged_in = LoggedIn {
            handle: self.register(&luggage, &shelf, &pool)?,
            shelf,
            settings,
            application_name: luggage.application_name.as_str().into(),
            beginning,
            ahead: luggage.inbox.0.to_vec(),
        };
        Ok((logged_in, luggage))
    }

    fn register(
        &self,
        luggage: &Luggage,
        shelf: &Arc<Shelf>,
        pool: &ServerPool,
    ) -> Result<Registered, PgError> {
        let is_alias = luggage.user != pool.server_user;
        let who = Who {
            shelf: Some(Arc::clone(shelf)),
            alias: is_alias.then(|| Box::new(Alias(luggage.user.as_str().into()))),
            peer: luggage.peer.map_or(Peer::Unix, Peer::Tcp),
            application_name: luggage.login_name.as_str().into(),
            is_tls: false,
        };
        let key = (luggage.pid, luggage.secret.0.clone());
        let registered = self.house.clients.register_again(who, key, luggage.age);
        registered.map_err(PgError::from)
    }

    /// One copy for all that were greeted alike.
    fn greeting(&self, luggage: &Luggage) -> Greeting {
        let mut greetings = self.greetings.lock();
        if let Some(known) = greetings.get(luggage.greeting.as_slice()) {
            return Arc::clone(known);
        }
        let greeting: Greeting = luggage.greeting.as_slice().into();
        greetings.insert(Arc::clone(&greeting));
        greeting
    }

    fn put_back(&self, client: &mut Client, luggage: Luggage) {
        for (name, value) in &luggage.reported {
            client.reported.is_news(&name.0, &value.0);
        }
        if let Some(channels) = luggage.listens {
            let coming = self.listening.lock().remove(&luggage.number);
            let subscription = coming.unwrap_or_else(|| {
                let mut anew = Subscription::new(client.shelf.pool(), &client.handle);
                anew.set(client.shelf.pool(), channels);
                anew.mailbox.stays_open(true);
                anew
            });
            subscription.is_claimed_by(&client.handle);
            client.listening = Some(Box::new(Listening::by(subscription)));
        }
        let shelf = Arc::clone(&client.shelf);
        if let Some(unnamed) = &luggage.unnamed {
            let statement = statement(&shelf, unnamed, true);
            client.unnamed = match statement.call {
                Some(_) => Unnamed::Calls(statement),
                None => Unnamed::Kept(statement),
            };
        }
        if luggage.statements.is_empty() {
            return;
        }
        let mut names = Box::<ClientStatements>::default();
        for (name, packed) in &luggage.statements {
            let named = Named {
                statement: statement(&shelf, packed, packed.is_private),
                since: next(),
                told: packed
                    .told
                    .filter(|_| self.are_told)
                    .and_then(NonZeroU32::new),
            };
            names.set(&name.0, Some(named));
        }
        client.handle.has_statements(names.size().0);
        client.names = Some(names);
    }
}

fn statement(shelf: &Arc<Shelf>, packed: &Packed, is_private: bool) -> Arc<Statement> {
    let env = match packed.env.is_empty() {
        true => None,
        false => shelf.profiles.intern_env(&values(&packed.env)),
    };
    match is_private {
        true => private(&packed.parse.0, env),
        false => shelf
            .statements
            .intern(&packed.parse.0, env.as_ref(), &shelf.pool().catalog),
    }
}

pub(super) fn values(settings: &Settings) -> BTreeMap<Box<str>, Box<[u8]>> {
    let settings = settings.iter();
    settings
        .map(|(name, value)| (name.clone(), value.0.clone()))
        .collect()
}

fn is_over(what: &str) -> PgError {
    PgError::fatal(sqlstate::ADMIN_SHUTDOWN, what).with_hint("Connect again.")
}
