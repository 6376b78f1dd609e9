//! Quoted text, as files of PgBouncer's have it.

/// From behind an opening quote: what stands before the closing one, and what
/// behind it. A quote within is doubled. Room for all of it is taken at once, so
/// that no copy of a secret is left behind by growing.
pub(crate) fn unquoted(text: &str, quote: char) -> Option<(String, &str)> {
    let mut unquoted = String::with_capacity(text.len());
    let mut rest = text;
    loop {
        let (before, behind) = rest.split_once(quote)?;
        unquoted.push_str(before);
        match behind.strip_prefix(quote) {
            Some(more) => {
                unquoted.push(quote);
                rest = more;
            }
            None => return Some((unquoted, behind)),
        }
    }
}
