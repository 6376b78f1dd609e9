//! Values, prepared statements, errors, descriptions, login.

use sqlx::postgres::{PgConnectOptions, PgRow};
use sqlx::{Column, Connection, Error, Executor, PgConnection, Row, TypeInfo};

use crate::connect::{connect, connect_with, sqlstate};
use crate::runner::{Cases, variable};

const CLIENTS: i32 = 30;

pub async fn run(cases: &mut Cases) {
    cases
        .check("values come back as they were sent", values())
        .await;
    cases
        .check(
            "a prepared statement answers every set of arguments",
            prepared(),
        )
        .await;
    cases
        .check(
            "30 clients with statements of their own and of all, over few server connections",
            many_clients(),
        )
        .await;
    cases
        .check(
            "twelve texts go through a cache of five statements",
            small_cache(),
        )
        .await;
    cases
        .check("queries without a named statement", unnamed())
        .await;
    cases
        .check(
            "a simple query gives all of its results, up to its error",
            simple(),
        )
        .await;
    cases
        .check(
            "an error in Parse, Bind or Execute leaves the connection as it was",
            errors(),
        )
        .await;
    cases
        .check(
            "types that the driver has to ask the server about",
            asked_types(),
        )
        .await;
    cases
        .check(
            "a query is described with its types and what may be NULL",
            described(),
        )
        .await;
    cases
        .check(
            "a statement is prepared anew when all are cleared after its table has changed",
            healed(),
        )
        .await;
    cases
        .check("login: the wrong password, the trusted user", login())
        .await;
}

async fn values() {
    let mut client = connect().await;
    let data: Vec<u8> = (0..=255).collect();
    let row = sqlx::query(
        "SELECT $1::int8, $2::text, $3::bytea, $4::float8, $5::bool, $6::int4[], $7::text",
    )
    .bind(i64::MIN)
    .bind("naïve 漢字 🙂")
    .bind(&data)
    .bind(0.1f64)
    .bind(true)
    .bind(vec![Some(1), None])
    .bind(None::<String>)
    .fetch_one(&mut client)
    .await
    .unwrap();
    assert_eq!(row.get::<i64, _>(0), i64::MIN);
    assert_eq!(row.get::<String, _>(1), "naïve 漢字 🙂");
    assert_eq!(row.get::<Vec<u8>, _>(2), data);
    assert_eq!(row.get::<f64, _>(3), 0.1);
    assert!(row.get::<bool, _>(4));
    assert_eq!(row.get::<Vec<Option<i32>>, _>(5), [Some(1), None]);
    assert_eq!(row.get::<Option<String>, _>(6), None);
}

async fn plus(client: &mut PgConnection, number: i32, n: i32) -> Result<i32, Error> {
    let query = format!("SELECT {number} + $1");
    sqlx::query_scalar(&query).bind(n).fetch_one(client).await
}

async fn prepared() {
    let (mut one, mut other) = (connect().await, connect().await);
    for n in 0..50i32 {
        let row = sqlx::query("SELECT 'one' AS who, $1 AS n")
            .bind(n)
            .fetch_one(&mut one)
            .await
            .unwrap();
        let names: Vec<&str> = row.columns().iter().map(Column::name).collect();
        assert_eq!(names, ["who", "n"]);
        assert_eq!((row.get::<&str, _>(0), row.get::<i32, _>(1)), ("one", n));
        // This driver numbers its statements: both clients have the same names.
        let said: String = sqlx::query_scalar("SELECT $1 || '!'")
            .bind(n.to_string())
            .fetch_one(&mut other)
            .await
            .unwrap();
        assert_eq!(said, format!("{n}!"));
    }
}

async fn many_clients() {
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            tokio::spawn(async move {
                let mut client = connect().await;
                for n in 0..30 {
                    assert_eq!(plus(&mut client, number, n).await.unwrap(), number + n);
                    assert_eq!(plus(&mut client, 1000, n).await.unwrap(), 1000 + n);
                }
                client.close().await.unwrap();
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
}

async fn small_cache() {
    let options = PgConnectOptions::new().statement_cache_capacity(5);
    let mut client = connect_with(&options).await.unwrap();
    for n in 0..60 {
        assert_eq!(plus(&mut client, n % 12, n).await.unwrap(), n % 12 + n);
        if n % 10 == 9 {
            let mut transaction = client.begin().await.unwrap();
            for k in 0..12 {
                assert_eq!(plus(&mut transaction, k, n).await.unwrap(), k + n);
            }
            transaction.commit().await.unwrap();
        }
    }
    assert_eq!(client.cached_statements_size(), 5);
    client.clear_cached_statements().await.unwrap();
    assert_eq!(plus(&mut client, 1, 1).await.unwrap(), 2);
}

async fn unnamed() {
    let mut client = connect().await;
    for n in 0..50i32 {
        let rows: Vec<i32> = sqlx::query_scalar("SELECT n + $1 FROM generate_series(1, 2) n")
            .bind(n)
            .persistent(false)
            .fetch_all(&mut client)
            .await
            .unwrap();
        assert_eq!(rows, [n + 1, n + 2]);
    }
    assert_eq!(client.cached_statements_size(), 0);
}

async fn simple() {
    let mut client = connect().await;
    let numbers = |rows: Vec<PgRow>| -> Vec<i32> { rows.iter().map(|row| row.get(0)).collect() };
    let three = "SELECT 1; SELECT 2 UNION ALL SELECT 3; SELECT 4 WHERE false";
    assert_eq!(numbers(client.fetch_all(three).await.unwrap()), [1, 2, 3]);
    let ended = client.execute("SELECT 1; SELECT 1 / 0; SELECT 2").await;
    assert_eq!(sqlstate(ended), "22012");
    client.execute("").await.unwrap();
    assert_eq!(numbers(client.fetch_all("SELECT 5").await.unwrap()), [5]);
}

async fn errors() {
    let mut client = connect().await;
    for persistent in [true, false] {
        let query = |text| sqlx::query(text).persistent(persistent);
        for n in 0..3 {
            let error = query("SELEC $1").bind(1).execute(&mut client).await;
            assert_eq!(sqlstate(error), "42601");
            let error = query("SELECT * FROM nowhere WHERE n = $1").bind(1);
            assert_eq!(sqlstate(error.execute(&mut client).await), "42P01");
            let error = query("SELECT $1::text::int").bind("no number");
            assert_eq!(sqlstate(error.execute(&mut client).await), "22P02");
            let row = query("SELECT $1").bind(n).fetch_one(&mut client).await;
            assert_eq!(row.unwrap().get::<i32, _>(0), n);
        }
    }
}

async fn asked_types() {
    let mut client = connect().await;
    let make = "DROP TYPE IF EXISTS hue CASCADE; CREATE TYPE hue AS ENUM ('red', 'blue')";
    client.execute(make).await.unwrap();
    let mut others = Vec::new();
    for _ in 0..6 {
        others.push(connect().await);
    }
    for client in &mut others {
        let row = sqlx::query("SELECT 'red'::hue AS one, ARRAY['blue']::hue[] AS many")
            .persistent(true)
            .fetch_one(client)
            .await
            .unwrap();
        let types: Vec<&str> = row.columns().iter().map(|c| c.type_info().name()).collect();
        assert_eq!(types, ["hue", "hue[]"]);
        assert_eq!(row.get_unchecked::<String, _>(0), "red");
    }
}

async fn described() {
    crate::runner::fresh_table("steps", "n int NOT NULL, said text").await;
    let mut client = connect().await;
    for _ in 0..5 {
        // This driver explains the EXECUTE of what it has prepared.
        let query = "SELECT s.n, s.said, $1::int8 AS sent FROM steps s WHERE s.n > $2";
        let described = client.describe(query).await.unwrap();
        let names: Vec<&str> = described.columns().iter().map(Column::name).collect();
        assert_eq!(names, ["n", "said", "sent"]);
        let may_be_null: Vec<_> = (0..3).map(|at| described.nullable(at)).collect();
        assert_eq!(may_be_null, [Some(false), Some(true), None]);
    }
    assert_eq!(plus(&mut client, 1, 1).await.unwrap(), 2);
}

async fn healed() {
    crate::runner::fresh_table("shape", "n int").await;
    let mut clients = Vec::new();
    for _ in 0..6 {
        clients.push(connect().await);
    }
    clients[0]
        .execute("INSERT INTO shape VALUES (1)")
        .await
        .unwrap();
    let query = "SELECT * FROM shape WHERE n = $1";
    for added in 0..5 {
        for client in &mut clients {
            let row = sqlx::query(query).bind(1).fetch_one(client).await.unwrap();
            assert_eq!(row.columns().len(), added + 1);
        }
        let add = format!("ALTER TABLE shape ADD COLUMN c{added} int DEFAULT 7");
        clients[added].execute(&*add).await.unwrap();
        for client in &mut clients {
            // As on a direct connection, until the statement is dropped.
            for _ in 0..2 {
                let stale = sqlx::query(query).bind(1).fetch_one(&mut *client).await;
                assert_eq!(sqlstate(stale), "0A000");
            }
            client.clear_cached_statements().await.unwrap();
        }
    }
}

async fn login() {
    let wrong = PgConnectOptions::new().password("wrong");
    assert_eq!(sqlstate(connect_with(&wrong).await), "28P01");
    let trusted = PgConnectOptions::new()
        .port(variable("PGWEAVE_TEST_TRUST_PORT").parse().unwrap())
        .username(&variable("PGWEAVE_TEST_TRUST_USER"))
        .password("");
    let mut client = connect_with(&trusted).await.unwrap();
    let who: String = sqlx::query_scalar("SELECT current_user::text")
        .fetch_one(&mut client)
        .await
        .unwrap();
    assert_eq!(who, variable("PGWEAVE_TEST_TRUST_USER"));
}
