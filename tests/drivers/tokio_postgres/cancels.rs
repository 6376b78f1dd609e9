//! Cancel requests, and backends that end.

use std::time::Duration;

use tokio::time::sleep;
use tokio_postgres::NoTls;

use crate::case::{Cases, connect, fresh_table, integers, pool_size, server, sqlstate};

pub async fn run(cases: &mut Cases) {
    cases
        .check("cancel_token ends the query that runs", ends_the_query())
        .await;
    cases
        .check("a cancel with nothing to end hits nobody", hits_nobody())
        .await;
    cases
        .check(
            "a cancel in a transaction fails it and a savepoint saves it",
            in_a_transaction(),
        )
        .await;
    cases
        .check(
            "a backend ended in mid-query is told, others go on",
            backend_ended(),
        )
        .await;
}

async fn ends_the_query() {
    let client = connect().await;
    let token = client.cancel_token();
    for n in 0..20i32 {
        let (ended, ()) = futures_util::join!(client.simple_query("SELECT pg_sleep(60)"), async {
            // Cancel may come before the query runs: ask again until it hits.
            sleep(Duration::from_millis(30)).await;
            token.cancel_query(NoTls).await.unwrap();
        });
        assert_eq!(sqlstate(ended), "57014");
        assert_eq!(
            client
                .query_one("SELECT $1::int4", &[&n])
                .await
                .unwrap()
                .get::<_, i32>(0),
            n
        );
    }
}

async fn hits_nobody() {
    let (idle, busy) = (connect().await, connect().await);
    idle.simple_query("SELECT 1").await.unwrap();
    let token = idle.cancel_token();
    for n in 0..40i32 {
        let (answer, sent) = futures_util::join!(
            busy.query_typed("SELECT 7 FROM pg_sleep(0.01)", &[]),
            token.cancel_query(NoTls)
        );
        sent.unwrap();
        assert_eq!(answer.unwrap()[0].get::<_, i32>(0), 7, "round {n}");
    }
}

async fn in_a_transaction() {
    fresh_table("steps", "n int").await;
    let mut client = connect().await;
    let token = client.cancel_token();
    let mut transaction = client.transaction().await.unwrap();
    transaction
        .execute("INSERT INTO steps VALUES (1)", &[])
        .await
        .unwrap();
    let inner = transaction.transaction().await.unwrap();
    let (ended, ()) = futures_util::join!(inner.query_typed("SELECT pg_sleep(60)", &[]), async {
        sleep(Duration::from_millis(100)).await;
        token.cancel_query(NoTls).await.unwrap();
    });
    assert_eq!(sqlstate(ended), "57014");
    assert_eq!(sqlstate(inner.simple_query("SELECT 1").await), "25P02");
    inner.rollback().await.unwrap();
    transaction
        .execute("INSERT INTO steps VALUES (2)", &[])
        .await
        .unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(integers("SELECT n FROM steps ORDER BY n").await, [1, 2]);
}

async fn backend_ended() {
    let server = server().await;
    let mut bystander = connect().await;
    let kept = bystander.transaction().await.unwrap();
    kept.simple_query("SELECT 1").await.unwrap();
    let mut client = connect().await;
    let transaction = client.transaction().await.unwrap();
    let pid: i32 = transaction
        .query_typed("SELECT pg_backend_pid()", &[])
        .await
        .unwrap()[0]
        .get(0);
    let (ended, ()) = futures_util::join!(transaction.simple_query("SELECT pg_sleep(60)"), async {
        sleep(Duration::from_millis(100)).await;
        server
            .execute("SELECT pg_terminate_backend($1)", &[&pid])
            .await
            .unwrap();
    });
    assert_eq!(sqlstate(ended), "57P01");
    drop(transaction);
    kept.simple_query("SELECT 2").await.unwrap();
    kept.commit().await.unwrap();
    // As many fresh ones as the pool is large: none meets the dead connection.
    for _ in 0..pool_size().unwrap_or(3) {
        let mut fresh = connect().await;
        let transaction = fresh.transaction().await.unwrap();
        transaction.simple_query("SELECT 1").await.unwrap();
        transaction.commit().await.unwrap();
    }
}
