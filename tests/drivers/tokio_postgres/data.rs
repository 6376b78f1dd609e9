//! COPY, large rows and many rows.

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt, TryStreamExt, pin_mut};

use crate::case::{Cases, connect, fresh_table, sqlstate};

pub async fn run(cases: &mut Cases) {
    cases
        .check("COPY in and out, as text and cut anywhere", copy())
        .await;
    cases
        .check(
            "a COPY that fails or is dropped writes nothing",
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

async fn copy() {
    fresh_table("copied", "n int, said text").await;
    let client = connect().await;
    let text: String = (0..20_000).map(|n| format!("{n}\tsaid {n}\n")).collect();
    for piece in [7, 1000, 300_000] {
        client.batch_execute("TRUNCATE copied").await.unwrap();
        let sink = client.copy_in("COPY copied FROM STDIN").await.unwrap();
        pin_mut!(sink);
        let bytes = Bytes::from(text.clone());
        let mut at = 0;
        // Small pieces only for the start, or it takes long.
        while at < bytes.len() {
            let size = if at < 10_000 {
                piece
            } else {
                65_536.max(piece)
            };
            let end = (at + size).min(bytes.len());
            sink.send(bytes.slice(at..end)).await.unwrap();
            at = end;
        }
        assert_eq!(sink.finish().await.unwrap(), 20_000);
        let out: Vec<Bytes> = client
            .copy_out("COPY (SELECT * FROM copied ORDER BY n) TO STDOUT")
            .await
            .unwrap()
            .try_collect()
            .await
            .unwrap();
        assert_eq!(out.concat(), text.as_bytes(), "pieces of {piece}");
    }
}

async fn copy_fails() {
    fresh_table("copied", "n int").await;
    let client = connect().await;
    let sink = client.copy_in("COPY copied FROM STDIN").await.unwrap();
    pin_mut!(sink);
    sink.send(Bytes::from_static(b"1\nno number\n"))
        .await
        .unwrap();
    assert_eq!(sqlstate(sink.finish().await), "22P02");

    {
        let dropped = client.copy_in("COPY copied FROM STDIN").await.unwrap();
        pin_mut!(dropped);
        dropped.send(Bytes::from_static(b"2\n3\n")).await.unwrap();
    }
    {
        let half_read = client
            .copy_out("COPY (SELECT generate_series(1, 300000)) TO STDOUT")
            .await
            .unwrap();
        pin_mut!(half_read);
        assert!(half_read.next().await.unwrap().unwrap().starts_with(b"1\n"));
    }
    assert_eq!(
        client
            .query_one("SELECT count(*) FROM copied", &[])
            .await
            .unwrap()
            .get::<_, i64>(0),
        0
    );
}

async fn large() {
    let client = connect().await;
    let data = vec![7u8; 32 << 20];
    let back: Vec<u8> = client
        .query_one("SELECT $1::bytea", &[&data])
        .await
        .unwrap()
        .get(0);
    assert!(back == data);
    let rows = client
        .query(
            "SELECT n, 'row ' || n FROM generate_series(1, 100000) n",
            &[],
        )
        .await
        .unwrap();
    assert_eq!(rows.len(), 100_000);
    assert!(
        (1..).zip(&rows).all(
            |(n, row)| row.get::<_, i32>(0) == n && row.get::<_, &str>(1) == format!("row {n}")
        )
    );
    let none: [i32; 0] = [];
    {
        let stream = client
            .query_raw("SELECT generate_series(1, 100000)", none)
            .await
            .unwrap();
        pin_mut!(stream);
        assert_eq!(stream.next().await.unwrap().unwrap().get::<_, i32>(0), 1);
    }
    assert_eq!(
        client
            .query_one("SELECT 'own'", &[])
            .await
            .unwrap()
            .get::<_, &str>(0),
        "own"
    );
}
