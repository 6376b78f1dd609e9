"""Clients that transfer money without end, in every way, and the books that must agree afterwards."""

from __future__ import annotations

import itertools
import random
import struct
import sys
import threading
import time

from ini import prepares
from lab.wire import Client, ConnectionLost, ServerError, frame
from proof import USER, Proof

ACCOUNTS = 200

TABLES = [
    "drop table if exists accounts, transfers",
    "create table accounts (id int primary key, balance bigint not null)",
    "create table transfers (worker int, number int, giver int, taker int, amount int, primary key (worker, number))",
    f"insert into accounts select id, 0 from generate_series(1, {ACCOUNTS}) id",
    # Rows are locked in the order of their numbers, here as in the blocks: no deadlock.
    """create or replace function transfer(worker int, number int, giver int, taker int, amount int) returns void as $$
    begin
        update accounts set balance = balance + case id when giver then -amount else amount end
            where id = least(giver, taker);
        update accounts set balance = balance + case id when giver then -amount else amount end
            where id = greatest(giver, taker);
        insert into transfers values (worker, number, giver, taker, amount);
    end $$ language plpgsql""",
    f"alter table accounts owner to {USER}",
    f"alter table transfers owner to {USER}",
]

# Of Python's own: many threads that wait for each other's turn would have tests wait, too.
sys.setswitchinterval(0.0005)

WAYS = ("block", "autocommit", "prepared", "prepared in a block")
NUMBERS = itertools.count(1)


def open_bank(proof: Proof, *databases: str) -> None:
    with proof.pg.connect() as control:
        there = {row[0] for row in control.query("select datname from pg_database")}
        for name in set(databases) - there:
            control.query(f"create database {name}")
    for name in databases:
        with proof.pg.connect(name) as control:
            for sql in TABLES:
                control.query(sql)


class Teller(Client):
    """A connection that counts what it asks for and what comes back."""

    def __init__(self, proof: Proof, database: str, name: str, tls: bool):
        self.sent = self.received = 0
        super().__init__(proof.pooler.port, USER, database, timeout=60, application_name=name, tls=tls)
        self.sent = self.received = 0
        self.prepared = False

    def send(self, data: bytes) -> None:
        self.sent += len(data)
        super().send(data)

    def read_frame(self) -> tuple:
        tag, body = super().read_frame()
        self.received += 5 + len(body)
        return tag, body

    def run_prepared(self, values: tuple) -> list:
        """Parses where that has not been done on this connection; answers how many Parse it took."""
        parse = b""
        if not self.prepared:
            parse = frame(b"P", b"move\0select transfer($1, $2, $3, $4, $5)\0" + struct.pack("!H5I", 5, *[23] * 5))
        texts = [str(value).encode() for value in values]
        bind = b"\0move\0" + struct.pack("!HH", 0, len(texts))
        bind += b"".join(struct.pack("!I", len(text)) + text for text in texts) + struct.pack("!H", 0)
        self.send(parse + frame(b"B", bind) + frame(b"E", b"\0" + struct.pack("!I", 0)) + frame(b"S"))
        rows = self.read_to_ready()
        self.prepared = True
        return rows


class Worker:
    """One client: transfers until it is told to end. After an error it goes on, with a new connection if it
    lost its own, or ends where `once` is said."""

    def __init__(self, proof: Proof, database: str, pause: float = 0.0, once: bool = False, tls: bool = False):
        self.proof, self.database, self.pause, self.once, self.tls = proof, database, pause, once, tls
        self.id = next(NUMBERS)
        self.name = f"worker {self.id}"
        self.dice = random.Random(self.id)
        self.acknowledged: set = set()
        self.in_doubt: set = set()
        self.heard: list = []
        self.logins = self.queries = self.parses = self.binds = self.sent = self.received = 0
        self.last_success = 0.0
        self.ended = False
        self.client: Teller | None = None
        self.thread = threading.Thread(target=self.live, daemon=True)

    def live(self) -> None:
        number = 0
        while not self.ended:
            number += 1
            try:
                if self.client is None:
                    self.client = self.connect()
                    self.logins += 1
                self.transfer(number)
            except ServerError as error:
                self.trouble(error.sqlstate, error.message, error.severity in ("FATAL", "PANIC"))
            except ConnectionLost as cause:
                # Being left without an error is a failure, whatever the cause.
                self.trouble("silence", str(cause), True)
        self.leave()

    def connect(self) -> Teller:
        return Teller(self.proof, self.database, self.name, self.tls)

    def trouble(self, sqlstate: str, message: str, is_over: bool) -> None:
        self.heard.append((sqlstate, message))
        if self.client and (is_over or not self.rolled_back()):
            self.count_bytes()
            self.client.drop()
            self.client = None
        self.ended = self.ended or self.once
        time.sleep(0.02)

    def rolled_back(self) -> bool:
        try:
            self.client.query("rollback")
            return True
        except (ServerError, ConnectionLost):
            return False

    def transfer(self, number: int) -> None:
        giver, taker = self.dice.sample(range(1, ACCOUNTS + 1), 2)
        values = (self.id, number, giver, taker, self.dice.randint(1, 1000))
        self.in_doubt.add(number)
        self.go(self.dice.choice(WAYS if prepares(self.proof.pooler) else WAYS[:2]), values)
        self.in_doubt.discard(number)
        self.acknowledged.add(number)
        self.last_success = time.monotonic()

    def go(self, way: str, values: tuple) -> None:
        if way == "autocommit":
            return self.ask(f"select transfer{values}")
        if way == "prepared":
            return self.ask_prepared(values)
        self.ask("begin")
        if way == "block":
            worker, number, giver, taker, amount = values
            for account in sorted((giver, taker)):
                change = -amount if account == giver else amount
                self.ask(f"update accounts set balance = balance + {change} where id = {account}")
            self.ask(f"insert into transfers values {values}")
        else:
            self.ask_prepared(values)
        if self.pause:
            self.ask(f"select pg_sleep({self.pause})")
        self.ask("commit")

    def ask(self, sql: str) -> None:
        self.client.query(sql)
        self.queries += 1

    def ask_prepared(self, values: tuple) -> None:
        self.parses += not self.client.prepared
        self.client.run_prepared(values)
        self.binds += 1
        self.queries += 1

    def count_bytes(self) -> None:
        self.sent += self.client.sent
        self.received += self.client.received

    def leave(self) -> None:
        if self.client:
            self.count_bytes()
            self.client.close()
            self.sent += len(frame(b"X"))
            self.client = None


class Fleet:
    """Workers of one database."""

    kind = Worker

    def __init__(self, proof: Proof, database: str, count: int, **how):
        self.proof, self.database = proof, database
        self.workers = [self.kind(proof, database, **how) for _ in range(count)]
        for worker in self.workers:
            worker.thread.start()
        self.wait_until_all_work()

    def done(self) -> int:
        return sum(len(worker.acknowledged) for worker in self.workers)

    def heard(self) -> list:
        return [said for worker in self.workers for said in worker.heard]

    def wait_until_all_work(self, seconds: float = 20.0) -> None:
        """Each of them gets something done, counted from now."""
        begun = time.monotonic()
        while not all(worker.last_success > begun or worker.ended for worker in self.workers):
            late = [worker.name for worker in self.workers if worker.last_success <= begun]
            self.proof.check(time.monotonic() < begun + seconds,
                             f"{self.database}: {late} got nothing done in {seconds:.0f} s; heard {self.heard()[:3]}")
            time.sleep(0.01)

    def wait_for(self, transfers: int, seconds: float = 20.0) -> None:
        goal, end = self.done() + transfers, time.monotonic() + seconds
        while self.done() < goal:
            self.proof.check(time.monotonic() < end, f"{self.database}: too little is done; heard {self.heard()[:3]}")
            time.sleep(0.01)

    def check_heard_nothing(self, when: str) -> None:
        self.proof.check(not self.heard(), f"{when}: clients of {self.database} heard {self.heard()[:3]}")

    def check_each_heard_once(self, sqlstate: str, when: str) -> str:
        """Answers what they heard, which is the same for all, and has it forgotten."""
        for worker in self.workers:
            self.proof.check(len(worker.heard) == 1 and worker.heard[0][0] == sqlstate,
                             f"{when}: {worker.name} of {self.database} heard {worker.heard[:3]}, not {sqlstate} once")
        said = {worker.heard.pop()[1] for worker in self.workers}
        self.proof.check(len(said) == 1, f"{when}: different words: {said}")
        return said.pop()

    def stop(self) -> None:
        for worker in self.workers:
            worker.ended = True
        for worker in self.workers:
            worker.thread.join(60)
        self.proof.check(not any(worker.thread.is_alive() for worker in self.workers),
                         f"{self.database}: a client is still waiting for an answer")

    def sum_in_doubt(self) -> int:
        return sum(len(worker.in_doubt) for worker in self.workers)

    def sum(self, of: str) -> int:
        return sum(getattr(worker, of) for worker in self.workers)


def check_books(proof: Proof, *fleets: Fleet) -> None:
    """What was acknowledged is there once, what nobody asked for is not, and every sum is right."""
    acknowledged = in_doubt = 0
    for database in sorted({fleet.database for fleet in fleets}):
        workers = [worker for fleet in fleets if fleet.database == database for worker in fleet.workers]
        with proof.pg.connect(database) as control:
            found = {(int(worker), int(number)) for worker, number in
                     control.query("select worker, number from transfers")}
            wrong = control.query(
                "select id, balance from accounts where balance <>"
                " (select coalesce(sum(case id when taker then amount else -amount end), 0) from transfers"
                "  where id in (giver, taker))")
            total = control.value("select sum(balance) from accounts")
        told = {(worker.id, number) for worker in workers for number in worker.acknowledged}
        perhaps = {(worker.id, number) for worker in workers for number in worker.in_doubt}
        proof.check(told <= found, f"{database}: {len(told - found)} acknowledged transfers are missing")
        proof.check(found <= told | perhaps, f"{database}: {len(found - told - perhaps)} transfers nobody asked for")
        proof.check(not wrong and total == "0", f"{database}: wrong balances, sum {total}: {wrong[:3]}")
        proof.check(bool(told), f"{database}: nothing was transferred")
        acknowledged, in_doubt = acknowledged + len(told), in_doubt + len(perhaps)
    proof.say(f"{acknowledged} transfers acknowledged, all found; {in_doubt} in doubt; the balances agree")
