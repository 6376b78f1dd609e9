//! Simple and extended queries, pipelines, statements, login.

use futures_util::future::join_all;
use tokio_postgres::SimpleQueryMessage;
use tokio_postgres::types::Type;

use crate::case::{
    Cases, config, connect, connect_with, integers, sqlstate, trusted_config, variable,
};

pub async fn run(cases: &mut Cases) {
    cases
        .check("values come back as they were sent", values())
        .await;
    cases
        .check("a simple query gives all of its results", simple_query())
        .await;
    cases
        .check("queries sent together are answered in order", pipelined())
        .await;
    cases
        .check(
            "an error in a pipeline is that query's alone",
            errors_in_pipelines(),
        )
        .await;
    cases
        .check(
            "prepared statements answer every set of arguments",
            prepared(),
        )
        .await;
    cases
        .check("queries without a named statement", typed())
        .await;
    cases
        .check(
            "types that the driver has to ask the server about",
            asked_types(),
        )
        .await;
    cases
        .check(
            "login: the wrong password, no such database, the trusted user",
            login(),
        )
        .await;
}

async fn values() {
    let client = connect().await;
    let data: Vec<u8> = (0..=255).collect();
    let row = client
        .query_one(
            "SELECT $1::int8, $2::text, $3::bytea, $4::float8, $5::bool, $6::int4[], $7::text",
            &[
                &i64::MIN,
                &"naïve 漢字 🙂",
                &data,
                &0.1f64,
                &true,
                &vec![Some(1), None],
                &None::<String>,
            ],
        )
        .await
        .unwrap();
    assert_eq!(row.get::<_, i64>(0), i64::MIN);
    assert_eq!(row.get::<_, &str>(1), "naïve 漢字 🙂");
    assert_eq!(row.get::<_, &[u8]>(2), data);
    assert_eq!(row.get::<_, f64>(3), 0.1);
    assert!(row.get::<_, bool>(4));
    assert_eq!(row.get::<_, Vec<Option<i32>>>(5), vec![Some(1), None]);
    assert_eq!(row.get::<_, Option<&str>>(6), None);
}

async fn simple_query() {
    let client = connect().await;
    let messages = client
        .simple_query("SELECT 1 AS n; SELECT 'two', NULL; SELECT 3 WHERE false")
        .await
        .unwrap();
    let rows: Vec<Vec<Option<String>>> = messages
        .iter()
        .filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(
                (0..row.len())
                    .map(|n| row.get(n).map(str::to_owned))
                    .collect(),
            ),
            _ => None,
        })
        .collect();
    assert_eq!(
        rows,
        [
            vec![Some("1".to_owned())],
            vec![Some("two".to_owned()), None]
        ]
    );
    let counts: Vec<u64> = messages
        .iter()
        .filter_map(|message| match message {
            SimpleQueryMessage::CommandComplete(count) => Some(*count),
            _ => None,
        })
        .collect();
    assert_eq!(counts, [1, 1, 0]);
    assert_eq!(
        sqlstate(
            client
                .simple_query("SELECT 1; SELECT 1 / 0; SELECT 2")
                .await
        ),
        "22012"
    );
    client.batch_execute("").await.unwrap();
    assert_eq!(client.simple_query("SELECT 5").await.unwrap().len(), 3);
}

async fn pipelined() {
    let client = connect().await;
    // Polled together on one client, tokio-postgres sends them without waiting.
    let statement = client
        .prepare("SELECT $1::int4, repeat('x', $1)")
        .await
        .unwrap();
    let numbers: Vec<i32> = (0..500).collect();
    let answers = join_all(numbers.iter().map(|n| {
        let (client, statement) = (&client, &statement);
        async move { client.query_one(statement, &[n]).await.unwrap() }
    }))
    .await;
    for (n, row) in numbers.iter().zip(&answers) {
        assert_eq!(row.get::<_, i32>(0), *n);
        assert_eq!(row.get::<_, &str>(1).len(), usize::try_from(*n).unwrap());
    }
    // And with a Parse each, and simple queries between.
    let mixed = join_all((0..100i32).map(|n| {
        let client = &client;
        async move {
            if n % 5 == 0 {
                let messages = client.simple_query(&format!("SELECT {n}")).await.unwrap();
                let found = messages.iter().find_map(|message| match message {
                    SimpleQueryMessage::Row(row) => row.get(0).and_then(|text| text.parse().ok()),
                    _ => None,
                });
                found.unwrap()
            } else {
                client
                    .query_one("SELECT $1::int4", &[&n])
                    .await
                    .unwrap()
                    .get::<_, i32>(0)
            }
        }
    }))
    .await;
    assert_eq!(mixed, (0..100).collect::<Vec<i32>>());
}

async fn errors_in_pipelines() {
    let client = connect().await;
    let statement = client.prepare("SELECT 100 / $1::int4").await.unwrap();
    let ends = join_all((0..90i32).map(|n| {
        let (client, statement) = (&client, &statement);
        async move { client.query_one(statement, &[&(n % 3)]).await }
    }))
    .await;
    for (n, end) in ends.into_iter().enumerate() {
        match n % 3 {
            0 => assert_eq!(sqlstate(end), "22012"),
            divisor => assert_eq!(
                end.unwrap().get::<_, i32>(0),
                100 / i32::try_from(divisor).unwrap()
            ),
        }
    }
    assert_eq!(sqlstate(client.prepare("SELEC 1").await), "42601");
    assert_eq!(
        sqlstate(client.query("SELECT * FROM nowhere", &[]).await),
        "42P01"
    );
    assert_eq!(
        client
            .query_one("SELECT 1", &[])
            .await
            .unwrap()
            .get::<_, i32>(0),
        1
    );
}

async fn prepared() {
    let (one, other) = (connect().await, connect().await);
    let first = one
        .prepare_typed("SELECT 'one', $1", &[Type::INT4])
        .await
        .unwrap();
    let second = other.prepare("SELECT $1::text || '!'").await.unwrap();
    assert_eq!(first.columns().len(), 2);
    assert_eq!(second.params(), [Type::TEXT]);
    for n in 0..50i32 {
        assert_eq!(
            one.query_one(&first, &[&n]).await.unwrap().get::<_, i32>(1),
            n
        );
        let said: String = other
            .query_one(&second, &[&n.to_string()])
            .await
            .unwrap()
            .get(0);
        assert_eq!(said, format!("{n}!"));
    }
    // Dropped ones are closed on the server, others are made meanwhile.
    for n in 0..50i32 {
        let passing = one
            .prepare(&format!("SELECT {n} + $1::int4"))
            .await
            .unwrap();
        assert_eq!(
            one.query_one(&passing, &[&1i32])
                .await
                .unwrap()
                .get::<_, i32>(0),
            n + 1
        );
    }
    drop(second);
    assert_eq!(
        one.query_one(&first, &[&7i32])
            .await
            .unwrap()
            .get::<_, &str>(0),
        "one"
    );
}

async fn typed() {
    let client = connect().await;
    for n in 0..50i32 {
        let rows = client
            .query_typed(
                "SELECT n + $1 FROM generate_series(1, 2) n",
                &[(&n, Type::INT4)],
            )
            .await
            .unwrap();
        assert_eq!(
            rows.iter().map(|row| row.get(0)).collect::<Vec<i32>>(),
            [n + 1, n + 2]
        );
    }
    assert_eq!(
        sqlstate(
            client
                .query_typed("SELECT 1 / $1", &[(&0i32, Type::INT4)])
                .await
        ),
        "22012"
    );
    assert_eq!(client.query_typed("SELECT 1", &[]).await.unwrap().len(), 1);
}

async fn asked_types() {
    let client = connect().await;
    client
        .batch_execute("DROP TYPE IF EXISTS hue CASCADE; CREATE TYPE hue AS ENUM ('red', 'blue')")
        .await
        .unwrap();
    let statement = client
        .prepare("SELECT 'red'::hue, $1::hue[]")
        .await
        .unwrap();
    assert_eq!(statement.columns()[0].type_().name(), "hue");
    assert_eq!(statement.params()[0].name(), "_hue");
}

async fn login() {
    let wrong = config()
        .password("wrong")
        .connect(tokio_postgres::NoTls)
        .await;
    assert_eq!(sqlstate(wrong.map(drop)), "28P01");
    let nowhere = match config()
        .dbname("no_such_db")
        .connect(tokio_postgres::NoTls)
        .await
    {
        Err(error) => Err(error),
        // A pooler may let in before it asks the server.
        Ok((client, connection)) => {
            tokio::spawn(connection);
            client.simple_query("SELECT 1").await.map(drop)
        }
    };
    assert_eq!(sqlstate(nowhere), "3D000");
    let trusted = connect_with(&trusted_config()).await;
    let who: String = trusted
        .query_one("SELECT current_user::text", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(who, variable("PGWEAVE_TEST_TRUST_USER"));
    assert_eq!(integers("SELECT 1").await, [1]);
}
