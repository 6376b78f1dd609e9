"""1,000 clients listen: they cost one server connection, and each hears what is told to it, once and in order."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from lab.procfs import anonymous_bytes
from lab.wire import Client
from proof import USER, Proof

CLIENTS, POOL, SENDERS = 1000, 5, 4
# To everybody, and to each one, by each sender.
TO_ALL, TO_EACH = 20, 5
# Beside what an idle client costs.
MOST_BYTES = 8 << 10


def told(body: bytes) -> tuple:
    channel, payload, _ = body[4:].split(b"\0")
    return channel.decode(), payload.decode()


def hear(client: Client, count: int) -> list:
    heard = []
    while len(heard) < count:
        tag, body = client.read_frame()
        if tag == b"A":
            heard.append(told(body))
    return heard


def send(proof: Proof, sender: int) -> None:
    client = proof.client()
    for number in range(TO_ALL):
        client.query(f"notify everybody, '{sender} {number}'")
    for start in range(0, CLIENTS, 50):
        for number in range(TO_EACH):
            one = "".join(f"notify only_{index}, '{sender} {number}';" for index in range(start, start + 50))
            client.query(one)
    client.close()


def check_heard(proof: Proof, index: int, heard: list) -> None:
    for sender in range(SENDERS):
        to_all = [payload for channel, payload in heard if channel == "everybody" and payload.startswith(f"{sender} ")]
        to_one = [payload for channel, payload in heard if channel == f"only_{index}" and payload.startswith(f"{sender} ")]
        proof.check(to_all == [f"{sender} {number}" for number in range(TO_ALL)], f"client {index}: {to_all}")
        proof.check(to_one == [f"{sender} {number}" for number in range(TO_EACH)], f"client {index}: {to_one}")


def prove(proof: Proof) -> None:
    pooler = proof.start_pooler(POOL)
    clients = [proof.client() for _ in range(CLIENTS)]
    for client in clients:
        client.query("select 1")
    before = anonymous_bytes(pooler.child.pid)
    begun = time.monotonic()
    for index, client in enumerate(clients):
        client.query(f"listen everybody; listen only_{index}")
    took = time.monotonic() - begun
    each = (anonymous_bytes(pooler.child.pid) - before) // CLIENTS
    with ThreadPoolExecutor(SENDERS) as threads:
        list(threads.map(lambda sender: send(proof, sender), range(SENDERS)))
    expected = SENDERS * (TO_ALL + TO_EACH)
    orders = set()
    for index, client in enumerate(clients):
        heard = hear(client, expected)
        check_heard(proof, index, heard)
        orders.add(tuple(payload for channel, payload in heard if channel == "everybody"))
    with proof.pg.connect() as control:
        used = int(control.value(f"select count(*) from pg_stat_activity where usename = '{USER}'"))
    proof.say(f"{CLIENTS} clients listen after {took:.1f} s, for {each} bytes each, on {used} server connections"
              f" ({POOL} in the pool); {CLIENTS * expected} notifications heard, in {len(orders)} order")
    proof.check(used <= POOL + 1, f"{used} server connections")
    proof.check(len(orders) == 1, "clients heard the same in different orders")
    proof.check(each < MOST_BYTES, f"a listening client costs {each} bytes more")
    for client in clients:
        client.query("unlisten *")
        client.close()
    proof.check_nothing_open()
