"""asyncpg: timeouts, clients that go, servers that go, logins refused."""

import asyncio
import os

import asyncpg
import server
from asyncpg_connect import connect, no_transaction_is_open, raises, without_statements
from case import case


@case("command_timeout ends the query on the server and the connection goes on")
async def _():
    async with connect(command_timeout=0.2) as connection:
        for n in range(3):
            with raises(asyncio.TimeoutError):
                await connection.fetchval("SELECT pg_sleep(60), $1::int", n)
            await no_transaction_is_open()
            assert await connection.fetchval("SELECT $1::int", n) == n


@case("a timeout in a transaction rolls it back, an outer one survives an inner timeout")
async def _():
    server.fresh_table("steps", "n int")
    async with connect() as connection:
        with raises(asyncio.TimeoutError):
            async with connection.transaction():
                await connection.execute("INSERT INTO steps VALUES (1)")
                await connection.execute("SELECT pg_sleep(60)", timeout=0.2)
        async with connection.transaction():
            await connection.execute("INSERT INTO steps VALUES (2)")
            with raises(asyncio.TimeoutError):
                async with connection.transaction():
                    await connection.execute("INSERT INTO steps VALUES (3)")
                    await connection.execute("SELECT pg_sleep(60)", timeout=0.2)
            await connection.execute("INSERT INTO steps VALUES (4)")
    assert server.column("SELECT n FROM steps ORDER BY n") == [2, 4]


@case("a lock is waited for, and given up after statement_timeout, within a transaction")
async def _():
    server.fresh_table("balance", "id int PRIMARY KEY, amount int")
    server.execute("INSERT INTO balance VALUES (1, 0)")
    async with connect() as one, connect() as other:
        async with one.transaction():
            await one.execute("UPDATE balance SET amount = 1")
            with raises(asyncpg.QueryCanceledError):
                async with other.transaction():
                    await other.execute("SET LOCAL statement_timeout = '200ms'")
                    await other.execute("UPDATE balance SET amount = 2")
        await other.execute("UPDATE balance SET amount = amount + 10")
    assert server.value("SELECT amount FROM balance") == 11


async def leaves_in_mid_transaction(leave):
    """Client after client locks the row and leaves; the next one must get the
    lock, and see nothing of it."""
    server.fresh_table("balance", "id int PRIMARY KEY, amount int")
    server.execute("INSERT INTO balance VALUES (1, 0)")
    for n in range(8):
        connection = await asyncpg.connect()
        await connection.execute("BEGIN")
        await connection.execute("UPDATE balance SET amount = $1", n + 1)
        await leave(connection)
        assert connection.is_closed()
    async with connect() as connection:
        await asyncio.wait_for(connection.execute("UPDATE balance SET amount = amount + 100"), 10)
    assert server.value("SELECT amount FROM balance") == 100
    await no_transaction_is_open()


@case("terminate() in mid-transaction rolls it back and frees its locks")
async def _():
    async def leave(connection):
        connection.terminate()

    await leaves_in_mid_transaction(leave)


@case("terminate() in mid-query ends the query, rolls back and frees the locks")
async def _():
    async def leave(connection):
        running = asyncio.create_task(connection.fetchval("SELECT pg_sleep(600)"))
        await asyncio.sleep(0.1)
        connection.terminate()
        await asyncio.gather(running, return_exceptions=True)

    await leaves_in_mid_transaction(leave)


@case("close() in mid-transaction rolls it back")
async def _():
    async def leave(connection):
        await connection.close(timeout=5)

    await leaves_in_mid_transaction(leave)


@case("terminate() in the middle of COPY writes nothing")
async def _():
    server.fresh_table("copied", "n int")
    for _ in range(5):
        connection = await asyncpg.connect()
        started = asyncio.Event()

        async def source():
            yield b"1\n" * 10_000
            started.set()
            await asyncio.sleep(60)
            yield b"2\n"

        running = asyncio.create_task(connection.copy_to_table("copied", source=source()))
        await started.wait()
        await asyncio.sleep(0.05)
        connection.terminate()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    await no_transaction_is_open()
    async with connect() as connection:
        assert await connection.fetchval("SELECT count(*) FROM copied") == 0


@case("terminate() in the middle of a large result harms nobody")
async def _():
    for _ in range(5):
        connection = await asyncpg.connect(**without_statements())
        await connection.execute("BEGIN")
        running = asyncio.create_task(connection.fetch("SELECT repeat('y', 1000) FROM generate_series(1, 300000)"))
        await asyncio.sleep(0.05)
        connection.terminate()
        ends = await asyncio.gather(running, return_exceptions=True)
        assert isinstance(ends[0], Exception), "it was done before it was ended"
    async with connect() as connection:
        assert await connection.fetch("SELECT 'own'") == [("own",)]


@case("a backend ended in mid-transaction: that client is told, the others go on")
async def _():
    server.fresh_table("steps", "n int")
    async with connect() as bystander, connect() as hit:
        async with bystander.transaction():
            await bystander.execute("INSERT INTO steps VALUES (1)")
            with raises((asyncpg.AdminShutdownError, asyncpg.ConnectionDoesNotExistError, asyncpg.InterfaceError)):
                async with hit.transaction():
                    await hit.execute("INSERT INTO steps VALUES (2)")
                    server.end_backend(await hit.fetchval("SELECT pg_backend_pid()"))
                    await hit.execute("INSERT INTO steps VALUES (3)")
            await bystander.execute("INSERT INTO steps VALUES (4)")
    assert server.column("SELECT n FROM steps ORDER BY n") == [1, 4]
    async with connect() as connection:
        assert await connection.fetchval("SELECT 1") == 1


@case("a backend ended in mid-query is told as 57P01")
async def _():
    async with connect() as hit:
        await hit.execute("BEGIN")
        backend = await hit.fetchval("SELECT pg_backend_pid()")
        running = asyncio.create_task(hit.fetchval("SELECT pg_sleep(60)"))
        await asyncio.sleep(0.1)
        server.end_backend(backend)
        # asyncpg wraps the server's FATAL in an error of its own.
        with raises(asyncpg.ConnectionDoesNotExistError) as caught:
            await running
        assert "terminating connection due to administrator command" in str(caught[0]), caught[0]
        hit.terminate()


@case("idle server connections that end are noticed by no client")
async def _():
    if server.POOL_SIZE is None:
        return  # Between transactions a client of PostgreSQL itself does notice.
    async with connect(**without_statements()) as connection:
        for n in range(5):
            backend = await connection.fetchval("SELECT pg_backend_pid()")
            assert server.end_backend(backend)
            server.wait_until(lambda: server.value("SELECT count(*) FROM pg_stat_activity WHERE pid = %s", backend) == 0)
            await asyncio.sleep(0.05)
            assert await connection.fetchval("SELECT $1::int", n) == n


@case("a wrong password, an unknown user and an unknown database are refused")
async def _():
    with raises(asyncpg.InvalidPasswordError) as wrong:
        await asyncpg.connect(password="wrong")
    with raises(asyncpg.InvalidPasswordError) as unknown:
        await asyncpg.connect(user="nobody_here", password="wrong")
    assert wrong[0].sqlstate == unknown[0].sqlstate == "28P01"
    with raises(asyncpg.InvalidCatalogNameError) as caught:
        async with connect(database="no_such_db") as connection:
            await connection.fetchval("SELECT 1")
    assert "no_such_db" in str(caught[0]), caught[0]
    async with connect() as connection:
        assert await connection.fetchval("SELECT current_user") == os.environ["PGUSER"]


@case("a client that is trusted needs no password")
async def _():
    async with connect(user=server.TRUST_USER, port=server.TRUST_PORT, password="") as connection:
        async with connection.transaction():
            assert await connection.fetchval("SELECT current_user") == server.TRUST_USER
