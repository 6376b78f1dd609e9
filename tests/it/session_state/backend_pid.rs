//! pg_backend_pid() is the same for a while, whoever else is served meanwhile.

use super::keeping;
use crate::support::differential::{A, B, C};

#[test]
fn a_process_id_that_was_asked_for_stays() {
    keeping(2)
        .setting("pin_process", "\"30s\"")
        .custom(&["app.pid"])
        .query(
            A,
            "SELECT set_config('app.pid', pg_backend_pid()::text, false) IS NULL",
        )
        .query(
            B,
            "SELECT set_config('app.pid', pg_backend_pid()::text, false) IS NULL",
        )
        .query(
            A,
            "SELECT current_setting('app.pid') = pg_backend_pid()::text",
        )
        .query(C, "SELECT 'other'")
        .query(
            B,
            "SELECT current_setting('app.pid') = pg_backend_pid()::text",
        )
        .query(
            A,
            "SELECT current_setting('app.pid') = pg_backend_pid()::text",
        )
        .run();
}

#[test]
fn it_stays_no_longer_than_that() {
    keeping(0)
        .setting("pin_process", "\"50ms\"")
        .query(A, "SELECT pg_backend_pid() > 0")
        .query(B, "SELECT 'served'")
        .query(A, "BEGIN; SELECT pg_backend_pid() > 0")
        .query(A, "COMMIT")
        .query(C, "SELECT 'served'")
        .run();
}
