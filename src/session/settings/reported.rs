//! The parameters that a client knows from ParameterStatus.

use std::sync::Arc;

/// Names and values as a server reported them when it was opened.
pub type Greeting = Arc<[(String, String)]>;

/// Name and value.
type Parameter = (Box<[u8]>, Box<[u8]>);

/// What a client was told last: what it was greeted with, and what has changed
/// since. A server connection that was another client's reports how it gets
/// from that one's settings to this one's; the client hears only what is new
/// to it (`protocol-flow.html#PROTOCOL-ASYNC`).
#[derive(Debug)]
pub struct Reported {
    greeting: Greeting,
    /// Most clients hear of nothing.
    #[allow(clippy::box_collection)]
    since: Option<Box<Vec<Parameter>>>,
}

impl Reported {
    /// As it was greeted.
    #[must_use]
    pub fn new(greeting: Greeting) -> Self {
        Self {
            greeting,
            since: None,
        }
    }

    /// What it was greeted with, and what it was told since.
    pub fn known(&self) -> (&Greeting, impl Iterator<Item = (&[u8], &[u8])>) {
        let since = self.since.as_deref().into_iter().flatten();
        (
            &self.greeting,
            since.map(|(name, value)| (&**name, &**value)),
        )
    }

    /// A server reports a parameter: is that news to the client? Then it is
    /// from now on what it knows.
    pub fn is_news(&mut self, name: &[u8], value: &[u8]) -> bool {
        let mut since = self.since.as_deref_mut().into_iter().flatten();
        if let Some((_, known)) = since.find(|(other, _)| **other == *name) {
            let news = **known != *value;
            if news {
                *known = value.into();
            }
            return news;
        }
        let greeted = |(other, known): &(String, String)| {
            other.as_bytes() == name && known.as_bytes() == value
        };
        if self.greeting.iter().any(greeted) {
            return false;
        }
        let since = self.since.get_or_insert_default();
        since.push((name.into(), value.into()));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_new_is_told() {
        let greeting: Greeting = [("DateStyle".to_owned(), "ISO, MDY".to_owned())].into();
        let mut reported = Reported::new(greeting);
        assert!(!reported.is_news(b"DateStyle", b"ISO, MDY"));
        assert!(reported.is_news(b"DateStyle", b"German"));
        assert!(!reported.is_news(b"DateStyle", b"German"));
        assert!(reported.is_news(b"DateStyle", b"ISO, MDY"));
        assert!(reported.is_news(b"in_hot_standby", b"on"));
    }
}
