//! Plays the steps of a script at one address and writes down what is seen.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::differential::{Script, Step, Who};
use super::frames::{Frame, query};
use super::noise::Noise;
use super::postgres::Database;
use super::raw::{Connection, cancel};
use super::startup::{Startup, start_up};
use super::transcript::Transcript;
use super::wait;

/// One run of a script in one place.
pub(super) struct Play<'a> {
    script: &'a Script,
    database: &'a Database<'a>,
    address: SocketAddr,
    noise: Option<Noise>,
    pool_size: usize,
    clients: BTreeMap<Who, Connection>,
    owed: BTreeMap<Who, bool>,
    transcripts: BTreeMap<Who, Transcript>,
}

impl<'a> Play<'a> {
    /// At `address`, where `pool_size` clients can be busy at once.
    pub(super) fn new(
        script: &'a Script,
        database: &'a Database<'a>,
        address: SocketAddr,
        noise: Option<Noise>,
        pool_size: usize,
    ) -> Self {
        let (clients, owed, transcripts) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self {
            script,
            database,
            address,
            noise,
            pool_size,
            clients,
            owed,
            transcripts,
        }
    }

    /// Plays all steps; gives what each client saw.
    pub(super) fn play(mut self) -> BTreeMap<Who, Transcript> {
        for (number, step) in self.script.steps.iter().enumerate() {
            self.make_noise(number);
            self.step(number, step);
        }
        self.make_noise(self.script.steps.len());
        // Some say so when they leave, others do not.
        if let Some(client) = self.clients.remove(&Who::A) {
            client.terminate();
        }
        self.transcripts
    }

    /// Lets the hidden client work whenever a server connection must be free.
    fn make_noise(&mut self, step: usize) {
        let busy = |who: &Who, client: &Connection| {
            let open = self.owed.get(who).copied().unwrap_or(false) || client.status != b'I';
            open && !client.ended()
        };
        let held = self
            .clients
            .iter()
            .filter(|(who, client)| busy(who, client))
            .count();
        if let Some(noise) = self.noise.as_mut().filter(|_| held < self.pool_size) {
            noise.run(step);
        }
    }

    fn step(&mut self, number: usize, step: &Step) {
        match step {
            Step::Connect(who, startup) => self.connect(*who, startup),
            Step::Send(who, pieces) => {
                self.client(*who, number);
                self.owed.insert(*who, true);
                let client = self.clients.get_mut(who).unwrap();
                pieces.iter().for_each(|piece| client.send(piece));
            }
            Step::Ready(who, count) => {
                let frames = self
                    .client(*who, number)
                    .until_ready(*count, &format!("step {number}, {step:?}"));
                self.owed.insert(*who, false);
                self.record(*who, &frames);
            }
            Step::Until(who, tag) => {
                let frames = self
                    .client(*who, number)
                    .until_tag(*tag, &format!("step {number}, {step:?}"));
                self.record(*who, &frames);
            }
            Step::End(who) => {
                let frames = self
                    .client(*who, number)
                    .until_end(&format!("step {number}, {step:?}"));
                self.record(*who, &frames);
            }
            Step::Leave(who) => self.clients.remove(who).unwrap().terminate(),
            Step::Cancel(who) => {
                let key = self.clients[who].key.clone();
                cancel(self.address, &key);
            }
            Step::Wait(sql) => {
                let mut admin = self.database.direct();
                wait::until(wait::SOON, sql, || admin.value(sql) == "t");
            }
            Step::Admin(sql) => {
                let sql = sql.replace("{database}", &self.database.name);
                self.database.direct().rows(&sql);
            }
            Step::Call(who, sql) => {
                let sql = sql.replace("{database}", &self.database.name);
                let client = self.client(*who, number);
                client.send(&query(&sql));
                let frames = client.until_ready(1, &format!("step {number}, {step:?}"));
                self.record(*who, &frames);
            }
        }
    }

    fn connect(&mut self, who: Who, startup: &Startup) {
        let mut connection = Connection::open(self.address);
        let startup = startup.clone().database(&self.database.name);
        let greeting = start_up(&mut connection, &startup);
        let transcript = self.transcripts.entry(who).or_default();
        transcript.note(&format!("{who:?} connects"));
        transcript.greeting(&greeting, &self.database.name);
        if connection.ended() {
            transcript.end();
        }
        self.clients.insert(who, connection);
    }

    fn client(&mut self, who: Who, number: usize) -> &mut Connection {
        if !self.clients.contains_key(&who) {
            self.connect(who, &Startup::new("postgres", ""));
        }
        self.transcripts
            .entry(who)
            .or_default()
            .note(&format!("step {number}"));
        self.clients.get_mut(&who).unwrap()
    }

    fn record(&mut self, who: Who, frames: &[Frame]) {
        let transcript = self.transcripts.entry(who).or_default();
        frames
            .iter()
            .for_each(|frame| transcript.frame(frame, &self.database.name));
        if self.clients[&who].ended() {
            transcript.end();
        }
    }
}
