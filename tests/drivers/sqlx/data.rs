//! COPY, large rows and many rows.

use futures_util::TryStreamExt;
use sqlx::{PgConnection, Row};

use crate::connect::{connect, sqlstate};
use crate::runner::{Cases, fresh_table, integers};

pub async fn run(cases: &mut Cases) {
    cases.check("COPY in and out, cut anywhere", copy()).await;
    cases
        .check(
            "a COPY that fails, is given up or dropped writes nothing",
            copy_fails(),
        )
        .await;
    cases
        .check(
            "a large row and many rows, and a stream dropped half-read",
            large(),
        )
        .await;
}

async fn own(client: &mut PgConnection) {
    let said: String = sqlx::query_scalar("SELECT $1")
        .bind("own")
        .fetch_one(client)
        .await
        .unwrap();
    assert_eq!(said, "own");
}

async fn copy() {
    fresh_table("copied", "n int, said text").await;
    let mut client = connect().await;
    let text: String = (0..5000).map(|n| format!("{n}\tsaid {n}\n")).collect();
    for piece in [7, 1000, 300_000] {
        sqlx::query("TRUNCATE copied")
            .execute(&mut client)
            .await
            .unwrap();
        let mut sink = client.copy_in_raw("COPY copied FROM STDIN").await.unwrap();
        for part in text.as_bytes().chunks(piece) {
            sink.send(part).await.unwrap();
        }
        assert_eq!(sink.finish().await.unwrap(), 5000);
        let out: Vec<_> = client
            .copy_out_raw("COPY (SELECT * FROM copied ORDER BY n) TO STDOUT")
            .await
            .unwrap()
            .try_collect()
            .await
            .unwrap();
        assert_eq!(out.concat(), text.as_bytes(), "pieces of {piece}");
    }
    own(&mut client).await;
}

async fn copy_fails() {
    fresh_table("copied", "n int").await;
    let mut client = connect().await;
    let mut sink = client.copy_in_raw("COPY copied FROM STDIN").await.unwrap();
    sink.send(&b"1\nno number\n"[..]).await.unwrap();
    assert_eq!(sqlstate(sink.finish().await), "22P02");
    own(&mut client).await;
    let mut sink = client.copy_in_raw("COPY copied FROM STDIN").await.unwrap();
    sink.send(&b"2\n"[..]).await.unwrap();
    sink.abort("on purpose").await.unwrap();
    own(&mut client).await;
    {
        let mut dropped = connect().await;
        let mut sink = dropped.copy_in_raw("COPY copied FROM STDIN").await.unwrap();
        sink.send(&b"3\n"[..]).await.unwrap();
    }
    own(&mut client).await;
    assert_eq!(integers("SELECT n FROM copied").await, [0i32; 0]);
}

async fn large() {
    let mut client = connect().await;
    let data = vec![7u8; 32 << 20];
    let back: Vec<u8> = sqlx::query_scalar("SELECT $1::bytea")
        .bind(&data)
        .fetch_one(&mut client)
        .await
        .unwrap();
    assert!(back == data);
    let rows = sqlx::query("SELECT n, 'row ' || n FROM generate_series(1, $1) n")
        .bind(100_000)
        .fetch_all(&mut client)
        .await
        .unwrap();
    assert_eq!(rows.len(), 100_000);
    let right = |(n, row): (i32, &sqlx::postgres::PgRow)| {
        row.get::<i32, _>(0) == n && row.get::<&str, _>(1) == format!("row {n}")
    };
    assert!((1..).zip(&rows).all(right));
    {
        let mut stream = sqlx::query("SELECT generate_series(1, $1)")
            .bind(100_000)
            .fetch(&mut client);
        let first = stream.try_next().await.unwrap().unwrap();
        assert_eq!(first.get::<i32, _>(0), 1);
    }
    own(&mut client).await;
}
