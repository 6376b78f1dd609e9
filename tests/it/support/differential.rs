//! One script of several clients, run on PostgreSQL itself and through pools
//! of a few server connections: what each client sees must be equal.

use std::collections::BTreeMap;

use super::noise::Noise;
use super::play::Play;
use super::pooler::Plan;
use super::postgres::{Cluster, Database};
use super::startup::Startup;
use super::transcript::Transcript;

/// The clients of a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    /// The first.
    A,
    /// The second.
    B,
    /// The third.
    C,
}
pub use Who::{A, B, C};

/// One thing that a client does, or that the script waits for.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Connect(Who, Startup),
    Send(Who, Vec<Vec<u8>>),
    Ready(Who, usize),
    Until(Who, u8),
    End(Who),
    Leave(Who),
    Cancel(Who),
    Wait(String),
}

/// What the clients do, and how many server connections it is tried with.
pub struct Script {
    setup: Vec<String>,
    pub(super) steps: Vec<Step>,
    pools: Vec<usize>,
    settings: Vec<(String, String)>,
}

/// A script without steps, for pools of one and of two.
pub fn script() -> Script {
    Script {
        setup: Vec::new(),
        steps: Vec::new(),
        pools: vec![1, 2],
        settings: Vec::new(),
    }
}

impl Script {
    /// Statement that the superuser runs in the new database beforehand.
    pub fn setup(mut self, sql: &str) -> Self {
        self.setup.push(sql.into());
        self
    }

    /// Pool sizes to try, where the script holds several connections at once.
    pub fn pools(mut self, sizes: &[usize]) -> Self {
        self.pools = sizes.to_vec();
        self
    }

    /// A setting of the pooler's, as TOML.
    pub fn setting(mut self, key: &str, value: &str) -> Self {
        self.settings.push((key.into(), value.into()));
        self
    }

    /// Connects with parameters of its own; the greeting is compared too.
    pub fn connect(self, who: Who, parameters: &[(&str, &str)]) -> Self {
        let startup = parameters
            .iter()
            .fold(Startup::new("postgres", ""), |s, (name, value)| {
                s.with(name, value)
            });
        self.connect_as(who, startup)
    }

    /// Connects with any startup message; the database is filled in.
    pub fn connect_as(mut self, who: Who, startup: Startup) -> Self {
        self.steps.push(Step::Connect(who, startup));
        self
    }

    /// Sends bytes in one write.
    pub fn send(self, who: Who, bytes: impl AsRef<[u8]>) -> Self {
        self.send_pieces(who, vec![bytes.as_ref().to_vec()])
    }

    /// Sends pieces, each in a write of its own.
    pub fn send_pieces(mut self, who: Who, pieces: Vec<Vec<u8>>) -> Self {
        self.steps.push(Step::Send(who, pieces));
        self
    }

    /// Reads up to the `count`-th ReadyForQuery.
    pub fn ready(mut self, who: Who, count: usize) -> Self {
        self.steps.push(Step::Ready(who, count));
        self
    }

    /// Sends, then reads up to the `count`-th ReadyForQuery.
    pub fn ask(self, who: Who, bytes: impl AsRef<[u8]>, count: usize) -> Self {
        self.send(who, bytes).ready(who, count)
    }

    /// A simple Query and its answer.
    pub fn query(self, who: Who, sql: &str) -> Self {
        self.ask(who, super::frames::query(sql), 1)
    }

    /// Reads up to the first frame of a type.
    pub fn until(mut self, who: Who, tag: u8) -> Self {
        self.steps.push(Step::Until(who, tag));
        self
    }

    /// Reads until the other side closes.
    pub fn end(mut self, who: Who) -> Self {
        self.steps.push(Step::End(who));
        self
    }

    /// Says Terminate and closes.
    pub fn leave(mut self, who: Who) -> Self {
        self.steps.push(Step::Leave(who));
        self
    }

    /// Sends a CancelRequest with the key of `who`.
    pub fn cancel(mut self, who: Who) -> Self {
        self.steps.push(Step::Cancel(who));
        self
    }

    /// Waits until a query on the server gives a true value.
    pub fn wait(mut self, sql: &str) -> Self {
        self.steps.push(Step::Wait(sql.into()));
        self
    }

    /// Runs it everywhere and compares. With PGWEAVE_TEST_SCRIPTS_ONLY set it
    /// runs twice on PostgreSQL alone, which shows whether the script itself
    /// is repeatable, and prints what was seen.
    pub fn run(self) {
        assert!(
            !self.steps.is_empty(),
            "a script without steps proves nothing"
        );
        let direct = self.run_direct();
        if std::env::var_os("PGWEAVE_TEST_SCRIPTS_ONLY").is_some() {
            direct
                .iter()
                .for_each(|(who, transcript)| eprintln!("client {who:?}:\n{transcript}"));
            compare(&direct, &self.run_direct(), "a second direct run");
            return;
        }
        for size in self.pools.iter().copied() {
            compare(
                &direct,
                &self.run_pooled(size),
                &format!("a pool of {size}"),
            );
        }
    }

    fn run_direct(&self) -> BTreeMap<Who, Transcript> {
        let database = self.prepare();
        Play::new(
            self,
            &database,
            database.cluster.address(),
            None,
            usize::MAX,
        )
        .play()
    }

    fn run_pooled(&self, size: usize) -> BTreeMap<Who, Transcript> {
        let database = self.prepare();
        let plan = Plan::before(&database)
            .pool_size(size)
            .setting("server_round_robin", "true");
        let pooler = self
            .settings
            .iter()
            .fold(plan, |plan, (key, value)| plan.setting(key, value))
            .start();
        let noise = Noise::new(pooler.client());
        let transcripts = Play::new(self, &database, pooler.address, Some(noise), size).play();
        drop(pooler);
        transcripts
    }

    fn prepare(&self) -> Database<'static> {
        let database = Cluster::shared().database();
        if !self.setup.is_empty() {
            let mut admin = database.direct();
            self.setup.iter().for_each(|sql| drop(admin.rows(sql)));
        }
        database
    }
}

fn compare(direct: &BTreeMap<Who, Transcript>, other: &BTreeMap<Who, Transcript>, place: &str) {
    for (who, transcript) in direct {
        if let Some(difference) = transcript.difference(&other[who], ("direct", "pooled")) {
            panic!("client {who:?} sees something else through {place}:\n{difference}");
        }
    }
}
