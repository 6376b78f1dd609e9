//! PostgreSQL's pg_ident.conf (`auth-username-maps.html#AUTH-USERNAME-MAPS`): which user of a
//! system, or name in a certificate, may log in as which user of a database.
//!
//! Lines of `MAP SYSTEM-USER DATABASE-USER`, with the quotes, comments and
//! directives of pg_hba.conf. Stricter than PostgreSQL: more columns than three,
//! an empty name, and a `\1` that could stand for nothing are mistakes.

use std::collections::HashMap;
use std::path::Path;

use super::hba::{self, Files, Line, Membership, Token, UserItem};
use super::pattern::Pattern;
use crate::config::Mistake;

/// The maps of a file and of what it includes
/// (`auth-username-maps.html#AUTH-USERNAME-MAPS`).
#[derive(Debug, Clone, Default)]
pub struct Maps(HashMap<String, Vec<Entry>>);

/// A line of a map.
#[derive(Debug, Clone)]
enum Entry {
    /// This user may be any of those.
    Named(String, UserItem),
    /// Whoever matches may be any of those.
    Matching(Pattern, UserItem),
    /// Whoever matches may be the user whose name is made of these, with what
    /// `\1` stands for in between. It is a name, even if it spells `all`.
    Captured {
        system_user: Pattern,
        before: String,
        after: String,
    },
}

impl Maps {
    /// Reads a file by way of `files`; `can_ask_membership` as in
    /// [`hba::CanAsk`]. A file may be without maps.
    ///
    /// # Errors
    ///
    /// All mistakes of all files.
    pub fn read(
        file: &Path,
        files: &dyn Files,
        can_ask_membership: bool,
    ) -> Result<Self, Vec<Mistake>> {
        let (lines, mut mistakes) = hba::read(file, files);
        let mut maps = Self::default();
        for Line { place, fields } in lines {
            match tokens(fields).and_then(|tokens| entry(&tokens, can_ask_membership)) {
                Ok((map, entry)) => maps.0.entry(map).or_default().push(entry),
                Err(what) => mistakes.push(place.mistake("", what)),
            }
        }
        if mistakes.is_empty() {
            Ok(maps)
        } else {
            hba::sort(&mut mistakes);
            Err(mistakes)
        }
    }

    /// Is there a map of this name? A rule that names another lets nobody in.
    #[must_use]
    pub fn has(&self, map: &str) -> bool {
        self.0.contains_key(map)
    }

    /// May the system's user log in as the database's? Without a map the names
    /// must be equal. What cannot be told is not allowed.
    #[must_use]
    pub fn allows(
        &self,
        map: Option<&str>,
        system_user: &str,
        database_user: &str,
        roles: &dyn Membership,
    ) -> bool {
        let Some(map) = map else {
            return system_user == database_user;
        };
        self.0.get(map).is_some_and(|entries| {
            entries
                .iter()
                .any(|entry| entry.allows(system_user, database_user, roles))
        })
    }
}

impl Entry {
    fn allows(&self, system: &str, database: &str, roles: &dyn Membership) -> bool {
        let admits = |users: &UserItem| users.admits(database, roles) == Some(true);
        match self {
            Self::Named(name, users) => name == system && admits(users),
            Self::Matching(pattern, users) => pattern.matches(system) && admits(users),
            Self::Captured {
                system_user,
                before,
                after,
            } => {
                let expected = system_user.first_group(system);
                let found = database
                    .strip_prefix(before.as_str())
                    .and_then(|rest| rest.strip_suffix(after.as_str()));
                expected.is_some() && expected == found
            }
        }
    }
}

/// Exactly three columns of one token each.
fn tokens(fields: Vec<Vec<Token>>) -> Result<[Token; 3], String> {
    let one = |field: Vec<Token>| <[Token; 1]>::try_from(field).ok();
    let tokens: Option<Vec<_>> = fields.into_iter().map(one).collect();
    let tokens = tokens.ok_or("a list cannot stand here")?;
    let tokens = tokens.into_iter().flatten().collect::<Vec<_>>();
    <[Token; 3]>::try_from(tokens).map_err(|_| {
        "a line is a map's name, a user of the system and one of the database".to_owned()
    })
}

fn entry(
    [map, system, database]: &[Token; 3],
    can_ask_membership: bool,
) -> Result<(String, Entry), String> {
    if map.text.is_empty() || system.text.is_empty() {
        return Err("a name is empty".to_owned());
    }
    let users = || UserItem::parse(database, can_ask_membership);
    let entry = match system.text.strip_prefix('/') {
        None if capture(database)?.is_some() => {
            return Err("\\1 needs a regular expression as the system's user".to_owned());
        }
        None => Entry::Named(system.text.clone(), users()?),
        Some(pattern) => {
            let pattern = Pattern::parse(pattern)?;
            match capture(database)? {
                Some((before, after)) => captured(pattern, before, after)?,
                None => Entry::Matching(pattern, users()?),
            }
        }
    };
    Ok((map.text.clone(), entry))
}

/// What stands before and behind a `\1`. That of a regular expression is none.
fn capture(database_user: &Token) -> Result<Option<(&str, &str)>, String> {
    if database_user.text.starts_with('/') {
        return Ok(None);
    }
    match database_user.text.split_once("\\1") {
        Some((_, after)) if after.contains("\\1") => Err("\\1 can stand in a name once".to_owned()),
        parts => Ok(parts),
    }
}

fn captured(system_user: Pattern, before: &str, after: &str) -> Result<Entry, String> {
    if !system_user.has_group() {
        return Err("\\1 needs a (..) in the regular expression".to_owned());
    }
    Ok(Entry::Captured {
        system_user,
        before: before.to_owned(),
        after: after.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::path::PathBuf;

    use super::*;
    use crate::auth::hba::Unreadable;

    /// The main file is `/etc/ident.conf`, beside it lies `more.conf`.
    struct Text<'t>(&'t str);

    impl Files for Text<'_> {
        fn text(&self, path: &Path) -> Result<String, Unreadable> {
            if path == Path::new("/etc/ident.conf") {
                Ok(self.0.to_owned())
            } else if path == Path::new("/etc/more.conf") {
                Ok("m more ann\n".to_owned())
            } else {
                Err(Unreadable::Missing)
            }
        }

        fn names_in(&self, _folder: &Path) -> Result<Vec<String>, Unreadable> {
            Ok(vec!["more.conf".to_owned()])
        }
    }

    /// Ann is an admin; of Carl it cannot be told.
    struct Roles;

    impl Membership for Roles {
        fn is_member(&self, user: &str, role: &str) -> Option<bool> {
            (user != "carl").then_some((user, role) == ("ann", "admins"))
        }
    }

    fn read(text: &str) -> Result<Maps, Vec<Mistake>> {
        Maps::read(&PathBuf::from("/etc/ident.conf"), &Text(text), true)
    }

    #[test]
    fn a_map_says_who_may_be_whom() {
        let rows = [
            ("m root postgres", "root", "postgres", true),
            ("m root postgres", "root", "ann", false),
            ("m root postgres", "Root", "postgres", false),
            ("m root postgres", "postgres", "root", false),
            ("other root postgres", "root", "postgres", false),
            ("m x y\nm root postgres", "root", "postgres", true),
            ("m root postgres\nm root ann", "root", "ann", true),
            ("m root all", "root", "anybody", true),
            ("m root all", "toor", "anybody", false),
            ("m root \"all\"", "root", "anybody", false),
            ("m root \"all\"", "root", "all", true),
            ("m \"a b\" \"c \"\"d\"", "a b", "c \"d", true),
            ("\"m\" root ann # comment", "root", "ann", true),
            ("m \\\n root \\\n ann", "root", "ann", true),
            ("m root +admins", "root", "ann", true),
            ("m root +admins", "root", "bob", false),
            ("m root +admins", "root", "admins", true),
            ("m root +admins", "root", "carl", false),
            ("m root +admins\nm root carl", "root", "carl", true),
            ("m root \"+admins\"", "root", "ann", false),
            ("m root \"+admins\"", "root", "+admins", true),
            ("m root /^app_", "root", "app_1", true),
            ("m root /^app_", "root", "my_app_1", false),
            ("m /^r.*t$ ann", "root", "ann", true),
            ("m /^r.*t$ ann", "rooty", "ann", false),
            ("m /oo ann", "root", "ann", true),
            ("m \"/^r.{1,3}$\" ann", "root", "ann", true),
            ("m /^r.*t$ all", "root", "anybody", true),
            (r"m /^(.*)@example\.com$ \1", "ann@example.com", "ann", true),
            (
                r"m /^(.*)@example\.com$ \1",
                "ann@example.com",
                "bob",
                false,
            ),
            (
                r"m /^(.*)@example\.com$ \1",
                "ann@example.org",
                "ann",
                false,
            ),
            (
                r"m /^(.*)@example\.com$ \1",
                "ann@exampleXcom",
                "ann",
                false,
            ),
            (r"m /^(.*)@(.*)$ x_\1_y", "ann@b", "x_ann_y", true),
            (r"m /^(.*)@(.*)$ x_\1_y", "ann@b", "ann", false),
            (r"m /^(.*)@x$ \1", "all@x", "ann", false),
            (r"m /^(.*)@x$ \1", "all@x", "all", true),
            (r"m /^(.*)@x$ \1", "+admins@x", "ann", false),
            (r"m /^(.*)@x$ \1", "/.*@x", "ann", false),
            (r"m /^(.*)@x$ +\1", "admins@x", "ann", false),
            (r"m /^(a)?x$ z\1", "x", "z", false),
            (r"m /^(a)?x$ z\1", "ax", "za", true),
            (r"m /^(.*)$ aa\1aa", "", "aaa", false),
            ("include more.conf", "more", "ann", true),
            ("include_dir .", "more", "ann", true),
            (
                "include_if_exists none.conf\nm root ann",
                "root",
                "ann",
                true,
            ),
            ("\"include\" a b", "a", "b", false),
        ];
        for (text, system, database, expected) in rows {
            let maps = read(text).unwrap();
            let found = maps.allows(Some("m"), system, database, &Roles);
            assert_eq!(found, expected, "{text}: {system} as {database}");
        }
    }

    #[test]
    fn without_a_map_the_names_must_be_equal() {
        let maps = read("m root ann").unwrap();
        assert!(maps.allows(None, "ann", "ann", &Roles));
        assert!(!maps.allows(None, "root", "ann", &Roles));
        assert!(!maps.allows(None, "ann", "Ann", &Roles));
        assert!(!maps.allows(Some("none"), "ann", "ann", &Roles));
        assert!(maps.has("m") && !maps.has("none"));
    }

    #[test]
    fn every_mistake_is_told_with_its_line() {
        let text = "m\nm a\nm a b c\nm a,b c\n\"\" a b\nm \"\" b\nm a \"\"\nm /( b\n\
            m a /(\nm a \\1\nm /a \\1\nm /(a) \\1\\1\nm /(a) /\\1\nm a +\nm \"a\n\
            include none.conf\nm a b\n";
        let mistakes = read(text).unwrap_err();
        let lines: Vec<_> = mistakes.iter().filter_map(|mistake| mistake.line).collect();
        assert_eq!(lines, (1..=16).collect::<Vec<_>>(), "{mistakes:#?}");
        let asks = Maps::read(Path::new("/etc/ident.conf"), &Text("m a +b"), false).unwrap_err();
        assert_eq!(
            asks.first().unwrap().to_string(),
            "/etc/ident.conf:1: +b asks for members of a role, which pgweave cannot tell"
        );
    }
}
