//! What a text means depends on where it is parsed: clients whose settings
//! differ share no statement.

use super::{described, go, prepare, run};
use crate::support::differential::{A, B, Script, script};
use crate::support::frames::{parse, query, sync, unnamed};

/// 2 January where months stand first, 1 February where days do.
const DAY: &str = "SELECT extract(month FROM '01/02/2026'::date)";

/// Two clients of different startup parameters prepare one text.
fn shared_text(of_a: &[(&str, &str)], of_b: &[(&str, &str)], text: &str) -> Script {
    script()
        .connect(A, of_a)
        .connect(B, of_b)
        .ask(A, prepare("s1", text), 1)
        .ask(B, prepare("s1", text), 1)
        .ask(A, run("s1"), 1)
        .ask(B, run("s1"), 1)
        .ask(A, described("s1"), 1)
        .ask(B, [parse("", text), go(""), sync()].concat(), 1)
        .ask(A, run("s1"), 1)
}

#[test]
fn date_styles_differ() {
    shared_text(
        &[("DateStyle", "ISO, MDY")],
        &[("DateStyle", "ISO, DMY")],
        DAY,
    )
    .run();
    shared_text(&[], &[("options", "-c datestyle=German")], DAY).run();
}

#[test]
fn time_zones_differ() {
    shared_text(
        &[("TimeZone", "UTC")],
        &[("TimeZone", "Asia/Tokyo")],
        "SELECT extract(epoch FROM '2026-01-01 00:00'::timestamptz)",
    )
    .run();
}

#[test]
fn backslashes_differ() {
    shared_text(
        &[("standard_conforming_strings", "on")],
        &[("standard_conforming_strings", "off")],
        "SELECT length('a\\n')",
    )
    .run();
}

#[test]
fn search_paths_differ() {
    shared_text(
        &[("search_path", "sa")],
        &[("search_path", "sb")],
        "SELECT * FROM t",
    )
    .setup("CREATE SCHEMA sa; CREATE TABLE sa.t AS SELECT 1 AS of_a")
    .setup("CREATE SCHEMA sb; CREATE TABLE sb.t AS SELECT 'x' AS of_b, 2 AS two")
    .run();
}

#[test]
fn roles_differ() {
    shared_text(
        &[],
        &[("options", "-c role=guest")],
        "SELECT current_user, has_table_privilege('t', 'SELECT')",
    )
    .setup("CREATE TABLE t (x int)")
    .run();
}

#[test]
fn a_setting_changed_in_the_session_counts_in_what_is_known() {
    script()
        // The client that has SET something keeps a server connection.
        .pools(&[2, 3])
        .ask(B, prepare("s1", DAY), 1)
        .ask(B, run("s1"), 1)
        .ask(B, run("s1"), 1)
        .query(A, "SET DateStyle = 'ISO, DMY'")
        .ask(A, prepare("s1", DAY), 1)
        .ask(A, run("s1"), 1)
        .ask(B, run("s1"), 1)
        .run();
}

#[test]
fn a_setting_changed_in_the_transaction_counts_in_what_is_known() {
    script()
        .ask(B, prepare("s1", DAY), 1)
        .ask(B, run("s1"), 1)
        .ask(B, run("s1"), 1)
        .query(A, "BEGIN")
        .query(A, "SET LOCAL DateStyle = 'ISO, DMY'")
        .ask(A, prepare("s1", DAY), 1)
        .ask(A, run("s1"), 1)
        .query(A, "COMMIT")
        .pools(&[2, 3])
        .run();
}

#[test]
fn a_setting_of_one_transaction_is_nobody_elses() {
    script()
        .query(A, "BEGIN")
        .query(A, "SET LOCAL DateStyle = 'ISO, DMY'")
        .ask(A, prepare("s1", DAY), 1)
        .ask(A, run("s1"), 1)
        .query(A, "COMMIT")
        .ask(B, prepare("s1", DAY), 1)
        .ask(B, run("s1"), 1)
        .ask(B, run("s1"), 1)
        .pools(&[2, 3])
        .run();
}

#[test]
fn a_setting_local_to_one_batch_is_nobody_elses() {
    let batch = [
        unnamed("BEGIN"),
        unnamed("SET LOCAL DateStyle = 'ISO, DMY'"),
        parse("s1", DAY),
        go("s1"),
        unnamed("COMMIT"),
        sync(),
    ]
    .concat();
    script()
        .ask(A, batch, 1)
        .ask(B, prepare("s1", DAY), 1)
        .ask(B, run("s1"), 1)
        .ask(B, run("s1"), 1)
        .pools(&[2, 3])
        .run();
}

#[test]
fn the_meaning_at_parse_is_kept_after_a_setting_has_changed() {
    script()
        .pools(&[2, 3])
        .ask(A, prepare("s1", DAY), 1)
        .ask(A, run("s1"), 1)
        .query(A, "SET DateStyle = 'ISO, DMY'")
        .ask(A, run("s1"), 1)
        .query(B, "SELECT 'other'")
        .ask(A, run("s1"), 1)
        .run();
}

#[test]
fn the_meaning_at_parse_is_kept_in_a_transaction_with_other_settings() {
    let mut case = script();
    // Of two server connections, one or the other may have it already.
    for name in ["s1", "s2", "s3", "s4"] {
        let text = format!("{DAY} AS {name}");
        case = case
            .ask(A, prepare(name, &text), 1)
            .query(A, "BEGIN")
            .query(A, "SET LOCAL DateStyle = 'ISO, DMY'")
            .ask(A, run(name), 1)
            .query(A, "COMMIT")
            .ask(A, run(name), 1);
    }
    case.run();
}

#[test]
fn the_unnamed_statement_keeps_the_meaning_at_parse() {
    let set = [
        parse("set", "SET LOCAL DateStyle = 'ISO, DMY'"),
        parse("begin", "BEGIN"),
        parse("commit", "COMMIT"),
        parse("", DAY),
        sync(),
    ]
    .concat();
    script()
        .ask(A, set, 1)
        .ask(A, run("begin"), 1)
        .ask(A, run("set"), 1)
        .ask(A, run(""), 1)
        .ask(A, run("commit"), 1)
        .ask(A, run(""), 1)
        .ask(B, query("SHOW datestyle"), 1)
        .run();
}
