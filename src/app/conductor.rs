//! What the console may ask of the process.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::cli::sources;
use super::handover::Program;
use super::reload::Reloader;
use super::signals::Stop;
use crate::admin::{Process, Reloaded, Shutdown};
use crate::config::changed;
use crate::proxy::House;
use crate::telemetry::LogCounts;

/// Ends that may be asked for before the first is looked at.
const QUEUE: usize = 8;

/// See the module. It does not keep the house alive.
#[derive(Debug)]
pub(super) struct Conductor {
    house: Weak<House>,
    reloader: Arc<Reloader>,
    stop: Sender<Stop>,
    is_ending: AtomicBool,
    program: Program,
}

impl Conductor {
    /// For this house; by the receiver it is heard how the process is to end.
    pub fn of(house: &Arc<House>, reloader: Arc<Reloader>) -> (Arc<Self>, Receiver<Stop>) {
        let (stop, stops) = channel(QUEUE);
        let conductor = Self {
            house: Arc::downgrade(house),
            reloader,
            stop,
            is_ending: AtomicBool::new(false),
            program: Program::of_this(),
        };
        (Arc::new(conductor), stops)
    }

    /// The process is about to end.
    pub fn is_about_to_end(&self) {
        self.is_ending.store(true, Ordering::Release);
    }

    /// Lines of the log that came to nothing.
    pub fn log_counts(&self) -> LogCounts {
        self.reloader.log_counts()
    }

    fn house(&self) -> Result<Arc<House>, String> {
        let house = self.house.upgrade();
        house.ok_or_else(|| "the process ends".to_owned())
    }
}

impl Process for Conductor {
    fn reload(&self) -> Reloaded<'_> {
        Box::pin(async {
            let house = self.house().map_err(|why| vec![why])?;
            read_again(house, Arc::clone(&self.reloader)).await
        })
    }

    fn change(&self, key: &str, value: &str) -> Result<(), String> {
        let house = self.house()?;
        let before = house.config();
        let after = changed(&before, key, value, &sources())?;
        house.adopt(after).map_err(|wrong| wrong.join("; "))?;
        self.reloader.log_as(&house.config().general);
        tracing::info!("the console has changed {key}");
        Ok(())
    }

    fn shut_down(&self, how: Shutdown) {
        self.is_about_to_end();
        let stop = match how {
            Shutdown::AtOnce => Stop::AtOnce,
            Shutdown::WaitForServers => Stop::WhenServersAreFree,
            Shutdown::WaitForClients => Stop::WhenClientsAreGone,
        };
        // Who asks again and again has been heard.
        let _ = self.stop.try_send(stop);
    }

    fn restart(&self) -> Result<(), String> {
        if self.is_ending() {
            return Err("the process ends".to_owned());
        }
        let Some(place) = self.house()?.config().general.takeover_socket() else {
            return Err("there is neither takeover_socket nor unix_socket_dir: \
                        a new process could not reach this one"
                .to_owned());
        };
        self.program.start(&place)
    }

    fn is_ending(&self) -> bool {
        self.is_ending.load(Ordering::Acquire)
    }
}

/// Reads the configuration again.
///
/// # Errors
/// Every mistake; then all is as it was.
///
/// # Cancel safety
/// Dropped before its end, it is done nevertheless.
pub(super) async fn read_again(
    house: Arc<House>,
    reloader: Arc<Reloader>,
) -> Result<(), Vec<String>> {
    let reading = tokio::task::spawn_blocking(move || reloader.reload(&house));
    reading
        .await
        .unwrap_or_else(|error| Err(vec![error.to_string()]))
}
