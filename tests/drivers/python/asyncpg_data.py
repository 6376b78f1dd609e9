"""asyncpg: values in binary, COPY both ways, large results, notices."""

import asyncio
import contextlib
import datetime
import decimal
import io
import ipaddress
import json
import uuid

import asyncpg
import server
from asyncpg_connect import connect, raises
from case import case

UTC = datetime.timezone.utc

VALUES = {
    "bool": True,
    "int2": -(2**15),
    "int4": 2**31 - 1,
    "int8": -(2**63),
    "float4": 0.5,
    "float8": 1e-300,
    "numeric": decimal.Decimal("-12345678901234567890.0987654321"),
    "text": "naïve ‱ 漢字 🙂 'quoted' \\ \n",
    "bytea": bytes(range(256)) * 3,
    "uuid": uuid.UUID("12345678-1234-5678-1234-567812345678"),
    "date": datetime.date(1969, 7, 20),
    "time": datetime.time(23, 59, 59, 999999),
    "timestamp": datetime.datetime(2024, 2, 29, 1, 2, 3, 4),
    "timestamptz": datetime.datetime(2024, 2, 29, 1, 2, 3, 4, UTC),
    "interval": datetime.timedelta(days=3, seconds=7, microseconds=11),
    "jsonb": json.dumps({"a": [1, None, "ü"]}),
    "inet": ipaddress.ip_interface("10.1.2.3/24"),
    "int4[]": [1, None, 3],
    "text[]": [["a", "b,"], ['c"', ""]],
    "int4range": asyncpg.Range(1, 10),
    "point": asyncpg.Point(1.5, -2.5),
    "varbit": asyncpg.BitString("10110"),
}


@case("binary values come back as they were sent, and so does NULL")
async def _():
    async with connect() as connection:
        for kind, sent in VALUES.items():
            got, none = await connection.fetchrow(f"SELECT $1::{kind}, $2::{kind}", sent, None)
            if kind == "jsonb":
                got, sent = json.loads(got), json.loads(sent)
            assert got == sent and none is None, f"{kind}: {got!r}"


@case("types that asyncpg has to ask the server about: composite, enum, domain, codec")
async def _():
    server.execute("DROP TYPE IF EXISTS part, mood, small CASCADE")
    server.execute("CREATE TYPE mood AS ENUM ('sad', 'glad')")
    server.execute("CREATE DOMAIN small AS int CHECK (VALUE < 10)")
    server.execute("CREATE TYPE part AS (n small, said text, felt mood[])")
    async with connect() as connection:
        got = await connection.fetchval("SELECT $1::part", (3, "three", ["sad", "glad"]))
        assert (got["n"], got["said"], got["felt"]) == (3, "three", ["sad", "glad"])
        with raises(asyncpg.CheckViolationError):
            await connection.fetchval("SELECT $1::text::small", "11")
        await connection.set_type_codec("json", encoder=json.dumps, decoder=json.loads, schema="pg_catalog")
        assert await connection.fetchval("SELECT $1::json", {"a": 1}) == {"a": 1}


@case("30 clients ask about a type, and share the server connections before and after")
async def _():
    server.execute("DROP TYPE IF EXISTS mood CASCADE")
    server.execute("CREATE TYPE mood AS ENUM ('sad', 'glad')")
    async with contextlib.AsyncExitStack() as stack:
        connections = [await stack.enter_async_context(connect()) for _ in range(30)]
        for _ in range(2):
            # asyncpg asks with set_config('jit', ..) before and after it.
            got = await asyncio.wait_for(asyncio.gather(*(c.fetchval("SELECT 'sad'::mood") for c in connections)), 5)
            assert got == ["sad"] * 30


@case("copy_records_to_table writes every record")
async def _():
    server.fresh_table("copied", "n int, said text, at timestamptz")
    moment = datetime.datetime(2024, 1, 1, tzinfo=UTC)
    records = [(n, None if n % 10 == 0 else f"no {n}", moment) for n in range(20_000)]
    async with connect() as connection:
        said = await connection.copy_records_to_table("copied", records=records)
        assert said == "COPY 20000", said
        async with connection.transaction():
            await connection.copy_records_to_table("copied", records=records[:5], columns=["n", "said", "at"])
        got = await connection.fetchrow("SELECT count(*), sum(n), count(said), min(at) FROM copied")
        assert got == (20_005, 199990010, 18_004, moment), got


@case("what is copied out and in again is the same")
async def _():
    server.fresh_table("copied", "n int, said text")
    server.execute(r"INSERT INTO copied SELECT n, E'a,\"b\"\n\\.\t' || n FROM generate_series(1, 10000) n")
    server.execute("INSERT INTO copied VALUES (0, NULL)")
    async with connect() as connection:
        for options in ({"format": "csv", "header": True}, {"format": "binary"}, {}):
            server.fresh_table("again", "n int, said text")
            out = io.BytesIO()
            assert await connection.copy_from_table("copied", output=out, **options) == "COPY 10001"
            out.seek(0)
            assert await connection.copy_to_table("again", source=out, **options) == "COPY 10001"
            assert server.rows("TABLE copied EXCEPT TABLE again") == []
            assert server.value("SELECT count(*) FROM again") == 10001
        some = io.BytesIO()
        await connection.copy_from_query("SELECT n FROM copied WHERE n < $1", 3, output=some)
        assert sorted(some.getvalue().split()) == [b"0", b"1", b"2"]


@case("a COPY that fails, at the server or at the client, writes nothing")
async def _():
    server.fresh_table("copied", "n int")
    async with connect() as connection:
        for rows in (b"1\n2\nthree\n4\n", b"1\n" * 300_000 + b"three\n" + b"1\n" * 300_000):
            with raises(asyncpg.InvalidTextRepresentationError):
                await connection.copy_to_table("copied", source=io.BytesIO(rows))
            assert await connection.fetchval("SELECT count(*) FROM copied") == 0

        async def source():
            yield b"1\n" * 1000
            raise ConnectionAbortedError("source gone")

        with raises(ConnectionAbortedError):
            await connection.copy_to_table("copied", source=source())
        assert await connection.fetchval("SELECT count(*) FROM copied") == 0

        taken = 0

        async def sink(data):
            nonlocal taken
            taken += len(data)
            if taken > 100_000:
                raise ConnectionAbortedError("sink gone")

        with raises(ConnectionAbortedError):
            await connection.copy_from_query("SELECT generate_series(1, 1000000)", output=sink)
        assert await connection.fetchval("SELECT 'well'") == "well"


@case("a row of 32 MB goes in and comes back")
async def _():
    async with connect() as connection:
        sent = bytes(range(256)) * (32 * 4096)
        assert await connection.fetchval("SELECT $1::bytea", sent) == sent


@case("200,000 rows come in order")
async def _():
    async with connect() as connection:
        got = await connection.fetch("SELECT n, 'row ' || n FROM generate_series(1, 200000) n")
        assert [row[0] for row in got] == list(range(1, 200_001))
        assert got[-1][1] == "row 200000"


@case("a notice comes to the client whose query raised it")
async def _():
    heard = {"one": [], "other": []}
    async with connect() as one, connect() as other:
        one.add_log_listener(lambda _, message: heard["one"].append(message.message))
        other.add_log_listener(lambda _, message: heard["other"].append(message.message))
        for n in range(10):
            await one.execute(f"DO $$ BEGIN RAISE NOTICE 'one {n}'; END $$")
            await other.execute(f"DO $$ BEGIN RAISE WARNING 'other {n}'; END $$")
        # asyncpg calls listeners from its loop, soon.
        await one.fetchval("SELECT 1")
        await other.fetchval("SELECT 1")
    assert heard == {k: [f"{k} {n}" for n in range(10)] for k in heard}, heard


@case("an error has all of its fields")
async def _():
    server.fresh_table("steps", "n int CONSTRAINT only_small CHECK (n < 10)")
    async with connect() as connection:
        with raises(asyncpg.CheckViolationError) as caught:
            await connection.execute("INSERT INTO steps VALUES ($1)", 11)
        error = caught[0]
        got = (error.sqlstate, error.severity, error.schema_name, error.table_name, error.constraint_name, error.detail)
        assert got == ("23514", "ERROR", "public", "steps", "only_small", "Failing row contains (11)."), got


@case("the server's parameters are told at login")
async def _():
    version = server.value("SHOW server_version")
    async with connect() as connection:
        settings = connection.get_settings()
        assert settings.server_version == version, settings.server_version
        assert settings.client_encoding.upper() == "UTF8"
        assert settings.standard_conforming_strings == "on"
        assert connection.get_server_version()[0] == int(version.split(".")[0])
        assert connection.get_server_pid() > 0
