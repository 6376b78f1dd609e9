//! Tests: peers that break the protocol.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

use super::*;

#[test]
fn a_method_that_we_do_not_have_is_named() {
    for (body, name) in [
        (&b"\0\0\0\x07"[..], "GSSAPI"),
        (b"\0\0\0\x09", "SSPI"),
        (b"\0\0\0\x02", "Kerberos"),
        (b"\0\0\0\x63", "99"),
        (b"\0\0\0\x0aSCRAM-SHA-256-PLUS\0\0", "SCRAM-SHA-256"),
        (b"\0\0\0\x0a", "SCRAM-SHA-256"),
    ] {
        let error = login_with(password("pencil"))
            .on_authentication(body)
            .unwrap_err();
        assert_eq!(error.code, "0A000");
        assert!(error.message.contains(name), "{}", error.message);
    }
}

#[test]
fn truncated_messages_of_a_server_are_refused() {
    for body in [
        &b""[..],
        b"\0\0\0",
        b"\0\0\0\x05abc",
        b"\0\0\0\x05abcde",
        b"\0\0\0\x0b",
        b"\0\0\0\x0c",
    ] {
        let error = login_with(password("pencil"))
            .on_authentication(body)
            .unwrap_err();
        assert!(
            ["08P01", "0A000"].contains(&error.code.as_str()),
            "{error:?}"
        );
    }
}

#[test]
fn a_password_too_long_for_a_frame_is_told() {
    let error = login_with(password(&"x".repeat(20_000)))
        .on_authentication(b"\0\0\0\x03")
        .unwrap_err();
    assert_eq!(error.code, "54000");
}

fn sasl_initial(data: &[u8]) -> Vec<u8> {
    let length = u32::try_from(data.len()).unwrap().to_be_bytes();
    [b"SCRAM-SHA-256\0", &length[..], data].concat()
}

fn scram_answer(body: &[u8]) -> Step {
    begin(Method::ScramSha256, Some(VERIFIER), &verifiers())
        .0
        .answer(body)
}

#[test]
fn malformed_messages_of_a_client_are_protocol_violations() {
    for (method, body) in [
        (Method::Plain, &b""[..]),
        (Method::Plain, b"pencil"),
        (Method::Plain, b"pencil\0\0"),
        (Method::Plain, b"pen\0cil\0"),
        (Method::Md5, b"md5"),
        (Method::ScramSha256, b""),
        (Method::ScramSha256, b"SCRAM-SHA-256"),
        (Method::ScramSha256, b"SCRAM-SHA-256\0"),
        (Method::ScramSha256, b"SCRAM-SHA-256\0\0\0\0"),
        (Method::ScramSha256, b"SCRAM-SHA-256\0\0\0\0\x08n,,n=,r=x"),
        (Method::ScramSha256, b"SCRAM-SHA-256\0\xff\xff\xff\xfe"),
        (
            Method::ScramSha256,
            b"SCRAM-SHA-256\0\x7f\xff\xff\xffn,,n=,r=x",
        ),
        (
            Method::ScramSha256,
            b"SCRAM-SHA-256\0\xff\xff\xff\xffn,,n=,r=x",
        ),
        (
            Method::ScramSha256,
            b"SCRAM-SHA-256-PLUS\0\0\0\0\x09n,,n=,r=x",
        ),
        (Method::ScramSha256, b"SCRAM-SHA-1\0\0\0\0\x09n,,n=,r=x"),
    ] {
        for stored in [Some("pencil"), None] {
            let (mut exchange, _) = begin(method, stored, &verifiers());
            refused_as("08P01", exchange.answer(body));
            refused_as("08P01", exchange.answer(b"pencil\0"));
        }
    }
}

#[test]
fn the_channel_binding_flags_are_judged_as_without_tls() {
    assert!(matches!(
        scram_answer(&sasl_initial(b"n,,n=,r=abc")),
        Step::Send(_)
    ));
    assert!(matches!(
        scram_answer(&sasl_initial(b"y,,n=*,r=abc")),
        Step::Send(_)
    ));
    let error = refusal(scram_answer(&sasl_initial(
        b"p=tls-server-end-point,,n=,r=abc",
    )))
    .unwrap();
    assert_eq!(error.code, "08P01");
    assert!(error.detail.unwrap().contains("channel binding"));
}

#[test]
fn bad_client_first_messages_are_protocol_violations() {
    let long = [b"n,,n=,r=", "x".repeat(60_000).as_bytes()].concat();
    let bad: [&[u8]; 9] = [
        b"",
        b"n",
        b"n,,",
        b"x,,n=,r=abc",
        b"n,a=bob,n=,r=abc",
        b"n,,m=1,n=,r=abc",
        b"n,,n=\xff,r=abc",
        b"n,,n=,r=a\nb",
        &long,
    ];
    for message in bad {
        refused_as("08P01", scram_answer(&sasl_initial(message)));
    }
    refused_as(
        "08P01",
        scram_answer(&sasl_initial(&vec![b'x'; MAX_ANSWER_BYTES])),
    );
}

#[test]
fn a_client_may_choose_scram_without_an_initial_response() {
    let (mut exchange, _) = begin(Method::ScramSha256, Some(VERIFIER), &verifiers());
    let Step::Send(frame) = exchange.answer(b"SCRAM-SHA-256\0\xff\xff\xff\xff") else {
        panic!()
    };
    assert_eq!(bodies(&frame, b'R'), [b"\0\0\0\x0b"]);
    assert!(matches!(exchange.answer(b"n,,n=,r=abc"), Step::Send(_)));
}

#[test]
fn no_secret_shows_in_debug() {
    let reply = login_with(password("hunter2"))
        .on_authentication(b"\0\0\0\x03")
        .unwrap();
    let shown = format!("{reply:?} {:?} {:?}", password("hunter2"), verifiers());
    assert_eq!(shown, "Send(..) Plain(Secret(..)) Verifiers(..)");
}

/// Noise, or something close to what is expected.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let seeds = vec![
        sasl_initial(b"n,,n=,r=abc"),
        sasl_initial(b"y,,n=alice,r=abc"),
        b"SCRAM-SHA-256\0\xff\xff\xff\xff".to_vec(),
        b"n,,n=,r=abc".to_vec(),
        b"c=biws,r=abc,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=".to_vec(),
        b"pencil\0".to_vec(),
        b"\0\0\0\0".to_vec(),
        b"\0\0\0\x03".to_vec(),
        b"\0\0\0\x05salt".to_vec(),
        b"\0\0\0\x0aSCRAM-SHA-256\0\0".to_vec(),
        b"\0\0\0\x0br=AwMDAwMDAwMDAwMDAwMDAwMDx,s=c2FsdA==,i=10".to_vec(),
        b"\0\0\0\x0cv=AAAA".to_vec(),
    ];
    let damaged = (
        prop::sample::select(seeds),
        any::<prop::sample::Index>(),
        any::<u8>(),
        0..4_u8,
    )
        .prop_map(|(mut bytes, at, byte, damage)| {
            let at = at.index(bytes.len());
            match damage {
                0 => bytes.truncate(at),
                1 => bytes[at] = byte,
                2 => bytes.insert(at, byte),
                _ => {}
            }
            bytes
        });
    prop_oneof![1 => prop::collection::vec(any::<u8>(), 0..200), 3 => damaged]
}

proptest! {
    #[test]
    fn no_bytes_of_a_client_panic_or_let_it_in(
        method in prop::sample::select(METHODS.to_vec()),
        stored in prop::sample::select(vec![Some("a long secret"), Some(MD5), None]),
        messages in prop::collection::vec(hostile(), 1..4),
    ) {
        let env = Verifiers::new([7; 32], 2);
        let (mut exchange, mut step) = begin(method, stored, &env);
        for message in messages {
            step = exchange.answer(&message);
            if let Step::Derive(_) = step {
                step = exchange.resume();
            }
            let is_password = method == Method::Plain && stored == Some(MD5) && message == b"pencil\0";
            prop_assert!(is_password || !matches!(step, Step::Accepted(_)));
        }
        if let Step::Refused(error) = step {
            prop_assert!(["08P01", "28P01"].contains(&error.code.as_str()));
        }
    }

    #[test]
    fn no_proof_made_of_noise_is_accepted(
        before in ".{0,8}", after in ".{0,8}", proof in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let (mut exchange, _) = begin(Method::ScramSha256, Some(VERIFIER), &verifiers());
        let Step::Send(frame) = exchange.answer(&sasl_initial(b"n,,n=,r=abc")) else { panic!() };
        let challenge = String::from_utf8(bodies(&frame, b'R')[0][4..].to_vec()).unwrap();
        let nonce = challenge.split(',').next().unwrap();
        let proof = STANDARD.encode(proof);
        let message = format!("{before}c=biws,{nonce}{after},p={proof}");
        let code = refusal(exchange.answer(message.as_bytes())).expect("accepted").code;
        prop_assert!(["08P01", "28P01"].contains(&code.as_str()));
    }

    #[test]
    fn no_bytes_of_a_server_panic(messages in prop::collection::vec(hostile(), 1..5)) {
        let mut login = ServerLogin::new("alice", password("pencil"), &KeyCache::new(1), NONCE);
        let mut scram = false;
        for message in messages {
            let mut reply = login.on_authentication(&message);
            if let Ok(Reply::Derive(_)) = reply {
                reply = login.resume();
            }
            scram |= message.starts_with(b"\0\0\0\x0a");
            prop_assert!(!(scram && matches!(reply, Ok(Reply::Done))));
        }
    }
}
