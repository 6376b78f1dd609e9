//! `pgweave health`: asks the process that a configuration describes how it is.
//! For containers that hold neither a shell nor curl.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::runtime::Builder;
use tokio::time::timeout;

use super::cli::locate;
use crate::config::General;
use crate::net::Target;
use crate::wire::frontend::ssl_request;

/// How long all of it may take, names looked up included.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where an override of `http_listen` stands. With it no file is read: one that
/// was spoiled while the process runs does not make the process ill.
const OVERRIDE: &str = "PGWEAVE_HTTP_LISTEN";

/// What the head of an answer over HTTP begins with.
const GOOD: &[u8] = b"HTTP/1.1 200";

/// Whom to ask, and what.
#[derive(Debug, PartialEq, Eq)]
enum Question {
    /// A page at this address.
    Page(String, &'static str),
    /// Does somebody answer here as PostgreSQL would?
    Listener(Target),
}

/// Asks `/readyz`, or `/livez`, at `http_listen`; where that is unset, whether
/// clients are answered.
///
/// # Errors
/// Why it is not well, or why that cannot be told.
pub(super) fn ask(named: Option<&Path>, live: bool) -> Result<(), String> {
    let page = if live { "/livez" } else { "/readyz" };
    let question = match std::env::var(OVERRIDE) {
        Ok(address) if named.is_none() && !address.is_empty() => {
            Question::Page(reachable(&address), page)
        }
        _ => {
            let loaded = locate(named, &|path| path.is_file()).load();
            // One line: it is shown as the state of a container.
            let first = |why: String| why.lines().next().unwrap_or_default().to_owned();
            let loaded = loaded.map_err(first)?;
            question(&loaded.config.general, page)?
        }
    };
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("pgweave: cannot ask: {error}"))?;
    let answer = runtime.block_on(async { timeout(PATIENCE, question.put()).await });
    // A name that is still looked up does not hold up the end.
    runtime.shutdown_background();
    match answer {
        Ok(Ok(())) => Ok(()),
        Ok(Err(why)) => Err(format!("pgweave: {question}: {why}")),
        Err(_) => Err(format!("pgweave: {question}: no answer in time")),
    }
}

fn question(general: &General, page: &'static str) -> Result<Question, String> {
    if let Some(address) = &general.http_listen {
        return Ok(Question::Page(reachable(address), page));
    }
    let port = general.listen_port;
    if port == 0 {
        return Err("pgweave: without http_listen it needs a listen_port".to_owned());
    }
    let directory = general.unix_socket_dir.as_deref().and_then(Path::to_str);
    let host = general.listen_addr.first().map(String::as_str);
    let target = match (host, directory) {
        (Some("*"), _) => Target::new("127.0.0.1", port),
        (Some(host), _) => Target::new(&loopback(host), port),
        (None, Some(directory)) => Target::new(directory, port),
        (None, None) => return Err("pgweave: there is no address to ask at".to_owned()),
    };
    Ok(Question::Listener(target))
}

/// Where a process that listens at this address and port is reached.
fn reachable(address: &str) -> String {
    match address.parse::<SocketAddr>() {
        Ok(parsed) => {
            let host = loopback(&parsed.ip().to_string());
            match parsed {
                SocketAddr::V4(_) => format!("{host}:{}", parsed.port()),
                SocketAddr::V6(_) => format!("[{host}]:{}", parsed.port()),
            }
        }
        Err(_) => address.to_owned(),
    }
}

/// Nobody is reached at "every address".
fn loopback(host: &str) -> String {
    match host.parse() {
        Ok(std::net::IpAddr::V4(ip)) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.to_string(),
        Ok(std::net::IpAddr::V6(ip)) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.to_string(),
        _ => host.to_owned(),
    }
}

impl std::fmt::Display for Question {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Question::Page(address, page) => write!(f, "http://{address}{page}"),
            Question::Listener(target) => target.fmt(f),
        }
    }
}

impl Question {
    async fn put(&self) -> Result<(), String> {
        let answered = match self {
            Question::Page(address, page) => match TcpStream::connect(address).await {
                Ok(stream) => read_page(stream, page).await,
                Err(error) => Err(error),
            },
            Question::Listener(Target::Tcp(host, port)) => {
                match TcpStream::connect((host.as_str(), *port)).await {
                    Ok(stream) => ask_for_tls(stream).await,
                    Err(error) => Err(error),
                }
            }
            Question::Listener(Target::Unix(path)) => match UnixStream::connect(path).await {
                Ok(stream) => ask_for_tls(stream).await,
                Err(error) => Err(error),
            },
        };
        answered.map_err(|error| error.to_string())?
    }
}

/// Outside what went wrong on the way, inside what was answered.
type Answer = std::io::Result<Result<(), String>>;

async fn read_page(mut stream: impl AsyncRead + AsyncWrite + Unpin, page: &str) -> Answer {
    let request = format!("GET {page} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut head = [0; GOOD.len()];
    stream.read_exact(&mut head).await?;
    let said = String::from_utf8_lossy(&head);
    Ok(match head == *GOOD {
        true => Ok(()),
        false => Err(format!("answers {:?}", said.trim_end())),
    })
}

/// An SSLRequest is answered with one byte, before any login.
async fn ask_for_tls(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Answer {
    stream.write_all(&ssl_request()).await?;
    Ok(match stream.read_u8().await? {
        b'S' | b'N' => Ok(()),
        _ => Err("answers as PostgreSQL would not".to_owned()),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn of(change: impl FnOnce(&mut General)) -> Result<String, String> {
        let mut general = General::default();
        change(&mut general);
        question(&general, "/readyz").map(|question| question.to_string())
    }

    #[test]
    fn it_asks_over_http_where_there_is_that() {
        for (given, asked) in [
            ("127.0.0.1:9127", "http://127.0.0.1:9127/readyz"),
            ("0.0.0.0:9127", "http://127.0.0.1:9127/readyz"),
            ("[::]:9127", "http://[::1]:9127/readyz"),
            ("[fd00::1]:9127", "http://[fd00::1]:9127/readyz"),
            ("localhost:9127", "http://localhost:9127/readyz"),
        ] {
            let told = of(|general| general.http_listen = Some(given.to_owned()));
            assert_eq!(told.unwrap(), asked, "{given}");
        }
    }

    #[test]
    fn else_where_clients_come() {
        assert_eq!(of(|_| ()).unwrap(), "127.0.0.1:6432");
        for (given, asked) in [("*", "127.0.0.1:6432"), ("0.0.0.0", "127.0.0.1:6432")] {
            let told = of(|general| general.listen_addr = vec![given.to_owned()]);
            assert_eq!(told.unwrap(), asked, "{given}");
        }
        let socket = of(|general| {
            general.listen_addr.clear();
            general.unix_socket_dir = Some("/run/pgweave".into());
        });
        assert_eq!(socket.unwrap(), "/run/pgweave/.s.PGSQL.6432");
        assert!(of(|general| general.listen_addr.clear()).is_err());
        assert!(of(|general| general.listen_port = 0).is_err());
    }

    #[tokio::test]
    async fn only_what_is_good_is_taken_for_good() {
        for (answer, is_good) in [
            ("HTTP/1.1 200 OK\r\n\r\n", true),
            ("HTTP/1.1 503 Service Unavailable\r\n\r\n", false),
            ("SSH-2.0-something", false),
            ("HTTP", false),
            ("", false),
        ] {
            let (mine, mut theirs) = tokio::io::duplex(256);
            theirs.write_all(answer.as_bytes()).await.unwrap();
            theirs.shutdown().await.unwrap();
            let told = read_page(mine, "/readyz").await;
            assert_eq!(matches!(told, Ok(Ok(()))), is_good, "{answer}");
        }
        for (answer, is_good) in [("S", true), ("N", true), ("E", false), ("", false)] {
            let (mine, mut theirs) = tokio::io::duplex(256);
            theirs.write_all(answer.as_bytes()).await.unwrap();
            theirs.shutdown().await.unwrap();
            let told = ask_for_tls(mine).await;
            assert_eq!(matches!(told, Ok(Ok(()))), is_good, "{answer}");
        }
    }
}
