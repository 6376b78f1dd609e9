//! Tests: the two halves against each other; in `hostile`, each against noise.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod bound;
mod hostile;
mod pass_through;

use base64::Engine;

use super::*;
use crate::wire::PgError;

/// Verifier of "pencil" (RFC 7677's salt and password).
const VERIFIER: &str = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==\
    $WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
/// md5 of "pencil" and "alice".
const MD5: &str = "md5ee69efad287c7423caf0b3229d71f567";
const METHODS: [Method; 3] = [Method::Plain, Method::Md5, Method::ScramSha256];
const STORED: [&str; 3] = ["pencil", MD5, VERIFIER];
const NONCE: [u8; 18] = [3; 18];
const WRONG: &str = "password authentication failed for user \"alice\"";

fn verifiers() -> Verifiers {
    Verifiers::new([7; 32], 4096)
}

fn begin(method: Method, stored: Option<&str>, env: &Verifiers) -> (Exchange, Step) {
    let secret = stored.map(StoredSecret::parse);
    Exchange::begin(method, "alice", secret.as_ref(), env, [9; 32], None)
}

fn password(text: &str) -> Credential {
    Credential::Plain(Secret::new(text))
}

fn login_with(credential: Credential) -> ServerLogin {
    ServerLogin::new("alice", credential, &KeyCache::new(8), NONCE)
}

/// The bodies of frames that follow each other.
fn bodies(mut frames: &[u8], kind: u8) -> Vec<Vec<u8>> {
    let mut bodies = Vec::new();
    while !frames.is_empty() {
        assert_eq!(frames[0], kind);
        let length = u32::from_be_bytes(frames[1..5].try_into().unwrap()) as usize;
        bodies.push(frames[5..=length].to_vec());
        frames = &frames[1 + length..];
    }
    assert!(!bodies.is_empty());
    bodies
}

/// Gives frames of the exchange to the login; its last reply.
fn deliver(login: &mut ServerLogin, frames: &[u8]) -> Result<Reply, PgError> {
    let mut last = Reply::Wait;
    for body in bodies(frames, b'R') {
        last = login.on_authentication(&body)?;
        if let Reply::Derive(work) = last {
            work.run();
            last = login.resume()?;
        }
    }
    Ok(last)
}

/// One login from end to end, with every message of the client as sent and the
/// number of derivations that the verifying side asked for.
struct Played {
    outcome: Result<(), PgError>,
    requests: Vec<Vec<u8>>,
    answers: Vec<Vec<u8>>,
    derivations: usize,
    learned: Option<Credential>,
}

fn play(method: Method, stored: Option<&str>, credential: Credential, env: &Verifiers) -> Played {
    go_through(login_with(credential), begin(method, stored, env))
}

fn go_through(mut login: ServerLogin, (mut exchange, mut step): (Exchange, Step)) -> Played {
    let mut played = Played {
        outcome: Ok(()),
        requests: vec![],
        answers: vec![],
        derivations: 0,
        learned: None,
    };
    loop {
        step = match step {
            Step::Send(frames) => {
                played.requests.push(frames.clone());
                let reply = match deliver(&mut login, &frames) {
                    Ok(Reply::Send(frame)) => bodies(&frame, b'p').remove(0),
                    Ok(other) => panic!("unexpected {other:?}"),
                    Err(error) => {
                        played.outcome = Err(error);
                        return played;
                    }
                };
                played.answers.push(reply.clone());
                exchange.answer(&reply)
            }
            Step::Derive(work) => {
                work.run();
                played.derivations += 1;
                exchange.resume()
            }
            Step::Accepted(frames) => {
                assert!(matches!(deliver(&mut login, &frames), Ok(Reply::Done)));
                played.learned = exchange.learned().cloned();
                return played;
            }
            Step::Refused(error) => {
                played.outcome = Err(error);
                return played;
            }
        }
    }
}

/// The error of a refusal, else `None`.
fn refusal(step: Step) -> Option<PgError> {
    match step {
        Step::Refused(error) => Some(error),
        Step::Send(_) | Step::Derive(_) | Step::Accepted(_) => None,
    }
}

fn refused_as(code: &str, step: Step) {
    assert_eq!(refusal(step).expect("not refused").code, code);
}

#[test]
fn trust_accepts_everybody_at_once() {
    let (mut exchange, step) = begin(Method::Trust, None, &verifiers());
    let Step::Accepted(frames) = step else {
        panic!("{step:?}")
    };
    assert!(matches!(
        deliver(&mut login_with(Credential::None), &frames),
        Ok(Reply::Done)
    ));
    refused_as("08P01", exchange.answer(b"x\0"));
}

#[test]
fn the_right_password_is_accepted_for_each_method_and_stored_secret() {
    for method in METHODS {
        for stored in STORED {
            let outcome = play(method, Some(stored), password("pencil"), &verifiers()).outcome;
            if method == Method::ScramSha256 && stored == MD5 {
                assert_eq!(outcome, Err(PgError::fatal("28P01", WRONG)));
            } else {
                assert_eq!(outcome, Ok(()), "{method:?} {stored}");
            }
        }
    }
}

#[test]
fn a_wrong_or_empty_password_and_an_unknown_user_get_one_and_the_same_error() {
    for method in METHODS {
        for stored in STORED.map(Some).into_iter().chain([None, Some("")]) {
            for wrong in ["Pencil", "pencil ", "", "caf\u{e9}"] {
                let outcome = play(method, stored, password(wrong), &verifiers()).outcome;
                assert_eq!(
                    outcome,
                    Err(PgError::fatal("28P01", WRONG)),
                    "{method:?} {stored:?}"
                );
            }
        }
        let outcome = play(method, None, password("pencil"), &verifiers()).outcome;
        assert_eq!(outcome, Err(PgError::fatal("28P01", WRONG)));
    }
}

#[test]
fn an_md5_hash_is_enough_where_the_server_asks_for_md5() {
    let hash = || Credential::of(&StoredSecret::parse(MD5));
    assert_eq!(
        play(Method::Md5, Some("pencil"), hash(), &verifiers()).outcome,
        Ok(())
    );
    assert_eq!(
        play(Method::Md5, Some(MD5), hash(), &verifiers()).outcome,
        Ok(())
    );
    assert_eq!(
        play(Method::Md5, Some("other"), hash(), &verifiers()).outcome,
        Err(PgError::fatal("28P01", WRONG))
    );
    for method in [Method::Plain, Method::ScramSha256] {
        let error = play(method, Some("pencil"), hash(), &verifiers())
            .outcome
            .unwrap_err();
        assert_eq!(error.code, "28P01");
        assert!(
            error.message.contains("alice") && error.hint.is_some(),
            "{error:?}"
        );
    }
}

#[test]
fn a_missing_password_is_told_with_the_user_and_what_to_do() {
    for method in METHODS {
        let of = |text| Credential::of(&StoredSecret::parse(text));
        for nothing in [Credential::None, of(VERIFIER), of("")] {
            let error = play(method, Some("pencil"), nothing, &verifiers())
                .outcome
                .unwrap_err();
            assert_eq!(error.code, "28P01");
            assert!(error.message.contains("alice"));
            assert!(error.hint.unwrap().contains("password"));
        }
    }
}

#[test]
fn a_user_with_a_scram_verifier_logs_in_by_scram_under_md5() {
    let (_, step) = begin(Method::Md5, Some(VERIFIER), &verifiers());
    let Step::Send(frame) = step else {
        panic!("{step:?}")
    };
    assert_eq!(bodies(&frame, b'R'), [b"\0\0\0\x0aSCRAM-SHA-256\0\0"]);
}

#[test]
fn an_unknown_user_sees_what_a_known_one_sees_at_each_attempt() {
    for method in METHODS {
        let env = verifiers();
        let known = play(method, Some("pencil"), password("wrong"), &env);
        let first = play(method, None, password("wrong"), &env);
        let second = play(method, None, password("wrong"), &env);
        // Salts, iteration counts and all, but for pgwire's nonce.
        let shown = |played: &Played| -> Vec<String> {
            let text = |frame: &Vec<u8>| {
                let text = String::from_utf8_lossy(frame).into_owned();
                match text.split_once(",s=") {
                    Some((nonce, salt)) => format!("{}:{salt}", nonce.len()),
                    None => text,
                }
            };
            played.requests.iter().map(text).collect()
        };
        assert_eq!(shown(&known), shown(&first), "{method:?}");
        assert_eq!(shown(&first), shown(&second), "{method:?}");
        assert_eq!(known.outcome, first.outcome);
    }
}

#[test]
fn unknown_users_can_be_made_to_look_like_scram_users() {
    let env = verifiers().with_unknown_users_like_scram_users();
    let unknown = play(Method::Md5, None, password("pencil"), &env);
    assert_eq!(
        unknown.requests[0],
        play(Method::Md5, Some(VERIFIER), password("pencil"), &env).requests[0]
    );
    assert_eq!(unknown.outcome, Err(PgError::fatal("28P01", WRONG)));
    assert_eq!(
        play(Method::Plain, None, password("pencil"), &env).derivations,
        1
    );
}

#[test]
fn a_storm_of_logins_derives_once() {
    for (method, stored, derivations) in [
        (Method::ScramSha256, "pencil", [1, 0, 0]),
        (Method::ScramSha256, VERIFIER, [0, 0, 0]),
        (Method::Plain, VERIFIER, [1, 0, 0]),
    ] {
        let env = verifiers();
        let seen =
            derivations.map(|_| play(method, Some(stored), password("pencil"), &env).derivations);
        assert_eq!(seen, derivations, "{method:?} {stored}");
    }
    // A wrong password in clear is not remembered.
    let env = verifiers();
    let guess = || play(Method::Plain, Some(VERIFIER), password("wrong"), &env).derivations;
    assert_eq!([guess(), guess()], [1, 1]);
}

#[test]
fn a_caller_may_leave_the_derivation_to_resume() {
    let (mut exchange, _) = begin(Method::Plain, Some(VERIFIER), &verifiers());
    assert!(matches!(exchange.answer(b"pencil\0"), Step::Derive(_)));
    assert!(matches!(exchange.resume(), Step::Accepted(_)));
}

#[test]
fn a_replayed_proof_is_refused() {
    let env = verifiers();
    let heard = play(
        Method::ScramSha256,
        Some(VERIFIER),
        password("pencil"),
        &env,
    );
    assert_eq!(heard.outcome, Ok(()));
    let (mut exchange, _) = begin(Method::ScramSha256, Some(VERIFIER), &env);
    assert!(matches!(exchange.answer(&heard.answers[0]), Step::Send(_)));
    refused_as("08P01", exchange.answer(&heard.answers[1]));
    // With the nonce of this exchange put in, the proof no longer fits.
    let (mut exchange, _) = begin(Method::ScramSha256, Some(VERIFIER), &env);
    let Step::Send(frame) = exchange.answer(&heard.answers[0]) else {
        panic!()
    };
    let challenge = String::from_utf8(bodies(&frame, b'R')[0][4..].to_vec()).unwrap();
    let nonce = challenge.split(',').next().unwrap();
    let old = String::from_utf8(heard.answers[1].clone()).unwrap();
    let proof = old.split(",p=").nth(1).unwrap();
    refused_as(
        "28P01",
        exchange.answer(format!("c=biws,{nonce},p={proof}").as_bytes()),
    );
}

#[test]
fn a_server_that_cannot_sign_is_not_logged_in_to() {
    // It has a verifier of the right salt, and says yes to every proof.
    let mut login = login_with(password("pencil"));
    assert!(matches!(
        login.on_authentication(b"\0\0\0\x0aSCRAM-SHA-256\0\0"),
        Ok(Reply::Send(_))
    ));
    let nonce = base64::engine::general_purpose::STANDARD.encode(NONCE);
    let challenge = format!("\0\0\0\x0br={nonce}x,s=c2FsdA==,i=10");
    assert!(matches!(
        login.on_authentication(challenge.as_bytes()),
        Ok(Reply::Derive(_))
    ));
    assert!(matches!(login.resume(), Ok(Reply::Send(_))));
    let error = login.on_authentication(b"\0\0\0\x0cv=AAAA").unwrap_err();
    assert_eq!(error.code, "28000");
    assert_eq!(
        login.on_authentication(b"\0\0\0\0").unwrap_err().code,
        "08P01"
    );
}

#[test]
fn authentication_ok_before_the_servers_proof_is_refused() {
    let mut login = login_with(password("pencil"));
    login
        .on_authentication(b"\0\0\0\x0aSCRAM-SHA-256\0\0")
        .unwrap();
    assert_eq!(
        login.on_authentication(b"\0\0\0\0").unwrap_err().code,
        "28000"
    );
    // Nor may it turn to a weaker method in the middle.
    let mut login = login_with(password("pencil"));
    login
        .on_authentication(b"\0\0\0\x0aSCRAM-SHA-256\0\0")
        .unwrap();
    assert_eq!(
        login.on_authentication(b"\0\0\0\x03").unwrap_err().code,
        "08P01"
    );
}
