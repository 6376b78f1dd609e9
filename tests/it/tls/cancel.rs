//! Cancel requests, by either way.

use super::{Secure, eavesdropper, in_tls};
use crate::support::frames::{cancel_request, query, ssl_request};
use crate::support::pooler::Plan;
use crate::support::postgres::{Cluster, Database};
use crate::support::raw::{Connection, cancel, first_error};
use crate::support::wait;

fn sleep(client: &mut Connection, database: &Database) {
    client.send(&query("SELECT pg_sleep(60)"));
    wait::until(wait::SOON, "the query to run", || {
        database.backends("query LIKE '%pg_sleep(60)%' AND state = 'active'") > 0
    });
}

#[test]
fn a_cancel_works_in_tls_at_once_and_in_clear_text() {
    let database = Cluster::with_tls().database();
    let secure = Secure::before(&database, "require");
    let mut client = secure.client();
    let ways: [&dyn Fn() -> Option<Connection>; 3] = [
        &|| Connection::open_tls(secure.pooler.address, &secure.client).ok(),
        &|| {
            let client = Connection::open(secure.pooler.address);
            client.into_tls(&secure.client).ok()
        },
        &|| None,
    ];
    for way in ways {
        sleep(&mut client, &database);
        match way() {
            Some(mut request) => {
                request.send(&cancel_request(&client.key));
                assert!(request.until_end("the end of the cancel").is_empty());
            }
            None => cancel(secure.pooler.address, &client.key),
        }
        let told = client.until_ready(1, "the cancelled query");
        assert_eq!(first_error(&told).as_deref(), Some("57014"));
    }
    assert_eq!(client.value("SELECT 'goes on'"), "goes on");
}

#[test]
fn a_cancel_to_a_server_is_as_private_as_its_connection() {
    let database = Cluster::with_tls().database();
    let (address, heard) = eavesdropper(database.cluster.address());
    let pooler = Plan::before_address(address, &database.name)
        .pool_size(1)
        .start();
    let mut client = pooler.client();
    assert!(in_tls(&mut client));
    sleep(&mut client, &database);
    cancel(pooler.address, &client.key);
    let told = client.until_ready(1, "the cancelled query");
    assert_eq!(first_error(&told).as_deref(), Some("57014"));
    let firsts: Vec<Vec<u8>> = heard.try_iter().collect();
    assert_eq!(firsts.len(), 2, "the session's connection and the cancel's");
    assert!(firsts.iter().all(|first| *first == ssl_request()));
}
