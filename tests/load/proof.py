"""What every load proof works with, and the sums that must agree after each."""

from __future__ import annotations

import time

from lab.children import Lab
from lab.poolers import PgBouncer, Pooler
from lab.postgres import Postgres
from lab.wire import Client

USER = "weaver"


class Failed(Exception):
    """The proof does not hold, and why."""


class Proof:
    """One proof's surroundings: the database, its pooler, and how long to press."""

    def __init__(self, lab: Lab, pg: Postgres, kind: type, seconds: float):
        self.lab, self.pg, self.kind, self.seconds = lab, pg, kind, seconds
        self.pooler: Pooler | None = None

    def start_pooler(self, pool_size: int) -> Pooler:
        self.pooler = self.kind(self.lab, self.pg, USER, pool_size).start()
        return self.pooler

    @property
    def stand_in(self) -> bool:
        """PgBouncer words some errors in its own way, and closes where pgweave repairs."""
        return self.kind is PgBouncer

    def client(self, timeout: float = 30.0) -> Client:
        return Client(self.pooler.port, USER, self.pg.database, timeout=timeout)

    def say(self, text: str) -> None:
        print(f"  {text}", flush=True)

    def check(self, holds: bool, reason: str) -> None:
        if not holds:
            raise Failed(reason)

    def history(self) -> int:
        with self.pg.connect() as control:
            return int(control.value("select count(*) from pgbench_history"))

    def check_balances(self) -> None:
        """Each transaction adds one delta to an account, a teller, a branch and the history."""
        with self.pg.connect() as control:
            sums = control.query("select (select sum(abalance) from pgbench_accounts),"
                                 " (select sum(tbalance) from pgbench_tellers),"
                                 " (select sum(bbalance) from pgbench_branches),"
                                 " (select coalesce(sum(delta), 0) from pgbench_history)")[0]
        self.say(f"sums of accounts, tellers, branches, history: {', '.join(sums)}")
        self.check(len(set(sums)) == 1, f"balances disagree: {sums}")

    def check_committed(self, before: int, acknowledged: int, in_doubt: int) -> None:
        """What was acknowledged is there, and nothing was done twice."""
        grown = self.history() - before
        self.say(f"commits acknowledged {acknowledged}, in doubt {in_doubt}, found {grown}")
        self.check(acknowledged > 0, "no transaction was committed")
        self.check(acknowledged <= grown, f"{acknowledged - grown} acknowledged commits are missing")
        self.check(grown <= acknowledged + in_doubt, f"{grown - acknowledged - in_doubt} commits nobody asked for")

    def check_nothing_open(self, seconds: float = 10.0) -> None:
        """No transaction stays open on the server once the clients are gone."""
        end = time.monotonic() + seconds
        with self.pg.connect() as control:
            while True:
                left = control.query("select pid, state, wait_event, left(query, 60) from pg_stat_activity"
                                     f" where usename = '{USER}' and state <> 'idle'")
                if not left:
                    return
                self.check(time.monotonic() < end, f"still open on the server: {left}")
                time.sleep(0.05)

    def check_pool_whole(self, size: int) -> None:
        """`size` clients can hold a transaction at once, each on a server connection of its own."""
        clients = [self.client(timeout=10) for _ in range(size)]
        pids = set()
        for client in clients:
            client.query("begin")
            pids.add(client.value("select pg_backend_pid()"))
        for client in clients:
            client.query("commit")
            client.close()
        self.check(len(pids) == size, f"{len(pids)} server connections instead of {size}")
        self.say(f"pool whole: {size} transactions at once on {len(pids)} server connections")
