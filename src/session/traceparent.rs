//! Which span of a trace a text belongs to, by a comment in it:
//! `/*traceparent='00-TRACE-SPAN-FLAGS'*/`, as sqlcommenter writes it
//! (w3.org, Trace Context).

/// The key, and how its value begins.
const KEY: &[u8] = b"traceparent='";

/// So much of a text's beginning, and of its end, is looked at.
const LOOKED_AT: usize = 1024;

/// Bytes of `VERSION-TRACE-SPAN-FLAGS`.
const LENGTH: usize = 55;

/// Where the two identities stand in it.
const TRACE: std::ops::Range<usize> = 3..35;
const SPAN: std::ops::Range<usize> = 36..52;
#[cfg(feature = "otel")]
const FLAGS: std::ops::Range<usize> = 53..55;

/// A span, and the trace that it is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceParent([u8; LENGTH]);

impl TraceParent {
    /// What a text says; none if it says nothing, or nothing valid. Most often it
    /// stands at the end.
    #[must_use]
    pub fn of(text: &[u8]) -> Option<Self> {
        let end = text.get(text.len().saturating_sub(LOOKED_AT)..)?;
        let rest = text.len() - end.len();
        let start = text.get(..rest.min(LOOKED_AT)).unwrap_or_default();
        Self::within(end).or_else(|| Self::within(start))
    }

    fn within(part: &[u8]) -> Option<Self> {
        // Most texts hold no comment: that is soon seen.
        let opens = part.windows(2).position(|pair| pair == b"/*")?;
        let found = part.get(opens..)?;
        let at = found.windows(KEY.len()).position(|word| word == KEY)?;
        let before = found.get(..at)?;
        let last = |pair: &[u8; 2]| before.windows(2).rposition(|two| two == pair);
        let is_comment = last(b"/*") > last(b"*/");
        let value = found.get(at + KEY.len()..).filter(|_| is_comment)?;
        Self::parse(value)
    }

    /// A value, with what stands behind it.
    fn parse(value: &[u8]) -> Option<Self> {
        let (head, behind) = value.split_first_chunk::<LENGTH>()?;
        let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let is_right = head.iter().enumerate().all(|(at, byte)| match at {
            2 | 35 | 52 => *byte == b'-',
            _ => is_hex(*byte),
        });
        // Versions to come may say more behind that.
        let ends = match (head, behind.first()) {
            ([b'f', b'f', ..], _) => false,
            (_, Some(b'\'')) => true,
            ([b'0', b'0', ..], _) => false,
            (_, Some(b'-')) => true,
            _ => false,
        };
        let told = Self(*head);
        let is_zero = |id: &str| id.bytes().all(|byte| byte == b'0');
        let is_told = is_right && ends && !is_zero(told.trace_id()) && !is_zero(told.span_id());
        is_told.then_some(told)
    }

    /// Trace and span as bytes, and whether that span is told of.
    #[cfg(feature = "otel")]
    #[must_use]
    pub fn as_bytes(&self) -> ([u8; 16], [u8; 8], bool) {
        let bits = |part: &str| u128::from_str_radix(part, 16).unwrap_or_default();
        let span = u64::from_str_radix(self.span_id(), 16).unwrap_or_default();
        let is_sampled = bits(self.part(FLAGS)) & 1 != 0;
        (
            bits(self.trace_id()).to_be_bytes(),
            span.to_be_bytes(),
            is_sampled,
        )
    }

    /// The trace: 32 digits.
    #[must_use]
    pub fn trace_id(&self) -> &str {
        self.part(TRACE)
    }

    /// The span: 16 digits.
    #[must_use]
    pub fn span_id(&self) -> &str {
        self.part(SPAN)
    }

    fn part(&self, range: std::ops::Range<usize>) -> &str {
        let bytes = self.0.get(range).unwrap_or_default();
        std::str::from_utf8(bytes).unwrap_or_default()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    const VALUE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn found(text: &str) -> Option<(String, String)> {
        let found = TraceParent::of(text.as_bytes())?;
        Some((found.trace_id().to_owned(), found.span_id().to_owned()))
    }

    #[test]
    fn a_comment_tells_the_trace_and_the_span() {
        let ids = (
            "0af7651916cd43dd8448eb211c80319c".to_owned(),
            "b7ad6b7169203331".to_owned(),
        );
        let long = "x".repeat(100_000);
        for text in [
            format!("SELECT 1 /*traceparent='{VALUE}'*/"),
            format!("/* traceparent='{VALUE}' */ SELECT 1"),
            format!("SELECT 1 /*db_driver='x',traceparent='{VALUE}',tracestate='a%3D1'*/"),
            format!("/* a */ SELECT 1 /*traceparent='{VALUE}'*/;\0\0\0"),
            format!("SELECT '{long}' /*traceparent='{VALUE}'*/"),
            format!("/*traceparent='{VALUE}'*/ SELECT '{long}'"),
            format!("/*traceparent='{}-more'*/", VALUE.replacen("00", "01", 1)),
        ] {
            assert_eq!(found(&text).as_ref(), Some(&ids), "{:.80}", text);
        }
    }

    #[test]
    fn what_is_not_valid_or_no_comment_tells_nothing() {
        let long = "x".repeat(2000);
        for text in [
            String::new(),
            "/*".to_owned(),
            "/*traceparent='".to_owned(),
            format!("SELECT traceparent='{VALUE}'"),
            format!("/* a */ SELECT traceparent='{VALUE}'"),
            format!("/*traceparent='{VALUE}"),
            format!("/*traceparent='{VALUE}-more'*/"),
            format!("/*traceparent=\"{VALUE}\"*/"),
            format!("/*traceparent='{}'*/", VALUE.to_uppercase()),
            format!("/*traceparent='{}'*/", VALUE.replacen("00", "ff", 1)),
            format!("/*traceparent='{}'*/", VALUE.replace('-', "_")),
            format!("/*traceparent='{}'*/", &VALUE[..54]),
            format!("/*traceparent='00-{:032}-b7ad6b7169203331-01'*/", 0),
            format!(
                "/*traceparent='00-0af7651916cd43dd8448eb211c80319c-{:016}-01'*/",
                0
            ),
            format!("SELECT '{long}' /*traceparent='{VALUE}'*/, '{long}'"),
        ] {
            assert_eq!(found(&text), None, "{:.80}", text);
        }
        // Cut anywhere, and with any byte for any other.
        let text = format!("/*traceparent='{VALUE}'*/");
        for at in 0..text.len() {
            let _ = TraceParent::of(&text.as_bytes()[..at]);
            let mut spoilt = text.clone().into_bytes();
            spoilt[at] = 0xff;
            assert!(TraceParent::of(&spoilt).is_none_or(|_| at > 70), "{at}");
        }
    }
}
