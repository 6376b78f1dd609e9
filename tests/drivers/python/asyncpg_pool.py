"""asyncpg's pool of 30 connections over few server connections, and cancelled
tasks: asyncpg answers a cancelled task with a CancelRequest."""

import asyncio
import random

import asyncpg
import server
from asyncpg_connect import connect, no_transaction_is_open, raises, without_statements
from case import case

CONNECTIONS = 30
TASKS = 200


class OnPurpose(Exception):
    pass


class WatchConnections:
    """Counts, while it is open, how many connections PostgreSQL has of us."""

    def __init__(self):
        self.most = 0

    async def __aenter__(self):
        self.task = asyncio.create_task(self.watch())
        return self

    async def watch(self):
        while True:
            self.most = max(self.most, server.connections())
            await asyncio.sleep(0.02)

    async def __aexit__(self, *_):
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        assert self.most > 0, "nothing was watched"
        if server.POOL_SIZE is not None:
            assert self.most <= server.POOL_SIZE, f"{self.most} server connections"


async def a_third_raises_a_third_is_cancelled(pool):
    """Task n inserts n and -n in one transaction; n % 3 says how it ends:
    0 commits, 1 raises (half of them in an inner transaction), 2 is cancelled
    while its query runs on the server."""
    server.fresh_table("written", "n int")

    async def work(n):
        async with pool.acquire() as connection:
            async with connection.transaction():
                await connection.execute("INSERT INTO written VALUES ($1)", n)
                if n % 3 == 1:
                    async with connection.transaction():
                        await connection.execute("INSERT INTO written VALUES ($1)", -n)
                        if n % 2:
                            raise OnPurpose
                    raise OnPurpose
                if n % 3 == 2:
                    in_query[n].set()
                    await connection.fetchval(f"SELECT pg_sleep(60), {n}")
                await connection.execute("INSERT INTO written VALUES ($1)", -n)

    async def cancel(n):
        await in_query[n].wait()
        await asyncio.sleep(random.uniform(0.0, 0.03))
        tasks[n].cancel()

    in_query = {n: asyncio.Event() for n in range(1, TASKS + 1) if n % 3 == 2}
    tasks = {n: asyncio.create_task(work(n)) for n in range(1, TASKS + 1)}
    cancels = [asyncio.create_task(cancel(n)) for n in in_query]
    ends = await asyncio.gather(*tasks.values(), return_exceptions=True)
    for task in cancels:
        task.cancel()
    await asyncio.gather(*cancels, return_exceptions=True)

    expected = {0: type(None), 1: OnPurpose, 2: asyncio.CancelledError}
    for n, end in zip(tasks, ends):
        assert type(end) is expected[n % 3], f"task {n}: {end!r}"
    kept = [n for n in range(1, TASKS + 1) if n % 3 == 0]
    assert server.column("SELECT n FROM written WHERE n > 0 ORDER BY n") == kept
    assert server.column("SELECT -n FROM written WHERE n < 0 ORDER BY -n") == kept


async def every_connection_works(pool):
    """All of the pool's connections at once, each with an answer of its own."""
    connections = [await pool.acquire() for _ in range(pool.get_max_size())]
    got = await asyncio.gather(*(c.fetchval("SELECT $1::int", n) for n, c in enumerate(connections)))
    assert got == list(range(len(connections))), got
    assert not any(c.is_in_transaction() for c in connections)
    for connection in connections:
        await pool.release(connection)


@case("200 tasks, a third raising, a third cancelled in mid-query: what is committed is right")
async def _():
    async with asyncpg.create_pool(min_size=CONNECTIONS, max_size=CONNECTIONS, **without_statements()) as pool:
        async with WatchConnections():
            await a_third_raises_a_third_is_cancelled(pool)
            await no_transaction_is_open()
            await every_connection_works(pool)


@case("the same 200 tasks with the statement cache on")
async def _():
    async with asyncpg.create_pool(min_size=CONNECTIONS, max_size=CONNECTIONS) as pool:
        async with WatchConnections():
            await a_third_raises_a_third_is_cancelled(pool)
            await no_transaction_is_open()
            await every_connection_works(pool)


@case("the same 200 tasks over 3 connections with the statement cache on")
async def _():
    async with asyncpg.create_pool(min_size=3, max_size=3) as pool:
        await a_third_raises_a_third_is_cancelled(pool)
        await no_transaction_is_open()
        await every_connection_works(pool)


@case("1,000 single queries at once: each gets its own answer")
async def _():
    async with asyncpg.create_pool(min_size=CONNECTIONS, max_size=CONNECTIONS, **without_statements()) as pool:
        async with WatchConnections():
            got = await asyncio.gather(*(pool.fetchval("SELECT $1::int * 2", n) for n in range(1000)))
    assert got == [n * 2 for n in range(1000)]


@case("tasks cancelled while they wait for a server connection leave nothing behind")
async def _():
    server.fresh_table("written", "n int")
    holders = server.POOL_SIZE or 3
    async with asyncpg.create_pool(min_size=CONNECTIONS, max_size=CONNECTIONS, **without_statements()) as pool:
        hold, holding = asyncio.Event(), asyncio.Semaphore(0)

        async def holder(n):
            async with pool.acquire() as connection, connection.transaction():
                await connection.execute("INSERT INTO written VALUES ($1)", n)
                holding.release()
                await hold.wait()

        async def waiter(n):
            async with pool.acquire() as connection, connection.transaction():
                await connection.fetchval("SELECT pg_sleep(60)")
                await connection.execute("INSERT INTO written VALUES ($1)", 100 + n)

        held = [asyncio.create_task(holder(n)) for n in range(holders)]
        for _ in held:
            await holding.acquire()
        waiting = [asyncio.create_task(waiter(n)) for n in range(10)]
        await asyncio.sleep(0.3)
        for task in waiting:
            task.cancel()
        await asyncio.sleep(0.3)
        assert not any(task.done() for task in held), "a cancel hit one that was not cancelled"
        # A cancelled task ends when asyncpg's pool has reset its connection, and
        # that takes a server connection again.
        hold.set()
        await asyncio.gather(*held)
        ends = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 20)
        assert all(isinstance(end, asyncio.CancelledError) for end in ends), ends
        await every_connection_works(pool)
    assert server.column("SELECT n FROM written ORDER BY n") == list(range(holders))


@case("a cancel hits only the query that it is for")
async def _():
    async with asyncpg.create_pool(min_size=CONNECTIONS, max_size=CONNECTIONS, **without_statements()) as pool:
        stop = asyncio.Event()
        answers = 0

        async def victim(n):
            nonlocal answers
            while not stop.is_set():
                assert await pool.fetchval("SELECT $1::int FROM pg_sleep(0.005)", n) == n
                answers += 1

        async def cancelled():
            for _ in range(15):
                task = asyncio.create_task(pool.fetchval("SELECT 1 FROM pg_sleep(60)"))
                await asyncio.sleep(random.uniform(0.0, 0.05))
                task.cancel()
                with raises(asyncio.CancelledError):
                    await task

        victims = [asyncio.create_task(victim(n)) for n in range(10)]
        await asyncio.gather(*(cancelled() for _ in range(8)))
        stop.set()
        await asyncio.gather(*victims)
        assert answers > 100, answers
        await every_connection_works(pool)


@case("a connection that was cancelled 50 times still answers its own questions")
async def _():
    async with connect(**without_statements()) as connection:
        for n in range(50):
            task = asyncio.create_task(connection.fetchval("SELECT 'late' FROM pg_sleep(60)"))
            await asyncio.sleep(0.001 * (n % 7))
            task.cancel()
            with raises(asyncio.CancelledError):
                await task
            assert await connection.fetchval("SELECT $1::int", n) == n


@case("the pool rolls back what a task left open")
async def _():
    server.fresh_table("written", "n int")
    async with asyncpg.create_pool(min_size=1, max_size=1, **without_statements()) as pool:
        connection = await pool.acquire()
        await connection.execute("BEGIN")
        await connection.execute("INSERT INTO written VALUES (1)")
        # asyncpg reports the forgotten transaction to the loop; that is noise here.
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        await pool.release(connection)
        await no_transaction_is_open()
        assert await pool.fetchval("SELECT count(*) FROM written") == 0


@case("a pool terminated under load leaves no transaction and no row")
async def _():
    server.fresh_table("written", "n int")
    pool = await asyncpg.create_pool(min_size=CONNECTIONS, max_size=CONNECTIONS, **without_statements())

    async def work(n):
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute("INSERT INTO written VALUES ($1)", n)
            await connection.fetchval("SELECT pg_sleep(60)")

    tasks = [asyncio.create_task(work(n)) for n in range(CONNECTIONS)]
    await asyncio.sleep(0.5)
    pool.terminate()
    ends = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 20)
    assert all(isinstance(end, Exception) for end in ends), ends
    await no_transaction_is_open()
    assert server.value("SELECT count(*) FROM written") == 0
    async with connect() as connection:
        assert await connection.fetchval("SELECT 1") == 1
