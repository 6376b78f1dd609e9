//! 30 clients over few server connections.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::sleep;
use tokio_postgres::types::Type;
use tokio_postgres::{Error, NoTls};

use crate::case::{
    Cases, connect, connections, fresh_table, integers, no_transaction_is_open, pool_size, server,
};

const CLIENTS: i32 = 30;

pub async fn run(cases: &mut Cases) {
    cases
        .check(
            "30 clients in transactions: what is committed is right",
            watched(transactions()),
        )
        .await;
    cases
        .check(
            "30 clients, a third cancelled and a third gone",
            watched(cancelled_and_gone()),
        )
        .await;
    cases
        .check("3 clients with named statements", watched(statements(3)))
        .await;
    cases
        .check(
            "30 clients with named statements",
            watched(statements(CLIENTS)),
        )
        .await;
}

/// While `work` goes on, PostgreSQL must not have more connections than the pool
/// may have.
async fn watched(work: impl Future<Output = ()>) {
    let done = Arc::new(AtomicBool::new(false));
    let watching = tokio::spawn(most_connections(Arc::clone(&done)));
    work.await;
    done.store(true, Ordering::Relaxed);
    let most = watching.await.unwrap();
    assert!(most > 0);
    if let Some(size) = pool_size() {
        assert!(most <= size, "{most} server connections");
    }
}

async fn most_connections(done: Arc<AtomicBool>) -> i64 {
    let server = server().await;
    let mut most = 0;
    while !done.load(Ordering::Relaxed) {
        most = most.max(connections(&server).await);
        sleep(Duration::from_millis(10)).await;
    }
    most
}

/// Each client writes its numbers, commits the even ones, rolls back the others.
async fn transactions() {
    fresh_table("written", "n int").await;
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| tokio::spawn(writes(client)))
        .collect();
    for client in clients {
        client.await.unwrap().unwrap();
    }
    let expected: Vec<i32> = (0..CLIENTS * 20).filter(|n| n % 2 == 0).collect();
    assert_eq!(integers("SELECT n FROM written ORDER BY n").await, expected);
}

async fn writes(number: i32) -> Result<(), Error> {
    let mut client = connect().await;
    for n in number * 20..number * 20 + 20 {
        let transaction = client.transaction().await?;
        transaction
            .execute_typed("INSERT INTO written VALUES ($1)", &[(&n, Type::INT4)])
            .await?;
        if n % 2 == 0 {
            transaction.commit().await?;
        } else {
            transaction.rollback().await?;
        }
        let rows = client.query_typed("SELECT $1", &[(&n, Type::INT4)]).await?;
        assert_eq!(rows[0].get::<_, i32>(0), n);
    }
    Ok(())
}

/// Client n inserts n; n % 3 says how it ends: 0 commits, 1 is cancelled in
/// mid-query, 2 goes away in mid-transaction.
async fn cancelled_and_gone() {
    fresh_table("written", "n int").await;
    let clients: Vec<_> = (0..CLIENTS)
        .map(|n| tokio::spawn(ends_as_its_number_says(n)))
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    no_transaction_is_open().await;
    let expected: Vec<i32> = (0..CLIENTS).filter(|n| n % 3 == 0).collect();
    assert_eq!(integers("SELECT n FROM written ORDER BY n").await, expected);
}

async fn ends_as_its_number_says(n: i32) {
    let client = connect().await;
    client
        .batch_execute(&format!("BEGIN; INSERT INTO written VALUES ({n})"))
        .await
        .unwrap();
    match n % 3 {
        0 => client.batch_execute("COMMIT").await.unwrap(),
        1 => {
            let token = client.cancel_token();
            let (ended, sent) =
                futures_util::join!(client.simple_query("SELECT pg_sleep(60)"), async {
                    sleep(Duration::from_millis(50)).await;
                    token.cancel_query(NoTls).await
                });
            sent.unwrap();
            assert_eq!(ended.unwrap_err().code().unwrap().code(), "57014");
            client.batch_execute("COMMIT").await.unwrap();
        }
        _ => drop(client),
    }
}

/// Every client keeps statements of its own and uses them again and again.
async fn statements(clients: i32) {
    let clients: Vec<_> = (0..clients)
        .map(|n| {
            tokio::spawn(async move {
                let client = connect().await;
                let own = client
                    .prepare(&format!("SELECT {n}, $1::int4"))
                    .await
                    .unwrap();
                for k in 0..30i32 {
                    let row = client.query_one(&own, &[&k]).await.unwrap();
                    assert_eq!((row.get::<_, i32>(0), row.get::<_, i32>(1)), (n, k));
                }
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
}
