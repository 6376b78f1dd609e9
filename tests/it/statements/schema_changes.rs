//! Statements whose tables change under them.

use super::{closed, described, prepare, run};
use crate::support::differential::{A, B, C, script};
use crate::support::frames::{close, parse, query, sync, unnamed};
use crate::support::pooler::Plan;
use crate::support::postgres::Cluster;
use crate::support::raw::{Connection, first_error};
use crate::support::wait;

const TEXT: &str = "SELECT * FROM t";

#[test]
fn a_changed_result_is_told_and_healed_by_close_and_parse() {
    let again = [close(b'S', "s1"), parse("s1", TEXT), sync()].concat();
    script()
        // On another server connection it would be parsed anew.
        .pools(&[1])
        .setup("CREATE TABLE t AS SELECT 1 AS x")
        .ask(A, prepare("s1", TEXT), 1)
        .ask(B, prepare("s1", TEXT), 1)
        .ask(A, run("s1"), 1)
        .query(C, "ALTER TABLE t ADD y int DEFAULT 2")
        .ask(A, run("s1"), 1)
        .ask(A, &again, 1)
        .ask(A, run("s1"), 1)
        .ask(B, run("s1"), 1)
        .ask(B, &again, 1)
        .ask(B, run("s1"), 1)
        .run();
}

#[test]
fn a_client_that_prepares_after_the_change_knows_nothing_of_it() {
    script()
        .setup("CREATE TABLE t AS SELECT 1 AS x")
        .ask(A, prepare("s1", TEXT), 1)
        .ask(A, run("s1"), 1)
        .ask(A, run("s1"), 1)
        .query(C, "ALTER TABLE t ADD y int DEFAULT 2")
        .ask(B, prepare("s1", TEXT), 1)
        .ask(B, described("s1"), 1)
        .ask(B, run("s1"), 1)
        .ask(B, run("s1"), 1)
        .run();
}

#[test]
fn a_client_that_prepares_again_without_trying_first_knows_nothing_of_it() {
    let again = [close(b'S', "s1"), parse("s1", TEXT), sync()].concat();
    script()
        .setup("CREATE TABLE t AS SELECT 1 AS x")
        .ask(A, prepare("s1", TEXT), 1)
        .ask(B, prepare("s1", TEXT), 1)
        .ask(A, run("s1"), 1)
        .ask(B, run("s1"), 1)
        .query(C, "ALTER TABLE t ALTER x TYPE text")
        .ask(A, again, 1)
        .ask(A, run("s1"), 1)
        .ask(A, run("s1"), 1)
        .run();
}

#[test]
fn a_dropped_table_is_told_at_parse_though_others_hold_the_statement() {
    script()
        .setup("CREATE TABLE t AS SELECT 1 AS x")
        .ask(A, prepare("s1", TEXT), 1)
        .ask(A, run("s1"), 1)
        .ask(A, run("s1"), 1)
        .query(C, "DROP TABLE t")
        .ask(B, prepare("s1", TEXT), 1)
        .ask(B, run("s1"), 1)
        .run();
}

#[test]
fn a_dropped_table_is_told_and_its_successor_found() {
    script()
        .setup("CREATE TABLE t AS SELECT 1 AS x")
        .ask(A, prepare("s1", TEXT), 1)
        .ask(A, run("s1"), 1)
        .query(C, "DROP TABLE t")
        .ask(A, run("s1"), 1)
        .ask(A, closed("s1"), 1)
        .ask(A, prepare("s1", TEXT), 1)
        .query(C, "CREATE TABLE t AS SELECT 'new' AS z")
        .ask(A, prepare("s1", TEXT), 1)
        .ask(A, run("s1"), 1)
        .run();
}

#[test]
fn a_changed_result_fails_its_transaction() {
    script()
        .pools(&[1])
        .setup("CREATE TABLE t AS SELECT 1 AS x")
        .ask(A, prepare("s1", TEXT), 1)
        .query(A, "BEGIN")
        .query(A, "ALTER TABLE t ADD y int DEFAULT 2")
        .ask(A, run("s1"), 1)
        .query(A, "ROLLBACK")
        .ask(A, run("s1"), 1)
        .run();
}

#[test]
fn a_statement_on_a_table_of_its_own_transaction_is_no_others() {
    let inside = "SELECT * FROM u";
    script()
        .query(A, "BEGIN; CREATE TABLE u AS SELECT 1 AS x")
        .ask(A, prepare("s1", inside), 1)
        .ask(A, run("s1"), 1)
        .query(A, "ROLLBACK")
        .ask(B, prepare("s1", inside), 1)
        .ask(A, run("s1"), 1)
        .run();
}

#[test]
fn columns_that_a_client_was_told_do_not_change_unseen() {
    let again = [close(b'S', "s1"), parse("s1", TEXT), sync()].concat();
    script()
        .setup("CREATE TABLE t AS SELECT 1 AS x, 2 AS y")
        .ask(A, prepare("s1", TEXT), 1)
        .ask(A, described("s1"), 1)
        .query(C, "ALTER TABLE t DROP x, ADD x text DEFAULT 'new'")
        .ask(A, run("s1"), 1)
        .ask(A, run("s1"), 1)
        .ask(A, described("s1"), 1)
        .ask(A, again, 1)
        .ask(A, described("s1"), 1)
        .ask(A, run("s1"), 1)
        .ask(A, run("s1"), 1)
        .run();
}

/// On a server connection that never had the plan of before.
#[test]
fn changed_columns_are_found_when_they_are_asked_for() {
    script()
        .pools(&[2])
        .setup("CREATE TABLE t AS SELECT 1 AS x, 2 AS y")
        .ask(A, prepare("s1", "SELECT * FROM t WHERE x = $1"), 1)
        .ask(A, described("s1"), 1)
        .query(C, "ALTER TABLE t ADD z text")
        .query(B, "BEGIN")
        .ask(A, described("s1"), 1)
        .query(A, "SELECT 1")
        .query(B, "COMMIT")
        .query(A, "BEGIN")
        .ask(B, described("s1"), 1)
        .ask(A, described("s1"), 1)
        .ask(A, described("s1"), 1)
        .query(A, "ROLLBACK")
        .run();
}

#[test]
fn columns_that_have_changed_fail_their_transaction() {
    script()
        .setup("CREATE TABLE t AS SELECT 1 AS x, 2 AS y")
        .ask(A, prepare("s1", TEXT), 1)
        .ask(A, described("s1"), 1)
        .query(C, "ALTER TABLE t ALTER y TYPE text")
        .query(A, "BEGIN")
        .ask(A, [run("s1"), run("s1")].concat(), 2)
        .query(A, "SELECT 1")
        .query(A, "ROLLBACK")
        .query(A, "SELECT 1")
        .run();
}

#[test]
fn columns_that_are_the_same_after_a_change_are_no_error() {
    script()
        .setup("CREATE TABLE t AS SELECT 1 AS x, 2 AS y")
        .setup("CREATE TABLE u (z int)")
        .ask(A, prepare("s1", TEXT), 1)
        .ask(A, described("s1"), 1)
        .ask(B, prepare("s2", "INSERT INTO u VALUES (3)"), 1)
        .ask(B, described("s2"), 1)
        .query(C, "CREATE INDEX ON t (x)")
        .ask(A, [run("s1"), run("s1")].concat(), 2)
        .ask(B, run("s2"), 1)
        .query(C, "DROP TABLE t; CREATE TABLE t AS SELECT 4 AS x, 5 AS y")
        .ask(A, run("s1"), 1)
        .ask(A, run("s1"), 1)
        .ask(B, run("s2"), 1)
        .run();
}

#[test]
fn a_table_that_is_gone_is_missed_by_what_was_prepared_before() {
    script()
        .setup("CREATE TABLE t AS SELECT 1 AS x")
        .ask(A, prepare("s1", TEXT), 1)
        .ask(A, described("s1"), 1)
        .query(C, "DROP TABLE t")
        .ask(A, run("s1"), 1)
        .ask(A, run("s1"), 1)
        .ask(B, prepare("s1", TEXT), 1)
        .run();
}

/// A change that pgweave does not see: made on a connection of its own.
#[test]
fn what_is_prepared_after_a_change_that_passed_by_is_parsed_anew() {
    script()
        .pools(&[1])
        .setup("CREATE TABLE t AS SELECT 1 AS x")
        .ask(A, [prepare("s1", TEXT), run("s1")].concat(), 2)
        .admin("ALTER TABLE t ADD y int")
        .ask(B, [prepare("s1", TEXT), described("s1")].concat(), 2)
        .ask(B, run("s1"), 1)
        .admin("ALTER TABLE t ADD z int")
        .ask(C, [prepare("s1", TEXT), run("s1")].concat(), 2)
        .ask(C, run("s1"), 1)
        .run();
}

/// The same, where the client comes to the other server connection, that parsed
/// the text before the change.
#[test]
fn a_copy_of_before_a_change_that_passed_by_is_not_used_for_a_later_parse() {
    script()
        .pools(&[2])
        .setup("CREATE TABLE t AS SELECT 1 AS x")
        // What the functions of this database do is found out before.
        .ask(B, [prepare("s0", TEXT), run("s0"), run("s0")].concat(), 3)
        .ask(B, run("s0"), 1)
        .query(C, "BEGIN")
        .ask(A, [prepare("s1", TEXT), run("s1")].concat(), 2)
        .query(B, "BEGIN")
        .query(C, "COMMIT")
        .ask(A, run("s1"), 1)
        .admin("ALTER TABLE t ADD y int")
        .ask(C, [prepare("s1", TEXT), run("s1")].concat(), 2)
        .query(A, "BEGIN")
        .query(B, "COMMIT")
        .ask(C, run("s1"), 1)
        .query(A, "COMMIT")
        .run();
}

/// The same, on a server connection that has never parsed it.
#[test]
fn columns_that_have_changed_unseen_are_found() {
    script()
        .pools(&[2])
        .setup("CREATE TABLE t AS SELECT 1 AS x, 2 AS y")
        .ask(A, [prepare("s1", TEXT), described("s1")].concat(), 2)
        .admin("ALTER TABLE t ADD z text")
        .query(B, "BEGIN")
        .ask(A, run("s1"), 1)
        .query(B, "COMMIT")
        .ask(A, run("s1"), 1)
        .run();
}

/// A server is told to parse before a change of the catalog ends, and does so after
/// it. When the columns are those of before again, they have never changed for the
/// client.
#[test]
fn a_copy_that_was_made_while_others_changed_the_catalog_is_made_anew() {
    let database = Cluster::shared().database();
    database.direct().rows("CREATE TABLE t AS SELECT 1 AS x");
    let pooler = Plan::before(&database).pool_size(3).start();
    let [mut client, mut other, mut changing] = [(); 3].map(|()| pooler.client());
    // What the functions of this database do is found out before.
    other.send(&[prepare("s0", TEXT), run("s0"), run("s0")].concat());
    other.until_ready(3, "a statement of another");
    client.send(&[prepare("s1", TEXT), run("s1")].concat());
    assert_eq!(first_error(&client.until_ready(2, "a statement")), None);
    // From here on the client cannot have the connection that it had.
    other.rows("BEGIN");
    let (mut admin, mut look) = (database.direct(), database.direct());
    let mut until_waiting = |count: u32| {
        let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
        wait::until(wait::SOON, "backends that wait for a lock", || {
            look.value(waits) == count.to_string()
        });
    };
    admin.rows("BEGIN");
    admin.rows("LOCK TABLE t");
    changing.send(&query("ALTER TABLE t ADD y int"));
    until_waiting(1);
    client.send(&run("s1"));
    until_waiting(2);
    admin.rows("COMMIT");
    changing.until_ready(1, "the change");
    assert_eq!(first_error(&client.until_ready(1, "two columns")), None);
    changing.rows("ALTER TABLE t DROP y");
    // Nor that of who has made the change.
    changing.rows("BEGIN");
    client.send(&run("s1"));
    assert_eq!(first_error(&client.until_ready(1, "one column")), None);
}

#[test]
fn clients_that_were_told_different_columns_share_no_statement() {
    script()
        .pools(&[2])
        .setup("CREATE TABLE t AS SELECT 1 AS x, 2 AS y")
        .ask(A, [prepare("s1", TEXT), described("s1")].concat(), 2)
        .query(A, "BEGIN")
        .admin("ALTER TABLE t ADD z text")
        .ask(B, [prepare("s1", TEXT), described("s1")].concat(), 2)
        .ask(B, run("s1"), 1)
        .query(A, "COMMIT")
        .query(C, "BEGIN")
        .ask(A, run("s1"), 1)
        .ask(B, run("s1"), 1)
        .query(C, "COMMIT")
        .query(A, "BEGIN")
        .ask(B, [described("s1"), run("s1")].concat(), 2)
        .query(A, "ROLLBACK")
        .run();
}

/// More columns than are waited for in other messages.
#[test]
fn a_long_list_of_columns_is_compared_to_its_end() {
    let names = |last: &str| {
        let all = (0..1000).map(|n| format!("NULL::text AS the_long_name_of_a_column_{n}"));
        let all: Vec<_> = all.chain([last.to_owned()]).collect();
        format!("SELECT {}", all.join(", "))
    };
    script()
        .pools(&[2])
        .setup(&format!("CREATE VIEW t AS {}", names("1 AS x")))
        .ask(A, [prepare("s1", TEXT), described("s1")].concat(), 2)
        .query(B, "BEGIN")
        .ask(A, run("s1"), 1)
        .query(B, "COMMIT")
        .query(C, "ALTER VIEW t RENAME x TO z")
        .query(B, "BEGIN")
        .ask(A, run("s1"), 1)
        .query(B, "COMMIT")
        .run();
}

/// The server is asked about a statement, and skips the question.
#[test]
fn columns_whose_description_was_skipped_are_asked_for_again() {
    let taken = [parse("s1", "SELECT 2"), run("s1")].concat();
    script()
        .pools(&[2])
        .ask(A, [prepare("s1", "SELECT 1"), described("s1")].concat(), 2)
        .query(B, "BEGIN")
        .ask(A, taken, 1)
        .query(B, "COMMIT")
        .ask(A, [sync(), unnamed("SELECT 6"), run("s1")].concat(), 2)
        .run();
}

/// The client has never got to know the columns.
#[test]
fn what_has_failed_once_for_changed_columns_fails_on_every_server_connection() {
    let database = Cluster::shared().database();
    let mut direct = database.direct();
    direct.rows("CREATE TABLE t AS SELECT 1 AS x");
    let pooler = Plan::before(&database).pool_size(2).start();
    let (mut one, mut other) = (pooler.client(), pooler.client());
    let fails = |client: &mut Connection, bytes: Vec<u8>| {
        client.send(&bytes);
        let answer = client.until_ready(1, "an answer");
        first_error(&answer)
    };
    assert_eq!(fails(&mut one, prepare("s1", TEXT)), None);
    direct.rows("ALTER TABLE t ADD y int");
    let changed = Some("0A000".to_owned());
    assert_eq!(fails(&mut one, described("s1")), changed);
    other.rows("BEGIN");
    assert_eq!(fails(&mut one, run("s1")), changed);
    assert_eq!(fails(&mut one, described("s1")), changed);
    other.rows("COMMIT");
    assert_eq!(fails(&mut one, run("s1")), changed);
    assert_eq!(fails(&mut one, closed("s1")), None);
    assert_eq!(fails(&mut one, prepare("s1", TEXT)), None);
    assert_eq!(fails(&mut one, run("s1")), None);
}
