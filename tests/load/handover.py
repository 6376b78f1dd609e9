"""A new process takes over from the old one, ten times under load: no client hears a word of it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
import time
from pathlib import Path

from bank import Fleet, check_books, open_bank
from ini import Console, Ini
from lab.children import tail
from proof import USER, Proof

POOL, ROUNDS, BENCHES, EACH = 12, 10, ("simple", "extended", "prepared"), 8

# The server may take a moment to notice that a connection has been closed.
LINGER = 3


class Bench:
    """pgbench as it is, which gives a client up that hears of an error or loses its connection."""

    def __init__(self, proof: Proof, protocol: str, seconds: float):
        self.proof, self.protocol = proof, protocol
        argv = [proof.pg.bin / "pgbench", "-n", "-M", protocol, "-c", EACH, "-j", 2, "-T", max(2, round(seconds)),
                "-h", "127.0.0.1", "-p", proof.pooler.port, "-U", USER, proof.pg.database]
        self.done: subprocess.CompletedProcess | None = None
        self.thread = threading.Thread(target=self.run, args=(argv, seconds + 30), daemon=True)
        self.thread.start()

    def run(self, argv: list, limit: float) -> None:
        self.done = self.proof.lab.run(argv, limit)

    def transactions(self) -> int:
        """All that were asked for, none of which failed."""
        self.thread.join(60)
        said = f"{self.protocol}: {self.done.stdout}{self.done.stderr}" if self.done else f"{self.protocol}: no end"
        self.proof.check(self.done and self.done.returncode == 0 and "aborted" not in said, said)
        self.proof.check("number of failed transactions: 0 " in said, said)
        return int(re.search(r"actually processed: (\d+)", said).group(1))


class Most:
    """Looks how many server connections there are, as often as it can."""

    def __init__(self, proof: Proof):
        self.proof, self.most, self.ended = proof, 0, False
        self.thread = threading.Thread(target=self.look, daemon=True)
        self.thread.start()

    def look(self) -> None:
        with self.proof.pg.connect() as control:
            while not self.ended:
                count = control.value(f"select count(*) from pg_stat_activity where usename = '{USER}'"
                                      f" and datname = '{self.proof.pg.database}'")
                self.most = max(self.most, int(count))
                time.sleep(0.005)

    def seen(self) -> int:
        self.ended = True
        self.thread.join(10)
        return self.most


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1][0] != "Z"
    except OSError:
        return False


class Chain:
    """One process after the other."""

    def __init__(self, proof: Proof, ini: Ini):
        self.proof = proof
        self.pidfile = proof.lab.dir / "handover.pid"
        ini.general["pidfile"] = self.pidfile
        # Beside the socket of clients is that by which processes find each other.
        ini.general["unix_socket_dir"] = proof.lab.dir
        self.took: list = []

    def pid(self, other_than: int | None = None) -> int:
        """The new process writes it when the old one has ended."""
        end = time.monotonic() + 5
        while True:
            try:
                pid = int(self.pidfile.read_text())
                if pid != other_than:
                    return pid
            except (OSError, ValueError):
                pass
            self.proof.check(time.monotonic() < end, "there is no pidfile of a new process")
            time.sleep(0.005)

    def next(self, by_console: bool) -> None:
        before, begun = self.pid(), time.monotonic()
        if by_console:
            console = Console(self.proof)
            console.query("RESTART")
        else:
            pooler = self.proof.pooler
            pooler.child = self.proof.lab.start([*pooler.argv(), "-R"], pooler.log)
        while runs(before):
            self.proof.check(time.monotonic() - begun < 30, f"process {before} has not ended")
            time.sleep(0.005)
        self.took.append(time.monotonic() - begun)
        self.proof.check(runs(self.pid(other_than=before)), "there is no new process")

    def end(self) -> None:
        pid = self.pid()
        os.kill(pid, signal.SIGTERM)
        end = time.monotonic() + 20
        while runs(pid):
            self.proof.check(time.monotonic() < end, f"process {pid} has not ended")
            time.sleep(0.01)


def prove(proof: Proof) -> None:
    if proof.stand_in:
        proof.say("PgBouncer hands over by its own Unix socket: not tried")
        return
    open_bank(proof, proof.pg.database)
    ini = Ini(proof, POOL)
    ini.add(proof.pg.database)
    chain = Chain(proof, ini)
    ini.start()
    before = proof.history()
    fleet = Fleet(proof, proof.pg.database, 10)
    most = Most(proof)
    benches = [Bench(proof, protocol, proof.seconds) for protocol in BENCHES]
    for number in range(ROUNDS):
        time.sleep(proof.seconds / (2 * ROUNDS))
        # Those that were begun by hand are ended by the lab; the last one is, too.
        chain.next(by_console=number in (3, 6))
    counts = [bench.transactions() for bench in benches]
    fleet.stop()
    fleet.check_heard_nothing("a hand-over")
    proof.check(not fleet.sum_in_doubt(), "a transfer is in doubt")
    seen, found = most.seen(), proof.history() - before
    proof.say(f"{ROUNDS} processes in a row, {max(chain.took) * 1000:.0f} ms each at most:"
              f" {len(BENCHES) * EACH + len(fleet.workers)} clients heard no error, pgbench {counts} transactions"
              f" ({', '.join(BENCHES)}), 0 failed; at most {seen} server connections of {POOL}")
    proof.check(sum(counts) == found, f"pgbench counted {sum(counts)} transactions, {found} are there")
    proof.check(seen <= POOL + LINGER, f"{seen} server connections")
    proof.check_balances()
    check_books(proof, fleet)
    proof.check_nothing_open()
    told = tail(proof.pooler.log, 100_000) or ""
    proof.check("panicked" not in told, "a panic is in the log")
    chain.end()
