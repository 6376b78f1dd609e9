"""asyncpg, its statement cache on, while DDL goes on."""

import asyncio

import asyncpg
import ddl
from asyncpg_connect import connect
from case import case


async def change(world, all_have_asked):
    """DDL, one step after the other, until nobody asks any more."""
    async with connect() as connection:
        for thing, k, statements in world.steps():
            if k % 3 == 0:
                await connection.execute("; ".join(statements))
            else:
                async with connection.transaction():
                    for statement in statements:
                        await connection.execute(statement)
            await asyncio.sleep(0.002)
            if all_have_asked.is_set() and thing.columns(k) is not None:
                return


async def ask(connection, client, text, in_transaction=False):
    """True when there was an answer: the right one."""
    attempt, n = client.ask(text), client.argument()
    try:
        row = await connection.fetchrow(text.query, n)
    except asyncpg.UndefinedTableError:
        if not attempt.may_be_missing():
            raise
        return False
    except asyncpg.InvalidCachedStatementError:
        # asyncpg prepares it anew by itself, but once only, and not in a
        # transaction. It then drops all statements of its cache.
        if not (attempt.may_have_another_type() if in_transaction else attempt.type_changed_meanwhile()):
            raise
        client.all_prepared_anew()
        return False
    attempt.answered(n, row.keys(), row.values())
    return True


async def ask_in_transaction(connection, client, text):
    transaction = connection.transaction()
    await transaction.start()
    for each in client.in_transaction(text):
        if not await ask(connection, client, each, in_transaction=True):
            await transaction.rollback()
            return False
    await transaction.commit()
    return True


async def ask_until_answered(connection, client, text, how):
    for _ in range(ddl.TRIES):
        if await how(connection, client, text):
            return
        await asyncio.sleep(0.002)
    raise AssertionError(f"{text.query!r} has had no answer in {ddl.TRIES} tries")


@case("30 clients with cached statements under DDL: right answers, and no error without a reason")
async def _():
    # Not with types that come and go: asyncpg itself fails when one is gone
    # before it has asked about it.
    world = ddl.World(without=[ddl.Painted])
    all_have_asked = asyncio.Event()

    async def work(number):
        async with connect() as connection:
            client = ddl.Client(world, number)
            for text, in_transaction in client.work():
                await ask_until_answered(connection, client, text, ask_in_transaction if in_transaction else ask)

    changing = asyncio.create_task(change(world, all_have_asked))
    await asyncio.gather(*(work(number) for number in range(ddl.CLIENTS)))
    all_have_asked.set()
    await changing
