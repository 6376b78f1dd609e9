//! The header of the PROXY protocol, versions 1 and 2, by which a load balancer
//! tells where a client is (haproxy.org, `proxy-protocol.txt`).
//!
//! It stands ahead of the client's own bytes, perhaps those of a TLS handshake, and
//! no byte of these may be taken with it. So what is read here says how many more
//! bytes belong to the header for certain, and the caller reads no more than those.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// What version 2 begins with.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// What version 1 begins with.
const WORD: &[u8] = b"PROXY ";

/// Longest header of version 1, in bytes, with its CRLF.
const LONGEST_LINE: usize = 107;

/// Shortest of all: `PROXY UNKNOWN` and CRLF.
const SHORTEST: usize = 15;

/// Signature, version and command, family, length.
const FIXED: usize = 16;

/// How far a header has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// At least so many more bytes belong to it.
    Needs(usize),
    /// What it says.
    Says(Told),
}

/// What a header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// Where the client is; none if it does not say so, or speaks for the load
    /// balancer itself: then the address of the connection counts.
    pub client: Option<SocketAddr>,
    /// All bytes of the header; those that have not been read say nothing more.
    pub length: usize,
}

/// These bytes begin no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("invalid header of the PROXY protocol")]
pub struct NoHeader;

/// Can a header begin with this byte? No packet of PostgreSQL's does, nor TLS.
#[must_use]
pub fn may_begin_with(byte: u8) -> bool {
    SIGNATURE.first() == Some(&byte) || WORD.first() == Some(&byte)
}

/// Reads a header as far as it has come. Bytes behind it are not looked at.
///
/// # Errors
/// [`NoHeader`], as soon as that is certain.
pub fn read(bytes: &[u8]) -> Result<Step, NoHeader> {
    if begins_alike(bytes, WORD) {
        line(bytes)
    } else if begins_alike(bytes, &SIGNATURE) {
        binary(bytes)
    } else {
        Err(NoHeader)
    }
}

/// Is one the beginning of the other?
fn begins_alike(bytes: &[u8], whole: &[u8]) -> bool {
    bytes.iter().zip(whole).all(|(one, other)| one == other)
}

/// Version 1: words in one line.
fn line(bytes: &[u8]) -> Result<Step, NoHeader> {
    let looked_at = bytes.get(..LONGEST_LINE).unwrap_or(bytes);
    let Some(end) = looked_at.iter().position(|byte| *byte == b'\n') else {
        let needs = still_missing(looked_at);
        let fits = looked_at.len() < LONGEST_LINE;
        return fits.then_some(Step::Needs(needs)).ok_or(NoHeader);
    };
    let text = looked_at
        .get(..end)
        .and_then(|line| line.strip_suffix(b"\r"))
        .and_then(|line| std::str::from_utf8(line).ok())
        .ok_or(NoHeader)?;
    let client = client_of_line(text)?;
    let length = end + 1;
    Ok(Step::Says(Told { client, length }))
}

/// How many more bytes a line has for certain. Where its words are known, that
/// saves most of the reads of single bytes.
fn still_missing(line: &[u8]) -> usize {
    let shortest = SHORTEST.saturating_sub(line.len());
    let spaces = line.iter().filter(|byte| **byte == b' ').count();
    let words = match line.starts_with(b"PROXY TCP") {
        true => 5_usize.saturating_sub(spaces),
        false => 0,
    };
    // Each with a space before it; then CR and LF.
    let end = if line.ends_with(b"\r") { 1 } else { 2 };
    shortest.max(2 * words + end)
}

fn client_of_line(text: &str) -> Result<Option<SocketAddr>, NoHeader> {
    let mut words = text.split(' ').skip(1);
    let family = words.next();
    if family == Some("UNKNOWN") {
        return Ok(None);
    }
    let mut next = || words.next().ok_or(NoHeader);
    let (source, target, port, target_port) = (next()?, next()?, next()?, next()?);
    if words.next().is_some() {
        return Err(NoHeader);
    }
    let source = match family {
        Some("TCP4") => address::<Ipv4Addr>(source, target)?,
        Some("TCP6") => address::<Ipv6Addr>(source, target)?,
        _ => return Err(NoHeader),
    };
    let (port, _) = (number(port)?, number(target_port)?);
    Ok(Some(client(source, port)))
}

/// The first of two addresses that must be of this kind.
fn address<A: FromStr + Into<IpAddr>>(source: &str, target: &str) -> Result<IpAddr, NoHeader> {
    let parse = |text: &str| text.parse::<A>().map_err(|_| NoHeader);
    parse(target)?;
    Ok(parse(source)?.into())
}

fn number(text: &str) -> Result<u16, NoHeader> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    let port = text.parse().ok().filter(|_| is_plain);
    port.ok_or(NoHeader)
}

/// An IPv4 address that is written as one of IPv6 is still that.
fn client(address: IpAddr, port: u16) -> SocketAddr {
    SocketAddr::new(address.to_canonical(), port)
}

/// Version 2.
fn binary(bytes: &[u8]) -> Result<Step, NoHeader> {
    let Some((fixed, rest)) = bytes.split_first_chunk::<FIXED>() else {
        return Ok(Step::Needs(FIXED - bytes.len()));
    };
    let [.., version_and_command, family, high, low] = *fixed;
    let follows = usize::from(u16::from_be_bytes([high, low]));
    let is_relayed = match version_and_command {
        // The load balancer speaks for itself: it asks whether somebody is there.
        0x20 => false,
        0x21 => true,
        _ => return Err(NoHeader),
    };
    let addresses = match family {
        0x11 => 12,
        0x21 => 36,
        // Not told, datagrams, Unix sockets of another machine.
        0x00 | 0x12 | 0x22 | 0x31 | 0x32 => 0,
        _ => return Err(NoHeader),
    };
    let length = FIXED + follows;
    if !is_relayed || addresses == 0 {
        let client = None;
        return Ok(Step::Says(Told { client, length }));
    }
    if follows < addresses {
        return Err(NoHeader);
    }
    let client = match rest.len().checked_sub(addresses) {
        Some(_) => client_in(rest, family),
        None => return Ok(Step::Needs(addresses - rest.len())),
    };
    // What follows (TLVs) is about other things.
    Ok(Step::Says(Told { client, length }))
}

/// Source address, target address, source port, target port.
fn client_in(addresses: &[u8], family: u8) -> Option<SocketAddr> {
    let port_at = |at: usize| Some(u16::from_be_bytes(*addresses.get(at..)?.first_chunk()?));
    match family {
        0x11 => {
            let source = Ipv4Addr::from(*addresses.first_chunk::<4>()?);
            Some(client(source.into(), port_at(8)?))
        }
        _ => {
            let source = Ipv6Addr::from(*addresses.first_chunk::<16>()?);
            Some(client(source.into(), port_at(32)?))
        }
    }
}

/// A header of version 1 for a connection from the first address to the second;
/// without addresses it says that nothing is known.
#[must_use]
pub fn line_of(ends: Option<(SocketAddr, SocketAddr)>) -> Vec<u8> {
    let Some((source, target)) = ends else {
        return b"PROXY UNKNOWN\r\n".to_vec();
    };
    let (from, to) = (source.ip().to_canonical(), target.ip().to_canonical());
    let family = if from.is_ipv4() { 4 } else { 6 };
    let (source, target) = (source.port(), target.port());
    format!("PROXY TCP{family} {from} {to} {source} {target}\r\n").into_bytes()
}

/// The same of version 2; without addresses it says that the connection is the
/// sender's own.
#[must_use]
pub fn binary_of(ends: Option<(SocketAddr, SocketAddr)>) -> Vec<u8> {
    let canonical = ends.map(|(source, target)| {
        let ips = (source.ip().to_canonical(), target.ip().to_canonical());
        (ips, [source.port(), target.port()].map(u16::to_be_bytes))
    });
    let (fixed, addresses, ports) = match canonical {
        Some(((IpAddr::V4(from), IpAddr::V4(to)), ports)) => {
            let addresses = [from.octets(), to.octets()].concat();
            ([0x21, 0x11, 0, 12], addresses, ports.concat())
        }
        Some(((IpAddr::V6(from), IpAddr::V6(to)), ports)) => {
            let addresses = [from.octets(), to.octets()].concat();
            ([0x21, 0x21, 0, 36], addresses, ports.concat())
        }
        Some(_) | None => ([0x20, 0, 0, 0], Vec::new(), Vec::new()),
    };
    [&SIGNATURE[..], &fixed, &addresses, &ports].concat()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    /// Version 2, with what follows the length.
    fn binary_header(version_and_command: u8, family: u8, follows: &[u8]) -> Vec<u8> {
        let length = u16::try_from(follows.len()).unwrap().to_be_bytes();
        let fixed = [version_and_command, family, length[0], length[1]];
        [&SIGNATURE[..], &fixed, follows].concat()
    }

    const IPV4: [u8; 12] = [192, 0, 2, 7, 10, 0, 0, 1, 0x12, 0x67, 0x19, 0x20];

    fn ipv6() -> Vec<u8> {
        let source: Ipv6Addr = "2001:db8::7".parse().unwrap();
        let target: Ipv6Addr = "2001:db8::1".parse().unwrap();
        [&source.octets()[..], &target.octets(), &[0x12, 0x67, 0, 1]].concat()
    }

    /// Headers that are right, and the client that they tell of.
    fn right() -> Vec<(Vec<u8>, Option<&'static str>)> {
        let longest = format!("PROXY UNKNOWN {}\r\n", "x".repeat(91));
        assert_eq!(longest.len(), LONGEST_LINE);
        let lines = [
            (
                "PROXY TCP4 192.0.2.7 10.0.0.1 4711 6432\r\n",
                Some("192.0.2.7:4711"),
            ),
            ("PROXY TCP4 1.1.1.1 1.1.1.1 0 1\r\n", Some("1.1.1.1:0")),
            (
                "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff \
                 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
                Some("[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"),
            ),
            (
                "PROXY TCP6 ::ffff:192.0.2.7 :: 1 1\r\n",
                Some("192.0.2.7:1"),
            ),
            ("PROXY TCP6 :: :: 1 1\r\n", Some("[::]:1")),
            ("PROXY UNKNOWN\r\n", None),
            ("PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", None),
            (longest.as_str(), None),
        ];
        let lines = lines.map(|(line, client)| (line.as_bytes().to_vec(), client));
        let with_tlvs = [&IPV4[..], &[0x04, 0, 3, 1, 2, 3]].concat();
        let binary = [
            (binary_header(0x21, 0x11, &IPV4), Some("192.0.2.7:4711")),
            (
                binary_header(0x21, 0x11, &with_tlvs),
                Some("192.0.2.7:4711"),
            ),
            (
                binary_header(0x21, 0x21, &ipv6()),
                Some("[2001:db8::7]:4711"),
            ),
            (binary_header(0x20, 0x00, &[]), None),
            (binary_header(0x20, 0x11, &IPV4), None),
            (binary_header(0x21, 0x00, &[1, 2, 3]), None),
            (binary_header(0x21, 0x31, &[0; 216]), None),
            (binary_header(0x21, 0x12, &IPV4), None),
        ];
        lines.into_iter().chain(binary).collect()
    }

    /// Reads as a connection does, no byte more than is certain, from one that gives
    /// at most `pieces` at once. What it says, and how many bytes were taken.
    fn read_from(stream: &[u8], pieces: usize) -> Result<(Told, usize), NoHeader> {
        let mut taken = 0;
        loop {
            match read(&stream[..taken])? {
                Step::Says(told) => return Ok((told, taken)),
                Step::Needs(more) => {
                    assert!(more > 0, "{taken}");
                    assert!(taken < stream.len(), "it wants more than there is");
                    taken = (taken + more.min(pieces)).min(stream.len());
                }
            }
        }
    }

    #[test]
    fn a_header_tells_where_the_client_is() {
        for (header, client) in right() {
            let client = client.map(|client| client.parse().unwrap());
            let length = header.len();
            let told = Told { client, length };
            assert_eq!(read(&header), Ok(Step::Says(told)), "{header:?}");
        }
    }

    #[test]
    fn no_byte_behind_a_header_is_taken_however_it_arrives() {
        for (header, _) in right() {
            let behind = [&header[..], b"\x16\x03\x01"].concat();
            for pieces in [1, 2, 3, 7, 16, 1000] {
                let (told, taken) = read_from(&behind, pieces).unwrap();
                assert_eq!(told.length, header.len(), "{header:?}");
                assert!(taken <= header.len(), "{header:?}");
            }
        }
    }

    #[test]
    fn every_split_of_a_header_in_two_is_the_same() {
        for (header, _) in right() {
            let Ok(Step::Says(whole)) = read(&header) else {
                panic!("{header:?}");
            };
            for split in 0..header.len() {
                match read(&header[..split]) {
                    Ok(Step::Needs(more)) => assert!(split + more <= header.len(), "{header:?}"),
                    Ok(Step::Says(told)) => assert_eq!(told, whole, "{header:?}"),
                    Err(NoHeader) => panic!("{split} of {header:?}"),
                }
            }
        }
    }

    #[test]
    fn few_reads_are_needed_for_a_line() {
        let mut reads = 0;
        let line = b"PROXY TCP4 192.168.100.107 10.100.100.101 54711 6432\r\n";
        let mut taken = 0;
        while let Ok(Step::Needs(more)) = read(&line[..taken]) {
            (taken, reads) = (taken + more, reads + 1);
        }
        assert_eq!(taken, line.len());
        assert!(reads <= 16, "{reads}");
    }

    #[test]
    fn what_is_written_is_read_as_that() {
        let ends = [
            Some(("192.0.2.7:4711", "10.0.0.1:6432")),
            Some(("[2001:db8::7]:65535", "[::1]:1")),
            Some(("[::ffff:192.0.2.7]:4711", "[::ffff:10.0.0.1]:1")),
            None,
        ];
        for ends in ends {
            let ends = ends.map(|(from, to)| (from.parse().unwrap(), to.parse().unwrap()));
            let told = ends.map(|(from, _): (SocketAddr, _)| client(from.ip(), from.port()));
            for header in [line_of(ends), binary_of(ends)] {
                let (client, length) = (told, header.len());
                assert_eq!(read(&header), Ok(Step::Says(Told { client, length })));
            }
        }
        let ends = ["192.0.2.7:1", "10.0.0.1:2"].map(|end| end.parse().unwrap());
        let ends = Some((ends[0], ends[1]));
        assert_eq!(line_of(ends), b"PROXY TCP4 192.0.2.7 10.0.0.1 1 2\r\n");
        let addresses = [192, 0, 2, 7, 10, 0, 0, 1, 0, 1, 0, 2];
        assert_eq!(binary_of(ends), binary_header(0x21, 0x11, &addresses));
        assert_eq!(binary_of(None), binary_header(0x20, 0, &[]));
    }

    #[test]
    fn what_is_no_header_is_known_at_once() {
        // What clients of PostgreSQL, TLS and browsers begin with.
        for bytes in [
            &b"\0\0\0\x08\x04\xd2\x16\x2f"[..],
            b"\x16\x03\x01",
            b"GET / ",
        ] {
            assert_eq!(read(&bytes[..1]), Err(NoHeader), "{bytes:?}");
            assert!(!may_begin_with(bytes[0]));
        }
        assert_eq!(read(b"PROXX"), Err(NoHeader));
        assert_eq!(read(b"\r\n\r\n\0\r\nQUIX"), Err(NoHeader));
        assert!(may_begin_with(b'P') && may_begin_with(b'\r'));
    }

    #[test]
    fn a_line_that_is_not_right_is_refused() {
        let too_long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(92));
        for line in [
            "PROXY \r\n",
            "PROXY TCP4\r\n",
            "PROXY TCP4 192.0.2.7 10.0.0.1 4711\r\n",
            "PROXY TCP4 192.0.2.7 10.0.0.1 4711 6432 1\r\n",
            "PROXY TCP4 192.0.2.7 10.0.0.1 4711 6432 \r\n",
            "PROXY TCP4  192.0.2.7 10.0.0.1 4711 6432\r\n",
            "PROXY TCP4 192.0.2.7 10.0.0.1 4711 6432\n",
            "PROXY TCP4 192.0.2.7 10.0.0.1 65536 6432\r\n",
            "PROXY TCP4 192.0.2.7 10.0.0.1 +1 6432\r\n",
            "PROXY TCP4 192.0.2.7 10.0.0.1 -1 6432\r\n",
            "PROXY TCP4 192.0.2.7 10.0.0.1  6432\r\n",
            "PROXY TCP4 192.0.2 10.0.0.1 1 6432\r\n",
            "PROXY TCP4 ::1 ::1 1 6432\r\n",
            "PROXY TCP6 192.0.2.7 10.0.0.1 1 6432\r\n",
            "PROXY TCP5 192.0.2.7 10.0.0.1 1 6432\r\n",
            "PROXY UNKNOWNX\r\n",
            "PROXY unknown\r\n",
            "PROXY TCP4 192.0.2.7\0 10.0.0.1 1 6432\r\n",
            too_long.as_str(),
        ] {
            assert_eq!(read(line.as_bytes()), Err(NoHeader), "{line:?}");
        }
        let broken = b"PROXY UNKNOWN \xff\xfe\r\n";
        assert_eq!(read(broken), Err(NoHeader));
    }

    #[test]
    fn a_binary_header_that_is_not_right_is_refused() {
        for (version_and_command, family, follows) in [
            (0x11, 0x11, &IPV4[..]),
            (0x31, 0x11, &IPV4),
            (0x22, 0x11, &IPV4),
            (0x2f, 0x11, &IPV4),
            (0x21, 0x13, &IPV4),
            (0x21, 0x41, &IPV4),
            (0x21, 0x10, &IPV4),
            (0x21, 0x11, &IPV4[..11]),
            (0x21, 0x21, &[0; 35]),
        ] {
            let header = binary_header(version_and_command, family, follows);
            assert_eq!(read(&header), Err(NoHeader), "{header:?}");
        }
    }

    /// A generator of its own, so that the case is the same each time.
    fn random(seed: &mut u64) -> usize {
        *seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(*seed >> 33).unwrap()
    }

    #[test]
    fn random_bytes_and_spoilt_headers_come_to_an_end() {
        let (mut seed, mut refused) = (7, 0);
        let headers = right();
        for round in 0..200_000 {
            let mut bytes = match round % 4 {
                0 => (0..random(&mut seed) % 300).map(|_| 0).collect(),
                _ => headers[random(&mut seed) % headers.len()].0.clone(),
            };
            let spoilt = if round % 4 == 0 {
                bytes.len()
            } else {
                1 + round % 3
            };
            for _ in 0..spoilt {
                let at = random(&mut seed) % bytes.len().max(1);
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = u8::try_from(random(&mut seed) & 0xff).unwrap();
                }
            }
            match read(&bytes) {
                Ok(Step::Needs(more)) => assert!((1..=36).contains(&more), "{bytes:?}"),
                Ok(Step::Says(told)) => {
                    assert!(told.length <= FIXED + usize::from(u16::MAX), "{bytes:?}");
                }
                Err(NoHeader) => refused += 1,
            }
        }
        assert!(refused > 100_000, "{refused}");
    }
}
