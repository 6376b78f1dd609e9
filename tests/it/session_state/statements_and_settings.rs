//! Prepared statements beside settings: a text means what the settings said
//! when it was parsed, and runs with those of now. (What differs by startup
//! parameters or within a transaction stands in `statements/environment.rs`.)

use super::{following, prepare, run, run_with};
use crate::support::differential::{A, B, C, Script, script};
use crate::support::frames::{
    bind, close, describe, execute, extended, parse, query, sync, unnamed,
};

/// 2 January where months stand first, 1 February where days do.
const DAY: &str = "SELECT extract(month FROM '01/02/2026'::date)";

/// Two clients with settings of their own prepare one text.
fn shared_text(of_a: &str, of_b: &str, text: &str) -> Script {
    following()
        .query(A, of_a)
        .query(B, of_b)
        .ask(A, prepare("s1", text), 1)
        .ask(B, prepare("s1", text), 1)
        .ask(A, run("s1"), 1)
        .ask(B, run("s1"), 1)
        .ask(C, prepare("s1", text), 1)
        .ask(C, run("s1"), 1)
        .ask(B, [describe(b'S', "s1"), sync()].concat(), 1)
        .ask(A, extended(text), 1)
        .ask(B, extended(text), 1)
        .ask(A, run("s1"), 1)
        .ask(C, run("s1"), 1)
        .ask(B, run("s1"), 1)
}

#[test]
fn date_styles_that_were_set_keep_a_shared_text_apart() {
    shared_text(
        "SET datestyle = 'ISO, MDY'",
        "SET datestyle = 'ISO, DMY'",
        DAY,
    )
    .run();
    shared_text(
        "SET work_mem = '9MB'",
        "SELECT set_config('datestyle', 'SQL, DMY', false)",
        DAY,
    )
    .run();
}

#[test]
fn time_zones_that_were_set_keep_a_shared_text_apart() {
    shared_text(
        "SET TIME ZONE 'UTC'",
        "SET TIME ZONE 'Asia/Tokyo'",
        "SELECT extract(epoch FROM '2026-01-01 00:00'::timestamptz)",
    )
    .run();
}

#[test]
fn ways_to_read_backslashes_that_were_set_keep_a_shared_text_apart() {
    shared_text(
        "SET escape_string_warning = off",
        "SET escape_string_warning = off; SET standard_conforming_strings = off",
        "SELECT length('a\\n')",
    )
    .run();
}

#[test]
fn search_paths_that_were_set_keep_a_shared_text_apart() {
    shared_text(
        "SET search_path = sa",
        "SET search_path = sb",
        "SELECT * FROM t",
    )
    .setup("CREATE SCHEMA sa; CREATE TABLE sa.t AS SELECT 1 AS of_a")
    .setup("CREATE SCHEMA sb; CREATE TABLE sb.t AS SELECT 'x' AS of_b, 2 AS two")
    .setup("CREATE TABLE t AS SELECT 'nobodys' AS x")
    .run();
}

#[test]
fn other_settings_that_a_text_depends_on_keep_it_apart() {
    for (of_a, of_b, text) in [
        (
            "SELECT 1",
            "SET IntervalStyle = 'sql_standard'",
            "SELECT extract(hour FROM '-1 2:00'::interval)",
        ),
        (
            "SET lc_monetary = 'C'",
            "SET array_nulls = off",
            "SELECT '{NULL}'::text[] IS NULL, array_length('{NULL}'::text[], 1), ('{NULL}'::text[])[1] IS NULL",
        ),
        (
            "SET transform_null_equals = on",
            "SET transform_null_equals = off",
            "SELECT count(*) FROM (VALUES (NULL::int), (1)) v (x) WHERE x = NULL",
        ),
        (
            "SET xmloption = document",
            "SET xmloption = content",
            "SELECT length('a b'), current_setting('xmloption')",
        ),
        (
            "SET timezone_abbreviations = 'Default'",
            "SET timezone_abbreviations = 'India'",
            "SELECT extract(epoch FROM '2026-01-01 00:00 IST'::timestamptz)",
        ),
        (
            "SET default_text_search_config = 'english'",
            "SET default_text_search_config = 'simple'",
            "SELECT to_tsvector('the cats')",
        ),
        (
            "SET extra_float_digits = 0",
            "SET extra_float_digits = -9",
            "SELECT 0.1234567890123::float8",
        ),
        (
            "SET bytea_output = 'escape'",
            "SET bytea_output = 'hex'",
            "SELECT 'a'::bytea",
        ),
        (
            "SET client_encoding = 'LATIN1'",
            "SET client_encoding = 'UTF8'",
            "SELECT '\u{e4}', length('\u{e4}')",
        ),
        (
            "SET ROLE guest",
            "SET ROLE none",
            "SELECT current_user, has_table_privilege('pg_authid', 'SELECT')",
        ),
    ] {
        shared_text(of_a, of_b, text).run();
    }
}

#[test]
fn the_meaning_at_parse_is_kept_when_a_setting_changes() {
    following()
        .ask(A, prepare("s1", DAY), 1)
        .ask(A, run("s1"), 1)
        .query(A, "SET datestyle = 'ISO, DMY'")
        .ask(A, run("s1"), 1)
        .ask(A, prepare("s2", DAY), 1)
        .ask(A, run("s2"), 1)
        .query(A, "RESET datestyle")
        .ask(A, run("s1"), 1)
        .ask(A, run("s2"), 1)
        .query(A, "EXECUTE s1")
        .query(A, "EXECUTE s2")
        .query(A, "SET datestyle = 'ISO, DMY'")
        .ask(B, prepare("s1", DAY), 1)
        .ask(B, run("s1"), 1)
        .ask(A, run("s1"), 1)
        .ask(A, run("s2"), 1)
        .query(A, "RESET ALL")
        .ask(A, run("s2"), 1)
        .ask(A, [close(b'S', "s2"), parse("s2", DAY), sync()].concat(), 1)
        .ask(A, run("s2"), 1)
        .run();
}

#[test]
fn the_meaning_at_parse_is_kept_for_seconds() {
    following()
        .undisturbed()
        .query(A, "SET datestyle = 'ISO, DMY'")
        .ask(A, prepare("s1", DAY), 1)
        .query(A, "RESET datestyle")
        .query(B, "SELECT pg_sleep(1.2)")
        .ask(A, run("s1"), 1)
        .query(B, "SELECT 'other'")
        .ask(A, run("s1"), 1)
        .query(B, "SELECT pg_sleep(1.2)")
        .ask(A, run("s1"), 1)
        .query(B, "SET datestyle = 'SQL, DMY'")
        .ask(B, prepare("s1", DAY), 1)
        .query(A, "SET ROLE guest")
        .query(B, "SELECT pg_sleep(1.2)")
        .ask(A, run("s1"), 1)
        .ask(B, run("s1"), 1)
        .run();
}

/// PostgreSQL analyses all statements of a session anew when that gets its schema
/// for temporary objects.
#[test]
fn the_meaning_at_parse_is_kept_when_another_client_makes_the_first_temporary_table() {
    for make in [
        "CREATE TEMP TABLE mine (x int); DROP TABLE mine",
        "BEGIN; CREATE TEMP TABLE mine (x int) ON COMMIT DROP; COMMIT",
        "DO $$ BEGIN EXECUTE 'CREATE TE' || 'MP TABLE mine (x int) ON COMMIT DROP'; END $$",
    ] {
        script()
            .query(A, "SET datestyle = 'ISO, DMY'")
            .ask(A, prepare("s1", DAY), 1)
            .query(A, "RESET datestyle")
            .query(B, "BEGIN; CREATE TEMP TABLE mine (x int); ROLLBACK")
            .query(B, make)
            .ask(A, run("s1"), 1)
            .query(B, make)
            .ask(A, run("s1"), 1)
            .run();
    }
}

#[test]
fn the_meaning_at_parse_is_kept_when_the_way_to_read_backslashes_changes() {
    let text = "SELECT length('a\\n')";
    following()
        .query(A, "SET escape_string_warning = off")
        .ask(A, prepare("s1", text), 1)
        .query(A, "SET standard_conforming_strings = off")
        .ask(A, run("s1"), 1)
        .ask(A, prepare("s2", text), 1)
        .ask(A, run("s2"), 1)
        .query(A, "SET standard_conforming_strings = on")
        .ask(A, run("s1"), 1)
        .ask(A, run("s2"), 1)
        .run();
}

#[test]
fn a_statement_parsed_between_two_settings_in_one_write() {
    let write = [
        query("SET datestyle = 'ISO, DMY'"),
        prepare("s1", DAY),
        query("SET datestyle = 'ISO, MDY'"),
        prepare("s2", DAY),
        query("SET datestyle = 'SQL, DMY'"),
        run("s1"),
        run("s2"),
    ]
    .concat();
    let batch = [
        unnamed("SET datestyle = 'ISO, DMY'"),
        parse("s3", DAY),
        unnamed("SET datestyle = 'ISO, MDY'"),
        parse("s4", DAY),
        bind("", "s3", &[]),
        execute("", 0),
        bind("", "s4", &[]),
        execute("", 0),
        sync(),
    ]
    .concat();
    following()
        .ask(A, write, 7)
        .ask(A, run("s1"), 1)
        .ask(A, run("s2"), 1)
        .ask(A, batch, 1)
        .ask(A, run("s3"), 1)
        .ask(A, run("s4"), 1)
        .ask(B, prepare("s1", DAY), 1)
        .ask(B, run("s1"), 1)
        .run();
}

#[test]
fn a_batch_that_fails_takes_its_setting_back_and_keeps_its_statement() {
    let batch = [
        unnamed("SET datestyle = 'ISO, DMY'"),
        parse("s1", DAY),
        unnamed("SELECT 1/0"),
        parse("s2", DAY),
        sync(),
    ]
    .concat();
    following()
        .ask(A, batch, 1)
        .query(A, "SHOW datestyle")
        .ask(A, run("s1"), 1)
        .ask(A, run("s2"), 1)
        .query(A, "BEGIN; SET datestyle = 'ISO, DMY'")
        .ask(A, prepare("s3", DAY), 1)
        .query(A, "ROLLBACK")
        .ask(A, run("s3"), 1)
        .query(A, "SHOW datestyle")
        .query(B, "SHOW datestyle")
        .run();
}

#[test]
fn a_search_path_is_looked_at_anew_when_a_statement_runs() {
    following()
        .setup("CREATE SCHEMA sa; CREATE TABLE sa.t AS SELECT 'of sa' AS x")
        .setup("CREATE SCHEMA sb; CREATE TABLE sb.t AS SELECT 'of sb' AS x")
        .setup("CREATE SCHEMA sc; CREATE TABLE sc.t AS SELECT 1 AS x, 2 AS y")
        .query(A, "SET search_path = sa")
        .ask(A, prepare("s1", "SELECT * FROM t"), 1)
        .ask(A, run("s1"), 1)
        .query(A, "SET search_path = sb")
        .ask(A, run("s1"), 1)
        .query(B, "SET search_path = sa")
        .ask(B, prepare("s1", "SELECT * FROM t"), 1)
        .ask(B, run("s1"), 1)
        .ask(A, run("s1"), 1)
        .query(A, "SET search_path = sc")
        .ask(A, run("s1"), 1)
        .query(A, "RESET search_path")
        .ask(A, run("s1"), 1)
        .query(A, "SET search_path = sa")
        .ask(A, run("s1"), 1)
        .ask(B, run("s1"), 1)
        .run();
}

#[test]
fn prepared_settings_are_settings() {
    following()
        .ask(A, prepare("set", "SET work_mem = '9MB'"), 1)
        .ask(A, prepare("show", "SHOW work_mem"), 1)
        .ask(
            A,
            prepare("config", "SELECT set_config('work_mem', $1, false)"),
            1,
        )
        .ask(A, prepare("reset", "RESET ALL"), 1)
        .ask(A, run("show"), 1)
        .ask(A, run("set"), 1)
        .ask(A, run("show"), 1)
        .ask(B, extended("SHOW work_mem"), 1)
        .ask(A, run_with("config", &["10MB"]), 1)
        .ask(A, run("show"), 1)
        .ask(A, run("reset"), 1)
        .ask(A, run("show"), 1)
        .query(A, "EXECUTE set")
        .ask(A, run("show"), 1)
        .query(A, "EXECUTE config ('11MB')")
        .ask(A, run("show"), 1)
        .ask(
            A,
            [run("set"), run("show"), run("reset"), run("show")].concat(),
            4,
        )
        .query(B, "SHOW work_mem")
        .run();
}

#[test]
fn the_unnamed_statement_keeps_its_meaning_when_a_setting_changes() {
    following()
        .ask(A, prepare("set", "SET datestyle = 'ISO, DMY'"), 1)
        .ask(A, prepare("", DAY), 1)
        .ask(A, run("set"), 1)
        .ask(A, run(""), 1)
        .ask(A, prepare("", DAY), 1)
        .ask(B, extended("SELECT 'of b'"), 1)
        .ask(A, run(""), 1)
        .query(A, "SHOW datestyle")
        .ask(A, run(""), 1)
        .run();
}

#[test]
fn statements_hold_through_reset_all_and_not_through_discard_all() {
    following()
        .query(A, "SET datestyle = 'ISO, DMY'; SET ROLE guest")
        .ask(A, prepare("s1", DAY), 1)
        .query(A, "RESET ALL; RESET ROLE")
        .ask(A, run("s1"), 1)
        .ask(B, prepare("s1", "SELECT 'of b'"), 1)
        .query(A, "DISCARD ALL")
        .ask(A, run("s1"), 1)
        .ask(A, prepare("s1", DAY), 1)
        .ask(A, run("s1"), 1)
        .ask(B, run("s1"), 1)
        .run();
}

#[test]
fn a_statement_under_row_level_security_is_planned_for_who_runs_it() {
    let text = "SELECT x FROM t ORDER BY x";
    following()
        .custom(&["app.tenant"])
        .setup("CREATE TABLE t (tenant text, x int); INSERT INTO t VALUES ('1', 10), ('2', 20)")
        .setup("ALTER TABLE t ENABLE ROW LEVEL SECURITY; GRANT ALL ON t TO guest")
        .setup("CREATE POLICY p ON t USING (tenant = current_setting('app.tenant', true))")
        .ask(A, prepare("s1", text), 1)
        .ask(A, run("s1"), 1)
        .query(A, "SET ROLE guest; SET app.tenant = '1'")
        .ask(A, run("s1"), 1)
        .query(A, "SET app.tenant = '2'")
        .ask(A, run("s1"), 1)
        .query(B, "SET ROLE guest; SET app.tenant = '1'")
        .ask(B, prepare("s1", text), 1)
        .ask(B, run("s1"), 1)
        .ask(A, run("s1"), 1)
        .query(A, "RESET ROLE")
        .ask(A, run("s1"), 1)
        .ask(B, run("s1"), 1)
        .run();
}

#[test]
fn equal_settings_share_what_they_prepare() {
    let mut case = following();
    for who in [A, B, C] {
        case = case
            .query(
                who,
                "SET datestyle = 'ISO, DMY'; SET search_path = pg_catalog; SET work_mem = '9MB'",
            )
            .ask(who, prepare("s1", DAY), 1)
            .ask(who, run("s1"), 1);
    }
    for who in [C, A, B, A] {
        case = case.ask(who, run("s1"), 1).query(who, "SHOW datestyle");
    }
    case.query(B, "RESET datestyle")
        .ask(B, run("s1"), 1)
        .ask(B, [close(b'S', "s1"), parse("s1", DAY), sync()].concat(), 1)
        .ask(B, run("s1"), 1)
        .ask(A, run("s1"), 1)
        .run();
}

/// The way back to the client's settings ends with who it is, who may not set all
/// of them.
#[test]
fn a_statement_of_before_is_prepared_for_who_may_set_less_now() {
    following()
        .query(A, "SET session_replication_role = replica")
        .ask(A, prepare("s1", "SELECT current_setting('work_mem')"), 1)
        .query(A, "SET ROLE guest")
        .query(
            B,
            "SELECT pg_try_advisory_lock(1, 2); SELECT pg_advisory_unlock_all()",
        )
        .ask(A, prepare("s1", "BEGIN"), 1)
        .ask(A, run("s1"), 1)
        .query(A, "SHOW session_replication_role; SELECT current_user")
        .run();
}
