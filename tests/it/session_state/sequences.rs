//! currval and lastval tell of a client's own numbers, and never of another's.

use super::following;
use crate::support::differential::{A, B, C, Script};
use crate::support::frames::extended;
use crate::support::pooler::Plan;
use crate::support::postgres::Cluster;
use crate::support::raw::{first_error, rows_of};

/// Clients that ask for their last number may keep a server connection.
fn with_numbers() -> Script {
    following()
        .pools(&[4])
        .setting("pin_numbers", "\"30s\"")
        .sequences()
        .setup("CREATE TABLE t (id serial PRIMARY KEY, x text)")
        .setup("CREATE TABLE u (id int GENERATED ALWAYS AS IDENTITY (START 100), x text)")
}

#[test]
fn each_client_sees_the_number_that_it_drew() {
    with_numbers()
        // Numbers are kept from when somebody has first asked.
        .query(C, "SELECT lastval()")
        .query(A, "INSERT INTO t (x) VALUES ('of a')")
        .query(B, "INSERT INTO t (x) VALUES ('of b')")
        .query(C, "INSERT INTO u (x) VALUES ('of c')")
        .query(A, "SELECT lastval(), currval('t_id_seq')")
        .query(B, "SELECT lastval()")
        .query(C, "SELECT lastval()")
        .ask(A, extended("INSERT INTO t (x) VALUES ('of a')"), 1)
        .query(B, "INSERT INTO t (x) VALUES ('of b')")
        .query(C, "SELECT nextval('t_id_seq')")
        .query(B, "SELECT currval('t_id_seq')")
        .ask(
            A,
            extended("SELECT currval(pg_get_serial_sequence('t', 'id'))"),
            1,
        )
        .query(C, "SELECT currval('t_id_seq')")
        .run();
}

#[test]
fn the_last_number_outlives_a_rollback_and_not_a_discard() {
    with_numbers()
        .query(A, "SELECT lastval()")
        .query(A, "BEGIN; SELECT nextval('t_id_seq'); ROLLBACK")
        .query(A, "SELECT lastval(), currval('t_id_seq')")
        .query(A, "SELECT setval('t_id_seq', 50)")
        .query(A, "SELECT currval('t_id_seq')")
        .query(A, "DISCARD SEQUENCES")
        .query(A, "SELECT lastval()")
        .query(A, "SELECT nextval('t_id_seq')")
        .query(A, "DISCARD ALL")
        .query(A, "SELECT lastval()")
        .run();
}

/// When it has asked, or a while has passed, others get the server connection.
#[test]
fn a_number_is_kept_for_a_while() {
    for (time, ask) in [("30s", "SELECT lastval()"), ("50ms", "SELECT 'not asked'")] {
        with_numbers()
            .pools(&[2])
            .setting("pin_numbers", &format!("{time:?}"))
            .query(C, "SELECT lastval()")
            .query(A, "INSERT INTO t (x) VALUES ('of a')")
            .query(A, ask)
            .query(B, "BEGIN")
            // The hidden client is served as well.
            .query(B, "COMMIT")
            .run();
    }
}

#[test]
fn a_number_that_somebody_else_drew_is_never_seen() {
    with_numbers()
        .setting("pin_numbers", "\"20ms\"")
        .pools(&[1, 2])
        .query(B, "INSERT INTO t (x) VALUES ('of b')")
        .query(A, "SELECT lastval()")
        .query(A, "SELECT currval('t_id_seq')")
        .ask(C, extended("SELECT lastval()"), 1)
        .query(C, "SELECT nextval('t_id_seq')")
        .leave(C)
        .query(A, "SELECT lastval()")
        .run();
}

/// Of one that it drew on another server connection before.
#[test]
fn an_older_number_of_ones_own_is_never_seen() {
    let database = Cluster::shared().database();
    database.direct().rows("CREATE SEQUENCE s");
    let pooler = Plan::before(&database).pool_size(2).start();
    let (mut a, mut b) = (pooler.client(), pooler.client());
    let mut expected = 0;
    for _ in 0..6 {
        expected += 1;
        assert_eq!(a.value("SELECT nextval('s')"), expected.to_string());
        assert_eq!(a.value("SELECT currval('s')"), expected.to_string());
        // Whichever it had, it gets the other one.
        b.rows("BEGIN");
        expected += 1;
        assert_eq!(a.value("SELECT nextval('s')"), expected.to_string());
        assert_eq!(a.value("SELECT currval('s')"), expected.to_string());
        b.rows("COMMIT");
        let mut other = pooler.client();
        other.rows("BEGIN");
        b.rows("BEGIN");
        other.rows("COMMIT");
        let answer = a.query("SELECT currval('s')");
        if first_error(&answer).is_none() {
            assert_eq!(rows_of(&answer)[0][0], Some(expected.to_string()));
        }
        b.rows("COMMIT");
    }
}

/// Numbers are forgotten apart from what follows.
#[test]
fn a_command_that_must_stand_alone_runs_where_numbers_are_forgotten() {
    for text in ["CREATE INDEX CONCURRENTLY ON t(x)", "VACUUM t(x)"] {
        with_numbers()
            .pools(&[1])
            .setting("pin_numbers", "\"1ms\"")
            .query(
                B,
                "SELECT nextval('t_id_seq'); SELECT lastval(); SET work_mem = '7MB'",
            )
            .query(A, text)
            .query(B, "BEGIN; SELECT nextval('t_id_seq')")
            .query(B, "SELECT lastval(); COMMIT")
            .query(A, text)
            .run();
    }
}

#[test]
fn the_last_number_is_there_within_its_transaction() {
    with_numbers()
        .setting("pin_numbers", "\"20ms\"")
        .pools(&[1, 2])
        // Numbers are kept apart from when somebody has first asked.
        .query(C, "SELECT lastval()")
        .query(A, "BEGIN; INSERT INTO t (x) VALUES ('of a')")
        .query(A, "SELECT lastval()")
        .query(A, "COMMIT")
        .query(B, "INSERT INTO t (x) VALUES ('of b'); SELECT lastval()")
        .query(A, "INSERT INTO t (x) VALUES ('again') RETURNING id")
        .run();
}

#[test]
fn numbers_that_a_session_draws_ahead_are_nobodys_twice() {
    // What each gets depends on who has drawn ahead where: only that all
    // differ holds everywhere.
    let draw = "INSERT INTO drawn SELECT nextval('ahead'), nextval('ahead')";
    let mut case = following()
        .setup("CREATE SEQUENCE ahead CACHE 10; CREATE TABLE drawn (x bigint, y bigint)");
    for who in [A, B, A, C, B, A] {
        case = case.query(who, draw);
    }
    case.query(A, "SELECT count(*), count(DISTINCT n), bool_and(x <> y) FROM (SELECT x AS n, x, y FROM drawn UNION ALL SELECT y, x, y FROM drawn) d")
        .run();
}
