//! Keys and tokens of RSA, which cannot be made here: ready ones. The private keys
//! are gone.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use serde_json::{Value, json};

use super::{claims, ed25519, judge, p256, signed};
use crate::auth::oauth::Keys;

/// Header (RS256, kid `a`) and the claims of the other tests.
const SIGNED: &str = "eyJhbGciOiJSUzI1NiIsImtpZCI6ImEifQ.eyJpc3MiOiJodHRwczovL2lzc3Vlci5leGFtcGxlIiwiYXVkIjoic\
    Gd3ZWF2ZSIsImV4cCI6MTgwMDAwMDA2MCwic3ViIjoiYWxpY2UiLCJzY29wZSI6InJlYWQgd3JpdGUgZGIifQ";

/// 2048 bits.
const MODULUS: &str = "vNjuOGXzbzpEt_tIfSgAwRVebuc2ElGG_fKVYHvZcB0xCY2LtMg-n2aWds3Ekg2dqU7z8VoS9iz3xR32QxOIJoGF\
    5x-kWGyRD1LPjtgDjDgdQNTzAjp7s0PYYOFEaXph4NW6wluJTA--jK-NVuG_Z5d_KQFw9Tw0OdHngEoT3jAlqv_c\
    b_ZiTIyt6yjxWwD-izOwNGcsjZJbJRk2vuRTdkTTUM-I7WA1TMuXWN6SP9p-ewOxPc0ArL-RyrIJ7vfyAYy8raBo\
    QmBjpFC0SxDFSNKU_tehQDRvg5KlWrmj0RC7rPvMQjTesNMjERVlT9GK5mDjIsaW6AZGhGRl6UfWCw";
const SIGNATURE: &str = "FUzoF4ujv86Ku7s2B3qqvtSt-GIGjN62PSqrpKb_imAJ_jaBN1Bc_FzzEalBFtni53Y0KCKqJgEBiSNO-Ow6Ac_M\
    k8tiy2eVFwiCuWtWUtqz9We1hxIkXiEBVzAj7gs3U3wM6N-6G04UR9lHVkP2sHphGhkFaopNlEBlV_CimpFMmEvF\
    ZnR_wcThBemREN1CnMX3AX54bKa7WXEz0Bvtc-YHK156yuVlB9SrtWMyILgUfRjS-IdSCWeVWQkrpypqpV6sZQHA\
    AlkkwSBrCx0Gkt1rV1BenHs1rZv8J0-9zk5jDC2YGmwHZ9A4TXEfIr0dXodaGZw2_bIaH5nK0PpnGg";

/// 1024 bits.
const WEAK_MODULUS: &str = "twmQOuNt7qdCemdTJqtRCev5B4mGHTYzrOHlY26RVV8sFlOUaRJ0Befq7DMscQumduHuTK9BtM6t8KeWT_8U7RXS\
    LpHtOHlDJjbUXWZf7HNrj210ClxSZFTsLekpe7_CCKnvx8jgwZB8Ew8E_d_Y6TYnhE-nXAlTx3Si8i5TerE";
const WEAK_SIGNATURE: &str = "gptSlloIELIWNIHZad63eAhuCYpglBFpedjmLpWO6JY9wzTeCVq4SRDSmORx9SlDbWmqY7HKyaEvXlsG32UVacEw\
    wBSeoSIb3bWMst-gIzwm2Wo8W6ihMUejFEPwa_We87Sr99C3FLV49LftR0hxI5mcsus0r0eJms4yBZS_HeQ";

fn rsa(modulus: &str) -> Value {
    json!({"kty": "RSA", "kid": "a", "n": modulus, "e": "AQAB", "use": "sig", "alg": "RS256"})
}

fn read(keys: &[Value]) -> Result<Keys, String> {
    Keys::read(&json!({ "keys": keys }).to_string())
}

#[test]
fn a_token_that_is_signed_by_rsa_names_its_user() {
    let keys = read(&[rsa(MODULUS)]).unwrap();
    let token = |signature: &str| format!("{SIGNED}.{signature}");
    assert_eq!(judge(&keys, &token(SIGNATURE)).as_deref(), Ok("alice"));
    assert!(judge(&keys, &token(WEAK_SIGNATURE)).is_err());
    let changed = SIGNATURE.replacen('F', "G", 1);
    assert!(judge(&keys, &token(&changed)).is_err());
}

#[test]
fn a_key_that_can_be_broken_proves_nothing() {
    assert!(read(&[rsa(WEAK_MODULUS)]).is_err());
    // Leading zeros make it no stronger.
    assert!(read(&[rsa(&format!("{}{WEAK_MODULUS}", "AAAA".repeat(64)))]).is_err());
    for exponent in ["AQ", "Ag", "AA", ""] {
        let mut key = rsa(MODULUS);
        key["e"] = exponent.into();
        assert!(read(&[key]).is_err(), "{exponent:?}");
    }
    let both = read(&[rsa(WEAK_MODULUS), p256("b").public]).unwrap();
    assert!(judge(&both, &format!("{SIGNED}.{WEAK_SIGNATURE}")).is_err());
}

#[test]
fn keys_that_are_for_something_else_are_passed_over() {
    let key = ed25519("good");
    let mut others = vec![
        json!({"kty": "AKP", "alg": "ML-DSA-44", "kid": "a", "pub": "AAAA"}),
        json!({"kty": "EC", "crv": "secp256k1", "kid": "a", "x": "AAAA", "y": "AAAA"}),
        json!({"kty": "EC", "crv": "P-521", "kid": "a", "x": "AAAA", "y": "AAAA"}),
        json!({"kty": "OKP", "crv": "X25519", "kid": "a", "x": "AAAA"}),
        json!({"kty": "OKP", "crv": "Ed448", "kid": "a", "x": "AAAA"}),
        json!({"kty": "RSA", "alg": "RSA-OAEP-512", "use": "enc", "kid": "a", "n": "AAAA", "e": "AQAB"}),
        json!({"kty": "RSA", "use": "sig", "kid": "a", "n": "!", "e": "AQAB"}),
        json!({"kid": "a"}),
    ];
    for other in &others {
        assert!(read(std::slice::from_ref(other)).is_err(), "{other}");
    }
    others.push(key.public.clone());
    let keys = read(&others).unwrap();
    let token = signed(&key, Some("good"), &claims());
    assert_eq!(judge(&keys, &token).as_deref(), Ok("alice"));
    let secret = json!({"kty": "oct", "k": "c2VjcmV0", "use": "sig"});
    assert!(read(&[key.public, secret]).is_err());
}
