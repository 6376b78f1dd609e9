//! `${VAR}` and `${VAR:-default}` inside a text.

use super::Sources;
use super::given::Refusal;

/// Puts variables in. A lone `$` is itself, `$${` is a literal `${`: SCRAM
/// verifiers and passwords hold dollars.
pub(super) fn substitute(text: &str, sources: &Sources<'_>) -> Result<String, Refusal> {
    let mut whole = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        if let Some(before) = before.strip_suffix('$') {
            whole.push_str(before);
            whole.push_str("${");
            rest = after;
            continue;
        }
        whole.push_str(before);
        let (inside, behind) = after.split_once('}').ok_or_else(|| {
            Refusal::new("holds \"${\" without \"}\"")
                .suggesting("a literal \"${\" is written \"$${\"")
        })?;
        whole.push_str(&lookup(inside, sources)?);
        rest = behind;
    }
    whole.push_str(rest);
    Ok(whole)
}

/// The value of `VAR` or `VAR:-default`.
fn lookup(inside: &str, sources: &Sources<'_>) -> Result<String, Refusal> {
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Err(
            Refusal::new("holds \"${...}\" without a variable's name in it")
                .suggesting("a literal \"${\" is written \"$${\""),
        );
    }
    sources
        .var(name)
        .or_else(|| default.map(str::to_owned))
        .ok_or_else(|| {
            Refusal::new(format!("the environment variable {name} is not set"))
                .suggesting(format!("set it, or write ${{{name}:-default}}"))
        })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn put_in(text: &str) -> Result<String, Refusal> {
        let env = |name: &str| match name {
            "HOST" => Some("db1".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        let read_file = |_: &std::path::Path| Err(std::io::ErrorKind::NotFound.into());
        substitute(
            text,
            &Sources {
                try_tls: &|_| Vec::new(),
                try_logins: &|_| Vec::new(),
                env: &env,
                read_file: &read_file,
            },
        )
    }

    #[test]
    fn variables_are_put_in_wherever_they_stand() {
        assert_eq!(put_in("${HOST}").unwrap(), "db1");
        assert_eq!(put_in("a.${HOST}.b.${HOST}").unwrap(), "a.db1.b.db1");
        assert_eq!(
            put_in("${NONE:-x}${EMPTY:-y}${HOST:-z}${NONE:-}").unwrap(),
            "xydb1"
        );
    }

    #[test]
    fn a_dollar_that_opens_nothing_is_itself() {
        assert_eq!(
            put_in("SCRAM-SHA-256$4096:a$b:c").unwrap(),
            "SCRAM-SHA-256$4096:a$b:c"
        );
        assert_eq!(put_in("$${HOST} $$ }").unwrap(), "${HOST} $$ }");
    }

    #[test]
    fn a_variable_that_is_not_set_is_named() {
        let refusal = put_in("${NONE}").unwrap_err();
        assert!(refusal.what.contains("NONE"));
        assert_eq!(
            refusal.suggestion.as_deref(),
            Some("set it, or write ${NONE:-default}")
        );
        assert!(put_in("${EMPTY}").is_err());
    }

    #[test]
    fn a_brace_left_open_or_without_a_name_is_refused() {
        assert!(put_in("${HOST").is_err());
        assert!(put_in("${}").is_err());
        assert!(put_in("${a b}").is_err());
    }
}
