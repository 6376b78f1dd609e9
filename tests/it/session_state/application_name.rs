//! application_name is what a client began with, until it sets another, and
//! again when it resets that.

use super::following;
use crate::support::differential::{A, B, C};

#[test]
fn reset_goes_back_to_the_application_name_of_the_startup() {
    for forget in [
        "RESET application_name",
        "RESET ALL",
        "DISCARD ALL",
        "SET application_name TO DEFAULT",
    ] {
        following()
            .connect(A, &[("application_name", "of a")])
            .connect(B, &[("application_name", "of b")])
            .query(A, "SHOW application_name")
            .query(A, "SET application_name = 'other'")
            .query(A, "SHOW application_name")
            .query(B, "SHOW application_name")
            .query(A, forget)
            .query(A, "SHOW application_name")
            .query(B, forget)
            .query(B, "SHOW application_name")
            .query(C, "SHOW application_name")
            .run();
    }
}

#[test]
fn an_application_name_is_back_after_a_rollback() {
    following()
        .connect(A, &[("application_name", "of a")])
        .query(A, "BEGIN; SET application_name = 'other'; ROLLBACK")
        .query(A, "SHOW application_name")
        .query(A, "SET application_name = 'other'; SELECT 1/0")
        .query(A, "SHOW application_name")
        .query(
            A,
            "BEGIN; RESET application_name; SET LOCAL application_name = 'local'; COMMIT",
        )
        .query(A, "SHOW application_name")
        .query(B, "SHOW application_name")
        .run();
}
