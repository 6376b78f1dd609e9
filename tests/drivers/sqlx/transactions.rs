//! Transactions and savepoints.

use sqlx::{Connection, Error, PgConnection};

use crate::connect::{connect, pool, sqlstate};
use crate::runner::{Cases, fresh_table, integers, no_transaction_is_open};

pub async fn run(cases: &mut Cases) {
    cases
        .check("nested transactions are savepoints", nested())
        .await;
    cases
        .check("a transaction dropped is rolled back", dropped())
        .await;
    cases
        .check(
            "a failed transaction refuses everything until it ends",
            failed(),
        )
        .await;
    cases
        .check(
            "isolation level and read only hold for their transaction",
            kinds(),
        )
        .await;
    cases
        .check(
            "transactions of 30 connections, a third rolled back, a third failing",
            thirds(),
        )
        .await;
}

async fn insert(client: &mut PgConnection, n: i32) -> Result<(), Error> {
    let insert = sqlx::query("INSERT INTO steps VALUES ($1)").bind(n);
    insert.execute(client).await.map(drop)
}

async fn nested() {
    fresh_table("steps", "n int PRIMARY KEY").await;
    let mut client = connect().await;
    let mut outer = client.begin().await.unwrap();
    insert(&mut outer, 1).await.unwrap();
    let mut inner = outer.begin().await.unwrap();
    insert(&mut inner, 2).await.unwrap();
    assert_eq!(sqlstate(insert(&mut inner, 1).await), "23505");
    inner.rollback().await.unwrap();
    let mut kept = outer.begin().await.unwrap();
    insert(&mut kept, 3).await.unwrap();
    {
        let mut dropped = kept.begin().await.unwrap();
        insert(&mut dropped, 4).await.unwrap();
    }
    kept.commit().await.unwrap();
    outer.commit().await.unwrap();
    assert_eq!(integers("SELECT n FROM steps ORDER BY n").await, [1, 3]);
}

async fn dropped() {
    fresh_table("steps", "n int PRIMARY KEY").await;
    let mut client = connect().await;
    for n in 0..20 {
        let mut transaction = client.begin().await.unwrap();
        insert(&mut transaction, n).await.unwrap();
        if n % 2 == 0 {
            transaction.commit().await.unwrap();
        }
    }
    client.ping().await.unwrap();
    no_transaction_is_open().await;
    let even: Vec<i32> = (0..20).filter(|n| n % 2 == 0).collect();
    assert_eq!(integers("SELECT n FROM steps ORDER BY n").await, even);
}

async fn failed() {
    let mut client = connect().await;
    let mut transaction = client.begin().await.unwrap();
    let half = sqlx::query("SELECT 1 / $1").bind(0);
    assert_eq!(sqlstate(half.execute(&mut *transaction).await), "22012");
    for _ in 0..2 {
        let after = sqlx::query("SELECT $1").bind(1);
        assert_eq!(sqlstate(after.execute(&mut *transaction).await), "25P02");
    }
    // COMMIT of a failed transaction is a rollback and no error.
    transaction.commit().await.unwrap();
    let one: i32 = sqlx::query_scalar("SELECT $1")
        .bind(1)
        .fetch_one(&mut client)
        .await
        .unwrap();
    assert_eq!(one, 1);
}

async fn level(client: &mut PgConnection) -> String {
    let level = sqlx::query_scalar("SHOW transaction_isolation");
    level.fetch_one(client).await.unwrap()
}

async fn kinds() {
    fresh_table("steps", "n int").await;
    let mut client = connect().await;
    let begin = "BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY";
    let mut transaction = client.begin_with(begin).await.unwrap();
    assert_eq!(level(&mut transaction).await, "serializable");
    assert_eq!(sqlstate(insert(&mut transaction, 1).await), "25006");
    transaction.rollback().await.unwrap();
    assert_eq!(level(&mut client).await, "read committed");
    insert(&mut client, 2).await.unwrap();
    assert_eq!(integers("SELECT n FROM steps").await, [2]);
}

async fn thirds() {
    fresh_table("steps", "n int PRIMARY KEY").await;
    let pool = pool(30).await;
    let tasks: Vec<_> = (0..120)
        .map(|n| {
            let pool = pool.clone();
            tokio::spawn(async move {
                let mut transaction = pool.begin().await.unwrap();
                insert(&mut transaction, n).await.unwrap();
                match n % 3 {
                    0 => transaction.commit().await.unwrap(),
                    1 => {
                        assert_eq!(sqlstate(insert(&mut transaction, n).await), "23505");
                        transaction.commit().await.unwrap();
                    }
                    _ => drop(transaction),
                }
                let query = sqlx::query_scalar("SELECT $1").bind(n);
                assert_eq!(query.fetch_one(&pool).await.ok(), Some(n));
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    pool.close().await;
    let kept: Vec<i32> = (0..120).filter(|n| n % 3 == 0).collect();
    assert_eq!(integers("SELECT n FROM steps ORDER BY n").await, kept);
}
