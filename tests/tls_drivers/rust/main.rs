//! tokio-postgres over rustls, for `tests/tls_drivers/run`: the plan comes on
//! standard input, a line for each case goes out.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout
)]

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use tokio_postgres::config::{ChannelBinding, SslMode, SslNegotiation};
use tokio_postgres::{Client, Config};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

type Failure = Box<dyn std::error::Error>;

/// Where and as whom to log in.
struct Way {
    name: String,
    config: Config,
    wrong: Option<String>,
    scram: bool,
    own: Option<(String, String)>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    let told: serde_json::Value = serde_json::from_str(&text)?;
    let ca = told["ca"].as_str().ok_or("no ca")?;
    for way in told["ways"].as_array().ok_or("no ways")? {
        let way = read(way, told["database"].as_str().ok_or("no database")?)?;
        let name = &way.name;
        let tls = make(ca, way.own.as_ref())?;
        report(name, "queries", works(&way.config, &tls).await);
        report(
            name,
            "transactions and errors",
            transactions(&way.config, &tls).await,
        );
        report(name, "a cancel", cancels(&way.config, &tls).await);
        let mut direct = way.config.clone();
        direct.ssl_negotiation(SslNegotiation::Direct);
        report(name, "directly in TLS", works(&direct, &tls).await);
        if way.scram {
            let mut bound = way.config.clone();
            bound.channel_binding(ChannelBinding::Require);
            report(name, "channel binding", works(&bound, &tls).await);
        }
        match way.wrong.as_deref() {
            Some("28P01") => {
                let mut wrong = way.config.clone();
                wrong.password("wrong");
                report(
                    name,
                    "a wrong password",
                    refused(&wrong, &tls, "28P01").await,
                );
            }
            Some(code) => {
                let nobody = make(ca, None)?;
                report(
                    name,
                    "no certificate",
                    refused(&way.config, &nobody, code).await,
                );
            }
            None => {}
        }
    }
    Ok(())
}

fn read(way: &serde_json::Value, database: &str) -> Result<Way, Failure> {
    let text = |key: &str| way[key].as_str().map(str::to_owned);
    let mut config = Config::new();
    config
        .host("localhost")
        .hostaddr([127, 0, 0, 1].into())
        .port(u16::try_from(way["port"].as_u64().ok_or("no port")?)?)
        .user(text("user").ok_or("no user")?)
        .password(text("password").ok_or("no password")?)
        .dbname(database)
        .ssl_mode(SslMode::Require);
    Ok(Way {
        name: text("name").ok_or("no name")?,
        config,
        wrong: text("wrong"),
        scram: way["scram"].as_bool().unwrap_or(false),
        own: text("cert").zip(text("key")),
    })
}

/// Trusts the authority alone; shows a certificate of its own where there is one.
fn make(ca: &str, own: Option<&(String, String)>) -> Result<MakeRustlsConnect, Failure> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca)?)?;
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let mut config = match own {
        Some((cert, key)) => builder.with_client_auth_cert(
            vec![CertificateDer::from_pem_file(cert)?],
            PrivateKeyDer::from_pem_file(key)?,
        )?,
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"postgresql".to_vec()];
    Ok(MakeRustlsConnect::new(config))
}

async fn connect(
    config: &Config,
    tls: &MakeRustlsConnect,
) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = config.connect(tls.clone()).await?;
    tokio::spawn(connection);
    Ok(client)
}

async fn works(config: &Config, tls: &MakeRustlsConnect) -> Result<(), Failure> {
    let client = connect(config, tls).await?;
    let add = client.prepare("SELECT $1::int + 1").await?;
    for _ in 0..3 {
        let sum: i32 = client.query_one(&add, &[&41]).await?.get(0);
        assert_eq!(sum, 42);
    }
    let user: String = client
        .query_one("SELECT session_user::text", &[])
        .await?
        .get(0);
    assert_eq!(Some(user.as_str()), config.get_user());
    Ok(())
}

async fn transactions(config: &Config, tls: &MakeRustlsConnect) -> Result<(), Failure> {
    let mut client = connect(config, tls).await?;
    let transaction = client.transaction().await?;
    transaction
        .batch_execute(
            "CREATE TEMPORARY TABLE t (a int) ON COMMIT DROP; INSERT INTO t VALUES (1), (2)",
        )
        .await?;
    let sum: i64 = transaction
        .query_one("SELECT sum(a) FROM t", &[])
        .await?
        .get(0);
    assert_eq!(sum, 3);
    transaction.commit().await?;
    let failed = client
        .query_one("SELECT 1 / 0", &[])
        .await
        .expect_err("an error");
    assert_eq!(failed.code().map(|code| code.code()), Some("22012"));
    let after: i32 = client.query_one("SELECT 6 * 7", &[]).await?.get(0);
    assert_eq!(after, 42);
    Ok(())
}

async fn cancels(config: &Config, tls: &MakeRustlsConnect) -> Result<(), Failure> {
    let client = connect(config, tls).await?;
    let (token, with) = (client.cancel_token(), tls.clone());
    let ending = async move {
        tokio::time::sleep(Duration::from_millis(300)).await;
        token.cancel_query(with).await
    };
    let (slept, cancelled) = tokio::join!(client.simple_query("SELECT pg_sleep(30)"), ending);
    cancelled?;
    let failed = slept.expect_err("an error");
    assert_eq!(failed.code().map(|code| code.code()), Some("57014"));
    let after: i32 = client.query_one("SELECT 6 * 7", &[]).await?.get(0);
    assert_eq!(after, 42);
    Ok(())
}

async fn refused(config: &Config, tls: &MakeRustlsConnect, code: &str) -> Result<(), Failure> {
    match connect(config, tls).await {
        Ok(_) => Err("it was let in".into()),
        Err(error) if error.code().is_some_and(|found| found.code() == code) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn report(way: &str, what: &str, outcome: Result<(), Failure>) {
    match outcome {
        Ok(()) => println!("ok {way}: {what}"),
        Err(error) => println!("FAILED {way}: {what}: {error:?}"),
    }
}
