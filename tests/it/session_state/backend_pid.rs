//! pg_backend_pid() is the same as long as the session lasts.

use super::keeping;
use crate::support::differential::{A, B, C};

#[test]
fn a_process_id_that_was_asked_for_stays() {
    keeping(2)
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
