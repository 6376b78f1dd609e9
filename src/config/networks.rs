//! Where connections come from: addresses, networks, Unix sockets.

use std::fmt;
use std::net::IpAddr;

use super::given::{Bounds, Field, Given, Refusal};

/// The word for connections over a Unix socket.
const UNIX: &str = "unix";

/// Any of these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Networks(Vec<Network>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Network {
    Unix,
    /// Addresses that are equal to this in so many of their first bits.
    Range(IpAddr, u32),
}

impl Networks {
    /// Are there none?
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Is this address one of theirs? None is that of a Unix socket.
    #[must_use]
    pub fn contain(&self, address: Option<IpAddr>) -> bool {
        // A socket for both families shows an IPv4 address as one of IPv6.
        let address = address.map(|address| address.to_canonical());
        self.0.iter().any(|network| network.contains(address))
    }
}

impl Network {
    fn contains(self, address: Option<IpAddr>) -> bool {
        match (self, address) {
            (Network::Unix, None) => true,
            (Network::Range(IpAddr::V4(network), bits), Some(IpAddr::V4(address))) => {
                let differ = network.to_bits() ^ address.to_bits();
                differ.leading_zeros() >= bits
            }
            (Network::Range(IpAddr::V6(network), bits), Some(IpAddr::V6(address))) => {
                let differ = network.to_bits() ^ address.to_bits();
                differ.leading_zeros() >= bits
            }
            (Network::Unix | Network::Range(..), _) => false,
        }
    }

    fn parse(text: &str) -> Option<Self> {
        if text == UNIX {
            return Some(Network::Unix);
        }
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        if address != address.to_canonical() {
            // Connections are looked at as what they are.
            return None;
        }
        let all = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            Some(bits) if bits.bytes().all(|byte| byte.is_ascii_digit()) => bits.parse().ok()?,
            Some(_) => return None,
            None => all,
        };
        (bits <= all).then_some(Network::Range(address, bits))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Network::Unix => f.write_str(UNIX),
            Network::Range(address, bits) => write!(f, "{address}/{bits}"),
        }
    }
}

impl Field for Networks {
    fn read(given: &Given, bounds: Bounds) -> Result<Self, Refusal> {
        let parse = |text: String| {
            Network::parse(&text).ok_or_else(|| {
                let what = format!("{text:?} is neither an IP address nor a network");
                Refusal::new(what).suggesting("write 10.0.0.5, 10.0.0.0/8, fd00::/8 or unix")
            })
        };
        let items = Vec::<String>::read(given, bounds)?.into_iter();
        Ok(Self(items.map(parse).collect::<Result<_, _>>()?))
    }

    fn kind(_: Bounds) -> String {
        "IP addresses, networks (`10.0.0.0/8`) and `unix`, as a comma-separated list or a list of \
         texts"
            .to_owned()
    }

    fn show(&self) -> Option<String> {
        let items: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        Some(format!("{:?}", items.join(",")))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::config::keys::ANY;

    fn read(text: &str) -> Result<Networks, Refusal> {
        Networks::read(&Given::Text(text.to_owned()), ANY)
    }

    #[test]
    fn what_lies_within_is_known() {
        let networks = read("10.0.0.0/8, 192.0.2.7, fd00::/8, 172.16.0.0/12").unwrap();
        let contain = |address: &str| networks.contain(Some(address.parse().unwrap()));
        for inside in [
            "10.255.0.1",
            "::ffff:10.0.0.1",
            "192.0.2.7",
            "fdff::1",
            "172.31.255.255",
        ] {
            assert!(contain(inside), "{inside}");
        }
        for outside in [
            "11.0.0.0",
            "192.0.2.6",
            "fe80::1",
            "172.32.0.0",
            "::10.0.0.1",
        ] {
            assert!(!contain(outside), "{outside}");
        }
        assert!(!networks.contain(None));
        assert!(read("unix").unwrap().contain(None));
        let all = read("0.0.0.0/0").unwrap();
        assert!(all.contain(Some("203.0.113.9".parse().unwrap())));
        assert!(!all.contain(Some("2001:db8::1".parse().unwrap())));
        assert!(!read("").unwrap().contain(None));
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for wrong in [
            "10.0.0.0/33",
            "fd00::/129",
            "10.0.0/8",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "10.0.0.0/255.0.0.0",
            "localhost",
            "all",
            "::ffff:10.0.0.0/104",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        let shown = read("10.0.0.0/8,fd00::1,unix").unwrap().show();
        assert_eq!(shown.as_deref(), Some("\"10.0.0.0/8,fd00::1/128,unix\""));
    }
}
