"""psycopg: transactions, autocommit, server cursors, prepared statements."""

import os

import psycopg
import server
from case import case
from psycopg import errors
from psycopg_connect import connect, raises, value


class OnPurpose(Exception):
    pass


@case("nested transaction() blocks are savepoints")
def _():
    server.fresh_table("steps", "n int PRIMARY KEY")
    with connect() as connection:
        with connection.transaction():
            connection.execute("INSERT INTO steps VALUES (%s)", (1,))
            with raises(OnPurpose), connection.transaction():
                connection.execute("INSERT INTO steps VALUES (2)")
                raise OnPurpose
            with connection.transaction() as inner:
                connection.execute("INSERT INTO steps VALUES (3)")
                raise psycopg.Rollback(inner)
            with raises(errors.UniqueViolation), connection.transaction("named"):
                connection.execute("INSERT INTO steps VALUES (1)")
            with connection.transaction(force_rollback=True):
                connection.execute("INSERT INTO steps VALUES (4)")
            connection.execute("INSERT INTO steps VALUES (5)")
        assert connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
    assert server.column("SELECT n FROM steps ORDER BY n") == [1, 5]


@case("without autocommit the transaction begins by itself and ends by commit or rollback")
def _():
    server.fresh_table("steps", "n int PRIMARY KEY")
    with connect() as connection:
        connection.execute("INSERT INTO steps VALUES (1)")
        assert connection.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS
        connection.rollback()
        connection.execute("INSERT INTO steps VALUES (2)")
        connection.commit()
        with raises(errors.DivisionByZero):
            connection.execute("SELECT 1 / 0")
        with raises(errors.InFailedSqlTransaction):
            connection.execute("SELECT 1")
        assert connection.info.transaction_status == psycopg.pq.TransactionStatus.INERROR
        connection.rollback()
        connection.execute("INSERT INTO steps VALUES (3)")
    with raises(OnPurpose), connect() as connection:
        connection.execute("INSERT INTO steps VALUES (4)")
        raise OnPurpose
    assert server.column("SELECT n FROM steps ORDER BY n") == [2, 3]


@case("with autocommit each statement stands for itself")
def _():
    server.fresh_table("steps", "n int PRIMARY KEY")
    with connect(autocommit=True) as connection:
        connection.execute("INSERT INTO steps VALUES (1)")
        assert server.column("SELECT n FROM steps") == [1]
        with raises(errors.UniqueViolation):
            connection.execute("INSERT INTO steps VALUES (1)")
        connection.execute("INSERT INTO steps VALUES (2); INSERT INTO steps VALUES (3)")
        assert connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
    assert server.column("SELECT n FROM steps ORDER BY n") == [1, 2, 3]


@case("isolation level, read only and deferrable of a connection hold for its transactions")
def _():
    server.fresh_table("steps", "n int")
    with connect() as connection:
        connection.isolation_level = psycopg.IsolationLevel.SERIALIZABLE
        connection.read_only = True
        connection.deferrable = True
        with connection.transaction():
            assert value(connection, "SHOW transaction_isolation") == "serializable"
            assert value(connection, "SHOW transaction_deferrable") == "on"
            with raises(errors.ReadOnlySqlTransaction), connection.transaction():
                connection.execute("INSERT INTO steps VALUES (1)")
        with connect() as other:
            assert value(other, "SHOW transaction_isolation") == "read committed"
            other.execute("INSERT INTO steps VALUES (2)")
    assert server.column("SELECT n FROM steps") == [2]


@case("two-phase commit by tpc_begin, tpc_prepare, tpc_commit, tpc_recover")
def _():
    server.fresh_table("steps", "n int")
    with connect() as first:
        kept = first.xid(1, "kept", "branch")
        first.tpc_begin(kept)
        first.execute("INSERT INTO steps VALUES (1)")
        first.tpc_prepare()
        assert server.column("SELECT n FROM steps") == []
        first.tpc_commit()
        left = first.xid(1, "left", "branch")
        first.tpc_begin(left)
        first.execute("INSERT INTO steps VALUES (2)")
        first.tpc_prepare()
        first.close()
    with connect() as second:
        found = [xid for xid in second.tpc_recover() if xid.gtrid == "left"]
        assert len(found) == 1
        second.rollback()
        second.tpc_rollback(found[0])
    assert server.column("SELECT n FROM steps") == [1]


@case("a server cursor is read by pieces, back and forth, within its transaction")
def _():
    with connect() as connection:
        with connection.cursor("by_pieces", scrollable=True) as cursor:
            cursor.itersize = 17
            cursor.execute("SELECT n FROM generate_series(1, %s) n", (1000,))
            assert [n for (n,) in cursor] == list(range(1, 1001))
            cursor.scroll(499, mode="absolute")
            assert cursor.fetchone() == (500,)
            cursor.scroll(-2)
            assert cursor.fetchmany(2) == [(499,), (500,)]
            assert value(connection, "SELECT 'between'") == "between"
            assert cursor.fetchone() == (501,)
        with connection.cursor("binary", binary=True) as cursor:
            cursor.execute("SELECT n, n::text FROM generate_series(1, 5) n")
            assert cursor.fetchall() == [(n, str(n)) for n in range(1, 6)]


@case("many executions pass the default threshold and become a prepared statement")
def _():
    with connect(autocommit=True) as connection:
        assert connection.prepare_threshold == 5
        for n in range(40):
            assert value(connection, "SELECT %s::int * 2", (n,)) == n * 2
        for n in range(20):
            with connection.transaction():
                assert value(connection, "SELECT %s::int * 3", (n,)) == n * 3
        with raises(errors.DivisionByZero):
            connection.execute("SELECT 1 / %s::int", (0,), prepare=True)
        assert value(connection, "SELECT %s::int * 2", (4,)) == 8


@case("prepare_threshold=0 prepares at the first execution")
def _():
    with connect(prepare_threshold=0) as one, connect(prepare_threshold=0) as other:
        # psycopg names them _pg3_0, _pg3_1 in each connection: the same names.
        for n in range(20):
            assert value(one, "SELECT 'one', %s::int", (n,)) == "one"
            assert value(other, "SELECT 'other', %s::text", (str(n),)) == "other"
            one.commit()
            other.commit()


@case("prepared statements that psycopg drops are closed on the server")
def _():
    with connect(autocommit=True, prepare_threshold=0) as connection:
        connection.prepared_max = 3
        for n in range(40):
            assert value(connection, f"SELECT %s::int + {n % 8}", (n,)) == n + n % 8


@case("a prepared statement is made anew after its table changed")
def _():
    server.fresh_table("shape", "n int")
    server.execute("INSERT INTO shape VALUES (1)")
    with connect(autocommit=True, prepare_threshold=0) as connection:
        assert connection.execute("SELECT * FROM shape WHERE n = %s", (1,)).fetchone() == (1,)
        server.execute("ALTER TABLE shape ADD COLUMN said text DEFAULT 'new'")
        with raises(errors.FeatureNotSupported) as caught:
            connection.execute("SELECT * FROM shape WHERE n = %s", (1,))
        assert "cached plan must not change result type" in str(caught[0])
        connection.execute("DEALLOCATE ALL")
        assert connection.execute("SELECT * FROM shape WHERE n = %s", (1,)).fetchone() == (1, "new")


@case("30 clients keep prepared statements of the same name apart")
def _():
    connections = [connect(autocommit=True, prepare_threshold=0) for _ in range(30)]
    for k in range(5):
        for n, connection in enumerate(connections):
            assert connection.execute(f"SELECT {n}, %s::int", (k,)).fetchone() == (n, k)
    for connection in connections:
        connection.close()


@case("cancel() ends the running query and only that")
def _():
    import threading

    with connect(autocommit=True, prepare_threshold=None) as connection, connect(autocommit=True) as other:
        for cancel in (connection.cancel, lambda: connection.cancel_safe(timeout=10)):
            threading.Timer(0.2, cancel).start()
            with raises(errors.QueryCanceled):
                connection.execute("SELECT pg_sleep(60)")
            assert value(connection, "SELECT 'alive'") == "alive"
        # With nothing running a cancel has nothing to end, here or elsewhere.
        for n in range(20):
            connection.cancel_safe(timeout=10)
            assert value(other, "SELECT %s::int FROM pg_sleep(0.01)", (n,)) == n
            assert value(connection, "SELECT %s::int", (n,)) == n


@case("login: the wrong password, the trusted user, parameters of the startup packet")
def _():
    with raises(psycopg.OperationalError) as caught:
        connect(password="wrong")
    assert f'password authentication failed for user "{os.environ["PGUSER"]}"' in str(caught[0])
    with connect(user=server.TRUST_USER, port=server.TRUST_PORT, password="") as connection:
        assert value(connection, "SELECT current_user") == server.TRUST_USER
    with connect() as connection:
        assert connection.info.encoding == "utf-8"
        assert connection.info.parameter_status("server_version") == server.value("SHOW server_version")
        assert connection.info.parameter_status("is_superuser") == "off"
        assert connection.info.parameter_status("session_authorization") == os.environ["PGUSER"]
