//! What a client says by the mechanism OAUTHBEARER (RFC 7628, section 3.1;
//! `sasl-authentication.html#SASL-OAUTHBEARER`).

use crate::auth::client_messages::violation;
use crate::wire::PgError;

/// The name of the mechanism.
pub(super) const MECHANISM: &str = "OAUTHBEARER";

/// What stands between the parts of a message, and is all of a client's answer
/// to an error.
const SEPARATOR: u8 = 0x01;

/// The data of a client's first message: its token; none where it only asks
/// what token it should bring.
///
/// # Errors
/// 08P01 for anything else.
pub(super) fn token_of(data: &[u8]) -> Result<Option<&str>, PgError> {
    let malformed = || violation("malformed OAUTHBEARER message");
    let text = str::from_utf8(data).map_err(|_| malformed())?;
    // No channel binding, and nobody to act for.
    let rest = text
        .strip_prefix("n,,\u{1}")
        .or_else(|| text.strip_prefix("y,,\u{1}"))
        .ok_or_else(malformed)?;
    let pairs = rest.strip_suffix("\u{1}\u{1}").ok_or_else(malformed)?;
    let mut found = None;
    for pair in pairs.split('\u{1}') {
        match pair.split_once('=').ok_or_else(malformed)? {
            ("auth", value) if found.is_none() => found = Some(value),
            ("auth", _) => return Err(malformed()),
            // The host and port that it meant to come to.
            (_, _) => {}
        }
    }
    let value = found.ok_or_else(malformed)?;
    if value.is_empty() {
        return Ok(None);
    }
    let (scheme, token) = value.split_once(' ').ok_or_else(malformed)?;
    let token = token.trim_matches(' ');
    if !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() || !token.bytes().all(is_of_token)
    {
        return Err(malformed());
    }
    Ok(Some(token))
}

/// RFC 6750, section 2.1: `b64token`.
fn is_of_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte)
}

/// Has the client taken note of an error?
pub(super) fn is_acknowledgement(body: &[u8]) -> bool {
    body == [SEPARATOR]
}

/// What is told to a client whose token will not do: where to get one.
pub(super) fn challenge(issuer: &str, scope: &str) -> String {
    let place = format!(
        "{}/.well-known/openid-configuration",
        issuer.trim_end_matches('/')
    );
    serde_json::json!({
        "status": "invalid_token",
        "openid-configuration": place,
        "scope": scope,
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn a_token_comes_with_a_header_and_perhaps_a_host() {
        let token = |data: &str| token_of(data.as_bytes()).map(|token| token.map(str::to_owned));
        let plain = "n,,\u{1}auth=Bearer a.b-c_~+/=\u{1}\u{1}";
        assert_eq!(token(plain).unwrap().as_deref(), Some("a.b-c_~+/="));
        let more = "y,,\u{1}host=h\u{1}port=1\u{1}auth=bearer  x \u{1}\u{1}";
        assert_eq!(token(more).unwrap().as_deref(), Some("x"));
        assert_eq!(token("n,,\u{1}auth=\u{1}\u{1}").unwrap(), None);
    }

    #[test]
    fn everything_else_is_refused() {
        for wrong in [
            "",
            "n,,",
            "n,,\u{1}",
            "n,,\u{1}\u{1}",
            "n,,\u{1}host=h\u{1}\u{1}",
            "n,a=bob,\u{1}auth=Bearer x\u{1}\u{1}",
            "p=tls-server-end-point,,\u{1}auth=Bearer x\u{1}\u{1}",
            "n,,\u{1}auth=Bearer x\u{1}",
            "n,,\u{1}auth=Bearer x",
            "n,,\u{1}auth=Basic x\u{1}\u{1}",
            "n,,\u{1}auth=Bearer \u{1}\u{1}",
            "n,,\u{1}auth=Bearer\u{1}\u{1}",
            "n,,\u{1}auth=Bearer x y\u{1}\u{1}",
            "n,,\u{1}auth=Bearer x\"\u{1}\u{1}",
            "n,,\u{1}auth=Bearer x\u{1}auth=Bearer y\u{1}\u{1}",
            "n,,\u{1}auth\u{1}\u{1}",
        ] {
            assert!(token_of(wrong.as_bytes()).is_err(), "{wrong:?}");
        }
        assert!(token_of(b"n,,\x01auth=Bearer \xff\x01\x01").is_err());
    }

    #[test]
    fn the_challenge_is_json_whatever_the_settings() {
        let told: serde_json::Value =
            serde_json::from_str(&challenge("https://a/\"x/", "a b")).unwrap();
        let place = "https://a/\"x/.well-known/openid-configuration";
        assert_eq!(told["openid-configuration"], place);
        assert_eq!(
            (&told["status"], &told["scope"]),
            (&"invalid_token".into(), &"a b".into())
        );
    }
}
