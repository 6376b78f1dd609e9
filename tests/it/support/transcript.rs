//! Frames as text, with what differs from connection to connection masked,
//! so that two runs of one script can be compared line by line.

use std::fmt::{self, Display, Write};

use super::frames::Frame;

/// What one client saw, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Transcript {
    lines: Vec<String>,
}

impl Transcript {
    /// A line that tells what was done, equal in every run.
    pub fn note(&mut self, text: &str) {
        self.lines.push(format!("-- {text}"));
    }

    /// A frame that came; `database` is masked.
    pub fn frame(&mut self, frame: &Frame, database: &str) {
        self.lines.push(render(frame).replace(database, "DATABASE"));
    }

    /// The frames of a startup. The order of ParameterStatus is not a promise
    /// of PostgreSQL, so these are sorted.
    pub fn greeting(&mut self, frames: &[Frame], database: &str) {
        let (mut status, other): (Vec<&Frame>, Vec<&Frame>) =
            frames.iter().partition(|frame| frame.tag == b'S');
        status.sort_by(|a, b| a.body.cmp(&b.body));
        for frame in status.into_iter().chain(other) {
            self.frame(frame, database);
        }
    }

    /// The other side closed the connection.
    pub fn end(&mut self) {
        self.lines.push("END OF CONNECTION".into());
    }

    /// The first difference with its surroundings; `None` when equal.
    pub fn difference(&self, other: &Self, names: (&str, &str)) -> Option<String> {
        if self == other {
            return None;
        }
        let common = self
            .lines
            .iter()
            .zip(&other.lines)
            .take_while(|(a, b)| a == b)
            .count();
        let mut text = String::new();
        for line in &self.lines[common.saturating_sub(6)..common] {
            let _ = writeln!(text, "          {line}");
        }
        for (name, lines) in [(names.0, &self.lines), (names.1, &other.lines)] {
            for line in lines.iter().skip(common).take(8) {
                let _ = writeln!(text, "{name:>8}: {line}");
            }
            let _ = writeln!(text, "{name:>8}: ({} lines in all)", lines.len());
        }
        Some(text)
    }
}

impl Display for Transcript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines
            .iter()
            .try_for_each(|line| writeln!(f, "  {line}"))
    }
}

/// One frame of the backend as text.
pub fn render(frame: &Frame) -> String {
    let body = &frame.body;
    match frame.tag {
        b'1' => "ParseComplete".into(),
        b'2' => "BindComplete".into(),
        b'3' => "CloseComplete".into(),
        b'A' => format!(
            "NotificationResponse {}",
            printable(body.get(4..).unwrap_or_default())
        ),
        b'c' => "CopyDone".into(),
        b'C' => format!("CommandComplete {}", printable(body)),
        b'd' => format!("CopyData {}", printable(body)),
        b'D' => format!("DataRow {}", columns(frame)),
        b'E' => format!("ErrorResponse {}", report(frame)),
        b'G' => format!("CopyInResponse {body:?}"),
        b'H' => format!("CopyOutResponse {body:?}"),
        b'W' => format!("CopyBothResponse {body:?}"),
        b'I' => "EmptyQueryResponse".into(),
        b'K' => format!("BackendKeyData of {} bytes", body.len()),
        b'n' => "NoData".into(),
        b'N' => format!("NoticeResponse {}", report(frame)),
        b'R' => format!("Authentication {}", printable(&body[..4.min(body.len())])),
        b's' => "PortalSuspended".into(),
        b'S' => format!("ParameterStatus {}", printable(body)),
        b't' => format!("ParameterDescription {body:?}"),
        b'T' => format!("RowDescription {}", row_description(body)),
        b'v' => format!("NegotiateProtocolVersion {}", printable(body)),
        b'V' => format!("FunctionCallResponse {}", printable(body)),
        b'Z' => format!("ReadyForQuery {}", printable(body)),
        tag => format!("UNKNOWN {:?} {}", tag as char, printable(body)),
    }
}

/// Fields without the place in the server's source, which says nothing to an
/// application.
fn report(frame: &Frame) -> String {
    let mut text = String::new();
    for (kind, value) in frame.fields() {
        if !matches!(kind, b'F' | b'L' | b'R') {
            let _ = write!(text, "{}={value} ", kind as char);
        }
    }
    text
}

fn columns(frame: &Frame) -> String {
    let column = |value: Option<Vec<u8>>| value.map_or("NULL".into(), |bytes| printable(&bytes));
    frame
        .columns()
        .into_iter()
        .map(column)
        .collect::<Vec<_>>()
        .join(" | ")
}

/// Object ids above those of a fresh cluster depend on what ran before.
fn stable_oid(bytes: &[u8]) -> String {
    let oid = u32::from_be_bytes(bytes.try_into().unwrap());
    if oid < 16_384 {
        oid.to_string()
    } else {
        "OID".into()
    }
}

fn row_description(body: &[u8]) -> String {
    let mut text = String::new();
    let mut rest = body.get(2..).unwrap_or_default();
    while let Some(end) = rest.iter().position(|b| *b == 0) {
        let (name, tail) = rest.split_at(end);
        let fixed = &tail[1..19];
        let _ = write!(text, "{}", printable(name));
        let _ = write!(
            text,
            "(table {} type {} ",
            stable_oid(&fixed[..4]),
            stable_oid(&fixed[6..10])
        );
        let _ = write!(text, "{:?} {:?}) ", &fixed[4..6], &fixed[10..]);
        rest = &tail[19..];
    }
    text
}

/// Bytes as text; a long value as its length and a checksum with both ends.
fn printable(bytes: &[u8]) -> String {
    if bytes.len() <= 300 {
        return bytes.escape_ascii().to_string();
    }
    let sum = bytes.iter().fold(17_u64, |sum, b| {
        sum.wrapping_mul(31).wrapping_add(u64::from(*b))
    });
    let (head, tail) = (&bytes[..20], &bytes[bytes.len() - 20..]);
    format!(
        "{}…{} ({} bytes, sum {sum:x})",
        head.escape_ascii(),
        tail.escape_ascii(),
        bytes.len()
    )
}
