//! The columns for a client's address (`auth-pg-hba-conf.html`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::answers::{Answers, CanAsk, HostName};
use super::lexer::Token;

/// Where a client may come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Address {
    All,
    /// An address of this machine.
    SameHost,
    /// Any address of a network that this machine is in.
    SameNet,
    Range(Range),
    HostName(String),
    /// `.example.com`: names that end so.
    HostSuffix(String),
}

/// Addresses that are equal in the bits of the mask. What the network has
/// besides them is not looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    network: IpAddr,
    mask: IpAddr,
}

/// What the first of the columns says.
pub(super) enum FirstColumn {
    Whole(Address),
    /// The column behind it must hold the netmask.
    WantsMask(IpAddr),
}

impl FirstColumn {
    pub(super) fn parse(token: &Token, can: CanAsk) -> Result<Self, String> {
        if token.is_keyword("all") {
            return Ok(Self::Whole(Address::All));
        }
        if token.is_keyword("samehost") || token.is_keyword("samenet") {
            return same(token, can).map(Self::Whole);
        }
        match token.text.split_once('/') {
            Some((network, bits)) => {
                let range = Range::of_prefix(network, bits)?;
                Ok(Self::Whole(Address::Range(range)))
            }
            None => match token.text.parse() {
                Ok(network) => Ok(Self::WantsMask(network)),
                Err(_) => host_name(&token.text, can).map(Self::Whole),
            },
        }
    }
}

fn same(token: &Token, can: CanAsk) -> Result<Address, String> {
    if !can.interfaces {
        return Err("asks for the addresses of this machine, which pgweave cannot tell".to_owned());
    }
    Ok(match token.is_keyword("samehost") {
        true => Address::SameHost,
        false => Address::SameNet,
    })
}

/// An IPv4 client is never taken for an IPv6 one, so such a range would match
/// nobody, and a `reject` would let everybody pass.
fn plain(network: IpAddr) -> Result<IpAddr, String> {
    match network {
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => {
            Err("an IPv4 address must be written as one".to_owned())
        }
        IpAddr::V4(_) | IpAddr::V6(_) => Ok(network),
    }
}

/// A name as in the DNS; what has digits at its end is an address gone wrong.
fn host_name(text: &str, can: CanAsk) -> Result<Address, String> {
    let labels = text.strip_prefix('.').unwrap_or(text);
    let is_label = |label: &str| {
        let is_of_names = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        !label.is_empty() && label.chars().all(is_of_names)
    };
    let last = labels.rsplit('.').next().unwrap_or_default();
    let is_name = labels.split('.').all(is_label) && !last.bytes().all(|b| b.is_ascii_digit());
    if !is_name {
        return Err("neither an address nor the name of a host".to_owned());
    }
    if !can.host_names {
        return Err("a host name must be looked up, which pgweave cannot do".to_owned());
    }
    Ok(match text.starts_with('.') {
        true => Address::HostSuffix(text.to_owned()),
        false => Address::HostName(text.to_owned()),
    })
}

impl Range {
    /// `10.0.0.0/8`, in two parts.
    fn of_prefix(network: &str, bits: &str) -> Result<Self, String> {
        let network: IpAddr = network
            .parse()
            .map_err(|_| "an address in numbers must stand before the slash".to_owned())?;
        let network = plain(network)?;
        let longest = if network.is_ipv4() { 32 } else { 128 };
        let digits = bits.bytes().all(|b| b.is_ascii_digit());
        let bits = bits.parse().ok().filter(|bits| digits && *bits <= longest);
        let Some(bits) = bits else {
            return Err(format!("behind the slash must stand 0 to {longest}"));
        };
        let mask = mask_of(network, bits);
        Ok(Self { network, mask })
    }

    /// `10.0.0.0 255.0.0.0`. PostgreSQL takes a mask with holes, too.
    pub(super) fn of_mask(network: IpAddr, mask: &str) -> Result<Self, String> {
        let network = plain(network)?;
        let mask: IpAddr = mask
            .parse()
            .map_err(|_| "a netmask must stand behind the address".to_owned())?;
        if mask.is_ipv4() != network.is_ipv4() {
            return Err("the netmask must be of the address's kind".to_owned());
        }
        Ok(Self { network, mask })
    }

    fn contains(self, client: IpAddr) -> bool {
        match (self.network, self.mask, client) {
            (IpAddr::V4(network), IpAddr::V4(mask), IpAddr::V4(client)) => {
                (network.to_bits() ^ client.to_bits()) & mask.to_bits() == 0
            }
            (IpAddr::V6(network), IpAddr::V6(mask), IpAddr::V6(client)) => {
                (network.to_bits() ^ client.to_bits()) & mask.to_bits() == 0
            }
            (IpAddr::V4(_) | IpAddr::V6(_), _, _) => false,
        }
    }
}

/// The mask of so many bits for addresses of this kind.
fn mask_of(network: IpAddr, bits: u32) -> IpAddr {
    match network {
        IpAddr::V4(_) => {
            let host = u32::MAX.checked_shr(bits).unwrap_or(0);
            Ipv4Addr::from_bits(!host).into()
        }
        IpAddr::V6(_) => {
            let host = u128::MAX.checked_shr(bits).unwrap_or(0);
            Ipv6Addr::from_bits(!host).into()
        }
    }
}

impl Address {
    /// `client` as [`IpAddr::to_canonical`] has it.
    pub(super) fn admits(&self, client: IpAddr, answers: &dyn Answers) -> Option<bool> {
        match self {
            Self::All => Some(true),
            Self::SameHost => {
                let mut own = answers.interfaces()?.iter();
                Some(own.any(|own| own.address == client))
            }
            Self::SameNet => {
                let mut own = answers.interfaces()?.iter();
                Some(own.any(|own| {
                    let (network, mask) = (own.address, own.netmask);
                    Range { network, mask }.contains(client)
                }))
            }
            Self::Range(range) => Some(range.contains(client)),
            Self::HostName(name) => {
                is_named(client, answers, |found| found.eq_ignore_ascii_case(name))
            }
            Self::HostSuffix(suffix) => is_named(client, answers, |found| {
                let start = found
                    .len()
                    .checked_sub(suffix.len())
                    .filter(|start| *start > 0);
                start
                    .and_then(|start| found.get(start..))
                    .is_some_and(|end| end.eq_ignore_ascii_case(suffix))
            }),
        }
    }
}

fn is_named(client: IpAddr, answers: &dyn Answers, fits: impl Fn(&str) -> bool) -> Option<bool> {
    match answers.host_name(client) {
        HostName::Is(name) => Some(fits(name.strip_suffix('.').unwrap_or(&name))),
        HostName::None => Some(false),
        HostName::CannotTell => None,
    }
}
