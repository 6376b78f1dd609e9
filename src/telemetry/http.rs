//! The few pages that there are, and who may see them.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE,
};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use subtle::ConstantTimeEq;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::aside::aside;
use super::sight::{LogCounts, Sight};
use super::{metrics, status};
use crate::proxy::House;

/// Connections at a time; who comes beyond waits to be accepted.
const CONNECTIONS: usize = 64;

/// How long a request may take to arrive, and a connection to idle.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a connection may last in all.
const LIFETIME: Duration = Duration::from_secs(600);

/// Who does not turn for so long is not alive.
const STUCK: Duration = Duration::from_secs(5);

/// After a failed accept, for want of file descriptors for instance.
const PAUSE: Duration = Duration::from_millis(100);

/// What the pages tell of.
pub struct Telemetry {
    house: Arc<House>,
    started: Instant,
    is_ending: Box<IsEnding>,
    log: Box<LogOutcome>,
    /// What serves queries.
    serving: Handle,
    /// One at a time looks around: more would only take cores from queries.
    turn: Semaphore,
}

/// Is the process about to end?
pub(super) type IsEnding = dyn Fn() -> bool + Send + Sync;

/// What has come of lines of the log?
pub(super) type LogOutcome = dyn Fn() -> LogCounts + Send + Sync;

type Page = Response<Full<Bytes>>;

impl Telemetry {
    /// Of this house, which begins now, and is served by the runtime of this thread.
    #[must_use]
    pub fn new(house: Arc<House>, is_ending: Box<IsEnding>, log: Box<LogOutcome>) -> Arc<Self> {
        Arc::new(Self {
            house,
            started: Instant::now(),
            is_ending,
            log,
            serving: Handle::current(),
            turn: Semaphore::new(1),
        })
    }

    async fn answer<B>(self: &Arc<Self>, request: &Request<B>) -> Page {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut page = plain(StatusCode::METHOD_NOT_ALLOWED, "GET or HEAD\n");
            page.headers_mut()
                .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return page;
        }
        match request.uri().path() {
            "/livez" if self.is_alive().await => plain(StatusCode::OK, "alive\n"),
            "/livez" => plain(StatusCode::SERVICE_UNAVAILABLE, "stuck\n"),
            "/readyz" if (self.is_ending)() => {
                plain(StatusCode::SERVICE_UNAVAILABLE, "about to end\n")
            }
            "/readyz" => plain(StatusCode::OK, "ready\n"),
            "/metrics" | "/status" if !self.is_let_in(request) => {
                let mut page = plain(StatusCode::UNAUTHORIZED, "a bearer token is needed\n");
                let how = HeaderValue::from_static("Bearer");
                page.headers_mut().insert(WWW_AUTHENTICATE, how);
                page
            }
            "/metrics" => {
                let text = self
                    .look(|sight| metrics::text(sight).unwrap_or_default())
                    .await;
                page(StatusCode::OK, metrics::CONTENT_TYPE, text)
            }
            "/status" => {
                let text = self
                    .look(|sight| format!("{:#}\n", status::json(&sight)))
                    .await;
                page(StatusCode::OK, "application/json", text)
            }
            _ => plain(
                StatusCode::NOT_FOUND,
                "/metrics, /status, /livez and /readyz\n",
            ),
        }
    }

    /// Do the threads that serve queries turn?
    async fn is_alive(&self) -> bool {
        let turns = self.serving.spawn(async {});
        timeout(STUCK, turns).await.is_ok()
    }

    /// Looks around and tells of it on a thread that waits for nothing.
    async fn look(self: &Arc<Self>, tell: fn(Sight) -> String) -> String {
        let _turn = self.turn.acquire().await;
        let this = Arc::clone(self);
        let told = tokio::task::spawn_blocking(move || {
            let is_ending = (this.is_ending)();
            tell(Sight::of(
                &this.house,
                this.started,
                is_ending,
                (this.log)(),
            ))
        });
        told.await.unwrap_or_default()
    }

    fn is_let_in<B>(&self, request: &Request<B>) -> bool {
        let config = self.house.config();
        let Some(token) = &config.general.http_token else {
            return true;
        };
        let shown = request.headers().get(AUTHORIZATION);
        let shown = shown.and_then(|shown| shown.as_bytes().strip_prefix(b"Bearer "));
        shown.is_some_and(|shown| shown.ct_eq(token.expose().as_bytes()).into())
    }
}

fn plain(status: StatusCode, text: &'static str) -> Page {
    page(status, "text/plain; charset=utf-8", text)
}

fn page(status: StatusCode, kind: &'static str, text: impl Into<Bytes>) -> Page {
    let mut page = Response::new(Full::new(text.into()));
    *page.status_mut() = status;
    let headers = page.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    page
}

/// Serves the pages to whoever connects, for ever, on a thread of its own.
///
/// # Cancel safety
/// Dropped, it accepts nobody any more, and answers nobody.
pub async fn serve(telemetry: Arc<Telemetry>, listener: TcpListener) {
    let served = async {
        let listener = listener.into_std()?;
        aside("http", move || async move {
            match TcpListener::from_std(listener) {
                Ok(listener) => accept(telemetry, listener).await,
                Err(error) => tracing::error!("http: {error}"),
            }
        })
        .await
    };
    if let Err(error) = served.await {
        tracing::error!("http: {error}");
    }
}

async fn accept(telemetry: Arc<Telemetry>, listener: TcpListener) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::debug!("http: cannot accept: {error}");
                sleep(PAUSE).await;
                continue;
            }
        };
        let telemetry = Arc::clone(&telemetry);
        tokio::spawn(async move {
            let _place = place;
            let _ = timeout(LIFETIME, converse(telemetry, stream)).await;
        });
    }
}

async fn converse(telemetry: Arc<Telemetry>, stream: TcpStream) {
    let answer = |request: Request<Incoming>| {
        let telemetry = Arc::clone(&telemetry);
        async move { Ok::<_, Infallible>(telemetry.answer(&request).await) }
    };
    let mut protocol = http1::Builder::new();
    protocol
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(16 * 1024);
    let served = protocol.serve_connection(TokioIo::new(stream), service_fn(answer));
    if let Err(error) = served.await {
        tracing::debug!("http: {error}");
    }
}
