//! What stands behind a name in `[databases]`, `[users]` and `[peers]`:
//! `key=value`, separated by blanks.

use crate::config::unquoted;

/// The pairs, in their order. A value may stand in single quotes, one within
/// them doubled; an empty one is refused, as by PgBouncer.
pub(super) fn pairs(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut pairs = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (key, behind) = rest
            .split_once('=')
            .ok_or_else(|| format!("{rest:?} is not key=value"))?;
        let key = key.trim_end();
        if key.is_empty() || key.contains(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
            return Err(format!("{key:?} is no key"));
        }
        let (value, behind) = value(behind.trim_start(), key)?;
        pairs.push((key.to_owned(), value));
        rest = behind.trim_start();
    }
    Ok(pairs)
}

fn value<'t>(text: &'t str, key: &str) -> Result<(String, &'t str), String> {
    let (value, rest) = match text.strip_prefix('\'') {
        Some(quoted) => {
            unquoted(quoted, '\'').ok_or_else(|| format!("{key}: has no closing quote"))?
        }
        None => {
            let end = text.find(char::is_whitespace).unwrap_or(text.len());
            let (value, rest) = text.split_at(end);
            (value.to_owned(), rest)
        }
    };
    match value.is_empty() {
        true => Err(format!("{key}: is empty")),
        false => Ok((value, rest)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn values_may_be_quoted() {
        let found = pairs("host=db port = 5432  password='it''s a \"secret\"' user='a b'").unwrap();
        let found: Vec<_> = found
            .iter()
            .map(|(k, v)| (k.as_str(), v.as_str()))
            .collect();
        let expected = [
            ("host", "db"),
            ("port", "5432"),
            ("password", "it's a \"secret\""),
            ("user", "a b"),
        ];
        assert_eq!(found, expected);
        assert!(pairs("").unwrap().is_empty());
    }

    #[test]
    fn what_is_no_pair_is_refused() {
        for wrong in [
            "host", "host=", "host=''", "host='a", "=a", "a-b=c", "host=a b",
        ] {
            assert!(pairs(wrong).is_err(), "{wrong}");
        }
    }
}
