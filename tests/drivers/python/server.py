"""PostgreSQL itself, past the pooler: to prepare tables and to look at what is
open there. Everything here is plain and blocking, on one superuser connection."""

import os
import time

import psycopg
from psycopg import sql

HOST = os.environ["PGWEAVE_TEST_SERVER_HOST"]
PORT = int(os.environ["PGWEAVE_TEST_SERVER_PORT"])
USER = os.environ["PGUSER"]
TRUST_USER = os.environ["PGWEAVE_TEST_TRUST_USER"]
TRUST_PORT = int(os.environ["PGWEAVE_TEST_TRUST_PORT"])

# Server connections a pool may have; None when there is no pooler.
POOL_SIZE = int(os.environ["PGWEAVE_TEST_POOL_SIZE"]) if os.environ["PGWEAVE_TEST_POOL_SIZE"] else None

_connections = {}


def _connect(dbname):
    """A superuser's connection, made once for each database."""
    connection = _connections.get(dbname)
    if connection is None or connection.closed:
        connection = psycopg.connect(
            host=HOST, port=PORT, user="postgres", dbname=dbname, autocommit=True, prepare_threshold=None
        )
        _connections[dbname] = connection
    return connection


def _server():
    return _connect("postgres")


def _database():
    """The database under test, as the role under test."""
    connection = _connect(os.environ["PGDATABASE"])
    connection.execute(sql.SQL("SET ROLE {}; SET lock_timeout = '10s'").format(sql.Identifier(USER)))
    return connection


def execute(query, *arguments):
    _database().execute(query, arguments or None)


def rows(query, *arguments):
    return _database().execute(query, arguments or None).fetchall()


def execute_as_superuser(query):
    _server().execute(query)


def superuser_rows(query, *arguments):
    return _server().execute(query, arguments or None).fetchall()


def value(query, *arguments):
    return rows(query, *arguments)[0][0]


def column(query, *arguments):
    return [row[0] for row in rows(query, *arguments)]


def fresh_table(name, columns):
    execute(f"DROP TABLE IF EXISTS {name} CASCADE")
    execute(f"CREATE TABLE {name} ({columns})")


# pg_sleep is what a case waits in; an idle connection's transaction is over.
OPEN = """
    SELECT pid, state, left(query, 60) FROM pg_stat_activity
    WHERE usename = ANY (%s) AND backend_type = 'client backend'
      AND (xact_start IS NOT NULL OR state <> 'idle')
"""


def open_transactions():
    return _server().execute(OPEN, ([USER, TRUST_USER],)).fetchall()


def wait_until_no_transaction_is_open(seconds=5.0):
    end = time.monotonic() + seconds
    while left := open_transactions():
        if time.monotonic() > end:
            raise AssertionError(f"left open on the server: {left}")
        time.sleep(0.02)


def wait_until(what, seconds=10.0):
    """Until `what()` is true. Blocks: not for the thread of an event loop that
    has to move meanwhile."""
    end = time.monotonic() + seconds
    while not what():
        if time.monotonic() > end:
            raise AssertionError("waited in vain")
        time.sleep(0.02)


def connections():
    """How many connections PostgreSQL has of our user in our database: of the
    one pool that the cases are about, without the one connection beside it that
    listens for all clients."""
    query = ("SELECT count(*) FROM pg_stat_activity WHERE usename = %s AND datname = %s"
             " AND application_name <> 'pgweave listens'")
    return _server().execute(query, (USER, os.environ["PGDATABASE"])).fetchone()[0]


def running(pattern):
    """How many queries like `pattern` run now."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE usename = %s AND state = 'active' AND query LIKE %s"
    return _server().execute(query, (USER, pattern)).fetchone()[0]


def end_backend(pid):
    return _server().execute("SELECT pg_terminate_backend(%s)", (pid,)).fetchone()[0]


def end_what_is_left():
    """After a failed case, so that it does not take the next ones with it."""
    # Ours may have been interrupted in mid-query.
    while _connections:
        _connections.popitem()[1].close()
    for pid, *_ in open_transactions():
        end_backend(pid)
    for gid, database in _server().execute("SELECT gid, database FROM pg_prepared_xacts").fetchall():
        _connect(database).execute(sql.SQL("ROLLBACK PREPARED {}").format(sql.Literal(gid)))
