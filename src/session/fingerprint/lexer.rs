//! Where literals, names and comments begin and end in a text of SQL.

use std::ops::Range;

use crate::session::sql::{end_of_comment, is_identifier};

/// It is not sure what is a literal.
pub(super) struct InDoubt;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A keyword or a name.
    Word,
    /// A name in quotes.
    Quoted,
    /// A literal or a parameter.
    Literal,
    /// One character of an operator or of what stands between.
    Sign,
}

/// What it is, where it stands, and whether blanks or a comment stand before it.
pub(super) type Token = (Kind, Range<usize>, bool);

/// Walks over a text.
pub(super) struct Lexer<'a> {
    text: &'a [u8],
    at: usize,
    is_whole: bool,
}

impl<'a> Lexer<'a> {
    /// Over this text, which may have been cut off.
    pub fn of(text: &'a [u8], is_whole: bool) -> Self {
        Self {
            text,
            at: 0,
            is_whole,
        }
    }

    fn byte(&self, at: usize) -> u8 {
        self.text.get(at).copied().unwrap_or(0)
    }

    /// What begins here has no end.
    fn open_end<T>(&self, cut: T) -> Result<T, InDoubt> {
        // Where the text was cut that is no wonder.
        (!self.is_whole).then_some(cut).ok_or(InDoubt)
    }

    /// The next token; none at the end.
    pub fn next(&mut self) -> Result<Option<Token>, InDoubt> {
        let before = self.at;
        self.skip_blank()?;
        let (from, is_apart) = (self.at, self.at > before);
        if from >= self.text.len() {
            return Ok(None);
        }
        let (kind, end) = self.token(from)?;
        self.at = end;
        Ok(Some((kind, from..end, is_apart)))
    }

    fn skip_blank(&mut self) -> Result<(), InDoubt> {
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            let length = match rest {
                [b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c, ..] => 1,
                [b'-', b'-', ..] => {
                    let end = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
                    end.unwrap_or(rest.len())
                }
                [b'/', b'*', ..] => match end_of_comment(rest) {
                    Some(length) => length,
                    None => self.open_end(rest.len())?,
                },
                _ => return Ok(()),
            };
            self.at += length;
        }
    }

    /// What begins here, and where it ends.
    fn token(&self, from: usize) -> Result<(Kind, usize), InDoubt> {
        let next = self.byte(from + 1);
        match self.byte(from) {
            b'\'' => Ok((Kind::Literal, self.string(from)?)),
            b'"' => Ok((Kind::Quoted, self.quoted(from)?)),
            b'$' if next.is_ascii_digit() => Ok((Kind::Literal, self.run(from + 1))),
            b'$' => Ok((Kind::Literal, self.dollars(from)?)),
            b'0'..=b'9' => Ok((Kind::Literal, self.number(from))),
            b'.' if next.is_ascii_digit() => Ok((Kind::Literal, self.number(from))),
            byte if is_identifier(byte) => self.word(from),
            b'+' | b'-' | b'*' | b'/' | b'<' | b'>' | b'=' | b'~' | b'!' | b'@' | b'#' | b'%'
            | b'^' | b'&' | b'|' | b'`' | b'?' | b':' | b';' | b',' | b'.' | b'(' | b')' | b'['
            | b']' => Ok((Kind::Sign, from + 1)),
            _ => Err(InDoubt),
        }
    }

    /// Where letters, digits and the like end.
    fn run(&self, from: usize) -> usize {
        let rest = self.text.get(from..).unwrap_or_default();
        from + rest.iter().take_while(|byte| is_identifier(**byte)).count()
    }

    fn number(&self, from: usize) -> usize {
        let mut end = from;
        loop {
            end = self.run(end);
            let is_exponent = matches!(self.byte(end.saturating_sub(1)), b'e' | b'E')
                && matches!(self.byte(end), b'+' | b'-')
                && self.byte(end + 1).is_ascii_digit();
            match self.byte(end) {
                b'.' => end += 1,
                _ if is_exponent => end += 1,
                _ => return end,
            }
        }
    }

    fn word(&self, from: usize) -> Result<(Kind, usize), InDoubt> {
        let end = self.run(from);
        let word = self.text.get(from..end).unwrap_or_default();
        match (word, self.byte(end), self.byte(end + 1)) {
            (b"e" | b"E", b'\'', _) => Ok((Kind::Literal, self.escaped(end)?)),
            (b"b" | b"B" | b"x" | b"X" | b"n" | b"N", b'\'', _) => {
                Ok((Kind::Literal, self.string(end)?))
            }
            (b"u" | b"U", b'&', b'\'') => Ok((Kind::Literal, self.string(end + 1)?)),
            (b"u" | b"U", b'&', b'"') => Ok((Kind::Quoted, self.quoted(end + 1)?)),
            _ => Ok((Kind::Word, end)),
        }
    }

    /// The end of `'...'`. Whether a backslash means something in it is a setting,
    /// and where a string goes on in another line, a matter of what stands before.
    fn string(&self, quote: usize) -> Result<usize, InDoubt> {
        let mut at = quote + 1;
        loop {
            match (self.byte(at), self.byte(at + 1)) {
                _ if at >= self.text.len() => return self.open_end(at),
                (b'\\', b'\'') => return Err(InDoubt),
                (b'\'', b'\'') => at += 2,
                (b'\'', _) => return Ok(at + 1),
                _ => at += 1,
            }
        }
    }

    /// The end of `E'...'`.
    fn escaped(&self, quote: usize) -> Result<usize, InDoubt> {
        let mut at = quote + 1;
        loop {
            match (self.byte(at), self.byte(at + 1)) {
                _ if at >= self.text.len() => return self.open_end(self.text.len()),
                // In some encodings a backslash is the second byte of a character.
                (0x80.., b'\\') => return Err(InDoubt),
                (b'\\', _) | (b'\'', b'\'') => at += 2,
                (b'\'', _) => return Ok(at + 1),
                _ => at += 1,
            }
        }
    }

    fn quoted(&self, quote: usize) -> Result<usize, InDoubt> {
        let mut at = quote + 1;
        loop {
            match (self.byte(at), self.byte(at + 1)) {
                _ if at >= self.text.len() => return self.open_end(at),
                (b'"', b'"') => at += 2,
                (b'"', _) => return Ok(at + 1),
                _ => at += 1,
            }
        }
    }

    /// The end of `$tag$...$tag$`.
    fn dollars(&self, from: usize) -> Result<usize, InDoubt> {
        let rest = self.text.get(from..).unwrap_or_default();
        let is_tag = |byte: &u8| is_identifier(*byte) && *byte != b'$';
        let tag = 1 + rest.iter().skip(1).take_while(|byte| is_tag(byte)).count();
        if rest.get(tag) != Some(&b'$') {
            return match tag == rest.len() {
                true => self.open_end(self.text.len()),
                false => Err(InDoubt),
            };
        }
        let (delimiter, body) = rest.split_at(tag + 1);
        let mut ends = body.windows(delimiter.len());
        match ends.position(|end| end == delimiter) {
            Some(at) => Ok(from + delimiter.len() + at + delimiter.len()),
            None => self.open_end(self.text.len()),
        }
    }
}
