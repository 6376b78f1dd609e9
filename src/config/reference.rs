//! The settings in print: docs/CONFIG.md and config/full.toml.

use super::ini::defaults;
use super::keys::{DATABASE, GENERAL, Group, PEER, Setting, USER};
use super::running::FIXED;
use super::{Database, General, Peer, User};

/// One section of the configuration, with what prints it.
struct Section<T: 'static> {
    heading: &'static str,
    about: &'static str,
    groups: &'static [Group<T>],
    /// Where the defaults are read from.
    defaults: T,
    /// The same where PgBouncer's own file is read.
    in_ini: T,
    /// What is read at start only.
    fixed: &'static [&'static str],
}

const INTRODUCTION: &str = "\
# Configuration

`pgweave CONFIG` reads a file in [TOML](https://toml.io). Without one it looks for
`./pgweave.toml`, then `/etc/pgweave/pgweave.toml`; failing both it takes its server from
`DATABASE_URL`, or from `PGHOST` and its like (see [below](#without-a-file)).
`pgweave check CONFIG` tells every mistake in a file, with its line.

Names, units and meanings of the settings are those of PgBouncer wherever the concept is the
same; where they differ, it is said. PgBouncer's own files are read as well, with its defaults
(see [MIGRATING.md](MIGRATING.md)): where such a default is another it stands behind ours.

All settings but those that are \"read at start only\" can be changed while pgweave runs, by a reload
(SIGHUP, or `RELOAD` on the console) or, those of `[pgweave]`, by `SET` on the console.

**Durations** are seconds (`90`, `0.5`), or text with a unit: `\"500ms\"`, `\"30s\"`, `\"5min\"`,
`\"1h\"`, `\"1d\"`.

**Variables**: in any text, `${VAR}` stands for an environment variable and `${VAR:-default}` for
one that may be missing. A literal `${` is written `$${`. Text that reads as a number is taken for
one, so `listen_port = \"${PORT}\"` works.

**Secrets**: instead of `password`, `password_file` names a file that holds it; a line's end behind
it does not count.

**Overriding**: each setting of `[pgweave]` can be given by an environment variable, which then
comes before the file: `PGWEAVE_LISTEN_PORT=6433`, `PGWEAVE_POOL_MODE=session`.

**Precedence**: user before database before `[pgweave]`.
";

const WITHOUT_A_FILE: &str = "\
## Without a file

With `DATABASE_URL=postgres://user:password@host:port/dbname` and no file, pgweave pools that
server: its databases are reached under their own names. What the URL leaves out is taken from
`PGHOST`, `PGPORT`, `PGUSER`, `PGPASSWORD`, `PGDATABASE`, `PGCONNECT_TIMEOUT`, `PGSSLMODE`,
`PGSSLNEGOTIATION`, `PGSSLROOTCERT`, `PGSSLCERT` and `PGSSLKEY`; any of `PGHOST`, `PGPORT` and
`PGDATABASE` will also do without a URL. Special characters are written as
`%XX`; a Unix socket is given as `?host=/directory`.

If there is a password, clients must prove it by SCRAM, as the user that it belongs to, and pgweave
logs in to the server with it. If there is none, `auth_type` is `trust`: pgweave asks for no proof,
and any proof is between it and the server. All else has its default, or is set by `PGWEAVE_...`.

`sslmode` and its like say how pgweave connects to the server, as `server_tls_sslmode` does; files are
read only where they are named.
";

fn general() -> Section<General> {
    Section {
        heading: "[pgweave]",
        about: "The pooler itself, and what holds for every pool.",
        groups: GENERAL,
        defaults: General::default(),
        in_ini: defaults::config().general,
        fixed: &FIXED,
    }
}

fn database() -> Section<Database> {
    Section {
        heading: "[databases.NAME]",
        about: "A database, by the name that clients ask for. `[databases.\"*\"]` is the fallback for \
                every name without a section. The names `pgweave` and `pgbouncer` are taken.",
        groups: DATABASE,
        defaults: Database::named("NAME"),
        in_ini: Database::named("NAME"),
        fixed: &[],
    }
}

fn user() -> Section<User> {
    Section {
        heading: "[users.NAME]",
        about: "A user, by the name that clients log in with. Without a password nobody can log in as \
                it, unless `auth_type` is `trust`.",
        groups: USER,
        defaults: User::named("NAME"),
        in_ini: User::named("NAME"),
        fixed: &[],
    }
}

fn peer() -> Section<Peer> {
    Section {
        heading: "[peers.ID]",
        about: "Another process that clients may reach at the same address, by its `peer_id`: where \
                cancel requests that are meant for it are sent. They go in clear text, as PgBouncer's \
                do: who reads along can cancel queries of that client. The section of the process itself may be there, too, and is \
                not used, so that all can read the same file. See \
                [OPERATIONS.md](OPERATIONS.md#several-processes).",
        groups: PEER,
        defaults: Peer::numbered(1),
        in_ini: Peer::numbered(1),
        fixed: &[],
    }
}

/// The text of docs/CONFIG.md.
pub fn markdown() -> String {
    let mut page = String::from(INTRODUCTION);
    general().print(&mut page);
    database().print(&mut page);
    user().print(&mut page);
    peer().print(&mut page);
    page.push('\n');
    page.push_str(WITHOUT_A_FILE);
    page
}

/// The text of config/full.toml: every key, at its default.
pub fn full_toml() -> String {
    let mut file = String::from(
        "# Every setting at its default; docs/CONFIG.md tells what each does.\n\
         # A key behind \"#\" has no default of its own.\n",
    );
    general().write_toml("[pgweave]", &mut file);
    database().write_toml("[databases.\"*\"]", &mut file);
    let mut users = String::new();
    user().write_toml("[users.alice]", &mut users);
    // With the default `auth_type` somebody must have one.
    file.push_str(&users.replacen("# password = text", "password = \"secret\"", 1));
    let mut peers = String::new();
    peer().write_toml("[peers.1]", &mut peers);
    // It must be given.
    file.push_str(&peers.replacen("# host = text", "host = \"/run/pgweave/1\"", 1));
    file
}

impl<T> Section<T> {
    fn print(&self, page: &mut String) {
        page.push_str(&format!("\n## `{}`\n\n{}\n", self.heading, self.about));
        for group in self.groups {
            page.push_str(&format!("\n### {}\n", group.title));
            for setting in group.settings {
                page.push_str(&self.entry(setting));
            }
        }
    }

    fn entry(&self, setting: &Setting<T>) -> String {
        let Setting {
            name,
            meaning,
            differs,
            ..
        } = setting;
        let kind = (setting.kind)(&self.defaults);
        let [default, in_ini] = [&self.defaults, &self.in_ini].map(setting.show);
        let in_ini = match in_ini {
            same if same == default => String::new(),
            Some(value) => format!(", in an ini file `{value}`"),
            None => ", in an ini file unset".to_owned(),
        };
        let default = match default {
            Some(value) => format!("default `{value}`"),
            None => "unset".to_owned(),
        };
        let fixed = match self.fixed.contains(name) {
            true => "; read at start only",
            false => "",
        };
        let also = if setting.secret {
            format!(", or `{name}_file`")
        } else {
            String::new()
        };
        let differs = if differs.is_empty() {
            String::new()
        } else {
            format!("*PgBouncer:* {differs}\n")
        };
        format!("\n**`{name}`**{also}: {kind}; {default}{in_ini}{fixed}.\n{meaning}\n{differs}")
    }

    fn write_toml(&self, heading: &str, file: &mut String) {
        file.push_str(&format!("\n{heading}\n"));
        for setting in self.groups.iter().flat_map(|group| group.settings) {
            let name = setting.name;
            let line = match (setting.show)(&self.defaults) {
                Some(value) => format!("{name} = {value}\n"),
                None => format!("# {name} = {}\n", (setting.kind)(&self.defaults)),
            };
            file.push_str(&line);
        }
    }
}
