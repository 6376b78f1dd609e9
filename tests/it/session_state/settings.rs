//! SET, set_config and RESET: what a client has set holds in its later
//! transactions, wherever they run, and for nobody else.

use super::{following, keeping, prepare, run, run_with};
use crate::support::differential::{A, B, C};
use crate::support::frames::{extended, query, sync, unnamed};

#[test]
fn a_setting_holds_in_later_transactions() {
    following()
        .query(A, "SET work_mem = '9MB'")
        .query(A, "SHOW work_mem")
        .query(B, "SHOW work_mem")
        .query(A, "SELECT current_setting('work_mem')")
        .query(A, "SET SESSION work_mem TO '11MB'")
        .query(C, "SHOW work_mem")
        .query(A, "SHOW work_mem")
        .query(
            A,
            "SELECT setting, unit, source, reset_val FROM pg_settings WHERE name = 'work_mem'",
        )
        .run();
}

#[test]
fn three_clients_have_three_values() {
    following()
        .query(A, "SET work_mem = '1MB'")
        .query(B, "SET work_mem = '2MB'")
        .query(C, "SET statement_timeout = '3s'")
        .query(A, "SHOW work_mem; SHOW statement_timeout")
        .query(B, "SHOW work_mem; SHOW statement_timeout")
        .query(C, "SHOW work_mem; SHOW statement_timeout")
        .query(B, "RESET work_mem")
        .query(C, "SET work_mem = '4MB'")
        .query(A, "SHOW work_mem; SHOW statement_timeout")
        .query(B, "SHOW work_mem; SHOW statement_timeout")
        .query(C, "SHOW work_mem; SHOW statement_timeout")
        .leave(C)
        .connect(C, &[])
        .query(C, "SHOW work_mem; SHOW statement_timeout")
        .query(A, "SHOW work_mem")
        .run();
}

#[test]
fn a_transaction_sees_the_settings_from_its_first_statement_on() {
    following()
        .query(A, "SET default_transaction_isolation = 'serializable'")
        .query(A, "BEGIN; SHOW transaction_isolation; COMMIT")
        .query(B, "BEGIN; SHOW transaction_isolation; COMMIT")
        .query(A, "BEGIN")
        .query(A, "SHOW transaction_isolation")
        .query(A, "SET work_mem = '9MB'")
        .query(A, "COMMIT")
        .ask(A, extended("BEGIN"), 1)
        .ask(A, extended("SHOW transaction_isolation"), 1)
        .ask(A, extended("SHOW work_mem"), 1)
        .ask(A, extended("COMMIT"), 1)
        .run();
}

#[test]
fn a_search_path_says_which_table_is_meant() {
    following()
        .setup("CREATE SCHEMA sa; CREATE TABLE sa.t AS SELECT 'of sa' AS x")
        .setup("CREATE SCHEMA sb; CREATE TABLE sb.t AS SELECT 'of sb' AS x")
        .query(A, "SET search_path = sa, pg_catalog")
        .query(B, "SET search_path = sb, nowhere")
        .query(A, "SELECT x FROM t")
        .query(B, "SELECT x FROM t")
        .query(C, "SELECT x FROM t")
        .query(A, "INSERT INTO t VALUES ('more')")
        .query(B, "INSERT INTO t VALUES ('other')")
        .query(A, "SHOW search_path; SELECT x FROM t ORDER BY x")
        .query(B, "SHOW search_path; SELECT x FROM t ORDER BY x")
        .query(A, "RESET search_path")
        .query(A, "SELECT x FROM t")
        .query(B, "SELECT x FROM t ORDER BY x")
        .run();
}

#[test]
fn search_paths_with_odd_names_are_kept_letter_by_letter() {
    let mut case = following();
    for path in [
        r#""$user", public"#,
        r#""we ird", "a,b", pg_catalog"#,
        r#""Up""quoted", '$user', 'single ''quoted'''"#,
        "''",
        r#""back\slash", "'""#,
        "DEFAULT",
        "pg_temp, public",
        r#""схема""#,
    ] {
        case = case
            .query(A, &format!("SET search_path = {path}"))
            .query(A, "SHOW search_path")
            .query(B, "SHOW search_path")
            .query(A, "SELECT current_setting('search_path')");
    }
    case.run();
}

#[test]
fn set_config_for_the_session_is_kept() {
    following()
        .query(A, "SELECT set_config('work_mem', '9MB', false)")
        .query(A, "SHOW work_mem")
        .query(B, "SHOW work_mem")
        .query(A, "SELECT pg_catalog.set_config('work_mem', NULL, false)")
        .query(A, "SHOW work_mem")
        .query(A, "SELECT set_config(name, '13MB', local) FROM (VALUES ('work_mem', false)) v (name, local)")
        .query(A, "SHOW work_mem")
        .run();
}

#[test]
fn set_config_with_bound_values_is_kept() {
    let set = "SELECT set_config($1, $2, $3::bool)";
    following()
        .custom(&["app.tenant"])
        .ask(A, prepare("s1", set), 1)
        .ask(A, run_with("s1", &["app.tenant", "42", "f"]), 1)
        .query(A, "SELECT current_setting('app.tenant')")
        .query(B, "SELECT nullif(current_setting('app.tenant', true), '')")
        .ask(A, run_with("s1", &["app.tenant", "43", "t"]), 1)
        .query(A, "SELECT current_setting('app.tenant')")
        .ask(A, run_with("s1", &["work_mem", "9MB", "false"]), 1)
        .query(
            A,
            "SELECT current_setting('app.tenant'), current_setting('work_mem')",
        )
        .ask(B, prepare("s1", set), 1)
        .ask(B, run_with("s1", &["app.tenant", "of b", "f"]), 1)
        .query(A, "SELECT current_setting('app.tenant')")
        .query(B, "SELECT current_setting('app.tenant')")
        .run();
}

#[test]
fn set_config_in_the_midst_of_rows_is_kept() {
    following()
        .setup("CREATE TABLE t AS SELECT n FROM generate_series(1, 5) n")
        .query(A, "SELECT set_config('work_mem', (n + 7) || 'MB', false) FROM t ORDER BY n")
        .query(A, "SHOW work_mem")
        .query(B, "SHOW work_mem")
        .query(A, "UPDATE t SET n = n + 1 WHERE set_config('work_mem', '20MB', false) = '20MB'")
        .query(A, "SHOW work_mem")
        .query(A, "WITH w AS (SELECT set_config('work_mem', '21MB', false) AS x) INSERT INTO t SELECT length(x) FROM w")
        .query(A, "SHOW work_mem")
        .query(A, "COPY (SELECT set_config('work_mem', '22MB', false)) TO STDOUT")
        .query(A, "SHOW work_mem")
        .run();
}

#[test]
fn settings_made_in_do_blocks_are_kept() {
    following()
        .custom(&["app.tenant"])
        .query(
            A,
            "DO $$ BEGIN PERFORM set_config('app.tenant', '7', false); END $$",
        )
        .query(A, "SELECT current_setting('app.tenant')")
        .query(B, "SELECT nullif(current_setting('app.tenant', true), '')")
        .query(
            A,
            "DO $$ BEGIN SET work_mem = '9MB'; SET LOCAL statement_timeout = '9s'; END $$",
        )
        .query(A, "SHOW work_mem; SHOW statement_timeout")
        .query(
            A,
            "DO $$ BEGIN EXECUTE 'SE' || 'T work_mem = ''10MB'''; END $$",
        )
        .query(A, "SHOW work_mem")
        .ask(
            A,
            extended("DO $$ BEGIN EXECUTE 'RESET ' || 'work_mem'; END $$"),
            1,
        )
        .query(A, "SHOW work_mem; SELECT current_setting('app.tenant')")
        .run();
}

#[test]
fn a_do_block_that_sets_what_others_have_set_keeps_its_own() {
    following()
        .query(A, "SET work_mem = '5MB'")
        .query(B, "SET work_mem = '6MB'")
        .query(A, "DO $$ BEGIN EXECUTE format('SET work_mem = %L', (current_setting('work_mem')::text)); END $$")
        .query(A, "SHOW work_mem")
        .query(B, "SHOW work_mem")
        .query(C, "SHOW work_mem")
        .run();
}

#[test]
fn several_settings_in_one_query_are_all_kept() {
    following()
        .query(
            A,
            "SET work_mem = '9MB'; SET statement_timeout = '9s'; SELECT 1",
        )
        .query(A, "SHOW work_mem")
        .query(A, "SHOW statement_timeout")
        .query(B, "SHOW work_mem; SHOW statement_timeout")
        .query(
            A,
            "SELECT 1; SET lock_timeout = '8s'; SHOW lock_timeout;; RESET work_mem;",
        )
        .query(
            A,
            "SHOW work_mem; SHOW statement_timeout; SHOW lock_timeout",
        )
        .run();
}

#[test]
fn what_one_reset_leaves_is_nobody_elses() {
    following()
        .query(
            A,
            "SET work_mem = '9MB'; SET statement_timeout = '9s'; RESET work_mem",
        )
        .query(B, "SHOW work_mem; SHOW statement_timeout")
        .query(A, "SHOW work_mem; SHOW statement_timeout")
        .query(C, "SHOW work_mem; SHOW statement_timeout")
        .leave(A)
        .query(B, "SHOW work_mem; SHOW statement_timeout")
        .run();
}

#[test]
fn reset_and_set_to_default_go_back() {
    following()
        .query(A, "SET work_mem = '9MB'")
        .query(A, "RESET work_mem")
        .query(A, "SHOW work_mem")
        .query(A, "SET work_mem = '9MB'")
        .query(A, "SET work_mem TO DEFAULT")
        .query(A, "SHOW work_mem")
        .query(A, "SET work_mem = '9MB'; SET lock_timeout = '9s'")
        .query(B, "RESET ALL")
        .query(A, "SHOW work_mem; SHOW lock_timeout")
        .query(A, "RESET ALL")
        .query(A, "SHOW work_mem; SHOW lock_timeout")
        .query(
            A,
            "SELECT source FROM pg_settings WHERE name IN ('work_mem', 'lock_timeout')",
        )
        .run();
}

#[test]
fn discard_all_forgets_every_setting() {
    following()
        .custom(&["app.tenant"])
        .query(
            A,
            "SET work_mem = '9MB'; SET app.tenant = '7'; SET ROLE guest",
        )
        .query(A, "DISCARD ALL")
        .query(A, "SHOW work_mem")
        .query(
            A,
            "SELECT nullif(current_setting('app.tenant', true), ''), current_user",
        )
        .query(B, "SHOW work_mem")
        .query(A, "SET work_mem = '9MB'")
        .query(B, "DISCARD ALL")
        .query(A, "SHOW work_mem")
        .query(A, "BEGIN")
        .query(A, "DISCARD ALL")
        .query(A, "ROLLBACK")
        .query(A, "SHOW work_mem")
        .query(A, "SELECT 1; DISCARD ALL")
        .query(A, "SHOW work_mem")
        .ask(A, extended("DISCARD ALL"), 1)
        .query(A, "SHOW work_mem")
        .run();
}

#[test]
fn comments_blanks_and_letters_of_either_case_hide_no_setting() {
    let mut case = following();
    for (number, set) in [
        "/* app:1 */ SET work_mem = '{}MB'",
        "-- a comment\nSET work_mem = '{}MB'",
        "/* a /* nested */ one */ sEt\t/* here */ Work_Mem /* there */ tO '{}MB' -- end",
        "  \n;;SET \"work_mem\" = '{}MB';",
        "SET\nSESSION\n\"work_mem\"\nTO\n'{}MB'",
        "SET work_mem = E'{}\\115B'",
        "SET work_mem = U&'{}M\\0042'",
        "SELECT $a$;$a$; SET work_mem = '{}MB'",
        "SELECT \"pg_catalog\".\"set_config\"('WORK_MEM', '{}MB', false)",
        "SELECT U&\"set\\005fconfig\"('work_mem', '{}MB', 'f')",
    ]
    .iter()
    .enumerate()
    {
        case = case
            .query(A, &set.replace("{}", &(number + 5).to_string()))
            .query(A, "-- x\nSHOW work_mem")
            .query(B, "SHOW work_mem");
    }
    case.run();
}

#[test]
fn a_set_of_the_extended_protocol_is_kept() {
    let batch = [
        unnamed("SET work_mem = '10MB'"),
        unnamed("SHOW work_mem"),
        unnamed("SET lock_timeout = '9s'"),
        sync(),
    ]
    .concat();
    following()
        .ask(A, extended("SET work_mem = '9MB'"), 1)
        .ask(A, extended("SHOW work_mem"), 1)
        .ask(B, extended("SHOW work_mem"), 1)
        .ask(A, batch, 1)
        .ask(A, extended("SHOW work_mem"), 1)
        .query(A, "SHOW lock_timeout")
        .ask(A, [prepare("s1", "RESET work_mem"), run("s1")].concat(), 2)
        .query(A, "SHOW work_mem; SHOW lock_timeout")
        .run();
}

#[test]
fn queries_sent_ahead_meet_the_setting_before_them() {
    let ahead = [
        query("SET work_mem = '9MB'"),
        query("SHOW work_mem"),
        query("SET work_mem = '10MB'"),
        query("SHOW work_mem"),
    ]
    .concat();
    let mixed = [
        extended("SHOW work_mem"),
        query("SET work_mem = '11MB'"),
        extended("SHOW work_mem"),
        extended("SELECT set_config('work_mem', '12MB', false)"),
        query("SHOW work_mem"),
        query("RESET work_mem"),
        extended("SHOW work_mem"),
        query("SET work_mem = '13MB'"),
    ]
    .concat();
    following()
        .ask(A, ahead, 4)
        .query(A, "SHOW work_mem")
        .query(B, "SHOW work_mem")
        .ask(A, mixed, 8)
        .query(A, "SHOW work_mem")
        .query(B, "SHOW work_mem")
        .run();
}

#[test]
fn a_refused_setting_is_an_error_at_once_and_changes_nothing() {
    let mut case = following().query(A, "SET work_mem = '9MB'");
    for set in [
        "SET work_mem = 'banana'",
        "SET work_mem = '1kB'",
        "SET nosuch_setting = 1",
        "SET server_version = '1'",
        "SET shared_buffers = '1GB'",
        "SET search_path",
        "SET app. = 1",
        "RESET nosuch_setting",
        "SELECT set_config('work_mem', 'banana', false)",
        "SET TIME ZONE 'Nowhere/Never'",
        "SET transaction_isolation = 'serializable'",
        "SET SESSION nosuch.setting.of.parts TO 'x'; SELECT 1/0",
    ] {
        case = case
            .query(A, set)
            .ask(A, extended(set), 1)
            .query(A, "SHOW work_mem");
    }
    case.query(B, "SHOW work_mem").run();
}

#[test]
fn values_of_every_shape_are_kept() {
    let mut case = following().custom(&["app.text"]);
    for value in [
        "''",
        "' blanks  around '",
        "'it''s'",
        "E'back\\\\slash \\n new\\tline'",
        "'$1 %s {} \"quoted\"'",
        "'; DROP TABLE t; --'",
        "'при\u{1F418}вет'",
        "E'\\x01\\x7f'",
        "plain",
        "\"Mixed Case\"",
        "12",
        "-1.5e3",
        "on",
    ] {
        case = case
            .query(A, &format!("SET app.text = {value}"))
            .query(
                A,
                "SELECT current_setting('app.text'), length(current_setting('app.text'))",
            )
            .query(B, "SELECT nullif(current_setting('app.text', true), '')");
    }
    case.query(
        A,
        "SELECT set_config('app.text', repeat('long ', 20000), false) IS NULL",
    )
    .query(A, "SELECT md5(current_setting('app.text'))")
    .query(A, "SHOW app.text")
    .run();
}

#[test]
fn units_and_numbers_are_shown_as_postgresql_shows_them() {
    let mut case = following();
    for set in [
        "SET work_mem = 9216",
        "SET work_mem TO '0.01GB'",
        "SET work_mem TO '65536 kB'",
        "SET statement_timeout = '1.5min'",
        "SET cursor_tuple_fraction = 0.123456789",
        "SET cursor_tuple_fraction = 1e-7",
        "SET seq_page_cost = '0.1'",
        "SET random_page_cost = 100000.25",
        "SET enable_seqscan = 'of'",
        "SET enable_hashjoin TO 0",
        "SET geqo = tr",
        "SET client_min_messages = WARNING",
        "SET bytea_output = ESCAPE",
        "SET jit_above_cost = -1",
        "SET backslash_quote = 'Safe_Encoding'",
    ] {
        let name = set.split(' ').nth(1).unwrap();
        case = case
            .query(A, set)
            .query(A, &format!("SHOW {name}"))
            .query(B, &format!("SHOW {name}"))
            .query(
                A,
                &format!("SELECT setting FROM pg_settings WHERE name = '{name}'"),
            );
    }
    case.run();
}

#[test]
fn a_number_counts_with_all_its_digits() {
    // It is shown with six of them, but costs are counted with all.
    let plan = "EXPLAIN SELECT * FROM t";
    following()
        .setup("CREATE TABLE t AS SELECT n FROM generate_series(1, 100000) n")
        .setup("ANALYZE t")
        .query(A, "SET cpu_tuple_cost = 0.0123456789")
        .query(A, plan)
        .query(B, plan)
        .query(A, plan)
        .query(A, "SET cpu_tuple_cost = 0.012346")
        .query(A, plan)
        .query(
            A,
            "SELECT set_config('cpu_tuple_cost', '0.01234567', false)",
        )
        .query(A, plan)
        .query(A, "DO $$ BEGIN SET cpu_tuple_cost = 0.012345678; END $$")
        .query(A, plan)
        .run();
}

#[test]
fn styles_of_dates_and_intervals_are_kept_and_reported() {
    let look = "SELECT '01/02/2026'::date, interval '1 day 2 hours'";
    following()
        .query(A, "SET datestyle = 'German'")
        .query(A, "SET intervalstyle = 'iso_8601'")
        .query(A, look)
        .query(B, look)
        .query(
            A,
            "SET DateStyle = 'ISO, DMY'; SET IntervalStyle = 'sql_standard'; SET datestyle = 'SQL'",
        )
        .query(A, "SHOW datestyle")
        .query(A, "SHOW intervalstyle")
        .query(A, look)
        .query(A, "RESET DateStyle")
        .query(A, look)
        .query(B, look)
        .run();
}

#[test]
fn a_style_given_in_parts_builds_on_what_was_there() {
    following()
        .query(A, "SET datestyle = 'German'")
        .query(A, "SET datestyle = 'MDY'")
        .query(A, "SHOW datestyle")
        .query(B, "SET datestyle = 'YMD'")
        .query(A, "SET datestyle = 'Postgres'")
        .query(A, "SHOW datestyle")
        .query(B, "SHOW datestyle")
        .run();
}

#[test]
fn time_zones_are_kept_and_reported() {
    let look = "SELECT '2026-07-01 00:00+00'::timestamptz, current_setting('TimeZone')";
    let mut case = following();
    for zone in [
        "SET TIME ZONE 'Asia/Tokyo'",
        "SET TIME ZONE INTERVAL '+02:30' HOUR TO MINUTE",
        "SET TIME ZONE -7",
        "SET timezone TO 'pst8pdt'",
        "SET TIME ZONE '<+0330>-03:30'",
        "SET TIME ZONE LOCAL",
        "SET timezone = 5.5",
        "SET TIME ZONE DEFAULT",
    ] {
        case = case.query(A, zone).query(A, look).query(B, look);
    }
    case.run();
}

#[test]
fn an_encoding_of_the_client_is_kept_and_reported() {
    let look = "SELECT chr(228), octet_length(chr(228)), length('\u{e4}')";
    following()
        .query(A, "SET client_encoding = 'LATIN1'")
        .query(A, look)
        .query(B, look)
        .query(A, "SET NAMES 'UTF8'")
        .query(A, look)
        .query(A, "SET CLIENT_ENCODING TO 'SQL_ASCII'")
        .query(B, "SET NAMES 'WIN1252'")
        .query(A, look)
        .query(B, look)
        .query(B, "SET NAMES DEFAULT")
        .query(B, look)
        .query(A, "SELECT chr(1024)")
        .query(B, "SET client_encoding = 'LATIN1'")
        .query(B, "SELECT chr(1024)")
        .query(B, look)
        .run();
}

#[test]
fn a_value_is_kept_in_the_letters_of_its_encoding() {
    let mut set = query("SET app.text = 'x'");
    let place = set.iter().position(|byte| *byte == b'x').unwrap();
    set[place] = 0xe4;
    // What cannot be told in its encoding keeps its client where it is.
    keeping(1)
        .custom(&["app.text"])
        .query(A, "SET client_encoding = 'LATIN1'")
        .ask(A, set, 1)
        .query(A, "SHOW app.text")
        .query(B, "SELECT 1")
        .query(A, "SELECT length(current_setting('app.text'))")
        .query(A, "SET client_encoding = 'UTF8'")
        .query(A, "SHOW app.text")
        .query(A, "SET app.text = 'Ж'")
        .query(A, "SET client_encoding = 'LATIN1'")
        .query(A, "SELECT length(current_setting('app.text'))")
        .query(A, "SHOW app.text")
        .query(A, "SELECT 'still served'")
        .run();
}

#[test]
fn characteristics_of_the_session_are_kept() {
    following()
        .query(
            A,
            "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE",
        )
        .query(A, "SHOW transaction_isolation")
        .query(B, "SHOW transaction_isolation")
        .query(
            A,
            "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY, DEFERRABLE",
        )
        .query(A, "SHOW default_transaction_read_only")
        .query(A, "CREATE TABLE refused (x int)")
        .query(B, "CREATE TABLE taken (x int)")
        .query(
            A,
            "BEGIN READ WRITE; CREATE TABLE taken_too (x int); COMMIT",
        )
        .query(A, "SHOW default_transaction_deferrable")
        .query(A, "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE")
        .query(A, "SHOW transaction_read_only")
        .query(A, "SHOW default_transaction_isolation")
        .run();
}

#[test]
fn a_statement_timeout_is_its_clients_own() {
    following()
        .query(A, "SET statement_timeout = '100ms'")
        .query(A, "SELECT pg_sleep(20)")
        .query(B, "SELECT pg_sleep(0.3)")
        .query(A, "SELECT pg_sleep(20)")
        .query(A, "SET statement_timeout = 0")
        .query(A, "SELECT pg_sleep(0.3)")
        .run();
}

#[test]
fn settings_that_are_written_elsewhere_than_by_set_are_kept() {
    following()
        .query(
            A,
            "UPDATE pg_settings SET setting = '9216' WHERE name = 'work_mem'",
        )
        .query(A, "SHOW work_mem")
        .query(B, "SHOW work_mem")
        .query(A, "SET XML OPTION DOCUMENT")
        .query(A, "SHOW xmloption")
        .query(B, "SHOW xmloption")
        .query(
            A,
            "SELECT set_config(name, '7', false) FROM pg_settings WHERE name LIKE 'extra_float%'",
        )
        .query(A, "SHOW extra_float_digits")
        .run();
}

#[test]
fn custom_settings_are_their_clients_own() {
    let look = "SELECT nullif(current_setting('app.tenant', true), ''), nullif(current_setting('app.\"User\"', true), '')";
    following()
        .custom(&["app.tenant", "app.late", "Other.Thing"])
        .query(A, "SET app.tenant = '1'")
        .query(B, "SET app.tenant = '2'; SET \"Other\".\"Thing\" = 'x'")
        .query(A, look)
        .query(B, look)
        .query(C, look)
        .query(A, "SHOW app.tenant")
        .query(A, "RESET app.tenant")
        .query(A, look)
        .query(B, "SHOW app.tenant; SHOW other.thing; SHOW OTHER.THING")
        .query(B, "SET app.late TO 'late'; RESET ALL")
        .query(B, look)
        .query(B, "SELECT nullif(current_setting('app.late', true), '')")
        .run();
}

#[test]
fn row_level_security_by_a_custom_setting_holds() {
    following()
        .custom(&["app.tenant"])
        .setup("CREATE TABLE t (tenant text, x int); INSERT INTO t VALUES ('1', 10), ('2', 20)")
        .setup("ALTER TABLE t ENABLE ROW LEVEL SECURITY; GRANT ALL ON t TO guest")
        .setup("CREATE POLICY p ON t USING (tenant = current_setting('app.tenant', true))")
        .query(A, "SET ROLE guest; SET app.tenant = '1'")
        .query(B, "SET app.tenant = '2'; SET ROLE guest")
        .query(C, "SET ROLE guest")
        .query(A, "SELECT x FROM t")
        .query(B, "SELECT x FROM t")
        .query(C, "SELECT x FROM t")
        .ask(A, extended("UPDATE t SET x = x + 1 RETURNING x"), 1)
        .ask(B, extended("UPDATE t SET x = x + 1 RETURNING x"), 1)
        .ask(C, extended("UPDATE t SET x = x + 1 RETURNING x"), 1)
        .query(B, "RESET app.tenant")
        .query(B, "SELECT x FROM t")
        .query(A, "RESET ROLE")
        .query(A, "SELECT x FROM t ORDER BY x")
        .run();
}

#[test]
fn objects_that_hide_those_of_the_catalog_fool_nobody() {
    following()
        .setup("CREATE SCHEMA evil")
        .setup(
            "CREATE FUNCTION evil.current_setting(text) RETURNS text LANGUAGE sql AS $$ SELECT 'evil'::text $$; \
             CREATE FUNCTION evil.current_setting(text, bool) RETURNS text LANGUAGE sql AS $$ SELECT 'evil'::text $$; \
             CREATE FUNCTION evil.set_config(text, text, bool) RETURNS text LANGUAGE sql AS $$ SELECT 'evil'::text $$; \
             CREATE FUNCTION evil.equal(text, text) RETURNS bool LANGUAGE sql AS $$ SELECT true $$; \
             CREATE OPERATOR evil.= (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.equal); \
             CREATE FUNCTION evil.equal(\"char\", text) RETURNS bool LANGUAGE sql AS $$ SELECT false $$; \
             CREATE TABLE evil.pg_settings AS SELECT 'work_mem' AS name, 'evil' AS setting, 'session' AS source; \
             CREATE TABLE evil.pg_locks (x int); CREATE TABLE evil.pg_cursors (x int); \
             CREATE DOMAIN evil.text AS pg_catalog.text CHECK (VALUE = 'never')",
        )
        .query(A, "SET search_path = evil, pg_catalog")
        .query(A, "SHOW search_path")
        .query(A, "SET work_mem = '9MB'")
        .query(A, "SHOW work_mem")
        .query(B, "SHOW work_mem")
        .query(A, "SELECT current_setting('work_mem'), set_config('work_mem', 'x', false)")
        .query(A, "DO $$ BEGIN PERFORM pg_catalog.set_config('work_mem', '10MB', false); END $$")
        .query(A, "SHOW work_mem; SHOW search_path")
        .query(A, "RESET search_path")
        .query(A, "SHOW work_mem")
        .run();
}

#[test]
fn an_application_name_that_was_set_follows_its_client() {
    following()
        .connect(B, &[("application_name", "of b")])
        .query(A, "SET application_name = 'of a'")
        .query(A, "SHOW application_name")
        .query(B, "SHOW application_name")
        .query(B, "SET application_name = 'other'")
        .query(A, "SHOW application_name")
        .query(B, "SHOW application_name")
        .query(
            A,
            "BEGIN; SET LOCAL application_name = 'local'; SHOW application_name; COMMIT",
        )
        .query(A, "SHOW application_name")
        .query(C, "SHOW application_name")
        .run();
}
