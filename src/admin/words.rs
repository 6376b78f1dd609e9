//! The words of a command: what PostgreSQL's lexer would see, as far as a
//! console needs it (`sql-syntax-lexical.html`).

/// One word of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Word {
    /// As it was written, without quotes around it.
    Plain(String),
    /// In double quotes, which make it a name.
    Name(String),
    /// In single quotes.
    Text(String),
    /// One of `= , ( )`.
    Sign(char),
}

impl Word {
    /// Is it this keyword?
    pub fn is(&self, keyword: &str) -> bool {
        matches!(self, Word::Plain(word) if word.eq_ignore_ascii_case(keyword))
    }

    /// What it says, whatever its quotes.
    pub fn text(&self) -> Option<&str> {
        match self {
            Word::Plain(text) | Word::Name(text) | Word::Text(text) => Some(text),
            Word::Sign(_) => None,
        }
    }
}

/// One command: its words, and how it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Said {
    pub words: Vec<Word>,
    pub written: String,
}

/// Takes a text apart into its commands; empty ones are left out. Quotes and
/// comments without an end reach to the end of the text.
pub(super) fn commands(text: &str) -> Vec<Said> {
    let mut all = Vec::new();
    let (mut words, mut start, mut rest) = (Vec::new(), text, text);
    loop {
        rest = skip_blanks(rest);
        let Some(first) = rest.chars().next() else {
            push(&mut all, &mut words, start);
            return all;
        };
        let after = rest.strip_prefix(first).unwrap_or_default();
        match first {
            ';' => {
                let written = start.get(..start.len() - rest.len()).unwrap_or_default();
                push(&mut all, &mut words, written);
                (start, rest) = (after, after);
            }
            '"' => rest = quoted(after, '"', |name| words.push(Word::Name(name))),
            '\'' => rest = quoted(after, '\'', |text| words.push(Word::Text(text))),
            '=' | ',' | '(' | ')' => {
                words.push(Word::Sign(first));
                rest = after;
            }
            _ => {
                let ends = [rest.find(ends_a_word), rest.find("--"), rest.find("/*")];
                let end = ends.into_iter().flatten().min().unwrap_or(rest.len());
                let (word, after) = rest.split_at(end);
                words.push(Word::Plain(word.to_owned()));
                rest = after;
            }
        }
    }
}

fn push(all: &mut Vec<Said>, words: &mut Vec<Word>, written: &str) {
    let words = std::mem::take(words);
    if !words.is_empty() {
        let written = written.trim().to_owned();
        all.push(Said { words, written });
    }
}

fn ends_a_word(letter: char) -> bool {
    letter.is_whitespace() || matches!(letter, ';' | '"' | '\'' | '=' | ',' | '(' | ')')
}

/// Reads up to the closing quote, which counts as a letter where it is doubled.
fn quoted(mut rest: &str, quote: char, take: impl FnOnce(String)) -> &str {
    let mut inner = String::new();
    loop {
        let Some((part, after)) = rest.split_once(quote) else {
            inner.push_str(rest);
            take(inner);
            return "";
        };
        inner.push_str(part);
        match after.strip_prefix(quote) {
            Some(after) => {
                inner.push(quote);
                rest = after;
            }
            None => {
                take(inner);
                return after;
            }
        }
    }
}

fn skip_blanks(mut rest: &str) -> &str {
    loop {
        rest = rest.trim_start();
        if let Some(comment) = rest.strip_prefix("--") {
            rest = comment.split_once('\n').map_or("", |(_, after)| after);
        } else if let Some(comment) = rest.strip_prefix("/*") {
            rest = after_comment(comment);
        } else {
            return rest;
        }
    }
}

/// Comments of this kind nest.
fn after_comment(mut rest: &str) -> &str {
    let mut depth = 1_u32;
    while depth > 0 {
        let (open, close) = (rest.find("/*"), rest.find("*/"));
        let (at, opens) = match (open, close) {
            (Some(open), Some(close)) if open < close => (open, true),
            (_, Some(close)) => (close, false),
            (_, None) => return "",
        };
        depth = if opens {
            depth.saturating_add(1)
        } else {
            depth - 1
        };
        rest = rest.get(at + 2..).unwrap_or_default();
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> Vec<Vec<Word>> {
        commands(text).into_iter().map(|said| said.words).collect()
    }

    fn plain(words: &[&str]) -> Vec<Word> {
        words
            .iter()
            .map(|word| Word::Plain((*word).to_owned()))
            .collect()
    }

    #[test]
    fn commands_end_with_semicolons_and_empty_ones_are_none() {
        assert_eq!(
            said("show pools; ;show\tlists"),
            [plain(&["show", "pools"]), plain(&["show", "lists"])]
        );
        assert!(said(" ; -- nothing\n /* at /* all */ */").is_empty());
        let written: Vec<_> = commands("show a ; show b")
            .into_iter()
            .map(|said| said.written)
            .collect();
        assert_eq!(written, ["show a", "show b"]);
    }

    #[test]
    fn comments_stand_for_blanks() {
        assert_eq!(
            said("show/**/ /* ; */ pools -- ;\n"),
            [plain(&["show", "pools"])]
        );
        assert_eq!(said("-- first\nshow pools"), [plain(&["show", "pools"])]);
        assert!(said("/* no end").is_empty());
    }

    #[test]
    fn quotes_keep_together_what_belongs_together() {
        let expected = vec![
            Word::Plain("pause".into()),
            Word::Name("a \"b\"; c".into()),
            Word::Text("it's".into()),
            Word::Sign('='),
        ];
        assert_eq!(said("pause \"a \"\"b\"\"; c\"'it''s'="), [expected]);
        assert_eq!(said("'no end"), [vec![Word::Text("no end".into())]]);
    }

    #[test]
    fn no_text_makes_it_panic() {
        for text in [
            "\"", "'", "''", ";;", "é;ü", "/*/", "*/", "--", "=,()", "/*é*/é",
        ] {
            for cut in 0..=text.len() {
                if let Some(part) = text.get(..cut) {
                    commands(part);
                }
            }
        }
    }
}
