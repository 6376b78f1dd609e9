//! A client packs its things.

use super::Departure;
use super::luggage::{Luggage, Packed, Settings};
use crate::net::Peer;
use crate::proxy::client::{Aligning, Client, Refusal, Service};
use crate::proxy::session_state::Listening;
use crate::session::settings::Env;
use crate::session::statements::{Named, Statement, Unnamed};

impl Client {
    /// Could another process go on with it now? In between two messages, with nothing
    /// that is owed to it, and nothing that only a server connection has.
    pub(in crate::proxy) fn may_move(&self) -> bool {
        self.could_move() && self.listening.as_deref().is_none_or(Listening::has_gone)
    }

    /// The same, but that it may listen here yet.
    pub(in crate::proxy) fn could_move(&self) -> bool {
        !matches!(self.service, Service::Leased(_))
            && self.stream().descriptor().is_some()
            && self.outbox.is_empty()
            && self.body_left == 0
            && self.refusal == Refusal::None
            && self.aligning == Aligning::No
            && self.scan.is_none()
            && !self.is_pinned()
            && !self.unnamed.is_on_server()
    }

    /// Goes over to another process, if there is a way. Where it stays, it is to be
    /// served on.
    pub(in crate::proxy) async fn leave(&mut self) -> Departure {
        self.handle.granted(crate::pool::Wish::MoveAway);
        let Some(exit) = self.connected.house().exit() else {
            return Departure::Stays;
        };
        // It leaves the queue, and waits there.
        self.service = Service::Idle;
        self.handle.served_by_nobody();
        self.inbox_waits = !self.inbox.is_empty();
        self.flush_counts();
        let luggage = self.pack();
        match self.stream().descriptor() {
            Some(socket) => exit.take(luggage, socket, &self.shelf).await,
            None => Departure::Stays,
        }
    }

    fn pack(&self) -> Luggage {
        let (handle, pool) = (&self.handle, self.shelf.pool());
        let settings = self.profile.as_deref().map(|profile| &profile.settings);
        let (greeting, reported) = self.reported.known();
        let mut statements = Vec::new();
        if let Some(names) = self.names.as_deref() {
            names.each(|name, named| statements.push((name.into(), packed(named))));
        }
        Luggage {
            database: pool.database.clone(),
            user: handle.user().unwrap_or_default().to_owned(),
            server_user: pool.server_user.clone(),
            startup: self.shelf.class().clone(),
            pid: handle.pid,
            secret: handle.secret().into(),
            number: handle.id,
            listens: self.listening.as_deref().map(Listening::channels),
            age: handle.age(),
            peer: match handle.who.peer {
                Peer::Tcp(address) => Some(address),
                Peer::Unix => None,
            },
            login_name: handle.who.application_name.as_ref().to_owned(),
            application_name: self.application_name.as_ref().to_owned(),
            inbox: self.inbox.as_slice().into(),
            settings: settings.into_iter().flat_map(carried).collect(),
            greeting: greeting.to_vec(),
            reported: reported
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
            statements,
            unnamed: match &self.unnamed {
                Unnamed::None | Unnamed::OnServer(_) => None,
                Unnamed::Kept(statement) | Unnamed::Calls(statement) => Some(of(statement)),
            },
        }
    }
}

fn packed(named: &Named) -> Packed {
    Packed {
        told: named.told.map(Into::into),
        ..of(&named.statement)
    }
}

fn of(statement: &Statement) -> Packed {
    let env = statement.env.get().and_then(Option::as_deref);
    Packed {
        parse: (&*statement.parse).into(),
        env: env.map(under).unwrap_or_default(),
        is_private: statement.is_private(),
        told: None,
    }
}

fn under(env: &Env) -> Settings {
    carried(&env.settings).collect()
}

pub(super) fn carried(
    settings: &crate::session::settings::Settings,
) -> impl Iterator<Item = (Box<str>, super::luggage::Bytes)> {
    let settings = settings.iter();
    settings.map(|(name, value)| (name.clone(), (&**value).into()))
}
