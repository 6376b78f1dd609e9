"""psycopg: libpq's pipeline mode."""

import server
from case import case
from psycopg import errors
from psycopg_connect import connect, raises, value


@case("a pipeline's answers come in order")
def _():
    with connect(autocommit=True, prepare_threshold=None) as connection:
        with connection.pipeline():
            cursors = [connection.execute("SELECT %s::int, repeat('x', %s)", (n, n)) for n in range(500)]
            assert [cursor.fetchone() for cursor in cursors] == [(n, "x" * n) for n in range(500)]
        assert value(connection, "SELECT 'after'") == "after"


@case("a pipeline with prepared statements and syncs between")
def _():
    with connect(autocommit=True, prepare_threshold=0) as connection:
        with connection.pipeline() as pipeline:
            cursors = []
            for n in range(200):
                cursors.append(connection.execute(f"SELECT %s::int + {n % 4}", (n,)))
                if n % 7 == 0:
                    pipeline.sync()
            assert [cursor.fetchone()[0] for cursor in cursors] == [n + n % 4 for n in range(200)]


@case("an error in a pipeline aborts what follows up to the sync, and only that")
def _():
    server.fresh_table("steps", "n int PRIMARY KEY")
    with connect(autocommit=True, prepare_threshold=None) as connection:
        with connection.pipeline() as pipeline:
            connection.execute("INSERT INTO steps VALUES (1)")
            pipeline.sync()
            connection.execute("INSERT INTO steps VALUES (2)")
            connection.execute("INSERT INTO steps VALUES (%s)", (1,))
            connection.execute("INSERT INTO steps VALUES (3)")
            with raises(errors.UniqueViolation):
                pipeline.sync()
            connection.execute("INSERT INTO steps VALUES (4)")
            pipeline.sync()
        assert value(connection, "SELECT array_agg(n ORDER BY n) FROM steps") == [1, 4]


@case("transactions in a pipeline commit or roll back as outside of one")
def _():
    server.fresh_table("steps", "n int PRIMARY KEY")
    with connect(autocommit=True, prepare_threshold=None) as connection:
        with connection.pipeline():
            with connection.transaction():
                connection.execute("INSERT INTO steps VALUES (1)")
                with raises(errors.UniqueViolation), connection.transaction():
                    connection.execute("INSERT INTO steps VALUES (2)")
                    connection.execute("INSERT INTO steps VALUES (1)")
                connection.execute("INSERT INTO steps VALUES (3)")
            with raises(errors.DivisionByZero), connection.transaction():
                connection.execute("INSERT INTO steps VALUES (4)")
                connection.execute("SELECT 1 / 0").fetchone()
        assert value(connection, "SELECT array_agg(n ORDER BY n) FROM steps") == [1, 3]


@case("executemany in a pipeline writes all rows and returns their results")
def _():
    server.fresh_table("steps", "n int PRIMARY KEY, said text")
    with connect() as connection:
        with connection.cursor() as cursor:
            cursor.executemany("INSERT INTO steps VALUES (%s, %s)", [(n, f"no {n}") for n in range(3000)])
            assert cursor.rowcount == 3000
            cursor.executemany(
                "UPDATE steps SET said = said || '!' WHERE n = %s RETURNING said", [(n,) for n in range(50)], returning=True
            )
            got = [cursor.fetchone()[0]]
            while cursor.nextset():
                got.append(cursor.fetchone()[0])
            assert got == [f"no {n}!" for n in range(50)]
            with raises(errors.UniqueViolation):
                cursor.executemany("INSERT INTO steps VALUES (%s, '')", [(n,) for n in (9001, 9002, 5, 9003)])
        connection.rollback()
    assert server.rows("SELECT count(*), count(said) FROM steps") == [(0, 0)]


@case("a pipeline larger than every buffer blocks nobody")
def _():
    with connect(autocommit=True, prepare_threshold=None) as connection:
        said = "x" * 100_000
        with connection.pipeline():
            cursors = [connection.execute("SELECT %s::int, %s::text", (n, said)) for n in range(300)]
            for n, cursor in enumerate(cursors):
                assert cursor.fetchone() == (n, said)


@case("a connection closed in the middle of a pipeline leaves nothing open")
def _():
    server.fresh_table("steps", "n int PRIMARY KEY")
    for _ in range(5):
        connection = connect(autocommit=True, prepare_threshold=None)
        libpq = connection.pgconn
        libpq.enter_pipeline_mode()
        libpq.send_query_params(b"BEGIN", None)
        for n in range(50):
            libpq.send_query_params(b"INSERT INTO steps VALUES ($1)", [str(n).encode()])
        libpq.send_query_params(b"SELECT pg_sleep(600)", None)
        libpq.send_flush_request()
        libpq.flush()
        libpq.finish()
    server.wait_until_no_transaction_is_open()
    assert server.value("SELECT count(*) FROM steps") == 0
