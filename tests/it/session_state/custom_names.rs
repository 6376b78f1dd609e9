//! PostgreSQL never forgets that a setting with a dot in its name was set:
//! afterwards it is empty instead of unknown, in this session and only there.

use super::following;
use crate::support::differential::{A, B, C};

const LOOK: &str = "SELECT current_setting('app.zz', true) IS NULL";

#[test]
fn a_name_that_another_has_used_is_unknown_to_the_others() {
    following()
        .query(B, "SET app.zz = 'x'")
        .query(B, "RESET app.zz")
        .query(B, LOOK)
        .query(A, LOOK)
        .query(C, LOOK)
        .query(B, "SHOW app.zz")
        .query(A, "SHOW app.zz")
        .leave(B)
        .query(A, LOOK)
        .query(C, "SELECT current_setting('app.zz')")
        .run();
}

#[test]
fn a_policy_that_asks_for_null_is_not_fooled() {
    following()
        .setup("CREATE TABLE t AS SELECT 'everybodys' AS x")
        .setup("ALTER TABLE t ENABLE ROW LEVEL SECURITY; GRANT ALL ON t TO guest")
        .setup("CREATE POLICY p ON t USING (current_setting('app.zz', true) IS NULL OR current_setting('app.zz', true) = 'x')")
        .query(A, "SET ROLE guest")
        .query(A, "SELECT x FROM t")
        .query(B, "BEGIN; SET LOCAL app.zz = 'y'; COMMIT")
        .query(A, "SELECT x FROM t")
        .query(B, "SET ROLE guest")
        .query(B, "SELECT x FROM t")
        .run();
}

#[test]
fn a_name_of_ones_own_is_empty_after_it_was_reset() {
    for forget in [
        "RESET app.zz",
        "RESET ALL",
        "DISCARD ALL",
        "SET app.zz TO DEFAULT",
    ] {
        following()
            .query(A, "SET app.zz = 'x'")
            .query(A, forget)
            .query(A, "SHOW app.zz")
            .query(A, LOOK)
            .run();
    }
    following()
        .query(A, "BEGIN; SET LOCAL app.zz = 'x'; COMMIT")
        .query(A, "SHOW app.zz")
        .query(A, "SET app.zz = 'x'; SELECT 1/0")
        .query(A, "SHOW app.zz")
        .query(A, "RESET app.yy")
        .query(A, "SHOW app.yy")
        .run();
}
