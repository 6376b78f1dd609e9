//! What can be the name of a host, as far as text goes.

use std::net::IpAddr;

use super::given::Refusal;

/// Why `addr` is nothing to listen on, if it is not.
pub(super) fn not_an_address(addr: &str) -> Option<Refusal> {
    match addr {
        "*" => None,
        addr if addr.starts_with('/') => Some(Refusal::new(format!(
            "{addr:?} is a path, but clients come by TCP"
        ))),
        addr => not_a_host(addr, "listen_port"),
    }
}

/// Why one of several hosts, separated by commas, is none.
pub(super) fn not_hosts(hosts: &str, port_key: &str) -> Option<Refusal> {
    hosts
        .split(',')
        .find_map(|host| not_a_host(host.trim(), port_key))
}

/// Why `host` is neither a host name, an IP address nor the directory of a
/// Unix socket, if it is none. `port_key` is where a port belongs.
pub(super) fn not_a_host(host: &str, port_key: &str) -> Option<Refusal> {
    if host.starts_with('/') || host.parse::<IpAddr>().is_ok() {
        return None;
    }
    let refusal = Refusal::new(format!("{host:?} is neither a host name nor an address"));
    if let Some((name, port)) = host.split_once(':')
        && !name.is_empty()
        && port.parse::<u16>().is_ok()
    {
        return Some(refusal.suggesting(format!("write {name:?}, and {port} as {port_key}")));
    }
    let odd = |c: char| c.is_whitespace() || c.is_control() || ":/@[],".contains(c);
    (host.is_empty() || host.contains(odd)).then_some(refusal)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_addresses_and_socket_directories_are_hosts() {
        for host in [
            "localhost",
            "db-1.example.com",
            "10.0.0.1",
            "::1",
            "/run/postgresql",
            "a_b",
        ] {
            assert_eq!(not_a_host(host, "port"), None, "{host}");
        }
    }

    #[test]
    fn what_holds_more_than_a_host_is_refused() {
        for host in ["", "db:x", "a,b", "a b", "postgres://db", "me@db", "[::1]"] {
            assert!(not_a_host(host, "port").is_some(), "{host}");
        }
        let refusal = not_a_host("db:5433", "port").unwrap();
        assert_eq!(
            refusal.suggestion.as_deref(),
            Some("write \"db\", and 5433 as port")
        );
    }

    #[test]
    fn several_hosts_are_separated_by_commas() {
        assert_eq!(not_hosts("a, b,/run,::1", "port"), None);
        for hosts in ["a,", ",a", "a,b:5", "a,,b"] {
            assert!(not_hosts(hosts, "port").is_some(), "{hosts}");
        }
    }

    #[test]
    fn a_star_and_no_path_can_be_listened_on() {
        assert_eq!(not_an_address("*"), None);
        assert_eq!(not_an_address("0.0.0.0"), None);
        assert!(not_an_address("/tmp").is_some());
    }
}
