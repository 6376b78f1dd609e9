//! The connection itself, and the task that keeps it.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::time::{sleep, timeout};

use super::Listener;
use crate::pool::server_pool::ServerPool;
use crate::server::Server;
use crate::session::channels::commands;
use crate::wire::{PgError, frame, frontend};

/// Closed when for so long nobody has listened.
const LINGER: Duration = Duration::from_secs(10);

/// After so much silence it is asked whether it lives, and must answer within
/// the same time.
const SILENCE: Duration = Duration::from_secs(30);

/// Longest message of a server that is waited for.
const LONGEST_FRAME: usize = 1 << 20;

/// Pauses between attempts to connect: the first, doubled up to the last.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// Why the connection is given up.
enum Lost {
    /// Nobody listens any more.
    Unused,
    /// It broke, or did what it should not.
    Broken(String),
}

impl From<std::io::Error> for Lost {
    fn from(error: std::io::Error) -> Self {
        Lost::Broken(error.to_string())
    }
}

/// Serves a listener until nobody listens any more.
pub(super) async fn run(listener: Arc<Listener>, pool: Arc<ServerPool>) {
    let mut pause = PAUSES.0;
    loop {
        listener.is_elsewhere.store(false, Ordering::Release);
        let lost = match pool.connect_to_listen().await {
            Ok(server) => {
                pause = PAUSES.0;
                listener.is_there(&server);
                let lost = Line::new(&listener, server).serve().await;
                listener.is_lost();
                lost
            }
            Err(error) => Lost::Broken(error.message),
        };
        if let Lost::Broken(why) = lost {
            let (database, user) = (&pool.database, &pool.server_user);
            tracing::warn!(database, user, "the connection that listens is lost: {why}");
            sleep(pause).await;
            pause = (pause * 2).min(PAUSES.1);
        }
        if listener.ends() {
            return;
        }
    }
}

/// The connection, as long as it lives.
struct Line<'a> {
    listener: &'a Listener,
    server: Server,
    /// What it listens to.
    heard: HashSet<Box<str>>,
    /// A request is under way, to listen to these as well.
    asked: Option<Vec<Box<str>>>,
    /// What has arrived and is not dealt with.
    inbox: Vec<u8>,
}

impl<'a> Line<'a> {
    fn new(listener: &'a Listener, server: Server) -> Self {
        Self {
            listener,
            server,
            heard: HashSet::new(),
            asked: None,
            inbox: Vec::new(),
        }
    }

    async fn serve(mut self) -> Lost {
        let first = commands("LISTEN", [&*self.listener.position]);
        if let Err(lost) = self.ask(&first, Vec::new()).await {
            return lost;
        }
        loop {
            if let Err(lost) = self.go_on().await {
                return lost;
            }
        }
    }

    /// Does what there is to do, or waits for it.
    async fn go_on(&mut self) -> Result<(), Lost> {
        if self.listener.is_elsewhere.load(Ordering::Acquire) {
            return Err(Lost::Broken("the server is another now".to_owned()));
        }
        if self.asked.is_none() {
            self.ask_for_changes().await?;
        }
        if self.asked.is_none() {
            let marks = self.listener.marks();
            if !marks.is_empty() {
                self.ask(&marks, Vec::new()).await?;
            }
        }
        let is_unused = self.asked.is_none() && self.listener.is_unused();
        let wait = if is_unused { LINGER } else { SILENCE };
        tokio::select! {
            read = self.server.stream.read_buf(&mut self.inbox) => match read? {
                0 => Err(Lost::Broken("closed by the server".to_owned())),
                _ => self.take_in(),
            },
            () = self.listener.changed.notified() => Ok(()),
            () = sleep(wait) => match self.asked {
                Some(_) => Err(Lost::Broken("no answer".to_owned())),
                None if is_unused => Err(Lost::Unused),
                None => self.ask(";", Vec::new()).await,
            },
        }
    }

    async fn ask_for_changes(&mut self) -> Result<(), Lost> {
        let (new, gone) = self.listener.changes(&self.heard);
        if new.is_empty() && gone.is_empty() {
            return Ok(());
        }
        let text = commands("UNLISTEN", gone.iter().map(|name| &**name))
            + &commands("LISTEN", new.iter().map(|name| &**name));
        gone.iter().for_each(|name| drop(self.heard.take(name)));
        self.ask(&text, new).await
    }

    async fn ask(&mut self, text: &str, new: Vec<Box<str>>) -> Result<(), Lost> {
        self.asked = Some(new);
        let query = frontend::query(text);
        // It is not read from meanwhile; but what it takes is little.
        match timeout(SILENCE, self.server.stream.send(&query)).await {
            Ok(written) => Ok(written?),
            Err(_) => Err(Lost::Broken("it takes nothing".to_owned())),
        }
    }

    /// Deals with all whole frames that have arrived.
    fn take_in(&mut self) -> Result<(), Lost> {
        let inbox = std::mem::take(&mut self.inbox);
        let mut rest = inbox.as_slice();
        let broken = |why: &str| Lost::Broken(why.to_owned());
        while let Some(header) =
            frame::header(rest, LONGEST_FRAME).map_err(|_| broken("it broke the protocol"))?
        {
            let Some((frame, after)) = rest.split_at_checked(header.total) else {
                break;
            };
            rest = after;
            match header.tag {
                b'A' => self.listener.tell(frame),
                b'Z' => {
                    let new = self.asked.take().unwrap_or_default();
                    self.listener.hears(&new);
                    self.heard.extend(new);
                }
                b'E' => {
                    let error = PgError::from_body(frame.get(frame::HEADER..).unwrap_or_default());
                    return Err(Lost::Broken(error.message));
                }
                _ => {}
            }
        }
        self.inbox = rest.to_vec();
        Ok(())
    }
}
