//! What `pgweave check --connect` has found, in words.

use std::fmt;

use super::check::Tried;
use crate::config::PoolSettings;
use crate::net::Target;
use crate::proxy::{Attempt, Facts, Fine, Limits, Load, Purpose, Share, Whose, Wrong};

/// Pools that a warning names.
const NAMED: usize = 5;

/// One thing found: a line, and what to do about it below.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// All is well.
    Fine(String),
    /// It works now, and may fail under load; or nobody can tell.
    Warning(String, String),
    /// It does not work.
    Wrong(String, Option<String>),
}

impl Verdict {
    pub fn is_wrong(&self) -> bool {
        matches!(self, Verdict::Wrong(..))
    }

    pub fn is_fine(&self) -> bool {
        matches!(self, Verdict::Fine(_))
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mark, line, to_do) = match self {
            Verdict::Fine(line) => ("ok     ", line, None),
            Verdict::Warning(line, to_do) => ("warning", line, Some(to_do)),
            Verdict::Wrong(line, to_do) => ("WRONG  ", line, to_do.as_ref()),
        };
        writeln!(f, "{mark}  {line}")?;
        match to_do {
            Some(to_do) => writeln!(f, "         {to_do}"),
            None => Ok(()),
        }
    }
}

/// What one login has shown.
pub(super) fn of_attempt(attempt: &Attempt, outcome: &Result<Fine, Wrong>) -> Verdict {
    let about = about(attempt);
    match outcome {
        Ok(Fine::Serves(facts)) => Verdict::Fine(format!("{about}: {}", told(facts))),
        Ok(Fine::Asks(facts, true)) => {
            Verdict::Fine(format!("{about}: it answers; {}", told(facts)))
        }
        Ok(Fine::Asks(facts, false)) => Verdict::Fine(format!(
            "{about}: it answers, and does not know its own user; {}",
            told(facts)
        )),
        Ok(Fine::IsThere) => Verdict::Fine(format!(
            "{about}: it is there, and wants a proof. Nobody's password is known here, so clients will have to show it"
        )),
        Err(Wrong { error, advice }) => {
            let message = printable(&error.message);
            let detail = error.detail.as_ref().map(|detail| printable(detail));
            let detail = detail
                .map(|detail| format!(" {detail}"))
                .unwrap_or_default();
            let advice = advice.as_ref().map(|advice| printable(advice));
            let code = printable(&error.code);
            Verdict::Wrong(
                format!("{about}: {message} (SQLSTATE {code}).{detail}"),
                advice,
            )
        }
    }
}

/// A server's words are a server's: no control characters of its own.
fn printable(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).collect()
}

/// Which login.
fn about(attempt: &Attempt) -> String {
    let settings = &attempt.settings;
    let target = Target::new(&settings.host, settings.port);
    let (database, user) = (
        printable(&settings.dbname),
        printable(&settings.server_user),
    );
    let section = match attempt.section.as_str() {
        "*" => "any database".to_owned(),
        name => format!("database {}", printable(name)),
    };
    let of = match &attempt.purpose {
        Purpose::Ask(_) => return format!("auth_query at {target} in {database}, as {user}"),
        Purpose::Reach { .. } => return format!("{section} at {target}"),
        Purpose::Serve(Whose::Forced | Whose::OneOf(0 | 1)) => String::new(),
        Purpose::Serve(Whose::OneOf(count)) => format!(" (one of {count} users that are known)"),
    };
    let elsewhere = match attempt.section == settings.dbname {
        true => String::new(),
        false => format!(", there {database}"),
    };
    format!("{section} at {target}{elsewhere}, as {user}{of}")
}

fn told(facts: &Facts) -> String {
    if facts.lacks_the_usual {
        let took = facts.took.as_secs_f64() * 1000.0;
        return format!(
            "logged in within {took:.0} ms; clients name the database, and this one is not for it"
        );
    }
    let tls = facts.tls.unwrap_or("no TLS");
    let [took, round_trip] = [facts.took, facts.round_trip].map(|time| time.as_secs_f64() * 1000.0);
    let limits = match &facts.limits {
        Ok(limits) => {
            let standby = if limits.in_recovery {
                ", a standby"
            } else {
                ""
            };
            format!("{} connections allowed{standby}", limits.most)
        }
        Err(error) => format!("it does not tell its limits: {}", printable(&error.message)),
    };
    let version = printable(&facts.version);
    format!(
        "PostgreSQL {version}, {tls}, logged in within {took:.0} ms, answers within {round_trip:.1} ms, {limits}"
    )
}

/// Where pools may open more than there is.
pub(super) fn of_loads(loads: &[Load], tried: &[Tried]) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    for load in loads {
        let found = tried.iter().filter_map(limits_of);
        let there =
            found.filter(|(settings, _)| Target::new(&settings.host, settings.port) == load.target);
        if let Some((_, limits)) = there.clone().next() {
            verdicts.push(of_load(load, limits));
        }
        for (settings, limits) in there {
            // Of several databases with one role it is one thing.
            let of_limits = of_limits(load, settings, limits);
            verdicts.extend(of_limits.filter(|verdict| !verdicts.contains(verdict)));
        }
    }
    verdicts
}

fn limits_of((attempt, outcome): &Tried) -> Option<(&PoolSettings, &Limits)> {
    match outcome {
        Ok(Fine::Serves(facts) | Fine::Asks(facts, _)) => {
            let limits = facts.limits.as_ref().ok()?;
            Some((&attempt.settings, limits))
        }
        Ok(Fine::IsThere) | Err(_) => None,
    }
}

/// All pools of a server together.
fn of_load(load: &Load, limits: &Limits) -> Verdict {
    let Load {
        target,
        most,
        beside,
        ..
    } = load;
    let available = limits.most.saturating_sub(limits.reserved);
    let all = most + beside;
    let sum = format!(
        "server {target}: its pools may open {all} connections ({most} for queries, {beside} beside them); it \
         has {available} for them (max_connections {}, {} of them reserved)",
        limits.most, limits.reserved
    );
    if all > available {
        return Verdict::Warning(sum, too_many(load, available.saturating_sub(*beside)));
    }
    if let Some(each) = load.of_each_stranger {
        let to_do = format!(
            "Users that are not listed bring a pool of up to {each} each, without an end. max_db_connections \
             bounds them all."
        );
        return Verdict::Warning(sum, to_do);
    }
    match load.has_open_names {
        true => Verdict::Fine(sum + "; databases without a section of their own count once"),
        false => Verdict::Fine(sum),
    }
}

fn too_many(load: &Load, available: u64) -> String {
    let mut shares: Vec<&Share> = load.shares.iter().collect();
    shares.sort_by_key(|share| std::cmp::Reverse(share.most));
    let named = shares.iter().take(NAMED).map(|share| {
        let Share {
            database,
            user,
            most,
        } = share;
        format!("{} of {} {most}", printable(database), printable(user))
    });
    let mut named = named.collect::<Vec<_>>().join(", ");
    if shares.len() > NAMED {
        named.push_str(&format!(" and {} pools more", shares.len() - NAMED));
    }
    let pools = u64::try_from(shares.len()).unwrap_or(u64::MAX).max(1);
    let each = match available / pools {
        0 => "set max_db_connections, so that pools share what there is".to_owned(),
        each => format!("set default_pool_size to {each} at most, or max_db_connections"),
    };
    format!(
        "Under load some would be refused with 53300. The largest: {named}. To do: {each}, or raise max_connections."
    )
}

/// The limits of a role and a database themselves.
fn of_limits(load: &Load, settings: &PoolSettings, limits: &Limits) -> Option<Verdict> {
    let (user, database) = (&settings.server_user, &settings.dbname);
    let of_user = load.shares.iter().filter(|share| share.user == *user);
    let sum: u64 = of_user.map(|share| share.most).sum();
    let most = sum.min(load.most);
    let own = u64::from(settings.pool_size) + u64::from(settings.reserve_pool_size);
    let (whose, limit, most) = match (limits.of_role, limits.of_database) {
        (Some(limit), _) if most > limit => (format!("role {}", printable(user)), limit, most),
        (_, Some(limit)) if own > limit => {
            (format!("database {}", printable(database)), limit, own)
        }
        _ => return None,
    };
    let line = format!(
        "{whose} at {}: its CONNECTION LIMIT is {limit}, and pools may open {most} connections",
        load.target
    );
    Some(Verdict::Warning(
        line,
        "Make the pool smaller (pool_size, max_user_connections), or raise the limit.".to_owned(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(sizes: &[u64]) -> Load {
        let share = |most: &u64| Share {
            database: format!("d{most}"),
            user: "app".to_owned(),
            most: *most,
        };
        Load {
            target: Target::new("db", 5432),
            shares: sizes.iter().map(share).collect(),
            most: sizes.iter().sum(),
            beside: 2,
            of_each_stranger: None,
            has_open_names: false,
        }
    }

    const LIMITS: Limits = Limits {
        most: 100,
        reserved: 3,
        in_recovery: false,
        of_role: None,
        of_database: None,
    };

    #[test]
    fn pools_that_are_too_large_together_are_told_with_the_numbers() {
        assert!(of_load(&load(&[60, 35]), &LIMITS).is_fine());
        let told = of_load(&load(&[60, 36]), &LIMITS).to_string();
        for part in [
            "warning  server db:5432: its pools may open 98 connections (96 for queries, 2 beside them)",
            "it has 97 for them (max_connections 100, 3 of them reserved)",
            "d60 of app 60, d36 of app 36",
            "set default_pool_size to 47 at most",
        ] {
            assert!(told.contains(part), "{part}: {told}");
        }
        let many = of_load(&load(&[20; 100]), &LIMITS).to_string();
        assert!(
            many.contains("and 95 pools more") && many.contains("set max_db_connections,"),
            "{many}"
        );
    }

    #[test]
    fn users_without_number_are_a_warning() {
        let mut open = load(&[10]);
        open.of_each_stranger = Some(20);
        let told = of_load(&open, &LIMITS).to_string();
        assert!(
            told.contains("a pool of up to 20 each, without an end"),
            "{told}"
        );
    }
}
