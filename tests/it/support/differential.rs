//! One script of several clients, run on PostgreSQL itself and through pools
//! of a few server connections: what each client sees must be equal.

use std::collections::BTreeMap;

use super::leaks::Look;
use super::noise::{self, Noise};
use super::play::Play;
use super::pooler::Plan;
use super::postgres::{Cluster, Database};
use super::raw::Connection;
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
    #[allow(dead_code)]
    Admin(String),
    Call(Who, String),
}

/// What the clients do, and how many server connections it is tried with.
pub struct Script {
    setup: Vec<String>,
    pub(super) steps: Vec<Step>,
    pools: Vec<usize>,
    settings: Vec<(String, String)>,
    noise: noise::Kind,
    noise_like: Option<Who>,
    look: Option<Look>,
    users: Vec<String>,
    cluster: fn() -> &'static Cluster,
}

/// A script without steps, for pools of one and of two.
pub fn script() -> Script {
    Script {
        setup: Vec::new(),
        steps: Vec::new(),
        pools: vec![1, 2],
        settings: Vec::new(),
        noise: noise::Kind::Quiet,
        noise_like: None,
        look: None,
        users: Vec::new(),
        cluster: Cluster::shared,
    }
}

impl Script {
    /// Statement that the superuser runs in the new database beforehand;
    /// `{database}` stands for its name.
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

    /// A user beside the superuser, from whom no password is asked; `{database}`
    /// stands for the database's name.
    pub fn user(mut self, name: &str) -> Self {
        self.users.push(name.into());
        self
    }

    /// Plays where no other case makes tables, databases or the like.
    pub fn undisturbed(mut self) -> Self {
        self.cluster = Cluster::quiet;
        self
    }

    /// The hidden client sets what it can on the server connections. With
    /// PGWEAVE_TEST_NOISE=quiet it does not.
    pub fn dirty_noise(mut self) -> Self {
        self.noise = match std::env::var("PGWEAVE_TEST_NOISE").as_deref() {
            Ok("quiet") => noise::Kind::Quiet,
            _ => noise::Kind::Dirty,
        };
        self
    }

    /// The hidden client has the startup parameters of this one, and so shares
    /// its server connections.
    #[allow(dead_code)] // as long as some files of session_state are left out
    pub fn noise_like(mut self, who: Who) -> Self {
        self.noise_like = Some(who);
        self
    }

    /// When all is played and the clients have left, the server connections of
    /// the pool are to be as new ones are.
    pub fn leaves_nothing(mut self) -> Self {
        self.look = Some(self.look.unwrap_or_default());
        self
    }

    /// Settings with a dot in their name, for `leaves_nothing` to look at.
    pub fn custom(mut self, names: &[&str]) -> Self {
        let look = self.look.get_or_insert_default();
        look.custom.extend(names.iter().map(|name| (*name).into()));
        self
    }

    /// `leaves_nothing` looks at `lastval()` too.
    #[allow(dead_code)] // as long as some files of session_state are left out
    pub fn sequences(mut self) -> Self {
        self.look.get_or_insert_default().sequences = true;
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

    /// A simple Query in which `{database}` stands for the database's name,
    /// for what all databases of a cluster share.
    pub fn call(mut self, who: Who, sql: &str) -> Self {
        self.steps.push(Step::Call(who, sql.into()));
        self
    }

    /// What the superuser does meanwhile on a connection of its own;
    /// `{database}` stands for the database's name.
    #[allow(dead_code)] // as long as some files of session_state are left out
    pub fn admin(mut self, sql: &str) -> Self {
        self.steps.push(Step::Admin(sql.into()));
        self
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
    /// is repeatable, and prints what was seen. PGWEAVE_TEST_POOL_SIZE tries one
    /// size of the pool instead of the script's own.
    pub fn run(self) {
        assert!(
            !self.steps.is_empty(),
            "a script without steps proves nothing"
        );
        let direct = self.run_direct();
        let pools = match std::env::var("PGWEAVE_TEST_POOL_SIZE") {
            Ok(size) => vec![size.parse().unwrap()],
            Err(_) => self.pools.clone(),
        };
        if std::env::var_os("PGWEAVE_TEST_SCRIPTS_ONLY").is_some() {
            direct
                .iter()
                .for_each(|(who, transcript)| eprintln!("client {who:?}:\n{transcript}"));
            compare(&direct, &self.run_direct(), "a second direct run");
            return;
        }
        for size in pools {
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
        let plan = self
            .users
            .iter()
            .map(|name| name.replace("{database}", &database.name))
            .fold(plan, |plan, name| plan.user(&name, "unused"));
        let pooler = self
            .settings
            .iter()
            .fold(plan, |plan, (key, value)| plan.setting(key, value))
            .start();
        let startup = self.noise_like.map(|who| self.startup_of(who));
        let startup = startup.unwrap_or_else(|| pooler.startup());
        let client = Connection::login(pooler.address, &startup.database(&database.name));
        let noise = Noise::new(client, self.noise);
        let transcripts = Play::new(self, &database, pooler.address, Some(noise), size).play();
        if let Some(look) = &self.look {
            let startups = self.startups(&database);
            let wrong = look.at(pooler.address, size, &database, &startups);
            assert!(
                wrong.is_empty(),
                "a pool of {size} is not clean when all have left:\n  {}",
                wrong.join("\n  ")
            );
        }
        drop(pooler);
        transcripts
    }

    fn startup_of(&self, who: Who) -> Startup {
        let of = |step: &Step| match step {
            Step::Connect(one, startup) if *one == who => Some(startup.clone()),
            _ => None,
        };
        let startup = self.steps.iter().find_map(of);
        startup.unwrap_or_else(|| Startup::new("postgres", ""))
    }

    /// With how many kinds of startup message clients came in, a plain one first.
    fn startups(&self, database: &Database) -> Vec<Startup> {
        let mut all = vec![Startup::new("postgres", "")];
        for step in &self.steps {
            match step {
                Step::Connect(_, startup) if !all.contains(startup) => all.push(startup.clone()),
                _ => {}
            }
        }
        all.into_iter()
            .map(|startup| startup.database(&database.name))
            .filter(|startup| Connection::try_login(database.cluster.address(), startup).is_ok())
            .collect()
    }

    fn prepare(&self) -> Database<'static> {
        let database = (self.cluster)().database();
        let mut admin = database.direct();
        if self.noise == noise::Kind::Dirty {
            noise::SETUP.iter().for_each(|sql| drop(admin.rows(sql)));
        }
        for sql in &self.setup {
            admin.rows(&sql.replace("{database}", &database.name));
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
