"""psycopg's AsyncConnection."""

import asyncio

import server
from case import case
from psycopg import errors
from psycopg_connect import connect_async, raises


async def value(connection, query, arguments=None):
    return (await (await connection.execute(query, arguments)).fetchone())[0]


@case("async: nested transactions, pipeline, COPY and a server cursor")
async def _():
    server.fresh_table("steps", "n int PRIMARY KEY")
    async with await connect_async() as connection:
        async with connection.transaction():
            await connection.execute("INSERT INTO steps VALUES (1)")
            with raises(errors.UniqueViolation):
                async with connection.transaction():
                    await connection.execute("INSERT INTO steps VALUES (2)")
                    await connection.execute("INSERT INTO steps VALUES (1)")
            async with connection.pipeline():
                for n in range(10, 20):
                    await connection.execute("INSERT INTO steps VALUES (%s)", (n,))
            async with connection.cursor() as cursor:
                async with cursor.copy("COPY steps FROM STDIN") as copy:
                    for n in range(20, 30):
                        await copy.write_row((n,))
            async with connection.cursor("named") as cursor:
                await cursor.execute("SELECT n FROM steps ORDER BY n")
                cursor.itersize = 3
                assert [n async for (n,) in cursor] == [1, *range(10, 30)]
    assert server.column("SELECT n FROM steps ORDER BY n") == [1, *range(10, 30)]


@case("async: a cancelled task cancels its query")
async def _():
    async with await connect_async(autocommit=True, prepare_threshold=None) as connection:
        for n in range(10):
            task = asyncio.create_task(connection.execute("SELECT pg_sleep(60)"))
            await asyncio.sleep(0.01 * n)
            task.cancel()
            with raises(asyncio.CancelledError):
                await task
            assert await value(connection, "SELECT %s::int", (n,)) == n


@case("async: 30 tasks in transactions, a third cancelled in mid-query")
async def _():
    server.fresh_table("steps", "n int")

    async def work(n):
        async with await connect_async(autocommit=True, prepare_threshold=None) as connection:
            async with connection.transaction():
                await connection.execute("INSERT INTO steps VALUES (%s)", (n,))
                if n % 3 == 0:
                    in_query[n].set()
                    await connection.execute("SELECT pg_sleep(60)")

    in_query = {n: asyncio.Event() for n in range(0, 30, 3)}
    tasks = [asyncio.create_task(work(n)) for n in range(30)]

    async def cancel(n):
        await in_query[n].wait()
        await asyncio.sleep(0.05)
        tasks[n].cancel()

    await asyncio.gather(*(cancel(n) for n in in_query))
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    assert [n for n, end in enumerate(ends) if isinstance(end, asyncio.CancelledError)] == list(in_query), ends
    assert [end for end in ends if end is not None and not isinstance(end, asyncio.CancelledError)] == []
    assert server.column("SELECT n FROM steps ORDER BY n") == [n for n in range(30) if n % 3]
