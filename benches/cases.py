"""The cases: what one turn of one variant does, and what the project aims at."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable

import scrape
from lab import pgbench
from lab.procfs import CpuClock, anonymous_bytes
from lab.poolers import ROOT
from lab.wire import Client
from rig import PASSWORD, PROVING, YARDSTICK, Rig

ROWS_SCRIPT = "select payload from wide;\n"
# A setting of its own for each client, once; then what `pgbench -S` does.
SETTINGS_SCRIPT = r"""\if :is_new
\set kilobytes 1000 + :client_id
set work_mem = :kilobytes;
\set is_new 0
\endif
\set aid random(1, 100000)
select abalance from pgbench_accounts where aid = :aid;
"""
COPY_BYTES = 256 << 20


@dataclass
class Turn:
    """What one variant did in one round. Absent figures are None."""

    figures: dict = field(default_factory=dict)
    note: str = ""


@dataclass
class Case:
    """`targets`: the figure's name, what it is compared by, and the text of the aim."""

    title: str
    turn: Callable
    figures: tuple
    targets: str
    once: bool = False


class SteadyWindow:
    """CPU for each transaction from the first second's end to the last's: without the connecting."""

    def __init__(self, pid: int):
        self.pid, self.clock, self.began = pid, None, 0.0
        self.rates: list = []
        self.cpu = self.transactions = 0.0

    def second_ended(self, tps: float) -> None:
        now = time.monotonic()
        if self.clock is None:
            self.clock, self.began = CpuClock(self.pid), now
            return
        self.rates.append(tps)
        self.cpu = self.clock.seconds()
        self.transactions = sum(self.rates) / len(self.rates) * (now - self.began)

    def microseconds(self) -> float | None:
        return self.cpu * 1e6 / self.transactions if self.transactions else None


def crowd_case(clients: int) -> Callable:
    """Many more clients than a server would take; connecting them is not what is measured."""
    def turn(rig: Rig, variant: str, chosen) -> Turn | None:
        if variant not in rig.poolers:
            return None
        window = SteadyWindow(rig.pid(variant))
        report = pgbench.run(rig.lab, rig.pg, rig.port(variant), rig.user, ["-S", "-c", clients, "-j", 2],
                             max(chosen.seconds, 5), sampling=0.2, each_second=window.second_ended, env=rig.env)
        return of_report(report, window.microseconds())
    return turn


def of_report(report: pgbench.Report, cpu: float | None, note: str = "") -> Turn:
    if not report.ok or not report.transactions:
        return Turn(note=f"failed: {'; '.join(report.errors[:2]) or 'no transactions'}")
    p50, p99 = report.percentile(0.5), report.percentile(0.99)
    return Turn({"tps": report.tps, "p50": p50, "p99": p99, "tail": p99 / p50 if p50 else None, "cpu": cpu}, note)


def pgbench_case(args: list, script: str | None = None, sampling: float = 0.2, database=None) -> Callable:
    def turn(rig: Rig, variant: str, chosen) -> Turn:
        extra, note, name = list(args), "", None
        if script:
            path = rig.lab.dir / "case.sql"
            path.write_text(script)
            extra += ["-f", path]
        if database:
            name, note = database(rig, variant)
        warm_up(rig, variant, extra, name)
        clock = CpuClock(rig.pid(variant)) if rig.pid(variant) else None
        report = pgbench.run(rig.lab, rig.pg, rig.port(variant), rig.user, extra, chosen.seconds,
                             database=name, sampling=sampling, env=rig.env)
        cpu = clock.seconds() * 1e6 / max(report.transactions, 1) if clock else None
        return of_report(report, cpu, note)
    return turn


warmed: set = set()


def warm_up(rig: Rig, variant: str, args: list, database: str | None) -> None:
    """Once a case and variant: server connections are opened, caches filled."""
    key = (variant, tuple(str(arg) for arg in args))
    if key not in warmed:
        warmed.add(key)
        pgbench.run(rig.lab, rig.pg, rig.port(variant), rig.user, args, 1, database=database, env=rig.env)


def where_statements_last(rig: Rig, variant: str) -> tuple:
    """An older PgBouncer knows named statements only in session mode."""
    pooler = rig.poolers.get(variant)
    if variant == YARDSTICK and not pooler.prepares:
        version = ".".join(map(str, pooler.version))
        return f"{rig.pg.database}_session", f"PgBouncer {version} in session mode: it follows no statements"
    return None, ""


def copy_turn(direction: str) -> Callable:
    """psql moves the bytes; the CPU is given for a GB."""
    def turn(rig: Rig, variant: str, chosen) -> Turn:
        size = COPY_BYTES // (8 if chosen.quick else 1)
        source = rig.lab.dir / "copy.data"
        if not source.exists():
            line = b"x" * 999 + b"\n"
            with open(source, "wb") as data:
                for _ in range(size // len(line)):
                    data.write(line)
        psql = [str(rig.pg.bin / "psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1",
                "-p", str(rig.port(variant)), "-U", rig.user, rig.pg.database]
        if direction == "out":
            psql += ["-c", f"copy (select repeat('x', 999) from generate_series(1, {size // 1000})) to stdout"]
        else:
            psql += ["-c", "copy sink from stdin"]
            with rig.pg.connect() as control:
                control.query("truncate sink")
        clock = CpuClock(rig.pid(variant)) if rig.pid(variant) else None
        began = time.monotonic()
        with open(source, "rb") as data:
            done = subprocess.run(psql, stdin=data, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=120,
                                  env={**os.environ, **rig.env})
        took = time.monotonic() - began
        cpu = clock.seconds() if clock else None
        if done.returncode:
            return Turn(note=f"failed: {done.stderr.decode(errors='replace').strip()[:200]}")
        return Turn({"mbps": size / took / 1e6, "cpu_gb": cpu * 1000 / (size / 1e9) if clock else None})
    return turn


def idle_turn(rig: Rig, variant: str, chosen) -> Turn | None:
    """Memory of its own that grew with clients which each ran a query and then sit still."""
    if variant not in rig.poolers:
        return None
    pooler = rig.fresh(variant)
    clients: list = []
    try:
        def come(count: int) -> None:
            for _ in range(count):
                client = Client(pooler.port, rig.user, rig.pg.database, tls=bool(rig.tls))
                clients.append(client)
                client.query("select 1")

        # The first few bring up what every process has once.
        come(50)
        time.sleep(0.5)
        before = anonymous_bytes(pooler.child.pid)
        count = min(chosen.clients, open_files_left())
        come(count)
        time.sleep(2.0)
        grown = anonymous_bytes(pooler.child.pid) - before
        note = "" if count == chosen.clients else f"{count} clients: the limit on open files allows no more"
        return Turn({"idle": grown / count}, note)
    finally:
        for client in clients:
            client.drop()
        pooler.stop()


def open_files_left() -> int:
    import resource
    return max(100, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 500)


def syscalls_turn(rig: Rig, variant: str, chosen) -> Turn | None:
    """strace counts the pooler's system calls during a load; it slows it down, and counts all the same."""
    pid, strace = rig.pid(variant), shutil.which("strace")
    if pid is None:
        return None
    if strace is None:
        return Turn(note="strace is not installed")
    output = rig.lab.dir / "strace.out"
    counter = subprocess.Popen([strace, "-c", "-f", "-U", "name,calls", "-o", str(output), "-p", str(pid)],
                               stderr=subprocess.DEVNULL)
    try:
        time.sleep(0.5)
        report = pgbench.run(rig.lab, rig.pg, rig.port(variant), rig.user, ["-S", "-c", 20, "-j", 2],
                             chosen.seconds, sampling=0.1)
    finally:
        counter.terminate()
        counter.wait(10)
    total = re.search(r"(\d+)\s+total|total\s+(\d+)", output.read_text()) if output.exists() else None
    if not total or not report.transactions:
        return Turn(note="strace could not attach")
    return Turn({"syscalls": int(total.group(1) or total.group(2)) / report.transactions})


def storm_turn(rig: Rig, variant: str, chosen) -> Turn | None:
    """The tail of a steady load: alone, while clients log in by SCRAM, query once and leave, and while they do so at
    another process of the same kind, which tells what the machine alone makes of it."""
    binary = storm_binary()
    if variant not in rig.poolers or binary is None:
        return None
    load = ["-S", "-c", 20, "-j", 1, "-R", 4000]
    seconds = max(chosen.seconds, 5)
    pooler = rig.proving(variant)
    other = None

    def measured() -> pgbench.Report:
        return pgbench.run(rig.lab, rig.pg, pooler.port, PROVING, load, seconds, env={"PGPASSWORD": PASSWORD})

    def measured_in_storm(at) -> tuple[pgbench.Report, str]:
        argv = [binary, f"127.0.0.1:{at.port}", PROVING, rig.pg.database, PASSWORD, STORM, int(seconds) + 1]
        with ThreadPoolExecutor(1) as beside:
            logins = beside.submit(rig.lab.run, argv, seconds + 60)
            return measured(), logins.result().stdout

    try:
        measured()
        alone = measured()
        clock = CpuClock(pooler.child.pid)
        stormy, told = measured_in_storm(pooler)
        cpu = clock.seconds()
        other = rig.proving(variant)
        beside, _ = measured_in_storm(other)
    finally:
        for started in filter(None, (pooler, other)):
            started.stop()
    found = re.search(r"logins=(\d+) failed=(\d+) per_second=(\d+) p50_us=(\d+) p99_us=(\d+)", told)
    errors = [error for report in (alone, stormy, beside) for error in report.errors]
    if not found or errors:
        return Turn(note=f"{variant}: failed: {told.strip()[:100]} {errors[:1]}")
    count, failed, rate, p50, p99 = map(int, found.groups())
    note = f"{variant}: {count} logins, {failed} failed, p50 {p50} us, p99 {p99} us"
    calm, rough, control = (report.percentile(0.99) for report in (alone, stormy, beside))
    return Turn({"logins": rate, "p99": calm, "p99_storm": rough, "storm": rough / calm if calm else None,
                 "storm_beside": control / calm if calm else None, "login_cpu": cpu * 1e6 / max(count, 1)}, note)


# Logins a second.
STORM = 2000


def storm_binary() -> Path | None:
    """Built with the release binary by `benches/run`."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    path = target / "release" / "examples" / "login_storm"
    return path if path.exists() else None


def scrape_turn(rig: Rig, variant: str, chosen) -> Turn | None:
    """The tail of a steady load: alone, and while metrics of many pools and clients are read."""
    if variant != "pgweave-1":
        return None
    return Turn(*scrape.turn(rig, chosen))


QUERY = ("tps", "p50", "p99", "tail", "cpu")

CASES = {
    "simple": Case("pgbench -S -M simple, 20 clients over 20", pgbench_case(["-S", "-c", 20, "-j", 2]), QUERY,
                   "CPU <= 0.95 with 1 worker, <= 1.0 with the default"),
    "extended": Case("pgbench -S -M extended, 20 clients over 20",
                     pgbench_case(["-S", "-M", "extended", "-c", 20, "-j", 2]), QUERY,
                     "CPU <= 0.95 with 1 worker, <= 1.0 with the default"),
    "prepared": Case("pgbench -S -M prepared, 20 clients over 20",
                     pgbench_case(["-S", "-M", "prepared", "-c", 20, "-j", 2], database=where_statements_last), QUERY,
                     "CPU <= 0.80 with 1 worker, <= 1.0 with the default (of PgBouncer 1.21 or later)"),
    "settings": Case("the same, 40 clients over 20, each with a setting of its own",
                     pgbench_case(["-c", 40, "-j", 2, "-D", "is_new=1"], SETTINGS_SCRIPT),
                     QUERY, "none; PgBouncer gives the clients each other's setting"),
    "simple500": Case("pgbench -S -M simple, 500 clients over 20", crowd_case(500), QUERY,
                      "tps >= 1.05, p99/p50 <= 1.5"),
    "simple5000": Case("pgbench -S -M simple, 5,000 clients over 20", crowd_case(5000), QUERY,
                       "tps >= 1.05, p99/p50 <= 1.5"),
    "rows": Case("1,000 rows of 1 kB, 8 clients", pgbench_case(["-c", 8, "-j", 2], ROWS_SCRIPT, sampling=1.0), QUERY,
                 "CPU <= 0.33"),
    "connect": Case("pgbench -S -C: a new connection for each transaction, 20 clients",
                    pgbench_case(["-S", "-C", "-c", 20, "-j", 2]), QUERY, "CPU <= 1.0"),
    "copy-out": Case("COPY out, psql", copy_turn("out"), ("mbps", "cpu_gb"), "CPU <= 0.33"),
    "copy-in": Case("COPY in, psql", copy_turn("in"), ("mbps", "cpu_gb"), "CPU <= 0.33"),
    "idle": Case("idle clients after one query each", idle_turn, ("idle",), "<= 1,400 bytes a client", once=True),
    "storm": Case(f"4,000 queries a second while {STORM} clients a second log in by SCRAM", storm_turn,
                  ("logins", "p99", "p99_storm", "storm", "storm_beside", "login_cpu"), "p99 with the storm <= 2 times that without"),
    "scrape": Case(f"4,000 queries a second beside {scrape.POOLS} pools and {scrape.POOLS * scrape.CLIENTS_EACH} idle"
                   " clients, while metrics are read each second", scrape_turn,
                   ("scrape_ms", "scrape_most_ms", "scrape_mb", "p99", "scraped", "scraped_beside", "look_ms", "looked"),
                   "a scrape in less than 100 ms, p99 with it no more than without, as far as the one beside tells"),
    "syscalls": Case("system calls for each transaction, pgbench -S, 20 clients over 20", syscalls_turn,
                     ("syscalls",), "<= 4.3", once=True),
}

USUAL = [name for name in CASES if name not in ("simple5000", "storm", "scrape")]
QUICK = ["simple", "extended", "prepared", "simple500", "rows", "connect", "idle"]
