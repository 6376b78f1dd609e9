//! State that is made by what the text does not even name: functions called by
//! views, rules, defaults, policies and constraints.

use super::{following, keeping};
use crate::support::differential::{A, B, C, Script};
use crate::support::frames::extended;

const LOOK: &str =
    "SELECT nullif(current_setting('app.tenant', true), ''), current_setting('work_mem')";

fn with_functions(case: Script) -> Script {
    case.custom(&["app.tenant"])
        .setup(
            "CREATE FUNCTION f_note(name text, value text) RETURNS bool LANGUAGE plpgsql AS \
             $$ BEGIN PERFORM set_config(name, value, false); RETURN true; END $$",
        )
        .setup(
            "CREATE FUNCTION f_make() RETURNS bool LANGUAGE plpgsql AS \
             $$ BEGIN CREATE TEMP TABLE o (x int); RETURN true; END $$",
        )
}

/// After `make` A has a tenant, and after `again` another one.
fn is_kept(setup: &str, make: &str, again: &str) {
    with_functions(following())
        .setup(setup)
        .query(A, make)
        .query(A, LOOK)
        .query(B, LOOK)
        .query(B, "SET work_mem = '9MB'")
        .ask(A, extended(again), 1)
        .query(A, LOOK)
        .query(B, LOOK)
        .query(C, LOOK)
        .run();
}

#[test]
fn a_setting_made_by_a_view_is_kept() {
    is_kept(
        "CREATE VIEW v AS SELECT f_note('app.tenant', 'of the view') AS x",
        "SELECT x FROM v",
        "SELECT x, f_note('work_mem', '7MB') FROM v",
    );
}

#[test]
fn a_setting_made_by_a_default_is_kept() {
    is_kept(
        "CREATE TABLE t (n int, x bool DEFAULT f_note('app.tenant', 'by default'))",
        "INSERT INTO t (n) VALUES (1)",
        "INSERT INTO t VALUES (1) RETURNING x",
    );
}

#[test]
fn a_setting_made_by_a_check_is_kept() {
    is_kept(
        "CREATE TABLE t (x text CHECK (f_note('app.tenant', x)))",
        "INSERT INTO t VALUES ('one')",
        "UPDATE t SET x = 'two'",
    );
}

#[test]
fn a_setting_made_by_a_rule_is_kept() {
    is_kept(
        "CREATE TABLE t (x text); \
         CREATE RULE r AS ON INSERT TO t DO ALSO SELECT f_note('app.tenant', NEW.x)",
        "INSERT INTO t VALUES ('one')",
        "INSERT INTO t VALUES ('two')",
    );
}

#[test]
fn a_setting_made_by_a_policy_is_kept() {
    with_functions(following())
        .setup("CREATE TABLE t AS SELECT 'one' AS x; GRANT ALL ON t TO guest")
        .setup("ALTER TABLE t ENABLE ROW LEVEL SECURITY")
        .setup("CREATE POLICY p ON t USING (f_note('app.tenant', x))")
        .query(A, "SET ROLE guest")
        .query(A, "SELECT x FROM t")
        .query(A, LOOK)
        .query(B, LOOK)
        .query(A, "RESET ROLE")
        .query(A, LOOK)
        .run();
}

#[test]
fn a_temporary_table_made_by_a_view_is_kept() {
    with_functions(keeping(1))
        .setup("CREATE VIEW v AS SELECT f_make() AS x")
        .query(A, "SELECT x FROM v")
        .query(A, "INSERT INTO o VALUES (1)")
        .query(B, "SELECT x FROM o")
        .query(A, "SELECT x FROM o")
        .query(A, "DROP TABLE o")
        .query(C, "SELECT 'served'")
        .run();
}
