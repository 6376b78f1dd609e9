//! SCRAM-SHA-256-PLUS: proofs are bound to the server's certificate.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::{Secure, in_tls};
use crate::support::certificates::Authority;
use crate::support::frames::ssl_request;
use crate::support::machine::program_directory;
use crate::support::pooler::Plan;
use crate::support::postgres::{Cluster, Database};
use crate::support::raw::{Connection, first_error};
use crate::support::startup::Startup;

const SECRET: &str = "correct horse";

/// Somebody between clients and `server`, with a certificate of its own, who
/// reads all that passes. `trusted` lets it talk to the server.
fn between(server: SocketAddr, trusted: Arc<ClientConfig>) -> SocketAddr {
    let issued = Authority::new().issue(&["localhost"]);
    let chain = vec![CertificateDer::from_pem_slice(issued.cert.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).unwrap();
    let config = ServerConfig::builder().with_no_client_auth();
    let config = Arc::new(config.with_single_cert(chain, key).unwrap());
    let (told, address) = channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            told.send(listener.local_addr().unwrap()).unwrap();
            while let Ok((near, _)) = listener.accept().await {
                let (config, trusted) = (Arc::clone(&config), Arc::clone(&trusted));
                tokio::spawn(async move {
                    let _ = pass_on(near, config, server, trusted).await;
                });
            }
        });
    });
    address.recv().unwrap()
}

async fn pass_on(
    mut near: TcpStream,
    config: Arc<ServerConfig>,
    server: SocketAddr,
    trusted: Arc<ClientConfig>,
) -> std::io::Result<()> {
    near.read_exact(&mut [0; 8]).await?;
    near.write_all(b"S").await?;
    let mut near = TlsAcceptor::from(config).accept(near).await?;
    let mut far = TcpStream::connect(server).await?;
    far.write_all(&ssl_request()).await?;
    far.read_exact(&mut [0; 1]).await?;
    let name = ServerName::try_from("localhost").unwrap();
    let mut far = TlsConnector::from(trusted).connect(name, far).await?;
    tokio::io::copy_bidirectional(&mut near, &mut far).await?;
    Ok(())
}

fn asking_for_scram(database: &Database) -> Secure {
    let plan = Plan::before(database)
        .setting("auth_type", "\"scram-sha-256\"")
        .user("guest", SECRET);
    Secure::with(plan, "prefer")
}

/// Does libpq come in at this address?
fn libpq(address: SocketAddr, database: &str, parameters: &str) -> Result<(), String> {
    let line = format!(
        "host=127.0.0.1 port={} user=guest dbname={database} {parameters}",
        address.port()
    );
    let output = Command::new(program_directory().join("psql"))
        .args(["-X", "-c", "SELECT 1", &line])
        .env_clear()
        .env("HOME", "/nonexistent")
        .env("PGPASSWORD", SECRET)
        .output()
        .unwrap();
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

#[test]
fn libpq_may_insist_on_it() {
    let database = Cluster::shared().database();
    let secure = asking_for_scram(&database);
    for (parameters, passes) in [
        ("sslmode=require channel_binding=require", true),
        ("sslmode=require channel_binding=prefer", true),
        ("sslmode=require channel_binding=disable", true),
        // It is offered inside of TLS only.
        ("sslmode=disable channel_binding=prefer", true),
        ("sslmode=disable channel_binding=require", false),
    ] {
        let outcome = libpq(secure.pooler.address, &database.name, parameters);
        assert_eq!(outcome.is_ok(), passes, "{parameters}: {outcome:?}");
    }
}

#[test]
fn somebody_between_a_client_and_pgweave_is_found_out() {
    let database = Cluster::shared().database();
    let secure = asking_for_scram(&database);
    let address = between(secure.pooler.address, Arc::clone(&secure.client));
    let unbound = "sslmode=require channel_binding=disable";
    assert_eq!(libpq(address, &database.name, unbound), Ok(()));
    let told = libpq(address, &database.name, "sslmode=require").unwrap_err();
    assert!(told.contains("channel binding check failed"), "{told}");
}

#[test]
fn somebody_between_pgweave_and_postgresql_is_found_out() {
    let database = Cluster::with_tls().database();
    let trusted = Authority::of_the_cluster().client();
    let address = between(database.cluster.address(), trusted);
    let login = |address: SocketAddr, user: &str| {
        let pooler = Plan::before_address(address, &database.name)
            .setting("server_tls_sslmode", "\"require\"")
            .user("login_scram", "scram secret")
            .start();
        let startup = Startup::new(user, &database.name);
        match Connection::try_login(pooler.address, &startup) {
            Ok(mut client) => Ok(in_tls(&mut client)),
            Err(frames) => Err(first_error(&frames).unwrap_or_default()),
        }
    };
    assert_eq!(login(database.cluster.address(), "login_scram"), Ok(true));
    // Who proves nothing is not protected.
    assert_eq!(login(address, "postgres"), Ok(true));
    assert_eq!(login(address, "login_scram"), Err("28000".to_owned()));
}
