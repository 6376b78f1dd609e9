//! `pgweave check`: is the configuration right, and, with `--connect`, can its
//! databases be used?

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Arc;

use tokio::runtime::Builder;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::cli::{Loaded, Origin, found, one_a_line};
use super::report::{Verdict, of_attempt, of_loads};
use super::welcome::how_to_connect;
use crate::config::Config;
use crate::net::Names;
use crate::net::tls::Tls;
use crate::pool::Directory;
use crate::proxy::{Access, Attempt, Fine, Rehearsal, Wrong};

/// So many logins are under way at a time.
const AT_A_TIME: usize = 8;

/// Tells whether the configuration is right. `connects` has its databases tried;
/// `quiet` leaves what is wrong.
///
/// # Errors
/// Every mistake, one a line; or that some database cannot be used, which has
/// been told then.
pub(super) fn check(named: Option<&Path>, connects: bool, quiet: bool) -> Result<(), String> {
    let origin = found(named);
    let Loaded { config, warning } = origin.load()?;
    if let Some(warning) = warning {
        complain(&origin, &warning);
    }
    let access = Access::load(&config).map_err(|mistakes| one_a_line(&mistakes))?;
    let rehearsal = Rehearsal {
        config: &config,
        access: &access,
    };
    if !quiet {
        say(&summary(&origin, &config, rehearsal.users()));
    }
    if connects {
        try_all(&config, &rehearsal, quiet)?;
    }
    if !quiet {
        say(&what_next(&origin, &config, connects));
    }
    Ok(())
}

/// What the configuration is, in a line.
fn summary(origin: &Origin, config: &Config, users: usize) -> String {
    let number = |count: usize, what: &str| match count {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    };
    let databases = match (config.databases.len(), config.fallback.is_some()) {
        (0, _) => "any database".to_owned(),
        (named, true) => number(named, "database") + " and any other",
        (named, false) => number(named, "database"),
    };
    let general = &config.general;
    let addresses = general.listen_addr.iter();
    let mut listens: Vec<String> = addresses
        .map(|address| format!("{address}:{}", general.listen_port))
        .collect();
    let socket = general.unix_socket_dir.as_ref();
    listens.extend(socket.map(|directory| directory.display().to_string()));
    let (users, listens) = (number(users, "user"), listens.join(", "));
    format!(
        "The configuration ({origin}) is fine: {databases}, {users}; it listens on {listens}.\n"
    )
}

fn what_next(origin: &Origin, config: &Config, is_tried: bool) -> String {
    let file = match origin {
        Origin::File(path) => format!(" {}", path.display()),
        Origin::Environment => String::new(),
    };
    let mut text = String::new();
    if !is_tried {
        let _ = writeln!(text, "Try it:    pgweave check --connect{file}");
    }
    let _ = writeln!(text, "Start it:  pgweave{file}");
    if let Some(how) = how_to_connect(config, None) {
        let _ = writeln!(text, "Connect:   {how}");
    }
    text
}

/// Tries every login, and tells what became of it and whether the pools are too large.
fn try_all(config: &Config, rehearsal: &Rehearsal<'_>, quiet: bool) -> Result<(), String> {
    let cannot = |what: &str| format!("pgweave: cannot try the databases: {what}");
    let tls = Tls::load(config).map_err(|mistakes| cannot(&mistakes.join("; ")))?;
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| cannot(&error.to_string()))?;
    let attempts = rehearsal.attempts();
    let directory = Directory::new(Arc::new(tls), Names::default());
    let tried = runtime.block_on(run(attempts, directory));
    // A resolver may hang on.
    runtime.shutdown_background();
    let mut verdicts: Vec<Verdict> = tried
        .iter()
        .map(|(attempt, outcome)| of_attempt(attempt, outcome))
        .collect();
    let wrong = verdicts.iter().filter(|verdict| verdict.is_wrong()).count();
    verdicts.extend(of_loads(&rehearsal.loads(), &tried));
    verdicts.retain(|verdict| !quiet || !verdict.is_fine());
    let told: Vec<String> = verdicts.iter().map(ToString::to_string).collect();
    say(&told.concat());
    match wrong {
        0 => Ok(()),
        1 => Err("One thing is wrong.".to_owned()),
        count => Err(format!("{count} things are wrong.")),
    }
}

/// A login and what became of it.
pub(super) type Tried = (Attempt, Result<Fine, Wrong>);

/// A few at a time; told in their order.
async fn run(attempts: Vec<Attempt>, directory: Directory) -> Vec<Tried> {
    let (directory, room) = (Arc::new(directory), Arc::new(Semaphore::new(AT_A_TIME)));
    let mut running = JoinSet::new();
    for (number, attempt) in attempts.into_iter().enumerate() {
        let (directory, room) = (Arc::clone(&directory), Arc::clone(&room));
        running.spawn(async move {
            let _room = room.acquire().await;
            let outcome = attempt.run(&directory).await;
            (number, (attempt, outcome))
        });
    }
    let mut tried = running.join_all().await;
    tried.sort_by_key(|(number, _)| *number);
    tried.into_iter().map(|(_, tried)| tried).collect()
}

#[allow(clippy::print_stderr)] // What is said of a file that is right as a whole.
fn complain(origin: &Origin, warning: &str) {
    eprintln!("{origin}: {warning}");
}

/// Who does not want to hear it any more need not.
fn say(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Database;

    #[test]
    fn a_configuration_that_is_fine_is_told_in_a_line() {
        let mut config = Config {
            fallback: Some(Database::named("*")),
            ..Config::default()
        };
        let origin = Origin::File("a.toml".into());
        let told = summary(&origin, &config, 1);
        let expected = "The configuration (a.toml) is fine: any database, 1 user; it listens on 127.0.0.1:6432.\n";
        assert_eq!(told, expected);
        config
            .databases
            .insert("a".to_owned(), Database::named("a"));
        config.general.unix_socket_dir = Some("/run/x".into());
        let told = summary(&Origin::Environment, &config, 2);
        assert!(
            told.contains(
                "1 database and any other, 2 users; it listens on 127.0.0.1:6432, /run/x."
            )
        );
    }
}
