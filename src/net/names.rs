//! The addresses of names, remembered for a while.
//!
//! The system is asked on threads that may block, about one name once at a time,
//! and tells no time to live: `dns_max_ttl` is ours. What a name had when it could
//! last be resolved holds until it can be again.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore};
use tokio::time::timeout;

use super::dial::{Place, Target};

/// Names that are asked about at the same time: threads that are needed for other
/// things as well.
const AT_ONCE: usize = 32;

/// So long an answer is waited for where an older one would do.
const PATIENCE: Duration = Duration::from_secs(1);

/// Names that nobody has asked for in so long are forgotten.
const FORGOTTEN: Duration = Duration::from_secs(600);

/// No answer is remembered for longer.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// More addresses of one name are not looked at.
const MAX_ADDRESSES: usize = 64;

/// Who knows the addresses of a name. It may block.
pub type Resolve = dyn Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync;

/// How long answers are remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ttl {
    /// Addresses; zero: each connection asks anew.
    pub found: Duration,
    /// That there are none.
    pub not_found: Duration,
}

/// See the module. Clones are the same.
#[derive(Clone)]
pub struct Names(Arc<Inner>);

struct Inner {
    resolve: Arc<Resolve>,
    at_once: Arc<Semaphore>,
    ttl: Mutex<Ttl>,
    names: Mutex<HashMap<String, Arc<Name>>>,
}

#[derive(Debug)]
struct Name {
    known: Mutex<Known>,
    answered: Notify,
}

#[derive(Debug)]
struct Known {
    /// Of the latest answer that had any.
    addresses: Vec<SocketAddr>,
    /// Why the latest answer had none.
    failed: Option<String>,
    /// When that was.
    at: Option<Instant>,
    /// Answers so far.
    answers: u64,
    /// Is one waited for?
    is_asked: bool,
    /// Nobody was there: the addresses may be others by now.
    is_doubtful: bool,
    /// With which of its addresses the next connection begins.
    next: usize,
    /// When somebody wanted it last.
    wanted: Instant,
}

/// One name, for those who want to see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The name.
    pub name: String,
    /// So long it is not asked about again.
    pub ttl: Duration,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Names(..)")
    }
}

impl Default for Names {
    /// As the system knows them.
    fn default() -> Self {
        let seconds = Duration::from_secs(15);
        let ttl = Ttl {
            found: seconds,
            not_found: seconds,
        };
        let system = |name: &str| (name, 0).to_socket_addrs().map(Iterator::collect);
        Self::new(Arc::new(system), ttl)
    }
}

impl Names {
    /// As `resolve` knows them.
    #[must_use]
    pub fn new(resolve: Arc<Resolve>, ttl: Ttl) -> Self {
        Self(Arc::new(Inner {
            resolve,
            at_once: Arc::new(Semaphore::new(AT_ONCE)),
            ttl: Mutex::new(ttl),
            names: Mutex::default(),
        }))
    }

    /// From now on answers are remembered for so long, those of before as well.
    pub fn remember_for(&self, ttl: Ttl) {
        *self.0.ttl.lock() = ttl;
    }

    /// The addresses of a name, with this port: each time another one comes first.
    ///
    /// # Errors
    /// Why there are none.
    ///
    /// # Cancel safety
    /// Dropped before its end, the answer comes for others.
    pub async fn addresses(&self, name: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
        // An address needs nobody to be asked.
        if let Ok(ip) = name.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(ip, port)]);
        }
        let known = self.name(name);
        let (before, has_any) = {
            let mut known = known.known.lock();
            known.wanted = Instant::now();
            if known
                .expires(self.ttl())
                .is_some_and(|at| at > known.wanted)
            {
                return known.turn(port);
            }
            (known.answers, !known.addresses.is_empty())
        };
        self.ask(name, &known);
        let answer = known.answer_after(before);
        match has_any {
            true => drop(timeout(PATIENCE, answer).await),
            false => answer.await,
        }
        let mut known = known.known.lock();
        known.turn(port)
    }

    /// Where a server is to be reached: a Unix socket is one place, a name may have
    /// several.
    ///
    /// # Errors
    /// Those of [`Names::addresses`].
    ///
    /// # Cancel safety
    /// That of [`Names::addresses`].
    pub async fn places(&self, target: &Target) -> Result<Vec<Place>, String> {
        match target {
            Target::Unix(path) => Ok(vec![Place::Unix(path.clone())]),
            Target::Tcp(host, port) => {
                let addresses = self.addresses(host, *port).await?;
                Ok(addresses.into_iter().map(Place::Tcp).collect())
            }
        }
    }

    /// Has the name, as far as it is known, lost this address?
    #[must_use]
    pub fn has_lost(&self, name: &str, address: IpAddr) -> bool {
        let names = self.0.names.lock();
        let Some(name) = names.get(name) else {
            return false;
        };
        let known = name.known.lock();
        let is_it = |known: &SocketAddr| known.ip() == address;
        !known.addresses.is_empty() && !known.addresses.iter().any(is_it)
    }

    /// Nobody can be reached at a name's addresses: the next who wants them asks
    /// anew.
    pub fn doubt(&self, name: &str) {
        if let Some(name) = self.0.names.lock().get(name) {
            name.known.lock().is_doubtful = true;
        }
    }

    /// Asks again about names whose answers are old and that `is_used` tells to be
    /// in use; others are forgotten in the end.
    pub fn renew(&self, now: Instant, is_used: impl Fn(&str) -> bool) {
        let ttl = self.ttl();
        let is_old = |name: &Arc<Name>| {
            let known = name.known.lock();
            known.expires(ttl).is_some_and(|at| at <= now)
        };
        let old: Vec<_> = {
            let names = self.0.names.lock();
            let old = names.iter().filter(|(_, known)| is_old(known));
            old.map(|(name, known)| (name.clone(), Arc::clone(known)))
                .collect()
        };
        for (name, known) in old {
            if is_used(&name) {
                if !ttl.found.is_zero() {
                    self.ask(&name, &known);
                }
            } else if now.saturating_duration_since(known.known.lock().wanted) > FORGOTTEN {
                self.0.names.lock().remove(&name);
            }
        }
    }

    /// All that are known, by name.
    #[must_use]
    pub fn all(&self) -> Vec<Resolved> {
        let (now, ttl) = (Instant::now(), self.ttl());
        let shown = |(name, known): (&String, &Arc<Name>)| {
            let known = known.known.lock();
            let expires = known.expires(ttl).unwrap_or(now);
            Resolved {
                name: name.clone(),
                ttl: expires.saturating_duration_since(now),
                addresses: known.addresses.iter().map(SocketAddr::ip).collect(),
            }
        };
        let names = self.0.names.lock();
        let mut all: Vec<_> = names.iter().map(shown).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// How many are asked about now.
    #[must_use]
    pub fn asked(&self) -> usize {
        let names = self.0.names.lock();
        let asked = names.values().filter(|name| name.known.lock().is_asked);
        asked.count()
    }

    fn ttl(&self) -> Ttl {
        *self.0.ttl.lock()
    }

    fn name(&self, name: &str) -> Arc<Name> {
        let mut names = self.0.names.lock();
        if let Some(known) = names.get(name) {
            return Arc::clone(known);
        }
        let known = Arc::new(Name::new());
        names.insert(name.to_owned(), Arc::clone(&known));
        known
    }

    /// Asks about a name, unless that is done already.
    fn ask(&self, name: &str, known: &Arc<Name>) {
        if std::mem::replace(&mut known.known.lock().is_asked, true) {
            return;
        }
        let (name, known) = (name.to_owned(), Arc::clone(known));
        let (resolve, at_once) = (Arc::clone(&self.0.resolve), Arc::clone(&self.0.at_once));
        tokio::spawn(async move {
            let _one_of_few = at_once.acquire_owned().await;
            let asked = name.clone();
            let answer = tokio::task::spawn_blocking(move || resolve(&asked)).await;
            let answer = answer.unwrap_or_else(|error| Err(io::Error::other(error)));
            known.answers(&name, answer, Instant::now());
        });
    }
}

impl Name {
    fn new() -> Self {
        Self {
            known: Mutex::new(Known {
                addresses: Vec::new(),
                failed: None,
                at: None,
                answers: 0,
                is_asked: false,
                is_doubtful: false,
                next: 0,
                wanted: Instant::now(),
            }),
            answered: Notify::new(),
        }
    }

    /// Waits for an answer beyond so many.
    async fn answer_after(&self, answers: u64) {
        loop {
            let answered = self.answered.notified();
            if self.known.lock().answers > answers {
                return;
            }
            answered.await;
        }
    }

    fn answers(&self, name: &str, answer: io::Result<Vec<SocketAddr>>, now: Instant) {
        let answer = answer.and_then(|addresses| match addresses.is_empty() {
            true => Err(io::Error::other("it has no address")),
            false => Ok(addresses),
        });
        let mut known = self.known.lock();
        match answer {
            Ok(addresses) => known.has(name, addresses),
            Err(error) => known.has_failed(name, &error),
        }
        known.at = Some(now);
        known.answers += 1;
        (known.is_asked, known.is_doubtful) = (false, false);
        drop(known);
        self.answered.notify_waiters();
    }
}

impl Known {
    /// When to ask again.
    fn expires(&self, ttl: Ttl) -> Option<Instant> {
        let remembered = match self.failed {
            None => ttl.found,
            Some(_) => ttl.not_found,
        };
        let remembered = match self.is_doubtful {
            true => Duration::ZERO,
            false => remembered,
        };
        self.at.map(|at| at + remembered.min(LONGEST))
    }

    /// All addresses, another one first.
    fn turn(&mut self, port: u16) -> Result<Vec<SocketAddr>, String> {
        if self.addresses.is_empty() {
            let why = self.failed.clone();
            return Err(why.unwrap_or_else(|| "nobody has answered".to_owned()));
        }
        let mut addresses = self.addresses.clone();
        let first = self.next % addresses.len();
        self.next = first + 1;
        addresses.rotate_left(first);
        addresses
            .iter_mut()
            .for_each(|address| address.set_port(port));
        Ok(addresses)
    }

    fn has(&mut self, name: &str, found: Vec<SocketAddr>) {
        let mut addresses: Vec<SocketAddr> = Vec::new();
        for address in found.into_iter().take(MAX_ADDRESSES) {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        let is_news = |address: &SocketAddr| !self.addresses.contains(address);
        let is_change = addresses.len() != self.addresses.len() || addresses.iter().any(is_news);
        if is_change && !self.addresses.is_empty() {
            let told = |all: &[SocketAddr]| {
                let all: Vec<_> = all.iter().map(|each| each.ip().to_string()).collect();
                all.join(", ")
            };
            let (before, now) = (told(&self.addresses), told(&addresses));
            tracing::info!(host = %name, "DNS change: it is at {now}, and was at {before}");
        }
        // Resolvers give them in another order each time: here the order stays.
        if is_change {
            self.addresses = addresses;
        }
        self.failed = None;
    }

    fn has_failed(&mut self, name: &str, error: &io::Error) {
        if self.failed.is_none() && !self.addresses.is_empty() {
            tracing::warn!(host = %name, "it cannot be resolved, and is taken to be where it was: {error}");
        }
        self.failed = Some(error.to_string());
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

    const LONG: Duration = Duration::from_secs(3600);

    /// A resolver that says what it is told to, and counts.
    #[derive(Default)]
    struct Oracle {
        says: Mutex<Vec<&'static str>>,
        asked: AtomicU32,
        /// It does not answer.
        is_silent: AtomicBool,
    }

    impl Oracle {
        fn says(&self, addresses: &[&'static str]) {
            *self.says.lock() = addresses.to_vec();
        }

        fn names(self: &Arc<Self>, found: Duration) -> Names {
            let oracle = Arc::clone(self);
            let resolve = move |_: &str| {
                oracle.asked.fetch_add(1, Ordering::SeqCst);
                while oracle.is_silent.load(Ordering::SeqCst) {
                    std::thread::sleep(Duration::from_millis(1));
                }
                let says = oracle.says.lock();
                match says.is_empty() {
                    true => Err(io::Error::other("no such name")),
                    false => Ok(says
                        .iter()
                        .map(|ip| SocketAddr::new(ip.parse().unwrap(), 0))
                        .collect()),
                }
            };
            let not_found = found;
            Names::new(Arc::new(resolve), Ttl { found, not_found })
        }

        fn asked(&self) -> u32 {
            self.asked.load(Ordering::SeqCst)
        }
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    async fn until_asked(names: &Names) {
        while names.asked() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    #[tokio::test]
    async fn an_address_is_its_own_name() {
        let oracle = Arc::new(Oracle::default());
        let names = oracle.names(LONG);
        for (host, told) in [("10.0.0.1", "10.0.0.1:5"), ("::1", "[::1]:5")] {
            let addresses = names.addresses(host, 5).await.unwrap();
            assert_eq!(addresses, [told.parse().unwrap()]);
        }
        assert_eq!((oracle.asked(), names.all().len()), (0, 0));
    }

    #[tokio::test]
    async fn all_addresses_come_first_in_turn_and_nobody_is_asked_again() {
        let oracle = Arc::new(Oracle::default());
        oracle.says(&["10.0.0.1", "10.0.0.2", "10.0.0.1", "::2"]);
        let names = oracle.names(LONG);
        let mut first = Vec::new();
        for _ in 0..4 {
            let addresses = names.addresses("db", 5432).await.unwrap();
            assert_eq!(addresses.len(), 3);
            first.push(addresses.first().unwrap().to_string());
        }
        let expected = [
            "10.0.0.1:5432",
            "10.0.0.2:5432",
            "[::2]:5432",
            "10.0.0.1:5432",
        ];
        assert_eq!(first, expected);
        assert_eq!(oracle.asked(), 1);
        let shown = names.all();
        let shown = shown.first().unwrap();
        assert_eq!(shown.name, "db");
        assert!(shown.ttl > LONG - Duration::from_secs(60) && shown.ttl <= LONG);
        assert_eq!(shown.addresses, [ip("10.0.0.1"), ip("10.0.0.2"), ip("::2")]);
    }

    #[tokio::test]
    async fn a_name_is_asked_about_once_at_a_time_and_each_name_alone() {
        let oracle = Arc::new(Oracle::default());
        oracle.says(&["10.0.0.1"]);
        let names = oracle.names(Duration::ZERO);
        oracle.is_silent.store(true, Ordering::SeqCst);
        let ask = |name: &'static str| {
            let names = names.clone();
            tokio::spawn(async move { names.addresses(name, 1).await })
        };
        let waiting: Vec<_> = (0..10).map(|_| ask("a")).chain([ask("b")]).collect();
        while oracle.asked() < 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(names.asked(), 2);
        oracle.is_silent.store(false, Ordering::SeqCst);
        for each in waiting {
            assert_eq!(each.await.unwrap().unwrap().len(), 1);
        }
        assert_eq!(oracle.asked(), 2);
        // Nothing is remembered, so the next asks anew.
        names.addresses("a", 1).await.unwrap();
        assert_eq!(oracle.asked(), 3);
    }

    #[tokio::test]
    async fn that_there_is_no_such_name_is_remembered_too() {
        let oracle = Arc::new(Oracle::default());
        let names = oracle.names(LONG);
        for _ in 0..3 {
            let why = names.addresses("db", 1).await.unwrap_err();
            assert_eq!(why, "no such name");
        }
        assert_eq!(oracle.asked(), 1);
        assert!(!names.has_lost("db", ip("10.0.0.1")));
        oracle.says(&["10.0.0.1"]);
        names.remember_for(Ttl {
            found: LONG,
            not_found: Duration::ZERO,
        });
        assert_eq!(names.addresses("db", 1).await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn names_in_use_are_asked_about_again_when_their_time_is_over() {
        let oracle = Arc::new(Oracle::default());
        oracle.says(&["10.0.0.1", "10.0.0.2"]);
        let names = oracle.names(LONG);
        names.addresses("db", 1).await.unwrap();
        names.addresses("unused", 1).await.unwrap();
        let is_used = |name: &str| name == "db";
        names.renew(Instant::now(), is_used);
        assert_eq!(oracle.asked(), 2, "their time is not over");
        oracle.says(&["10.0.0.3", "10.0.0.2"]);
        let later = Instant::now() + LONG;
        names.renew(later, is_used);
        until_asked(&names).await;
        assert_eq!(oracle.asked(), 3);
        assert!(names.has_lost("db", ip("10.0.0.1")));
        assert!(!names.has_lost("db", ip("10.0.0.2")));
        assert!(!names.has_lost("unused", ip("10.0.0.1")));
        let known = |names: &Names| names.all().into_iter().map(|n| n.name).collect::<Vec<_>>();
        assert_eq!(known(&names), ["db"], "what nobody wants is forgotten");
    }

    #[tokio::test]
    async fn what_cannot_be_resolved_is_where_it_was() {
        let oracle = Arc::new(Oracle::default());
        oracle.says(&["10.0.0.1"]);
        let names = oracle.names(Duration::ZERO);
        names.addresses("db", 1).await.unwrap();
        oracle.says(&[]);
        assert_eq!(names.addresses("db", 1).await.unwrap().len(), 1);
        assert!(!names.has_lost("db", ip("10.0.0.1")));
        // Nor is a resolver that hangs waited for.
        oracle.is_silent.store(true, Ordering::SeqCst);
        let began = Instant::now();
        assert_eq!(names.addresses("db", 1).await.unwrap().len(), 1);
        assert!(began.elapsed() >= PATIENCE);
        oracle.is_silent.store(false, Ordering::SeqCst);
        oracle.says(&["10.0.0.2"]);
        until_asked(&names).await;
        let addresses = names.addresses("db", 1).await.unwrap();
        assert_eq!(addresses, ["10.0.0.2:1".parse().unwrap()]);
    }

    #[tokio::test]
    async fn what_led_nowhere_is_asked_about_anew() {
        let oracle = Arc::new(Oracle::default());
        oracle.says(&["10.0.0.1"]);
        let names = oracle.names(LONG);
        names.addresses("db", 1).await.unwrap();
        oracle.says(&["10.0.0.2"]);
        names.doubt("db");
        for _ in 0..2 {
            let addresses = names.addresses("db", 1).await.unwrap();
            assert_eq!(addresses, ["10.0.0.2:1".parse().unwrap()]);
        }
        assert_eq!(oracle.asked(), 2);
    }

    #[tokio::test]
    async fn the_order_stays_where_only_the_answers_order_is_another() {
        let oracle = Arc::new(Oracle::default());
        let names = oracle.names(Duration::ZERO);
        let mut first = Vec::new();
        for says in [["10.0.0.1", "10.0.0.2"], ["10.0.0.2", "10.0.0.1"]] {
            oracle.says(&says);
            let addresses = names.addresses("db", 1).await.unwrap();
            first.push(addresses.first().unwrap().to_string());
        }
        assert_eq!(first, ["10.0.0.1:1", "10.0.0.2:1"]);
    }

    #[tokio::test]
    async fn the_system_knows_this_machine() {
        let addresses = Names::default().addresses("localhost", 7).await.unwrap();
        assert!(addresses.iter().all(|each| each.ip().is_loopback()));
        assert!(addresses.iter().all(|each| each.port() == 7));
    }
}
