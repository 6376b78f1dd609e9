//! Clients that listen share one server connection between their transactions.

use std::thread;
use std::time::{Duration, Instant};

use crate::support::frames::{Frame, query};
use crate::support::pooler::{Plan, Pooler};
use crate::support::postgres::{Cluster, Database};
use crate::support::random::Random;
use crate::support::raw::Connection;
use crate::support::startup::Startup;
use crate::support::wait;

const SHARED: &str = "application_name = 'pgweave listens'";

/// Sender, channel and payload.
fn notification(frame: &Frame) -> (i32, String, String) {
    let (pid, rest) = frame.body.split_first_chunk::<4>().unwrap();
    let mut texts = rest.split(|byte| *byte == 0);
    let mut text = || String::from_utf8(texts.next().unwrap().to_vec()).unwrap();
    (i32::from_be_bytes(*pid), text(), text())
}

fn next_notification(client: &mut Connection) -> (i32, String, String) {
    let frames = client.until_tag(b'A', "a notification");
    notification(frames.last().unwrap())
}

fn pid_of(client: &Connection) -> i32 {
    i32::from_be_bytes(client.key[..4].try_into().unwrap())
}

fn setup(pool_size: usize) -> (Database<'static>, Pooler) {
    let database = Cluster::shared().database();
    let pooler = Plan::before(&database).pool_size(pool_size).start();
    (database, pooler)
}

/// A client that listens, and no longer on a server connection of the pool.
fn listener(database: &Database, pooler: &Pooler, channels: &str) -> Connection {
    let mut client = pooler.client();
    client.rows(channels);
    wait::until(wait::SOON, "somebody else to be served", || {
        database.backends(SHARED) == 1 && pooler.client().value("SELECT 1") == "1"
    });
    client
}

#[test]
fn many_listening_clients_cost_one_server_connection() {
    let (database, pooler) = setup(2);
    let mut clients: Vec<_> = (0..200).map(|_| pooler.client()).collect();
    for (n, client) in clients.iter_mut().enumerate() {
        client.rows(&format!("LISTEN everybody; LISTEN \"only {n}\""));
    }
    let mut sender = pooler.client();
    for n in 0..200 {
        sender.rows(&format!("NOTIFY \"only {n}\""));
    }
    sender.rows("NOTIFY everybody");
    for (n, client) in clients.iter_mut().enumerate() {
        let heard = [next_notification(client).1, next_notification(client).1];
        assert_eq!(heard, [format!("only {n}"), "everybody".to_owned()]);
    }
    assert_eq!(database.backends(SHARED), 1);
    assert!(database.backends("true") <= 3);
}

#[test]
fn the_sender_of_ones_own_notification_is_oneself() {
    let (database, pooler) = setup(1);
    let mut client = listener(&database, &pooler, "LISTEN c");
    let mut other = pooler.client();
    client.send(&query("NOTIFY c, 'mine'"));
    let answer = client.until_ready(1, "a notification of one's own");
    let own = answer.iter().find(|frame| frame.tag == b'A').unwrap();
    assert_eq!(notification(own).0, pid_of(&client));
    other.rows("NOTIFY c, 'from another'");
    let (sender, _, payload) = next_notification(&mut client);
    assert_eq!(payload, "from another");
    assert_ne!(sender, pid_of(&client));
}

#[test]
fn a_session_sees_what_it_listens_to_and_nothing_else() {
    let (database, pooler) = setup(1);
    let mut client = listener(&database, &pooler, "LISTEN b; LISTEN \"A \"\" quoted\"");
    let channels =
        "SELECT string_agg(c, ',' ORDER BY c COLLATE \"C\") FROM pg_listening_channels() c";
    assert_eq!(client.value(channels), "A \" quoted,b");
    assert_eq!(
        pooler.client().rows("SELECT pg_listening_channels()").len(),
        0
    );
    client.rows("BEGIN");
    client.rows("UNLISTEN b");
    assert_eq!(client.value(channels), "A \" quoted,b");
    client.rows("COMMIT");
    assert_eq!(client.value(channels), "A \" quoted");
    client.rows("DISCARD ALL");
    assert_eq!(client.rows("SELECT pg_listening_channels()").len(), 0);
}

#[test]
fn clients_are_told_when_notifications_may_have_been_lost() {
    let (database, pooler) = setup(1);
    let mut client = listener(&database, &pooler, "LISTEN c");
    let mut admin = database.direct();
    admin.rows(&format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
         WHERE datname = current_database() AND {SHARED}"
    ));
    let told = client.until_tag(b'N', "a warning");
    assert_eq!(told.last().unwrap().field(b'C').as_deref(), Some("01000"));
    admin.rows("NOTIFY c, 'heard again'");
    assert_eq!(next_notification(&mut client).2, "heard again");
    assert_eq!(client.value("SELECT 'served'"), "served");
}

#[test]
fn while_the_shared_connection_cannot_be_opened_a_client_listens_on_its_own() {
    let database = Cluster::shared().database();
    let role = format!("one_connection_{}", database.name);
    let mut admin = database.direct();
    admin.rows(&format!("CREATE ROLE {role} LOGIN CONNECTION LIMIT 1"));
    let pooler = Plan::before(&database)
        .pool_size(1)
        .user(&role, "secret")
        .start();
    let login = || {
        let startup = Startup::new(&role, &database.name).password("secret");
        Connection::login(pooler.address, &startup)
    };
    let mut client = login();
    client.rows("LISTEN c");
    admin.rows("NOTIFY c, 'heard'");
    assert_eq!(next_notification(&mut client).2, "heard");
    client.rows("BEGIN; NOTIFY c, 'heard, too'; COMMIT");
    admin.rows(&format!("ALTER ROLE {role} CONNECTION LIMIT 2"));
    assert_eq!(login().value("SELECT 'served'"), "served");
    admin.rows("NOTIFY c, 'heard still'");
    assert_eq!(next_notification(&mut client).2, "heard still");
}

#[test]
fn a_client_of_another_encoding_hears_its_own() {
    let (database, pooler) = setup(2);
    let startup = Startup::new("postgres", &database.name).with("client_encoding", "LATIN1");
    let mut client = Connection::login(pooler.address, &startup);
    client.rows("LISTEN c");
    pooler.client().rows("NOTIFY c, '\u{e4}'");
    let frames = client.until_tag(b'A', "a notification");
    assert!(frames.last().unwrap().body.ends_with(b"c\0\xe4\0"));
}

#[test]
fn the_shared_connection_is_closed_when_nobody_listens() {
    let (database, pooler) = setup(1);
    let mut client = listener(&database, &pooler, "LISTEN c");
    listener(&database, &pooler, "LISTEN d").terminate();
    client.rows("UNLISTEN *");
    wait::until(Duration::from_secs(30), "it to be closed", || {
        database.backends(SHARED) == 0
    });
    client.rows("LISTEN c");
    pooler.client().rows("NOTIFY c");
    assert_eq!(next_notification(&mut client).1, "c");
}

/// Everybody's notifications, in the order in which one client heard them.
struct Heard(Vec<(i32, String)>);

impl Heard {
    fn take(&mut self, frames: &[Frame]) {
        for frame in frames.iter().filter(|frame| frame.tag == b'A') {
            let (sender, channel, payload) = notification(frame);
            if channel == "c" {
                self.0.push((sender, payload));
            }
        }
    }

    fn ends(&self) -> usize {
        self.0
            .iter()
            .filter(|(_, payload)| payload == "end")
            .count()
    }
}

const SENDERS: usize = 3;
const LISTENERS: usize = 4;
const EACH: usize = 300;

fn sends(mut client: Connection, who: usize) {
    for n in 0..EACH {
        client.rows(&format!("NOTIFY c, 'sender {who} {n}'"));
    }
    client.rows("NOTIFY c, 'end'");
}

/// Uses its session in all ways while it listens.
fn hears(mut client: Connection, who: usize) -> (i32, Vec<(i32, String)>) {
    let mut random = Random::new(u64::try_from(who).unwrap() + 1);
    let mut heard = Heard(Vec::new());
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut own = 0;
    while heard.ends() < SENDERS {
        assert!(Instant::now() < deadline, "waited in vain for the end");
        let text = match random.below(8) {
            0 => "SELECT 1".to_owned(),
            1 => "BEGIN; SELECT 2".to_owned(),
            2 => "COMMIT".to_owned(),
            3 => "LISTEN other; NOTIFY other".to_owned(),
            4 => "UNLISTEN other".to_owned(),
            5 => "SET work_mem = '5MB'".to_owned(),
            6 => {
                own += 1;
                format!("NOTIFY c, 'listener {who} {own}'")
            }
            _ => {
                thread::sleep(Duration::from_micros(
                    200 * u64::try_from(random.below(10)).unwrap(),
                ));
                "COMMIT".to_owned()
            }
        };
        heard.take(&client.query(&text));
    }
    heard.take(&client.query("COMMIT"));
    // Whatever else is told is behind the last end; all stop at the same place.
    client.rows("UNLISTEN *");
    let last = heard.0.iter().rposition(|(_, text)| text == "end").unwrap();
    heard.0.truncate(last + 1);
    (pid_of(&client), heard.0)
}

/// What PostgreSQL promises to sessions that listen: every notification, once,
/// and in the same order to all.
#[test]
fn all_hear_the_same_and_in_the_same_order() {
    let (database, pooler) = setup(2);
    let listeners: Vec<_> = (0..LISTENERS)
        .map(|who| {
            let client = listener(&database, &pooler, "LISTEN c");
            thread::spawn(move || hears(client, who))
        })
        .collect();
    let senders: Vec<_> = (0..SENDERS)
        .map(|who| {
            let client = match who {
                0 => database.direct(),
                _ => pooler.client(),
            };
            thread::spawn(move || sends(client, who))
        })
        .collect();
    for sender in senders {
        sender.join().unwrap();
    }
    let heard: Vec<_> = listeners
        .into_iter()
        .map(|listener| listener.join().unwrap())
        .collect();
    let texts = |heard: &[(i32, String)]| {
        let texts = heard.iter().map(|(_, text)| text.clone());
        texts.collect::<Vec<_>>()
    };
    for (who, (pid, all)) in heard.iter().enumerate() {
        for sender in 0..SENDERS {
            let prefix = format!("sender {sender} ");
            let told: Vec<_> = all
                .iter()
                .filter_map(|(_, text)| text.strip_prefix(&prefix))
                .collect();
            let sent: Vec<_> = (0..EACH).map(|n| n.to_string()).collect();
            let lost: Vec<_> = sent
                .iter()
                .filter(|n| !told.contains(&n.as_str()))
                .collect();
            assert!(
                lost.is_empty(),
                "listener {who} of sender {sender}: {lost:?}"
            );
            assert_eq!(told, sent, "listener {who} of sender {sender}");
        }
        for (sender, text) in all {
            let is_own = text.starts_with(&format!("listener {who} "));
            assert_eq!(is_own, sender == pid, "{text}");
        }
    }
    for (who, (_, all)) in heard.iter().enumerate() {
        // Those that began later may have missed what listeners told.
        let first = texts(&heard[LISTENERS - 1].1);
        let all = texts(all);
        let start = all.iter().position(|text| *text == first[0]).unwrap();
        let differ = all[start..].iter().zip(&first).position(|(a, b)| a != b);
        if let Some(at) = differ {
            let around = at.saturating_sub(3)..(at + 5).min(first.len());
            panic!(
                "listener {who}: {:?} and {:?}",
                &all[start..][around.clone()],
                &first[around]
            );
        }
        assert_eq!(all.len() - start, first.len(), "listener {who}");
    }
}
