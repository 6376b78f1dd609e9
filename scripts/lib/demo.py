"""The demonstration behind scripts/demo: everything is thrown away at the end."""

from __future__ import annotations

import argparse
import shlex
import shutil
import signal
import socket
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from lab import limits, pgbench  # noqa: E402
from lab.children import Lab, fail  # noqa: E402
from lab.pgbench import Report  # noqa: E402
from lab.poolers import PgWeave, find_pgweave  # noqa: E402
from lab.postgres import Postgres, ServerSampler, free_port  # noqa: E402

CLIENTS, SERVERS, USER, SCALE = 200, 5, "demo", 10
LOADS = (("TPC-B-like", []), ("select only", ["-S"]))


@dataclass
class Row:
    """One line of the table."""

    load: str
    servers: int
    report: Report


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="stay up until Ctrl-C")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of each load (default 10)")
    parser.add_argument("--port", type=int, default=6432, help="where pgweave listens (default 6432)")
    return parser.parse_args()


def pooler_port(wanted: int) -> int:
    """The wanted port, or a free one when somebody else has it."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
            return wanted
        except OSError:
            port = free_port()
            print(f"port {wanted} is taken; pgweave listens on {port} instead")
            return port


def progress(load: str, seconds: float, servers: ServerSampler, ended: threading.Event) -> None:
    """A line every two seconds while the load runs."""
    began = time.monotonic()
    while not ended.wait(2.0):
        print(f"  {load}: {min(time.monotonic() - began, seconds):.0f} of {seconds:.0f} s,"
              f" {CLIENTS} clients on {servers.most} server connections", flush=True)


def press(lab: Lab, pg: Postgres, pooler: PgWeave, load: str, args: list, seconds: float) -> Row:
    ended = threading.Event()
    with ServerSampler(pg, USER) as servers:
        reporter = threading.Thread(target=progress, args=(load, seconds, servers, ended), daemon=True)
        reporter.start()
        try:
            report = pgbench.run(lab, pg, pooler.port, USER, ["-c", CLIENTS, "-j", 2, *args], seconds)
        finally:
            ended.set()
            reporter.join()
    return Row(load, servers.most, report)


def table(rows: list) -> None:
    print(f"\n{'load':<12}{'clients':>9}{'server connections':>20}{'transactions':>14}"
          f"{'tps':>9}{'p50 ms':>9}{'p99 ms':>9}{'errors':>8}")
    for row in rows:
        r = row.report
        print(f"{row.load:<12}{CLIENTS:>9}{row.servers:>20}{r.transactions:>14}{r.tps:>9.0f}"
              f"{r.percentile(0.5) / 1000:>9.1f}{r.percentile(0.99) / 1000:>9.1f}{len(r.errors) + r.failed:>8}")
    print()


def wait_for_ctrl_c(pooler: PgWeave, pg: Postgres) -> None:
    print("Up until Ctrl-C.", flush=True)
    while pooler.alive() and pg.child.poll() is None:
        time.sleep(0.2)
    fail("pgweave or PostgreSQL has ended by itself")


def main() -> int:
    chosen = options()
    limits.raise_open_files(4096)
    # Ctrl-C must end a run that was started in the background by a script, too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if find_pgweave(("release",)) is None:
        fail("no release binary of pgweave")
    with Lab("pgweave-demo") as lab:
        print("starting a throwaway PostgreSQL", flush=True)
        pg = Postgres(lab, "app", [USER])
        pg.pgbench_init(USER, SCALE)
        binary = find_pgweave(("release",))
        pooler = PgWeave(lab, pg, USER, SERVERS, port=pooler_port(chosen.port), binary=binary).start()
        print(f"PostgreSQL {pg.version} on port {pg.port}, pgweave before it on port {pooler.port}", flush=True)
        rows = [press(lab, pg, pooler, load, args, chosen.seconds) for load, args in LOADS]
        table(rows)
        line = shlex.join(["psql" if shutil.which("psql") else str(pg.bin / "psql"), f"postgresql://{USER}@127.0.0.1:{pooler.port}/app"])
        print(f"{'Try it' if chosen.keep else 'With --keep it stays up; then try'}:  {line}", flush=True)
        if chosen.keep:
            wait_for_ctrl_c(pooler, pg)
    broken = [row for row in rows if not row.report.ok or row.servers > SERVERS]
    for row in broken:
        print(f"error: {row.load}: {row.servers} server connections; {row.report.errors[:3]}", file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("\ncleaned up")
        sys.exit(130)
