"""asyncpg: prepared statements, the statement cache, cursors, executemany."""

import asyncio

import asyncpg
import server
from asyncpg_connect import connect, raises, without_statements
from case import case


@case("a prepared statement answers every set of arguments")
async def _():
    async with connect() as connection:
        statement = await connection.prepare("SELECT $1::int + n AS sum, $2::text AS said FROM generate_series(1, 3) n")
        assert [a.name for a in statement.get_attributes()] == ["sum", "said"]
        assert [p.name for p in statement.get_parameters()] == ["int4", "text"]
        for n in range(50):
            got = [tuple(row) for row in await statement.fetch(n, f"no {n}")]
            assert got == [(n + 1, f"no {n}"), (n + 2, f"no {n}"), (n + 3, f"no {n}")]
        assert await statement.fetchval(1, "é", column=1) == "é"


@case("statements of the same name of two clients stay apart")
async def _():
    async with connect() as one, connect() as other:
        # asyncpg numbers names by process; names given are the same for both.
        first = await one.prepare("SELECT 'one', $1::int", name="same")
        second = await other.prepare("SELECT 'other', $1::text, 2", name="same")
        for n in range(20):
            assert tuple(await first.fetchrow(n)) == ("one", n)
            assert tuple(await second.fetchrow(str(n))) == ("other", str(n), 2)


@case("statements of a client that has left are not met by the next one")
async def _():
    for n in range(10):
        async with connect() as connection:
            statement = await connection.prepare(f"SELECT {n}", name="same")
            assert await statement.fetchval() == n


@case("30 clients keep statements of the same name apart")
async def _():
    async def client(n):
        async with connect() as connection:
            statement = await connection.prepare(f"SELECT {n}, $1::int", name="same")
            for k in range(20):
                assert tuple(await statement.fetchrow(k)) == (n, k)
                await asyncio.sleep(0)

    await asyncio.gather(*(client(n) for n in range(30)))


@case("the statement cache serves the same query again, in and out of transactions")
async def _():
    async with connect(statement_cache_size=5) as connection:
        for n in range(60):
            # Twelve texts through a cache of five: statements are closed too.
            assert await connection.fetchval(f"SELECT $1::int + {n % 12}", n) == n + n % 12
            if n % 5 == 0:
                async with connection.transaction():
                    assert await connection.fetchval("SELECT $1::int", n) == n
        await connection.reload_schema_state()
        assert await connection.fetchval("SELECT $1::int + 1", 1) == 2


@case("a cached statement is made anew when its table changes")
async def _():
    server.fresh_table("shape", "n int")
    server.execute("INSERT INTO shape VALUES (1)")
    async with connect() as connection:
        assert tuple(await connection.fetchrow("SELECT * FROM shape")) == (1,)
        server.execute("ALTER TABLE shape ADD COLUMN said text DEFAULT 'new'")
        assert tuple(await connection.fetchrow("SELECT * FROM shape")) == (1, "new")
        async with connection.transaction():
            assert tuple(await connection.fetchrow("SELECT * FROM shape")) == (1, "new")


@case("an error in Parse, Bind or Execute leaves the connection as it was")
async def _():
    async with connect() as cached, connect(**without_statements()) as plain:
        for connection in (cached, plain):
            for _ in range(3):
                with raises(asyncpg.PostgresSyntaxError) as caught:
                    await connection.fetchval("SELEC $1", 1)
                assert (caught[0].sqlstate, caught[0].position) == ("42601", "1")
                with raises(asyncpg.UndefinedTableError):
                    await connection.fetchval("SELECT * FROM nowhere WHERE n = $1", 1)
                with raises(asyncpg.InvalidTextRepresentationError):
                    await connection.fetchval("SELECT $1::text::int", "no number")
                assert await connection.fetchval("SELECT $1::int", 5) == 5


@case("a cursor over a transaction brings every row once, in order")
async def _():
    query = "SELECT n FROM generate_series(1, $1::int) n"
    async with connect() as cached, connect(**without_statements()) as plain:
        for connection in (cached, plain):
            for prefetch in (1, 7, 500, 5000):
                async with connection.transaction():
                    got = [row["n"] async for row in connection.cursor(query, 1000, prefetch=prefetch)]
                assert got == list(range(1, 1001)), f"prefetch {prefetch}"


@case("cursors of one transaction are read in turns")
async def _():
    query = "SELECT n FROM generate_series($1::int, $1 + 99) n"
    async with connect() as connection:
        async with connection.transaction():
            first, second = await connection.cursor(query, 0), await connection.cursor(query, 1000)
            for n in range(0, 90, 3):
                assert [row["n"] for row in await first.fetch(2)] == [n, n + 1]
                assert (await second.fetchrow())["n"] == 1000 + n // 3
                assert await first.forward(1) == 1
            assert await connection.fetchval("SELECT 'between'") == "between"
            assert len(await first.fetch(100)) == 10
            assert await first.fetchrow() is None


@case("a cursor left half-read ends with its transaction")
async def _():
    async with connect() as connection:
        async with connection.transaction():
            async for row in connection.cursor("SELECT generate_series(1, 100000) n", prefetch=10):
                if row["n"] == 25:
                    break
        assert await connection.fetchval("SELECT count(*) FROM pg_cursors WHERE name <> ''") == 0
        with raises(asyncpg.NoActiveSQLTransactionError):
            await connection.cursor("SELECT 1")


@case("executemany writes every row or, after an error, none")
async def _():
    server.fresh_table("numbers", "n int PRIMARY KEY, said text")
    insert = "INSERT INTO numbers VALUES ($1, $2)"
    async with connect() as cached, connect(**without_statements()) as plain:
        for connection in (cached, plain):
            await connection.execute("TRUNCATE numbers")
            await connection.executemany(insert, ((n, f"no {n}") for n in range(5000)))
            assert await connection.fetchrow("SELECT count(*), sum(n), max(said) FROM numbers") == (5000, 12497500, "no 999")
            with raises(asyncpg.UniqueViolationError):
                await connection.executemany(insert, [(n, "") for n in range(9000, 9990)] + [(7, "")])
            assert await connection.fetchval("SELECT count(*) FROM numbers") == 5000


@case("executemany with large arguments does not block both sides")
async def _():
    server.fresh_table("numbers", "n int PRIMARY KEY, said text")
    async with connect() as connection:
        said = "x" * 200_000
        await connection.executemany("INSERT INTO numbers VALUES ($1, $2)", [(n, said) for n in range(200)])
        assert await connection.fetchval("SELECT sum(length(said)) FROM numbers") == 40_000_000
        # Replies as large as the requests, all of them in one pipeline.
        got = await connection.fetchmany("SELECT $1::int AS n, $2::text AS said", [(n, said) for n in range(100)])
        assert [(row["n"], len(row["said"])) for row in got] == [(n, 200_000) for n in range(100)]
