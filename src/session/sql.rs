//! The few SQL commands that name prepared statements
//! (`sql-prepare.html`, `sql-execute.html`, `sql-deallocate.html`).

use std::ops::Range;

/// What such a command does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// `PREPARE name ...`
    Prepare,
    /// `[EXPLAIN ...] EXECUTE name ...`
    Execute,
    /// `DEALLOCATE [PREPARE] name`, and nothing after it.
    Deallocate,
}

/// A command that names a statement.
#[derive(Debug, PartialEq, Eq)]
pub struct Call {
    /// What it does.
    pub verb: Verb,
    /// Where the name stands in the text, quotes included.
    pub at: Range<usize>,
    /// The name as PostgreSQL understands it: folded, or unquoted.
    pub name: Vec<u8>,
}

/// Longest identifier in bytes; PostgreSQL cuts longer ones.
const NAMEDATALEN: usize = 64;

/// The statement name in a text that is one such command; `None` for all else,
/// for `DEALLOCATE ALL`, and where the name is not certain.
#[must_use]
pub fn statement_call(text: &[u8]) -> Option<Call> {
    let start = skip_blank(text, 0)?;
    let (verb, after) = match text.get(start)? | 0x20 {
        b'p' => (Verb::Prepare, keyword(text, start, b"prepare")?),
        b'e' => (Verb::Execute, execute_keyword(text, start)?),
        b'd' => (Verb::Deallocate, keyword(text, start, b"deallocate")?),
        _ => return None,
    };
    let mut from = skip_blank(text, after)?;
    if verb == Verb::Deallocate
        && let Some(after) = keyword(text, from, b"prepare")
    {
        from = skip_blank(text, after)?;
    }
    let (at, name, is_plain) = identifier(text, from)?;
    let reserved: &[u8] = if verb == Verb::Prepare {
        b"transaction"
    } else {
        b"all"
    };
    if is_plain && name == reserved {
        return None;
    }
    // More than one command: which of them fails is for PostgreSQL to find out.
    let rest = text.get(at.end..).unwrap_or_default();
    let ends = match verb {
        Verb::Deallocate => rest
            .iter()
            .all(|byte| byte.is_ascii_whitespace() || *byte == b';'),
        Verb::Prepare | Verb::Execute => {
            let rest = rest.trim_ascii_end();
            !rest.strip_suffix(b";").unwrap_or(rest).contains(&b';')
        }
    };
    ends.then_some(Call { verb, at, name })
}

/// Where EXECUTE ends, which EXPLAIN and its options may stand before.
fn execute_keyword(text: &[u8], at: usize) -> Option<usize> {
    let Some(after) = keyword(text, at, b"explain") else {
        return keyword(text, at, b"execute");
    };
    let mut at = skip_blank(text, after)?;
    if text.get(at) == Some(&b'(') {
        let options = text.get(at..)?.iter().position(|byte| *byte == b')')?;
        at = skip_blank(text, at + options + 1)?;
    }
    for option in [&b"analyze"[..], b"verbose"] {
        if let Some(after) = keyword(text, at, option) {
            at = skip_blank(text, after)?;
        }
    }
    keyword(text, at, b"execute")
}

/// The index of the first byte that is neither blank nor comment.
fn skip_blank(text: &[u8], mut at: usize) -> Option<usize> {
    loop {
        let rest = text.get(at..)?;
        if rest.starts_with(b"--") {
            at += rest.iter().position(|byte| *byte == b'\n')? + 1;
        } else if rest.starts_with(b"/*") {
            at += end_of_comment(rest)?;
        } else if rest.first()?.is_ascii_whitespace() {
            at += 1;
        } else {
            return Some(at);
        }
    }
}

/// Length of the comment, which may hold others, at the start of `text`.
pub(super) fn end_of_comment(text: &[u8]) -> Option<usize> {
    let (mut depth, mut at) = (0_u32, 0);
    loop {
        match text.get(at..at + 2)? {
            b"/*" => (depth, at) = (depth + 1, at + 2),
            b"*/" if depth == 1 => return Some(at + 2),
            b"*/" => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
}

/// Where the keyword at `at` ends, if it is that one.
fn keyword(text: &[u8], at: usize, word: &[u8]) -> Option<usize> {
    let end = at + word.len();
    let found = text.get(at..end)?.eq_ignore_ascii_case(word);
    let ends = text.get(end).is_none_or(|byte| !is_identifier(*byte));
    (found && ends).then_some(end)
}

fn identifier(text: &[u8], at: usize) -> Option<(Range<usize>, Vec<u8>, bool)> {
    let rest = text.get(at..)?;
    let (length, mut name, is_plain) = if rest.first() == Some(&b'"') {
        let (length, name) = quoted(rest)?;
        (length, name, false)
    } else {
        let length = rest.iter().take_while(|byte| is_identifier(**byte)).count();
        let name = rest.get(..length)?;
        // How other letters fold depends on the server's encoding and locale.
        if name.is_empty() || name.first()?.is_ascii_digit() || !name.is_ascii() {
            return None;
        }
        (length, name.to_ascii_lowercase(), true)
    };
    if name.len() >= NAMEDATALEN && !name.is_ascii() {
        return None;
    }
    name.truncate(NAMEDATALEN - 1);
    Some((at..at + length, name, is_plain))
}

fn quoted(text: &[u8]) -> Option<(usize, Vec<u8>)> {
    let mut name = Vec::new();
    let mut at = 1;
    loop {
        match (text.get(at)?, text.get(at + 1)) {
            (b'"', Some(b'"')) => {
                name.push(b'"');
                at += 2;
            }
            (b'"', _) => return (!name.is_empty()).then_some((at + 1, name)),
            (byte, _) => {
                name.push(*byte);
                at += 1;
            }
        }
    }
}

/// Can an identifier go on with this byte?
pub(super) fn is_identifier(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Option<(Verb, String, String)> {
        let call = statement_call(text.as_bytes())?;
        let at = text.get(call.at).unwrap_or_default().to_owned();
        Some((
            call.verb,
            String::from_utf8(call.name).unwrap_or_default(),
            at,
        ))
    }

    #[test]
    fn names_are_found_and_folded() {
        let cases = [
            ("DEALLOCATE s1", Verb::Deallocate, "s1", "s1"),
            (" deallocate  prepare S1 ; ", Verb::Deallocate, "s1", "S1"),
            (
                "/* a /* b */ */ DEALLOCATE \"Q\"\"x\"",
                Verb::Deallocate,
                "Q\"x",
                "\"Q\"\"x\"",
            ),
            ("-- x\nEXECUTE s1(4)", Verb::Execute, "s1", "s1"),
            ("execute s1;", Verb::Execute, "s1", "s1"),
            (
                "EXPLAIN (VERBOSE, FORMAT JSON) EXECUTE s1(NULL)",
                Verb::Execute,
                "s1",
                "s1",
            ),
            (
                "explain analyze verbose execute s1",
                Verb::Execute,
                "s1",
                "s1",
            ),
            ("PREPARE q (int) AS SELECT $1", Verb::Prepare, "q", "q"),
            ("EXECUTE \"all\"", Verb::Execute, "all", "\"all\""),
        ];
        for (text, verb, name, at) in cases {
            assert_eq!(
                found(text),
                Some((verb, name.to_owned(), at.to_owned())),
                "{text}"
            );
        }
    }

    #[test]
    fn all_else_is_left_alone() {
        for text in [
            "",
            "SELECT 1",
            "END",
            "DEALLOCATE ALL",
            "DEALLOCATE PREPARE ALL",
            "DEALLOCATE",
            "PREPARE TRANSACTION 'x'",
            "DEALLOCATE s1; SELECT 1",
            "EXECUTE s1; SELECT 1",
            "EXECUTE 1",
            "EXPLAIN SELECT 1",
            "EXPLAIN (ANALYZE",
            "deallocates x",
            "DEALLOCATE \"\"",
            "DEALLOCATE \"open",
        ] {
            assert_eq!(found(text), None, "{text}");
        }
    }

    #[test]
    fn long_names_are_cut_as_postgresql_cuts_them() {
        let text = format!("DEALLOCATE {}", "a".repeat(100));
        assert_eq!(found(&text).map(|(_, name, _)| name.len()), Some(63));
    }
}
