//! The columns for databases and users (`auth-pg-hba-conf.html`).

use super::answers::{Membership, any};
use super::lexer::Token;
use super::matching::Login;
use crate::auth::pattern::Pattern;

/// An entry of the column for databases.
#[derive(Debug, Clone)]
pub(super) enum DatabaseItem {
    All,
    SameUser,
    /// `samerole`, `samegroup`: the user is a member of the role of that name.
    SameRole,
    /// Logins for physical replication, which nothing else lets in.
    Replication,
    Matching(Pattern),
    Named(String),
}

impl DatabaseItem {
    pub(super) fn parse(token: &Token, can_ask_membership: bool) -> Result<Self, String> {
        if token.is_keyword("all") {
            Ok(Self::All)
        } else if token.is_keyword("sameuser") {
            Ok(Self::SameUser)
        } else if token.is_keyword("replication") {
            Ok(Self::Replication)
        } else if token.is_keyword("samerole") || token.is_keyword("samegroup") {
            can_ask(can_ask_membership, &token.text)?;
            Ok(Self::SameRole)
        } else {
            match named(token)? {
                Named::Pattern(pattern) => Ok(Self::Matching(pattern)),
                Named::Name(name) => Ok(Self::Named(name)),
            }
        }
    }

    pub(super) fn admits(&self, login: &Login<'_>, roles: &dyn Membership) -> Option<bool> {
        if login.is_replication {
            return Some(matches!(self, Self::Replication));
        }
        match self {
            Self::All => Some(true),
            Self::SameUser => Some(login.database == login.user),
            Self::SameRole => is_member(roles, login.user, login.database),
            Self::Replication => Some(false),
            Self::Matching(pattern) => Some(pattern.matches(login.database)),
            Self::Named(name) => Some(name == login.database),
        }
    }
}

/// An entry of the column for users, here and in pg_ident.conf.
#[derive(Debug, Clone)]
pub(in crate::auth) enum UserItem {
    All,
    /// `+role`.
    MemberOf(String),
    Matching(Pattern),
    Named(String),
}

impl UserItem {
    pub(in crate::auth) fn parse(token: &Token, can_ask_membership: bool) -> Result<Self, String> {
        if token.is_keyword("all") {
            return Ok(Self::All);
        }
        if let Some(role) = token.text.strip_prefix('+').filter(|_| !token.is_quoted) {
            if role.is_empty() {
                return Err("the name of a role must follow +".to_owned());
            }
            can_ask(can_ask_membership, &token.text)?;
            return Ok(Self::MemberOf(role.to_owned()));
        }
        match named(token)? {
            Named::Pattern(pattern) => Ok(Self::Matching(pattern)),
            Named::Name(name) => Ok(Self::Named(name)),
        }
    }

    pub(in crate::auth) fn admits(&self, user: &str, roles: &dyn Membership) -> Option<bool> {
        match self {
            Self::All => Some(true),
            Self::MemberOf(role) => is_member(roles, user, role),
            Self::Matching(pattern) => Some(pattern.matches(user)),
            Self::Named(name) => Some(name == user),
        }
    }
}

pub(super) fn any_database(
    items: &[DatabaseItem],
    login: &Login<'_>,
    roles: &dyn Membership,
) -> Option<bool> {
    any(items.iter().map(|item| item.admits(login, roles)))
}

pub(super) fn any_user(items: &[UserItem], user: &str, roles: &dyn Membership) -> Option<bool> {
    any(items.iter().map(|item| item.admits(user, roles)))
}

enum Named {
    Pattern(Pattern),
    Name(String),
}

/// Quotes do not make a slash a part of the name: a pattern with a comma needs
/// them.
fn named(token: &Token) -> Result<Named, String> {
    match token.text.strip_prefix('/') {
        Some(pattern) => Pattern::parse(pattern).map(Named::Pattern),
        None if token.text.is_empty() => Err("a name is empty".to_owned()),
        None => Ok(Named::Name(token.text.clone())),
    }
}

fn can_ask(can: bool, word: &str) -> Result<(), String> {
    if can {
        return Ok(());
    }
    Err(format!(
        "{word} asks for members of a role, which pgweave cannot tell"
    ))
}

/// As PostgreSQL has it, each role is a member of itself.
fn is_member(roles: &dyn Membership, user: &str, role: &str) -> Option<bool> {
    if user == role {
        return Some(true);
    }
    roles.is_member(user, role)
}
