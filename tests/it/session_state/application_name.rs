//! application_name is what a client began with, until it sets another, and
//! again when it resets that, whatever `application_name_policy` is.

use super::following;
use crate::support::differential::{A, B, C, Script};
use crate::support::frames::{bind, describe, execute, extended, parse, sync};

/// A script that is run with each of some policies. One client has its name in the
/// session that the others get.
fn with(policies: &[&str], play: impl Fn(Script) -> Script) {
    for policy in policies {
        let script = following()
            .setting("application_name_policy", &format!("{policy:?}"))
            .connect(C, &[("application_name", "of nobody")])
            .query(C, "SET application_name = 'of c'");
        play(script).query(C, "SHOW application_name").run();
    }
}

#[test]
fn reset_goes_back_to_the_application_name_of_the_startup() {
    for forget in [
        "RESET application_name",
        "RESET ALL",
        "DISCARD ALL",
        "SET application_name TO DEFAULT",
    ] {
        with(&["exact", "off"], |script| {
            script
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
        });
    }
}

#[test]
fn an_application_name_is_back_after_a_rollback() {
    with(&["exact", "off"], |script| {
        script
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
    });
}

#[test]
fn amid_a_transaction_a_client_has_its_own_name() {
    // That of the session as well, in which nothing changes then.
    for new in ["new", "of c"] {
        let set = format!("SET application_name = '{new}'");
        for end in ["COMMIT", "ROLLBACK", "ROLLBACK TO a; COMMIT"] {
            with(&["off"], |script| {
                script
                    .connect(A, &[("application_name", "of a")])
                    .query(A, "BEGIN")
                    .query(A, "SELECT 1")
                    .query(A, "SHOW application_name")
                    .query(A, "SAVEPOINT a")
                    .query(A, &set)
                    .query(A, "SHOW application_name")
                    .query(A, "SELECT 2")
                    .query(A, end)
                    .query(A, "SELECT 3")
                    .query(C, "SELECT 4")
                    .query(A, "BEGIN")
                    .query(A, "SELECT 5/0")
                    .query(A, "SHOW application_name")
                    .query(A, "ROLLBACK")
                    .query(A, "SHOW application_name")
            });
        }
    }
}

#[test]
fn a_prepared_statement_tells_and_sets_the_clients_own_name() {
    let run = |name: &str| [bind("", name, &[]), execute("", 0), sync()].concat();
    for set in [
        "SET application_name = 'of c'",
        "SET application_name = 'new'",
    ] {
        with(&["off"], |script| {
            let prepare = [
                parse("tells", "SHOW application_name"),
                describe(b'S', "tells"),
                parse("sets", set),
                sync(),
            ];
            script
                .connect(A, &[("application_name", "of a")])
                .ask(A, prepare.concat(), 1)
                .query(C, "SELECT 1")
                .ask(A, run("tells"), 1)
                .query(C, "SELECT 1")
                .query(A, "BEGIN")
                .ask(A, run("tells"), 1)
                .ask(A, run("sets"), 1)
                .ask(A, run("tells"), 1)
                .query(A, "ROLLBACK")
                .query(C, "SELECT 1")
                .ask(A, run("sets"), 1)
                .query(C, "SELECT 1")
                .ask(A, run("tells"), 1)
                .ask(A, extended("SELECT current_setting('application_name')"), 1)
        });
    }
}

#[test]
fn what_resets_something_else_leaves_the_name_as_it_is() {
    for forget in ["DISCARD PLANS", "RESET work_mem", "RESET ALL"] {
        with(&["off"], |script| {
            script
                .query(C, "SET application_name = ''")
                .query(A, "SET application_name = 'new'")
                .query(C, "SELECT current_setting('application_name')")
                .ask(A, extended(forget), 1)
                .query(C, "SELECT current_setting('application_name')")
                .query(A, "SHOW application_name")
                .query(A, "SET application_name = 'new'")
                .query(C, "SELECT current_setting('application_name')")
                .query(A, "BEGIN")
                .query(
                    A,
                    if forget == "RESET ALL" {
                        "SELECT 1"
                    } else {
                        "RESET work_mem"
                    },
                )
                .query(A, "COMMIT")
                .query(A, "SHOW application_name")
        });
    }
}

#[test]
fn other_settings_change_beside_the_name() {
    with(&["lazy", "off"], |script| {
        script
            .connect(A, &[("application_name", "of a")])
            .query(A, "SET TimeZone = 'Asia/Tokyo'")
            .query(C, "SELECT 1")
            .query(A, "BEGIN")
            .query(A, "SHOW TimeZone")
            .query(A, "SET TimeZone = 'Europe/Berlin'; SET work_mem = '5MB'")
            .query(A, "COMMIT")
            .query(C, "SHOW TimeZone")
            .query(A, "RESET work_mem")
            .query(C, "SELECT 1")
            .query(A, "SHOW application_name")
    });
}
