//! `auth_failures_per_minute`.

use super::{outcome, with_auth_file};
use crate::support::postgres::Cluster;

#[test]
fn whoever_fails_too_often_waits_and_nobody_else() {
    let database = Cluster::shared().database();
    let users = "\"guest\" \"x\"\n";
    for method in ["plain", "md5", "scram-sha-256"] {
        let (plan, _folder) = with_auth_file(&database, method, users);
        let pooler = plan.setting("auth_failures_per_minute", "5").start();
        for _ in 0..5 {
            assert_eq!(outcome(&pooler, "guest", "wrong"), "28P01");
        }
        // The right one is not looked at any more.
        assert_eq!(outcome(&pooler, "guest", "x"), "53300", "{method}");
        assert_eq!(outcome(&pooler, "postgres", "unused"), "ok", "{method}");
        // Unknown users as well.
        for _ in 0..5 {
            assert_eq!(outcome(&pooler, "nobody", "wrong"), "28P01");
        }
        assert_eq!(outcome(&pooler, "nobody", "wrong"), "53300");
    }
}

#[test]
fn success_makes_up_for_failures_and_silence_is_none() {
    let database = Cluster::shared().database();
    let (plan, _folder) = with_auth_file(&database, "scram-sha-256", "\"guest\" \"x\"\n");
    let pooler = plan.setting("auth_failures_per_minute", "5").start();
    for _ in 0..4 {
        assert_eq!(outcome(&pooler, "guest", "wrong"), "28P01");
    }
    assert_eq!(outcome(&pooler, "guest", "x"), "ok");
    for _ in 0..20 {
        // As psql does before it asks its user for the password.
        let mut client = crate::support::raw::Connection::open(pooler.address);
        let startup = crate::support::startup::Startup::new("guest", &pooler.database);
        client.send(&startup.to_bytes());
        let asked = client.until_tag(b'R', "a request for a password");
        assert_eq!(asked.len(), 1);
    }
    for _ in 0..4 {
        assert_eq!(outcome(&pooler, "guest", "wrong"), "28P01");
    }
    assert_eq!(outcome(&pooler, "guest", "x"), "ok");
}
