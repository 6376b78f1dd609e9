"""psycopg, which prepares at once, while DDL goes on; the same in pipeline mode."""

import threading
import time

import ddl
import psycopg
from case import case
from psycopg import errors
from psycopg_connect import connect, in_threads


def change(world, all_have_asked):
    """DDL, one step after the other, until nobody asks any more."""
    with connect(autocommit=True, prepare_threshold=None) as connection:
        for thing, k, statements in world.steps():
            if k % 3 == 0:
                connection.execute("; ".join(statements))
            else:
                with connection.transaction():
                    for statement in statements:
                        connection.execute(statement)
            time.sleep(0.002)
            if all_have_asked.is_set() and thing.columns(k) is not None:
                return


def execute(connection, text, n):
    return connection.execute(text.query.replace("$1", "%s"), (n,))


def check(attempt, n, cursor):
    attempt.answered(n, [column.name for column in cursor.description], cursor.fetchone())


def forgivable(attempt, error):
    """The error, if it has a reason; else it is raised."""
    missing = isinstance(error, errors.UndefinedTable) and attempt.may_be_missing()
    another_type = isinstance(error, errors.FeatureNotSupported) and attempt.may_have_another_type()
    if not (missing or another_type):
        raise error
    return error


def ask(connection, client, text):
    """The forgivable error that came instead of the right answer, or None."""
    attempt, n = client.ask(text), client.argument()
    try:
        cursor = execute(connection, text, n)
    except (errors.UndefinedTable, errors.FeatureNotSupported) as error:
        return forgivable(attempt, error)
    check(attempt, n, cursor)
    return None


def ask_in_transaction(connection, client, text):
    with connection.transaction() as transaction:
        for each in client.in_transaction(text):
            if error := ask(connection, client, each):
                raise psycopg.Rollback(transaction)
    return error


def ask_in_pipeline(connection, client, text):
    """All at once: a transaction, too, since there is one Sync. Its error can
    only be about `text`, for the others never change."""
    asked = [(client.ask(each), client.argument()) for each in client.in_transaction(text)]
    try:
        with connection.pipeline():
            cursors = [execute(connection, attempt.text, n) for attempt, n in asked]
    except (errors.UndefinedTable, errors.FeatureNotSupported) as error:
        return forgivable(asked[1][0], error)
    for (attempt, n), cursor in zip(asked, cursors, strict=True):
        check(attempt, n, cursor)
    return None


def ask_until_answered(connection, client, text, how):
    for _ in range(ddl.TRIES):
        error = how(connection, client, text)
        if error is None:
            return
        if isinstance(error, errors.FeatureNotSupported):
            # psycopg would use the statement again, and have that error for ever.
            # It notices the DEALLOCATE only in a text that it has not counted yet.
            connection.execute(f"DEALLOCATE ALL -- {client.argument()}", prepare=False)
            client.all_prepared_anew()
        time.sleep(0.002)
    raise AssertionError(f"{text.query!r} has had no answer in {ddl.TRIES} tries")


def under_ddl(ways):
    """30 threads; `ways(in_transaction)` is how they ask."""
    world = ddl.World()
    all_have_asked = threading.Event()

    def work(number):
        with connect(autocommit=True, prepare_threshold=0) as connection:
            client = ddl.Client(world, number)
            for text, in_transaction in client.work():
                ask_until_answered(connection, client, text, ways(in_transaction))

    changing = threading.Thread(target=change, args=(world, all_have_asked))
    changing.start()
    try:
        in_threads(work, ddl.CLIENTS)
    finally:
        all_have_asked.set()
        changing.join()


@case("30 clients with prepared statements under DDL: right answers, and no error without a reason")
def _():
    under_ddl(lambda in_transaction: ask_in_transaction if in_transaction else ask)


@case("30 clients with pipelines of prepared statements under DDL: the same")
def _():
    under_ddl(lambda _: ask_in_pipeline)
