//! Tokens that are good, and all that are not.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod ready;

use std::time::{Duration, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
};
use serde_json::{Value, json};

use super::*;

const NOW: u64 = 1_800_000_000;

/// A key that signs, and its public half as a JWK.
struct Key {
    alg: Algorithm,
    signs: EncodingKey,
    public: Value,
    bytes: Vec<u8>,
}

fn p256(kid: &str) -> Key {
    let random = SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random);
    let bytes = pair.unwrap().public_key().as_ref().to_vec();
    let [x, y] = [&bytes[1..33], &bytes[33..]].map(|part| URL_SAFE_NO_PAD.encode(part));
    Key {
        alg: Algorithm::ES256,
        signs: EncodingKey::from_ec_der(pkcs8.as_ref()),
        public: json!({"kty": "EC", "crv": "P-256", "kid": kid, "x": x, "y": y, "use": "sig"}),
        bytes,
    }
}

fn ed25519(kid: &str) -> Key {
    let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
    let bytes = pair.public_key().as_ref().to_vec();
    Key {
        alg: Algorithm::EdDSA,
        signs: EncodingKey::from_ed_der(pkcs8.as_ref()),
        public: json!({"kty": "OKP", "crv": "Ed25519", "kid": kid,
            "x": URL_SAFE_NO_PAD.encode(&bytes)}),
        bytes,
    }
}

fn jwks(keys: &[&Key]) -> Keys {
    let keys: Vec<_> = keys.iter().map(|key| key.public.clone()).collect();
    Keys::read(&json!({ "keys": keys }).to_string()).unwrap()
}

fn wanted() -> Wanted {
    Wanted {
        issuer: "https://issuer.example".to_owned(),
        audience: "pgweave".to_owned(),
        scope: "db read".to_owned(),
        user_claim: "sub".to_owned(),
    }
}

fn claims() -> Value {
    json!({"iss": "https://issuer.example", "aud": "pgweave", "exp": NOW + 60, "sub": "alice",
        "scope": "read write db"})
}

fn with(changes: &[(&str, Value)]) -> Value {
    let mut claims = claims();
    for (name, value) in changes {
        claims[name] = value.clone();
    }
    claims
}

fn signed(key: &Key, kid: Option<&str>, claims: &Value) -> String {
    let mut header = Header::new(key.alg);
    header.kid = kid.map(str::to_owned);
    encode(&header, claims, &key.signs).unwrap()
}

fn judge(keys: &Keys, token: &str) -> Result<String, String> {
    keys.user_of(token, &wanted(), UNIX_EPOCH + Duration::from_secs(NOW))
}

#[test]
fn a_good_token_names_its_user() {
    for key in [p256("a"), ed25519("a")] {
        let token = signed(&key, Some("a"), &claims());
        assert_eq!(judge(&jwks(&[&key]), &token).as_deref(), Ok("alice"));
        let several = with(&[("aud", json!(["other", "pgweave"]))]);
        assert!(judge(&jwks(&[&key]), &signed(&key, None, &several)).is_ok());
    }
    let keys = [p256("a"), ed25519("b")];
    let set = jwks(&[&keys[0], &keys[1]]);
    for (key, kid) in keys.iter().zip(["a", "b"]) {
        assert!(judge(&set, &signed(key, Some(kid), &claims())).is_ok());
    }
}

#[test]
fn a_claim_that_is_wrong_is_refused() {
    let key = p256("a");
    let keys = jwks(&[&key]);
    for (name, value) in [
        ("iss", json!("https://issuer.example/")),
        ("iss", json!(["https://issuer.example"])),
        ("aud", json!("pgweave2")),
        ("aud", json!([])),
        ("aud", Value::Null),
        ("exp", json!(NOW - 31)),
        ("exp", json!((NOW + 60).to_string())),
        ("exp", Value::Null),
        ("nbf", json!(NOW + 31)),
        ("nbf", json!("0")),
        ("scope", json!("db")),
        ("scope", json!("dbread")),
        ("scope", json!(["db", "read"])),
        ("sub", json!("")),
        ("sub", json!(7)),
        ("sub", json!("a\u{0}b")),
        ("sub", Value::Null),
    ] {
        let token = signed(&key, Some("a"), &with(&[(name, value.clone())]));
        assert!(judge(&keys, &token).is_err(), "{name} {value}");
    }
    // Clocks differ.
    for (name, value) in [("exp", NOW - 29), ("nbf", NOW + 29)] {
        let token = signed(&key, Some("a"), &with(&[(name, json!(value))]));
        assert!(judge(&keys, &token).is_ok(), "{name}");
    }
}

#[test]
fn who_has_no_key_of_the_issuer_makes_no_token() {
    let (key, other) = (p256("a"), p256("a"));
    let keys = jwks(&[&key]);
    assert!(judge(&keys, &signed(&other, Some("a"), &claims())).is_err());
    assert!(judge(&keys, &signed(&key, Some("b"), &claims())).is_err());
    // With the public key as a secret, and with no signature at all.
    let mut header = Header::new(Algorithm::HS256);
    header.kid = Some("a".to_owned());
    for secret in [key.bytes.clone(), key.public.to_string().into_bytes()] {
        let forged = encode(&header, &claims(), &EncodingKey::from_secret(&secret)).unwrap();
        assert!(judge(&keys, &forged).is_err());
    }
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    for alg in ["none", "None", "NONE", "ES256"] {
        let forged = format!(
            "{}.{}.",
            part(json!({"alg": alg, "kid": "a"})),
            part(claims())
        );
        assert!(judge(&keys, &forged).is_err(), "{alg}");
    }
    // A header's own key is not looked at.
    let mut header = Header::new(Algorithm::ES256);
    header.jwk = serde_json::from_value(other.public.clone()).ok();
    let forged = encode(&header, &claims(), &other.signs).unwrap();
    assert!(judge(&keys, &forged).is_err());
    // Another key's algorithm under this key's name.
    let ed = ed25519("a");
    assert!(judge(&keys, &signed(&ed, Some("a"), &claims())).is_err());
}

#[test]
fn a_token_that_was_changed_or_cut_is_refused() {
    let key = p256("a");
    let keys = jwks(&[&key]);
    let token = signed(&key, Some("a"), &claims());
    for end in 0..token.len() {
        assert!(judge(&keys, &token[..end]).is_err());
    }
    let [header, _, signature] = token.split('.').collect::<Vec<_>>()[..] else {
        panic!("three parts")
    };
    let payload = URL_SAFE_NO_PAD.encode(with(&[("sub", json!("postgres"))]).to_string());
    assert!(judge(&keys, &format!("{header}.{payload}.{signature}")).is_err());
    assert!(judge(&keys, &format!("{token}.{signature}")).is_err());
    assert!(judge(&keys, &"a".repeat(20_000)).is_err());
}

#[test]
fn keys_that_prove_nothing_are_a_mistake() {
    let key = p256("a");
    let secret = json!({"kty": "oct", "k": "c2VjcmV0"});
    for wrong in [
        json!({}),
        json!({"keys": []}),
        json!({"keys": [key.public, secret]}),
        json!({"keys": [{"kty": "EC", "crv": "P-256", "x": "", "y": "", "use": "enc"}]}),
    ] {
        assert!(Keys::read(&wrong.to_string()).is_err(), "{wrong}");
    }
    assert!(Keys::read("").is_err());
}

fn initial(token: &str) -> Vec<u8> {
    let data = format!("n,,\u{1}auth=Bearer {token}\u{1}\u{1}");
    let length = u32::try_from(data.len()).unwrap().to_be_bytes();
    [b"OAUTHBEARER\0", length.as_slice(), data.as_bytes()].concat()
}

#[test]
fn a_login_ends_with_a_name_or_with_a_place_to_get_a_token() {
    let key = p256("a");
    let (keys, wanted) = (jwks(&[&key]), wanted());
    let now = UNIX_EPOCH + Duration::from_secs(NOW);
    let begin = || Bearer::begin("alice", &keys, &wanted).0;
    let good = signed(&key, Some("a"), &claims());
    assert!(matches!(begin().answer(&initial(&good), now), Turn::Names(name) if name == "alice"));

    let mut bearer = begin();
    let Turn::Send(frame) = bearer.answer(&initial("x.y.z"), now) else {
        panic!("not told")
    };
    let told: Value = serde_json::from_slice(&frame[9..]).unwrap();
    assert_eq!(told["status"], "invalid_token");
    let refused = |turn: Turn| match turn {
        Turn::Refused(error, why) => (error.code, why.is_some()),
        turn => panic!("{turn:?}"),
    };
    assert_eq!(refused(bearer.answer(b"\x01", now)), ("28000".into(), true));
    assert_eq!(refused(bearer.answer(b"\x01", now)).0, "08P01");

    for wrong in [
        &b"SCRAM-SHA-256\0\0\0\0\x04n,,n"[..],
        b"",
        b"OAUTHBEARER",
        b"OAUTHBEARER\0\xff\xff\xff\xff",
    ] {
        assert_eq!(refused(begin().answer(wrong, now)).0, "08P01", "{wrong:?}");
    }
    let mut bearer = begin();
    let _ = bearer.answer(&initial("x"), now);
    assert_eq!(refused(bearer.answer(&initial(&good), now)).0, "08P01");
}
