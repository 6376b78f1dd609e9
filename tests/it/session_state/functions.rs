//! State that a function, a trigger, a view or a procedure makes without the
//! text of the query saying so.

use super::{following, keeping, prepare, run};
use crate::support::differential::{A, B, C, Script};
use crate::support::frames::extended;

/// Functions whose names say nothing.
fn with_functions(case: Script) -> Script {
    case.custom(&["app.tenant", "app.other"])
        .setup(
            "CREATE FUNCTION f_note(name text, value text) RETURNS text LANGUAGE plpgsql AS \
             $$ BEGIN RETURN set_config(name, value, false); END $$",
        )
        .setup(
            "CREATE FUNCTION f_said(text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN EXECUTE $1; END $$",
        )
        .setup("CREATE FUNCTION f_tenant(text) RETURNS text LANGUAGE sql AS $$ SELECT f_note('app.tenant', $1) $$")
        .setup("CREATE TABLE watched (x text)")
        .setup(
            "CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN PERFORM f_tenant(NEW.x); RETURN NEW; END $$",
        )
        .setup("CREATE TRIGGER tell BEFORE INSERT OR UPDATE ON watched FOR EACH ROW EXECUTE FUNCTION tell()")
}

const LOOK: &str = "SELECT nullif(current_setting('app.tenant', true), ''), nullif(current_setting('app.other', true), ''), current_setting('work_mem')";

#[test]
fn a_setting_made_in_a_function_is_kept() {
    with_functions(following())
        .query(A, "SELECT f_tenant('8')")
        .query(A, LOOK)
        .query(B, LOOK)
        .query(B, "SELECT f_tenant('9'), f_note('work_mem', '9MB')")
        .query(A, LOOK)
        .query(B, LOOK)
        .ask(A, prepare("s1", "SELECT f_tenant('prepared')"), 1)
        .ask(A, run("s1"), 1)
        .query(A, LOOK)
        .ask(
            A,
            extended("SELECT f_note('work_mem', NULL), f_note('app.tenant', NULL)"),
            1,
        )
        .query(A, LOOK)
        .query(C, LOOK)
        .query(B, LOOK)
        .run();
}

#[test]
fn a_setting_made_by_a_trigger_is_kept() {
    with_functions(following())
        .query(A, "INSERT INTO watched VALUES ('by a trigger')")
        .query(A, LOOK)
        .query(B, LOOK)
        .ask(
            C,
            extended("UPDATE watched SET x = 'by an update' RETURNING x"),
            1,
        )
        .query(C, LOOK)
        .query(A, "INSERT INTO watched VALUES ('never'), (1/0)")
        .query(A, LOOK)
        .query(
            B,
            "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) SELECT f_tenant('explained')",
        )
        .query(B, LOOK)
        .query(C, "COPY (SELECT f_tenant('copied')) TO STDOUT")
        .query(C, LOOK)
        .query(A, LOOK)
        .run();
}

#[test]
fn a_function_with_a_setting_of_its_own_leaves_what_it_should() {
    with_functions(following())
        .setup(
            "CREATE FUNCTION f_clause() RETURNS text LANGUAGE plpgsql SET work_mem = '6MB' AS \
             $$ BEGIN PERFORM set_config('app.tenant', 'from within', false); RETURN current_setting('work_mem'); END $$",
        )
        .setup(
            "CREATE FUNCTION f_within() RETURNS text LANGUAGE plpgsql SET work_mem = '6MB' AS \
             $$ BEGIN PERFORM set_config('work_mem', '7MB', false); RETURN current_setting('work_mem'); END $$",
        )
        .setup(
            "CREATE FUNCTION f_local() RETURNS text LANGUAGE plpgsql AS \
             $$ BEGIN SET LOCAL work_mem = '8MB'; RETURN current_setting('work_mem'); END $$",
        )
        .query(A, "SELECT f_clause()")
        .query(A, LOOK)
        .query(A, "SELECT f_within()")
        .query(A, LOOK)
        .query(A, "SELECT f_local()")
        .query(A, LOOK)
        .query(B, LOOK)
        .run();
}

#[test]
fn a_setting_made_in_a_function_that_fails_is_not_kept() {
    with_functions(following())
        .query(A, "SELECT f_tenant('kept')")
        .query(A, "SELECT f_tenant('lost'), 1/0")
        .query(A, LOOK)
        .query(A, "BEGIN; SELECT f_tenant('lost too')")
        .query(A, "ROLLBACK")
        .query(A, LOOK)
        .query(
            A,
            "BEGIN; SAVEPOINT s; SELECT f_tenant('lost as well'); ROLLBACK TO s; COMMIT",
        )
        .query(A, LOOK)
        .query(B, LOOK)
        .run();
}

#[test]
fn a_prepare_in_a_function_is_its_clients_own() {
    with_functions(keeping(1))
        .query(A, "SELECT f_said('PREPARE q1 AS SELECT ''of a''')")
        .query(A, "EXECUTE q1")
        .query(B, "EXECUTE q1")
        .ask(A, run("q1"), 1)
        .query(A, "EXECUTE q1")
        .query(A, "SELECT f_said('DEALLOCATE q1')")
        .query(A, "EXECUTE q1")
        .query(C, "SELECT 'served'")
        .run();
}

#[test]
fn all_forgotten_in_a_function_is_forgotten_for_its_client_alone() {
    with_functions(following())
        .ask(A, prepare("s1", "SELECT 'of a'"), 1)
        .ask(B, prepare("s1", "SELECT 'of b'"), 1)
        .ask(A, run("s1"), 1)
        .ask(B, run("s1"), 1)
        .query(A, "SELECT f_said('DEALLOCATE ALL')")
        .ask(B, run("s1"), 1)
        .ask(B, run("s1"), 1)
        .ask(A, run("s1"), 1)
        .ask(A, prepare("s1", "SELECT 'new'"), 1)
        .ask(A, run("s1"), 1)
        .run();
}

#[test]
fn a_function_that_resets_resets() {
    with_functions(following())
        .query(
            A,
            "SET work_mem = '9MB'; SET app.tenant = '1'; SET ROLE guest",
        )
        .query(A, "SELECT f_said('RESET work_mem')")
        .query(A, LOOK)
        .query(A, "SELECT f_said('RESET ALL')")
        .query(A, LOOK)
        .query(A, "SELECT current_user")
        .query(A, "SELECT f_said('RESET ROLE')")
        .query(A, "SELECT current_user")
        .query(B, "SELECT f_said('SET SESSION AUTHORIZATION guest')")
        .query(B, "SELECT current_user, session_user")
        .query(A, "SELECT current_user, session_user")
        .run();
}

#[test]
fn a_procedure_with_transactions_of_its_own_keeps_what_it_committed() {
    with_functions(keeping(1))
        .setup(
            "CREATE PROCEDURE p() LANGUAGE plpgsql AS $$ BEGIN \
             PERFORM f_tenant('committed'); CREATE TEMP TABLE mine (x int); COMMIT; \
             PERFORM f_tenant('rolled back'); DROP TABLE mine; ROLLBACK; \
             RAISE NOTICE 'tenant is %', current_setting('app.tenant'); END $$",
        )
        .query(A, "CALL p()")
        .query(A, LOOK)
        .query(A, "SELECT count(*) FROM mine")
        .query(B, "SELECT count(*) FROM mine")
        .query(B, LOOK)
        .query(A, "DROP TABLE mine")
        .query(A, LOOK)
        .run();
}
