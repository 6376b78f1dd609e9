//! From the command line to the last client.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::accept::accept;
use super::background;
use super::cli::{Cli, Command, Origin, convert, load, one_a_line};
use super::conductor::{Conductor, read_again};
use super::ending;
use super::holding::{self, Holds};
use super::identity::{PidFile, become_user};
use super::logging::Logging;
use super::reload::Reloader;
use super::signals::{Hangups, Signals};
use super::watch::{Files, follow_files};
use crate::admin::{Desk, Process};
use crate::config::Config;
use crate::net::tls::Tls;
use crate::net::{ListenOptions, Listener, Names, UnixPlace, listen, listen_unix};
use crate::proxy::{Access, House};
use crate::telemetry::{self, Telemetry};

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
        Some(Command::Convert { file }) => print_converted(file),
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

#[allow(clippy::print_stderr)] // What is said of a file that is right as a whole.
fn check(config: &std::path::Path) -> Result<(), String> {
    let loaded = Origin::File(config.to_owned()).load()?;
    if let Some(warning) = loaded.warning {
        eprintln!("{}: {warning}", config.display());
    }
    Ok(())
}

#[allow(clippy::print_stdout)] // It is what was asked for.
fn print_converted(file: &std::path::Path) -> Result<(), String> {
    print!("{}", convert(file)?);
    Ok(())
}

fn serve(cli: &Cli) -> Result<(), String> {
    cli.refuse_the_past()?;
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
    let running = run(config, Arc::clone(&reloader), cli);
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

async fn run(config: Config, reloader: Arc<Reloader>, cli: &Cli) -> Result<(), String> {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(|error| format!("pgweave: no random bytes: {error}"))?;
    let mut signals =
        Signals::listen().map_err(|error| format!("pgweave: cannot handle signals: {error}"))?;
    let hangups =
        Hangups::listen().map_err(|error| format!("pgweave: cannot handle signals: {error}"))?;
    let holds =
        Holds::listen().map_err(|error| format!("pgweave: cannot handle signals: {error}"))?;
    let tls = Tls::load(&config).map_err(|mistakes| format!("pgweave: {}", mistakes.join("; ")))?;
    let access = Access::load(&config).map_err(|mistakes| one_a_line(&mistakes))?;
    let listeners = listeners(&config).await?;
    let http = match &config.general.http_listen {
        Some(address) => Some(listen_http(address).await?),
        None => None,
    };
    let _pidfile = match &config.general.pidfile {
        Some(path) => Some(PidFile::write(path)?),
        None => None,
    };
    if let Some(user) = &cli.user {
        become_user(user)?;
    }
    let house = House::new(config, tls, access, Names::default(), secret);
    let mut accepting = JoinSet::new();
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
    if let Some(listener) = http {
        let process = Arc::clone(&conductor);
        let pages = Telemetry::new(Arc::clone(&house), Box::new(move || process.is_ending()));
        keepers.spawn(telemetry::serve(pages, listener));
    }
    #[cfg(feature = "otel")]
    let exporter = export(&house, &conductor, &mut keepers)?;
    for listener in listeners {
        tracing::info!("listening on {listener}");
        accepting.spawn(accept(Arc::clone(&house), Arc::new(listener)));
    }
    if cli.in_background
        && let Err(error) = background::is_ready()
    {
        tracing::warn!("cannot leave the standard output: {error}");
    }
    let stop = ending::wanted(&mut signals, &mut console).await;
    conductor.is_about_to_end();
    let stop = ending::delay(&house, stop, &mut signals, &mut console).await;
    accepting.shutdown().await;
    ending::wait(&house, stop, &mut signals, &mut console).await;
    #[cfg(feature = "otel")]
    if let Some(exporter) = exporter {
        exporter.finish().await;
    }
    keepers.shutdown().await;
    tracing::info!("pgweave ends");
    Ok(())
}

/// Has traces and metrics exported, if the environment says to where.
#[cfg(feature = "otel")]
fn export(
    house: &Arc<House>,
    conductor: &Arc<Conductor>,
    keepers: &mut JoinSet<()>,
) -> Result<Option<Arc<telemetry::otel::Exporter>>, String> {
    let plan = telemetry::otel::Plan::read(&|name| std::env::var(name).ok());
    let Some(plan) = plan.map_err(|wrong| format!("pgweave: {wrong}"))? else {
        return Ok(None);
    };
    let process = Arc::clone(conductor);
    let is_ending = Box::new(move || process.is_ending());
    let (exporter, spans) = telemetry::otel::Exporter::new(plan, Arc::clone(house), is_ending);
    keepers.spawn(Arc::clone(&exporter).run(spans));
    tracing::info!("traces and metrics go to an OTLP collector");
    Ok(Some(exporter))
}

/// Listens for those who ask for metrics and health.
async fn listen_http(address: &str) -> Result<TcpListener, String> {
    let cannot = |error| format!("pgweave: cannot listen on {address} (http_listen): {error}");
    let listener = TcpListener::bind(address).await.map_err(cannot)?;
    let address = listener.local_addr().map_err(cannot)?;
    tracing::info!("metrics and health on http://{address}");
    Ok(listener)
}

async fn listeners(config: &Config) -> Result<Vec<Listener>, String> {
    let general = &config.general;
    let options = ListenOptions {
        backlog: i32::try_from(general.listen_backlog).unwrap_or(i32::MAX),
        tcp: general.tcp(),
        shared: general.so_reuseport,
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
    if let Some(directory) = &general.unix_socket_dir {
        let place = UnixPlace {
            directory: directory.clone(),
            port: listeners
                .iter()
                .find_map(Listener::port)
                .unwrap_or(general.listen_port),
            mode: general.unix_socket_mode.0,
            group: general.unix_socket_group.clone(),
        };
        let found = listen_unix(&place, options.backlog);
        listeners.push(found.map_err(|error| {
            format!(
                "pgweave: cannot listen on a Unix socket in {}: {error}",
                directory.display()
            )
        })?);
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
        match read_again(Arc::clone(&house), Arc::clone(&reloader)).await {
            Ok(()) => tracing::info!("SIGHUP: the configuration was read again"),
            Err(mistakes) => {
                for mistake in mistakes {
                    tracing::error!("SIGHUP: all stays as it was: {mistake}");
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
