//! Startup parameters: what RESET goes back to is what the client began with.

use super::following;
use crate::support::differential::{A, B, C};
use crate::support::frames::extended;
use crate::support::startup::Startup;

#[test]
fn reset_goes_back_to_the_startup_value() {
    following()
        .connect(A, &[("options", "-c work_mem=3MB")])
        .noise_like(A)
        .query(A, "SHOW work_mem")
        .query(A, "SET work_mem = '9MB'")
        .query(A, "SHOW work_mem")
        .query(B, "SHOW work_mem")
        .query(A, "RESET work_mem")
        .query(A, "SHOW work_mem")
        .query(A, "SET work_mem = '9MB'")
        .query(A, "SET work_mem TO DEFAULT")
        .query(A, "SHOW work_mem")
        .query(A, "SET work_mem = '9MB'; RESET ALL")
        .query(A, "SHOW work_mem")
        .query(A, "SET work_mem = '9MB'")
        .query(A, "DISCARD ALL")
        .query(A, "SHOW work_mem")
        .query(
            A,
            "SELECT setting, reset_val, source FROM pg_settings WHERE name = 'work_mem'",
        )
        .query(B, "SHOW work_mem")
        .run();
}

#[test]
fn clients_of_one_startup_value_share_no_setting() {
    following()
        .connect(A, &[("options", "-c work_mem=3MB")])
        .connect(B, &[("options", "-c work_mem=3MB")])
        .connect(C, &[("work_mem", "3MB")])
        .noise_like(A)
        .query(A, "SET work_mem = '9MB'")
        .query(B, "SHOW work_mem")
        .query(C, "SET lock_timeout = '9s'; SHOW work_mem")
        .query(B, "SHOW lock_timeout")
        .query(A, "SHOW work_mem; SHOW lock_timeout")
        .query(C, "SHOW work_mem; SHOW lock_timeout")
        .leave(A)
        .leave(C)
        .query(B, "SHOW work_mem; SHOW lock_timeout")
        .run();
}

#[test]
fn clients_of_different_startup_values_set_the_same_name() {
    following()
        .connect(A, &[("options", "-c work_mem=3MB -c app.tenant=1")])
        .connect(B, &[("options", "-c work_mem=4MB -c app.tenant=2")])
        .custom(&["app.late"])
        .query(A, "SET work_mem = '9MB'; SET app.late = 'x'")
        .query(B, "SET work_mem = '10MB'; SET app.tenant = '3'")
        .query(C, "SET work_mem = '11MB'")
        .query(A, "SHOW work_mem; SHOW app.tenant; SHOW app.late")
        .query(B, "SHOW work_mem; SHOW app.tenant")
        .query(C, "SHOW work_mem")
        .query(B, "RESET ALL")
        .query(A, "RESET work_mem")
        .query(A, "SHOW work_mem; SHOW app.tenant; SHOW app.late")
        .query(B, "SHOW work_mem; SHOW app.tenant")
        .run();
}

#[test]
fn a_date_style_of_the_startup_is_not_reported_anew() {
    following()
        .connect(A, &[("DateStyle", "German"), ("TimeZone", "Asia/Tokyo")])
        .noise_like(A)
        .query(A, "RESET ALL")
        .query(A, "SHOW datestyle")
        .query(A, "SET datestyle = 'ISO, MDY'")
        .query(
            A,
            "SELECT '2026-01-31'::date, '2026-01-01 00:00+00'::timestamptz",
        )
        .query(A, "SET TIME ZONE 'UTC'")
        .query(A, "RESET datestyle")
        .query(
            A,
            "SELECT '2026-01-31'::date, '2026-01-01 00:00+00'::timestamptz",
        )
        .query(A, "SET TIME ZONE LOCAL")
        .query(
            A,
            "SELECT '2026-01-31'::date, '2026-01-01 00:00+00'::timestamptz",
        )
        .query(A, "SET datestyle = 'SQL'; DISCARD ALL")
        .query(A, "SET datestyle = 'SQL'")
        .query(A, "DISCARD ALL")
        .query(A, "SHOW datestyle")
        .run();
}

#[test]
fn a_search_path_of_the_startup_comes_back() {
    following()
        .connect(A, &[("search_path", "aa,\"b, b\"")])
        .connect(B, &[("options", "-c search_path=\"b\\ b\",\"$user\"")])
        .noise_like(A)
        .query(A, "SHOW search_path")
        .query(B, "SHOW search_path")
        .query(A, "SET search_path = cc")
        .query(B, "SET search_path = dd, \"$user\"")
        .query(A, "SHOW search_path")
        .query(B, "SHOW search_path")
        .query(A, "RESET search_path")
        .query(B, "DISCARD ALL")
        .query(A, "SHOW search_path")
        .query(B, "SHOW search_path")
        .run();
}

#[test]
fn options_with_escapes_are_what_reset_goes_back_to() {
    following()
        .connect(
            A,
            &[(
                "options",
                "-c search_path=\"a\\ b\" --work-mem=5MB -cstatement_timeout=7s -c app.text=\\\\\\ x",
            )],
        )
        .noise_like(A)
        .query(A, "SET work_mem = '6MB'; SET statement_timeout = '6s'; SET app.text = 'y'; SET search_path = c")
        .query(A, "SHOW search_path; SHOW work_mem; SHOW statement_timeout; SHOW app.text")
        .query(A, "RESET ALL")
        .query(A, "SHOW search_path; SHOW work_mem; SHOW statement_timeout; SHOW app.text")
        .run();
}

#[test]
fn a_role_of_the_startup_is_what_reset_role_goes_back_to() {
    let look = "SELECT current_user, session_user, current_setting('role')";
    following()
        .connect(A, &[("options", "-c role=guest")])
        .connect(B, &[("role", "guest")])
        .noise_like(A)
        .query(A, look)
        .query(A, "SET ROLE none")
        .query(A, look)
        .query(C, look)
        .query(A, "RESET ROLE")
        .query(A, look)
        .query(B, "SET ROLE postgres")
        .query(B, look)
        .query(B, "SET SESSION AUTHORIZATION guest")
        .query(B, look)
        .query(B, "RESET SESSION AUTHORIZATION")
        .query(B, look)
        .query(A, "SET ROLE postgres")
        .query(A, "DISCARD ALL")
        .query(A, look)
        .query(B, "RESET ALL")
        .query(B, look)
        .run();
}

#[test]
fn characteristics_and_limits_of_the_startup_hold() {
    following()
        .connect(
            A,
            &[
                (
                    "options",
                    "-c default_transaction_isolation=serializable -c statement_timeout=100ms",
                ),
                ("default_transaction_read_only", "on"),
            ],
        )
        .noise_like(B)
        .query(A, "SHOW transaction_isolation; SHOW transaction_read_only")
        .query(A, "SELECT pg_sleep(20)")
        .query(
            A,
            "SET default_transaction_read_only = off; SET statement_timeout = 0",
        )
        .query(A, "CREATE TABLE t (x int)")
        .query(A, "SELECT pg_sleep(0.3)")
        .query(A, "RESET ALL")
        .query(A, "DROP TABLE t")
        .query(A, "SELECT pg_sleep(20)")
        .query(
            B,
            "SHOW transaction_isolation; SHOW transaction_read_only; SHOW statement_timeout",
        )
        .run();
}

#[test]
fn an_encoding_of_the_startup_comes_back() {
    let look = "SELECT chr(228), length('\u{e4}')";
    following()
        .connect(A, &[("client_encoding", "LATIN1")])
        .noise_like(A)
        .query(A, look)
        .query(A, "SET client_encoding = 'UTF8'")
        .query(A, look)
        .query(B, look)
        .query(A, "RESET client_encoding")
        .query(A, look)
        .query(A, "SET NAMES 'UTF8'")
        .query(A, "DISCARD ALL")
        .query(A, look)
        .run();
}

#[test]
fn another_user_has_the_same_promises() {
    let look = "SELECT current_user, session_user, current_setting('work_mem')";
    following()
        .user("guest")
        .connect_as(A, Startup::new("guest", "").with("work_mem", "3MB"))
        .connect_as(B, Startup::new("guest", "").with("work_mem", "3MB"))
        .noise_like(C)
        .query(A, "SET work_mem = '9MB'")
        .query(B, look)
        .query(A, look)
        .query(B, "SET ROLE postgres")
        .query(B, "SET SESSION AUTHORIZATION postgres")
        .query(B, "SET SESSION AUTHORIZATION guest; SET ROLE guest")
        .query(B, "SET session_replication_role = replica")
        .ask(B, extended(look), 1)
        .ask(A, extended(look), 1)
        .query(C, look)
        .run();
}
