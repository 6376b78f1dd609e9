//! A script played on direct connections and through a pool, turn by turn.
//! Both have a database of their own, since locks and tables belong to one.

use std::env;
use std::time::{Duration, Instant};

use super::script::{Script, Turn};
use super::words::SETUP;
use crate::support::frames::{Frame, bind, close, execute, parse, query, sync};
use crate::support::leaks::Look;
use crate::support::line::Line;
use crate::support::pooler::{Plan, Pooler};
use crate::support::postgres::Database;
use crate::support::raw::{Connection, rows_of};
use crate::support::startup::Startup;
use crate::support::transcript::render;
use crate::support::wait;

const CLIENTS: usize = 4;
const SERVERS: usize = 2;

/// What all of the state that keeps a server connection amounts to.
const KEEPING: &str = "SELECT \
(SELECT pg_catalog.count(*) FROM pg_catalog.pg_listening_channels()) \
OPERATOR(pg_catalog.+) (SELECT pg_catalog.count(*) FROM pg_catalog.pg_cursors WHERE is_holdable) \
OPERATOR(pg_catalog.+) (SELECT pg_catalog.count(*) FROM pg_catalog.pg_prepared_statements WHERE from_sql) \
OPERATOR(pg_catalog.+) (SELECT pg_catalog.count(*) FROM pg_catalog.pg_locks \
WHERE locktype OPERATOR(pg_catalog.=) 'advisory' AND pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid()) \
OPERATOR(pg_catalog.+) (SELECT pg_catalog.count(*) FROM pg_catalog.pg_depend \
WHERE refclassid OPERATOR(pg_catalog.=) 2615 AND refobjid OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema())";

const LOCKS: &str = "SELECT coalesce(string_agg(concat_ws(' ', classid, objid, objsubid, mode), ',' ORDER BY classid, objid, objsubid, mode), '') \
FROM pg_locks l JOIN pg_database d ON d.oid = l.database WHERE locktype = 'advisory' AND datname = current_database()";

/// Where scripts are played.
pub struct Stage<'a> {
    names: String,
    direct: &'a Database<'a>,
    pooled: &'a Database<'a>,
    servers: usize,
    /// The other side is direct, too: only the scripts are on trial.
    scripts_only: bool,
}

impl<'a> Stage<'a> {
    pub fn new(direct: &'a Database<'a>, pooled: &'a Database<'a>, names: &str) -> Self {
        for database in [direct, pooled] {
            let mut admin = database.direct();
            SETUP.iter().for_each(|sql| drop(admin.rows(sql)));
        }
        Self {
            names: names.to_owned(),
            direct,
            pooled,
            servers: env::var("PGWEAVE_TEST_POOL_SIZE")
                .map_or(SERVERS, |size| size.parse().unwrap()),
            scripts_only: env::var_os("PGWEAVE_TEST_SCRIPTS_ONLY").is_some(),
        }
    }

    /// Plays a script before a pooler of its own; gives how many turns were
    /// played, or what differed.
    pub fn play(&self, script: &Script) -> Result<u64, String> {
        self.clear();
        let pooler = Plan::before(self.pooled)
            .pool_size(self.servers)
            .setting("server_round_robin", "true")
            .setting("application_name_policy", &format!("{:?}", self.names))
            .start();
        let mut clients: Vec<Pair> = (0..CLIENTS).map(|who| self.pair(&pooler, who)).collect();
        let mut played = 0;
        for (number, turn) in script.0.iter().enumerate() {
            let others = |(who, pair): &(usize, &Pair)| *who != turn.who && pair.holds();
            let held = clients.iter().enumerate().filter(others).count();
            // The pool would let it wait for ever.
            if held >= self.servers && !clients[turn.who].holds() {
                continue;
            }
            let place = |what| format!("in turn {}, client {}: {what}", number + 1, turn.who);
            if turn.anew {
                let gone = std::mem::replace(&mut clients[turn.who], self.pair(&pooler, turn.who));
                self.leave(gone).map_err(place)?;
            }
            let answer = clients[turn.who].turn(turn, self);
            answer.map_err(place)?;
            played += 1;
        }
        self.end(clients, &pooler)?;
        Ok(played)
    }

    /// The client's startup parameters: one of them has some.
    fn startup(who: usize) -> Startup {
        let startup = Startup::new("postgres", "");
        match who {
            3 => startup
                .with("DateStyle", "SQL, DMY")
                .with("options", "-c work_mem=3MB -c app.b=startup"),
            _ => startup,
        }
    }

    fn pair(&self, pooler: &Pooler, who: usize) -> Pair {
        let server = self.direct.cluster.address();
        let address = if self.scripts_only {
            server
        } else {
            pooler.address
        };
        let login = |address, database: &Database| {
            let startup = Self::startup(who).database(&database.name);
            Line::of(Connection::login(address, &startup))
        };
        Pair {
            direct: login(server, self.direct),
            pooled: login(address, self.pooled),
            status: b'I',
            keeps: false,
            told: (Vec::new(), Vec::new()),
        }
    }

    /// The tables as new, and nobody about.
    fn clear(&self) {
        for database in [self.direct, self.pooled] {
            let mut admin = database.direct();
            wait::until(wait::SOON, "the clients of the last script to go", || {
                database.backends("backend_type = 'client backend'") <= 1
            });
            admin.rows("TRUNCATE t, sa.t, sb.t, watched");
            admin.rows("INSERT INTO t VALUES ('of public'); INSERT INTO sa.t VALUES ('of sa'); INSERT INTO sb.t VALUES ('of sb')");
        }
    }

    /// A client breaks its connections off; what it held is there for others
    /// soon, here and there.
    fn leave(&self, gone: Pair) -> Result<(), String> {
        let process = |line: &Line| {
            let key = &line.connection.key;
            u32::from_be_bytes(key[..4].try_into().unwrap())
        };
        let mut processes = vec![process(&gone.direct)];
        if self.scripts_only {
            processes.push(process(&gone.pooled));
        }
        drop(gone);
        for pid in processes {
            wait::until(wait::SOON, "a client to be gone", || {
                let one = format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {pid}");
                self.direct.cluster.admin().value(&one) == "0"
            });
        }
        let wanted = self.direct.direct().value(LOCKS);
        let mut admin = self.pooled.direct();
        let deadline = Instant::now() + Duration::from_secs(4);
        loop {
            let found = admin.value(LOCKS);
            if found == wanted {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(format!(
                    "when it has left the locks are {found:?} and not {wanted:?}"
                ));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Everybody ends what is open and leaves. What came meanwhile is equal,
    /// and nothing stays.
    fn end(&self, clients: Vec<Pair>, pooler: &Pooler) -> Result<(), String> {
        // Those that hold a server connection first, and they leave at once.
        let mut order: Vec<usize> = (0..CLIENTS).collect();
        order.sort_by_key(|who| !clients[*who].holds());
        let mut clients: Vec<Option<Pair>> = clients.into_iter().map(Some).collect();
        for who in order {
            let told = clients[who].take().unwrap().catch_up();
            told.map_err(|what| format!("at the end, client {who}: {what}"))?;
        }
        if self.scripts_only {
            return Ok(());
        }
        let look = Look {
            custom: vec!["app.a".into(), "app.c".into()],
            sequences: false,
        };
        let startups: Vec<Startup> = [0, 3]
            .iter()
            .map(|who| Self::startup(*who).database(&self.pooled.name))
            .collect();
        let wrong = look.at(pooler.address, self.servers, self.pooled, &startups);
        if wrong.is_empty() {
            Ok(())
        } else {
            Err(format!("left behind at the end:\n  {}", wrong.join("\n  ")))
        }
    }
}

/// One client: what it says goes both ways.
struct Pair {
    direct: Line,
    pooled: Line,
    status: u8,
    /// It keeps its server connection, whatever its status.
    keeps: bool,
    /// Notifications: here and there.
    told: (Vec<String>, Vec<String>),
}

impl Pair {
    /// Does it keep a server connection from the others?
    fn holds(&self) -> bool {
        self.status != b'I' || self.keeps
    }

    fn turn(&mut self, turn: &Turn, stage: &Stage<'_>) -> Result<(), String> {
        let bytes = turn.bytes();
        self.direct.send(&bytes);
        self.pooled.send(&bytes);
        let count = turn.acts.len();
        let wanted = answers(&mut self.direct, count, &mut self.told.0);
        if wanted.iter().filter(|frame| frame.tag == b'Z').count() < count {
            let told: Vec<String> = wanted.iter().map(render).collect();
            return Err(format!("PostgreSQL itself is silent after {told:?}"));
        }
        let got = answers(&mut self.pooled, count, &mut self.told.1);
        let names = [stage.direct.name.as_str(), stage.pooled.name.as_str()];
        self.compare(&wanted, &got, turn.asks_for_custom(), names)?;
        if self.status == b'I' {
            self.keeps = self.amount_kept()? > 0;
        }
        Ok(())
    }

    fn compare(
        &mut self,
        wanted: &[Frame],
        got: &[Frame],
        custom: bool,
        names: [&str; 2],
    ) -> Result<(), String> {
        let text = |frame: &Frame| {
            let text = render(frame);
            names
                .iter()
                .fold(text, |text, name| text.replace(name, "DATABASE"))
        };
        let (mut at, mut there) = (0, 0);
        while at < wanted.len() {
            let other = got.get(there);
            if self.is_refused_in_failed(&wanted[at], other) {
                at += wanted[at..]
                    .iter()
                    .position(|frame| frame.tag == b'Z')
                    .unwrap_or(0);
                there += 1;
                continue;
            }
            let frame = &wanted[at];
            let equal = other.is_some_and(|other| {
                text(other) == text(frame) || custom && is_without_value(frame, other)
            });
            if !equal {
                return Err(told(wanted, at, other, text));
            }
            if frame.tag == b'Z' {
                self.status = frame.body[0];
            }
            at += 1;
            there += 1;
        }
        Ok(())
    }

    /// A difference allowed for: in a failed transaction a statement that
    /// this server connection does not have cannot be prepared there, so that
    /// its use is refused with 25P02, whatever PostgreSQL would have said of it.
    fn is_refused_in_failed(&self, wanted: &Frame, got: Option<&Frame>) -> bool {
        let code = got
            .filter(|frame| frame.tag == b'E')
            .and_then(|frame| frame.field(b'C'));
        let same = wanted.tag == b'E' && wanted.field(b'C') == code;
        self.status == b'E' && !same && code.as_deref() == Some("25P02")
    }

    /// How much of what keeps a server connection there is, as PostgreSQL has
    /// it. Asked in a way that leaves the unnamed statement alone.
    fn amount_kept(&mut self) -> Result<u64, String> {
        let name = "keeps anything?";
        let ask = [
            parse(name, KEEPING),
            bind("", name, &[]),
            execute("", 0),
            close(b'S', name),
            sync(),
        ];
        self.direct.send(&ask.concat());
        let answer = answers(&mut self.direct, 1, &mut self.told.0);
        let rows = rows_of(&answer);
        let value = rows.first().and_then(|row| row[0].clone());
        value
            .and_then(|value| value.parse().ok())
            .ok_or_else(|| format!("PostgreSQL does not tell what is kept: {answer:?}"))
    }

    /// Takes in what is still to come. Notifications come when they like.
    fn catch_up(mut self) -> Result<(), String> {
        if self.holds() {
            self.direct.send(&query("ROLLBACK"));
            self.pooled.send(&query("ROLLBACK"));
            answers(&mut self.direct, 1, &mut self.told.0);
            let got = answers(&mut self.pooled, 1, &mut self.told.1);
            if got.last().is_none_or(|frame| frame.tag != b'Z') {
                return Err("a ROLLBACK was not answered".into());
            }
        }
        // With an answer comes what was sent before it.
        for (line, told) in [
            (&mut self.direct, &mut self.told.0),
            (&mut self.pooled, &mut self.told.1),
        ] {
            line.send(&query("SELECT 'caught up'"));
            answers(line, 1, told);
        }
        let (direct, pooled) = (self.told.0.len(), self.told.1.len());
        for _ in pooled..direct {
            if let Some(frame) = self.pooled.read() {
                self.told.1.push(render(&frame));
            }
        }
        if self.told.0 != self.told.1 {
            return Err(format!(
                "was told {:?} and not {:?}",
                self.told.1, self.told.0
            ));
        }
        Ok(())
    }
}

/// Frames up to the `count`-th ReadyForQuery, if it comes. Notifications come
/// when they like, and go to `told`; settings that are reported together have
/// no order.
fn answers(line: &mut Line, count: usize, told: &mut Vec<String>) -> Vec<Frame> {
    let (mut frames, mut left): (Vec<Frame>, usize) = (Vec::new(), count);
    while left > 0 {
        let Some(frame) = line.read() else { break };
        left -= usize::from(frame.tag == b'Z');
        if frame.tag == b'A' {
            told.push(render(&frame));
        } else {
            frames.push(frame);
        }
    }
    for run in frames.chunk_by_mut(|a, b| a.tag == b'S' && b.tag == b'S') {
        run.sort_by(|a, b| a.body.cmp(&b.body));
    }
    frames
}

/// The other difference allowed for: whether a setting with a dot in its name
/// is empty or unknown, where it has no value, depends on whether this server
/// connection has met the name.
fn is_without_value(wanted: &Frame, got: &Frame) -> bool {
    if wanted.tag != b'D' || got.tag != b'D' {
        return false;
    }
    let (wanted, got) = (wanted.columns(), got.columns());
    let values = |columns: Vec<Option<Vec<u8>>>| -> Vec<Vec<u8>> {
        columns.into_iter().map(Option::unwrap_or_default).collect()
    };
    values(wanted) == values(got)
}

fn told(
    wanted: &[Frame],
    at: usize,
    got: Option<&Frame>,
    text: impl Fn(&Frame) -> String,
) -> String {
    let equal: Vec<String> = wanted[..at]
        .iter()
        .map(|frame| format!("      equal: {}\n", text(frame)))
        .collect();
    let got = got.map_or("nothing".into(), &text);
    format!(
        "\n{}     direct: {}\n     pooled: {got}",
        equal.concat(),
        text(&wanted[at])
    )
}
