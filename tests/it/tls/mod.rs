//! TLS toward clients and toward servers.

mod attacks;
mod cancel;
mod clients;
mod files;
mod flow;
mod handover;
mod psql;
mod reload;
mod scram;
mod servers;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use tokio_rustls::rustls::ClientConfig;

use crate::support::certificates::{Authority, Folder};
use crate::support::frames::Frame;
use crate::support::pooler::{Plan, Pooler};
use crate::support::postgres::Database;
use crate::support::raw::{Connection, first_error};

/// A pooler with TLS toward clients, and somebody who trusts it.
struct Secure {
    pooler: Pooler,
    authority: Authority,
    client: Arc<ClientConfig>,
    folder: Folder,
}

impl Secure {
    /// Before `database`, with this `client_tls_sslmode`.
    fn before(database: &Database, mode: &str) -> Self {
        Self::with(Plan::before(database).pool_size(1), mode)
    }

    fn with(plan: Plan, mode: &str) -> Self {
        let (folder, authority) = (Folder::new(), Authority::new());
        let issued = authority.issue(&["localhost"]);
        let quoted = |path: String| format!("{path:?}");
        let pooler = plan
            .setting("client_tls_sslmode", &quoted(mode.to_owned()))
            .setting(
                "client_tls_cert_file",
                &quoted(folder.put("server.crt", &issued.cert)),
            )
            .setting(
                "client_tls_key_file",
                &quoted(folder.put("server.key", &issued.key)),
            )
            .setting(
                "client_tls_ca_file",
                &quoted(folder.put("ca.crt", &authority.pem)),
            )
            .start();
        Self {
            pooler,
            client: authority.client(),
            authority,
            folder,
        }
    }

    /// A client of the superuser, in TLS, logged in.
    fn client(&self) -> Connection {
        self.try_client(&self.client)
            .unwrap_or_else(|frames| panic!("refused: {frames:?}"))
    }

    fn try_client(&self, config: &Arc<ClientConfig>) -> Result<Connection, Vec<Frame>> {
        Connection::open_tls(self.pooler.address, config)
            .unwrap()
            .try_start_up(&self.pooler.startup())
    }
}

/// The SQLSTATE of a refusal; empty for one without a word, none for success.
fn refusal(outcome: Result<Connection, Vec<Frame>>) -> Option<String> {
    let frames = outcome.err()?;
    Some(first_error(&frames).unwrap_or_default())
}

/// Is the server connection of this client encrypted?
fn in_tls(client: &mut Connection) -> bool {
    client.value("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()") == "t"
}

/// Passes bytes on to `server`, and gives the first eight bytes of each
/// connection.
fn eavesdropper(server: SocketAddr) -> (SocketAddr, Receiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (heard, receiver) = channel();
    thread::spawn(move || {
        for mut near in listener.incoming().map_while(Result::ok) {
            let heard = heard.clone();
            thread::spawn(move || {
                let mut far = TcpStream::connect(server).unwrap();
                let mut first = vec![0; 8];
                if near.read_exact(&mut first).is_err() {
                    return;
                }
                let _ = heard.send(first.clone());
                far.write_all(&first).unwrap();
                let (mut back, mut forth) = (far.try_clone().unwrap(), near.try_clone().unwrap());
                thread::spawn(move || {
                    let _ = std::io::copy(&mut back, &mut forth);
                    let _ = forth.shutdown(Shutdown::Both);
                });
                let _ = std::io::copy(&mut near, &mut far);
                let _ = far.shutdown(Shutdown::Both);
            });
        }
    });
    (address, receiver)
}
