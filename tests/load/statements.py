"""100 clients prepare 1,000 statements each, no two alike: memory stays within bounds, every answer is right."""

from __future__ import annotations

import struct
import time

from lab.procfs import anonymous_bytes
from lab.wire import Client, frame
from proof import Proof

CLIENTS, EACH, POOL = 100, 1000, 10
# Messages of so many statements go out in one write.
BATCH = 50
# Beside its text a statement may cost so many bytes in the client's and the pooler's maps.
OVERHEAD = 600
# What a pooler with so many connections may have grown by that has nothing to do with statements.
SLACK = 12 << 20
# `max_prepared_statements`, PgBouncer's default as well, and the pooler's own.
HELD, OWN = 200, 25
MARK = "a comment as long as those which trace libraries put before their queries"


def text(client: int, number: int) -> str:
    return f"/* {MARK} */ select {client * EACH + number}::int8 + $1::int4 as answer"


def name(number: int) -> bytes:
    return b"statement_%d" % number


def parse(client: int, number: int) -> bytes:
    return frame(b"P", name(number) + b"\0" + text(client, number).encode() + b"\0\0\0")


def run(number: int, argument: int) -> bytes:
    value = str(argument).encode()
    bound = b"\0" + name(number) + b"\0" + struct.pack("!HHi", 0, 1, len(value)) + value + b"\0\0"
    return frame(b"B", bound) + frame(b"E", b"\0" + struct.pack("!I", 0))


def in_batches(client: Client, frames: list) -> list:
    rows = []
    for at in range(0, len(frames), BATCH):
        client.send(b"".join(frames[at:at + BATCH]) + frame(b"S"))
        rows += client.read_to_ready()
    return rows


def prove(proof: Proof) -> None:
    pooler = proof.start_pooler(POOL)
    clients = [proof.client() for _ in range(CLIENTS)]
    for client in clients:
        client.query("select 1")
    resident = lambda: anonymous_bytes(pooler.child.pid)  # noqa: E731
    before = resident()
    for index, client in enumerate(clients):
        in_batches(client, [parse(index, number) for number in range(EACH)])
    prepared = resident()
    for index, client in enumerate(clients):
        rows = in_batches(client, [run(number, 7) for number in range(EACH)])
        wrong = [row for number, row in enumerate(rows) if row != [str(index * EACH + number + 7)]]
        proof.check(len(rows) == EACH and not wrong, f"client {index}: {len(rows)} rows, wrong: {wrong[:3]}")
    executed = resident()
    held = max(int(client.value("select count(*) from pg_prepared_statements")) for client in clients[:POOL])
    count = CLIENTS * EACH
    texts = sum(len(text(index, number)) for index in range(CLIENTS) for number in range(EACH))
    for client in clients:
        client.close()
    end = time.monotonic() + 60
    while resident() > before + SLACK and time.monotonic() < end:
        time.sleep(0.2)
    after = resident()
    mb = lambda size: f"{size / 1e6:.1f} MB"  # noqa: E731
    proof.say(f"{count} statements of {texts // count} bytes: {mb(prepared - before)} when prepared,"
              f" {mb(executed - before)} when all have run ({(executed - before) // count} bytes each),"
              f" {mb(after - before)} after the clients have left; at most {held} on a server connection")
    proof.check(executed - before <= texts + count * OVERHEAD + SLACK, "memory grew beyond its bound")
    proof.check(after - before <= SLACK, "memory did not come back")
    proof.check(0 < held <= HELD + OWN, f"{held} statements on one server connection")
