//! Tokens instead of passwords.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, get_current_timestamp};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};

use crate::support::certificates::Folder;
use crate::support::frames::{Frame, frame};
use crate::support::pooler::{Plan, Pooler};
use crate::support::postgres::Cluster;
use crate::support::raw::{Connection, first_error};
use crate::support::startup::Startup;
use crate::support::wait;

struct Issuer {
    signs: EncodingKey,
    jwks: String,
}

impl Issuer {
    fn new() -> Self {
        let random = SystemRandom::new();
        let kind = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(kind, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(kind, pkcs8.as_ref(), &random).unwrap();
        let point = pair.public_key().as_ref();
        let [x, y] = [&point[1..33], &point[33..]].map(|part| URL_SAFE_NO_PAD.encode(part));
        let jwks = json!({"keys": [{"kty": "EC", "crv": "P-256", "kid": "k", "x": x, "y": y}]});
        Self {
            signs: EncodingKey::from_ec_der(pkcs8.as_ref()),
            jwks: jwks.to_string(),
        }
    }

    fn token(&self, user: &str) -> String {
        let claims = json!({"iss": "https://issuer.example", "aud": "pgweave", "sub": user,
            "exp": get_current_timestamp() + 60, "scope": "db"});
        self.sign(&claims)
    }

    fn sign(&self, claims: &Value) -> String {
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some("k".to_owned());
        encode(&header, claims, &self.signs).unwrap()
    }
}

fn plan(folder: &Folder, issuer: &Issuer) -> Plan {
    let file = folder.put("jwks.json", &issuer.jwks);
    Plan::before(&Cluster::shared().database())
        .setting("auth_type", "\"oauth\"")
        .setting("auth_oauth_issuer", "\"https://issuer.example\"")
        .setting("auth_oauth_audience", "\"pgweave\"")
        .setting("auth_oauth_scope", "\"db\"")
        .setting("auth_failures_per_minute", "0")
        .setting("auth_oauth_jwks_file", &format!("{file:?}"))
}

/// Logs in to a database that is always there.
fn come(pooler: &Pooler, user: &str, token: &str) -> Result<Connection, Vec<Frame>> {
    let mut client = Connection::open(pooler.address);
    client.send(&Startup::new(user, "postgres").to_bytes());
    let offer = client.read_frame("an offer").unwrap();
    if offer.tag == b'E' {
        return Err(vec![offer]);
    }
    assert!(offer.body.ends_with(b"OAUTHBEARER\0\0"), "{offer:?}");
    let data = format!("n,,\u{1}auth=Bearer {token}\u{1}\u{1}");
    let length = u32::try_from(data.len()).unwrap().to_be_bytes();
    let body = [b"OAUTHBEARER\0", length.as_slice(), data.as_bytes()].concat();
    client.send(&frame(b'p', &body));
    let answer = client.read_frame("a verdict").unwrap();
    let mut frames = vec![answer.clone()];
    if answer.tag == b'R' && answer.body.starts_with(&[0, 0, 0, 11]) {
        let told: Value = serde_json::from_slice(&answer.body[4..]).unwrap();
        assert_eq!(told["status"], "invalid_token");
        client.send(&frame(b'p', b"\x01"));
    }
    frames.extend(client.until_ready(1, "the end of the login"));
    match client.status {
        0 => Err(frames),
        _ => Ok(client),
    }
}

fn outcome(pooler: &Pooler, user: &str, token: &str) -> String {
    match come(pooler, user, token) {
        Ok(mut client) => client.value("SELECT session_user"),
        Err(frames) => first_error(&frames).unwrap(),
    }
}

#[test]
fn a_token_of_the_issuer_is_its_users_way_in() {
    let (folder, issuer) = (Folder::new(), Issuer::new());
    let pooler = plan(&folder, &issuer).start();
    assert_eq!(outcome(&pooler, "guest", &issuer.token("guest")), "guest");
    assert_eq!(
        outcome(&pooler, "postgres", &issuer.token("guest")),
        "28000"
    );
    let stranger = Issuer::new();
    assert_eq!(outcome(&pooler, "guest", &stranger.token("guest")), "28000");
    assert_eq!(outcome(&pooler, "guest", "nonsense"), "28000");
    wait::until(wait::SOON, "the reason in the log", || {
        pooler.log().contains("the token is not taken")
    });
    assert!(!pooler.log().contains(&issuer.token("guest")[..40]));
}

#[test]
fn keys_that_change_are_read_again() {
    let (folder, old, new) = (Folder::new(), Issuer::new(), Issuer::new());
    let pooler = plan(&folder, &old).start();
    assert_eq!(outcome(&pooler, "guest", &old.token("guest")), "guest");
    folder.put("jwks.json", &new.jwks);
    wait::until(wait::SOON, "the new keys", || {
        outcome(&pooler, "guest", &new.token("guest")) == "guest"
    });
    assert_eq!(outcome(&pooler, "guest", &old.token("guest")), "28000");
    // What is no JWKS changes nothing.
    folder.put("jwks.json", "{");
    wait::until(wait::SOON, "the mistake in the log", || {
        assert_eq!(outcome(&pooler, "guest", &new.token("guest")), "guest");
        pooler.log().contains("the keys stay as they were")
    });
}

#[test]
fn a_map_says_for_whom_a_name_of_the_issuer_stands() {
    let (folder, issuer) = (Folder::new(), Issuer::new());
    let rules = folder.put("hba.conf", "host all all 127.0.0.1/32 oauth map=people\n");
    let maps = folder.put("ident.conf", "people /^(.*)@example\\.com$ \\1\n");
    let pooler = plan(&folder, &issuer)
        .setting("auth_type", "\"hba\"")
        .setting("auth_hba_file", &format!("{rules:?}"))
        .setting("auth_ident_file", &format!("{maps:?}"))
        .start();
    assert_eq!(
        outcome(&pooler, "guest", &issuer.token("guest@example.com")),
        "guest"
    );
    assert_eq!(outcome(&pooler, "guest", &issuer.token("guest")), "28000");
    assert_eq!(
        outcome(&pooler, "guest", &issuer.token("guest@example.org")),
        "28000"
    );
}

#[test]
fn who_asks_where_to_get_a_token_has_not_failed() {
    let (folder, issuer) = (Folder::new(), Issuer::new());
    let pooler = plan(&folder, &issuer)
        .setting("auth_failures_per_minute", "2")
        .start();
    for _ in 0..5 {
        let mut client = Connection::open(pooler.address);
        client.send(&Startup::new("guest", "postgres").to_bytes());
        client.read_frame("an offer").unwrap();
        let data = b"n,,\x01auth=\x01\x01";
        let length = u32::try_from(data.len()).unwrap().to_be_bytes();
        client.send(&frame(
            b'p',
            &[b"OAUTHBEARER\0", length.as_slice(), data].concat(),
        ));
        let told = client.read_frame("where to get one").unwrap();
        let told: Value = serde_json::from_slice(&told.body[4..]).unwrap();
        let place = "https://issuer.example/.well-known/openid-configuration";
        assert_eq!(told["openid-configuration"], place);
        client.send(&frame(b'p', b"\x01"));
        let frames = client.until_ready(1, "the end of the login");
        assert_eq!(first_error(&frames).as_deref(), Some("28000"));
    }
    assert_eq!(outcome(&pooler, "guest", &issuer.token("guest")), "guest");
    for expected in ["28000", "28000", "53300"] {
        assert_eq!(outcome(&pooler, "guest", "nonsense"), expected);
    }
    assert_eq!(outcome(&pooler, "guest", &issuer.token("guest")), "53300");
}
