"""psycopg, with the libpq that its wheel carries."""

from __future__ import annotations

import threading

import psycopg
from psycopg import pq
from psycopg.errors import DivisionByZero, QueryCanceled

from cases import Wrong, case, equal, plan


def connect(told: dict, way: dict, **more):
    settings = {"host": "localhost", "hostaddr": "127.0.0.1", "port": way["port"], "user": way["user"],
                "password": way["password"], "dbname": told["database"], "sslmode": "verify-full",
                "sslrootcert": told["ca"]}
    if way.get("cert"):
        settings |= {"sslcert": way["cert"], "sslkey": way["key"]}
    return psycopg.connect(**{**settings, **more})


def works(told: dict, way: dict, **more) -> None:
    with connect(told, way, **more) as connection:
        equal(connection.execute("SELECT %s + 1", [41], prepare=True).fetchone(), (42,))
        equal(connection.execute("SELECT session_user::text").fetchone(), (way["user"],))


def transactions(told: dict, way: dict) -> None:
    with connect(told, way) as connection:
        with connection.transaction():
            connection.execute("CREATE TEMPORARY TABLE t (a int) ON COMMIT DROP")
            connection.execute("INSERT INTO t VALUES (1), (2)")
            equal(connection.execute("SELECT sum(a) FROM t").fetchone(), (3,))
        try:
            connection.execute("SELECT 1 / 0")
        except DivisionByZero:
            connection.rollback()
        else:
            raise Wrong("no error")
        equal(connection.execute("SELECT 6 * 7").fetchone(), (42,))


def cancels(told: dict, way: dict) -> None:
    with connect(told, way) as connection:
        # In TLS as the connection is, where libpq can do that.
        ending = threading.Timer(0.3, connection.cancel_safe)
        ending.start()
        try:
            connection.execute("SELECT pg_sleep(30)")
        except QueryCanceled:
            connection.rollback()
        else:
            raise Wrong("it was not cancelled")
        finally:
            ending.join()
        equal(connection.execute("SELECT 6 * 7").fetchone(), (42,))


def refused(told: dict, way: dict, text: str, **more) -> None:
    try:
        connect(told, way, **more).close()
    except psycopg.OperationalError as error:
        if text not in str(error):
            raise
    else:
        raise Wrong("it was let in")


def main() -> None:
    told = plan()
    libpq = pq.version()
    for way in told["ways"]:
        name = way["name"]
        case(f"{name}: a query", lambda: works(told, way))
        case(f"{name}: transactions and errors", lambda: transactions(told, way))
        case(f"{name}: a cancel", lambda: cancels(told, way))
        if libpq >= 170000:
            case(f"{name}: sslnegotiation=direct", lambda: works(told, way, sslnegotiation="direct"))
        if way["scram"]:
            case(f"{name}: channel_binding=require", lambda: works(told, way, channel_binding="require"))
            case(f"{name}: require_auth=scram-sha-256", lambda: works(told, way, require_auth="scram-sha-256"))
        if way["wrong"] == "28P01":
            case(f"{name}: a wrong password",
                 lambda: refused(told, way, "password authentication failed", password="wrong"))
        elif way["wrong"] == "28000":
            case(f"{name}: no certificate", lambda: refused(told, way, "certificate", sslcert="", sslkey=""))


main()
