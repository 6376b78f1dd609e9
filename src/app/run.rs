//! From the command line to the last client.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::accept::accept;
use super::cli::{Cli, Command, Origin, load};
use super::conductor::{Conductor, read_again};
use super::signals::{Hangups, Signals};
use super::{ending, logging};
use crate::admin::{Desk, Process};
use crate::config::Config;
use crate::net::tls::Tls;
use crate::net::{ListenOptions, Listener, listen};
use crate::proxy::House;

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
        Some(Command::Check { config }) => check(config),
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

#[allow(clippy::print_stderr)] // What keeps the pooler from running is said whatever the logging.
fn complain(message: &str) {
    eprintln!("{}", message.trim_end());
}

fn check(config: &std::path::Path) -> Result<(), String> {
    Origin::File(config.to_owned()).load().map(|_| ())
}

fn serve(cli: &Cli) -> Result<(), String> {
    let (config, origin) = load(cli)?;
    logging::start(&config.general, cli.log_level(config.general.log_level))
        .map_err(|error| format!("pgweave: cannot open the log file: {error}"))?;
    let runtime = runtime(&config).map_err(|error| format!("pgweave: cannot start: {error}"))?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        "pgweave starts with {origin}"
    );
    let result = runtime.block_on(run(config));
    // Tasks that are still at work would only wrap up for nobody.
    runtime.shutdown_background();
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

async fn run(config: Config) -> Result<(), String> {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(|error| format!("pgweave: no random bytes: {error}"))?;
    let mut signals =
        Signals::listen().map_err(|error| format!("pgweave: cannot handle signals: {error}"))?;
    let hangups =
        Hangups::listen().map_err(|error| format!("pgweave: cannot handle signals: {error}"))?;
    let tls = Tls::load(&config).map_err(|mistakes| format!("pgweave: {}", mistakes.join("; ")))?;
    let listeners = listeners(&config).await?;
    let house = House::new(config, tls, secret);
    let mut accepting = JoinSet::new();
    let mut keepers = JoinSet::new();
    keepers.spawn(watch_deadlines(Arc::clone(&house)));
    keepers.spawn(keep_pools(Arc::clone(&house)));
    keepers.spawn(reload(Arc::clone(&house), hangups));
    let (conductor, mut console) = Conductor::of(&house);
    let desk = Desk::new(Arc::clone(&conductor) as Arc<dyn Process>);
    keepers.spawn(desk.clone().keep(Arc::clone(&house)));
    house.open_console(Arc::new(desk));
    for listener in listeners {
        tracing::info!("listening on {}", listener.address());
        accepting.spawn(accept(Arc::clone(&house), Arc::new(listener)));
    }
    let stop = ending::wanted(&mut signals, &mut console).await;
    conductor.is_about_to_end();
    accepting.shutdown().await;
    ending::wait(&house, stop, &mut signals, &mut console).await;
    keepers.shutdown().await;
    tracing::info!("pgweave ends");
    Ok(())
}

async fn listeners(config: &Config) -> Result<Vec<Listener>, String> {
    let general = &config.general;
    let options = ListenOptions {
        backlog: i32::try_from(general.listen_backlog).unwrap_or(i32::MAX),
        keepalive: general.tcp_keepalive,
    };
    let mut listeners = Vec::new();
    for address in &general.listen_addr {
        let port = general.listen_port;
        let found = listen(address, port, options).await;
        listeners.extend(
            found
                .map_err(|error| format!("pgweave: cannot listen on {address}:{port}: {error}"))?,
        );
    }
    if listeners.is_empty() {
        return Err("pgweave: there is no address to listen on".to_owned());
    }
    Ok(listeners)
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
        house.directory.keep().await;
    }
}

/// Reads files again when a signal asks for it. What does not load changes nothing.
async fn reload(house: Arc<House>, mut hangups: Hangups) {
    loop {
        hangups.next().await;
        match read_again(Arc::clone(&house)).await {
            Ok(()) => tracing::info!(
                "SIGHUP: the files of TLS were read again; the configuration is read at start only"
            ),
            Err(mistakes) => {
                for mistake in mistakes {
                    tracing::error!("SIGHUP: TLS stays as it was: {mistake}");
                }
            }
        }
    }
}

fn ticks(period: Duration) -> Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
