"""A killed backend, and PostgreSQL restarted under load, without a restart of the pooler."""

from __future__ import annotations

import collections
import os
import random
import signal
import threading
import time

from dropouts import statements
from lab.wire import Client, ConnectionLost, ServerError, wait_until_served
from proof import Proof

CLIENTS, IDLE, POOL = 20, 5, 5
# server_login_retry, by default 15 s, and a little.
RECOVERY_SECONDS = 20.0

# What a client may hear: admin, crash and recovery (57P01 to 57P03), and the class of connection exceptions.
EXPECTED = {"57P01", "57P02", "57P03", "08000", "08001", "08003", "08004", "08006"}
# PgBouncer calls every one of these a protocol violation.
STAND_IN = EXPECTED | {"08P01"}


class Survivor:
    """Runs transactions for ever; after an error it goes on, with a new connection when it lost its own."""

    def __init__(self, proof: Proof, number: int):
        self.proof, self.dice = proof, random.Random(number)
        self.acknowledged = self.in_doubt = self.silent = 0
        self.heard: collections.Counter = collections.Counter()
        self.last_success = 0.0
        self.ended = False

    def live(self) -> None:
        client = None
        while not self.ended:
            try:
                client = client or self.proof.client()
                self.transaction(client)
            except ServerError as error:
                self.heard[error.sqlstate] += 1
                client = self.after_error(client, error)
            except ConnectionLost as cause:
                # Being left without an error is a failure, whatever the cause.
                self.silent += 1
                self.heard[f"silence: {cause}"] += 1
                client = None
                time.sleep(0.02)
        if client:
            client.close()

    def after_error(self, client: Client | None, error: ServerError) -> Client | None:
        time.sleep(0.02)
        if client is None or error.severity in ("FATAL", "PANIC"):
            if client:
                client.drop()
            return None
        try:
            client.query("rollback")
            return client
        except (ServerError, ConnectionLost):
            client.drop()
            return None

    def transaction(self, client: Client) -> None:
        *parts, commit = statements(self.dice)
        for statement in parts:
            client.query(statement)
        self.in_doubt += 1
        client.query(commit)
        self.in_doubt -= 1
        self.acknowledged += 1
        self.last_success = time.monotonic()


def kill_in_mid_transaction(proof: Proof, fault) -> str:
    """A client with an open transaction loses its server by `fault(pid)`; what it hears on its next query."""
    client = proof.client()
    client.query("begin")
    client.query("update pgbench_branches set bbalance = bbalance where bid = 1")
    pid = int(client.value("select pg_backend_pid()"))
    fault(pid)
    try:
        client.query("select 1")
        return "no error"
    except ServerError as error:
        return error.sqlstate
    except ConnectionLost as cause:
        return f"silence: {cause}"
    finally:
        client.drop()


def kill_backend(_proof: Proof):
    """The postmaster then ends all other backends and goes through recovery."""
    def fault(pid: int) -> None:
        os.kill(pid, signal.SIGKILL)
        time.sleep(0.3)
    return fault


def restart(proof: Proof, mode: str):
    def fault(_pid: int) -> None:
        proof.pg.stop(mode)
        time.sleep(1.0)
        proof.pg.start()
    return fault


def undergo(proof: Proof, name: str, survivors: list, fault) -> None:
    """One fault under load: the right error for who was hit, and work for all afterwards."""
    for survivor in survivors:
        survivor.heard.clear()
    heard = kill_in_mid_transaction(proof, fault)
    # PostgreSQL itself is back first: only then does the pooler's time run.
    wait_until_served(proof.pg.port, "postgres", "postgres", 30)
    back = time.monotonic()
    end = back + RECOVERY_SECONDS
    while time.monotonic() < end and not all(s.last_success > back for s in survivors):
        time.sleep(0.05)
    everyone = time.monotonic() - back
    told = sum((survivor.heard for survivor in survivors), collections.Counter())
    proof.say(f"{name}: the client in the transaction heard {heard}; the others {dict(sorted(told.items()))};"
              f" all {len(survivors)} at work again after {everyone:.1f} s")
    allowed = STAND_IN if proof.stand_in else EXPECTED
    proof.check(heard in allowed, f"{name}: the client in the transaction heard {heard}")
    strange = [state for state in told if state not in allowed]
    proof.check(not strange, f"{name}: clients heard {strange}")
    proof.check(proof.pooler.alive(), f"{name}: the pooler has ended")
    proof.check(everyone < RECOVERY_SECONDS, f"{name}: clients not at work after {RECOVERY_SECONDS:.0f} s")


def prove(proof: Proof) -> None:
    pooler = proof.start_pooler(POOL)
    pid, before = pooler.child.pid, proof.history()
    idle = [proof.client() for _ in range(IDLE)]
    for client in idle:
        client.query("select 1")
    survivors = [Survivor(proof, number) for number in range(CLIENTS)]
    threads = [threading.Thread(target=survivor.live, daemon=True) for survivor in survivors]
    for thread in threads:
        thread.start()
    pause = max(1.0, proof.seconds / 4)
    try:
        for name, fault in (("kill -9 of a backend", kill_backend(proof)),
                            ("restart, fast", restart(proof, "fast")),
                            ("restart, immediate", restart(proof, "immediate"))):
            time.sleep(pause)
            undergo(proof, name, survivors, fault)
        time.sleep(pause)
    finally:
        for survivor in survivors:
            survivor.ended = True
        for thread in threads:
            thread.join(30)
    proof.check(not any(thread.is_alive() for thread in threads), "a client is still waiting for an answer")
    check_idle_clients(proof, idle)
    proof.check(pooler.child.pid == pid and pooler.alive(), "the pooler was not the same all along")
    proof.check_nothing_open()
    proof.check_pool_whole(POOL)
    proof.check_balances()
    proof.check_committed(before, sum(s.acknowledged for s in survivors), sum(s.in_doubt for s in survivors))


def check_idle_clients(proof: Proof, idle: list) -> None:
    """Who was between transactions through all of it notices nothing."""
    for client in idle:
        try:
            proof.check(client.value("select 42") == "42", "a wrong answer")
        except (ServerError, ConnectionLost) as cause:
            proof.check(False, f"a client that was idle all along heard: {cause}")
        client.close()
    proof.say(f"{len(idle)} clients that were idle all along noticed nothing")
