//! A storm of logins by SCRAM at a steady rate, for `benches/run`: clients that
//! come, run one query and leave.
//!
//! ```text
//! login_storm HOST:PORT USER DATABASE PASSWORD LOGINS_A_SECOND SECONDS
//! ```
//!
//! Prints one line: logins, failures, and the time from connect(2) to the answer
//! of the query, in microseconds.

#![allow(missing_docs, clippy::print_stdout)]

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use pgweave::auth::{Credential, KeyCache, Reply, Secret, ServerLogin};
use pgweave::wire::frontend;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

/// Logins under way at a time: beyond these the storm is late, and says so.
const AT_ONCE: usize = 500;
const PATIENCE: Duration = Duration::from_secs(20);

type Failure = Box<dyn Error + Send + Sync>;

struct Target {
    address: String,
    user: String,
    database: String,
    password: Secret,
    /// One derivation for all: what is measured is the other side.
    keys: KeyCache,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, user, database, password, rate, seconds] = arguments.as_slice() else {
        return Err("usage: login_storm HOST:PORT USER DATABASE PASSWORD RATE SECONDS".into());
    };
    let target = Arc::new(Target {
        address: address.clone(),
        user: user.clone(),
        database: database.clone(),
        password: Secret::new(password),
        keys: KeyCache::new(8),
    });
    let (rate, seconds): (u32, u32) = (rate.parse()?, seconds.parse()?);
    log_in(&target).await?;

    let room = Arc::new(Semaphore::new(AT_ONCE));
    let mut ticks = interval(Duration::from_secs(1) / rate);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut under_way = Vec::new();
    let began = Instant::now();
    for _ in 0..rate * seconds {
        ticks.tick().await;
        let permit = Arc::clone(&room).acquire_owned().await?;
        let target = Arc::clone(&target);
        under_way.push(tokio::spawn(async move {
            let begun = Instant::now();
            let outcome = timeout(PATIENCE, log_in(&target)).await;
            drop(permit);
            matches!(outcome, Ok(Ok(()))).then(|| begun.elapsed())
        }));
    }
    let mut times = Vec::new();
    let all = under_way.len();
    for login in under_way {
        times.extend(login.await?);
    }
    let took = began.elapsed();
    times.sort();
    let at = |part: usize| {
        let time = times.get(times.len().saturating_sub(1) * part / 100);
        time.map_or(0, Duration::as_micros)
    };
    println!(
        "logins={} failed={} per_second={:.0} p50_us={} p99_us={}",
        times.len(),
        all - times.len(),
        f64::from(u32::try_from(times.len())?) / took.as_secs_f64(),
        at(50),
        at(99)
    );
    Ok(())
}

async fn log_in(target: &Target) -> Result<(), Failure> {
    let mut stream = TcpStream::connect(&target.address).await?;
    stream.set_nodelay(true)?;
    let names = [
        ("user", target.user.as_str()),
        ("database", target.database.as_str()),
    ];
    stream
        .write_all(&frontend::startup(names.into_iter()))
        .await?;
    let mut nonce = [0; 18];
    getrandom::fill(&mut nonce).map_err(|error| error.to_string())?;
    let credential = Credential::Plain(target.password.clone());
    let mut login = ServerLogin::new(&target.user, credential, &target.keys, nonce);
    loop {
        let (tag, body) = message(&mut stream).await?;
        match tag {
            b'R' => {
                let mut reply = login
                    .on_authentication(&body)
                    .map_err(|error| error.message)?;
                if let Reply::Derive(derivation) = reply {
                    derivation.run();
                    reply = login.resume().map_err(|error| error.message)?;
                }
                if let Reply::Send(bytes) = reply {
                    stream.write_all(&bytes).await?;
                }
            }
            b'Z' => break,
            b'E' => return Err(String::from_utf8_lossy(&body).into_owned().into()),
            _ => {}
        }
    }
    stream.write_all(&frontend::query("SELECT 1")).await?;
    loop {
        match message(&mut stream).await? {
            (b'Z', _) => break,
            (b'E', body) => return Err(String::from_utf8_lossy(&body).into_owned().into()),
            _ => {}
        }
    }
    stream.write_all(&frontend::terminate()).await?;
    Ok(())
}

async fn message(stream: &mut TcpStream) -> Result<(u8, Vec<u8>), Failure> {
    let tag = stream.read_u8().await?;
    let length = stream.read_u32().await?;
    let mut body = vec![0; usize::try_from(length)?.saturating_sub(4)];
    stream.read_exact(&mut body).await?;
    Ok((tag, body))
}
