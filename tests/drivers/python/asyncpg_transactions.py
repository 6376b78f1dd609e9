"""asyncpg: `async with connection.transaction()` and what it promises."""

import asyncio

import asyncpg
import server
from asyncpg_connect import connect, raises
from case import case


class OnPurpose(Exception):
    pass


@case("an inner transaction that raises is rolled back and the outer is kept")
async def _():
    server.fresh_table("steps", "n int PRIMARY KEY")
    async with connect() as connection:
        async with connection.transaction():
            await connection.execute("INSERT INTO steps VALUES (1)")
            with raises(OnPurpose):
                async with connection.transaction():
                    await connection.execute("INSERT INTO steps VALUES ($1)", 2)
                    raise OnPurpose
            async with connection.transaction():
                await connection.execute("INSERT INTO steps VALUES ($1)", 3)
                with raises(asyncpg.UniqueViolationError):
                    async with connection.transaction():
                        await connection.execute("INSERT INTO steps VALUES (4), (1)")
            assert await connection.fetchval("SELECT array_agg(n ORDER BY n) FROM steps") == [1, 3]
            assert server.column("SELECT n FROM steps") == [], "seen before the commit"
    assert server.column("SELECT n FROM steps ORDER BY n") == [1, 3]


@case("an outer transaction that raises takes the finished inner ones with it")
async def _():
    server.fresh_table("steps", "n int PRIMARY KEY")
    async with connect() as connection:
        with raises(OnPurpose):
            async with connection.transaction():
                async with connection.transaction():
                    async with connection.transaction():
                        await connection.execute("INSERT INTO steps VALUES (1)")
                raise OnPurpose
        assert await connection.fetch("SELECT n FROM steps") == []
        assert not connection.is_in_transaction()


@case("after an error a transaction refuses everything until it is rolled back")
async def _():
    server.fresh_table("steps", "n int PRIMARY KEY")
    async with connect() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("INSERT INTO steps VALUES (1)")
        with raises(asyncpg.DivisionByZeroError):
            await connection.fetchval("SELECT 1 / $1::int", 0)
        for _ in range(3):
            with raises(asyncpg.InFailedSQLTransactionError):
                await connection.fetchval("SELECT 1")
        await transaction.rollback()
        assert await connection.fetchval("SELECT count(*) FROM steps") == 0


@case("an isolation level holds for its transaction and no longer")
async def _():
    async with connect() as connection:
        for level in ("serializable", "repeatable_read", "read_uncommitted", "read_committed"):
            async with connection.transaction(isolation=level):
                assert await connection.fetchval("SHOW transaction_isolation") == level.replace("_", " ")
            async with connection.transaction():
                assert await connection.fetchval("SHOW transaction_isolation") == "read committed"


@case("a read-only transaction refuses to write and the next one may")
async def _():
    server.fresh_table("steps", "n int PRIMARY KEY")
    async with connect() as connection:
        with raises(asyncpg.ReadOnlySQLTransactionError):
            async with connection.transaction(isolation="serializable", readonly=True, deferrable=True):
                assert await connection.fetchval("SHOW transaction_deferrable") == "on"
                await connection.execute("INSERT INTO steps VALUES (1)")
        async with connection.transaction():
            await connection.execute("INSERT INTO steps VALUES (2)")
    assert server.column("SELECT n FROM steps") == [2]


@case("a repeatable read transaction keeps its snapshot while others commit")
async def _():
    server.fresh_table("steps", "n int PRIMARY KEY")
    async with connect() as reader, connect() as writer:
        async with reader.transaction(isolation="repeatable_read"):
            assert await reader.fetchval("SELECT count(*) FROM steps") == 0
            await writer.execute("INSERT INTO steps VALUES (1)")
            assert await writer.fetchval("SELECT count(*) FROM steps") == 1
            assert await reader.fetchval("SELECT count(*) FROM steps") == 0
        assert await reader.fetchval("SELECT count(*) FROM steps") == 1


@case("of two transactions that write one row the later fails with 40001")
async def _():
    server.fresh_table("balance", "id int PRIMARY KEY, amount int")
    server.execute("INSERT INTO balance VALUES (1, 0)")
    add = "UPDATE balance SET amount = amount + $1 WHERE id = 1"
    async with connect() as first, connect() as second:
        with raises(asyncpg.SerializationError):
            async with second.transaction(isolation="repeatable_read"):
                await second.fetchval("SELECT amount FROM balance")
                async with first.transaction(isolation="repeatable_read"):
                    await first.execute(add, 1)
                await second.execute(add, 10)
        async with second.transaction(isolation="repeatable_read"):
            await second.execute(add, 100)
    assert server.value("SELECT amount FROM balance") == 101


@case("of two transactions in a deadlock one fails and the other commits")
async def _():
    server.fresh_table("balance", "id int PRIMARY KEY, amount int")
    server.execute("INSERT INTO balance VALUES (1, 0), (2, 0)")
    holds = {1: asyncio.Event(), 2: asyncio.Event()}

    async def take(own, other):
        async with connect() as connection:
            async with connection.transaction():
                await connection.execute("UPDATE balance SET amount = amount + 1 WHERE id = $1", own)
                holds[own].set()
                await holds[other].wait()
                await connection.execute("UPDATE balance SET amount = amount + 1 WHERE id = $1", other)

    ends = await asyncio.gather(take(1, 2), take(2, 1), return_exceptions=True)
    assert sorted(type(end).__name__ for end in ends) == ["DeadlockDetectedError", "NoneType"], ends
    assert server.rows("SELECT * FROM balance ORDER BY id") == [(1, 1), (2, 1)]


@case("a constraint that fails at COMMIT is told there and leaves no transaction")
async def _():
    server.fresh_table("steps", "n int UNIQUE DEFERRABLE INITIALLY DEFERRED")
    async with connect() as connection:
        with raises(asyncpg.UniqueViolationError):
            async with connection.transaction():
                await connection.execute("INSERT INTO steps VALUES (1), (1)")
                assert await connection.fetchval("SELECT count(*) FROM steps") == 2
        assert not connection.is_in_transaction()
        assert await connection.fetchval("SELECT count(*) FROM steps") == 0


@case("statements sent together are one transaction")
async def _():
    server.fresh_table("steps", "n int PRIMARY KEY")
    async with connect() as connection:
        with raises(asyncpg.UniqueViolationError):
            await connection.execute("INSERT INTO steps VALUES (1); INSERT INTO steps VALUES (1)")
        assert await connection.fetchval("SELECT count(*) FROM steps") == 0
        await connection.execute("INSERT INTO steps VALUES (1); INSERT INTO steps VALUES (2)")
    assert server.column("SELECT n FROM steps ORDER BY n") == [1, 2]


@case("COMMIT AND CHAIN goes on in a new transaction of the same kind")
async def _():
    server.fresh_table("steps", "n int PRIMARY KEY")
    async with connect() as connection:
        await connection.execute("BEGIN ISOLATION LEVEL SERIALIZABLE")
        backend = await connection.fetchval("SELECT pg_backend_pid()")
        await connection.execute("INSERT INTO steps VALUES (1)")
        await connection.execute("COMMIT AND CHAIN")
        await connection.execute("INSERT INTO steps VALUES (2)")
        assert await connection.fetchval("SELECT pg_backend_pid()") == backend
        assert await connection.fetchval("SHOW transaction_isolation") == "serializable"
        await connection.execute("ROLLBACK AND CHAIN")
        await connection.execute("INSERT INTO steps VALUES (3)")
        await connection.execute("COMMIT")
    assert server.column("SELECT n FROM steps ORDER BY n") == [1, 3]


@case("a prepared transaction is committed from another connection")
async def _():
    server.fresh_table("steps", "n int PRIMARY KEY")
    async with connect() as first, connect() as second:
        await first.execute("BEGIN")
        await first.execute("INSERT INTO steps VALUES (1)")
        await first.execute("PREPARE TRANSACTION 'by asyncpg'")
        assert await first.fetchval("SELECT count(*) FROM steps") == 0
        await second.execute("COMMIT PREPARED 'by asyncpg'")
        assert await first.fetchval("SELECT count(*) FROM steps") == 1


@case("within a transaction there is one server connection, its settings and temp tables")
async def _():
    async with connect() as one, connect() as other:
        before = await one.fetchval("SHOW work_mem")
        async with one.transaction():
            backend = await one.fetchval("SELECT pg_backend_pid()")
            await one.execute("SET LOCAL work_mem = '7MB'")
            await one.execute("CREATE TEMP TABLE mine (n int) ON COMMIT DROP")
            for n in range(20):
                async with other.transaction():
                    await other.execute("SELECT 1")
                    assert await other.fetchval("SELECT pg_backend_pid()") != backend
                await one.execute("INSERT INTO mine VALUES ($1)", n)
                assert await one.fetchval("SELECT pg_backend_pid()") == backend
            assert await one.fetchval("SHOW work_mem") == "7MB"
            assert await one.fetchval("SELECT sum(n) FROM mine") == 190
        assert await one.fetchval("SHOW work_mem") == before
        with raises(asyncpg.UndefinedTableError):
            await one.execute("SELECT * FROM mine")
