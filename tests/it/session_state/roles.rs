//! SET ROLE and SET SESSION AUTHORIZATION: nobody ever runs as somebody else.

use super::{following, prepare, run, run_with};
use crate::support::differential::{A, B, C};
use crate::support::frames::{extended, query, sync, unnamed};

const LOOK: &str = "SELECT current_user, session_user, current_setting('role')";

#[test]
fn a_role_is_kept_and_reported() {
    following()
        .query(A, "SET ROLE guest")
        .query(A, LOOK)
        .query(B, LOOK)
        .query(A, "SHOW is_superuser")
        .query(A, "SET ROLE none")
        .query(A, LOOK)
        .query(A, "SET ROLE 'guest'")
        .query(A, LOOK)
        .query(A, "RESET ROLE")
        .query(A, LOOK)
        .query(C, LOOK)
        .run();
}

#[test]
fn a_role_holds_through_reset_all_and_not_through_discard_all() {
    following()
        .query(A, "SET ROLE guest; SET work_mem = '9MB'")
        .query(A, "RESET ALL")
        .query(A, LOOK)
        .query(A, "SHOW work_mem")
        .query(A, "DISCARD ALL")
        .query(A, LOOK)
        .query(B, "SET SESSION AUTHORIZATION guest")
        .query(B, "RESET ALL")
        .query(B, LOOK)
        .query(B, "DISCARD ALL")
        .query(B, LOOK)
        .query(A, LOOK)
        .run();
}

#[test]
fn an_authorization_is_kept_and_reported() {
    following()
        .query(A, "SET SESSION AUTHORIZATION guest")
        .query(A, LOOK)
        .query(B, LOOK)
        .query(A, "SELECT current_setting('session_authorization')")
        .query(A, "RESET SESSION AUTHORIZATION")
        .query(A, LOOK)
        .query(B, "SET SESSION SESSION AUTHORIZATION 'guest'")
        .query(A, LOOK)
        .query(B, LOOK)
        .query(B, "SET SESSION AUTHORIZATION DEFAULT")
        .query(B, LOOK)
        .run();
}

#[test]
fn a_role_and_an_authorization_together_are_kept() {
    following()
        .setup("CREATE ROLE {database}_r; GRANT {database}_r TO guest")
        .query(A, "SET SESSION AUTHORIZATION guest")
        .call(A, "SET ROLE {database}_r")
        .query(A, LOOK)
        .query(B, "SET ROLE guest")
        .query(B, "SET SESSION AUTHORIZATION guest")
        .query(B, LOOK)
        .query(A, "SET ROLE postgres")
        .query(A, LOOK)
        .query(A, "RESET ROLE")
        .query(A, LOOK)
        .call(A, "SET ROLE {database}_r")
        .query(A, "RESET SESSION AUTHORIZATION")
        .query(A, LOOK)
        .query(C, LOOK)
        .query(B, LOOK)
        .run();
}

#[test]
fn two_roles_see_their_own_rows() {
    following()
        .setup("CREATE ROLE {database}_r; CREATE TABLE t AS SELECT 'guest' AS who UNION SELECT '{database}_r'")
        .setup("ALTER TABLE t ENABLE ROW LEVEL SECURITY; GRANT ALL ON t TO guest, {database}_r")
        .setup("CREATE POLICY p ON t USING (who = current_user)")
        .query(A, "SET ROLE guest")
        .call(B, "SET ROLE {database}_r")
        .query(A, "SELECT who FROM t")
        .query(B, "SELECT who FROM t")
        .query(C, "SELECT who FROM t ORDER BY who = 'guest'")
        .ask(A, extended("SELECT who FROM t"), 1)
        .ask(B, extended("SELECT who FROM t"), 1)
        .query(A, "SET row_security = off")
        .query(A, "SELECT who FROM t")
        .query(B, "SELECT who FROM t")
        .run();
}

#[test]
fn a_shared_text_runs_with_the_rights_of_who_runs_it() {
    let text = "SELECT x, current_user FROM secret";
    following()
        .setup("CREATE TABLE secret AS SELECT 'secret' AS x")
        .ask(B, prepare("s1", text), 1)
        .ask(A, prepare("s1", text), 1)
        .query(A, "SET ROLE guest")
        .ask(A, run("s1"), 1)
        .ask(B, run("s1"), 1)
        .ask(A, prepare("s2", text), 1)
        .ask(A, run("s2"), 1)
        .query(A, "RESET ROLE")
        .ask(A, run("s1"), 1)
        .ask(A, run("s2"), 1)
        .query(B, "SET SESSION AUTHORIZATION guest")
        .ask(B, run("s1"), 1)
        .ask(A, run("s1"), 1)
        .run();
}

#[test]
fn what_only_the_superuser_may_set_is_kept_under_a_role_without_rights() {
    following()
        .query(
            A,
            "SET session_replication_role = replica; SET log_min_duration_statement = '7s'",
        )
        .query(A, "SET ROLE guest")
        .query(A, "SHOW session_replication_role")
        .query(A, "SHOW log_min_duration_statement")
        .query(B, "SHOW session_replication_role")
        .query(A, "SET session_replication_role = origin")
        .query(A, "SHOW session_replication_role")
        .query(A, "RESET ROLE")
        .query(A, "SHOW session_replication_role")
        .query(B, "SET SESSION AUTHORIZATION guest")
        .query(B, "SET session_replication_role = replica")
        .query(B, "SHOW session_replication_role")
        .query(
            B,
            "RESET session_replication_role; SHOW session_replication_role",
        )
        .query(A, "RESET ALL")
        .query(A, "SHOW session_replication_role")
        .run();
}

#[test]
fn roles_set_by_set_config_and_in_hiding_are_kept() {
    following()
        .setup(
            "CREATE FUNCTION become(who text) RETURNS text LANGUAGE plpgsql AS \
             $$ BEGIN RETURN set_config('role', who, false); END $$",
        )
        .query(A, "SELECT set_config('role', 'guest', false)")
        .query(A, LOOK)
        .query(B, LOOK)
        .query(A, "SELECT set_config('role', 'none', false)")
        .query(A, LOOK)
        .query(A, "SELECT become('guest')")
        .query(A, LOOK)
        .query(B, LOOK)
        .query(A, "RESET ROLE")
        .ask(A, prepare("s1", "SELECT set_config($1, $2, false)"), 1)
        .ask(A, run_with("s1", &["session_authorization", "guest"]), 1)
        .query(A, LOOK)
        .query(B, LOOK)
        .query(B, "DO $$ BEGIN SET ROLE guest; END $$")
        .query(B, LOOK)
        .query(C, LOOK)
        .run();
}

#[test]
fn set_local_role_ends_with_its_transaction() {
    following()
        .query(
            A,
            "BEGIN; SET LOCAL ROLE guest; SELECT current_user; COMMIT",
        )
        .query(A, LOOK)
        .query(A, "SET ROLE guest")
        .query(A, "BEGIN; SET LOCAL ROLE none")
        .query(A, LOOK)
        .query(A, "COMMIT")
        .query(A, LOOK)
        .query(A, "BEGIN; SET LOCAL SESSION AUTHORIZATION DEFAULT")
        .query(A, LOOK)
        .query(A, "COMMIT")
        .query(A, LOOK)
        .query(B, LOOK)
        .run();
}

#[test]
fn a_refused_role_is_an_error_at_once_and_changes_nothing() {
    following()
        .query(A, "SET ROLE guest")
        .query(A, "SET ROLE nobody_of_this_name")
        .query(A, "SET SESSION AUTHORIZATION nobody_of_this_name")
        .query(A, LOOK)
        .query(A, "SET SESSION AUTHORIZATION guest")
        .query(A, LOOK)
        .query(A, "SET ROLE postgres")
        .query(A, LOOK)
        .ask(A, extended("SET ROLE postgres"), 1)
        .query(A, "SET ROLE guest; SET ROLE postgres")
        .query(A, LOOK)
        .query(B, LOOK)
        .run();
}

#[test]
fn roles_change_within_one_write() {
    let ahead = [
        query("SET ROLE guest"),
        query(LOOK),
        query("RESET ROLE"),
        query(LOOK),
        query("SET SESSION AUTHORIZATION guest"),
        extended(LOOK),
        extended("RESET SESSION AUTHORIZATION"),
        extended(LOOK),
        extended("SET ROLE guest"),
    ]
    .concat();
    let batch = [
        unnamed("RESET ROLE"),
        unnamed(LOOK),
        unnamed("SET ROLE guest"),
        unnamed(LOOK),
        unnamed("SELECT 1/0"),
        sync(),
    ]
    .concat();
    following()
        .setup("CREATE TABLE secret AS SELECT 'secret' AS x")
        .ask(A, ahead, 9)
        .query(A, LOOK)
        .query(B, LOOK)
        .ask(A, batch, 1)
        .query(A, LOOK)
        .query(A, "SELECT x FROM secret")
        .query(B, "SELECT x FROM secret")
        .run();
}

#[test]
fn who_owns_what_is_made_is_who_made_it() {
    following()
        .setup("GRANT CREATE ON SCHEMA public TO guest")
        .query(A, "SET ROLE guest")
        .query(A, "CREATE TABLE of_guest (x int)")
        .query(B, "CREATE TABLE of_the_superuser (x int)")
        .query(A, "CREATE FUNCTION f() RETURNS text LANGUAGE sql SECURITY DEFINER AS 'SELECT current_user::text'")
        .query(B, "SELECT tablename, tableowner FROM pg_tables WHERE tablename LIKE 'of_%' ORDER BY 1")
        .query(B, "SELECT f(), current_user")
        .query(A, "DROP TABLE of_the_superuser")
        .query(A, "SELECT f(), current_user")
        .query(A, "DROP TABLE of_guest")
        .run();
}
