//! PostgreSQL's pg_hba.conf (`auth-pg-hba-conf.html#AUTH-PG-HBA-CONF`), as far as
//! a pooler can honour it: who may log in from where to which database, and how
//! they have to prove who they are.
//!
//! A file is read as a whole: [`Rules`], or every [`Mistake`]. What would mean
//! something else here than in PostgreSQL, or could never be honoured, is a
//! mistake and never passed over: the rule behind it might let in whom it was
//! to reject.
//!
//! Pure: included files come in through [`Files`], what only the server, the
//! machine or the DNS knows through [`Answers`]. `proxy` asks [`Rules::find`]
//! once for each login.
//!
//! The options of ldap and pam are kept as they are written; whether they make
//! sense together is for whoever uses them.
//!
//! Refused: the methods gss, sspi, radius and bsd, ident over TCP, and,
//! where nobody answers ([`CanAsk`]), `+role`, `samerole`, `samehost`, `samenet`
//! and host names. Stricter than PostgreSQL: a quote that is not closed, an
//! option that is given twice, an empty name, a host name that the DNS cannot
//! have, a file of names without names, addresses in short forms (`10/8`), IPv4
//! ranges in IPv6 clothes, and regular expressions that its dialect reads in a
//! way of its own.

mod addresses;
mod answers;
mod files;
mod lexer;
mod matching;
mod names;
mod options;
mod rules;

#[cfg(test)]
mod tests;

use std::path::Path;

pub use answers::{Answers, CanAsk, HostName, Interface, Membership, NoAnswers};
pub use files::{Files, MAX_DEPTH, MAX_FILES, Place, Unreadable};
pub use matching::{Connection, Login};
pub use options::{ClientCert, ClientName, Options, Setting, ldap_options};
pub use rules::{ConnectionType, Method, Rule};

pub(super) use files::{Line, read};
pub(super) use lexer::Token;
pub(super) use names::UserItem;

use crate::config::Mistake;

/// The rules of a file and of what it includes, in their order
/// (`auth-pg-hba-conf.html#AUTH-PG-HBA-CONF`).
#[derive(Debug, Clone)]
pub struct Rules(Vec<Rule>);

impl Rules {
    /// Reads a file by way of `files`. `can` says which questions will find
    /// answers when a rule is looked for.
    ///
    /// # Errors
    ///
    /// All mistakes of all files; none holds an option's value. A file without
    /// any rule is one, as it is to PostgreSQL: nobody could log in.
    pub fn read(file: &Path, files: &dyn Files, can: CanAsk) -> Result<Self, Vec<Mistake>> {
        let (lines, mut mistakes) = read(file, files);
        let mut rules = Vec::with_capacity(lines.len());
        for line in lines {
            rules.extend(Rule::read(line, can, &mut mistakes));
        }
        if rules.is_empty() && mistakes.is_empty() {
            mistakes.push(Mistake {
                file: file.display().to_string(),
                line: None,
                key: String::new(),
                what: "the file holds no rule: nobody could log in".to_owned(),
                suggestion: None,
            });
        }
        if mistakes.is_empty() {
            Ok(Self(rules))
        } else {
            sort(&mut mistakes);
            Err(mistakes)
        }
    }

    /// The first rule that is about this login. None means to refuse it (28000),
    /// as [`Method::Reject`] does: either there is no such rule, or it cannot be
    /// told which one it is.
    #[must_use]
    pub fn find(&self, login: &Login<'_>, answers: &dyn Answers) -> Option<&Rule> {
        for rule in &self.0 {
            match rule.covers(login, answers) {
                Some(true) => return Some(rule),
                Some(false) => {}
                None => return None,
            }
        }
        None
    }

    /// All of them, in their order.
    pub fn iter(&self) -> impl Iterator<Item = &Rule> {
        self.0.iter()
    }
}

/// By file and line: what is wrong with the lines is found before what is wrong
/// with the rules.
pub(super) fn sort(mistakes: &mut [Mistake]) {
    mistakes.sort_by(|one, other| (&one.file, one.line).cmp(&(&other.file, other.line)));
}
