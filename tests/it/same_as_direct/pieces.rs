//! Large messages, and messages that come in pieces.

use crate::support::differential::{A, B, script};
use crate::support::frames::{
    bind, copy_data, copy_done, describe, execute, extended, parse, query, sync,
};

const THREE_MEGABYTES: usize = 3 << 20;

fn with_parameter(size: usize) -> Vec<u8> {
    let parameter = vec![b'p'; size];
    let bound = bind("", "", &[Some(&parameter)]);
    [
        parse("", "SELECT length($1::text), md5($1)"),
        bound,
        describe(b'P', ""),
        execute("", 0),
        sync(),
    ]
    .concat()
}

fn split_at(bytes: &[u8], places: &[usize]) -> Vec<Vec<u8>> {
    let mut start = 0;
    let mut pieces = Vec::new();
    for place in places.iter().copied().chain([bytes.len()]) {
        pieces.push(bytes[start..place].to_vec());
        start = place;
    }
    pieces
}

#[test]
fn big_messages_in_both_directions() {
    let literal = "q".repeat(THREE_MEGABYTES);
    script()
        .query(A, &format!("SELECT length('{literal}')"))
        .query(B, &format!("SELECT '{literal}'"))
        .ask(A, with_parameter(THREE_MEGABYTES), 1)
        .query(B, "SELECT repeat('row', 4000000)")
        .query(
            B,
            "SELECT n, repeat('row', 1000) FROM generate_series(1, 3000) n",
        )
        .run();
}

#[test]
fn sizes_around_the_buffers_edges() {
    let mut case = script();
    for size in [8_170, 8_192, 16_384, 65_500, 65_536, 65_537, 131_072] {
        for offset in [0, 1, 5] {
            case = case.query(A, &format!("SELECT '{}'", "s".repeat(size - offset)));
            case = case.query(A, &format!("SELECT repeat('r', {})", size - offset));
        }
    }
    case.run();
}

#[test]
fn a_big_parameter_over_five_segments() {
    let batch = with_parameter(THREE_MEGABYTES);
    let places = [40, 1_000, THREE_MEGABYTES / 2, batch.len() - 20];
    script()
        .send_pieces(A, split_at(&batch, &places))
        .ready(A, 1)
        .query(B, "SELECT 'other'")
        .run();
}

#[test]
fn a_conversation_one_byte_at_a_time() {
    let conversation = [
        query("SELECT 1"),
        extended("SELECT 'two'"),
        query("BEGIN"),
        query("COPY t FROM STDIN"),
        copy_data(b"1\n"),
        copy_done(),
        query("COMMIT"),
        extended("SELECT 1/0"),
        query(""),
    ]
    .concat();
    let bytes: Vec<Vec<u8>> = conversation.chunks(1).map(<[u8]>::to_vec).collect();
    script()
        .setup("CREATE TABLE t (x int)")
        .send_pieces(A, bytes)
        .ready(A, 7)
        .query(B, "SELECT * FROM t")
        .run();
}

#[test]
fn every_split_of_a_batch_in_two() {
    let batch = [query("SELECT 1"), extended("SELECT 'x'")].concat();
    let mut case = script();
    for place in 1..batch.len() {
        case = case.send_pieces(A, split_at(&batch, &[place])).ready(A, 2);
    }
    case.run();
}

#[test]
fn other_clients_work_while_a_message_is_incomplete() {
    let whole = query("SELECT 'whole at last'");
    let pieces = split_at(&whole, &[9]);
    script()
        .pools(&[2])
        .query(A, "SELECT 1")
        .send(A, &pieces[0])
        .query(B, "SELECT 'meanwhile'")
        .ask(A, &pieces[1], 1)
        .run();
}
