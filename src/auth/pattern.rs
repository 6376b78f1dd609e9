//! The regular expressions that begin with a slash in pg_hba.conf and
//! pg_ident.conf (`auth-pg-hba-conf.html`, `auth-username-maps.html`).
//!
//! PostgreSQL has a dialect of its own (`functions-matching.html
//! #POSIX-SYNTAX-DETAILS`), and the crate that runs them here another. What both
//! read alike is taken, everything else refused: a rule that means something
//! else than its author thinks is worse than none. One difference is left, and
//! shows in `\1` alone: where a text matches in several ways, `(a|ab)` takes the
//! first branch here and the longest there.
//!
//! Matching takes time in proportion to pattern and text, whatever they are.

use std::iter::Peekable;
use std::str::Chars;

use regex_lite::{Regex, RegexBuilder};

/// The most memory that a compiled pattern may take, in bytes.
const MAX_PATTERN_BYTES: usize = 1 << 20;

const OPEN_BRACKET: &str = "a [ in the regular expression has no ]";

/// A regular expression, not anchored.
#[derive(Debug, Clone)]
pub(super) struct Pattern(Regex);

impl Pattern {
    /// Reads what stands behind the slash; the error says what is wrong.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("the regular expression behind / is empty".to_owned());
        }
        refuse_other_meanings(text)?;
        RegexBuilder::new(text)
            .dot_matches_new_line(true)
            .size_limit(MAX_PATTERN_BYTES)
            .build()
            .map(Self)
            .map_err(|error| format!("not a regular expression that pgweave knows: {error}"))
    }

    /// Does some part of the text match?
    pub(super) fn matches(&self, text: &str) -> bool {
        self.0.is_match(text)
    }

    /// What `\1` stands for: none when the text does not match, or the group
    /// takes no part in that.
    pub(super) fn first_group<'t>(&self, text: &'t str) -> Option<&'t str> {
        let group = self.0.captures(text)?.get(1)?;
        Some(group.as_str())
    }

    /// Is there a `(..)` that `\1` could stand for?
    pub(super) fn has_group(&self) -> bool {
        self.0.captures_len() > 1
    }
}

/// What stands before a character, as far as a quantifier asks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    /// Nothing that can be repeated.
    Edge,
    Atom,
    Quantifier,
}

fn refuse_other_meanings(text: &str) -> Result<(), String> {
    let mut chars = text.chars().peekable();
    let mut before = Before::Edge;
    while let Some(c) = chars.next() {
        before = match c {
            '\\' => escape(chars.next())?,
            '[' => bracket(&mut chars)?,
            '(' => group(&mut chars)?,
            '^' | '$' | '|' => Before::Edge,
            '*' | '+' | '?' => quantifier(before)?,
            '{' => bound(&mut chars, before)?,
            _ => Before::Atom,
        };
    }
    Ok(())
}

fn escape(escaped: Option<char>) -> Result<Before, String> {
    match escaped {
        Some('d' | 'D' | 'w' | 'W' | 's' | 'S' | 'n' | 't' | 'r' | 'f' | 'v') => Ok(Before::Atom),
        Some('A') => Ok(Before::Edge),
        Some(c) if c.is_ascii_punctuation() && !matches!(c, '<' | '>') => Ok(Before::Atom),
        Some(c) => Err(format!(
            "pgweave does not support \\{c} in a regular expression"
        )),
        None => Err("the regular expression ends with a backslash".to_owned()),
    }
}

/// From behind `[` to behind its `]`.
fn bracket(chars: &mut Peekable<Chars<'_>>) -> Result<Before, String> {
    chars.next_if_eq(&'^');
    chars.next_if_eq(&']');
    while let Some(c) = chars.next() {
        match c {
            ']' => return Ok(Before::Atom),
            '\\' => {
                escape(chars.next())?;
            }
            '[' if chars.peek() == Some(&':') => class(chars)?,
            '[' => return Err(unsupported_in_brackets("[")),
            '&' | '~' | '-' if chars.peek() == Some(&c) => {
                return Err(unsupported_in_brackets(&format!("{c}{c}")));
            }
            _ => {}
        }
    }
    Err(OPEN_BRACKET.to_owned())
}

/// From behind the first bracket of `[:alpha:]` to behind its last. What is no
/// class is told when the pattern is compiled, but for `[:^alpha:]`, which is
/// one here alone.
fn class(chars: &mut Peekable<Chars<'_>>) -> Result<(), String> {
    for c in chars.by_ref() {
        match c {
            ']' => return Ok(()),
            '^' => return Err(unsupported_in_brackets("[:^")),
            _ => {}
        }
    }
    Err(OPEN_BRACKET.to_owned())
}

fn unsupported_in_brackets(what: &str) -> String {
    format!("pgweave does not support {what} within [] in a regular expression")
}

fn group(chars: &mut Peekable<Chars<'_>>) -> Result<Before, String> {
    if chars.next_if_eq(&'?').is_some() && chars.next_if_eq(&':').is_none() {
        return Err(
            "of the groups that begin with (? pgweave supports (?: alone in a regular expression"
                .to_owned(),
        );
    }
    Ok(Before::Edge)
}

fn quantifier(before: Before) -> Result<Before, String> {
    match before {
        Before::Atom => Ok(Before::Quantifier),
        Before::Edge => {
            Err("a quantifier in the regular expression has nothing to repeat".to_owned())
        }
        Before::Quantifier => Err(
            "pgweave does not support a quantifier behind a quantifier in a regular expression"
                .to_owned(),
        ),
    }
}

/// `{n}`, `{n,}` or `{n,m}`, from behind `{`.
fn bound(chars: &mut Peekable<Chars<'_>>, before: Before) -> Result<Before, String> {
    if !chars.peek().is_some_and(char::is_ascii_digit) {
        return Err(
            "a { in the regular expression must be escaped unless a number follows".to_owned(),
        );
    }
    for c in chars.by_ref() {
        match c {
            '}' => return quantifier(before),
            ',' | '0'..='9' => {}
            _ => break,
        }
    }
    Err("a { in the regular expression has no }".to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_both_dialects_read_alike_matches() {
        let rows = [
            ("^app_[0-9]+$", "app_12", true),
            ("^app_[0-9]+$", "app_x", false),
            ("app", "my_app_1", true),
            ("^(a|b)$", "b", true),
            ("^a.c$", "a\nc", true),
            ("^[[:alpha:]]+$", "abc", true),
            ("^[[:alpha:]]+$", "ab1", false),
            ("^[]a]+$", "]a", true),
            ("^[^]a]+$", "bc", true),
            (r"^\w{2,3}$", "ab", true),
            (r"^\w{2,3}$", "abcd", false),
            (r"^a\.b$", "a.b", true),
            (r"^a\.b$", "axb", false),
            (r"^[\w.]+$", "a.b", true),
            ("^(?:ab)*$", "abab", true),
            ("^(:a)$", ":a", true),
            ("^(:*)$", "::", true),
            ("^Ab$", "ab", false),
            (r"^\w$", "é", false),
        ];
        for (pattern, text, expected) in rows {
            let found = Pattern::parse(pattern).unwrap().matches(text);
            assert_eq!(found, expected, "{pattern} {text}");
        }
    }

    #[test]
    fn what_the_dialects_read_differently_is_refused() {
        let rows = [
            "",
            "***=a",
            "a**",
            "a*?",
            "a+?",
            "a{2}?",
            "^*",
            "(*a)",
            "|*",
            r"\bx",
            r"\mx",
            r"\yx",
            r"\Bx",
            r"\<x",
            r"\x41",
            r"\u0041",
            r"(a)\1",
            "(?i)a",
            "(?=a)",
            "(?P<x>a)",
            "(?<x>a)",
            "a{,3}",
            "a{x",
            "a{2",
            "{2}",
            "[a",
            "[[a]]",
            "[a&&b]",
            "[a--b]",
            "[a~~b]",
            "[[.a.]]",
            "[[=a=]]",
            "[[:nix:]]",
            "[[:^alpha:]]",
            "[[:a",
            "(",
            ")",
            "a\\",
            "a{3000}{3000}",
            "((a{255}){255}){255}",
        ];
        for pattern in rows {
            assert!(Pattern::parse(pattern).is_err(), "{pattern}");
        }
    }

    #[test]
    fn the_first_group_is_found() {
        let pattern = Pattern::parse(r"^(.*)@example\.com$").unwrap();
        assert!(pattern.has_group());
        assert_eq!(pattern.first_group("ann@example.com"), Some("ann"));
        assert_eq!(pattern.first_group("ann@example.org"), None);
        let pattern = Pattern::parse("^(x)?y$").unwrap();
        assert_eq!(pattern.first_group("y"), None);
        assert!(!Pattern::parse("^(?:x)y$").unwrap().has_group());
    }
}
