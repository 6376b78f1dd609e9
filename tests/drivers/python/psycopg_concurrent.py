"""psycopg: 30 threads, each with a connection, over few server connections."""

import os
import random
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import psycopg
import server
from case import case
from psycopg import errors
from psycopg_connect import THREADS, connect, in_threads, value

TRANSFERS = 20


def transfers(prepare_threshold, threads=THREADS):
    """Money goes between accounts, one time in three is taken back: the sum
    stays, and what stays is what was committed."""
    server.fresh_table("balance", "id int PRIMARY KEY, amount int NOT NULL")
    server.fresh_table("moved", "amount int")
    server.execute("INSERT INTO balance SELECT n, 1000 FROM generate_series(0, 9) n")
    most = 0

    def work(n):
        nonlocal most
        numbers, committed = random.Random(n), 0
        with connect(autocommit=True, prepare_threshold=prepare_threshold) as connection:
            for k in range(TRANSFERS):
                source, target = sorted(numbers.sample(range(10), 2))
                amount = numbers.randint(1, 100)
                with connection.transaction() as transaction:
                    connection.execute("UPDATE balance SET amount = amount - %s WHERE id = %s", (amount, source))
                    connection.execute("UPDATE balance SET amount = amount + %s WHERE id = %s", (amount, target))
                    connection.execute("INSERT INTO moved VALUES (%s)", (amount,))
                    if k % 3 == 0:
                        raise psycopg.Rollback(transaction)
                    committed += amount
                assert value(connection, "SELECT %s::int", (n * 1000 + k,)) == n * 1000 + k
        return committed

    def watch():
        nonlocal most
        while not done.wait(0.03):
            most = max(most, server.connections())

    done = threading.Event()
    watching = threading.Thread(target=watch)
    watching.start()
    try:
        committed = in_threads(work, threads)
    finally:
        done.set()
        watching.join()
    assert server.value("SELECT sum(amount) FROM balance") == 10_000
    assert server.value("SELECT sum(amount) FROM moved") == sum(committed)
    assert server.value("SELECT count(*) FROM moved") == threads * len([k for k in range(TRANSFERS) if k % 3])
    assert most > 0
    if server.POOL_SIZE is not None:
        assert most <= server.POOL_SIZE, f"{most} server connections"


@case("30 threads in transactions: the sums are right")
def _():
    transfers(prepare_threshold=None)


@case("3 threads in transactions with prepared statements")
def _():
    transfers(prepare_threshold=0, threads=3)


@case("30 threads in transactions with prepared statements")
def _():
    transfers(prepare_threshold=0)


@case("30 threads cancel their own queries and nobody else's")
def _():
    def cancel_until(done, connection):
        # One that comes before the query has begun ends nothing: so ask again.
        while not done.wait(random.uniform(0.0, 0.2)):
            connection.cancel_safe(timeout=10)

    def work(n):
        with connect(autocommit=True, prepare_threshold=None) as connection:
            for k in range(4):
                done = threading.Event()
                cancelling = threading.Thread(target=cancel_until, args=(done, connection))
                cancelling.start()
                try:
                    # Even ones sleep until they are cancelled; to odd ones the
                    # cancel may come when the query is over.
                    connection.execute("SELECT pg_sleep(%s)", (60 if n % 2 == 0 else 0.05,))
                    assert n % 2 == 1, "slept through"
                except errors.QueryCanceled:
                    pass
                finally:
                    done.set()
                    cancelling.join()
                # cancel_safe returns when the cancel is over: none is left for this.
                assert value(connection, "SELECT %s::int FROM pg_sleep(0.01)", (n * 10 + k,)) == n * 10 + k
        return True

    assert in_threads(work) == [True] * THREADS


@case("a query cancelled while it waits for a server connection ends at once")
def _():
    holders = [connect() for _ in range(server.POOL_SIZE or 3)]
    for holder in holders:
        holder.execute("SELECT 1")  # and with that a transaction is open
    with connect(autocommit=True, prepare_threshold=None) as waiting, ThreadPoolExecutor(1) as thread:
        running = thread.submit(waiting.execute, "SELECT pg_sleep(60)")
        time.sleep(0.3)
        began = time.monotonic()
        waiting.cancel_safe(timeout=10)
        try:
            running.result(timeout=5)
            raise AssertionError("it was not cancelled")
        except errors.QueryCanceled:
            assert time.monotonic() - began < 2
        for n, holder in enumerate(holders):
            assert value(holder, "SELECT %s::int", (n,)) == n
            holder.close()
        assert value(waiting, "SELECT 'alive'") == "alive"


def leave_without_a_word(connection):
    """Closes the socket; PQfinish alone would send a Terminate first, which a
    pooler may take for leave to let the query finish."""
    with socket.socket(fileno=os.dup(connection.pgconn.socket)) as raw:
        raw.shutdown(socket.SHUT_RDWR)
    connection.pgconn.finish()


def go_as_the_query_starts(leave, threads, rounds):
    def work(n):
        numbers = random.Random(n)
        for _ in range(rounds):
            connection = connect(autocommit=True, prepare_threshold=None)
            connection.execute("BEGIN")
            connection.pgconn.send_query(b"SELECT pg_sleep(60)")
            connection.pgconn.flush()
            time.sleep(numbers.choice([0, 0, 0.0003, 0.001]))
            leave(connection)

    in_threads(work, threads)
    server.wait_until_no_transaction_is_open()


@case("clients cut off as their query starts leave no query running")
def _():
    # A cancel that comes to PostgreSQL before the query has begun ends nothing.
    # Few in a hundred clients meet that moment, at most: so it takes many.
    go_as_the_query_starts(leave_without_a_word, threads=30, rounds=60)


@case("clients that say goodbye as their query starts leave no query running")
def _():
    go_as_the_query_starts(lambda connection: connection.pgconn.finish(), threads=6, rounds=2)


@case("30 clients that come and go at random leave the pool whole")
def _():
    server.fresh_table("steps", "n int")

    def work(n):
        numbers = random.Random(n)
        for _ in range(5):
            connection = connect(prepare_threshold=None)
            connection.execute("INSERT INTO steps VALUES (%s)", (n,))
            time.sleep(numbers.uniform(0, 0.02))
            if numbers.random() < 0.5:
                connection.pgconn.finish()  # with the transaction open
            else:
                connection.rollback()
                connection.close()

    in_threads(work)
    server.wait_until_no_transaction_is_open()
    assert server.value("SELECT count(*) FROM steps") == 0
    in_threads(lambda n: connect(autocommit=True).execute("SELECT 1").fetchone())
