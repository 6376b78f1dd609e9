//! Files in memory, and a world that answers.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::*;

mod included;
mod mistakes;
mod noise;
mod table;

/// The file that is read.
const MAIN: &str = "/etc/hba.conf";

/// All questions.
const EVERYTHING: CanAsk = CanAsk {
    membership: true,
    interfaces: true,
    host_names: true,
};

/// Files by their names in `/etc`; those in its folder `d` are its content.
#[derive(Default)]
struct InMemory(HashMap<String, String>);

impl InMemory {
    fn of(files: &[(&str, &str)]) -> Self {
        let owned = |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned());
        Self(files.iter().map(owned).collect())
    }
}

impl Files for InMemory {
    fn text(&self, path: &Path) -> Result<String, Unreadable> {
        let name = path.strip_prefix("/etc").unwrap_or(path).to_str().unwrap();
        match name {
            "forbidden" => Err(Unreadable::Because("permission denied".to_owned())),
            name => self.0.get(name).cloned().ok_or(Unreadable::Missing),
        }
    }

    fn names_in(&self, folder: &Path) -> Result<Vec<String>, Unreadable> {
        if folder != Path::new("/etc/d") {
            return Err(Unreadable::Missing);
        }
        let names = self.0.keys().filter_map(|name| name.strip_prefix("d/"));
        Ok(names.map(str::to_owned).collect())
    }
}

/// Ann is an admin, and the role `app` is hers; of Carl nothing can be told.
/// 10.0.0.5 is `db.example.org`, 10.0.0.6 has no name, 10.0.0.7 is not known.
struct World;

impl Membership for World {
    fn is_member(&self, user: &str, role: &str) -> Option<bool> {
        assert_ne!(user, role, "nobody asks that");
        match user {
            "carl" => None,
            "ann" => Some(role == "admins" || role == "app"),
            _ => Some(false),
        }
    }
}

impl Answers for World {
    fn interfaces(&self) -> Option<&[Interface]> {
        const OURS: [Interface; 2] = [
            Interface {
                address: IpAddr::V4(Ipv4Addr::new(192, 168, 5, 10)),
                netmask: IpAddr::V4(Ipv4Addr::new(255, 255, 255, 0)),
            },
            Interface {
                address: IpAddr::V6(Ipv6Addr::LOCALHOST),
                netmask: IpAddr::V6(Ipv6Addr::from_bits(u128::MAX)),
            },
        ];
        Some(&OURS)
    }

    fn host_name(&self, client: IpAddr) -> HostName {
        match client.to_string().as_str() {
            "10.0.0.5" => HostName::Is("DB.example.org.".to_owned()),
            "10.0.0.7" => HostName::CannotTell,
            _ => HostName::None,
        }
    }
}

fn read_main(text: &str, can: CanAsk) -> Result<Rules, Vec<Mistake>> {
    read_all(&[("hba.conf", text)], can)
}

fn read_all(files: &[(&str, &str)], can: CanAsk) -> Result<Rules, Vec<Mistake>> {
    Rules::read(Path::new(MAIN), &InMemory::of(files), can)
}

/// A mistake without the name of its file, if that is the main one.
fn told(mistakes: &[Mistake]) -> Vec<String> {
    let short = |mistake: &Mistake| match mistake.line {
        Some(_) => mistake.to_string().replace("/etc/hba.conf:", ""),
        None => mistake.to_string(),
    };
    mistakes.iter().map(short).collect()
}

/// `local DATABASE USER`, `host|ssl ADDRESS DATABASE USER`, and at its end
/// `replication`.
fn login(words: &str) -> Login<'_> {
    let mut words = words.split(' ');
    let mut next = || words.next().unwrap();
    let connection = match next() {
        "local" => Connection::Local,
        kind => Connection::Host {
            address: next().parse().unwrap(),
            is_tls: kind == "ssl",
        },
    };
    Login {
        connection,
        database: next(),
        user: next(),
        is_replication: words.next() == Some("replication"),
    }
}

/// `LINE METHOD` of the rule that is found, or `-`.
fn found(rules: &Rules, words: &str) -> String {
    match rules.find(&login(words), &World) {
        Some(rule) => format!("{} {:?}", rule.place.line, rule.method),
        None => "-".to_owned(),
    }
}
