"""psycopg: COPY, binary results, large results, notices and errors."""

import datetime
import decimal
import uuid

import server
from case import case
from psycopg import errors
from psycopg.types.json import Jsonb
from psycopg_connect import connect, raises, value

VALUES = [
    ("int2", -7),
    ("int8", 2**62),
    ("float8", 0.1),
    ("numeric", decimal.Decimal("-1234567890.000000001")),
    ("bool", False),
    ("text", "漢字 🙂 \\ '"),
    ("bytea", bytes(range(256))),
    ("uuid", uuid.UUID(int=7)),
    ("timestamptz", datetime.datetime(2024, 2, 29, 1, 2, 3, 4, datetime.timezone.utc)),
    ("interval", datetime.timedelta(days=1, seconds=2)),
    ("int4[]", [[1, 2], [3, 4]]),
    ("text[]", ["a", "b,\"c"]),
]


@case("values come back as they were sent, as text and in binary")
def _():
    with connect() as connection:
        for binary in (False, True):
            for kind, sent in VALUES:
                got = connection.execute(f"SELECT %b::{kind}, %s::{kind}, NULL::{kind}", (sent, sent), binary=binary).fetchone()
                assert got == (sent, sent, None), f"{kind} binary={binary}: {got!r}"
            got = value(connection, "SELECT %s", (Jsonb({"a": [1, None]}),), binary=binary)
            assert got == {"a": [1, None]}, got


@case("COPY in and out, rows and blocks, text and binary")
def _():
    server.fresh_table("copied", "n int, said text")
    rows = [(n, None if n % 9 == 0 else f"no\t{n}\\") for n in range(20_000)]
    with connect() as connection, connection.cursor() as cursor:
        for form in ("", " (FORMAT binary)"):
            cursor.execute("TRUNCATE copied")
            with cursor.copy(f"COPY copied FROM STDIN{form}") as copy:
                if form:
                    copy.set_types(["int4", "text"])
                for row in rows:
                    copy.write_row(row)
            assert cursor.rowcount == len(rows)
            with cursor.copy(f"COPY (SELECT * FROM copied ORDER BY n) TO STDOUT{form}") as copy:
                copy.set_types(["int4", "text"])
                assert list(copy.rows()) == rows
            with cursor.copy(f"COPY copied TO STDOUT{form}") as copy:
                blocks = b"".join(bytes(block) for block in copy)
            cursor.execute("TRUNCATE copied")
            with cursor.copy(f"COPY copied FROM STDIN{form}") as copy:
                copy.write(blocks)
            assert value(connection, "SELECT sum(n) FROM copied") == sum(n for n, _ in rows)


@case("a COPY given up by the client, or refused by the server, writes nothing")
def _():
    server.fresh_table("copied", "n int")
    with connect(autocommit=True) as connection, connection.cursor() as cursor:
        with raises(errors.InvalidTextRepresentation):
            with cursor.copy("COPY copied FROM STDIN") as copy:
                copy.write(b"1\n2\nthree\n")
        with raises(ZeroDivisionError):
            with cursor.copy("COPY copied FROM STDIN") as copy:
                copy.write(b"1\n" * 100_000)
                1 / 0
        with raises(ZeroDivisionError):
            with cursor.copy("COPY (SELECT generate_series(1, 20000000)) TO STDOUT") as copy:
                assert copy.read_row() == ("1",)
                1 / 0  # psycopg cancels the query
        assert value(connection, "SELECT count(*) FROM copied") == 0


@case("rows streamed one by one, and a stream left half-read")
def _():
    with connect() as connection:
        got = [n for (n,) in connection.cursor().stream("SELECT generate_series(1, %s)", (50_000,))]
        assert got == list(range(1, 50_001))
        stream = connection.cursor().stream("SELECT generate_series(1, 50000)")
        assert next(stream) == (1,)
        stream.close()
        connection.rollback()
        assert value(connection, "SELECT 'after'") == "after"


@case("a large value and many rows")
def _():
    with connect() as connection:
        sent = bytes(range(256)) * 65536
        assert value(connection, "SELECT %b", (sent,), binary=True) == sent
        got = connection.execute("SELECT n, repeat('y', 100) FROM generate_series(1, 100000) n").fetchall()
        assert [row[0] for row in got] == list(range(1, 100_001))


@case("several results of one query, with the error of the last")
def _():
    with connect(autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT 1; SELECT 2, 3; SELECT 4 WHERE false")
        got = [cursor.fetchall()]
        while cursor.nextset():
            got.append(cursor.fetchall())
        assert got == [[(1,)], [(2, 3)], []]
        with raises(errors.DivisionByZero):
            cursor.execute("SELECT 1; SELECT 1 / 0; SELECT 2")
        cursor.execute("")
        assert cursor.statusmessage in (None, ""), cursor.statusmessage


@case("notices and the fields of an error")
def _():
    server.fresh_table("steps", "n int CONSTRAINT only_small CHECK (n < 10)")
    heard = []
    with connect(autocommit=True) as connection:
        connection.add_notice_handler(lambda diagnostic: heard.append((diagnostic.severity, diagnostic.message_primary)))
        connection.execute("DO $$ BEGIN RAISE WARNING 'mind'; RAISE NOTICE 'the gap'; END $$")
        assert heard == [("WARNING", "mind"), ("NOTICE", "the gap")], heard
        with raises(errors.CheckViolation) as caught:
            connection.execute("INSERT INTO steps VALUES (11)")
        said = caught[0].diag
        assert (said.sqlstate, said.table_name, said.constraint_name) == ("23514", "steps", "only_small")


@case("large objects within a transaction")
def _():
    with connect() as connection:
        made = value(connection, "SELECT lo_from_bytea(0, %b)", (b"large" * 1000,))
        connection.commit()
        assert value(connection, "SELECT lo_get(%s)", (made,), binary=True) == b"large" * 1000
        descriptor = value(connection, "SELECT lo_open(%s, x'40000'::int)", (made,))
        assert value(connection, "SELECT loread(%s, 7)", (descriptor,), binary=True) == b"largela"
        assert value(connection, "SELECT loread(%s, 3)", (descriptor,), binary=True) == b"rge"
        connection.execute("SELECT lo_unlink(%s)", (made,))
