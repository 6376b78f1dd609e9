//! What is told reaches who listens and nobody else, whether all listen on one
//! server connection or each on its own until UNLISTEN.

use super::{following, keeping};
use crate::support::differential::{A, B, C, Script};
use crate::support::frames::{extended, query, sync, unnamed};

/// With `listen = "multiplex"`, and with `"pin"` for so many clients at once.
fn either_way(clients: usize, play: impl Fn(Script)) {
    play(following());
    play(keeping(clients).setting("listen", "\"pin\""));
}

#[test]
fn a_notification_reaches_an_idle_client() {
    either_way(1, |script| {
        script
            .query(A, "LISTEN c")
            .query(B, "NOTIFY c, 'told'")
            .until(A, b'A')
            .query(B, "SELECT pg_notify('c', 'told too')")
            .until(A, b'A')
            .query(C, "SELECT 'served'")
            .query(A, "UNLISTEN c")
            .query(B, "NOTIFY c, 'told to nobody'")
            .query(A, "SELECT 'nothing came'")
            .run();
    });
}

#[test]
fn what_one_tells_oneself_comes_before_ready_for_query() {
    either_way(1, |script| {
        script
            .query(A, "LISTEN c")
            .query(A, "NOTIFY c, 'to myself'")
            .query(
                A,
                "BEGIN; NOTIFY c, 'one'; NOTIFY c, 'two'; NOTIFY c, 'one'",
            )
            .query(A, "SELECT 'nothing came yet'")
            .query(A, "COMMIT")
            .query(B, "SELECT 'served'")
            .ask(A, extended("NOTIFY c"), 1)
            .ask(
                A,
                [unnamed("NOTIFY c, 'x'"), unnamed("NOTIFY c, 'y'"), sync()].concat(),
                1,
            )
            .query(A, "UNLISTEN *")
            .run();
    });
}

#[test]
fn a_notification_waits_for_the_end_of_the_listeners_transaction() {
    either_way(1, |script| {
        script
            .pools(&[2])
            .query(A, "LISTEN c")
            .query(A, "BEGIN; SELECT 1")
            .query(B, "NOTIFY c, 'told meanwhile'")
            .query(A, "SELECT 'nothing came yet'")
            .query(A, "COMMIT")
            .query(A, "UNLISTEN c")
            .run();
    });
}

#[test]
fn listening_ends_with_unlisten_and_with_discard_all() {
    for end in [
        "UNLISTEN c",
        "UNLISTEN *",
        "DISCARD ALL",
        "DO $$ BEGIN EXECUTE 'UNLI' || 'STEN c'; END $$",
    ] {
        either_way(1, |script| {
            script
                .query(A, "LISTEN c")
                .query(A, end)
                .query(B, "NOTIFY c, 'told to nobody'")
                .query(A, "SELECT 'nothing came'")
                .query(C, "SELECT 'nothing came'")
                .run();
        });
    }
}

#[test]
fn a_listener_that_left_is_told_nothing_more_nor_is_who_comes_after() {
    either_way(1, |script| {
        script
            .query(A, "LISTEN c")
            .query(B, "SELECT 'served'")
            .leave(A)
            .query(C, "NOTIFY c, 'told to nobody'")
            .query(B, "SELECT 'nothing came'")
            .query(B, "SELECT 'nothing came'")
            .query(C, "SELECT 'nothing came'")
            .run();
    });
}

#[test]
fn two_listeners_hear_what_is_theirs() {
    either_way(2, |script| {
        script
            .query(A, "LISTEN ca; LISTEN everybody")
            .query(B, "LISTEN cb; LISTEN \"everybody\"")
            .query(
                C,
                "NOTIFY ca, 'for a'; NOTIFY cb, 'for b'; NOTIFY everybody, 'for both'",
            )
            .until(A, b'A')
            .until(A, b'A')
            .until(B, b'A')
            .until(B, b'A')
            .query(A, "UNLISTEN everybody")
            .query(C, "NOTIFY everybody, 'for b'")
            .until(B, b'A')
            .query(A, "UNLISTEN ca")
            .query(B, "UNLISTEN *")
            .query(A, "SELECT 'nothing came'")
            .query(B, "SELECT 'nothing came'")
            .run();
    });
}

#[test]
fn listening_counts_when_its_transaction_commits() {
    either_way(1, |script| {
        script
            .pools(&[2])
            .query(A, "BEGIN; LISTEN c")
            .query(B, "NOTIFY c, 'too early'")
            .query(A, "COMMIT")
            .query(B, "NOTIFY c, 'heard'")
            .until(A, b'A')
            .query(A, "BEGIN; UNLISTEN c; ROLLBACK")
            .query(B, "NOTIFY c, 'heard still'")
            .until(A, b'A')
            .query(A, "BEGIN; UNLISTEN c; COMMIT")
            .query(A, "BEGIN; LISTEN c; ROLLBACK")
            .query(A, "LISTEN c; SELECT 1/0")
            .query(B, "NOTIFY c, 'told to nobody'")
            .query(A, "SELECT 'nothing came'")
            .query(C, "SELECT 'served'")
            .run();
    });
}

#[test]
fn listening_that_the_text_hides_is_listening() {
    for listen in [
        "DO $$ BEGIN EXECUTE 'LIS' || 'TEN c'; END $$",
        "SELECT listen_to('c')",
        "/* LISTEN */ listen C",
    ] {
        either_way(1, |script| {
            script
            .setup("CREATE FUNCTION listen_to(name text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'LISTEN ' || name; END $$")
            .query(A, listen)
            .query(B, "NOTIFY c, 'told'")
            .until(A, b'A')
            .query(A, "UNLISTEN c")
            .query(B, "NOTIFY c, 'told to nobody'")
            .query(A, "SELECT 'nothing came'")
            .run();
        });
    }
}

#[test]
fn settings_and_notifications_go_together() {
    either_way(1, |script| {
        script
            .query(A, "SET work_mem = '9MB'; SET ROLE guest")
            .query(A, "LISTEN c")
            .query(B, "SET work_mem = '5MB'; NOTIFY c, 'told'")
            .until(A, b'A')
            .query(A, "SHOW work_mem; SELECT current_user")
            .query(A, "SET work_mem = '10MB'; RESET ROLE; UNLISTEN c")
            .query(B, "SHOW work_mem; SELECT current_user")
            .query(A, "SHOW work_mem; SELECT current_user")
            .query(C, "SHOW work_mem; SELECT current_user")
            .run();
    });
}

#[test]
fn whoever_tells_keeps_nothing() {
    following()
        .query(A, "NOTIFY c, 'told'")
        .query(B, "BEGIN; NOTIFY c, 'told'; COMMIT")
        .ask(
            C,
            [query("SELECT pg_notify('c', 'told')"), query("NOTIFY c")].concat(),
            2,
        )
        .query(A, "UNLISTEN *")
        .query(B, "SELECT 'served'")
        .run();
}
