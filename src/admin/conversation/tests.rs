use super::*;
use crate::admin::command::Show;
use crate::admin::table::row;

const LISTS: &[u8] = b"SHOW LISTS\0";

/// The types of the frames.
fn tags(mut out: &[u8]) -> String {
    let mut tags = String::new();
    while let Ok(Some(header)) = crate::wire::frame::header(out, 1 << 20) {
        tags.push(char::from(header.tag));
        out = out.get(header.total..).unwrap_or_default();
    }
    tags
}

fn parse(name: &[u8], text: &[u8]) -> Vec<u8> {
    [name, b"\0", text, b"\0\0"].concat()
}

/// Takes a message; gives the types of the frames, and whether there is something to do.
fn take(talk: &mut Conversation, tag: u8, body: &[u8]) -> (String, Option<Todo>) {
    let mut out = Vec::new();
    match talk.take(tag, body, &mut out) {
        Ok(todo) => (tags(&out), todo),
        Err(error) => (error.code, None),
    }
}

fn says(talk: &mut Conversation, tag: u8, body: &[u8]) -> String {
    take(talk, tag, body).0
}

fn lists(count: usize) -> Answer {
    Answer {
        rows: (0..count).map(|at| row!["x", at]).collect(),
        tag: "SHOW".into(),
        ..Answer::default()
    }
}

#[test]
fn a_statement_is_described_before_it_runs() {
    let mut talk = Conversation::default();
    assert_eq!(says(&mut talk, b'P', &parse(b"s", LISTS)), "1");
    assert_eq!(says(&mut talk, b'D', b"Ss\0"), "tT");
    assert_eq!(says(&mut talk, b'B', b"p\0s\0\0\0\0\0\0\0"), "2");
    assert_eq!(says(&mut talk, b'D', b"Pp\0"), "T");
    let (none, todo) = take(&mut talk, b'E', b"p\0\0\0\0\0");
    assert!(none.is_empty());
    assert!(matches!(
        todo,
        Some(Todo::Execute {
            command: Command::Show(Show::Lists),
            limit: 0,
            ..
        })
    ));
    let mut out = Vec::new();
    talk.executed(b"p", 0, lists(3), &mut out);
    assert_eq!(tags(&out), "DDDC");
    assert_eq!(says(&mut talk, b'S', b""), "Z");
}

#[test]
fn rows_are_fetched_in_parts() {
    let mut talk = Conversation::default();
    says(&mut talk, b'P', &parse(b"", LISTS));
    says(&mut talk, b'B', b"\0\0\0\0\0\0\0\0");
    let mut out = Vec::new();
    talk.executed(b"", 2, lists(3), &mut out);
    assert_eq!(tags(&out), "DDs");
    assert_eq!(says(&mut talk, b'E', b"\0\0\0\0\x02"), "DC");
    assert_eq!(says(&mut talk, b'E', b"\0\0\0\0\x02"), "C");
}

#[test]
fn what_returns_no_rows_is_described_so() {
    let mut talk = Conversation::default();
    says(&mut talk, b'P', &parse(b"", b"PAUSE\0"));
    assert_eq!(says(&mut talk, b'D', b"S\0"), "tn");
    says(&mut talk, b'P', &parse(b"", b"\0"));
    assert_eq!(says(&mut talk, b'B', b"\0\0\0\0\0\0\0\0"), "2");
    assert_eq!(says(&mut talk, b'D', b"P\0"), "n");
    assert_eq!(says(&mut talk, b'E', b"\0\0\0\0\0"), "I");
}

#[test]
fn an_error_skips_to_sync() {
    let mut talk = Conversation::default();
    assert_eq!(says(&mut talk, b'P', &parse(b"", b"nonsense\0")), "E");
    assert_eq!(says(&mut talk, b'B', b"\0\0\0\0\0\0\0\0"), "");
    assert!(take(&mut talk, b'Q', LISTS).1.is_none());
    assert_eq!(says(&mut talk, b'S', b""), "Z");
    assert!(matches!(take(&mut talk, b'Q', LISTS).1, Some(Todo::Query(all)) if all.len() == 1));
}

#[test]
fn what_is_not_there_is_told() {
    for (tag, body) in [
        (b'B', &b"\0no\0\0\0\0\0\0\0"[..]),
        (b'D', b"Sno\0"),
        (b'D', b"Pno\0"),
        (b'E', b"no\0\0\0\0\0"),
    ] {
        let mut talk = Conversation::default();
        assert_eq!(says(&mut talk, tag, body), "E", "{tag}");
        assert_eq!(says(&mut talk, b'S', b""), "Z");
    }
    let mut talk = Conversation::default();
    assert_eq!(says(&mut talk, b'C', b"Sno\0"), "3");
    assert_eq!(says(&mut talk, b'F', b"\0\0\0\0"), "EZ");
}

#[test]
fn parameters_are_refused() {
    let mut talk = Conversation::default();
    let typed = b"\0SHOW LISTS\0\0\x01\0\0\0\x17";
    assert_eq!(says(&mut talk, b'P', typed), "E");
    says(&mut talk, b'S', b"");
    says(&mut talk, b'P', &parse(b"", LISTS));
    assert_eq!(says(&mut talk, b'B', b"\0\0\0\0\0\x01\0\0\0\x01x\0\0"), "E");
}

#[test]
fn a_broken_message_ends_it() {
    for (tag, body) in [
        (b'Q', &b"no end"[..]),
        (b'Q', b"\xff\0"),
        (b'P', b"x"),
        (b'B', b"\0\0\0\x01"),
        (b'B', b""),
        (b'D', b"X\0"),
        (b'E', b"\0"),
        (b'C', b""),
        (b'z', b""),
    ] {
        let mut talk = Conversation::default();
        says(&mut talk, b'P', &parse(b"", LISTS));
        assert_eq!(says(&mut talk, tag, body), "08P01", "{tag} {body:?}");
    }
}

#[test]
fn statements_are_bounded_and_names_taken_once() {
    let mut talk = Conversation::default();
    for number in 0..MOST_NAMED {
        assert_eq!(
            says(
                &mut talk,
                b'P',
                &parse(number.to_string().as_bytes(), LISTS)
            ),
            "1"
        );
    }
    assert_eq!(says(&mut talk, b'P', &parse(b"more", LISTS)), "E");
    says(&mut talk, b'S', b"");
    assert_eq!(says(&mut talk, b'P', &parse(b"7", LISTS)), "E");
    says(&mut talk, b'S', b"");
    assert_eq!(says(&mut talk, b'C', b"S7\0"), "3");
    assert_eq!(says(&mut talk, b'P', &parse(b"7", LISTS)), "1");
}

#[test]
fn a_transaction_shows_in_what_is_ready() {
    let mut talk = Conversation {
        in_transaction: true,
        ..Conversation::default()
    };
    let mut out = Vec::new();
    talk.query_is_over(true, &mut out);
    assert_eq!(out, b"I\0\0\0\x04Z\0\0\0\x05T");
}

#[test]
fn no_message_makes_it_panic() {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let tags = b"QPBDECSHFdcfX";
    let pieces: [&[u8]; 9] = [
        b"\0",
        b"\0\x01",
        b"s",
        b"SHOW LISTS",
        b"\0\0",
        b"\xff\xff",
        b"S",
        b"P",
        b";",
    ];
    let mut talk = Conversation::default();
    let mut answered = 0;
    for _ in 0..50_000 {
        let at = usize::try_from(random(13)).unwrap_or(0);
        let tag = tags.get(at).copied().unwrap_or(b'S');
        let mut body = Vec::new();
        for _ in 0..random(8) {
            let at = usize::try_from(random(9)).unwrap_or(0);
            body.extend_from_slice(pieces.get(at).copied().unwrap_or_default());
        }
        let mut out = Vec::new();
        match talk.take(tag, &body, &mut out) {
            Ok(Some(Todo::Execute { portal, limit, .. })) => {
                talk.executed(&portal, limit, lists(2), &mut out);
            }
            Ok(_) => {}
            // It would have ended here.
            Err(_) => talk = Conversation::default(),
        }
        answered += usize::from(!out.is_empty());
    }
    assert!(answered > 1000, "{answered}");
}
