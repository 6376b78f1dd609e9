//! The console: what a client sees as the databases `pgweave` and `pgbouncer`.
//!
//! It reads what the other rooms count anyway, and gives their orders. Commands,
//! tables and the protocol are pure ([`command`], [`table`], [`conversation`]);
//! `session` has the socket. What only the process can do, it does itself:
//! [`Process`]. `proxy` brings the clients here, `app` opens the console.

mod act;
mod calendar;
mod columns;
mod command;
mod conversation;
mod session;
mod show;
mod table;
mod totals;
mod words;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::sleep;

pub use command::Shutdown;

use crate::proxy::House;
use crate::proxy::console::{Console, Served, Visitor};
use totals::{Periods, Totals};

/// What has come of a reload: nothing, or every mistake.
pub type Reloaded<'a> = Pin<Box<dyn Future<Output = Result<(), Vec<String>>> + Send + 'a>>;

/// What the console asks of the process as a whole.
pub trait Process: fmt::Debug + Send + Sync {
    /// Reads again what can be read again.
    ///
    /// # Errors
    /// Every mistake; then all is as it was.
    fn reload(&self) -> Reloaded<'_>;

    /// Changes one setting, until the next reload.
    ///
    /// # Errors
    /// A sentence that says why not.
    fn change(&self, key: &str, value: &str) -> Result<(), String>;

    /// Ends the process, soon.
    fn shut_down(&self, how: Shutdown);

    /// Starts the program anew, which goes on with the work of this process.
    ///
    /// # Errors
    /// A sentence that says why not.
    fn restart(&self) -> Result<(), String>;

    /// Is it about to end?
    fn is_ending(&self) -> bool;
}

/// The console of one process.
#[derive(Debug, Clone)]
pub struct Desk(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    process: Arc<dyn Process>,
    periods: Mutex<Periods>,
}

impl Desk {
    /// A console of this process.
    #[must_use]
    pub fn new(process: Arc<dyn Process>) -> Self {
        Self(Arc::new(Inner {
            process,
            periods: Mutex::default(),
        }))
    }

    /// Takes averages every `stats_period`, for ever, and logs them where that is
    /// wanted.
    ///
    /// # Cancel safety
    /// Dropping it ends that.
    pub async fn keep(self, house: Arc<House>) {
        self.period_ends(&house);
        loop {
            let period = house.config().general.stats_period;
            sleep(period.max(Duration::from_millis(1))).await;
            let averages = self.period_ends(&house);
            if house.config().general.log_stats {
                tracing::info!("{averages}");
            }
        }
    }

    /// The averages of the period that is over; at first there was none.
    fn period_ends(&self, house: &House) -> Totals {
        let now = show::totals(&house.directory.pools());
        let mut periods = self.0.periods.lock();
        periods.ends(now, std::time::Instant::now());
        periods.of_all()
    }
}

impl Console for Desk {
    fn serve(&self, house: Arc<House>, visitor: Visitor) -> Served {
        Box::pin(session::serve(self.clone(), house, visitor))
    }
}
