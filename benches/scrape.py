"""The tail of a steady load while somebody reads the metrics, or looks around on the console, each second."""

from __future__ import annotations

import socket
import threading
import time
from statistics import median

from lab import pgbench
from lab.poolers import PgWeave
from lab.postgres import free_port
from lab.wire import Client
from rig import CROWD, POOL, USER, Rig

# What there is to tell of: each pool has served some clients, who idle since.
POOLS, CLIENTS_EACH = 1000, 5
# How often each kind of window comes in a round.
ALTERNATIONS = 3
# The load beside it: half of what the machine could do, or less.
LOAD = ["-S", "-c", 20, "-j", 1, "-R", 4000]


class WithPages(PgWeave):
    """With metrics, a pool for any name of a database, and few server connections for all of them."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.http_port = free_port()

    def argv(self) -> list:
        *rest, path = super().argv()
        general, databases = path.read_text().split("[databases.", 1)
        general += f'http_listen = "127.0.0.1:{self.http_port}"\nadmin_users = ["{CROWD}"]\n'
        more = f"""
[databases."*"]
host = "127.0.0.1"
port = {self.pg.port}
dbname = "{self.pg.database}"

[users.{CROWD}]
password = "not-asked-for"
max_user_connections = 20
"""
        path.write_text(f"{general}\n[databases.{databases}{more}")
        return [*rest, path]


class Crowd:
    """A pooler with pools and clients that idle."""

    def __init__(self, rig: Rig, tag: str):
        self.pooler = WithPages(rig.lab, rig.pg, USER, POOL, workers=1, tag=tag).start()
        self.clients: list = []
        try:
            for number in range(POOLS):
                self.come(f"crowd_{number:04}")
        except BaseException:
            self.leave()
            raise

    def come(self, database: str) -> None:
        for _ in range(CLIENTS_EACH):
            client = Client(self.pooler.port, CROWD, database)
            self.clients.append(client)
            client.query("select 1")

    def leave(self) -> None:
        for client in self.clients:
            client.drop()
        self.pooler.stop()


def scrape(pooler: WithPages) -> int:
    """Answers how many bytes there were."""
    with socket.create_connection(("127.0.0.1", pooler.http_port), timeout=10) as sock:
        sock.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        size, room = 0, bytearray(1 << 20)
        while got := sock.recv_into(room):
            size += got
        return size


class EachSecond:
    """Does something each second, on a thread of its own, and keeps how long it took and what it answered."""

    def __init__(self, does):
        self.does, self.took, self.answered = does, [], []
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.live, daemon=True)

    def __enter__(self) -> "EachSecond":
        self.thread.start()
        return self

    def __exit__(self, *_exc) -> None:
        self.over.set()
        self.thread.join(30)

    def live(self) -> None:
        while not self.over.wait(1.0):
            begun = time.monotonic()
            self.answered.append(self.does())
            self.took.append(time.monotonic() - begun)


def turn(rig: Rig, chosen) -> tuple:
    """The figures of one round, and a note."""
    crowds: list = []
    try:
        crowds += [Crowd(rig, "-crowd")]
        crowds += [Crowd(rig, "-beside")]
        pooler, beside = (crowd.pooler for crowd in crowds)
        console = Client(pooler.port, CROWD, "pgweave")
        seconds = max(chosen.seconds, 5)

        def look_around() -> None:
            console.query("SHOW CLIENTS")
            console.query("SHOW POOLS")

        def window(does) -> tuple:
            with EachSecond(does) as other:
                report = pgbench.run(rig.lab, rig.pg, pooler.port, USER, LOAD, seconds)
            if not report.ok:
                raise RuntimeError("; ".join(report.errors[:2]))
            return report.percentile(0.99), other

        window(lambda: None)
        kinds = {"calm": lambda: None, "scraped": lambda: scrape(pooler), "scraped_beside": lambda: scrape(beside),
                 "looked": look_around}
        tails: dict = {kind: [] for kind in kinds}
        others: dict = {}
        for _ in range(ALTERNATIONS):
            for kind, does in kinds.items():
                tail, others[kind] = window(does)
                tails[kind].append(tail)
    except RuntimeError as cause:
        return {}, f"failed: {cause}"
    finally:
        for crowd in crowds:
            crowd.leave()
    figures = {kind: median(tail / calm for tail, calm in zip(tails[kind], tails["calm"]))
               for kind in kinds if kind != "calm"}
    scrapes, looks = others["scraped"], others["looked"]
    return {**figures, "p99": median(tails["calm"]), "scrape_ms": median(scrapes.took) * 1000,
            "scrape_most_ms": max(scrapes.took) * 1000, "scrape_mb": median(scrapes.answered) / 1e6,
            "look_ms": median(looks.took) * 1000}, f"p99 in us: {tails}"
