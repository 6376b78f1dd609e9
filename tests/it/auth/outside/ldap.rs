//! Passwords that an LDAP server judges: a small one, which knows one user.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::auth::{attempt, outcome};
use crate::support::certificates::Folder;
use crate::support::pooler::Plan;
use crate::support::postgres::{Cluster, Database};
use crate::support::raw::first_error;
use crate::support::wait;

const GUEST: (&str, &str) = ("uid=guest,dc=example", "x");
const ASKER: (&str, &str) = ("cn=asker", "may I");

/// Serves simple binds and searches (RFC 4511), as far as the cases go.
fn server() -> SocketAddr {
    server_that(Way::Knows).0
}

/// What a server does with a bind.
#[derive(Clone, Copy)]
enum Way {
    Knows,
    Says(u8),
    Hangs,
}

/// A server, and the tags of the requests that it has read.
fn server_that(way: Way) -> (SocketAddr, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let read = Arc::<Mutex<Vec<u8>>>::default();
    let tags = Arc::clone(&read);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let tags = Arc::clone(&tags);
            thread::spawn(move || serve(stream, way, &tags));
        }
    });
    (address, read)
}

fn serve(mut stream: TcpStream, way: Way, tags: &Mutex<Vec<u8>>) {
    while let Some(message) = read_message(&mut stream) {
        let (id, rest) = element(&message);
        let (tag, operation) = (rest[0], element(rest).0);
        tags.lock().unwrap().push(tag);
        let answers = match (tag, way) {
            (_, Way::Hangs) => continue,
            (0x60, Way::Says(code)) => vec![result(0x61, code)],
            (0x60, Way::Knows) => vec![bind(operation)],
            // To begin TLS: protocolError.
            (0x77, _) => vec![result(0x78, 2)],
            (0x63, _) => search(operation),
            _ => return,
        };
        for answer in answers {
            let body = [&wrap(0x02, id)[..], &answer].concat();
            let _ = stream.write_all(&wrap(0x30, &body));
        }
    }
}

/// BindRequest: version, name, password. An empty password is nobody's, and good.
fn bind(request: &[u8]) -> Vec<u8> {
    let (_version, rest) = element(request);
    let (name, rest) = element(rest);
    let (password, _) = element(rest);
    let known = [GUEST, ASKER].map(|(name, password)| (name.as_bytes(), password.as_bytes()));
    let is_good = password.is_empty() || known.contains(&(name, password));
    result(0x61, if is_good { 0 } else { 49 })
}

/// Finds the guest by a filter `(uid=guest)`, and nobody else.
fn search(request: &[u8]) -> Vec<Vec<u8>> {
    let mut rest = request;
    // Base, scope, aliases, two limits, types only.
    for _ in 0..6 {
        rest = element(rest).1;
    }
    let (filter, _) = element(rest);
    let (attribute, value) = element(filter);
    let mut answers = Vec::new();
    if attribute == b"uid" && element(value).0 == b"guest" {
        let entry = [wrap(0x04, GUEST.0.as_bytes()), wrap(0x30, b"")].concat();
        answers.push(wrap(0x64, &entry));
    }
    answers.push(result(0x65, 0));
    answers
}

fn result(tag: u8, code: u8) -> Vec<u8> {
    let parts = [wrap(0x0a, &[code]), wrap(0x04, b""), wrap(0x04, b"")];
    wrap(tag, &parts.concat())
}

fn wrap(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u8::try_from(content.len()).unwrap();
    assert!(length < 0x80, "short ones only");
    [&[tag, length], content].concat()
}

/// The content of a BER element, and what comes behind it.
fn element(bytes: &[u8]) -> (&[u8], &[u8]) {
    let (length, start) = match bytes[1] {
        short if short < 0x80 => (usize::from(short), 2),
        long => {
            let digits = usize::from(long & 0x7f);
            let length = bytes[2..2 + digits]
                .iter()
                .fold(0, |length, digit| length << 8 | usize::from(*digit));
            (length, 2 + digits)
        }
    };
    (&bytes[start..start + length], &bytes[start + length..])
}

fn read_message(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut head = [0; 2];
    stream.read_exact(&mut head).ok()?;
    let mut length = usize::from(head[1]);
    if length >= 0x80 {
        let mut digits = vec![0; length & 0x7f];
        stream.read_exact(&mut digits).ok()?;
        length = digits
            .iter()
            .fold(0, |length, digit| length << 8 | usize::from(*digit));
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some(body)
}

fn options(more: &str) -> String {
    options_of(server(), more)
}

fn options_of(address: SocketAddr, more: &str) -> String {
    format!("ldapserver=127.0.0.1 ldapport={} {more}", address.port())
}

fn expect(plan: Plan) {
    let pooler = plan.start();
    for (user, password, expected) in [
        ("guest", "x", "ok"),
        ("guest", "y", "28000"),
        // The server takes it for nobody, whom it lets in.
        ("guest", "", "28000"),
        ("postgres", "x", "28000"),
        ("guest,dc=example", "x", "28000"),
        ("g*", "x", "28000"),
    ] {
        assert_eq!(
            outcome(&pooler, user, password),
            expected,
            "{user} {password}"
        );
    }
}

#[test]
fn a_name_that_is_made_of_the_users_takes_its_password() {
    let database = Cluster::shared().database();
    let made = options("\"ldapprefix=uid=\" \"ldapsuffix=,dc=example\"");
    let plan = Plan::before(&database).setting("auth_type", "\"ldap\"");
    expect(plan.setting("auth_ldap_options", &format!("{made:?}")));
}

#[test]
fn a_name_that_is_found_takes_its_password() {
    let database = Cluster::shared().database();
    let found =
        options("\"ldapbasedn=dc=example\" \"ldapbinddn=cn=asker\" \"ldapbindpasswd=may I\"");
    let folder = Folder::new();
    let rules = folder.put("hba.conf", &format!("host all all all ldap {found}\n"));
    let plan = Plan::before(&database).setting("auth_type", "\"hba\"");
    expect(plan.setting("auth_hba_file", &format!("{rules:?}")));
}

#[test]
fn without_a_server_nobody_comes_in() {
    let database = Cluster::shared().database();
    let port = crate::support::machine::free_port();
    let nowhere = format!("ldapserver=127.0.0.1 ldapport={port}");
    let pooler = Plan::before(&database)
        .setting("auth_type", "\"ldap\"")
        .setting("auth_ldap_options", &format!("{nowhere:?}"))
        .setting("auth_failures_per_minute", "2")
        .start();
    // It is nobody's fault, and is not counted as one.
    for _ in 0..5 {
        assert_eq!(outcome(&pooler, "guest", "x"), "08006");
    }
}

fn by_ldap(database: &Database, options: &str) -> Plan {
    Plan::before(database)
        .setting("auth_type", "\"ldap\"")
        .setting("auth_ldap_options", &format!("{options:?}"))
}

const MADE: &str = "\"ldapprefix=uid=\" \"ldapsuffix=,dc=example\"";

#[test]
fn a_server_that_is_away_is_passed_over() {
    let port = server().port();
    let two = format!("\"ldapserver=127.0.0.2 127.0.0.1\" ldapport={port} {MADE}");
    let database = Cluster::shared().database();
    expect(by_ldap(&database, &two));
}

#[test]
fn nobody_waits_for_somebody_elses_server_that_hangs() {
    let (address, tags) = server_that(Way::Hangs);
    let folder = Folder::new();
    let rules = folder.put(
        "hba.conf",
        &format!(
            "host all guest all ldap {}\nhost all all all trust\n",
            options_of(address, MADE)
        ),
    );
    let database = Cluster::shared().database();
    let pooler = Plan::before(&database)
        .setting("auth_type", "\"hba\"")
        .setting("auth_hba_file", &format!("{rules:?}"))
        .setting("client_login_timeout", "\"2s\"")
        .start();
    thread::scope(|scope| {
        let hangs = scope.spawn(|| {
            attempt(&pooler, "guest", "x")
                .err()
                .map(|frames| first_error(&frames))
        });
        wait::until(wait::SOON, "the server to be asked", || {
            tags.lock().unwrap().contains(&0x60)
        });
        assert_eq!(outcome(&pooler, "postgres", "x"), "ok");
        assert!(!hangs.is_finished());
        assert_eq!(hangs.join().unwrap(), Some(Some("08P01".to_owned())));
    });
}

#[test]
fn what_is_about_the_user_counts_as_a_failure_and_nothing_else_does() {
    // unwillingToPerform, unavailable.
    for (code, expected) in [(53, ["28000", "53300"]), (52, ["08006", "08006"])] {
        let (address, _) = server_that(Way::Says(code));
        let pooler = by_ldap(&Cluster::shared().database(), &options_of(address, MADE))
            .setting("auth_failures_per_minute", "1")
            .start();
        for expected in expected {
            assert_eq!(outcome(&pooler, "guest", "x"), expected, "{code}");
        }
    }
}

#[test]
fn no_password_is_sent_to_a_server_that_does_not_begin_tls() {
    let (address, tags) = server_that(Way::Knows);
    let pooler = by_ldap(
        &Cluster::shared().database(),
        &options_of(address, &format!("ldaptls=1 {MADE}")),
    )
    .start();
    assert_eq!(outcome(&pooler, "guest", "x"), "08006");
    assert_eq!(*tags.lock().unwrap(), [0x77]);
}
