"""Ten restarts by SIGTERM, one after the other, under load: who comes back on 57P01 loses no transaction."""

from __future__ import annotations

import http.client
import json
import subprocess
import threading
import time
from pathlib import Path

from bank import NUMBERS, Fleet, Worker, check_books, open_bank
from lab.children import fail
from lab.poolers import ROOT, Pooler
from lab.postgres import free_port
from lab.wire import Client, ConnectionLost, ServerError
from proof import USER, Proof

RESTARTS = 10
# The next process is there before the last one goes, in all of them but these: there clients find nobody for a while.
ALONE = (3, 6, 9)
# In these somebody has a transaction that takes longer than he is given.
TOO_LONG = (2, 9)
DELAY, TIMEOUT = 0.4, 2.0


def processes(proof: Proof, pool_size: int) -> type:
    """A kind of process that shares its port, and tells over HTTP whether it is ready."""
    class Process(proof.kind):
        def __init__(self, port: int):
            self.http_port = free_port()
            super().__init__(proof.lab, proof.pg, USER, pool_size, port, tag=f"-{self.http_port}")

        def argv(self) -> list:
            *rest, path = super().argv()
            more = f"""[pgweave]
so_reuseport = true
http_listen = "127.0.0.1:{self.http_port}"
shutdown_delay = "{DELAY}s"
shutdown_timeout = "{TIMEOUT}s"
"""
            path.write_text(path.read_text().replace("[pgweave]\n", more))
            return [*rest, path]

        def start(self) -> Pooler:
            """Others may listen at its port: it is there when it says so itself."""
            self.child = self.lab.start(self.argv(), self.log, self.unprivileged)
            end = time.monotonic() + 15
            while self.ready() != 200:
                if time.monotonic() > end or not self.alive():
                    fail(f"{self.label} did not start")
                time.sleep(0.01)
            return self

        def ready(self) -> int:
            """The status of /readyz; 0: nobody answers."""
            connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=5)
            try:
                connection.request("GET", "/readyz")
                return connection.getresponse().status
            except OSError:
                return 0
            finally:
                connection.close()

    return Process


class Follower(Worker):
    """A client that comes back when it is sent away between two transactions, with the one that has not begun."""

    def __init__(self, *args, **kwargs):
        # Times that it was sent away, found nobody, and heard more than its answer. libpq would take an error that
        # it reads together with an answer for a notice.
        self.sent_away = self.found_nobody = self.heard_more = 0
        # What it heard when it was not let in.
        self.at_the_door: list = []
        super().__init__(*args, **kwargs)

    def live(self) -> None:
        number = 1
        while not self.ended:
            if self.client is None and not self.come_in():
                time.sleep(0.01)
                continue
            done = self.queries
            try:
                self.transfer(number)
                number += 1
            except ServerError as error:
                if error.sqlstate == "57P01" and self.queries == done:
                    # It was not begun. If it was after all, the next one finds its number taken.
                    self.in_doubt.discard(number)
                    self.client.drop()
                    self.client, self.sent_away = None, self.sent_away + 1
                else:
                    self.trouble(error.sqlstate, f"{error.message}, after {self.queries - done} answers", True)
            except ConnectionLost as cause:
                self.trouble("silence", f"{cause}, after {self.queries - done} answers", True)
        self.leave()

    def ask(self, sql: str) -> None:
        super().ask(sql)
        self.heard_more += bool(self.client.buffer)

    def ask_prepared(self, values: tuple) -> None:
        super().ask_prepared(values)
        self.heard_more += bool(self.client.buffer)

    def come_in(self) -> bool:
        try:
            self.client = self.connect()
            self.logins += 1
            return True
        except ServerError as error:
            self.at_the_door.append(error.sqlstate)
        except ConnectionLost as cause:
            if "refused" in str(cause):
                self.found_nobody += 1
            else:
                self.at_the_door.append(str(cause))
        return False


class Idler:
    """Does nothing but listen to what it is told, and comes back then."""

    def __init__(self, proof: Proof):
        self.proof, self.told, self.heard, self.ended = proof, 0, [], False
        self.client: Client | None = None
        self.thread = threading.Thread(target=self.live, daemon=True)
        self.thread.start()

    def live(self) -> None:
        while not self.ended:
            try:
                self.client = self.proof.client(timeout=120)
            except (ServerError, ConnectionLost):
                time.sleep(0.01)
                continue
            try:
                self.client.read_to_ready()
            except ServerError as error:
                self.told += error.sqlstate == "57P01"
                self.check_end(error)
            except ConnectionLost as cause:
                self.heard.append(str(cause))

    def check_end(self, error: ServerError) -> None:
        """What follows the error is the end of the connection, and no reset."""
        try:
            self.client.read_frame()
        except ConnectionLost as cause:
            if error.sqlstate != "57P01" or str(cause) != "closed by the peer":
                self.heard.append(f"{error}, {cause}")
        self.client.drop()

    def stop(self) -> None:
        """It reads: its end is that of the last pooler."""
        self.ended = True


class Long:
    """Somebody in a transaction while its pooler is told to end."""

    def __init__(self, proof: Proof, name: str, sql: str):
        self.proof, self.name = proof, name
        self.client = proof.client(timeout=30)
        self.client.query("begin")
        self.client.query(f"insert into longs values ('{name}')")
        self.outcome = "no answer"
        self.thread = threading.Thread(target=self.live, args=(sql,), daemon=True)
        self.thread.start()

    def live(self, sql: str) -> None:
        try:
            if sql:
                self.client.query(sql)
                self.client.query("commit")
                self.outcome = "committed"
            # What comes next comes without having been asked for.
            self.client.read_to_ready()
        except ServerError as error:
            self.outcome = error.sqlstate if self.outcome == "no answer" else f"{self.outcome}, {error.sqlstate}"
        except ConnectionLost as cause:
            self.outcome += f", {cause}"
        self.client.drop()

    def check(self, expected: str, is_there: bool) -> None:
        self.thread.join(10)
        self.proof.check(self.outcome == expected, f"{self.name} heard {self.outcome}, not {expected}")
        with self.proof.pg.connect() as control:
            found = int(control.value(f"select count(*) from longs where name = '{self.name}'"))
        self.proof.check(found == is_there, f"{self.name}: {found} rows")


class Psycopg:
    """Clients of a real driver, in a process of their own, where there is one."""

    python = ROOT / "target" / "test-env" / "venv" / "bin" / "python"

    def __init__(self, proof: Proof, count: int):
        self.proof, self.workers, self.child = proof, [], None
        ids = [next(NUMBERS) for _ in range(count)]
        if not self.python.exists():
            return proof.say(f"no {self.python}, which tests/drivers/run makes: without psycopg")
        script = Path(__file__).with_name("drain_psycopg.py")
        dsn = f"host=127.0.0.1 port={proof.pooler.port} user={USER} dbname={proof.pg.database} sslmode=disable"
        self.child = subprocess.Popen([self.python, "-B", script, dsn, *map(str, ids)], stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, text=True)

    def stop(self) -> None:
        """It ends with its input, and tells what it has done."""
        if self.child is None:
            return
        told, _ = self.child.communicate(timeout=30)
        self.workers = [PsycopgWorker(**each) for each in json.loads(told)]
        for each in self.workers:
            self.proof.check(not each.heard, f"psycopg heard {each.heard[:3]}")
            self.proof.check(bool(each.acknowledged) and each.sent_away > 0, f"psycopg: nothing is shown by {each}")

    def kill(self) -> None:
        if self.child and self.child.poll() is None:
            self.child.kill()
            self.child.wait()


class PsycopgWorker:
    def __init__(self, id, acknowledged, in_doubt, heard, sent_away):
        self.id, self.acknowledged, self.in_doubt = id, set(acknowledged), set(in_doubt)
        self.heard, self.sent_away = heard, sent_away

    def __repr__(self) -> str:
        return f"{len(self.acknowledged)} transfers, sent away {self.sent_away} times"


class Crew(Fleet):
    """Followers, and psycopg's."""

    kind = Follower


def restart(proof: Proof, old: Pooler, Process: type, number: int) -> Pooler:
    """Answers the next process. The last one must end by itself, in time, and orderly."""
    longs = {}
    if number in TOO_LONG:
        longs = {"runs too long": "select pg_sleep(60)", "does nothing": "", "is in time": f"select pg_sleep({DELAY + 0.5})"}
        longs = {name: Long(proof, f"{name} {number}", sql) for name, sql in longs.items()}
    new = None if number in ALONE else Process(old.port).start()
    begun = time.monotonic()
    old.child.terminate()
    while old.ready() != 503:
        proof.check(time.monotonic() < begun + DELAY / 2, f"restart {number}: /readyz says {old.ready()}")
        time.sleep(0.005)
    if new is None:
        check_newcomer(proof, number, begun)
    try:
        ended = old.child.wait(DELAY + TIMEOUT + 3)
    except subprocess.TimeoutExpired:
        ended = "nothing"
    took = time.monotonic() - begun
    proof.check(ended == 0, f"restart {number} ended with {ended}")
    proof.check(took >= DELAY, f"restart {number} ended after {took:.2f} s, before shutdown_delay")
    if longs:
        proof.check(took >= DELAY + TIMEOUT, f"restart {number} ended after {took:.2f} s, before shutdown_timeout")
        longs["runs too long"].check("57P01", False)
        longs["does nothing"].check("57P01", False)
        longs["is in time"].check("committed, 57P01", True)
        check_cancelled(proof)
    elif not longs:
        proof.check(took < DELAY + TIMEOUT, f"restart {number} took {took:.2f} s, though all came to a boundary")
    return new or Process(old.port).start()


def check_newcomer(proof: Proof, number: int, begun: float) -> None:
    """Who is about to end, and says so, serves whoever comes."""
    newcomer = proof.client()
    proof.check(newcomer.value("select 'welcome'") == "welcome", f"restart {number}: a newcomer was not served")
    newcomer.close()
    took = time.monotonic() - begun
    proof.check(took < DELAY, f"restart {number}: the newcomer came after {took:.2f} s, too late to show anything")


def check_cancelled(proof: Proof) -> None:
    end = time.monotonic() + 3
    with proof.pg.connect() as control:
        while int(control.value("select count(*) from pg_stat_activity where query like '%pg_sleep(60)%'"
                                " and state = 'active' and pid <> pg_backend_pid()")):
            proof.check(time.monotonic() < end, "what ran too long still runs on the server")
            time.sleep(0.02)


def prove(proof: Proof) -> None:
    if proof.stand_in:
        return proof.say("this pooler tells its clients nothing when it ends")
    open_bank(proof, proof.pg.database)
    with proof.pg.connect() as control:
        control.query(f"drop table if exists longs; create table longs (name text); alter table longs owner to {USER}")
    Process = processes(proof, 5)
    proof.pooler = Process(free_port()).start()
    crew = Crew(proof, proof.pg.database, 12)
    slow = Crew(proof, proof.pg.database, 6, pause=0.05)
    idlers = [Idler(proof) for _ in range(10)]
    psycopg = Psycopg(proof, 4)
    try:
        for number in range(1, RESTARTS + 1):
            time.sleep(proof.seconds / RESTARTS)
            proof.pooler = restart(proof, proof.pooler, Process, number)
            for one in (crew, slow):
                one.wait_until_all_work()
                one.check_heard_nothing(f"restart {number}")
        psycopg.stop()
    finally:
        psycopg.kill()
    for one in (crew, slow):
        one.stop()
    for one in idlers:
        one.stop()
    check_told(proof, [*crew.workers, *slow.workers, *psycopg.workers], idlers)
    crew.workers += psycopg.workers
    check_books(proof, crew, slow)
    proof.check(not sum(len(one.in_doubt) for one in [*crew.workers, *slow.workers]), "a transfer is in doubt")
    proof.check_nothing_open()


def check_told(proof: Proof, workers: list, idlers: list) -> None:
    sent_away = [one.sent_away for one in workers]
    # Psycopg's words for a refused connection are not always the same: these are told apart by our own clients.
    door = [said for one in workers for said in getattr(one, "at_the_door", ())]
    nobody = sum(getattr(one, "found_nobody", 0) for one in workers)
    proof.say(f"{RESTARTS} restarts: {len(workers)} clients were sent away {min(sent_away)} to {max(sent_away)} times each,"
              f" and were refused {nobody} times while there was no process; at the door: {door or 'nothing'}")
    proof.check(min(sent_away) > 0, "somebody was never sent away: nothing is shown")
    proof.check(not door, f"who came in heard {door[:3]}")
    more = sum(getattr(one, "heard_more", 0) for one in workers)
    proof.check(not more, f"{more} times the end came together with an answer")
    for one in idlers:
        proof.check(not one.heard, f"an idle client heard {one.heard[:3]}")
        proof.check(one.told > 0, "an idle client was never told")
