//! Lines, fields and tokens of pg_hba.conf and pg_ident.conf
//! (`auth-pg-hba-conf.html`).

use std::iter::Peekable;
use std::str::{Chars, Lines};

/// One word of a file, without its quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::auth) struct Token {
    pub text: String,
    /// It began with a quote: what it spells has no special meaning.
    pub is_quoted: bool,
}

impl Token {
    pub(in crate::auth) fn is_keyword(&self, word: &str) -> bool {
        !self.is_quoted && self.text == word
    }
}

/// The tokens of a column: one, or a list with commas. Never empty.
pub(in crate::auth) type Field = Vec<Token>;

/// The lines of a text, each with the number of its first physical line. A
/// backslash at its end joins a line to the next one, even in a comment.
pub(super) fn logical_lines(text: &str) -> LogicalLines<'_> {
    LogicalLines {
        physical: text.lines(),
        number: 0,
    }
}

pub(super) struct LogicalLines<'t> {
    physical: Lines<'t>,
    /// Of the physical line read last.
    number: usize,
}

impl Iterator for LogicalLines<'_> {
    type Item = (usize, String);

    fn next(&mut self) -> Option<Self::Item> {
        let mut line = String::new();
        let mut first = None;
        for part in self.physical.by_ref() {
            self.number += 1;
            first.get_or_insert(self.number);
            let part = part.trim_end_matches('\r');
            match part.strip_suffix('\\') {
                Some(part) => line.push_str(part),
                None => {
                    line.push_str(part);
                    break;
                }
            }
        }
        first.map(|number| (number, line))
    }
}

/// The fields of a line; none in an empty line and a comment. An unclosed quote,
/// which to PostgreSQL ends with its line, is an error: it swallows columns.
pub(super) fn fields(line: &str) -> Result<Vec<Field>, &'static str> {
    if line.contains('\0') {
        return Err("the line holds a NUL");
    }
    let mut rest = line.chars().peekable();
    let mut fields = Vec::new();
    while let Some(field) = next_field(&mut rest)? {
        fields.push(field);
    }
    Ok(fields)
}

fn next_field(rest: &mut Peekable<Chars<'_>>) -> Result<Option<Field>, &'static str> {
    let mut field = Vec::new();
    while let Some((token, goes_on)) = next_token(rest)? {
        field.push(token);
        if !goes_on {
            break;
        }
    }
    Ok((!field.is_empty()).then_some(field))
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r')
}

/// The next token, and whether a comma behind it says that its list goes on.
fn next_token(rest: &mut Peekable<Chars<'_>>) -> Result<Option<(Token, bool)>, &'static str> {
    while rest.next_if(|c| is_blank(*c) || *c == ',').is_some() {}
    let mut text = String::new();
    let mut is_quoted = false;
    let mut has_quotes = false;
    let mut goes_on = false;
    while let Some(c) = rest.next_if(|c| !is_blank(*c)) {
        match c {
            '"' => {
                is_quoted |= text.is_empty() && !has_quotes;
                has_quotes = true;
                read_quoted(rest, &mut text)?;
            }
            '#' => {
                rest.by_ref().for_each(drop);
            }
            ',' => {
                goes_on = true;
                break;
            }
            c => text.push(c),
        }
    }
    let is_there = has_quotes || !text.is_empty();
    Ok(is_there.then_some((Token { text, is_quoted }, goes_on)))
}

/// From behind a quote to behind the one that closes it.
fn read_quoted(rest: &mut Peekable<Chars<'_>>, text: &mut String) -> Result<(), &'static str> {
    while let Some(c) = rest.next() {
        if c != '"' {
            text.push(c);
        } else if rest.next_if_eq(&'"').is_some() {
            text.push('"');
        } else {
            return Ok(());
        }
    }
    Err("a double quote is not closed")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Fields with `|` between them, tokens with `,`, quoted ones in `<>`.
    fn shown(line: &str) -> String {
        let token = |token: &Token| match token.is_quoted {
            true => format!("<{}>", token.text),
            false => token.text.clone(),
        };
        let field = |field: &Field| field.iter().map(token).collect::<Vec<_>>().join(",");
        let fields = fields(line).unwrap();
        fields.iter().map(field).collect::<Vec<_>>().join("|")
    }

    #[test]
    fn a_line_is_cut_into_fields_and_tokens() {
        let rows = [
            ("", ""),
            (" \t ", ""),
            ("# a b", ""),
            ("a b\tc", "a|b|c"),
            ("a,b c", "a,b|c"),
            ("a, b  ,c d", "a,b|c|d"),
            ("a,,b c", "a,b|c"),
            (",a b", "a|b"),
            ("a,", "a"),
            ("a#b c", "a"),
            ("a,#b", "a"),
            ("\"a b\" c", "<a b>|c"),
            ("\"a,b\",c", "<a,b>,c"),
            ("\"a#b\" c", "<a#b>|c"),
            ("\"a\"\"b\" c", "<a\"b>|c"),
            ("\"\" c", "<>|c"),
            ("\"\"\"\"", "<\">"),
            ("a=\"b c\" d", "a=b c|d"),
            ("\"a\"b", "<ab>"),
            ("a\"b\"", "ab"),
            ("a\\b", "a\\b"),
            ("ä\u{a0}b", "ä\u{a0}b"),
        ];
        for (line, expected) in rows {
            assert_eq!(shown(line), expected, "{line}");
        }
    }

    #[test]
    fn an_open_quote_and_a_nul_are_errors() {
        for line in ["\"a", "a \"", "\"a\"\"", "a\"b", "a\0"] {
            assert!(fields(line).is_err(), "{line}");
        }
        assert!(fields("# \"a").is_ok());
    }

    #[test]
    fn a_backslash_at_its_end_joins_a_line_to_the_next() {
        let rows: [(&str, &[(usize, &str)]); 7] = [
            ("a\nb", &[(1, "a"), (2, "b")]),
            ("a \\\nb\nc", &[(1, "a b"), (3, "c")]),
            ("a\\\r\nb\r\n", &[(1, "ab")]),
            (
                "\n\na\\\nb\\\nc\nd",
                &[(1, ""), (2, ""), (3, "abc"), (6, "d")],
            ),
            ("# a\\\nb\nc", &[(1, "# ab"), (3, "c")]),
            ("a\\", &[(1, "a")]),
            ("a\\ \nb", &[(1, "a\\ "), (2, "b")]),
        ];
        for (text, expected) in rows {
            let lines: Vec<_> = logical_lines(text).collect();
            let lines: Vec<_> = lines.iter().map(|(n, line)| (*n, line.as_str())).collect();
            assert_eq!(lines, expected, "{text}");
        }
    }
}
