//! Transactions as spans.

use super::json::{Clock, attribute, digits, framed, quoted, seconds, whole};
use crate::proxy::spans::Transaction;

/// What is posted for these.
pub(super) fn text(resource: &[(String, String)], transactions: &[Transaction]) -> String {
    let clock = Clock::read();
    let each: Vec<String> = transactions.iter().map(|one| span(one, clock)).collect();
    let signal = ["resourceSpans", "scopeSpans", "spans"];
    framed(resource, signal, &each.join(","))
}

fn span(transaction: &Transaction, clock: Clock) -> String {
    let pool = &transaction.pool;
    let settings = pool.settings();
    let served = transaction.served.unwrap_or(transaction.ended);
    let waited = served.saturating_duration_since(transaction.asked);
    let mut attributes = vec![
        attribute("db.system.name", "postgresql"),
        attribute("db.namespace", &pool.database),
        attribute("server.address", &settings.host),
        whole("server.port", settings.port.into()),
        attribute("pgweave.user", &pool.server_user),
        seconds("pgweave.wait_seconds", waited.as_secs_f64()),
        seconds("pgweave.server_seconds", transaction.busy.as_secs_f64()),
        whole("pgweave.queries", transaction.queries.into()),
    ];
    if transaction.served.is_some() {
        attributes.push(whole("pgweave.server_pid", transaction.pid.into()));
    }
    let mut status = String::from("{}");
    if let Some(code) = transaction.error {
        let code = String::from_utf8_lossy(&code);
        attributes.push(attribute("db.response.status_code", &code));
        attributes.push(attribute("error.type", &code));
        status = "{\"code\":2}".to_owned();
    }
    let parent = match transaction.parent {
        Some(parent) => format!("\"parentSpanId\":\"{}\",", digits(&parent.span)),
        None => String::new(),
    };
    // Kind 3: a client's side of a call.
    format!(
        "{{\"traceId\":\"{}\",\"spanId\":\"{}\",{parent}\"name\":{},\"kind\":3,\
         \"startTimeUnixNano\":\"{}\",\"endTimeUnixNano\":\"{}\",\"attributes\":[{}],\"status\":{status}}}",
        digits(&transaction.trace),
        digits(&transaction.span),
        quoted(&format!("transaction {}", pool.database)),
        clock.nanos(transaction.asked),
        clock.nanos(transaction.ended),
        attributes.join(","),
    )
}
