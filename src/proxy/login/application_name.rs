//! What a client calls itself.

use std::sync::Arc;

use crate::net::Peer;

/// Longest name that PostgreSQL keeps whole, in bytes (NAMEDATALEN).
const MAX: usize = 63;

/// PostgreSQL changes a name that is not plain ASCII in ways of its own.
pub(super) fn is_plain(name: &str) -> bool {
    name.len() <= MAX && name.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}

/// The name with where the client comes from (`application_name_add_host`), so that
/// pg_stat_activity shows it. Where that is too long the name is cut, not the host.
pub(super) fn with_host(name: &str, peer: Peer) -> Arc<str> {
    let host = match peer {
        Peer::Unix => "unix".to_owned(),
        Peer::Tcp(address) => address.to_string(),
    };
    let name = if name.is_empty() { "app" } else { name };
    let room = MAX.saturating_sub(host.len() + " - ".len());
    let name: String = name.chars().take(room).collect();
    format!("{name} - {host}").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_stands_behind_the_name_and_fits_in() {
        let peer = Peer::Tcp(([192, 0, 2, 1], 4711).into());
        assert_eq!(&*with_host("psql", peer), "psql - 192.0.2.1:4711");
        assert_eq!(&*with_host("", Peer::Unix), "app - unix");
        let long = with_host(&"x".repeat(63), peer);
        assert!(is_plain(&long) && long.ends_with("xx - 192.0.2.1:4711"));
    }
}
