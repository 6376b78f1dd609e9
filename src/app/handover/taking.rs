//! The new process takes over.

use std::io;
use std::net::TcpListener as StdTcp;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::sync::mpsc::{Sender, channel};
use tokio::time::timeout;

use super::messages::{Ask, Open, Tell, VERSION, hear, say};
use crate::net::{Courier, Inherited};
use crate::pool::Orders;
use crate::proxy::{Arrivals, Before, Begins, House};
use crate::wire::CancelKey;

/// The old process answers at once, unless it is itself taking over just now.
const ANSWER: Duration = Duration::from_secs(120);

/// And agrees within this that it lets nobody in any more.
const AGREES: Duration = Duration::from_secs(10);

/// Cancels on their way to it; more are dropped, as if they had come too late.
const CANCELS: usize = 1024;

/// What was taken over so far: sockets, and not yet their clients.
#[derive(Debug)]
pub(in crate::app) struct Taking {
    courier: Courier,
    dialect: u32,
    orders: Orders,
    open: Vec<Open>,
    begins: Vec<Begins>,
    /// The number of the old process.
    pub pid: Option<i32>,
    /// That of HTTP.
    pub http: Option<StdTcp>,
}

/// Asks the process that listens there for its work: one of this user, of root, or of
/// `its_user`. `None` where nobody listens.
///
/// # Errors
/// Why it was refused.
pub(in crate::app) async fn take_over(
    path: &Path,
    its_user: Option<u32>,
    inherited: &mut Inherited,
) -> Result<Option<Taking>, String> {
    let told = |error: io::Error| format!("pgweave: cannot take over: {error}");
    let stream = match UnixStream::connect(path).await {
        Ok(stream) => stream,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
            ) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(told(error)),
    };
    let courier = Courier::new(stream, its_user).map_err(told)?;
    match timeout(ANSWER, greet(courier, inherited)).await {
        Ok(taken) => taken.map(Some).map_err(told),
        Err(_) => Err(told(io::ErrorKind::TimedOut.into())),
    }
}

async fn greet(courier: Courier, inherited: &mut Inherited) -> io::Result<Taking> {
    let over = || io::Error::from(io::ErrorKind::UnexpectedEof);
    say(&courier, &Ask::Hello { version: VERSION }, &[]).await?;
    let (welcome, _) = hear(&courier).await?.ok_or_else(over)?;
    let (dialect, orders, open, begins, sockets) = match welcome {
        Tell::Welcome {
            version: VERSION,
            dialect,
            orders,
            open,
            begins,
            are_all,
            sockets,
        } => {
            inherited.are_all = are_all;
            (dialect, orders, open, begins, sockets)
        }
        Tell::Refusal(why) => return Err(io::Error::other(why)),
        _ => return Err(io::Error::other("the old process speaks another version")),
    };
    let mut http = None;
    for _ in 0..sockets {
        let (socket, mut beside) = hear(&courier).await?.ok_or_else(over)?;
        match socket {
            Tell::Socket(kind) => inherited.add(kind, beside)?,
            Tell::Http => http = beside.pop().map(StdTcp::from),
            _ => return Err(io::ErrorKind::InvalidData.into()),
        }
    }
    Ok(Taking {
        pid: courier.pid(),
        courier,
        dialect,
        orders,
        open,
        begins,
        http,
    })
}

impl Taking {
    /// What had been ordered there holds here, too, and what is open there counts; to be
    /// called before anybody is let in.
    pub fn prepare(&mut self, house: &Arc<House>) -> Arrivals {
        house
            .directory
            .take_orders(std::mem::take(&mut self.orders));
        let mut arrivals = Arrivals::new(Arc::clone(house), self.dialect);
        for open in self.open.drain(..) {
            arrivals.has_there(&open.database, &open.user, open.count);
        }
        self.begins.drain(..).for_each(|begins| begins.adopt(house));
        arrivals
    }

    /// This process is ready: returns when it is to let people in.
    ///
    /// # Errors
    /// The old one goes on.
    pub async fn is_ready(&self) -> Result<(), String> {
        let agree = async {
            say(&self.courier, &Ask::Serving, &[]).await?;
            match hear(&self.courier).await? {
                Some((Tell::PlaceIsFree, _)) => Ok(()),
                _ => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
            }
        };
        let agreed = timeout(AGREES, agree).await;
        let agreed = agreed.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        agreed
            .map_err(|error| format!("pgweave: cannot take over: the old process goes on: {error}"))
    }

    /// Those of the old process come over, until none is left there. Returns then.
    ///
    /// # Cancel safety
    /// Dropped before its end, those who are still there stay there.
    pub async fn serve(self, house: Arc<House>, mut arrivals: Arrivals) {
        let (cancels, mut asked) = channel(CANCELS);
        house.knows_before(Some(Arc::new(Link(cancels))));
        let mut count = Count::default();
        let pass_on = async {
            while let Some(key) = asked.recv().await {
                if say(&self.courier, &Ask::Cancel(key), &[]).await.is_err() {
                    break;
                }
            }
            // What it has said before it ended is still to be heard.
            std::future::pending::<()>().await;
        };
        let ended = tokio::select! {
            ended = take_in(&self.courier, &mut arrivals, &mut count) => ended,
            () = pass_on => Ok(()),
        };
        house.knows_before(None);
        let Count { clients, servers } = count;
        match ended {
            Ok(()) => tracing::info!(before = self.pid, clients, servers, "taken over"),
            Err(error) => {
                tracing::warn!(
                    before = self.pid,
                    clients,
                    servers,
                    "taken over in part: {error}"
                );
                // As long as it is there it keeps those who have not arrived.
                while let Ok(Some(_)) = self.courier.receive().await {}
            }
        }
    }
}

#[derive(Debug, Default)]
struct Count {
    clients: usize,
    servers: usize,
}

async fn take_in(courier: &Courier, arrivals: &mut Arrivals, count: &mut Count) -> io::Result<()> {
    loop {
        let over = || io::Error::from(io::ErrorKind::UnexpectedEof);
        let (what, mut beside) = hear(courier).await?.ok_or_else(over)?;
        let mut socket = || beside.pop().ok_or(io::ErrorKind::InvalidData);
        match what {
            Tell::Credential {
                database,
                user,
                credential,
            } => {
                if let Some(credential) = credential.unpacked() {
                    arrivals.learn(&database, &user, &credential);
                }
            }
            Tell::Open(open) => arrivals.has_there(&open.database, &open.user, open.count),
            Tell::Server(about, left) => {
                let pid = about.pid();
                let (database, user) = (about.database.clone(), about.user.clone());
                let taken = socket().map_err(|_| "it did not arrive".to_owned());
                match taken.and_then(|socket| arrivals.server(about, socket)) {
                    Ok(()) => count.servers += 1,
                    Err(why) => tracing::info!(pid, "a server connection is closed: {why}"),
                }
                arrivals.has_there(&database, &user, left);
            }
            Tell::Listens(listens) => arrivals.listens(listens),
            Tell::Client(luggage) => {
                let number = luggage.number;
                match socket()
                    .ok()
                    .and_then(|socket| arrivals.client(*luggage, socket))
                {
                    // Only who is known to be here is served here.
                    Some(client) => {
                        say(courier, &Ask::Took(number), &[]).await?;
                        client.serve();
                        count.clients += 1;
                    }
                    None => say(courier, &Ask::Left(number), &[]).await?,
                }
            }
            Tell::Done => return Ok(()),
            Tell::Welcome { .. }
            | Tell::Refusal(_)
            | Tell::PlaceIsFree
            | Tell::Socket(_)
            | Tell::Http => {
                return Err(io::ErrorKind::InvalidData.into());
            }
        }
    }
}

/// To the old process, which may know whom a cancel is meant for.
#[derive(Debug)]
struct Link(Sender<Vec<u8>>);

impl Before for Link {
    fn cancel(&self, key: &CancelKey) {
        let _ = self.0.try_send(key.bytes());
    }
}
