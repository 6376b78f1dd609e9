//! The key of a cancel request, and what it tells of who gave it.
//!
//! Process id and secret of a BackendKeyData are one string of bytes. Where a
//! process has peers, two bytes of it are the number of the process, and two
//! bits count how often the request may still be passed on, in the places that
//! PgBouncer has for them: so that each knows where a request belongs, and one
//! that goes round comes to an end. All else is random.

use super::frontend::cancel_request;

/// Bytes of a key up to protocol 3.0, and of what stands in front in a longer one.
const HEAD: usize = 8;

/// The longest key that there may be (protocol 3.2): process id and 256 bytes.
const LONGEST: usize = 260;

/// Process ids that we give to clients have this bit set and the sign not: no
/// operating system uses such, so that a client that signals "its" backend hits
/// nobody.
const VIRTUAL: u8 = 0x40;

/// In the first byte: what is not random.
const NOT_RANDOM: u8 = 0xC0;

/// In the last byte of the head: how often the request may be passed on.
const FORWARDS: u8 = 0x03;

/// The key of a cancel request.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct CancelKey {
    head: [u8; HEAD],
    tail: Vec<u8>,
}

/// It is a secret.
impl std::fmt::Debug for CancelKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CancelKey")
    }
}

impl CancelKey {
    /// From the bytes of a CancelRequest; none if no key can be so short or long.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let (head, tail) = bytes.split_first_chunk()?;
        (bytes.len() <= LONGEST).then(|| Self {
            head: *head,
            tail: tail.to_vec(),
        })
    }

    /// The head of a key for a client, as a number: `random` but for what must
    /// be so. `peer` is our own number, 0 where there are no peers.
    #[must_use]
    pub fn head_for(random: u64, peer: u16) -> u64 {
        let mut head = random.to_be_bytes();
        head[0] = head[0] & !NOT_RANDOM | VIRTUAL;
        if peer != 0 {
            [head[1], head[2]] = peer.to_le_bytes();
            head[7] |= FORWARDS;
        }
        u64::from_be_bytes(head)
    }

    /// Its first eight bytes.
    #[must_use]
    pub fn head(&self) -> u64 {
        u64::from_be_bytes(self.head)
    }

    /// All of it, as it was read.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        [&self.head[..], &self.tail].concat()
    }

    /// The same as a client was given them by one that has peers, however often
    /// the request has been passed on since.
    #[must_use]
    pub fn head_as_given(&self) -> u64 {
        self.head() | u64::from(FORWARDS)
    }

    /// What stands behind them.
    #[must_use]
    pub fn tail(&self) -> &[u8] {
        &self.tail
    }

    /// The number of the process that gave it, if that has peers.
    #[must_use]
    pub fn peer(&self) -> u16 {
        u16::from_le_bytes([self.head[1], self.head[2]])
    }

    /// As it is passed on; none if that has been done often enough.
    #[must_use]
    pub fn passed_on(&self) -> Option<Self> {
        let mut next = self.clone();
        if next.head[7] & FORWARDS == 0 {
            return None;
        }
        next.head[7] -= 1;
        Some(next)
    }

    /// The CancelRequest with it.
    #[must_use]
    pub fn request(&self) -> Vec<u8> {
        let [a, b, c, d, secret @ ..] = self.head;
        cancel_request(
            i32::from_be_bytes([a, b, c, d]),
            &[&secret[..], &self.tail].concat(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(bytes: &[u8]) -> CancelKey {
        CancelKey::read(bytes).unwrap_or_default()
    }

    #[test]
    fn a_key_names_its_process_where_pgbouncer_looks_for_it() {
        let head = CancelKey::head_for(0, 0x1234);
        assert_eq!(head.to_be_bytes(), [0x40, 0x34, 0x12, 0, 0, 0, 0, 3]);
        let head = CancelKey::head_for(u64::MAX, 1);
        assert_eq!(
            head.to_be_bytes(),
            [0x7f, 1, 0, 0xff, 0xff, 0xff, 0xff, 0xff]
        );
        assert_eq!(key(&head.to_be_bytes()).peer(), 1);
    }

    #[test]
    fn all_else_of_a_key_is_random() {
        let bits = |peer| {
            let differ = CancelKey::head_for(0, peer) ^ CancelKey::head_for(u64::MAX, peer);
            differ.count_ones()
        };
        assert_eq!(bits(0), 62);
        assert_eq!(bits(16_383), 44);
    }

    #[test]
    fn a_request_is_passed_on_three_times() {
        let given = key(&CancelKey::head_for(0xabcd_ef01_2345_6789, 7).to_be_bytes());
        let mut now = given.clone();
        let mut times = 0;
        while let Some(next) = now.passed_on() {
            assert_eq!((next.peer(), next.tail()), (7, given.tail()));
            assert_eq!(next.head_as_given(), given.head());
            assert_ne!(next.head(), given.head());
            (now, times) = (next, times + 1);
        }
        assert_eq!(times, 3);
    }

    #[test]
    fn a_key_of_any_length_is_passed_on_whole() {
        for length in [8, 9, 36, 260] {
            let bytes: Vec<u8> = (1..=251).cycle().take(length).collect();
            let key = key(&bytes);
            assert_eq!(key.request().get(8..), Some(&bytes[..]), "{length}");
            let len = key.request().len();
            assert_eq!(len, 8 + bytes.len());
        }
        for length in [0, 4, 7, 261] {
            assert_eq!(CancelKey::read(&vec![1; length]), None, "{length}");
        }
    }
}
