//! Hosts by their names, whose addresses may change.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pgweave::config::{Config, Sources, from_toml};
use pgweave::net::tls::Tls;
use pgweave::net::{Inherited, ListenOptions, Names, Ttl, listen};
use pgweave::pool::{Directory, Lease, Shelf};
use pgweave::proxy::{Access, House, serve};
use pgweave::session::Rest;
use tokio::runtime::Runtime;

use crate::console::{Shown, console, plan};
use crate::support::frames;
use crate::support::postgres::{Cluster, Database};
use crate::support::raw::{Connection, cancel, first_error};
use crate::support::wait;

const LONG: Duration = Duration::from_secs(30);

/// A resolver that says what it is told to, of every name.
#[derive(Clone, Default)]
struct Oracle(Arc<Mutex<Vec<&'static str>>>);

impl Oracle {
    fn says(&self, addresses: &[&'static str]) {
        *self.0.lock().unwrap() = addresses.to_vec();
    }

    /// Asked again whenever that can be.
    fn names(&self) -> Names {
        self.names_for(Duration::from_nanos(1))
    }

    fn names_for(&self, found: Duration) -> Names {
        let said = Arc::clone(&self.0);
        let resolve = move |_: &str| {
            let said = said.lock().unwrap();
            let address = |ip: &&str| SocketAddr::new(ip.parse().unwrap(), 0);
            Ok(said.iter().map(address).collect())
        };
        let ttl = Ttl {
            found,
            not_found: Duration::ZERO,
        };
        Names::new(Arc::new(resolve), ttl)
    }
}

fn config(database: &Database, settings: &str) -> Config {
    let text = format!(
        "[pgweave]\nauth_type = 'trust'\n{settings}\n\
         [databases.app]\nhost = 'db.test'\nport = {}\ndbname = {:?}\n",
        database.cluster.address().port(),
        database.name
    );
    let sources = Sources {
        env: &|_| None,
        read_file: &|path| std::fs::read_to_string(path),
        try_tls: &|_| Vec::new(),
        try_logins: &|_| Vec::new(),
    };
    from_toml("a.toml", &text, &sources).unwrap()
}

async fn lease(shelf: &Arc<Shelf>) -> Lease {
    let lease = Arc::clone(shelf).lease(1, None).await;
    lease.unwrap_or_else(|error| panic!("{error:?}"))
}

/// Ends a turn as one that was proven to be over.
async fn give_back(mut lease: Lease) {
    lease.run_alone("", LONG).await.unwrap();
    let Rest::Boundary(boundary) = lease.tracker.rest() else {
        panic!("it stands at no boundary");
    };
    lease.give_back(boundary);
}

/// Has the names asked about again, until the resolver's answer is known.
async fn keep_names(directory: &Directory, reconnects: bool) {
    directory.keep_names(false);
    while directory.names().asked() > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    directory.keep_names(reconnects);
}

#[tokio::test]
async fn connections_to_an_address_that_a_name_has_lost_are_replaced_when_nobody_uses_them() {
    let (database, oracle) = (Cluster::shared().database(), Oracle::default());
    let config = config(&database, "server_tls_sslmode = 'disable'");
    let tls = Arc::new(Tls::load(&config).unwrap());
    let directory = Directory::new(tls, oracle.names());
    let (pool, _) = directory.pool(&config, "app", "postgres").unwrap();
    let shelf = pool.shelf(Vec::new());
    oracle.says(&["127.0.0.1"]);
    let (first, second) = (lease(&shelf).await, lease(&shelf).await);
    give_back(first).await;
    assert_eq!((pool.open(), pool.idle()), (2, 1));
    // It has one more: all are where they were.
    oracle.says(&["127.0.0.9", "127.0.0.1"]);
    keep_names(&directory, true).await;
    assert_eq!((pool.open(), pool.idle()), (2, 1));
    // It has another: the idle one goes at once, the other after its turn.
    oracle.says(&["127.0.0.9"]);
    keep_names(&directory, false).await;
    assert_eq!((pool.open(), pool.idle()), (2, 1), "nobody asked for that");
    keep_names(&directory, true).await;
    assert_eq!((pool.open(), pool.idle()), (1, 0));
    assert!(pool.servers().iter().all(|server| server.is_outdated()));
    give_back(second).await;
    assert_eq!((pool.open(), pool.idle()), (0, 0));
    // Nobody is at the new address.
    let error = Arc::clone(&shelf).lease(1, None).await.err().unwrap();
    assert_eq!(error.code, "08001");
}

#[tokio::test]
async fn where_nobody_is_at_an_address_the_name_is_asked_about_again() {
    let (database, oracle) = (Cluster::shared().database(), Oracle::default());
    let config = config(&database, "server_tls_sslmode = 'disable'");
    let tls = Arc::new(Tls::load(&config).unwrap());
    let directory = Directory::new(tls, oracle.names_for(Duration::from_secs(3600)));
    let (pool, _) = directory.pool(&config, "app", "postgres").unwrap();
    let shelf = pool.shelf(Vec::new());
    oracle.says(&["127.0.0.9"]);
    let error = Arc::clone(&shelf).lease(1, None).await.err().unwrap();
    assert_eq!(error.code, "08001");
    oracle.says(&["127.0.0.1"]);
    let deadline = tokio::time::Instant::now() + wait::SOON;
    // Attempts pause for a moment after a failure.
    while Arc::clone(&shelf).lease(1, None).await.is_err() {
        assert!(tokio::time::Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // Of two, the one where nobody is costs an attempt at most.
    oracle.says(&["127.0.0.9", "127.0.0.1"]);
    directory.names().doubt("db.test");
    let leases = [lease(&shelf).await, lease(&shelf).await];
    assert_eq!(leases.len(), 2);
}

#[tokio::test]
async fn of_idle_connections_only_those_go_whose_address_is_lost() {
    let (database, oracle) = (Cluster::shared().database(), Oracle::default());
    for policy in ["lifo", "fifo"] {
        let settings = format!("server_tls_sslmode = 'disable'\nassign_policy = '{policy}'");
        let config = config(&database, &settings);
        let tls = Arc::new(Tls::load(&config).unwrap());
        let directory = Directory::new(tls, oracle.names());
        let (pool, _) = directory.pool(&config, "app", "postgres").unwrap();
        let shelf = pool.shelf(Vec::new());
        // Each connection is opened while the name has one address alone; the
        // second is this machine, too.
        let mut leases = Vec::new();
        for address in ["127.0.0.1", "0.0.0.0", "127.0.0.1"] {
            oracle.says(&[address]);
            leases.push(lease(&shelf).await);
        }
        for lease in leases {
            give_back(lease).await;
        }
        // After a second it is bb8 that keeps them.
        tokio::time::sleep(Duration::from_secs(1)).await;
        directory.keep(&config).await;
        assert_eq!((pool.open(), pool.idle()), (3, 3));
        keep_names(&directory, true).await;
        assert_eq!((pool.open(), pool.idle()), (2, 2), "{policy}");
        give_back(lease(&shelf).await).await;
        assert_eq!((pool.open(), pool.idle()), (2, 2), "{policy}");
    }
}

/// A pooler in this process, whose names this resolver knows.
struct InHere {
    house: Arc<House>,
    address: SocketAddr,
    runtime: Runtime,
}

impl InHere {
    fn start(config: Config, oracle: &Oracle) -> Self {
        let runtime = Runtime::new().unwrap();
        let tls = Tls::load(&config).unwrap();
        let access = Access::load(&config).unwrap();
        let house = House::new(config, tls, access, oracle.names(), [7; 32]);
        let options = ListenOptions {
            backlog: 16,
            tcp: house.config().general.tcp(),
            shared: false,
        };
        let mut inherited = Inherited::default();
        let listeners = runtime.block_on(listen("127.0.0.1", 0, options, &mut inherited));
        let listener = listeners.unwrap().pop().unwrap();
        let port = listener.port().unwrap();
        let inside = Arc::clone(&house);
        runtime.spawn(async move {
            while let Ok((stream, peer)) = listener.accept().await {
                tokio::spawn(serve(Arc::clone(&inside), stream, peer));
            }
        });
        Self {
            house,
            address: ([127, 0, 0, 1], port).into(),
            runtime,
        }
    }

    /// What is done about once a second.
    fn keep_names(&self) {
        let _inside = self.runtime.enter();
        self.house.keep_names();
    }
}

#[test]
fn clients_go_over_to_where_the_name_leads_and_those_that_listen_hear_on() {
    let (database, oracle) = (Cluster::shared().database(), Oracle::default());
    let settings = "server_tls_sslmode = 'disable'\ndns_max_ttl = '1ms'\npin_process = 0";
    // This machine by another address.
    oracle.says(&["0.0.0.0"]);
    let pooler = InHere::start(config(&database, settings), &oracle);
    let client = || Connection::superuser(pooler.address, "app");
    let (mut listens, mut works, mut other) = (client(), client(), client());
    listens.rows("LISTEN news");
    let shared = "application_name = 'pgweave listens'";
    wait::until(wait::SOON, "the connection that listens", || {
        database.backends(shared) == 1
    });
    let listening = || {
        let sql = format!(
            "SELECT pid FROM pg_stat_activity WHERE datname = '{}' AND {shared}",
            database.name
        );
        let rows = database.direct().rows(&sql);
        rows.first().and_then(|row| row[0].clone())
    };
    let before = (listening().unwrap(), works.value("SELECT pg_backend_pid()"));
    works.rows("BEGIN");
    oracle.says(&["127.0.0.1"]);
    wait::until(wait::SOON, "another connection that listens", || {
        pooler.keep_names();
        listening().is_some_and(|pid| pid != before.0)
    });
    // The transaction ends where it began; others are elsewhere.
    assert_eq!(works.value("SELECT pg_backend_pid()"), before.1);
    assert_ne!(other.value("SELECT pg_backend_pid()"), before.1);
    works.rows("COMMIT");
    wait::until(wait::SOON, "the end of the old connection", || {
        database.backends(&format!("pid = {}", before.1)) == 0
    });
    assert_ne!(works.value("SELECT pg_backend_pid()"), before.1);
    wait::until(wait::SOON, "a notification", || {
        database.direct().rows("NOTIFY news");
        let frames = listens.query("SELECT 1");
        frames.iter().any(|frame| frame.tag == b'A')
    });
}

#[test]
fn a_host_may_be_a_name_and_its_addresses_are_shown() {
    let database = Cluster::shared().database();
    let pooler = plan(&database).host("localhost").pool_size(2).start();
    let mut console = console(&pooler);
    assert_eq!(Shown::of(&mut console, "DNS_HOSTS").len(), 0);
    let mut client = pooler.client();
    assert_eq!(client.value("SELECT 6 * 7"), "42");
    let hosts = Shown::of(&mut console, "DNS_HOSTS");
    assert_eq!(hosts.len(), 1);
    let addresses = hosts.value("hostname", "localhost", "addrs").unwrap();
    assert!(addresses.split(',').any(|ip| ip == "127.0.0.1"));
    assert!(hosts.number("hostname", "localhost", "ttl") <= 15);
    let lists = Shown::of(&mut console, "LISTS");
    assert_eq!(lists.number("list", "dns_names", "items"), 1);
    let servers = Shown::of(&mut console, "SERVERS");
    assert_eq!(
        servers.value("type", "S", "addr").as_deref(),
        Some("127.0.0.1")
    );
    // A cancel goes where the connection is.
    client.send(&frames::query("SELECT pg_sleep(30)"));
    wait::until(wait::SOON, "a query to run", || {
        database.backends("query LIKE '%pg_sleep%' AND state = 'active'") == 1
    });
    cancel(pooler.address, &client.key);
    let told = client.until_ready(1, "the cancelled query");
    assert_eq!(first_error(&told).as_deref(), Some("57014"));
}
