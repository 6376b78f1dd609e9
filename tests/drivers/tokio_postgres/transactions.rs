//! Transactions, savepoints, portals.

use std::time::Duration;

use tokio_postgres::{IsolationLevel, NoTls};

use crate::case::{
    Cases, config, connect, fresh_table, integers, no_transaction_is_open, sqlstate,
};

pub async fn run(cases: &mut Cases) {
    cases
        .check("nested transactions are savepoints", nested())
        .await;
    cases
        .check("a transaction dropped is rolled back", dropped())
        .await;
    cases
        .check(
            "isolation level, read only and deferrable hold for their transaction",
            kinds(),
        )
        .await;
    cases
        .check(
            "a portal is read by pieces, two of them in turns",
            portals(),
        )
        .await;
    cases
        .check(
            "a failed transaction refuses everything until it ends",
            failed(),
        )
        .await;
    cases
        .check("a transaction sent as one pipeline", in_one_pipeline())
        .await;
    cases
        .check("a client gone in mid-transaction leaves nothing", gone())
        .await;
}

async fn nested() {
    fresh_table("steps", "n int PRIMARY KEY").await;
    let mut client = connect().await;
    let mut outer = client.transaction().await.unwrap();
    outer
        .execute("INSERT INTO steps VALUES ($1)", &[&1i32])
        .await
        .unwrap();
    let inner = outer.transaction().await.unwrap();
    inner
        .execute("INSERT INTO steps VALUES (2)", &[])
        .await
        .unwrap();
    assert_eq!(
        sqlstate(inner.execute("INSERT INTO steps VALUES (1)", &[]).await),
        "23505"
    );
    inner.rollback().await.unwrap();
    let mut named = outer.savepoint("named").await.unwrap();
    named
        .execute("INSERT INTO steps VALUES (3)", &[])
        .await
        .unwrap();
    let innermost = named.transaction().await.unwrap();
    innermost
        .execute("INSERT INTO steps VALUES (4)", &[])
        .await
        .unwrap();
    drop(innermost);
    named.commit().await.unwrap();
    outer.commit().await.unwrap();
    assert_eq!(integers("SELECT n FROM steps ORDER BY n").await, [1, 3]);
}

async fn dropped() {
    fresh_table("steps", "n int PRIMARY KEY").await;
    let mut client = connect().await;
    for n in 0..20i32 {
        let transaction = client.transaction().await.unwrap();
        transaction
            .execute("INSERT INTO steps VALUES ($1)", &[&n])
            .await
            .unwrap();
        if n % 2 == 0 {
            transaction.commit().await.unwrap();
        }
    }
    assert_eq!(
        client
            .query("SELECT n FROM steps", &[])
            .await
            .unwrap()
            .len(),
        10
    );
    no_transaction_is_open().await;
}

async fn kinds() {
    fresh_table("steps", "n int").await;
    let mut client = connect().await;
    let transaction = client
        .build_transaction()
        .isolation_level(IsolationLevel::Serializable)
        .read_only(true)
        .deferrable(true)
        .start()
        .await
        .unwrap();
    let level: String = transaction
        .query_one("SHOW transaction_isolation", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(level, "serializable");
    assert_eq!(
        sqlstate(
            transaction
                .execute("INSERT INTO steps VALUES (1)", &[])
                .await
        ),
        "25006"
    );
    transaction.rollback().await.unwrap();
    let level: String = client
        .query_one("SHOW transaction_isolation", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(level, "read committed");
    client
        .execute("INSERT INTO steps VALUES (2)", &[])
        .await
        .unwrap();
    assert_eq!(integers("SELECT n FROM steps").await, [2]);
}

async fn portals() {
    let mut client = connect().await;
    let transaction = client.transaction().await.unwrap();
    let first = transaction
        .bind("SELECT n FROM generate_series(1, 100) n", &[])
        .await
        .unwrap();
    let second = transaction
        .bind(
            "SELECT n FROM generate_series($1::int4, 2000) n",
            &[&1001i32],
        )
        .await
        .unwrap();
    for n in 0..30i32 {
        let rows = transaction.query_portal(&first, 3).await.unwrap();
        assert_eq!(
            rows.iter().map(|row| row.get(0)).collect::<Vec<i32>>(),
            [n * 3 + 1, n * 3 + 2, n * 3 + 3]
        );
        let rows = transaction.query_portal(&second, 1).await.unwrap();
        assert_eq!(rows[0].get::<_, i32>(0), 1001 + n);
    }
    assert_eq!(transaction.query_portal(&first, 0).await.unwrap().len(), 10);
    assert_eq!(transaction.query_portal(&first, 0).await.unwrap().len(), 0);
    transaction.commit().await.unwrap();
}

async fn failed() {
    let mut client = connect().await;
    let transaction = client.transaction().await.unwrap();
    assert_eq!(
        sqlstate(transaction.query("SELECT 1 / $1::int4", &[&0i32]).await),
        "22012"
    );
    assert_eq!(
        sqlstate(transaction.simple_query("SELECT 1").await),
        "25P02"
    );
    assert_eq!(sqlstate(transaction.prepare("SELECT 1").await), "25P02");
    // COMMIT of a failed transaction is a rollback and no error.
    transaction.commit().await.unwrap();
    assert_eq!(
        client
            .query_one("SELECT 1", &[])
            .await
            .unwrap()
            .get::<_, i32>(0),
        1
    );
}

async fn in_one_pipeline() {
    fresh_table("steps", "n int PRIMARY KEY").await;
    let client = connect().await;
    for n in 0..20 {
        let insert = format!("INSERT INTO steps VALUES ({n})");
        let (began, inserted, ended) = futures_util::join!(
            client.simple_query("BEGIN"),
            client.query_typed(&insert, &[]),
            client.simple_query(if n % 2 == 0 { "COMMIT" } else { "ROLLBACK" }),
        );
        began.unwrap();
        inserted.unwrap();
        ended.unwrap();
    }
    let expected: Vec<i32> = (0..20).filter(|n| n % 2 == 0).collect();
    assert_eq!(integers("SELECT n FROM steps ORDER BY n").await, expected);
}

async fn gone() {
    fresh_table("steps", "n int PRIMARY KEY").await;
    for n in 0..10 {
        let (client, connection) = config().connect(NoTls).await.unwrap();
        let driving = tokio::spawn(connection);
        client
            .batch_execute("BEGIN; INSERT INTO steps VALUES (1)")
            .await
            .unwrap();
        if n % 2 == 0 {
            // Gone while its query runs; else between queries.
            let running = client.simple_query("SELECT pg_sleep(60)");
            assert!(
                tokio::time::timeout(Duration::from_millis(20), running)
                    .await
                    .is_err()
            );
        }
        // Closes the socket at once; dropping the client would wait for the answer.
        driving.abort();
    }
    no_transaction_is_open().await;
    assert_eq!(integers("SELECT n FROM steps").await, [0i32; 0]);
}
