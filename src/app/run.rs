//! From the command line to the last client.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::background;
use super::check::check;
use super::cli::{Cli, Command, convert, load, one_a_line};
use super::conductor::{Conductor, read_again};
use super::doors::Doors;
use super::ending;
use super::handover::{FROM, Taking, take_over};
use super::health;
use super::holding::{self, Holds};
use super::identity::{PidFile, become_user, number_of, open_files};
use super::life::Life;
use super::logging::{Logging, complain};
use super::paper;
use super::reload::Reloader;
use super::signals::{Hangups, Signals};
use super::systemd;
use super::watch::{Files, follow_files};
use super::welcome::welcome;
use crate::admin::{Desk, Process};
use crate::config::Config;
use crate::net::tls::Tls;
use crate::net::{Inherited, Names};
use crate::proxy::{Access, House};
use crate::telemetry::Telemetry;

/// How often deadlines of clients are looked at.
const DEADLINE_TICK: Duration = Duration::from_millis(100);

/// How often pools are looked after.
const POOLS_TICK: Duration = Duration::from_secs(1);

/// The whole program. Exit codes: 0 orderly, 1 a wrong configuration or a
/// failure to start, 2 wrong usage.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match &cli.command {
        Some(Command::Check { config, connect }) => check(config.as_deref(), *connect, cli.quiet),
        Some(Command::Convert { file }) => print_converted(file),
        Some(Command::Completions { shell }) => paper::completions(*shell),
        Some(Command::Man) => paper::manual(),
        Some(Command::Health { config, live }) => health::ask(config.as_deref(), *live),
        None => serve(&cli),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

#[allow(clippy::print_stdout)] // It is what was asked for.
fn print_converted(file: &std::path::Path) -> Result<(), String> {
    print!("{}", convert(file)?);
    Ok(())
}

fn serve(cli: &Cli) -> Result<(), String> {
    open_files();
    let inherited = Inherited::from_system()
        .map_err(|error| format!("pgweave: a socket of systemd's: {error}"))?;
    let files = Files::default();
    let (loaded, origin) = load(cli, &files)?;
    let config = loaded.config;
    match (cli.daemon, cli.in_background) {
        (true, false) => return background::start(&config.general),
        (_, true) => background::leave_terminal()?,
        (false, false) => {}
    }
    let logging = Logging::start(&config.general, cli)
        .map_err(|error| format!("pgweave: cannot open the log file: {error}"))?;
    let runtime = runtime(&config).map_err(|error| format!("pgweave: cannot start: {error}"))?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        "pgweave starts with {origin}"
    );
    if let Some(warning) = loaded.warning {
        tracing::warn!("{warning}");
    }
    let reloader = Arc::new(Reloader::new(origin, cli.clone(), logging, files));
    let running = run(config, Arc::clone(&reloader), cli, inherited);
    let result = runtime.block_on(running);
    // Tasks that are still at work would only wrap up for nobody.
    runtime.shutdown_background();
    reloader.finish_log();
    result
}

/// Few workers: each one more costs wake-ups that a pooled query does not need.
fn runtime(config: &Config) -> std::io::Result<Runtime> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    match config.general.worker_threads(cores) {
        1 => Builder::new_current_thread().enable_all().build(),
        workers => Builder::new_multi_thread()
            .worker_threads(workers)
            .enable_all()
            .build(),
    }
}

async fn run(
    config: Config,
    reloader: Arc<Reloader>,
    cli: &Cli,
    mut inherited: Inherited,
) -> Result<(), String> {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(|error| format!("pgweave: no random bytes: {error}"))?;
    let no_signals = |error| format!("pgweave: cannot handle signals: {error}");
    let mut signals = Signals::listen().map_err(no_signals)?;
    let hangups = Hangups::listen().map_err(no_signals)?;
    let holds = Holds::listen().map_err(no_signals)?;
    let tls = Tls::load(&config).map_err(|mistakes| format!("pgweave: {}", mistakes.join("; ")))?;
    let access = Access::load(&config).map_err(|mistakes| one_a_line(&mistakes))?;
    let mut taking = taking(&config, cli, &mut inherited).await?;
    let http = taking.as_mut().and_then(|taking| taking.http.take());
    let doors = Doors::build(&config, inherited, http).await?;
    let pidfile = match &config.general.pidfile {
        // Until it has ended it is that of the process of before.
        Some(path) if taking.is_none() => Some(PidFile::write(path, None)?),
        _ => None,
    };
    if let Some(user) = &cli.user {
        become_user(user)?;
    }
    let house = House::new(config, tls, access, Names::default(), secret);
    let mut keepers = JoinSet::new();
    keepers.spawn(watch_deadlines(Arc::clone(&house)));
    keepers.spawn(keep_pools(Arc::clone(&house)));
    keepers.spawn(keep_names(Arc::clone(&house)));
    let (conductor, mut console) = Conductor::of(&house, Arc::clone(&reloader));
    keepers.spawn(follow_files(Arc::clone(&house), Arc::clone(&reloader)));
    keepers.spawn(reload(Arc::clone(&house), reloader, hangups));
    keepers.spawn(holding::follow(
        Arc::clone(&house),
        Arc::clone(&conductor),
        holds,
    ));
    let desk = Desk::new(Arc::clone(&conductor) as Arc<dyn Process>);
    keepers.spawn(desk.clone().keep(Arc::clone(&house)));
    house.open_console(Arc::new(desk));
    let (process, log) = (Arc::clone(&conductor), Arc::clone(&conductor));
    let pages = Telemetry::new(
        Arc::clone(&house),
        Box::new(move || process.is_ending()),
        Box::new(move || log.log_counts()),
    );
    let taking = taking.map(|mut taking| {
        let arrivals = taking.prepare(&house);
        (taking, arrivals)
    });
    #[cfg(feature = "otel")]
    let exporter = export(&house, &conductor, &mut keepers)?;
    if let Some((taking, _)) = &taking {
        taking.is_ready().await?;
    }
    welcome(&house.config(), &doors.listeners);
    let mut life = Life::new(Arc::clone(&house), doors, pages, pidfile);
    life.begin(taking)?;
    if cli.in_background
        && let Err(error) = background::is_ready()
    {
        tracing::warn!("cannot leave the standard output: {error}");
    }
    systemd::is_ready();
    keepers.spawn(systemd::show_life());
    if let Some(stop) = life.pass(&mut signals, &mut console).await? {
        conductor.is_about_to_end();
        systemd::is_ending();
        let stop = ending::delay(&house, stop, &mut signals, &mut console).await;
        life.close().await;
        ending::wait(&house, stop, &mut signals, &mut console).await;
    }
    #[cfg(feature = "otel")]
    if let Some(exporter) = exporter {
        exporter.finish().await;
    }
    keepers.shutdown().await;
    tracing::info!("pgweave ends");
    Ok(())
}

/// Takes over from the process that runs, if there is one: `-R`; or from the one that has
/// started this one, which must be there.
async fn taking(
    config: &Config,
    cli: &Cli,
    inherited: &mut Inherited,
) -> Result<Option<Taking>, String> {
    let parent = std::env::var_os(FROM).map(std::path::PathBuf::from);
    if !cli.reboot && parent.is_none() {
        return Ok(None);
    }
    let must = parent.is_some();
    let Some(path) = parent.or_else(|| config.general.takeover_socket()) else {
        return Err("pgweave: -R needs takeover_socket or unix_socket_dir".to_owned());
    };
    let its_user = cli.user.as_deref().and_then(number_of);
    let taking = take_over(&path, its_user, inherited).await?;
    match &taking {
        Some(taking) => tracing::info!(before = taking.pid, "takes over"),
        None if must => {
            let path = path.display();
            return Err(format!(
                "pgweave: cannot take over: nobody listens at {path}"
            ));
        }
        None => tracing::info!("there is no process to take over from"),
    }
    Ok(taking)
}

/// Has traces and metrics exported, if the environment says to where.
#[cfg(feature = "otel")]
fn export(
    house: &Arc<House>,
    conductor: &Arc<Conductor>,
    keepers: &mut JoinSet<()>,
) -> Result<Option<Arc<crate::telemetry::otel::Exporter>>, String> {
    let plan = crate::telemetry::otel::Plan::read(&|name| std::env::var(name).ok());
    let Some(plan) = plan.map_err(|wrong| format!("pgweave: {wrong}"))? else {
        return Ok(None);
    };
    let process = Arc::clone(conductor);
    let is_ending = Box::new(move || process.is_ending());
    let process = Arc::clone(conductor);
    let log = Box::new(move || process.log_counts());
    let (exporter, spans) =
        crate::telemetry::otel::Exporter::new(plan, Arc::clone(house), is_ending, log);
    keepers.spawn(Arc::clone(&exporter).run(spans));
    tracing::info!("traces and metrics go to an OTLP collector");
    Ok(Some(exporter))
}

/// Tells clients whose time is up.
async fn watch_deadlines(house: Arc<House>) {
    let mut ticks = ticks(DEADLINE_TICK);
    loop {
        ticks.tick().await;
        house.clients.enforce_deadlines();
    }
}

/// Gives pools what they need from time to time.
async fn keep_pools(house: Arc<House>) {
    let mut ticks = ticks(POOLS_TICK);
    loop {
        ticks.tick().await;
        let config = house.config();
        house.access.keep(&config);
        house.tell_those_who_wait(&config);
        house.directory.keep(&config).await;
    }
}

/// Follows names to their addresses. Not together with the pools: those may wait
/// for a server that is down, just when its name gets another address.
async fn keep_names(house: Arc<House>) {
    let mut ticks = ticks(POOLS_TICK);
    loop {
        ticks.tick().await;
        house.keep_names();
    }
}

/// Reads the configuration again when a signal asks for it.
async fn reload(house: Arc<House>, reloader: Arc<Reloader>, mut hangups: Hangups) {
    loop {
        hangups.next().await;
        systemd::reloads();
        match read_again(Arc::clone(&house), Arc::clone(&reloader)).await {
            Ok(()) => tracing::info!("SIGHUP: the configuration was read again"),
            Err(mistakes) => {
                for mistake in mistakes {
                    tracing::error!("SIGHUP: all stays as it was: {mistake}");
                }
            }
        }
        systemd::is_ready();
    }
}

fn ticks(period: Duration) -> Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
