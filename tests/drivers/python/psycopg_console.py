"""The console through libpq, in transactions as psycopg begins them by itself."""

from decimal import Decimal

import psycopg
import server
from case import case
from console_tables import OIDS, documented, tables
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

    @case("every SHOW of the documentation is one that the drivers read")
    def _():
        assert documented() == {name for name, _ in tables()}, documented() ^ {name for name, _ in tables()}

    @case("every table of the console has its columns, over both protocols")
    def _():
        with connect(dbname="pgbouncer", autocommit=True) as console:
            for name, columns in tables():
                simple = console.execute(f"SHOW {name}")
                extended = console.execute(f"SHOW {name}", binary=True)
                prepared = console.execute(f"SHOW {name}", prepare=True)
                for cursor in (simple, extended, prepared) if columns else ():
                    found = [(column.name, column.type_code) for column in cursor.description]
                    assert found == [(column, OIDS[kind]) for column, kind in columns], (name, found)
                    for row in cursor:
                        for (column, kind), cell in zip(columns, row, strict=True):
                            is_number = isinstance(cell, (int, Decimal))
                            assert cell is None or is_number == (kind != "text"), (name, column, cell)
