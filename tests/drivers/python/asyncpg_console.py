"""The console, as an exporter reads it: prepared statements, numbers in binary."""

import os
from decimal import Decimal

import server
from asyncpg_connect import connect
from case import case
from console_tables import tables

if server.POOL_SIZE is not None:

    @case("every table of the console is read with its types")
    async def _():
        async with connect(database="pgbouncer") as connection:
            for what in ("STATS", "POOLS", "CLIENTS", "SERVERS", "DATABASES", "LISTS", "CONFIG", "TOTALS", "MEM"):
                rows = await connection.fetch(f"SHOW {what}")
                assert rows, what
            stats = {row["database"]: row for row in await connection.fetch("SHOW STATS")}[os.environ["PGDATABASE"]]
            assert isinstance(stats["total_xact_count"], Decimal), stats
            assert stats["total_client_login_count"] > 0, stats
            pools = await connection.fetch("SHOW POOLS")
            assert all(isinstance(pool["cl_active"], int) for pool in pools), pools
            assert await connection.fetchval("SELECT 1") == 1

    @case("every table of the console has its columns")
    async def _():
        async with connect(database="pgbouncer") as connection:
            for name, columns in tables():
                statement = await connection.prepare(f"SHOW {name}")
                found = [(column.name, column.type.name) for column in statement.get_attributes()]
                assert found == columns, (name, found)
                for row in await statement.fetch():
                    assert list(row.keys()) == [column for column, _ in columns], name

    @case("a statement of the console is executed again and again")
    async def _():
        async with connect(database="pgweave") as connection:
            statement = await connection.prepare("SHOW VERSION")
            first = await statement.fetchval()
            assert first.startswith("PgBouncer ") and await statement.fetchval() == first
