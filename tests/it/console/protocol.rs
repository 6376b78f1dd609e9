//! What drivers say to the console, and what it answers.

use super::{complaint, console, plan, tag};
use crate::support::frames;
use crate::support::postgres::Cluster;
use crate::support::raw::{Connection, rows_of};
use crate::support::startup::Startup;

fn tags(answer: &[frames::Frame]) -> String {
    answer.iter().map(|frame| char::from(frame.tag)).collect()
}

#[test]
fn several_commands_are_answered_in_turn_up_to_an_error() {
    let database = Cluster::shared().database();
    let pooler = plan(&database).start();
    let mut console = console(&pooler);
    let answer = console.query("SHOW VERSION; show state -- comment\n; /* ; */ SHOW VERSION;");
    assert_eq!(tags(&answer), "TDCTDDDCTDCZ");
    let answer = console.query("SHOW VERSION; nonsense; SHOW VERSION");
    assert_eq!(tags(&answer), "TDCEZ");
    assert_eq!(
        complaint(&mut console, "nonsense; SHOW VERSION"),
        "invalid command 'nonsense', use SHOW HELP;"
    );
    for empty in ["", ";", "-- ping"] {
        assert_eq!(tags(&console.query(empty)), "IZ");
    }
}

#[test]
fn a_statement_is_prepared_described_bound_and_executed() {
    let database = Cluster::shared().database();
    let pooler = plan(&database).start();
    let mut console = console(&pooler);
    console.send(
        &[
            frames::parse("s", "SHOW STATE"),
            frames::describe(b'S', "s"),
            frames::sync(),
        ]
        .concat(),
    );
    assert_eq!(tags(&console.until_ready(1, "a description")), "1tTZ");
    for _ in 0..2 {
        let bound = [
            frames::bind("", "s", &[]),
            frames::execute("", 2),
            frames::execute("", 2),
            frames::sync(),
        ];
        console.send(&bound.concat());
        assert_eq!(tags(&console.until_ready(1, "rows")), "2DDsDCZ");
    }
    console.send(
        &[
            frames::parse("", "nonsense"),
            frames::bind("", "s", &[]),
            frames::sync(),
        ]
        .concat(),
    );
    assert_eq!(tags(&console.until_ready(1, "an error")), "EZ");
}

#[test]
fn numbers_come_in_binary_where_that_is_asked_for() {
    let database = Cluster::shared().database();
    let pooler = plan(&database).start();
    let mut console = console(&pooler);
    let mut bind = b"\0\0\0\0\0\0".to_vec();
    bind.extend(b"\0\x01\0\x01");
    let asked = [
        frames::parse("", "SELECT 1"),
        frames::frame(b'B', &bind),
        frames::execute("", 0),
        frames::sync(),
    ];
    console.send(&asked.concat());
    let answer = console.until_ready(1, "a binary number");
    let row = answer.iter().find(|frame| frame.tag == b'D').unwrap();
    assert_eq!(row.columns(), [Some(vec![0, 0, 0, 1])]);
}

#[test]
fn what_drivers_say_by_themselves_is_taken() {
    let database = Cluster::shared().database();
    let pooler = plan(&database).start();
    let mut console = console(&pooler);
    assert_eq!(tag(&mut console, "BEGIN"), "BEGIN");
    assert_eq!(console.status, b'T');
    assert_eq!(tag(&mut console, "SHOW LISTS"), "SHOW");
    assert_eq!(console.status, b'T');
    assert_eq!(tag(&mut console, "ROLLBACK"), "ROLLBACK");
    assert_eq!(console.status, b'I');
    assert_eq!(tag(&mut console, "SET extra_float_digits = 3"), "SET");
    assert_eq!(tag(&mut console, "SET DateStyle TO 'ISO'"), "SET");
    assert_eq!(tag(&mut console, "DISCARD ALL"), "DISCARD ALL");
    assert_eq!(
        rows_of(&console.query("SHOW client_encoding")),
        [[Some("UTF8".to_owned())]]
    );
    assert_eq!(console.value("SELECT 1"), "1");
    assert_eq!(
        console.value("SELECT version"),
        console.value("SHOW VERSION")
    );
}

#[test]
fn a_message_without_end_is_not_waited_for() {
    let database = Cluster::shared().database();
    let pooler = plan(&database).start();
    let mut console = console(&pooler);
    console.send(&[b"Q".as_slice(), &100_000_000_u32.to_be_bytes(), b"SHOW"].concat());
    let answer = console.until_end("the end of a console that was told nonsense");
    assert_eq!(answer[0].sqlstate(), "08P01");
}

#[test]
fn both_names_are_the_consoles_and_protocol_3_2_has_a_long_key() {
    let database = Cluster::shared().database();
    let pooler = plan(&database).start();
    for name in ["pgweave", "pgbouncer"] {
        let startup = Startup::new("postgres", name).minor(2);
        let mut console = Connection::login(pooler.address, &startup);
        assert_eq!(console.key.len(), 4 + 32);
        assert!(console.value("SHOW VERSION").starts_with("PgBouncer "));
    }
}
