//! Sends one request, and hears whether it was taken.

use http_body_util::{BodyExt, Full, Limited};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::plan::Target;

/// An answer is read to its end, if that comes before so many bytes.
const LONGEST: usize = 64 * 1024;

/// Posts JSON.
///
/// # Errors
/// Why it was not taken, without what was sent.
///
/// # Cancel safety
/// Dropped before its end, it may have been taken.
pub(super) async fn post(target: &Target, body: String) -> Result<(), String> {
    match timeout(target.timeout, sent(target, body)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(format!("nothing was heard for {:?}", target.timeout)),
    }
}

async fn sent(target: &Target, body: String) -> Result<(), String> {
    let endpoint = &target.endpoint;
    let stream = TcpStream::connect((endpoint.host.as_str(), endpoint.port))
        .await
        .map_err(|error| error.to_string())?;
    let mut request = Request::post(&endpoint.path)
        .header(HOST, format!("{}:{}", endpoint.host, endpoint.port))
        .header(CONTENT_TYPE, "application/json");
    for (name, value) in &target.headers {
        request = request.header(name, value);
    }
    let request = request
        .body(Full::new(Bytes::from(body)))
        .map_err(|_| "a header cannot be sent".to_owned())?;
    let words = |error: hyper::Error| error.to_string();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(words)?;
    let exchange = async {
        let answer = sender.send_request(request).await.map_err(words)?;
        let status = answer.status();
        let _ = Limited::new(answer.into_body(), LONGEST).collect().await;
        match status.is_success() {
            true => Ok(()),
            false => Err(format!("it answers {status}")),
        }
    };
    // Both in this task: nothing goes on when it is dropped.
    tokio::pin!(exchange);
    tokio::select! {
        outcome = &mut exchange => outcome,
        ended = connection => match ended {
            Ok(()) => exchange.await,
            Err(error) => Err(error.to_string()),
        },
    }
}
