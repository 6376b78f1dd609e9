//! SCRAM bound to a certificate.

use super::*;
use crate::auth::binding::tests::certificate;
use crate::auth::{Binding, end_point};

fn offering(stored: &str, binding: Option<&Binding>) -> (Exchange, Step) {
    let (secret, env) = (StoredSecret::parse(stored), verifiers());
    let method = Method::ScramSha256;
    Exchange::begin(method, "alice", Some(&secret), &env, [9; 32], binding)
}

/// A login by somebody who sees the certificate `seen`, at somebody who can be
/// bound to `shown`; the mechanism that was chosen.
fn outcome(
    stored: &str,
    shown: Option<&[u8]>,
    seen: Option<&[u8]>,
    secret: &str,
) -> (Result<(), PgError>, String) {
    let binding = shown.map(|shown| Binding::to(shown).unwrap());
    let login = login_with(password(secret)).bound_to(seen.map(|seen| end_point(seen).unwrap()));
    let played = go_through(login, offering(stored, binding.as_ref()));
    let chosen = played.answers[0].split(|byte| *byte == 0).next().unwrap();
    let chosen = String::from_utf8(chosen.to_vec()).unwrap();
    (played.outcome, chosen)
}

#[test]
fn who_sees_the_right_certificate_is_bound_to_it_and_comes_in() {
    let own = certificate();
    for stored in ["pencil", VERIFIER] {
        let (result, chosen) = outcome(stored, Some(&own), Some(&own), "pencil");
        assert_eq!((result, chosen.as_str()), (Ok(()), "SCRAM-SHA-256-PLUS"));
        let (result, _) = outcome(stored, Some(&own), Some(&own), "Pencil");
        assert_eq!(result.unwrap_err().code, "28P01");
    }
}

#[test]
fn who_sees_another_certificate_does_not_come_in_with_the_right_password() {
    let (own, other) = (certificate(), certificate());
    let (result, _) = outcome("pencil", Some(&own), Some(&other), "pencil");
    let error = result.unwrap_err();
    assert_eq!(error.code, "28000");
    assert!(error.message.contains("channel binding"), "{error:?}");
}

#[test]
fn without_tls_on_both_sides_nobody_is_bound() {
    let own = certificate();
    for (shown, seen) in [(None, Some(&own[..])), (Some(&own[..]), None), (None, None)] {
        let (result, chosen) = outcome("pencil", shown, seen, "pencil");
        assert_eq!((result, chosen.as_str()), (Ok(()), "SCRAM-SHA-256"));
    }
}

/// What becomes of a first message.
fn judged(binding: Option<&Binding>, mechanism: &str, message: &str) -> Option<PgError> {
    let (mut exchange, _) = offering(VERIFIER, binding);
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    let body = [mechanism.as_bytes(), b"\0", &length, message.as_bytes()].concat();
    refusal(exchange.answer(&body))
}

#[test]
fn an_offer_that_somebody_took_away_is_noticed() {
    let binding = Binding::to(&certificate()).unwrap();
    let error = judged(Some(&binding), "SCRAM-SHA-256", "y,,n=,r=abc").unwrap();
    assert_eq!(error.code, "28000");
    assert_eq!(judged(None, "SCRAM-SHA-256", "y,,n=,r=abc"), None);
    assert_eq!(judged(Some(&binding), "SCRAM-SHA-256", "n,,n=,r=abc"), None);
}

#[test]
fn mechanism_and_message_must_agree() {
    let binding = Binding::to(&certificate()).unwrap();
    let plus = "SCRAM-SHA-256-PLUS";
    let bound = "p=tls-server-end-point,,n=,r=abc";
    assert_eq!(judged(Some(&binding), plus, bound), None);
    for (offered, mechanism, message) in [
        (true, plus, "n,,n=,r=abc"),
        (true, plus, "y,,n=,r=abc"),
        (true, plus, "p=tls-unique,,n=,r=abc"),
        (true, plus, "p=tls-server-end-point,a=bob,n=,r=abc"),
        (true, plus, ""),
        (true, "SCRAM-SHA-256", bound),
        (false, "SCRAM-SHA-256", bound),
        (false, plus, bound),
    ] {
        let error = judged(offered.then_some(&binding), mechanism, message);
        assert_eq!(
            error.unwrap().code,
            "08P01",
            "{offered} {mechanism} {message}"
        );
    }
}

static BINDING: std::sync::LazyLock<Binding> =
    std::sync::LazyLock::new(|| Binding::to(&certificate()).unwrap());

proptest::proptest! {
    #[test]
    fn no_bytes_of_a_client_that_may_be_bound_panic_or_let_it_in(
        header in "(p=tls-server-end-point|p=[a-z-]{0,9}|y|n)?,(a=)?,", rest in ".{0,40}",
        last in "(c=[A-Za-z0-9+/=]{0,60},r=)?.{0,40}(,p=[A-Za-z0-9+/=]{0,60})?",
    ) {
        let (mut exchange, _) = offering(VERIFIER, Some(&BINDING));
        let message = format!("{header}n=,r={rest}");
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        let body = [b"SCRAM-SHA-256-PLUS\0", &length[..], message.as_bytes()].concat();
        let mut step = exchange.answer(&body);
        if let Step::Send(_) = step {
            step = exchange.answer(last.as_bytes());
        }
        let code = refusal(step).expect("accepted").code;
        proptest::prop_assert!(["08P01", "28000"].contains(&code.as_str()), "{code}");
    }

    #[test]
    fn no_bytes_pass_for_a_certificate_and_panic(bytes in proptest::collection::vec(0_u8..=255, 0..60)) {
        let _ = end_point(&bytes);
        let _ = end_point(&[&[0x30, 0x3a, 0x30][..], &bytes].concat());
    }
}
