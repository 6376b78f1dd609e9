//! Session advisory locks keep their client on its server connection while it
//! holds one, and no longer.

use super::{following, keeping};
use crate::support::differential::{A, B, C};
use crate::support::frames::{extended, query};

#[test]
fn a_lock_is_held_until_it_is_released() {
    keeping(2)
        .query(A, "SELECT pg_advisory_lock(1)")
        .query(B, "SELECT pg_try_advisory_lock(1)")
        .query(A, "SELECT pg_advisory_unlock(1)")
        .query(B, "SELECT pg_try_advisory_lock(1)")
        .query(A, "SELECT pg_try_advisory_lock(1)")
        .query(B, "SELECT pg_advisory_unlock(1)")
        .query(B, "SELECT pg_advisory_unlock(1)")
        .query(A, "SELECT pg_try_advisory_lock(1)")
        .query(A, "SELECT pg_advisory_unlock_all()")
        .query(C, "SELECT pg_try_advisory_xact_lock(1)")
        .run();
}

#[test]
fn a_lock_of_a_client_that_left_is_free() {
    keeping(1)
        .query(A, "SELECT pg_advisory_lock(1)")
        .leave(A)
        .wait("SELECT count(*) = 0 FROM pg_locks l JOIN pg_database d ON d.oid = l.database WHERE locktype = 'advisory' AND datname = current_database()")
        .query(B, "SELECT pg_try_advisory_lock(1)")
        .query(B, "SELECT pg_advisory_unlock(1)")
        .query(C, "SELECT pg_try_advisory_xact_lock(1)")
        .run();
}

#[test]
fn locks_are_counted() {
    keeping(2)
        .query(A, "SELECT pg_advisory_lock(1)")
        .query(A, "SELECT pg_advisory_lock(1)")
        .query(A, "SELECT pg_advisory_unlock(1)")
        .query(B, "SELECT pg_try_advisory_lock(1)")
        .query(A, "SELECT pg_advisory_unlock(1)")
        .query(B, "SELECT pg_try_advisory_lock(1)")
        .query(A, "SELECT pg_try_advisory_lock(1)")
        .query(B, "SELECT pg_advisory_unlock(1), pg_advisory_unlock(1)")
        .query(A, "SELECT pg_advisory_unlock(1)")
        .run();
}

#[test]
fn locks_of_every_kind_are_held() {
    for (lock, unlock) in [
        ("SELECT pg_advisory_lock(1)", "SELECT pg_advisory_unlock(1)"),
        (
            "SELECT pg_advisory_lock(1, 2)",
            "SELECT pg_advisory_unlock(1, 2)",
        ),
        (
            "SELECT pg_advisory_lock_shared(1)",
            "SELECT pg_advisory_unlock_shared(1)",
        ),
        (
            "SELECT pg_try_advisory_lock_shared(1, 2)",
            "SELECT pg_advisory_unlock_shared(1, 2)",
        ),
        (
            "SELECT pg_catalog.\"pg_try_advisory_lock\"(1)",
            "SELECT pg_advisory_unlock_all()",
        ),
        (
            "WITH l AS (SELECT pg_try_advisory_lock(1) AS x) SELECT x FROM l",
            "DISCARD ALL",
        ),
        (
            "SELECT count(*) FROM generate_series(1, 3) n WHERE pg_try_advisory_lock(n)",
            "SELECT pg_advisory_unlock_all()",
        ),
        (
            "DO $$ BEGIN PERFORM pg_advisory_lock_shared(1, 2); END $$",
            "DO $$ BEGIN PERFORM pg_advisory_unlock_all(); END $$",
        ),
        (
            "DO $$ BEGIN EXECUTE 'SELECT pg_advis' || 'ory_lock(1)'; END $$",
            "SELECT pg_advisory_unlock(1)",
        ),
        ("SELECT take(1)", "SELECT give_back()"),
        ("SELECT take(1), 1/0", "SELECT give_back()"),
        ("INSERT INTO watched VALUES (1)", "SELECT give_back()"),
        (
            "BEGIN; SELECT take(1); ROLLBACK",
            "BEGIN; SELECT give_back(); ROLLBACK",
        ),
    ] {
        let look = "SELECT pg_try_advisory_xact_lock(1), pg_try_advisory_xact_lock(1, 2)";
        keeping(1)
            .setup("CREATE FUNCTION take(n int) RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_advisory_lock(n); END $$")
            .setup("CREATE FUNCTION give_back() RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_advisory_unlock_all(); END $$")
            .setup("CREATE TABLE watched (x int)")
            .setup("CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM take(NEW.x); RETURN NEW; END $$")
            .setup("CREATE TRIGGER tell AFTER INSERT ON watched FOR EACH ROW EXECUTE FUNCTION tell()")
            .query(A, lock)
            .query(B, look)
            .query(C, look)
            .query(A, look)
            .query(A, unlock)
            .query(B, look)
            .query(A, look)
            .run();
    }
}

#[test]
fn a_lock_released_in_a_transaction_that_fails_is_released() {
    keeping(1)
        .query(A, "SELECT pg_advisory_lock(1)")
        .query(A, "BEGIN; SELECT pg_advisory_unlock(1)")
        .query(B, "SELECT pg_try_advisory_xact_lock(1)")
        .query(A, "ROLLBACK")
        .query(B, "SELECT pg_try_advisory_xact_lock(1)")
        .query(A, "SELECT pg_advisory_unlock(1)")
        .query(A, "SELECT pg_advisory_lock(1), 1/0")
        .query(B, "SELECT pg_try_advisory_xact_lock(1)")
        .query(A, "SELECT pg_advisory_unlock(1), 1/0")
        .query(B, "SELECT pg_try_advisory_xact_lock(1)")
        .run();
}

#[test]
fn neither_reset_all_nor_a_role_releases_a_lock() {
    keeping(1)
        .query(A, "SELECT pg_advisory_lock(1)")
        .query(A, "RESET ALL")
        .query(B, "SELECT pg_try_advisory_xact_lock(1)")
        .query(
            A,
            "SET ROLE guest; DISCARD TEMP; DISCARD PLANS; DISCARD SEQUENCES",
        )
        .query(B, "SELECT pg_try_advisory_xact_lock(1)")
        .query(A, "DISCARD ALL")
        .query(B, "SELECT pg_try_advisory_xact_lock(1)")
        .query(A, "SELECT current_user")
        .run();
}

#[test]
fn a_lock_of_the_transaction_keeps_nothing() {
    following()
        .query(A, "BEGIN; SELECT pg_advisory_xact_lock(1)")
        .query(A, "COMMIT")
        .query(B, "SELECT pg_try_advisory_xact_lock(1)")
        .ask(
            A,
            extended("SELECT pg_try_advisory_xact_lock_shared(1, 2)"),
            1,
        )
        .query(B, "SELECT pg_advisory_unlock(1)")
        .query(C, "SELECT pg_advisory_unlock_all()")
        .ask(
            A,
            [
                query("SELECT pg_advisory_lock(1)"),
                query("SELECT pg_advisory_unlock(1)"),
            ]
            .concat(),
            2,
        )
        .query(B, "SELECT pg_try_advisory_xact_lock(1)")
        .run();
}

#[test]
fn who_waits_for_a_lock_gets_it_when_it_is_released() {
    keeping(2)
        .query(A, "SELECT pg_advisory_lock(1)")
        .send(B, query("SELECT pg_advisory_lock(1)"))
        .wait("SELECT count(*) = 1 FROM pg_locks l JOIN pg_database d ON d.oid = l.database WHERE locktype = 'advisory' AND datname = current_database() AND NOT granted")
        .query(A, "SELECT pg_advisory_unlock(1)")
        .ready(B, 1)
        .query(A, "SELECT pg_try_advisory_lock(1)")
        .query(B, "SELECT pg_advisory_unlock(1)")
        .query(A, "SELECT pg_try_advisory_lock(1)")
        .run();
}
