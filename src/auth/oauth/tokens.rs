//! Whether a token is good (RFC 7519, RFC 8725), by the issuer's public keys
//! (RFC 7517).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;
use serde_json::Value;

/// Clocks may differ by so much.
const LEEWAY: Duration = Duration::from_secs(30);

/// Longest token that is looked at, in bytes.
const MAX_TOKEN: usize = 16 * 1024;

/// Shortest modulus of RSA, in bytes (RFC 7518, section 3.3).
const MIN_RSA: usize = 2048 / 8;

/// What a token must say.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// `iss`, to the letter.
    pub issuer: String,
    /// What `aud` must be or hold.
    pub audience: String,
    /// All that `scope` must hold; separated by spaces.
    pub scope: String,
    /// The claim that names the user.
    pub user_claim: String,
}

/// The issuer's keys.
#[derive(Debug, Clone)]
pub struct Keys(JwkSet);

/// The claims that are looked at. Of other types than these a token is refused.
#[derive(Deserialize)]
struct Claims {
    iss: String,
    aud: Audience,
    exp: f64,
    #[serde(default)]
    nbf: Option<f64>,
    #[serde(default)]
    scope: Option<String>,
    #[serde(flatten)]
    others: serde_json::Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

impl Keys {
    /// Reads a JWKS.
    ///
    /// # Errors
    /// What is wrong with it. Keys that are for something else are passed over; a
    /// secret (`oct`) among them is a mistake, since whoever has the file could
    /// make tokens.
    pub fn read(text: &str) -> Result<Self, String> {
        let mut set: JwkSet =
            serde_json::from_str(text).map_err(|error| format!("is no JWKS: {error}"))?;
        let is_secret = |key: &Jwk| matches!(key.algorithm, AlgorithmParameters::OctetKey(_));
        if set.keys.iter().any(is_secret) {
            return Err("holds a symmetric key (oct), which proves nothing".to_owned());
        }
        set.keys.retain(|key| {
            let signs = !matches!(key.common.public_key_use, Some(PublicKeyUse::Encryption));
            signs
                && !algorithms(key).is_empty()
                && is_strong(key)
                && DecodingKey::from_jwk(key).is_ok()
        });
        match set.keys.is_empty() {
            true => Err(
                "holds no key for signatures (RSA of 2048 bits or more, P-256, P-384 or Ed25519)"
                    .to_owned(),
            ),
            false => Ok(Self(set)),
        }
    }

    /// Whom a token is about.
    ///
    /// # Errors
    /// Why it is no good: for the log, it does not hold the token.
    pub fn user_of(&self, token: &str, wanted: &Wanted, now: SystemTime) -> Result<String, String> {
        if token.len() > MAX_TOKEN {
            return Err("the token is too long".to_owned());
        }
        let header = decode_header(token).map_err(|_| "it is no JWT".to_owned())?;
        if header.crit.is_some() {
            return Err("it has critical headers that are not known here".to_owned());
        }
        let key = self.key(header.kid.as_deref())?;
        // The key says how it signs, never the token.
        if !algorithms(key).contains(&header.alg) {
            return Err("it is signed by another algorithm than its key is for".to_owned());
        }
        let only = key.common.key_algorithm.as_ref().map(ToString::to_string);
        if only.is_some_and(|only| only != format!("{:?}", header.alg)) {
            return Err("it is signed by another algorithm than its key is for".to_owned());
        }
        let mut validation = Validation::new(header.alg);
        // Checked below, with types of our own and the time that came in.
        validation.required_spec_claims.clear();
        (validation.validate_exp, validation.validate_nbf) = (false, false);
        validation.validate_aud = false;
        let decoding = DecodingKey::from_jwk(key).map_err(|_| "its key is unusable".to_owned())?;
        let claims = decode::<Claims>(token, &decoding, &validation)
            .map_err(|error| format!("it is not signed by the issuer, or malformed ({error})"))?
            .claims;
        claims.check(wanted, now)?;
        claims.user(&wanted.user_claim)
    }

    fn key(&self, id: Option<&str>) -> Result<&Jwk, String> {
        let mut keys = self.0.keys.iter();
        match (id, self.0.keys.as_slice()) {
            (Some(id), _) => keys
                .find(|key| key.common.key_id.as_deref() == Some(id))
                .ok_or_else(|| "no key of the issuer has its kid".to_owned()),
            (None, [only]) => Ok(only),
            (None, _) => Err("it has no kid, and the issuer has several keys".to_owned()),
        }
    }
}

/// What a key may sign with.
fn algorithms(key: &Jwk) -> &'static [Algorithm] {
    use Algorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
    match &key.algorithm {
        AlgorithmParameters::RSA(_) => &[RS256, RS384, RS512, PS256, PS384, PS512],
        AlgorithmParameters::EllipticCurve(curve) => match curve.curve {
            EllipticCurve::P256 => &[ES256],
            EllipticCurve::P384 => &[ES384],
            _ => &[],
        },
        AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => &[EdDSA],
        _ => &[],
    }
}

/// RSA is as strong as its modulus is long, and exponents of 1 and 2 make it none.
fn is_strong(key: &Jwk) -> bool {
    let AlgorithmParameters::RSA(rsa) = &key.algorithm else {
        return true;
    };
    let number = |text: &str| {
        let bytes = URL_SAFE_NO_PAD.decode(text).unwrap_or_default();
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        bytes.get(zeros..).map(<[u8]>::to_vec).unwrap_or_default()
    };
    let (modulus, exponent) = (number(&rsa.n), number(&rsa.e));
    // The first byte of 2048 bits has its highest bit set.
    let is_long = match modulus.first() {
        Some(first) => modulus.len() > MIN_RSA || modulus.len() == MIN_RSA && *first >= 0x80,
        None => false,
    };
    let is_odd = exponent.last().is_some_and(|last| last % 2 == 1);
    is_long && is_odd && exponent != [1]
}

impl Claims {
    fn check(&self, wanted: &Wanted, now: SystemTime) -> Result<(), String> {
        if self.iss != wanted.issuer {
            return Err("it is of another issuer".to_owned());
        }
        let is_for_us = match &self.aud {
            Audience::One(one) => *one == wanted.audience,
            Audience::Several(several) => several.contains(&wanted.audience),
        };
        if !is_for_us {
            return Err("it is for another audience".to_owned());
        }
        let now = now
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs_f64();
        let leeway = LEEWAY.as_secs_f64();
        if self.exp + leeway <= now {
            return Err("it has expired".to_owned());
        }
        if self.nbf.is_some_and(|nbf| nbf - leeway > now) {
            return Err("it is not valid yet".to_owned());
        }
        let granted = self.scope.as_deref().unwrap_or_default();
        let has = |scope: &str| granted.split(' ').any(|granted| granted == scope);
        match wanted.scope.split_whitespace().find(|scope| !has(scope)) {
            Some(lacking) => Err(format!("it lacks the scope {lacking:?}")),
            None => Ok(()),
        }
    }

    fn user(&self, claim: &str) -> Result<String, String> {
        match self.others.get(claim) {
            Some(Value::String(user)) if !user.is_empty() && !user.contains('\0') => {
                Ok(user.clone())
            }
            Some(_) | None => Err(format!("its claim {claim:?} names nobody")),
        }
    }
}
