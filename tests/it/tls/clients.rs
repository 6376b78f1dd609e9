//! Who may come in, by which way.

use super::{Secure, refusal};
use crate::support::certificates::Authority;
use crate::support::frames::{gssenc_request, ssl_request};
use crate::support::pooler::Plan;
use crate::support::postgres::Cluster;
use crate::support::raw::{Connection, first_error};
use crate::support::startup::Startup;

const MODES: [&str; 6] = [
    "disable",
    "allow",
    "prefer",
    "require",
    "verify-ca",
    "verify-full",
];

#[test]
fn each_mode_lets_in_whom_it_says() {
    let database = Cluster::shared().database();
    for mode in MODES {
        let secure = Secure::before(&database, mode);
        let startup = secure.pooler.startup();
        let certificate = secure.authority.issue(&["me"]);
        let with_certificate = secure.authority.client_with(&certificate);
        let in_clear = refusal(Connection::try_login(secure.pooler.address, &startup));
        let in_tls = (mode != "disable").then(|| refusal(secure.try_client(&secure.client)));
        let certified = (mode != "disable").then(|| refusal(secure.try_client(&with_certificate)));
        let refused = Some("28000".to_owned());
        let (clear, tls) = match mode {
            "disable" => (None, None),
            "allow" | "prefer" => (None, Some(None)),
            "require" => (refused, Some(None)),
            _ => (refused.clone(), Some(refused)),
        };
        assert_eq!(in_clear, clear, "{mode} in clear text");
        assert_eq!(in_tls, tls, "{mode} in TLS");
        assert_eq!(certified.flatten(), None, "{mode} with a certificate");
    }
}

#[test]
fn without_tls_an_ssl_request_is_declined_and_the_client_may_go_on() {
    let database = Cluster::shared().database();
    let pooler = Plan::before(&database).pool_size(1).start();
    let mut client = Connection::open(pooler.address);
    client.send(&ssl_request());
    assert_eq!(client.read_byte("the answer"), Some(b'N'));
    assert!(client.try_start_up(&pooler.startup()).is_ok());
}

#[test]
fn gssapi_is_declined_and_tls_may_follow() {
    let database = Cluster::shared().database();
    let secure = Secure::before(&database, "require");
    let mut client = Connection::open(secure.pooler.address);
    client.send(&gssenc_request());
    assert_eq!(client.read_byte("the answer"), Some(b'N'));
    client.send(&ssl_request());
    assert_eq!(client.read_byte("the answer"), Some(b'S'));
    let client = client.into_tls(&secure.client).unwrap();
    let mut client = client.try_start_up(&secure.pooler.startup()).ok().unwrap();
    assert_eq!(client.value("SELECT 'hidden'"), "hidden");
}

#[test]
fn tls_may_begin_at_once() {
    let database = Cluster::shared().database();
    for mode in ["prefer", "require"] {
        let secure = Secure::before(&database, mode);
        let client = Connection::open(secure.pooler.address);
        let client = client.into_tls(&secure.client).unwrap();
        let mut client = client.try_start_up(&secure.pooler.startup()).ok().unwrap();
        assert_eq!(client.value("SELECT 'direct'"), "direct");
    }
}

#[test]
fn tls_that_begins_at_once_must_say_that_it_is_postgresql() {
    let database = Cluster::shared().database();
    let secure = Secure::before(&database, "prefer");
    let silent = secure.authority.client_without_alpn();
    let client = Connection::open(secure.pooler.address);
    let mut client = client.into_tls(&silent).unwrap();
    let told = client.until_end("the refusal");
    assert_eq!(first_error(&told).as_deref(), Some("08P01"));
    // After an SSLRequest the protocol is known.
    assert_eq!(refusal(secure.try_client(&silent)), None);
    let mut other = (*secure.client).clone();
    other.alpn_protocols = vec![b"http/1.1".to_vec()];
    let client = Connection::open(secure.pooler.address);
    assert!(client.into_tls(&other.into()).is_err());
}

#[test]
fn a_certificate_of_a_stranger_is_refused() {
    let database = Cluster::shared().database();
    let secure = Secure::before(&database, "verify-ca");
    let strange = secure
        .authority
        .client_with(&Authority::new().issue(&["me"]));
    let outcome = Connection::open_tls(secure.pooler.address, &strange)
        .map(|client| client.try_start_up(&secure.pooler.startup()));
    assert!(!matches!(outcome, Ok(Ok(_))));
}

#[test]
fn passwords_are_asked_for_inside_of_tls_as_well() {
    let database = Cluster::shared().database();
    for way in ["plain", "md5", "scram-sha-256"] {
        let plan = Plan::before(&database)
            .setting("auth_type", &format!("{way:?}"))
            .user("guest", "correct horse");
        let secure = Secure::with(plan, "require");
        for (password, refused) in [("correct horse", None), ("wrong", Some("28P01"))] {
            let startup = Startup::new("guest", &database.name).password(password);
            let client = Connection::open_tls(secure.pooler.address, &secure.client).unwrap();
            let outcome = refusal(client.try_start_up(&startup));
            assert_eq!(outcome.as_deref(), refused, "{way} {password}");
        }
    }
}

#[test]
fn an_error_of_the_login_is_told_inside_of_tls() {
    let database = Cluster::shared().database();
    let plan = Plan::before(&database).without_fallback();
    let secure = Secure::with(plan, "require");
    let client = Connection::open_tls(secure.pooler.address, &secure.client).unwrap();
    let refused = client.try_start_up(&Startup::new("postgres", "nowhere"));
    assert_eq!(refusal(refused).as_deref(), Some("3D000"));
}

#[test]
fn a_client_too_many_hears_it_inside_of_tls() {
    let database = Cluster::shared().database();
    let plan = Plan::before(&database).setting("max_client_conn", "1");
    let secure = Secure::with(plan, "require");
    let _first = secure.client();
    assert_eq!(
        refusal(secure.try_client(&secure.client)).as_deref(),
        Some("53300")
    );
}
