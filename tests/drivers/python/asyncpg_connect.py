"""How the asyncpg cases connect. libpq's variables say where to."""

import asyncio
import contextlib

import asyncpg
import server


@contextlib.asynccontextmanager
async def connect(**options):
    """A connection through the pooler, closed in the orderly way at the end."""
    connection = await asyncpg.connect(**options)
    try:
        yield connection
    finally:
        if not connection.is_closed():
            await connection.close(timeout=10)


@contextlib.contextmanager
def raises(kind):
    """The block must raise `kind`; yields a list that then holds the error."""
    caught = []
    try:
        yield caught
    except kind as error:
        caught.append(error)
    else:
        raise AssertionError(f"{kind.__name__} was expected and did not come")


async def no_transaction_is_open():
    """Waits in a thread, for asyncpg may still have cancels to send."""
    await asyncio.to_thread(server.wait_until_no_transaction_is_open)


def without_statements(**options):
    """Options of a client that keeps no named statement on the server."""
    return {"statement_cache_size": 0, **options}
