"""1,000 clients over 10 server connections: nobody is left behind."""

from __future__ import annotations

import selectors
import time

from lab.wire import Client, query_frame
from proof import Proof

CLIENTS, POOL = 1000, 10
SLOWEST_SHARE = 0.8

# One round trip each, and the three of a transaction block.
WORKLOADS = {
    "autocommit": [query_frame("select 1")],
    "transaction block": [query_frame("begin"), query_frame("select 1"), query_frame("commit")],
}


class Worker:
    """A connected client that repeats its frames; `done` counts whole transactions."""

    __slots__ = ("sock", "frames", "step", "done", "pending")

    def __init__(self, client: Client, frames: list):
        self.sock, self.frames = client.sock, frames
        self.step, self.done, self.pending = 0, 0, b""
        self.sock.setblocking(False)

    def send(self) -> None:
        self.sock.send(self.frames[self.step])

    def take(self) -> bool:
        """Reads what came; True when it ended a request."""
        self.pending += self.sock.recv(4096)
        if self.pending[:1] in (b"E", b""):
            raise RuntimeError(f"an answer that is none: {self.pending[:200]!r}")
        # ReadyForQuery is the last message of every answer.
        if self.pending[-6:-1] != b"Z\0\0\0\x05":
            return False
        self.pending = b""
        self.step += 1
        if self.step == len(self.frames):
            self.step = 0
            self.done += 1
        return True


def press(workers: list, seconds: float) -> list:
    """All workers at once for `seconds`; returns how many transactions each has ended."""
    poll = selectors.DefaultSelector()
    for worker in workers:
        poll.register(worker.sock, selectors.EVENT_READ, worker)
        worker.send()
    end = time.monotonic() + seconds
    counts: list = []
    # The requests under way at the end are answered, but no longer counted.
    waiting = len(workers)
    while waiting:
        ready = poll.select(10)
        if not ready:
            raise RuntimeError(f"{waiting} clients had no answer for 10 s")
        over = time.monotonic() > end
        if over and not counts:
            counts = [worker.done for worker in workers]
        for key, _ in ready:
            worker = key.data
            if not worker.take():
                continue
            if over and worker.step == 0:
                waiting -= 1
                poll.unregister(worker.sock)
            else:
                worker.send()
    poll.close()
    return counts


def prove(proof: Proof) -> None:
    proof.start_pooler(POOL)
    for name, frames in WORKLOADS.items():
        clients = [proof.client() for _ in range(CLIENTS)]
        workers = [Worker(client, frames) for client in clients]
        try:
            counts = press(workers, proof.seconds)
        except (RuntimeError, OSError) as cause:
            proof.check(False, str(cause))
        for client in clients:
            client.sock.setblocking(True)
            client.close()
        mean = sum(counts) / len(counts)
        proof.say(f"{name}: {sum(counts)} transactions; each client min {min(counts)}, mean {mean:.1f},"
                  f" max {max(counts)}; the slowest has {min(counts) / max(mean, 1e-9):.0%} of the mean")
        proof.check(mean >= 10, f"only {mean:.1f} transactions a client: too few to judge; give it more --seconds")
        proof.check(min(counts) >= SLOWEST_SHARE * mean, f"{name}: the slowest client got {min(counts)} of {mean:.1f}")
