"""The console through libpq, in transactions as psycopg begins them by itself."""

import psycopg
import server
from case import case
from psycopg_connect import connect, raises, value

if server.POOL_SIZE is not None:

    @case("the console is read inside of what psycopg takes for a transaction")
    def _():
        with connect(dbname="pgbouncer") as console:
            assert value(console, "SHOW VERSION").startswith("PgBouncer ")
            cursor = console.execute("SHOW DATABASES")
            names = [column.name for column in cursor.description]
            assert names[:4] == ["name", "host", "port", "database"], names
            for row in cursor:
                assert len(row) == len(names), row
        with connect(dbname="pgweave", autocommit=True) as console:
            assert isinstance(value(console, "SHOW LISTS", binary=True), str)

    @case("an error of the console leaves its connection usable")
    def _():
        with connect(dbname="pgbouncer", autocommit=True) as console:
            with raises(psycopg.errors.SyntaxError) as caught:
                console.execute("nonsense")
            assert "use SHOW HELP" in str(caught[0]), caught
            assert value(console, "SELECT 1") == 1
