//! A client logs in to us, and we log in to the server as it.

use super::*;

/// What we learn of a client with the right password.
fn learned(method: Method, stored: &str) -> Credential {
    let played = play(method, Some(stored), password("pencil"), &verifiers());
    assert!(played.outcome.is_ok());
    played.learned.expect("nothing learned")
}

/// Our login at a server that has this stored.
fn at_server(method: Method, stored: &str, credential: Credential) -> Result<(), PgError> {
    play(method, Some(stored), credential, &verifiers()).outcome
}

#[test]
fn a_proof_logs_in_to_a_server_with_the_same_verifier() {
    let keys = learned(Method::ScramSha256, VERIFIER);
    assert!(matches!(keys, Credential::Keys(_)));
    for _ in 0..2 {
        assert!(at_server(Method::ScramSha256, VERIFIER, keys.clone()).is_ok());
    }
}

#[test]
fn a_proof_is_worth_nothing_at_a_server_with_another_verifier() {
    let keys = learned(Method::ScramSha256, VERIFIER);
    // The server makes a salt of its own for what is stored in plain text.
    let error = at_server(Method::ScramSha256, "pencil", keys.clone()).unwrap_err();
    assert_eq!(error.code, "28P01");
    for method in [Method::Plain, Method::Md5] {
        let error = at_server(method, "pencil", keys.clone()).unwrap_err();
        assert_eq!(error.code, "28P01");
    }
    // Of the same salt and count, but made of another password.
    let other = VERIFIER.replace("WG5d", "WG5e");
    assert!(at_server(Method::ScramSha256, &other, keys).is_err());
}

#[test]
fn a_password_in_clear_text_logs_in_by_any_method() {
    for stored in STORED {
        let learned = learned(Method::Plain, stored);
        assert!(matches!(learned, Credential::Plain(_)));
        for method in METHODS {
            assert!(at_server(method, "pencil", learned.clone()).is_ok());
        }
    }
}

#[test]
fn nothing_is_learned_of_a_client_that_is_refused() {
    for method in METHODS {
        for stored in STORED {
            let played = play(method, Some(stored), password("pen"), &verifiers());
            assert!(played.outcome.is_err() && played.learned.is_none());
            let unknown = play(method, None, password("pencil"), &verifiers());
            assert!(unknown.outcome.is_err() && unknown.learned.is_none());
        }
    }
}

#[test]
fn the_same_keys_are_the_same_credential() {
    let keys = || learned(Method::ScramSha256, VERIFIER);
    assert!(keys().same_as(&keys()));
    assert!(!keys().same_as(&learned(Method::ScramSha256, "pencil")));
    assert!(!keys().same_as(&password("pencil")));
    assert!(password("pencil").same_as(&password("pencil")));
    assert!(!password("pencil").same_as(&password("pen")));
    assert_eq!(format!("{:?}", keys()), "Keys(ProvenKeys(..))");
}
