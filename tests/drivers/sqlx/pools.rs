//! The driver's own pool, time limits, LISTEN.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use sqlx::postgres::{PgListener, PgPool};
use sqlx::{Connection, Error, Executor};
use tokio::time::{sleep, timeout};

use crate::connect::{connect, pool, sqlstate};
use crate::runner::{Cases, connections, fresh_table, integers, pool_size, server, variable};

pub async fn run(cases: &mut Cases) {
    cases
        .check(
            "1,000 queries of a pool at once: each gets its own answer, over few server connections",
            thousand(),
        )
        .await;
    cases
        .check(
            "pools that come and go leave the others alone",
            come_and_go(),
        )
        .await;
    cases
        .check(
            "server connections that end while they are idle are noticed by no query",
            ended_while_idle(),
        )
        .await;
    cases
        .check(
            "a query given up half-way leaves the connection to its next user",
            given_up(),
        )
        .await;
    cases
        .check(
            "statement_timeout in a transaction fails that transaction only",
            statement_timeout(),
        )
        .await;
    cases
        .check("who listens hears what others notify", listens())
        .await;
}

async fn asks(pool: &PgPool, count: i32) {
    let answers = join_all((0..count).map(|n| async move {
        let query = sqlx::query_scalar::<_, i32>("SELECT $1 * 2").bind(n);
        query.fetch_one(pool).await.unwrap()
    }))
    .await;
    assert_eq!(answers, (0..count).map(|n| n * 2).collect::<Vec<i32>>());
}

async fn thousand() {
    let pool = pool(30).await;
    let done = Arc::new(AtomicBool::new(false));
    let watching = tokio::spawn(most_connections(Arc::clone(&done)));
    asks(&pool, 1000).await;
    done.store(true, Ordering::Relaxed);
    let most = watching.await.unwrap();
    assert!(most > 0);
    if let Some(size) = pool_size() {
        assert!(most <= size, "{most} server connections");
    }
    pool.close().await;
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

async fn come_and_go() {
    for count in 1..10 {
        let pool = pool(count).await;
        asks(&pool, 40).await;
        // With connections in use, in every state.
        let asked = tokio::spawn({
            let pool = pool.clone();
            async move { sqlx::query("SELECT 1").execute(&pool).await.map(drop) }
        });
        pool.close().await;
        if let Err(error) = asked.await.unwrap() {
            assert!(matches!(error, Error::PoolClosed), "{error:?}");
        }
    }
}

async fn ended_while_idle() {
    let pool = pool(10).await;
    asks(&pool, 100).await;
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1 AND datname = $2";
    let (user, database) = (variable("PGUSER"), variable("PGDATABASE"));
    server()
        .await
        .query(end, &[&user, &database])
        .await
        .unwrap();
    sleep(Duration::from_millis(200)).await;
    asks(&pool, 100).await;
    pool.close().await;
}

async fn given_up() {
    let pool = pool(1).await;
    for n in 0..10i32 {
        let slow = sqlx::query("SELECT pg_sleep(0.1), $1").bind(n);
        let limit = Duration::from_millis(10) * n.unsigned_abs();
        assert!(timeout(limit, slow.execute(&pool)).await.is_err());
        let query = sqlx::query_scalar("SELECT $1").bind(n);
        assert_eq!(query.fetch_one(&pool).await.ok(), Some(n));
    }
    pool.close().await;
}

async fn statement_timeout() {
    fresh_table("steps", "n int").await;
    let mut client = connect().await;
    let sleeps = |seconds: f64| sqlx::query("SELECT pg_sleep($1)").bind(seconds);
    let mut transaction = client.begin().await.unwrap();
    transaction
        .execute("INSERT INTO steps VALUES (1)")
        .await
        .unwrap();
    transaction
        .execute("SET LOCAL statement_timeout = '50ms'")
        .await
        .unwrap();
    let late = sleeps(60.0).execute(&mut *transaction).await;
    assert_eq!(sqlstate(late), "57014");
    transaction.rollback().await.unwrap();
    sleeps(0.1).execute(&mut client).await.unwrap();
    assert_eq!(integers("SELECT n FROM steps").await, [0i32; 0]);
}

async fn listens() {
    let (listening, notifying) = (pool(1).await, pool(1).await);
    let mut listener = PgListener::connect_with(&listening).await.unwrap();
    listener.listen("news").await.unwrap();
    for n in 0..5 {
        let notify = sqlx::query("SELECT pg_notify('news', $1)").bind(format!("no {n}"));
        notify.execute(&notifying).await.unwrap();
    }
    for n in 0..5 {
        let heard = timeout(Duration::from_secs(5), listener.recv()).await;
        assert_eq!(heard.unwrap().unwrap().payload(), format!("no {n}"));
    }
    drop(listener);
    notifying.close().await;
    listening.close().await;
}
