//! SIGHUP: the files of TLS are read again.

use super::Secure;
use crate::support::certificates::{Authority, Folder};
use crate::support::pooler::Plan;
use crate::support::postgres::Cluster;
use crate::support::raw::Connection;
use crate::support::wait;

const HANGUP: i32 = 1;

fn wait_for_log(secure: &Secure, words: &str, times: usize) {
    wait::until(wait::SOON, words, || {
        secure.pooler.log().matches(words).count() >= times
    });
}

#[test]
fn a_new_certificate_is_shown_to_new_clients_and_old_ones_stay() {
    let database = Cluster::shared().database();
    let secure = Secure::before(&database, "require");
    let mut old = secure.client();
    old.rows("SELECT 1");
    let other = Authority::new();
    let issued = other.issue(&["localhost"]);
    secure.folder.put("server.crt", &issued.cert);
    secure.folder.put("server.key", &issued.key);
    secure.client();
    secure.pooler.signal(HANGUP);
    wait_for_log(&secure, "was read again", 1);
    assert!(Connection::open_tls(secure.pooler.address, &secure.client).is_err());
    let mut new = secure.try_client(&other.client()).ok().unwrap();
    assert_eq!(new.value("SELECT 'new'"), "new");
    assert_eq!(old.value("SELECT 'old'"), "old");
}

#[test]
fn files_that_do_not_load_change_nothing_and_are_named() {
    let database = Cluster::shared().database();
    let secure = Secure::before(&database, "require");
    let stranger = Authority::new().issue(&["localhost"]);
    let path = secure.folder.put("server.key", &stranger.key);
    secure.pooler.signal(HANGUP);
    wait_for_log(&secure, "all stays as it was", 1);
    let log = secure.pooler.log();
    let line = log.lines().find(|line| line.contains("all stays"));
    assert!(
        line.is_some_and(|line| line.contains(&path) && line.contains("ERROR")),
        "{log}"
    );
    let secret = stranger.key.lines().nth(1).unwrap();
    assert!(!log.contains(secret), "no key is logged");
    assert_eq!(secure.client().value("SELECT 'goes on'"), "goes on");
}

#[test]
fn authorities_for_servers_are_read_again_too() {
    let database = Cluster::with_tls().database();
    let folder = Folder::new();
    let ca = folder.put("ca.crt", &Authority::new().pem);
    let pooler = Plan::before(&database)
        .setting("server_tls_sslmode", "\"verify-ca\"")
        .setting("server_tls_ca_file", &format!("{ca:?}"))
        .start();
    assert!(Connection::try_login(pooler.address, &pooler.startup()).is_err());
    folder.put("ca.crt", &Authority::of_the_cluster().pem);
    pooler.signal(HANGUP);
    wait::until(wait::SOON, "a login", || {
        Connection::try_login(pooler.address, &pooler.startup()).is_ok()
    });
}

#[test]
fn a_certificate_that_is_renewed_is_followed_where_that_is_wanted() {
    let database = Cluster::with_tls().database();
    let folder = Folder::new();
    let ca = folder.put("ca.crt", &Authority::new().pem);
    let pooler = Plan::before(&database)
        .setting("reload_on_change", "true")
        .setting("server_tls_sslmode", "\"verify-ca\"")
        .setting("server_tls_ca_file", &format!("{ca:?}"))
        .start();
    assert!(Connection::try_login(pooler.address, &pooler.startup()).is_err());
    folder.put("ca.crt", &Authority::of_the_cluster().pem);
    wait::until(wait::SOON, "a login", || {
        Connection::try_login(pooler.address, &pooler.startup()).is_ok()
    });
}
