"""asyncpg, which speaks the protocol itself."""

from __future__ import annotations

import asyncio
import ssl

import asyncpg

from cases import Wrong, equal, plan, report


def context(told: dict, way: dict, certificate: bool = True) -> ssl.SSLContext:
    made = ssl.create_default_context(cafile=told["ca"])
    if way.get("cert") and certificate:
        made.load_cert_chain(way["cert"], way["key"])
    return made


async def connect(told: dict, way: dict, certificate: bool = True, **more):
    settings = {"host": "localhost", "port": way["port"], "user": way["user"], "password": way["password"],
                "database": told["database"], "ssl": context(told, way, certificate)}
    return await asyncpg.connect(**{**settings, **more})


async def works(told: dict, way: dict, **more) -> None:
    connection = await connect(told, way, **more)
    try:
        for _ in range(3):
            equal(await connection.fetchval("SELECT $1::int + 1", 41), 42)
        equal(await connection.fetchval("SELECT session_user::text"), way["user"])
    finally:
        await connection.close()


async def transactions(told: dict, way: dict) -> None:
    connection = await connect(told, way)
    try:
        async with connection.transaction():
            await connection.execute("CREATE TEMPORARY TABLE t (a int) ON COMMIT DROP")
            await connection.executemany("INSERT INTO t VALUES ($1)", [(1,), (2,)])
            equal(await connection.fetchval("SELECT sum(a) FROM t"), 3)
        try:
            await connection.fetchval("SELECT 1 / 0")
        except asyncpg.DivisionByZeroError:
            pass
        else:
            raise Wrong("no error")
        equal(await connection.fetchval("SELECT 6 * 7"), 42)
    finally:
        await connection.close()


async def cancels(told: dict, way: dict) -> None:
    connection = await connect(told, way)
    try:
        try:
            await connection.execute("SELECT pg_sleep(30)", timeout=0.3)
        except asyncio.TimeoutError:
            pass
        else:
            raise Wrong("it was not cancelled")
        equal(await connection.fetchval("SELECT 6 * 7"), 42)
    finally:
        await connection.close()


async def refused(told: dict, way: dict, sqlstate: str, **more) -> None:
    try:
        await (await connect(told, way, **more)).close()
    except asyncpg.PostgresError as error:
        equal(error.sqlstate, sqlstate)
    else:
        raise Wrong("it was let in")


async def case(name: str, body) -> None:
    try:
        await asyncio.wait_for(body, 30)
    except BaseException as failure:  # noqa: BLE001 - whatever it is, it is told
        report(name, failure)
    else:
        report(name, None)


async def main() -> None:
    told = plan()
    for way in told["ways"]:
        name = way["name"]
        await case(f"{name}: queries", works(told, way))
        await case(f"{name}: transactions and errors", transactions(told, way))
        await case(f"{name}: a cancel", cancels(told, way))
        # It begins with TLS and names no protocol in it.
        if way["wrong"] == "28P01":
            await case(f"{name}: a wrong password", refused(told, way, "28P01", password="wrong"))
        elif way["wrong"] == "28000":
            await case(f"{name}: no certificate", refused(told, way, "28000", certificate=False))


asyncio.run(main())
