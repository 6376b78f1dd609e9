//! PgBouncer's `auth_file`: users and their secrets, a line each.
//!
//! `"user" "secret"`, a quote within them doubled. A line that begins with `;`
//! is a comment, `#` begins none; what stands behind the secret is not looked
//! at. Differs from PgBouncer: that stops at the first line that it cannot read
//! and goes on with the users before it, here each such line is a [`Mistake`].

use std::collections::HashMap;

use super::secret::ScramVerifier;
use crate::config::{Mistake, Secret, SecretForm, unquoted};

/// The longest name of a user, in bytes: PostgreSQL's own limit for names
/// (`limits.html`).
pub const MAX_NAME_BYTES: usize = 63;

/// Reads a file's text: every user's secret, or every mistake. Who is named
/// more than once has the last secret.
///
/// A secret is a password, `md5` and 32 lower-case hex digits, or a SCRAM
/// verifier ([`Secret::form`] tells which); an empty one is no password, so
/// that nobody can log in with it.
///
/// # Errors
///
/// All mistakes in the order of their lines; none holds a secret.
pub fn parse(file: &str, text: &str) -> Result<HashMap<String, Secret>, Vec<Mistake>> {
    let mut users = HashMap::new();
    let mut mistakes = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        match read_line(line) {
            Ok(Some((user, secret))) => {
                users.insert(user, secret);
            }
            Ok(None) => {}
            Err(what) => mistakes.push(Mistake {
                file: file.to_owned(),
                line: Some(number),
                key: String::new(),
                what: what.to_owned(),
                suggestion: None,
            }),
        }
    }
    if mistakes.is_empty() {
        Ok(users)
    } else {
        Err(mistakes)
    }
}

/// Nothing for an empty line and a comment.
fn read_line(line: &str) -> Result<Option<(String, Secret)>, &'static str> {
    let line = line.trim_start();
    if line.is_empty() || line.starts_with(';') {
        return Ok(None);
    }
    if line.starts_with('#') {
        return Err("a comment begins with ;");
    }
    let Some(name) = line.strip_prefix('"') else {
        return Err("the user's name must stand in double quotes");
    };
    let (user, rest) =
        unquoted(name, '"').ok_or("the user's name has no closing quote on its line")?;
    check_name(&user)?;
    let (secret, _ignored) =
        unquoted(secret_of(rest)?, '"').ok_or("the secret has no closing quote on its line")?;
    let secret = Secret::new(secret);
    check_secret(&secret)?;
    Ok(Some((user, secret)))
}

/// From behind the name's closing quote to behind the secret's opening one.
fn secret_of(rest: &str) -> Result<&str, &'static str> {
    let secret = rest.trim_start();
    if secret.is_empty() {
        return Err("the secret is missing");
    }
    match secret.strip_prefix('"') {
        Some(secret) if rest.starts_with(char::is_whitespace) => Ok(secret),
        Some(_) | None => Err("the secret must stand in double quotes, behind a blank"),
    }
}

fn check_name(name: &str) -> Result<(), &'static str> {
    if name.is_empty() {
        return Err("the user's name is empty");
    }
    if name.len() > MAX_NAME_BYTES {
        return Err("the user's name is longer than 63 bytes");
    }
    if name.contains('\0') {
        return Err("the user's name holds a NUL");
    }
    Ok(())
}

fn check_secret(secret: &Secret) -> Result<(), &'static str> {
    match secret.form() {
        SecretForm::Scram if ScramVerifier::parse(secret.expose()).is_none() => {
            Err("the secret begins as a SCRAM verifier, but is none")
        }
        SecretForm::Plain if secret.expose().contains('\0') => Err("the secret holds a NUL"),
        SecretForm::Scram | SecretForm::Md5 | SecretForm::Plain => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    const VERIFIER: &str = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==\
        $WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
    const MD5: &str = "md54a0a68b43b6cd5cf266fa02f196e2371";

    #[test]
    fn a_line_is_a_user_and_a_secret() {
        let rows = [
            (r#""ann" "pw""#, "ann", "pw", SecretForm::Plain),
            (r#""ann"   "pw" "#, "ann", "pw", SecretForm::Plain),
            (" \t\"ann\"\t\"pw\"\r\n", "ann", "pw", SecretForm::Plain),
            (
                r#""ann" "pw" "more" "fields""#,
                "ann",
                "pw",
                SecretForm::Plain,
            ),
            (r#""ann" "pw" anything"#, "ann", "pw", SecretForm::Plain),
            (r#""ann" "pw""more""#, "ann", "pw\"more", SecretForm::Plain),
            (r#""a""n" "p""w""#, "a\"n", "p\"w", SecretForm::Plain),
            (r#""""" """""#, "\"", "\"", SecretForm::Plain),
            (r#""ann" """#, "ann", "", SecretForm::Plain),
            (r#""a n" "p w;#""#, "a n", "p w;#", SecretForm::Plain),
            (r#"";ann" "pw""#, ";ann", "pw", SecretForm::Plain),
            (r#""Änn" "pä\w""#, "Änn", "pä\\w", SecretForm::Plain),
            (r#""ann" "md5abc""#, "ann", "md5abc", SecretForm::Plain),
        ];
        for (text, user, secret, form) in rows {
            let users = parse("u", text).unwrap();
            assert_eq!(users.len(), 1, "{text}");
            let found = users.get(user).unwrap_or_else(|| panic!("{text}"));
            assert_eq!((found.expose(), found.form()), (secret, form), "{text}");
        }
    }

    #[test]
    fn hashes_and_verifiers_are_told_by_their_form() {
        for (secret, form) in [(MD5, SecretForm::Md5), (VERIFIER, SecretForm::Scram)] {
            let users = parse("u", &format!("\"ann\" \"{secret}\"")).unwrap();
            let found = users.get("ann").unwrap();
            assert_eq!((found.expose(), found.form()), (secret, form));
        }
    }

    #[test]
    fn empty_lines_and_comments_are_no_users() {
        for text in ["", "\n\n", "  \t\r\n", "; \"ann\" \"pw\"", "  ;\n;"] {
            assert!(parse("u", text).unwrap().is_empty(), "{text}");
        }
    }

    #[test]
    fn the_last_of_two_lines_of_a_user_counts() {
        let users = parse("u", "\"a\" \"1\"\n\"b\" \"2\"\n\"a\" \"3\"\n").unwrap();
        assert_eq!(users.get("a").unwrap().expose(), "3");
        assert_eq!(users.len(), 2);
    }

    #[test]
    fn every_mistake_is_told_with_its_line() {
        let longest = "x".repeat(63);
        let text = format!(
            "; users\nann \"pw\"\n\"ann\n\"ann\"\n\"ann\" pw\n\"ann\"x\"pw\"\n\"ann\" \"pw\n\
             \"\" \"pw\"\n\"{longest}\" \"pw\"\n\"{longest}x\" \"pw\"\n# ann\n\
             \"ann\" \"SCRAM-SHA-256$nothing\"\n\"a\0\" \"pw\"\n\"a\" \"p\0\"\n"
        );
        let told: Vec<String> = parse("u", &text)
            .unwrap_err()
            .iter()
            .map(ToString::to_string)
            .collect();
        let expected = [
            "u:2: the user's name must stand in double quotes",
            "u:3: the user's name has no closing quote on its line",
            "u:4: the secret is missing",
            "u:5: the secret must stand in double quotes, behind a blank",
            "u:6: the secret must stand in double quotes, behind a blank",
            "u:7: the secret has no closing quote on its line",
            "u:8: the user's name is empty",
            "u:10: the user's name is longer than 63 bytes",
            "u:11: a comment begins with ;",
            "u:12: the secret begins as a SCRAM verifier, but is none",
            "u:13: the user's name holds a NUL",
            "u:14: the secret holds a NUL",
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn no_secret_is_shown() {
        let users = parse("u", "\"ann\" \"hunter2\"").unwrap();
        assert!(!format!("{users:?}").contains("hunter2"));
        let mistakes =
            parse("u", "\"ann\" \"hunter2\nann \"hunter2\"\n\"ann\" hunter2").unwrap_err();
        assert_eq!(mistakes.len(), 3);
        assert!(!format!("{mistakes:?}").contains("hunter2"));
    }
}
