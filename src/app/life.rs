//! What a process does between its start and its end: it may have taken over from
//! another, and another may take over from it.

use std::sync::Arc;

use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::{AbortHandle, JoinSet};

use super::doors::Doors;
use super::ending;
use super::handover::{Door, Offer, Outcome, Successor, Taking, hand_over};
use super::identity::PidFile;
use super::signals::{Signals, Stop};
use super::systemd;
use crate::proxy::{Arrivals, House};
use crate::telemetry::Telemetry;

/// See the module.
pub(super) struct Life {
    house: Arc<House>,
    doors: Doors,
    pages: Arc<Telemetry>,
    pidfile: Option<PidFile>,
    /// None: nobody can take over any more.
    offer: Option<Arc<Offer>>,
    /// Those who have taken over.
    successors: (Sender<Successor>, Receiver<Successor>),
    /// The process of before has left what it had.
    left: (Sender<Option<i32>>, Receiver<Option<i32>>),
    tasks: JoinSet<()>,
    /// Waits for the next process.
    waiting: Option<AbortHandle>,
}

impl Life {
    /// Of a process with these doors, which are not open yet.
    pub fn new(
        house: Arc<House>,
        doors: Doors,
        pages: Arc<Telemetry>,
        pidfile: Option<PidFile>,
    ) -> Self {
        let offer = Arc::new(Offer {
            house: Arc::clone(&house),
            listeners: doors.listeners.clone(),
            http: doors.http.clone(),
            are_all: doors.are_inherited,
        });
        Self {
            house,
            doors,
            pages,
            pidfile,
            offer: Some(offer),
            successors: channel(1),
            left: channel(1),
            tasks: JoinSet::new(),
            waiting: None,
        }
    }

    /// Lets people in, and those of the process of before.
    ///
    /// # Errors
    /// The doors cannot be opened.
    pub fn begin(&mut self, taking: Option<(Taking, Arrivals)>) -> Result<(), String> {
        let opened = self.doors.open(&self.house, &self.pages);
        opened.map_err(|error| format!("pgweave: cannot let anybody in: {error}"))?;
        let (found, left) = (self.successors.0.clone(), self.left.0.clone());
        if let Some(offer) = self.offer.clone() {
            let going_on = go_on(taking, offer, found, left);
            self.waiting = Some(self.tasks.spawn(going_on));
        }
        Ok(())
    }

    /// Until the process is to end, and how; `None` when another has all that it had.
    ///
    /// # Errors
    /// It would have had to go on, and could not.
    pub async fn pass(
        &mut self,
        signals: &mut Signals,
        console: &mut Receiver<Stop>,
    ) -> Result<Option<Stop>, String> {
        loop {
            let successor = tokio::select! {
                stop = ending::wanted(signals, console) => {
                    // Nobody can take over any more, but who has done so.
                    self.waiting.take().iter().for_each(AbortHandle::abort);
                    match self.successors.1.try_recv() {
                        Ok(successor) => successor,
                        Err(_) => return Ok(Some(stop)),
                    }
                }
                Some(before) = self.left.1.recv() => {
                    self.own(before);
                    continue;
                }
                Some(successor) = self.successors.1.recv() => successor,
            };
            match self.hand_over(successor, signals, console).await {
                Outcome::Done => return Ok(None),
                Outcome::Stop(stop) => return Ok(Some(stop)),
                Outcome::Alone => self.begin(None)?,
            }
        }
    }

    /// What was the process of before's is this one's.
    fn own(&mut self, before: Option<i32>) {
        self.doors.are_ours();
        if let Some(path) = &self.house.config().general.pidfile {
            match PidFile::write(path, before) {
                Ok(pidfile) => self.pidfile = Some(pidfile),
                Err(error) => tracing::warn!("{error}"),
            }
        }
    }

    async fn hand_over(
        &mut self,
        successor: Successor,
        signals: &mut Signals,
        console: &mut Receiver<Stop>,
    ) -> Outcome {
        self.doors.leave().await;
        if let Err(error) = successor.let_in().await {
            tracing::warn!("nobody has taken over: {error}");
            self.doors.are_ours();
            return Outcome::Alone;
        }
        let outcome = hand_over(&self.house, &successor, signals, console).await;
        match outcome {
            Outcome::Done => {
                drop(self.pidfile.take());
                if let Some(pid) = successor.courier.pid() {
                    systemd::goes_on_as(pid).await;
                }
                successor.finish().await;
            }
            Outcome::Alone => self.doors.are_ours(),
            Outcome::Stop(_) => {}
        }
        outcome
    }

    /// Lets no client in any more, and nobody take over.
    pub async fn close(&mut self) {
        // They know the sockets, which are to be closed.
        self.tasks.shutdown().await;
        self.offer = None;
        self.doors.close().await;
    }
}

/// Lets those of the process of before come over; when it has `left` that is told, and the
/// next process may come.
async fn go_on(
    taking: Option<(Taking, Arrivals)>,
    offer: Arc<Offer>,
    found: Sender<Successor>,
    left: Sender<Option<i32>>,
) {
    let house = Arc::clone(&offer.house);
    let path = house.config().general.takeover_socket();
    // Who comes early waits.
    let door = match path.as_deref() {
        Some(path) => Door::at(path).await,
        None => None,
    };
    if let Some((taking, arrivals)) = taking {
        let before = taking.pid;
        taking.serve(house, arrivals).await;
        let _ = left.send(before).await;
    }
    if let Some(door) = door {
        offer.wait(door, found).await;
    }
}
