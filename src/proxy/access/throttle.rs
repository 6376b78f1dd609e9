//! How often logins may fail: whoever guesses passwords is slowed down.
//!
//! A bucket for each address and user, and a larger one for each address. A
//! failure takes from both; time fills them again, and so does success, for
//! that user. So what one user's forgotten program does from behind a gateway
//! keeps no other user out.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use crate::auth::userlist::MAX_NAME_BYTES;

/// Most buckets that are kept. Those that are full again go first.
const MAX_BUCKETS: usize = 20_000;

/// So many times the failures of one user may come from one address.
const USERS_OF_AN_ADDRESS: u32 = 10;

const MINUTE: Duration = Duration::from_secs(60);

/// Whose failures are counted together; no user: those of all.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Who {
    address: IpAddr,
    user: Option<String>,
}

/// Failures that are still held against somebody, as of a time.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    failures: f64,
    at: Instant,
}

impl Bucket {
    fn now(self, now: Instant, per_minute: u32) -> f64 {
        let minutes = now.duration_since(self.at).as_secs_f64() / MINUTE.as_secs_f64();
        (self.failures - minutes * f64::from(per_minute)).max(0.0)
    }
}

/// The failures of late.
#[derive(Debug, Default)]
pub(super) struct Throttle(HashMap<Who, Bucket>);

impl Throttle {
    /// May this user log in from there now? `per_minute` is
    /// `auth_failures_per_minute`; 0 is without limit.
    pub fn admits(&self, address: IpAddr, user: &str, per_minute: u32, now: Instant) -> bool {
        let limits = limits(address, user, per_minute);
        let is_below = |(who, limit): &(Who, u32)| {
            let bucket = self.0.get(who);
            bucket.is_none_or(|bucket| bucket.now(now, *limit) + 1.0 <= f64::from(*limit))
        };
        per_minute == 0 || limits.iter().all(is_below)
    }

    /// A login has failed.
    pub fn failed(&mut self, address: IpAddr, user: &str, per_minute: u32, now: Instant) {
        if per_minute == 0 {
            return;
        }
        for (who, limit) in limits(address, user, per_minute) {
            if self.0.len() >= MAX_BUCKETS && !self.0.contains_key(&who) {
                self.make_room(per_minute, now);
            }
            let bucket = self.0.entry(who).or_insert(Bucket {
                failures: 0.0,
                at: now,
            });
            let failures = (bucket.now(now, limit) + 1.0).min(f64::from(limit));
            *bucket = Bucket { failures, at: now };
        }
    }

    /// A login has succeeded.
    pub fn succeeded(&mut self, address: IpAddr, user: &str) {
        if !self.0.is_empty() {
            let [(who, _), _] = limits(address, user, 1);
            self.0.remove(&who);
        }
    }

    /// What was counted beforehand was no failure.
    pub fn was_none(&mut self, address: IpAddr, user: &str) {
        for (who, _) in limits(address, user, 1) {
            if let Some(bucket) = self.0.get_mut(&who) {
                bucket.failures = (bucket.failures - 1.0).max(0.0);
            }
        }
    }

    /// Forgets what time has made up for; where that is nothing, all but the
    /// addresses as a whole.
    fn make_room(&mut self, per_minute: u32, now: Instant) {
        let before = self.0.len();
        self.0.retain(|_, bucket| bucket.now(now, per_minute) > 0.0);
        if self.0.len() == before {
            self.0.retain(|who, _| who.user.is_none());
        }
        if self.0.len() == before {
            self.0.clear();
        }
    }
}

fn limits(address: IpAddr, user: &str, per_minute: u32) -> [(Who, u32); 2] {
    let address = network(address);
    // Longer ones are no role's, and would cost memory.
    let short = |user: &str| user.chars().take(MAX_NAME_BYTES).collect();
    let of = |user: Option<&str>| Who {
        address,
        user: user.map(short),
    };
    [
        (of(Some(user)), per_minute),
        (of(None), per_minute.saturating_mul(USERS_OF_AN_ADDRESS)),
    ]
}

/// Whoever has one IPv6 address has all of its /64.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = address.to_bits() & (u128::MAX << 64);
            IpAddr::V6(Ipv6Addr::from_bits(network))
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    fn fail(throttle: &mut Throttle, from: IpAddr, user: &str, times: u32, now: Instant) {
        for _ in 0..times {
            throttle.failed(from, user, 5, now);
        }
    }

    #[test]
    fn after_so_many_failures_a_user_waits_and_others_do_not() {
        let (mut throttle, now) = (Throttle::default(), Instant::now());
        fail(&mut throttle, address(1), "alice", 4, now);
        assert!(throttle.admits(address(1), "alice", 5, now));
        fail(&mut throttle, address(1), "alice", 1, now);
        assert!(!throttle.admits(address(1), "alice", 5, now));
        assert!(throttle.admits(address(1), "bob", 5, now));
        assert!(throttle.admits(address(2), "alice", 5, now));
        assert!(throttle.admits(address(1), "alice", 0, now));
        // One is forgiven after a fifth of a minute.
        let later = now + Duration::from_secs(13);
        assert!(throttle.admits(address(1), "alice", 5, later));
    }

    #[test]
    fn more_failures_than_the_limit_are_not_held_against_anybody_for_longer() {
        let (mut throttle, now) = (Throttle::default(), Instant::now());
        fail(&mut throttle, address(1), "alice", 500, now);
        assert!(!throttle.admits(address(1), "alice", 5, now));
        let later = now + Duration::from_secs(13);
        assert!(throttle.admits(address(1), "alice", 5, later));
        fail(&mut throttle, address(1), "alice", 1, later);
        assert!(!throttle.admits(address(1), "alice", 5, later));
        throttle.was_none(address(1), "alice");
        assert!(throttle.admits(address(1), "alice", 5, later));
    }

    #[test]
    fn success_makes_up_for_failures() {
        let (mut throttle, now) = (Throttle::default(), Instant::now());
        fail(&mut throttle, address(1), "alice", 5, now);
        throttle.succeeded(address(1), "alice");
        assert!(throttle.admits(address(1), "alice", 5, now));
    }

    #[test]
    fn an_address_may_not_try_one_user_after_the_other_for_ever() {
        let (mut throttle, now) = (Throttle::default(), Instant::now());
        for user in 0..50 {
            assert!(throttle.admits(address(1), &user.to_string(), 5, now));
            fail(&mut throttle, address(1), &user.to_string(), 1, now);
        }
        assert!(!throttle.admits(address(1), "bob", 5, now));
        assert!(throttle.admits(address(2), "bob", 5, now));
    }

    #[test]
    fn neighbours_in_an_ipv6_network_are_one() {
        let (mut throttle, now) = (Throttle::default(), Instant::now());
        let at = |text: &str| text.parse().unwrap_or(address(1));
        fail(&mut throttle, at("2001:db8::1"), "alice", 5, now);
        assert!(!throttle.admits(at("2001:db8::2"), "alice", 5, now));
        assert!(throttle.admits(at("2001:db8:0:1::1"), "alice", 5, now));
        fail(&mut throttle, at("::ffff:192.0.2.9"), "alice", 5, now);
        assert!(!throttle.admits(address(9), "alice", 5, now));
    }

    #[test]
    fn however_many_come_memory_stays_bounded() {
        let (mut throttle, now) = (Throttle::default(), Instant::now());
        for user in 0..30_000 {
            throttle.failed(address(1), &user.to_string(), 5, now);
        }
        assert!(throttle.0.len() <= MAX_BUCKETS);
        assert!(!throttle.admits(address(1), "bob", 5, now));
    }
}
