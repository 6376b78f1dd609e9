//! Both sides against each other over loopback, with certificates made here.

use std::future::poll_fn;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{Acceptor, Connector, HandshakeError, now};
use crate::config::{
    ClientTls, ServerTls, SslMode, TlsFile, TlsFiles, TlsNegotiation, TlsProtocols,
};
use crate::net::tls::Shown;
use crate::net::{Outbox, Stream};

/// A folder that goes with the value.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("pgweave-tls-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn put(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

struct Authority(Issuer<'static, KeyPair>, String);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self(Issuer::new(params, key), pem)
    }

    /// Writes a certificate for these names and its key.
    fn issue(&self, folder: &Folder, name: &str, names: &[&str]) -> TlsFiles {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(names).unwrap();
        let certificate = certificate.signed_by(&key, &self.0).unwrap();
        TlsFiles {
            cert: Some(folder.put(&format!("{name}.crt"), &certificate.pem())),
            key: Some(folder.put(&format!("{name}.key"), &key.serialize_pem())),
            ca: None,
        }
    }

    fn file(&self, folder: &Folder, name: &str) -> Option<PathBuf> {
        Some(folder.put(name, &self.1))
    }
}

fn toward_clients(mode: SslMode, files: TlsFiles) -> ClientTls {
    ClientTls {
        asks_certificates: false,
        mode,
        files,
        protocols: TlsProtocols::ALL,
    }
}

fn toward_servers(mode: SslMode, files: TlsFiles) -> ServerTls {
    ServerTls {
        mode,
        negotiation: TlsNegotiation::Postgres,
        files,
        protocols: TlsProtocols::ALL,
    }
}

/// What a handshake comes to, on the side of the client and of the server.
async fn shake(
    acceptor: &Acceptor,
    connector: &Connector,
    host: &str,
) -> (
    Result<Stream, HandshakeError>,
    std::io::Result<(Stream, Shown)>,
) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut near = Stream::Tcp(
        TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap(),
    );
    let mut far = Stream::Tcp(listener.accept().await.unwrap().0);
    let (near_result, far_result) =
        tokio::join!(near.connect_tls(connector, host), far.accept_tls(acceptor));
    (
        near_result.map(|()| near),
        far_result.map(|shown| (far, shown)),
    )
}

async fn connected() -> (Stream, Stream) {
    let (folder, authority) = (Folder::new(), Authority::new());
    let files = authority.issue(&folder, "server", &["localhost"]);
    let acceptor = Acceptor::load(&toward_clients(SslMode::Require, files)).unwrap();
    let connector = Connector::load(&toward_servers(SslMode::Require, TlsFiles::default()));
    let (near, far) = shake(&acceptor, &connector.unwrap(), "localhost").await;
    (near.unwrap(), far.unwrap().0)
}

#[tokio::test]
async fn each_mode_checks_what_it_says() {
    let folder = Folder::new();
    let (ours, other) = (Authority::new(), Authority::new());
    let files = ours.issue(&folder, "server", &["db.example", "127.0.0.1"]);
    let acceptor = Acceptor::load(&toward_clients(SslMode::Allow, files)).unwrap();
    let right = ours.file(&folder, "ours.crt");
    let wrong = other.file(&folder, "other.crt");
    let cases = [
        (SslMode::Prefer, &wrong, "elsewhere", true),
        (SslMode::Require, &wrong, "elsewhere", true),
        (SslMode::Require, &None, "not a name!", true),
        (SslMode::VerifyCa, &right, "elsewhere", true),
        (SslMode::VerifyCa, &right, "not a name!", true),
        (SslMode::VerifyCa, &wrong, "db.example", false),
        (SslMode::VerifyFull, &right, "db.example", true),
        (SslMode::VerifyFull, &right, "127.0.0.1", true),
        (SslMode::VerifyFull, &right, "elsewhere", false),
        (SslMode::VerifyFull, &right, "127.0.0.2", false),
        (SslMode::VerifyFull, &right, "not a name!", false),
        (SslMode::VerifyFull, &wrong, "db.example", false),
    ];
    for (mode, ca, host, passes) in cases {
        let files = TlsFiles {
            ca: ca.clone(),
            ..TlsFiles::default()
        };
        let connector = Connector::load(&toward_servers(mode, files)).unwrap();
        let (near, _) = shake(&acceptor, &connector, host).await;
        assert_eq!(near.is_ok(), passes, "{mode} {host}: {near:?}");
    }
}

#[tokio::test]
async fn a_name_is_sent_as_sni_and_an_address_is_not() {
    let (folder, authority) = (Folder::new(), Authority::new());
    let files = authority.issue(&folder, "server", &["db.example"]);
    let acceptor = Acceptor::load(&toward_clients(SslMode::Require, files)).unwrap();
    let connector =
        Connector::load(&toward_servers(SslMode::Require, TlsFiles::default())).unwrap();
    for (host, sent) in [("db.example", Some("db.example")), ("127.0.0.1", None)] {
        let (_near, far) = shake(&acceptor, &connector, host).await;
        let Stream::Tls(far) = far.unwrap().0 else {
            panic!("it is encrypted")
        };
        assert_eq!(far.sni().as_deref(), sent);
    }
}

#[tokio::test]
async fn a_clients_certificate_is_asked_for_and_checked() {
    let folder = Folder::new();
    let (ours, other) = (Authority::new(), Authority::new());
    let files = TlsFiles {
        ca: ours.file(&folder, "ours.crt"),
        ..ours.issue(&folder, "server", &["localhost"])
    };
    let acceptor = Acceptor::load(&toward_clients(SslMode::VerifyCa, files)).unwrap();
    assert!(acceptor.wants_certificate());
    let cases = [
        (ours.issue(&folder, "good", &["me"]), Some(true)),
        (other.issue(&folder, "bad", &["me"]), None),
        (TlsFiles::default(), Some(false)),
    ];
    for (files, shown) in cases {
        let connector = Connector::load(&toward_servers(SslMode::Require, files)).unwrap();
        let (_, far) = shake(&acceptor, &connector, "localhost").await;
        let far = far.ok().map(|(_, shown)| (shown.certificate, shown.alpn));
        assert_eq!(far, shown.map(|certificate| (certificate, true)));
    }
}

#[tokio::test]
async fn only_the_versions_that_are_allowed_are_spoken() {
    let (folder, authority) = (Folder::new(), Authority::new());
    let files = authority.issue(&folder, "server", &["localhost"]);
    let only = |v1_2, v1_3| TlsProtocols { v1_2, v1_3 };
    for (theirs, ours, passes) in [
        (only(true, false), only(false, true), false),
        (only(true, false), only(true, true), true),
        (only(false, true), only(true, true), true),
    ] {
        let mut clients = toward_clients(SslMode::Require, files.clone());
        clients.protocols = theirs;
        let mut servers = toward_servers(SslMode::Require, TlsFiles::default());
        servers.protocols = ours;
        let acceptor = Acceptor::load(&clients).unwrap();
        let connector = Connector::load(&servers).unwrap();
        let (near, _) = shake(&acceptor, &connector, "localhost").await;
        assert_eq!(near.is_ok(), passes, "{theirs:?} {ours:?}");
    }
}

#[tokio::test]
async fn what_is_decrypted_already_counts_as_readable() {
    let (mut near, mut far) = connected().await;
    assert!(!near.may_be_readable() || near.try_read(&mut [0; 8]).is_err());
    far.send(b"abcdefgh").await.unwrap();
    let mut byte = [0; 1];
    near.read_exact(&mut byte).await.unwrap();
    // The socket is empty now, the rest is inside of TLS.
    assert!(near.may_be_readable());
    let mut rest = [0; 16];
    assert_eq!(near.try_read(&mut rest).unwrap(), 7);
    let quiet = near.try_read(&mut rest).unwrap_err();
    assert_eq!(quiet.kind(), std::io::ErrorKind::WouldBlock);
}

#[tokio::test]
async fn the_last_words_and_an_orderly_end_arrive() {
    let (mut near, mut far) = connected().await;
    near.write_last(b"bye");
    drop(near);
    let mut heard = Vec::new();
    // Without close_notify this is an error.
    far.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, b"bye");
    assert!(far.may_be_readable());
    assert_eq!(far.try_read(&mut [0; 8]).unwrap(), 0);
}

#[tokio::test]
async fn one_read_takes_many_records() {
    let (mut near, mut far) = connected().await;
    for _ in 0..20 {
        far.send(b"0123456789").await.unwrap();
    }
    let mut all = vec![0; 4096];
    let mut read = 0;
    let mut reads = 0;
    while read < 200 {
        read += near.read(&mut all[read..]).await.unwrap();
        reads += 1;
    }
    assert!(reads < 20, "{reads} reads");
}

#[tokio::test]
async fn bulk_passes_though_the_socket_takes_it_in_pieces() {
    let (mut near, mut far) = connected().await;
    let sent: Vec<u8> = (0..5_000_000_u32).map(|n| n.to_be_bytes()[3]).collect();
    let mut received = vec![0; sent.len()];
    let (_, read) = tokio::join!(near.send(&sent), far.read_exact(&mut received));
    read.unwrap();
    assert!(received == sent);
    near.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_handshake_that_nobody_answers_ends_with_its_future() {
    let (folder, authority) = (Folder::new(), Authority::new());
    let files = authority.issue(&folder, "server", &["localhost"]);
    let acceptor = Acceptor::load(&toward_clients(SslMode::Require, files)).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut near = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    let mut far = Stream::Tcp(listener.accept().await.unwrap().0);
    let waited = tokio::time::timeout(Duration::from_millis(20), far.accept_tls(&acceptor));
    assert!(waited.await.is_err());
    assert!(matches!(far, Stream::Closed));
    assert_eq!(near.read(&mut [0; 8]).await.unwrap(), 0);
    far.write_last(b"nobody hears it");
}

#[test]
fn every_file_that_cannot_be_used_is_named() {
    let (folder, authority) = (Folder::new(), Authority::new());
    let good = authority.issue(&folder, "good", &["localhost"]);
    let other = authority.issue(&folder, "other", &["localhost"]);
    let text = std::fs::read_to_string(good.key.as_ref().unwrap()).unwrap();
    let secret: String = text.lines().nth(1).unwrap().to_owned();
    let cut = folder.put("cut", &text[..text.len() / 2]);
    let locked = folder.put(
        "locked",
        &text.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY"),
    );
    let missing = Some(PathBuf::from("/nowhere/at/all"));
    let with = |cert: &Option<PathBuf>, key: &Option<PathBuf>, ca: &Option<PathBuf>| TlsFiles {
        cert: cert.clone(),
        key: key.clone(),
        ca: ca.clone(),
    };
    let (cert, key) = (&good.cert, &good.key);
    let ca = authority.file(&folder, "ca.crt");
    let cases = [
        (
            with(&missing, &missing, &missing),
            vec![TlsFile::Cert, TlsFile::Key, TlsFile::Ca],
        ),
        (with(key, key, &ca), vec![TlsFile::Cert]),
        (with(cert, cert, &ca), vec![TlsFile::Key]),
        (with(cert, &Some(cut), &ca), vec![TlsFile::Key]),
        (with(cert, &Some(locked), &ca), vec![TlsFile::Key]),
        (with(cert, &other.key, &ca), vec![TlsFile::Key]),
        (with(cert, key, key), vec![TlsFile::Ca]),
        (with(cert, key, &Some(folder.0.clone())), vec![TlsFile::Ca]),
    ];
    for (files, wrong) in cases {
        let clients = Acceptor::load(&toward_clients(SslMode::VerifyFull, files.clone()));
        let servers = Connector::load(&toward_servers(SslMode::VerifyFull, files));
        for mistakes in [clients.unwrap_err(), servers.unwrap_err()] {
            let mut at: Vec<TlsFile> = mistakes.iter().map(|mistake| mistake.file).collect();
            at.sort_by_key(|file| *file as u8);
            assert_eq!(at, wrong, "{mistakes:?}");
            assert!(
                mistakes.iter().all(|m| m.what.starts_with('/')),
                "{mistakes:?}"
            );
            assert!(!format!("{mistakes:?}").contains(&secret), "{mistakes:?}");
        }
    }
    let all = with(cert, key, &ca);
    assert!(Acceptor::load(&toward_clients(SslMode::VerifyFull, all.clone())).is_ok());
    assert!(Connector::load(&toward_servers(SslMode::VerifyFull, all)).is_ok());
}

#[tokio::test]
async fn an_outbox_is_empty_only_when_tls_has_sent_all() {
    let (mut near, mut far) = connected().await;
    let (mut outbox, mut sent) = (Outbox::default(), 0);
    // Nobody reads: at last the socket takes no more, while TLS still does.
    let is_stuck = |near: &mut Stream| now(|cx| Pin::new(&mut *near).poll_flush(cx)).is_pending();
    while !is_stuck(&mut near) {
        poll_fn(|cx| Poll::Ready(outbox.write(&mut near, cx, &[7; 1000])))
            .await
            .unwrap();
        sent += 1000;
    }
    assert!(outbox.is_empty());
    assert!(now(|cx| outbox.poll_flush(&mut near, cx)).is_pending());
    let mut received = vec![0; sent];
    let both = async {
        tokio::join!(
            poll_fn(|cx| outbox.poll_flush(&mut near, cx)),
            far.read_exact(&mut received)
        )
    };
    let (flushed, read) = tokio::time::timeout(Duration::from_secs(10), both)
        .await
        .unwrap();
    flushed.unwrap();
    read.unwrap();
    assert!(received.iter().all(|byte| *byte == 7));
}
