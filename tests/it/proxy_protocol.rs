//! Clients behind a load balancer that tells where they are (PROXY protocol).

use std::fs;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::console::{Shown, console, plan};
use crate::support::certificates::{Authority, Folder};
use crate::support::frames::{cancel_request, query, ssl_request, take_frame};
use crate::support::machine::scratch_directory;
use crate::support::pooler::{Plan, Pooler};
use crate::support::postgres::{Cluster, Database};
use crate::support::raw::{Connection, first_error};
use crate::support::startup::Startup;
use crate::support::wait;

const FROM_HERE: &str = "\"10.0.0.0/8, 127.0.0.0/8\"";

/// A pooler whose load balancers are on this machine.
fn behind(plan: Plan, mode: &str) -> Plan {
    plan.setting("proxy_protocol", &format!("{mode:?}"))
        .setting("proxy_protocol_from", FROM_HERE)
}

fn line(client: &str) -> Vec<u8> {
    let client: SocketAddr = client.parse().unwrap();
    let (family, target) = match client.is_ipv4() {
        true => ("TCP4", "10.0.0.1"),
        false => ("TCP6", "fd00::1"),
    };
    let (ip, port) = (client.ip(), client.port());
    format!("PROXY {family} {ip} {target} {port} 6432\r\n").into_bytes()
}

/// Version 2, with what follows the length.
fn binary(command: u8, family: u8, follows: &[u8]) -> Vec<u8> {
    let length = u16::try_from(follows.len()).unwrap().to_be_bytes();
    let fixed = [0x20 | command, family, length[0], length[1]];
    [&b"\r\n\r\n\0\r\nQUIT\n"[..], &fixed, follows].concat()
}

/// Of 203.0.113.7:4711, with TLVs of so many bytes.
fn with_tlvs(bytes: usize) -> Vec<u8> {
    let addresses = [203, 0, 113, 7, 10, 0, 0, 1, 0x12, 0x67, 0x19, 0x20];
    let tlvs = vec![0xee; bytes];
    binary(1, 0x11, &[&addresses[..], &tlvs].concat())
}

fn come(pooler: &Pooler, header: &[u8], startup: &Startup) -> Result<Connection, Option<String>> {
    let mut client = Connection::open(pooler.address);
    client.send(header);
    let outcome = client.try_start_up(startup);
    outcome.map_err(|frames| first_error(&frames))
}

#[test]
fn the_address_in_the_header_is_the_clients_everywhere() {
    let database = Cluster::shared().database();
    let folder = Folder::new();
    let rules = "host all postgres 203.0.113.0/24 trust\nhost all postgres 2001:db8::/32 trust\n\
                 host pgweave postgres 127.0.0.1/32 trust\n";
    let pooler = behind(plan(&database), "optional")
        .setting("auth_type", "\"hba\"")
        .setting(
            "auth_hba_file",
            &format!("{:?}", folder.put("hba.conf", rules)),
        )
        .setting("application_name_add_host", "true")
        .start();
    let startup = pooler.startup().with("application_name", "app");
    let headers = [
        (line("203.0.113.7:4711"), "203.0.113.7:4711", "203.0.113.7"),
        (with_tlvs(0), "203.0.113.7:4711", "203.0.113.7"),
        (with_tlvs(65_523), "203.0.113.7:4711", "203.0.113.7"),
        (
            line("[2001:db8::7]:4711"),
            "[2001:db8::7]:4711",
            "2001:db8::7",
        ),
    ];
    for (header, address, ip) in headers {
        let mut client = come(&pooler, &header, &startup).ok().unwrap();
        let own = client.value("SHOW application_name");
        assert_eq!(own, format!("app - {address}"));
        let proxy = client.local_address();
        let clients = Shown::of(&mut console(&pooler), "CLIENTS");
        let of = |column| clients.value("database", &pooler.database, column).unwrap();
        assert_eq!((of("addr"), of("port")), (ip.to_owned(), "4711".to_owned()));
        client.terminate();
        wait::until(wait::SOON, "the lines of the log", || {
            let log = pooler.log();
            log.contains(&format!("client={address} via={proxy}"))
                && log.contains(&format!("client close request (age=0s) client={address}"))
        });
    }
    // The rules do not let in who comes from here.
    assert_eq!(
        come(&pooler, b"", &startup).err(),
        Some(Some("28000".to_owned()))
    );
    let other = line("198.51.100.1:1");
    assert_eq!(
        come(&pooler, &other, &startup).err(),
        Some(Some("28000".to_owned()))
    );
}

#[test]
fn who_says_nothing_of_the_client_leaves_the_address_of_the_connection() {
    let database = Cluster::shared().database();
    let pooler = behind(plan(&database), "optional").start();
    let headers = [
        b"PROXY UNKNOWN\r\n".to_vec(),
        b"PROXY UNKNOWN 203.0.113.7 10.0.0.1 1 2\r\n".to_vec(),
        // LOCAL, not told, a Unix socket elsewhere.
        binary(0, 0x11, &[0; 12]),
        binary(1, 0x00, &[]),
        binary(1, 0x31, &[b'/'; 216]),
    ];
    for header in headers {
        let client = come(&pooler, &header, &pooler.startup()).ok().unwrap();
        let port = client.local_address().port().to_string();
        let clients = Shown::of(&mut console(&pooler), "CLIENTS");
        let address = clients.value("port", &port, "addr");
        assert_eq!(address.as_deref(), Some("127.0.0.1"), "{header:?}");
    }
}

#[test]
fn a_header_may_arrive_byte_by_byte() {
    let database = Cluster::shared().database();
    let pooler = behind(plan(&database), "require").start();
    for header in [line("203.0.113.7:4711"), with_tlvs(9)] {
        let mut client = Connection::open(pooler.address);
        for byte in &header {
            client.send(&[*byte]);
        }
        let mut client = client.try_start_up(&pooler.startup()).ok().unwrap();
        assert_eq!(client.value("SELECT 6 * 7"), "42");
        client.terminate();
    }
    // With what follows, in one write.
    let mut client = Connection::open(pooler.address);
    let packets = [
        line("203.0.113.7:4711"),
        pooler.startup().to_bytes(),
        query("SELECT 6 * 7"),
    ];
    client.send(&packets.concat());
    let answers = client.until_ready(2, "the greeting and a row");
    assert_eq!(answers.iter().filter(|frame| frame.tag == b'D').count(), 1);
}

#[test]
fn only_those_who_may_are_believed() {
    let database = Cluster::shared().database();
    let pooler = Plan::before(&database)
        .setting("proxy_protocol", "\"require\"")
        .setting("proxy_protocol_from", "\"10.0.0.0/8, ::1\"")
        .start();
    let header = line("203.0.113.7:4711");
    let refused = come(&pooler, &header, &pooler.startup()).err();
    assert_eq!(refused, Some(Some("08P01".to_owned())));
    // They need none.
    assert_eq!(pooler.client().value("SELECT 1"), "1");
    // And none is read where it is off.
    let off = behind(Plan::before(&database), "off").start();
    let refused = come(&off, &header, &off.startup()).err();
    assert_eq!(refused, Some(Some("08P01".to_owned())));
}

#[test]
fn who_must_send_a_header_and_does_not_is_told() {
    let database = Cluster::shared().database();
    let pooler = behind(Plan::before(&database), "require").start();
    let first = pooler.startup().to_bytes();
    for first in [first, ssl_request(), b"\x16\x03\x01".to_vec()] {
        let mut client = Connection::open(pooler.address);
        client.send(&first);
        let refusal = client.until_end("a refusal");
        assert_eq!(first_error(&refusal).as_deref(), Some("08P01"));
        assert!(client.ended());
    }
    let broken = [
        b"PROXY TCP4 1 2 3 4\r\n".to_vec(),
        vec![b'P'; 300],
        binary(5, 0x11, &[]),
    ];
    for header in broken {
        let refused = come(&pooler, &header, &pooler.startup()).err().unwrap();
        // Where more was sent than is read, a reset may overtake the words.
        assert!(refused.is_none_or(|code| code == "08P01"), "{header:?}");
    }
    wait::until(wait::SOON, "the lines of the log", || {
        let log = pooler.log();
        log.contains("login failed: a header of the PROXY protocol is missing client=127.0.0.1:")
            && log.contains("login failed: invalid header of the PROXY protocol client=127.0.0.1:")
    });
    // Who only looks whether somebody is there does no harm.
    drop(Connection::open(pooler.address));
    let header = line("203.0.113.7:4711");
    assert!(come(&pooler, &header, &pooler.startup()).is_ok());
}

#[test]
fn half_a_header_is_not_waited_for_longer_than_a_login() {
    let database = Cluster::shared().database();
    let pooler = behind(Plan::before(&database), "optional")
        .setting("client_login_timeout", "1")
        .start();
    let whole = with_tlvs(700);
    for part in [
        &b"P"[..],
        b"PROXY TCP4 203.0.113.7 ",
        &whole[..15],
        &whole[..100],
    ] {
        let mut client = Connection::open(pooler.address);
        client.send(part);
        let frames = client.until_end("the end of the login's time");
        assert_eq!(first_error(&frames).as_deref(), Some("08P01"), "{part:?}");
    }
}

#[test]
fn failed_logins_are_counted_for_the_address_in_the_header() {
    let database = Cluster::shared().database();
    let pooler = behind(Plan::before(&database), "require")
        .setting("auth_type", "\"scram-sha-256\"")
        .setting("auth_failures_per_minute", "2")
        .user("guest", "x")
        .start();
    let outcome = |client: &str, password: &str| {
        let startup = Startup::new("guest", &pooler.database).password(password);
        let outcome = come(&pooler, &line(client), &startup);
        outcome.map_or_else(|code| code.unwrap(), |_| "ok".to_owned())
    };
    assert_eq!(outcome("203.0.113.7:1", "wrong"), "28P01");
    assert_eq!(outcome("203.0.113.7:2", "wrong"), "28P01");
    assert_eq!(outcome("203.0.113.7:3", "x"), "53300");
    assert_eq!(outcome("203.0.113.8:1", "x"), "ok");
}

#[test]
fn a_cancel_request_has_a_header_too() {
    let database = Cluster::shared().database();
    let pooler = behind(Plan::before(&database), "require").start();
    let header = line("203.0.113.7:4711");
    let mut client = come(&pooler, &header, &pooler.startup()).ok().unwrap();
    client.send(&query("SELECT pg_sleep(60)"));
    let sleeping = "query LIKE '%pg_sleep(60)%' AND state = 'active'";
    wait::until(wait::SOON, "the query to run", || {
        database.backends(sleeping) > 0
    });
    let mut without = Connection::open(pooler.address);
    without.send(&cancel_request(&client.key));
    let refusal = without.until_end("a refusal");
    assert_eq!(first_error(&refusal).as_deref(), Some("08P01"));
    assert_eq!(database.backends(sleeping), 1);
    let mut with = Connection::open(pooler.address);
    with.send(&[line("198.51.100.1:9"), cancel_request(&client.key)].concat());
    assert!(with.until_end("the end of the cancel").is_empty());
    let answer = client.until_ready(1, "the cancelled query");
    assert_eq!(first_error(&answer).as_deref(), Some("57014"));
}

struct Secure {
    pooler: Pooler,
    authority: Authority,
    _folder: Folder,
}

fn with_tls(database: &Database, mode: &str, sslmode: &str) -> Secure {
    let (folder, authority) = (Folder::new(), Authority::new());
    let issued = authority.issue(&["localhost"]);
    let pooler = behind(plan(database), mode)
        .setting("client_tls_sslmode", &format!("{sslmode:?}"))
        .setting(
            "client_tls_cert_file",
            &format!("{:?}", folder.put("server.crt", &issued.cert)),
        )
        .setting(
            "client_tls_key_file",
            &format!("{:?}", folder.put("server.key", &issued.key)),
        )
        .start();
    Secure {
        pooler,
        authority,
        _folder: folder,
    }
}

#[test]
fn tls_begins_behind_the_header_by_either_way() {
    let database = Cluster::shared().database();
    let secure = with_tls(&database, "optional", "require");
    let pooler = &secure.pooler;
    let headers = [line("203.0.113.7:4711"), with_tlvs(300), Vec::new()];
    for header in headers {
        for direct in [false, true] {
            let mut client = Connection::open(pooler.address);
            client.send(&header);
            if !direct {
                client.send(&ssl_request());
                assert_eq!(client.read_byte("the answer"), Some(b'S'));
            }
            let client = client.into_tls(&secure.authority.client()).unwrap();
            let mut client = client.try_start_up(&pooler.startup()).ok().unwrap();
            assert_eq!(client.value("SELECT 6 * 7"), "42", "{header:?} {direct}");
        }
    }
    // The client behind the load balancer is not on this machine.
    let header = line("203.0.113.7:4711");
    let refused = come(pooler, &header, &pooler.startup()).err();
    assert_eq!(refused, Some(Some("28000".to_owned())));
}

/// What is answered to these bytes on a Unix socket: the tags of the frames, up to
/// the greeting's end, an error, or a request for a proof.
fn tags(pooler: &Pooler, directory: &std::path::Path, bytes: &[u8]) -> String {
    let socket = directory.join(format!(".s.PGSQL.{}", pooler.address.port()));
    let mut stream = UnixStream::connect(socket).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    stream.write_all(bytes).unwrap();
    let (mut inbox, mut tags) = (Vec::new(), String::new());
    let mut buffer = [0; 4096];
    loop {
        while let Some(frame) = take_frame(&mut inbox) {
            tags.push(char::from(frame.tag));
            let asks = frame.tag == b'R' && frame.body[..4] != [0; 4];
            if asks || matches!(frame.tag, b'Z' | b'E') {
                return tags;
            }
        }
        match stream.read(&mut buffer).unwrap() {
            0 => return tags,
            read => inbox.extend_from_slice(&buffer[..read]),
        }
    }
}

#[test]
fn behind_a_unix_socket_nobody_is_taken_for_the_one_at_its_other_end() {
    let database = Cluster::shared().database();
    let directory = scratch_directory("proxied");
    let pooler = plan(&database)
        .setting("proxy_protocol", "\"optional\"")
        .setting("proxy_protocol_from", "\"unix\"")
        .setting(
            "unix_socket_dir",
            &format!("{:?}", directory.display().to_string()),
        )
        .setting("auth_type", "\"scram-sha-256\"")
        .setting("auth_failures_per_minute", "0")
        .start();
    let header = line("203.0.113.7:4711");
    let owner = Startup::new("pgbouncer", "pgbouncer").to_bytes();
    let alone = tags(&pooler, &directory, &owner);
    assert!(alone.starts_with('R') && alone.ends_with('Z'), "{alone}");
    for header in [&header[..], b"PROXY UNKNOWN\r\n", &binary(0, 0, &[])] {
        let proxied = tags(&pooler, &directory, &[header, &owner].concat());
        assert_eq!(proxied, "R", "{header:?}");
    }
    // What is told there counts.
    let garbage = [&header[..], &[0; 8]].concat();
    assert_eq!(tags(&pooler, &directory, &garbage), "E");
    wait::until(wait::SOON, "the failed login's line", || {
        pooler.log().contains("client=203.0.113.7:4711")
    });
    drop(pooler);
    let _ = fs::remove_dir_all(&directory);
}

/// Two poolers: one that sends headers to one that asks for them.
#[test]
fn a_server_that_asks_for_a_header_is_sent_one() {
    let database = Cluster::shared().database();
    for (how, mode) in [("v1", "disable"), ("v2", "disable"), ("v2", "require")] {
        let secure = with_tls(&database, "require", mode);
        let asking = &secure.pooler;
        let pooler = Plan::before_address(asking.address, &database.name)
            .setting("server_proxy_protocol", &format!("{how:?}"))
            .setting("server_tls_sslmode", &format!("{mode:?}"))
            .start();
        let mut client = pooler.client();
        assert_eq!(client.value("SELECT 6 * 7"), "42", "{how} {mode}");
        client.send(&query("SELECT pg_sleep(60)"));
        let sleeping = "query LIKE '%pg_sleep(60)%' AND state = 'active'";
        wait::until(wait::SOON, "the query to run", || {
            database.backends(sleeping) > 0
        });
        crate::support::raw::cancel(pooler.address, &client.key);
        let answer = client.until_ready(1, "the cancelled query");
        assert_eq!(
            first_error(&answer).as_deref(),
            Some("57014"),
            "{how} {mode}"
        );
        // It tells of the very connection that it comes by.
        let log = asking.log();
        let login = log.lines().find(|line| line.contains("login: db="));
        let told = |field: &str| {
            let rest = login.unwrap().split_once(field).unwrap().1;
            rest.split(' ').next().unwrap().to_owned()
        };
        assert_eq!(told("client="), told("via="), "{log}");
    }
}

#[test]
fn a_server_that_asks_for_a_header_and_gets_none_refuses() {
    let database = Cluster::shared().database();
    let asking = behind(Plan::before(&database), "require").start();
    let pooler = Plan::before_address(asking.address, &database.name)
        .without_fallback()
        .database_lines("server_proxy_protocol = \"off\"")
        .setting("server_proxy_protocol", "\"v2\"")
        .setting("server_tls_sslmode", "\"disable\"")
        .start();
    let refused = Connection::try_login(pooler.address, &pooler.startup());
    let refused = refused.map_err(|frames| first_error(&frames)).err();
    assert_eq!(refused, Some(Some("08P01".to_owned())));
}

#[test]
fn over_a_unix_socket_a_header_tells_of_no_address() {
    let database = Cluster::shared().database();
    let directory = scratch_directory("proxied-servers");
    let text = directory.display().to_string();
    let asking = Plan::before(&database)
        .setting("proxy_protocol", "\"require\"")
        .setting("proxy_protocol_from", "\"unix\"")
        .setting("unix_socket_dir", &format!("{text:?}"))
        .start();
    for how in ["v1", "v2"] {
        let pooler = Plan::before_address(asking.address, &database.name)
            .host(&text)
            .setting("server_proxy_protocol", &format!("{how:?}"))
            .start();
        assert_eq!(pooler.client().value("SELECT 6 * 7"), "42");
    }
    drop(asking);
    let _ = fs::remove_dir_all(&directory);
}
