//! Settings that are changed on the console, and read again.

use super::{Shown, complaint, console, one_waits, plan, tag};
use crate::support::postgres::Cluster;
use crate::support::raw::Connection;

#[test]
fn a_setting_is_changed_shown_and_in_force() {
    let database = Cluster::shared().database();
    let pooler = plan(&database).start();
    let mut console = console(&pooler);
    assert_eq!(
        tag(&mut console, "SET idle_transaction_timeout = '200ms'"),
        "SET idle_transaction_timeout=200ms"
    );
    let config = Shown::of(&mut console, "CONFIG");
    let of = |column| {
        config
            .value("key", "idle_transaction_timeout", column)
            .unwrap()
    };
    assert_eq!(
        (of("value"), of("changeable")),
        ("200ms".to_owned(), "yes".to_owned())
    );
    assert_ne!(of("default"), "200ms");
    let mut client = pooler.client();
    client.rows("BEGIN");
    let told = client.until_end("the end of a client that idles");
    assert_eq!(told[0].sqlstate(), "25P03");
}

#[test]
fn a_larger_pool_lets_in_who_waits() {
    let database = Cluster::shared().database();
    let pooler = plan(&database).pool_size(1).start();
    let mut console = console(&pooler);
    let (mut holder, mut waiting) = one_waits(&mut console, &pooler);
    assert_eq!(
        tag(&mut console, "SET default_pool_size = 2"),
        "SET default_pool_size=2"
    );
    waiting.until_ready(1, "its turn in the larger pool");
    holder.rows("COMMIT");
}

#[test]
fn what_cannot_be_changed_is_told() {
    let database = Cluster::shared().database();
    let pooler = plan(&database).start();
    let mut console = console(&pooler);
    let told = complaint(&mut console, "SET listen_port = 1");
    assert_eq!(told, "listen_port is read at start only");
    assert!(complaint(&mut console, "SET nothing = 1").contains("unknown setting"));
    assert!(complaint(&mut console, "SET default_pool_size = 0").contains("default_pool_size"));
    let config = Shown::of(&mut console, "CONFIG");
    let changeable = config.value("key", "listen_port", "changeable");
    assert_eq!(changeable.as_deref(), Some("no"));
    assert!(config.len() > 40);
}

#[test]
fn a_secret_is_not_said_back() {
    let database = Cluster::shared().database();
    let pooler = plan(&database).start();
    let secret = "SET auth_ldap_options = 'ldapserver=a ldapbindpasswd=x'";
    assert_eq!(tag(&mut console(&pooler), secret), "SET auth_ldap_options");
}

#[test]
fn an_admin_that_is_one_no_more_does_not_come_in_again() {
    let database = Cluster::shared().database();
    let pooler = plan(&database).user("other", "unused").start();
    let mut console = console(&pooler);
    assert_eq!(
        tag(&mut console, "SET admin_users = other"),
        "SET admin_users=other"
    );
    let startup = crate::support::startup::Startup::new("postgres", "pgweave");
    assert!(Connection::try_login(pooler.address, &startup).is_err());
}

#[test]
fn a_reload_is_done_or_told_why_not() {
    let database = Cluster::shared().database();
    let pooler = plan(&database).start();
    let mut console = console(&pooler);
    assert_eq!(tag(&mut console, "RELOAD"), "RELOAD");
}
