//! Passwords that an LDAP server judges: a small one, which knows one user.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use crate::auth::outcome;
use crate::support::certificates::Folder;
use crate::support::pooler::Plan;
use crate::support::postgres::Cluster;

const GUEST: (&str, &str) = ("uid=guest,dc=example", "x");
const ASKER: (&str, &str) = ("cn=asker", "may I");

/// Serves simple binds and searches (RFC 4511), as far as the cases go.
fn server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || serve(stream));
        }
    });
    address
}

fn serve(mut stream: TcpStream) {
    while let Some(message) = read_message(&mut stream) {
        let (id, rest) = element(&message);
        let (tag, operation) = (rest[0], element(rest).0);
        let answers = match tag {
            0x60 => vec![bind(operation)],
            0x63 => search(operation),
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
    let address = server();
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
