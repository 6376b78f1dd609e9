"""How the psycopg cases connect. libpq's variables say where to."""

import contextlib
from concurrent.futures import ThreadPoolExecutor

import psycopg

THREADS = 30


def connect(**options):
    """A connection through the pooler, for a `with` that commits and closes."""
    return psycopg.connect("", **options)


async def connect_async(**options):
    return await psycopg.AsyncConnection.connect("", **options)


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


def value(connection, query, arguments=None, **options):
    """The first column of the first row."""
    return connection.execute(query, arguments, **options).fetchone()[0]


def in_threads(work, count=THREADS):
    """`work(n)` in `count` threads; the first error is raised here."""
    with ThreadPoolExecutor(count) as threads:
        return [future.result(timeout=50) for future in [threads.submit(work, n) for n in range(count)]]
