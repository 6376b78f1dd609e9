"""200 clients over 5 server connections that leave at random moments."""

from __future__ import annotations

import random
import socket
import threading
import time

from lab.postgres import ServerSampler
from lab.wire import Client, ConnectionLost, ServerError, extended_frames, frame, query_frame, startup_frame
from proof import USER, Proof

CLIENTS, POOL = 200, 5
SCALE = 10


def statements(dice: random.Random) -> list:
    """pgbench's TPC-B-like transaction, in its parts."""
    delta = dice.randint(-5000, 5000)
    account, teller, branch = dice.randint(1, 100_000 * SCALE), dice.randint(1, 10 * SCALE), dice.randint(1, SCALE)
    return [
        "begin",
        f"update pgbench_accounts set abalance = abalance + {delta} where aid = {account}",
        f"update pgbench_tellers set tbalance = tbalance + {delta} where tid = {teller}",
        f"update pgbench_branches set bbalance = bbalance + {delta} where bid = {branch}",
        "insert into pgbench_history (tid, bid, aid, delta, mtime)"
        f" values ({teller}, {branch}, {account}, {delta}, current_timestamp)",
        "commit",
    ]


class Leaver:
    """One of the clients: it connects, works, leaves without a word, and comes again."""

    def __init__(self, proof: Proof, number: int, until: float):
        self.proof, self.until = proof, until
        self.dice = random.Random(number)
        self.acknowledged = self.in_doubt = self.departures = 0
        self.errors: list = []

    def live(self) -> None:
        while time.monotonic() < self.until:
            try:
                if self.dice.random() < 0.05:
                    self.leave_at_the_door()
                else:
                    self.work_and_leave()
            except (ServerError, ConnectionLost) as cause:
                self.errors.append(str(cause))
                time.sleep(0.1)

    def leave_at_the_door(self) -> None:
        """Goes in mid-startup, or before reading the answer to it."""
        hello = startup_frame(USER, self.proof.pg.database)
        with socket.create_connection(("127.0.0.1", self.proof.pooler.port), timeout=10) as sock:
            sock.sendall(hello[:self.dice.randint(0, len(hello))])
        self.departures += 1

    def work_and_leave(self) -> None:
        client = self.proof.client()
        for _ in range(self.dice.randint(0, 3)):
            self.transaction(client)
        leave = self.dice.choice([self.leave_between_statements, self.leave_with_a_query_under_way,
                                  self.leave_with_half_a_frame, self.leave_before_the_commit_is_answered,
                                  self.leave_in_a_pipeline, self.leave_during_a_long_result,
                                  self.leave_during_a_slow_query])
        try:
            leave(client)
        finally:
            client.drop(reset=self.dice.random() < 0.3)
        self.departures += 1

    def transaction(self, client: Client) -> None:
        run = client.query if self.dice.random() < 0.5 else client.extended
        self.in_doubt += 1
        for statement in statements(self.dice):
            run(statement)
        self.in_doubt -= 1
        self.acknowledged += 1

    def leave_between_statements(self, client: Client) -> None:
        for statement in statements(self.dice)[:self.dice.randint(1, 5)]:
            client.query(statement)

    def leave_with_a_query_under_way(self, client: Client) -> None:
        parts = statements(self.dice)[:-1]
        at = self.dice.randrange(1, len(parts))
        for statement in parts[:at]:
            client.query(statement)
        client.send(query_frame(parts[at]))

    def leave_with_half_a_frame(self, client: Client) -> None:
        for statement in statements(self.dice)[:self.dice.randint(0, 4)]:
            client.query(statement)
        last = query_frame("select 'never whole'")
        client.send(last[:self.dice.randrange(1, len(last))])

    def leave_before_the_commit_is_answered(self, client: Client) -> None:
        self.in_doubt += 1
        for statement in statements(self.dice)[:-1]:
            client.query(statement)
        client.send(query_frame("commit"))

    def leave_in_a_pipeline(self, client: Client) -> None:
        """Everything sent at once, cut off at any byte; the commit may or may not be in it."""
        self.in_doubt += 1
        whole = b"".join(extended_frames(statement) for statement in statements(self.dice))
        client.send(whole[:self.dice.randint(1, len(whole))])

    def leave_during_a_long_result(self, client: Client) -> None:
        client.send(query_frame("select repeat('x', 1000) from generate_series(1, 3000)"))
        client.read_frame()

    def leave_during_a_slow_query(self, client: Client) -> None:
        client.query("begin")
        client.send(query_frame("select pg_sleep(0.3)"))
        # The statement is sent without its terminating Sync in half of the cases.
        if self.dice.random() < 0.5:
            client.send(frame(b"P", b"\0select 1\0\0\0"))


def prove(proof: Proof) -> None:
    proof.start_pooler(POOL)
    before = proof.history()
    until = time.monotonic() + proof.seconds
    leavers = [Leaver(proof, number, until) for number in range(CLIENTS)]
    threads = [threading.Thread(target=leaver.live, daemon=True) for leaver in leavers]
    with ServerSampler(proof.pg, USER) as servers:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(max(1.0, until + 45 - time.monotonic()))
    proof.check(not any(thread.is_alive() for thread in threads), "a client is still waiting for an answer")
    errors = [error for leaver in leavers for error in leaver.errors]
    departures = sum(leaver.departures for leaver in leavers)
    proof.say(f"{departures} departures of {CLIENTS} clients, at most {servers.lasting} server connections")
    proof.check(departures >= CLIENTS, f"only {departures} departures")
    proof.check(not errors, f"{len(errors)} errors, such as {errors[:2]}")
    # PgBouncer closes the server connection of a client that left, and does not wait for its end.
    proof.check(servers.lasting <= POOL or proof.stand_in, f"{servers.lasting} server connections instead of at most {POOL}")
    proof.check(proof.pooler.alive(), "the pooler has ended")
    proof.check_nothing_open()
    proof.check_pool_whole(POOL)
    proof.check_balances()
    proof.check_committed(before, sum(leaver.acknowledged for leaver in leavers),
                          sum(leaver.in_doubt for leaver in leavers))
