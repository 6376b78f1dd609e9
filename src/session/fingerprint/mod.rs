//! What a text of SQL is without its literals: to be shown in a log, and told from
//! others by a number.
//!
//! Literals never come through. Where it is not sure which part of a text is one
//! (it has no end, or its end hangs on a setting or an encoding that is not known
//! here) nothing is shown, and only what stands before that is counted.
//! See `sql-syntax-lexical.html`.

mod lexer;

use std::ops::Range;

use self::lexer::{InDoubt, Kind, Lexer, Token};

/// So much of a text is shown, in bytes.
const SHOWN: usize = 500;

/// A text without its literals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint {
    /// Equal for texts that differ in literals, comments, blanks, the lengths of
    /// lists and the case of words only. The same in each release.
    pub number: u64,
    /// Each literal and parameter as `?`, and a list of them as one; cut where it is
    /// long. None where literals are not sure to be gone.
    pub text: Option<String>,
}

/// Of a text; where that is not all of it (`is_whole`), of as much as there is.
#[must_use]
pub fn fingerprint(text: &[u8], is_whole: bool) -> Fingerprint {
    let (valid, mut is_sure) = match std::str::from_utf8(text) {
        Ok(valid) => (valid, true),
        Err(error) => {
            let head = text.get(..error.valid_up_to()).unwrap_or_default();
            // A character that was cut in two is no doubt.
            let is_cut = !is_whole && error.error_len().is_none();
            (std::str::from_utf8(head).unwrap_or_default(), is_cut)
        }
    };
    let mut lexer = Lexer::of(valid.as_bytes(), is_whole && is_sure);
    let mut normal = Normal::new(valid);
    loop {
        match lexer.next() {
            Ok(Some((kind, at, is_apart))) => normal.push(kind, at, is_apart),
            Ok(None) => break,
            Err(InDoubt) => {
                is_sure = false;
                break;
            }
        }
    }
    normal.trim();
    Fingerprint {
        number: normal.number(),
        text: is_sure.then(|| normal.shown(is_whole)),
    }
}

/// Where a `SET` stands, whose values may be plain words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Setting {
    /// A statement begins.
    Start,
    /// One in which `SET` gives settings values.
    May,
    /// What it was about has come, values may.
    Name,
    /// Values.
    Value,
    /// None.
    No,
}

/// The tokens of a text as they are counted and shown.
struct Normal<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    setting: Setting,
}

impl<'a> Normal<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            text,
            tokens: Vec::new(),
            setting: Setting::Start,
        }
    }

    fn push(&mut self, kind: Kind, at: Range<usize>, is_apart: bool) {
        let kind = self.follow_setting(kind, &at);
        match kind {
            Kind::Literal => self.push_literal(at, is_apart),
            // One more row of a list of rows.
            Kind::Sign if self.is(&at, ")") && self.ends_with("(?),(?") => {
                self.tokens.truncate(self.tokens.len() - 3);
            }
            _ => self.tokens.push((kind, at, is_apart)),
        }
    }

    fn push_literal(&mut self, at: Range<usize>, is_apart: bool) {
        let mut is_apart = is_apart;
        // Its own sign, not an operator between two.
        let signs = ["(-", "(+", ",-", ",+", "=-", "=+", "<-", "<+", ">-", ">+"];
        if signs.iter().any(|signs| self.ends_with(signs))
            && let Some((_, _, sign_apart)) = self.tokens.pop()
        {
            is_apart |= sign_apart;
        }
        match self.ends_with("?,") {
            true => drop(self.tokens.pop()),
            false => self.tokens.push((Kind::Literal, at, is_apart)),
        }
    }

    /// Values that are plain words are literals as well: `SET key TO value`.
    fn follow_setting(&mut self, kind: Kind, at: &Range<usize>) -> Kind {
        let is_word = |word: &str| kind == Kind::Word && self.of(at).eq_ignore_ascii_case(word);
        let is_sign = |sign: &str| kind == Kind::Sign && self.is(at, sign);
        let next = match self.setting {
            _ if is_sign(";") => Setting::Start,
            Setting::Start if is_word("set") => Setting::Name,
            Setting::Start if is_word("alter") || is_word("create") => Setting::May,
            Setting::Start => Setting::No,
            Setting::May if is_word("set") => Setting::Name,
            Setting::Name if is_word("to") || is_sign("=") => Setting::Value,
            same => same,
        };
        let was = std::mem::replace(&mut self.setting, next);
        match kind {
            Kind::Word | Kind::Quoted if was == Setting::Value => Kind::Literal,
            kind => kind,
        }
    }

    fn of(&self, at: &Range<usize>) -> &'a str {
        self.text.get(at.clone()).unwrap_or_default()
    }

    fn is(&self, at: &Range<usize>, sign: &str) -> bool {
        self.of(at) == sign
    }

    /// Are these signs, with `?` for a literal, the last tokens?
    fn ends_with(&self, signs: &str) -> bool {
        let mut tokens = self.tokens.iter().rev();
        signs.bytes().rev().all(|sign| {
            tokens.next().is_some_and(|(kind, at, _)| match kind {
                Kind::Literal => sign == b'?',
                // The operator of that name is no literal.
                Kind::Sign => sign != b'?' && self.of(at).as_bytes() == [sign],
                Kind::Word | Kind::Quoted => false,
            })
        })
    }

    /// Without semicolons at the end.
    fn trim(&mut self) {
        while self.ends_with(";") {
            self.tokens.pop();
        }
    }

    /// FNV-1a, of 64 bits.
    fn number(&self) -> u64 {
        let mut number = 0xcbf2_9ce4_8422_2325_u64;
        let mut eat = |byte: u8| {
            number = (number ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        };
        for (kind, at, _) in &self.tokens {
            match kind {
                Kind::Literal => eat(0),
                Kind::Quoted | Kind::Sign => self.of(at).bytes().for_each(&mut eat),
                Kind::Word => self
                    .of(at)
                    .bytes()
                    .for_each(|byte| eat(byte.to_ascii_lowercase())),
            }
            eat(b' ');
        }
        number
    }

    fn shown(&self, is_whole: bool) -> String {
        let mut shown = String::new();
        for (kind, at, is_apart) in &self.tokens {
            let token = match kind {
                Kind::Literal => "?",
                Kind::Word | Kind::Quoted | Kind::Sign => self.of(at),
            };
            if shown.len() + token.len() + 1 > SHOWN {
                shown.push_str(" ...");
                return shown;
            }
            if *is_apart && !shown.is_empty() {
                shown.push(' ');
            }
            shown.push_str(token);
        }
        if !is_whole {
            shown.push_str(" ...");
        }
        shown
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(text: &str) -> Option<String> {
        fingerprint(text.as_bytes(), true).text
    }

    fn number(text: &str) -> u64 {
        fingerprint(text.as_bytes(), true).number
    }

    /// Every way to write a literal that shall not be seen, `SECRET` in it; or a
    /// number of which 4711 is one.
    const LITERALS: [&str; 30] = [
        "'SECRET'",
        "'it''s SECRET'",
        "'--SECRET'",
        "'/*SECRET'",
        "'$SECRET'",
        "'\"SECRET\"'",
        "'a\\b SECRET'",
        "'SECRET \u{e9}\u{20ac}'",
        "'a'\n'SECRET'",
        "E'SECRET'",
        "e'\\'SECRET'",
        "E'\\\\\\' SECRET'",
        "E'it''s \\'SECRET\\\\'",
        "U&'\\0041 SECRET'",
        "u&'d!0061t SECRET' UESCAPE '!'",
        "N'SECRET'",
        "n'SECRET'",
        "B'4711'",
        "x'4711'",
        "$$SECRET$$",
        "$$it's 'SECRET$$",
        "$a$ $$SECRET$$ $b$SECRET$b$ $a$",
        "$\u{e9}_1$SECRET$\u{e9}_1$",
        "4711",
        "-4711",
        "4711.5e-4711",
        ".4711e+4711",
        "0x4711",
        "47_11.4711",
        "DATE'SECRET'",
    ];

    fn leaks(text: &str) -> bool {
        ["SECRET", "4711", "47_11", "secret"]
            .iter()
            .any(|secret| text.contains(secret))
    }

    #[test]
    fn no_literal_comes_through() {
        for literal in LITERALS {
            for (before, after) in [
                ("SELECT ", ""),
                ("SELECT a,", ",b FROM t"),
                ("SELECT f(", ")"),
                ("INSERT INTO t VALUES (1, ", ", 'x')"),
                ("select * from t where a=", " AND b = 'x'"),
                ("/* SECRET ' */ SELECT -- SECRET '\n ", "/*/* SECRET */'*/"),
                ("ALTER ROLE a PASSWORD ", ";"),
            ] {
                let text = format!("{before}{literal}{after}");
                let told = shown(&text);
                assert!(told.is_some(), "{text}");
                assert!(!leaks(&told.unwrap_or_default()), "{text}");
            }
        }
    }

    #[test]
    fn what_is_not_sure_is_not_shown() {
        for text in [
            "SELECT 'SECRET",
            "SELECT E'SECRET\\'",
            "SELECT $a$SECRET$b$",
            "SELECT $a SECRET",
            "SELECT \"SECRET",
            "SELECT 1 /* SECRET",
            "SELECT 1 /* /* SECRET */",
            // By another standard_conforming_strings, or as the second line of E''.
            "SELECT 'a\\' SECRET, 'b'",
            "SELECT E'a'\n'b\\' SECRET, 'c'",
            // The second byte of a character, or a backslash.
            "SELECT E'\u{c1}\\' SECRET, 'b'",
            "SELECT \\SECRET",
            "SELECT {SECRET}",
            "SELECT \0 SECRET",
        ] {
            assert_eq!(shown(text), None, "{text}");
        }
        let of_bytes = |text: &[u8]| fingerprint(text, true).text;
        assert_eq!(of_bytes(b"SELECT '\xe9'"), None);
        // What cannot be told from a literal has no part in the number.
        assert_eq!(number("SELECT a, 'SECRET"), number("SELECT a, 'other"));
    }

    #[test]
    fn values_of_settings_are_literals_though_they_are_words() {
        for (text, expected) in [
            ("SET app.token TO SECRET", "SET app.token TO ?"),
            (
                "set local app.token = SECRET, \"SECRET\"",
                "set local app.token = ?",
            ),
            (
                "SELECT 1; SET a = SECRET; SELECT b",
                "SELECT ?; SET a = ?; SELECT b",
            ),
            (
                "ALTER ROLE r SET app.token TO SECRET",
                "ALTER ROLE r SET app.token TO ?",
            ),
            ("UPDATE t SET a = b", "UPDATE t SET a = b"),
            ("SET ROLE r", "SET ROLE r"),
        ] {
            assert_eq!(shown(text).as_deref(), Some(expected));
        }
    }

    #[test]
    fn a_text_is_shown_as_it_was_written_but_for_that() {
        for (text, expected) in [
            ("", ""),
            (" ; ", ""),
            ("SELECT  1 ;", "SELECT ?"),
            (
                "SELECT a.b, t.\"C\"  FROM t\n",
                "SELECT a.b, t.\"C\" FROM t",
            ),
            ("SELECT $1::int4, x$1", "SELECT ?::int4, x$1"),
            (
                "SELECT a1, _2, t3.c4 FROM t5",
                "SELECT a1, _2, t3.c4 FROM t5",
            ),
            ("WHERE a IN (1, 2,$3 , 'x')", "WHERE a IN (?)"),
            ("WHERE a IN (-1, +2)", "WHERE a IN (?)"),
            ("VALUES (1,'a'), (2, 'b'),(3,'c')", "VALUES (?)"),
            (
                "VALUES (1, now()), (2, now())",
                "VALUES (?, now()), (?, now())",
            ),
            ("a - 1", "a - ?"),
            ("a-1, b -1", "a-?, b -?"),
            ("a[1]-1", "a[?]-?"),
            ("d ? 'k' AND d ?| $1", "d ? ? AND d ?| ?"),
            ("a->>'b' @> c", "a->>? @> c"),
            ("SELECT/**/1", "SELECT ?"),
            ("COPY t FROM STDIN", "COPY t FROM STDIN"),
            ("DO $$BEGIN END$$", "DO ?"),
            ("SELECT U&\"a\"", "SELECT U&\"a\""),
            ("SELECT somee'x'", "SELECT somee?"),
        ] {
            assert_eq!(shown(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn texts_that_differ_in_literals_only_have_one_number() {
        for (one, other) in [
            (
                "SELECT * FROM t WHERE a = 1",
                "select  * from T where a='x' ;",
            ),
            ("SELECT 1", "/* app:1 */ SELECT\n-- one\n $1"),
            ("SELECT a IN (1)", "SELECT a IN (1, 2, 3)"),
            ("VALUES (1, 2)", "VALUES (1, 2), (3, 4)"),
            ("SELECT a=-1", "SELECT a = 1"),
        ] {
            assert_eq!(number(one), number(other), "{one} {other}");
        }
        for (one, other) in [
            ("SELECT a", "SELECT b"),
            ("SELECT \"a\"", "SELECT \"A\""),
            ("SELECT a b", "SELECT ab"),
            ("SELECT 1", "SELECT 1, a"),
            ("SELECT ?", "SELECT 1"),
        ] {
            assert_ne!(number(one), number(other), "{one} {other}");
        }
        // The same in each release.
        assert_eq!(number("SELECT 1"), 0x6c8a_d91a_c87b_c1af);
    }

    #[test]
    fn a_long_text_is_cut_and_one_that_was_cut_is_shown_so_far() {
        let text = format!("SELECT {}", "abcdefghi, ".repeat(1_000));
        let told = shown(&text).unwrap_or_default();
        assert!(told.len() <= SHOWN + 4 && told.ends_with(" ..."), "{told}");
        for cut in [
            "'SECRET",
            "E'SEC\\",
            "$a$SECRET",
            "$",
            "$a",
            "/* SECRET",
            "12",
            "\u{e9}",
        ] {
            let text = format!("SELECT a, {cut}");
            let told = fingerprint(text.as_bytes(), false).text.unwrap_or_default();
            assert!(
                told.starts_with("SELECT a,") && told.ends_with(" ..."),
                "{told}"
            );
            assert!(!told.contains("SEC"), "{told}");
        }
        let half = fingerprint(b"SELECT a, \xe2\x82", false).text;
        assert_eq!(half.as_deref(), Some("SELECT a, ..."));
    }

    proptest! {
        #[test]
        fn no_literal_comes_through_wherever_it_stands(
            parts in prop::collection::vec(
                prop_oneof![
                    prop::sample::select(LITERALS.to_vec()),
                    prop::sample::select(vec![
                        "a", "_b1", "\"c\"\"d\"", ",", "(", ")", "::", "-", "->>", "/* ' */",
                        "-- '\n", "IN", "e", "u&\"x\"", "=", ";", "?", "set", "select", "\n",
                    ]),
                ],
                0..30,
            ),
            cut in any::<prop::sample::Index>(),
        ) {
            let text = parts.join(" ");
            let whole = fingerprint(text.as_bytes(), true);
            prop_assert!(!leaks(&whole.text.unwrap_or_default()), "{text}");
            // Wherever it is cut: what is left of a literal is one still.
            let part = text.as_bytes().get(..cut.index(text.len() + 1)).unwrap_or_default();
            let told = fingerprint(part, false).text.unwrap_or_default();
            prop_assert!(!told.contains("SEC") && !told.contains("47"), "{text}");
        }

        #[test]
        fn any_bytes_are_taken(text in prop::collection::vec(any::<u8>(), 0..200), is_whole: bool) {
            let told = fingerprint(&text, is_whole);
            prop_assert!(told.text.unwrap_or_default().len() <= SHOWN + 4);
        }
    }
}
