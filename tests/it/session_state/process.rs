//! State of the server process itself, and the ends of sessions.

use super::{following, keeping};
use crate::support::differential::{A, B, C};
use crate::support::frames::{extended, query};

#[test]
fn random_numbers_from_a_seed_are_its_clients_own() {
    keeping(2)
        .query(A, "SELECT setseed(0.5)")
        .query(B, "SET seed = 0.25")
        .query(A, "SELECT random()")
        .query(B, "SELECT random()")
        .query(C, "SELECT random() < 2")
        .ask(A, extended("SELECT random()"), 1)
        .query(B, "SELECT random()")
        .query(A, "SELECT random()")
        .run();
}

#[test]
fn a_loaded_library_stays_with_its_client() {
    keeping(1)
        .query(A, "LOAD 'plpgsql'")
        .query(B, "SELECT 'served'")
        .query(A, "SHOW plpgsql.variable_conflict")
        .query(A, "SET plpgsql.variable_conflict = 'use_column'")
        .query(A, "SHOW plpgsql.variable_conflict")
        .query(A, "SET plpgsql.nonsense = 1")
        .query(A, "LOAD 'no such library'")
        .query(A, "SHOW plpgsql.variable_conflict")
        .run();
}

#[test]
fn an_idle_session_timeout_ends_the_client_alone() {
    following()
        .query(B, "SET work_mem = '9MB'")
        .query(A, "SET idle_session_timeout = '300ms'")
        .end(A)
        .query(B, "SHOW work_mem; SHOW idle_session_timeout")
        .query(C, "SHOW idle_session_timeout")
        .run();
}

#[test]
fn an_idle_session_timeout_counts_from_the_last_transaction() {
    keeping(1)
        .query(A, "CREATE TEMP TABLE kept (x int)")
        .query(
            A,
            "SET idle_session_timeout = '700ms'; SHOW idle_session_timeout",
        )
        .query(A, "SELECT pg_sleep(0.5)")
        .query(A, "SELECT pg_sleep(0.5)")
        .query(A, "BEGIN; SELECT pg_sleep(0.4)")
        .query(B, "SELECT pg_sleep(0.4)")
        .query(A, "COMMIT; DROP TABLE kept")
        .query(B, "SELECT 'served'")
        .end(A)
        .query(B, "SELECT 'served'")
        .run();
}

#[test]
fn an_idle_session_timeout_that_was_taken_back_ends_nobody() {
    following()
        .query(A, "BEGIN; SET idle_session_timeout = '200ms'; ROLLBACK")
        .query(
            B,
            "SET idle_session_timeout = '200ms'; SET idle_session_timeout = 0",
        )
        .query(C, "SET idle_session_timeout = '1h'")
        .query(C, "SELECT pg_sleep(0.5)")
        .query(A, "SHOW idle_session_timeout")
        .query(B, "SHOW idle_session_timeout")
        .query(C, "SHOW idle_session_timeout")
        .run();
}

#[test]
fn an_idle_transaction_ends_with_its_client() {
    following()
        .pools(&[2])
        .query(A, "SET idle_in_transaction_session_timeout = '300ms'")
        .query(B, "SHOW idle_in_transaction_session_timeout")
        .query(A, "BEGIN")
        .end(A)
        .query(B, "BEGIN; SELECT pg_sleep(0.5)")
        .query(B, "COMMIT")
        .query(C, "SHOW idle_in_transaction_session_timeout")
        .run();
}

#[test]
fn settings_about_the_connection_are_shown_as_they_were_set() {
    following()
        .query(A, "SET tcp_keepalives_idle = 77; SET tcp_user_timeout = '7s'")
        .query(A, "SHOW tcp_keepalives_idle; SHOW tcp_user_timeout")
        .query(B, "SELECT current_setting('tcp_keepalives_idle') <> '77', current_setting('tcp_user_timeout') <> '7s'")
        .query(A, "SET client_connection_check_interval = '3s'")
        .query(A, "SHOW client_connection_check_interval; SHOW tcp_keepalives_idle")
        .query(B, "SHOW client_connection_check_interval")
        .run();
}

const END_OF_THE_HOLDER: &str = "SELECT pg_terminate_backend(pid) FROM pg_locks l JOIN pg_database d \
     ON d.oid = l.database WHERE locktype = 'advisory' AND objid = 77 AND datname = current_database()";

#[test]
fn a_client_whose_kept_connection_is_ended_is_told_and_closed() {
    keeping(1)
        .query(A, "SET work_mem = '9MB'; SELECT pg_advisory_lock(77)")
        .query(B, "SELECT 'served'")
        .admin(END_OF_THE_HOLDER)
        .end(A)
        .query(B, "SELECT pg_try_advisory_xact_lock(77)")
        .query(C, "SHOW work_mem")
        .run();
}

#[test]
fn a_client_that_is_kept_has_one_process_all_the_time() {
    keeping(1)
        .custom(&["app.pid"])
        .query(
            A,
            "CREATE TEMP TABLE mine AS SELECT pg_backend_pid() AS pid",
        )
        .query(B, "SELECT 'other'")
        .query(A, "SELECT pid = pg_backend_pid() FROM mine")
        .query(A, "SET work_mem = '9MB'")
        .query(C, "SELECT 'other'")
        .ask(A, extended("SELECT pid = pg_backend_pid() FROM mine"), 1)
        .query(A, "DROP TABLE mine")
        .run();
}

/// All that keeps a server connection at once, and its end, in one write.
fn shares_again_after(ends: &[&str]) {
    let whole = [
        query("SELECT pg_advisory_lock(1)"),
        query("CREATE TEMP TABLE mine (x int)"),
        query("DECLARE h CURSOR WITH HOLD FOR SELECT 1"),
        query("LISTEN c"),
        query("PREPARE q1 AS SELECT 1"),
        query("SET work_mem = '9MB'"),
    ];
    let ends: Vec<Vec<u8>> = ends.iter().map(|end| query(end)).collect();
    let count = whole.len() + ends.len();
    following()
        .pools(&[1])
        .ask(A, [whole.concat(), ends.concat()].concat(), count)
        .query(B, "SHOW work_mem")
        .query(A, "SHOW work_mem")
        .query(C, "SHOW work_mem")
        .run();
}

#[test]
fn a_client_that_kept_a_connection_and_has_nothing_to_keep_shares_again() {
    shares_again_after(&[
        "DROP TABLE mine",
        "CLOSE h; UNLISTEN c",
        "DEALLOCATE q1",
        "SELECT pg_advisory_unlock(1)",
    ]);
    shares_again_after(&["DISCARD ALL", "SET work_mem = '10MB'"]);
}

#[test]
fn a_client_that_ends_everything_in_one_query_shares_again() {
    shares_again_after(&[
        "DROP TABLE mine; CLOSE h; UNLISTEN c; DEALLOCATE q1; SELECT pg_advisory_unlock(1)",
    ]);
}

/// What a library makes of its settings when it is loaded, and what others have
/// left of them on a server connection, is nobody else's.
#[test]
fn settings_of_a_library_are_their_clients_own() {
    let block = "DO $$ BEGIN RAISE NOTICE 'done'; END $$";
    for set in [
        "SET plpgsql.check_asserts = off",
        "SET plpgsql.variable_conflict = 'use_column'; SET plpgsql.extra_warnings = 'all'",
    ] {
        for unset in [
            "RESET ALL",
            "RESET plpgsql.check_asserts; RESET ALL",
            "DISCARD ALL",
        ] {
            following()
                .query(B, set)
                .query(B, unset)
                .query(A, block)
                .query(B, "SET plpgsql.variable_conflict = 'use_variable'")
                .query(C, block)
                .query(A, block)
                .query(B, block)
                .query(A, "SELECT 1")
                // There where the library is loaded.
                .query(C, &format!("{block}; SHOW plpgsql.check_asserts"))
                .query(B, "SHOW plpgsql.variable_conflict")
                .query(A, "SET plpgsql.check_asserts = off")
                .query(C, block)
                .query(A, "RESET plpgsql.check_asserts")
                .query(C, block)
                .query(A, block)
                .run();
        }
    }
}
