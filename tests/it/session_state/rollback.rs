//! What a rollback takes back, and what it does not.

use super::{following, keeping};
use crate::support::differential::{A, B, C};
use crate::support::frames::{extended, query, sync, unnamed};

#[test]
fn a_setting_of_a_rolled_back_transaction_is_as_before() {
    following()
        .query(A, "SET work_mem = '9MB'")
        .query(A, "BEGIN")
        .query(A, "SET work_mem = '11MB'")
        .query(A, "SHOW work_mem")
        .query(A, "ROLLBACK")
        .query(A, "SHOW work_mem")
        .query(B, "BEGIN; SET work_mem = '12MB'; ROLLBACK")
        .query(B, "SHOW work_mem")
        .query(A, "BEGIN; RESET work_mem; ROLLBACK")
        .query(A, "SHOW work_mem")
        .query(A, "BEGIN; RESET ALL; ROLLBACK")
        .query(A, "SHOW work_mem")
        .query(A, "BEGIN; SET work_mem = '13MB'; COMMIT")
        .query(A, "SHOW work_mem")
        .run();
}

#[test]
fn a_setting_is_as_it_was_at_the_savepoint() {
    following()
        .query(
            A,
            "BEGIN; SET work_mem = '7MB'; SAVEPOINT s; SET work_mem = '8MB'; ROLLBACK TO s; COMMIT",
        )
        .query(A, "SHOW work_mem")
        .query(A, "BEGIN")
        .query(A, "SAVEPOINT s")
        .query(A, "SET work_mem = '9MB'")
        .query(A, "SAVEPOINT t")
        .query(A, "SET work_mem = '10MB'")
        .query(A, "SELECT 1/0")
        .query(A, "ROLLBACK TO t")
        .query(A, "SHOW work_mem")
        .query(A, "RELEASE s")
        .query(A, "COMMIT")
        .query(A, "SHOW work_mem")
        .query(B, "SHOW work_mem")
        .run();
}

#[test]
fn set_local_ends_with_its_transaction() {
    following()
        .query(A, "SET work_mem = '7MB'")
        .query(
            A,
            "BEGIN; SET LOCAL work_mem = '12MB'; SHOW work_mem; COMMIT",
        )
        .query(A, "SHOW work_mem")
        .query(
            A,
            "BEGIN; SET work_mem = '8MB'; SET LOCAL work_mem = '9MB'; SHOW work_mem; COMMIT",
        )
        .query(A, "SHOW work_mem")
        .query(
            A,
            "BEGIN; SET LOCAL work_mem = '9MB'; SET work_mem = '6MB'; SHOW work_mem; COMMIT",
        )
        .query(A, "SHOW work_mem")
        .query(
            A,
            "BEGIN; SET LOCAL work_mem = '9MB'; RESET work_mem; COMMIT",
        )
        .query(A, "SHOW work_mem")
        .query(A, "SET LOCAL work_mem = '10MB'")
        .query(A, "SHOW work_mem")
        .ask(A, extended("SET LOCAL work_mem = '10MB'"), 1)
        .query(A, "SHOW work_mem")
        .query(
            A,
            "SELECT set_config('work_mem', '11MB', true); SHOW work_mem",
        )
        .query(A, "SHOW work_mem")
        .query(B, "SHOW work_mem")
        .run();
}

#[test]
fn a_query_that_fails_takes_its_settings_back() {
    following()
        .query(A, "SET work_mem = '7MB'")
        .query(A, "SET work_mem = '8MB'; SELECT 1/0")
        .query(A, "SHOW work_mem")
        .query(A, "SET work_mem = '9MB'; COMMIT; SET work_mem = '10MB'; SELECT 1/0")
        .query(A, "SHOW work_mem")
        .query(A, "BEGIN; SET work_mem = '11MB'; COMMIT; SELECT 1/0")
        .query(A, "SHOW work_mem")
        .query(B, "SET work_mem = '12MB'; SET work_mem = 'banana'")
        .query(B, "SHOW work_mem")
        .query(A, "SELECT set_config('work_mem', '13MB', false), 1/0")
        .query(A, "SHOW work_mem")
        .query(A, "SELECT set_config('work_mem', n || 'MB', false), 1 / (22 - n) FROM generate_series(20, 25) n")
        .query(A, "SHOW work_mem")
        .run();
}

#[test]
fn a_batch_that_fails_takes_its_settings_back() {
    let batch = |parts: &[&str]| {
        let messages: Vec<u8> = parts.iter().flat_map(|sql| unnamed(sql)).collect();
        [messages, sync()].concat()
    };
    following()
        .ask(A, batch(&["SET work_mem = '8MB'"]), 1)
        .ask(A, batch(&["SET work_mem = '9MB'", "SELECT 1/0"]), 1)
        .query(A, "SHOW work_mem")
        .ask(A, batch(&["SELECT 1/0", "SET work_mem = '10MB'"]), 1)
        .query(A, "SHOW work_mem")
        .ask(
            A,
            batch(&["BEGIN", "SET work_mem = '11MB'", "COMMIT", "SELECT 1/0"]),
            1,
        )
        .query(A, "SHOW work_mem")
        .ask(
            A,
            batch(&[
                "BEGIN",
                "SET work_mem = '12MB'",
                "ROLLBACK",
                "SHOW work_mem",
            ]),
            1,
        )
        .query(A, "SHOW work_mem")
        .ask(
            A,
            [unnamed("SET work_mem = '13MB'"), query("SELECT 1/0")].concat(),
            1,
        )
        .query(A, "SHOW work_mem")
        .ask(
            A,
            [unnamed("SET work_mem = '14MB'"), query("SELECT 1")].concat(),
            1,
        )
        .query(A, "SHOW work_mem")
        .query(B, "SHOW work_mem")
        .run();
}

#[test]
fn a_commit_that_fails_takes_its_settings_back() {
    following()
        .setup("CREATE TABLE t (x int UNIQUE DEFERRABLE INITIALLY DEFERRED)")
        .query(A, "SET work_mem = '7MB'")
        .query(A, "BEGIN")
        .query(A, "SET work_mem = '8MB'")
        .query(A, "INSERT INTO t VALUES (1), (1)")
        .query(A, "COMMIT")
        .query(A, "SHOW work_mem")
        .query(A, "BEGIN")
        .query(A, "SET work_mem = '9MB'")
        .query(A, "SELECT 1/0")
        .query(A, "COMMIT")
        .query(A, "SHOW work_mem")
        .query(A, "SET work_mem = '10MB'; INSERT INTO t VALUES (1), (1)")
        .query(A, "SHOW work_mem")
        .run();
}

#[test]
fn settings_live_through_chained_transactions() {
    following()
        .query(
            A,
            "BEGIN; SET work_mem = '8MB'; SET LOCAL lock_timeout = '8s'",
        )
        .query(A, "COMMIT AND CHAIN")
        .query(A, "SHOW work_mem; SHOW lock_timeout")
        .query(A, "SET work_mem = '9MB'")
        .query(A, "ROLLBACK AND CHAIN")
        .query(A, "SHOW work_mem")
        .query(A, "COMMIT")
        .query(A, "SHOW work_mem")
        .query(B, "SHOW work_mem")
        .run();
}

#[test]
fn a_setting_of_a_prepared_transaction_is_kept_however_that_ends() {
    following()
        .query(
            A,
            "BEGIN; SET work_mem = '8MB'; PREPARE TRANSACTION 'session state 1'",
        )
        .query(A, "SHOW work_mem")
        .query(B, "SHOW work_mem")
        .call(
            B,
            "SELECT gid LIKE 'session%' FROM pg_prepared_xacts WHERE database = '{database}'",
        )
        .query(A, "ROLLBACK PREPARED 'session state 1'")
        .query(A, "SHOW work_mem")
        .query(A, "BEGIN; SET work_mem = '9MB'; SELECT 1/0")
        .query(A, "PREPARE TRANSACTION 'never'")
        .query(A, "SHOW work_mem")
        .run();
}

#[test]
fn a_block_that_catches_its_error_has_set_nothing() {
    following()
        .query(A, "SET work_mem = '7MB'")
        .query(
            A,
            "DO $$ BEGIN \
             BEGIN PERFORM set_config('work_mem', '8MB', false); RAISE EXCEPTION 'caught'; \
             EXCEPTION WHEN OTHERS THEN RAISE NOTICE 'have %', current_setting('work_mem'); END; \
             PERFORM set_config('lock_timeout', '8s', false); END $$",
        )
        .query(A, "SHOW work_mem; SHOW lock_timeout")
        .query(
            A,
            "DO $$ BEGIN SET work_mem = '9MB'; RAISE EXCEPTION 'not caught'; END $$",
        )
        .query(A, "SHOW work_mem; SHOW lock_timeout")
        .query(B, "SHOW work_mem; SHOW lock_timeout")
        .run();
}

#[test]
fn a_procedure_that_commits_keeps_what_was_set_before() {
    following()
        .setup(
            "CREATE PROCEDURE p(failing bool) LANGUAGE plpgsql AS $$ BEGIN \
             SET work_mem = '8MB'; SET LOCAL lock_timeout = '8s'; COMMIT; \
             RAISE NOTICE 'after the commit: % %', current_setting('work_mem'), current_setting('lock_timeout'); \
             SET work_mem = '9MB'; ROLLBACK; \
             SET statement_timeout = '7s'; \
             IF failing THEN RAISE EXCEPTION 'at the end'; END IF; END $$",
        )
        .query(A, "CALL p(true)")
        .query(A, "SHOW work_mem; SHOW lock_timeout; SHOW statement_timeout")
        .query(A, "RESET ALL")
        .ask(A, extended("CALL p(false)"), 1)
        .query(A, "SHOW work_mem; SHOW lock_timeout; SHOW statement_timeout")
        .query(B, "SHOW work_mem; SHOW lock_timeout; SHOW statement_timeout")
        .query(B, "DO $$ BEGIN SET work_mem = '10MB'; COMMIT; SET work_mem = '11MB'; RAISE EXCEPTION 'x'; END $$")
        .query(B, "SHOW work_mem")
        .run();
}

#[test]
fn a_role_of_a_rolled_back_transaction_is_as_before() {
    following()
        .query(A, "BEGIN; SET ROLE guest; ROLLBACK")
        .query(A, "SELECT current_user")
        .query(A, "BEGIN; SET SESSION AUTHORIZATION guest")
        .query(A, "SELECT current_user, session_user")
        .query(A, "ROLLBACK")
        .query(A, "SELECT current_user, session_user")
        .query(A, "SET ROLE guest")
        .query(A, "BEGIN; SAVEPOINT s; RESET ROLE; ROLLBACK TO s; COMMIT")
        .query(A, "SELECT current_user, session_user")
        .query(A, "SET ROLE none; SELECT 1/0")
        .query(A, "SELECT current_user, session_user")
        .query(B, "SELECT current_user, session_user")
        .run();
}

#[test]
fn what_is_reported_of_a_setting_is_reported_again_when_it_is_rolled_back() {
    following()
        .query(A, "BEGIN")
        .query(A, "SET datestyle = 'German'")
        .query(A, "SET TIME ZONE 'Asia/Tokyo'; SET application_name = 'x'")
        .query(A, "ROLLBACK")
        .query(A, "SHOW datestyle; SHOW timezone; SHOW application_name")
        .query(A, "SET datestyle = 'German'; SELECT 1/0")
        .query(A, "BEGIN; SET LOCAL datestyle = 'SQL, DMY'")
        .query(A, "COMMIT")
        .query(A, "SHOW datestyle")
        .query(B, "SHOW datestyle")
        .run();
}

#[test]
fn a_temporary_table_of_a_rolled_back_transaction_keeps_nothing() {
    keeping(0)
        .query(A, "BEGIN; CREATE TEMP TABLE mine (x int)")
        .query(A, "INSERT INTO mine VALUES (1)")
        .query(A, "ROLLBACK")
        .query(A, "SELECT * FROM mine")
        .query(B, "CREATE TEMP TABLE mine (x int); SELECT 1/0")
        .query(C, "SELECT 'served'")
        .query(
            A,
            "BEGIN; SAVEPOINT s; CREATE TEMP TABLE mine (x int); ROLLBACK TO s; COMMIT",
        )
        .query(B, "SELECT 'served'")
        .run();
}

#[test]
fn a_cursor_and_a_listen_of_a_rolled_back_transaction_keep_nothing() {
    keeping(0)
        .query(
            A,
            "BEGIN; DECLARE h CURSOR WITH HOLD FOR SELECT generate_series(1, 3)",
        )
        .query(A, "FETCH 1 FROM h")
        .query(A, "ROLLBACK")
        .query(A, "FETCH 1 FROM h")
        .query(B, "SELECT 'served'")
        .query(A, "BEGIN; LISTEN c; ROLLBACK")
        .query(B, "NOTIFY c, 'never heard'")
        .query(A, "SELECT 'served'")
        .query(C, "SELECT 'served'")
        .run();
}

#[test]
fn a_lock_of_a_rolled_back_transaction_is_kept() {
    keeping(1)
        .query(A, "BEGIN; SELECT pg_advisory_lock(1); ROLLBACK")
        .query(B, "SELECT pg_try_advisory_lock(1)")
        .query(A, "SELECT pg_advisory_unlock(1)")
        .query(B, "SELECT pg_try_advisory_lock(1)")
        .query(A, "SELECT pg_try_advisory_lock(1)")
        .query(B, "BEGIN; SELECT pg_advisory_unlock(1); ROLLBACK")
        .query(A, "SELECT pg_try_advisory_lock(1)")
        .query(A, "SELECT pg_advisory_unlock_all()")
        .run();
}
