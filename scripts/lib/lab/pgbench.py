"""Runs pgbench and reads what it reports."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from .children import Lab
from .postgres import Postgres


@dataclass
class Report:
    """One pgbench run. Latencies in microseconds, sorted."""

    transactions: int = 0
    failed: int = 0
    tps: float = 0.0
    ok: bool = False
    errors: list = field(default_factory=list)
    latencies: list = field(default_factory=list)

    def percentile(self, fraction: float) -> float:
        """In microseconds; 0 without samples."""
        if not self.latencies:
            return 0.0
        return float(self.latencies[min(len(self.latencies) - 1, int(len(self.latencies) * fraction))])


def run(lab: Lab, pg: Postgres, port: int, user: str, args: list, seconds: float,
        database: str | None = None, sampling: float = 1.0, each_second=None, env: dict | None = None) -> Report:
    """Runs for `seconds`, and is killed when it overruns by a minute. `env` adds to the environment.

    `each_second` is called with the tps of each second as it ends; the first starts when all
    clients are connected.
    """
    logs = lab.dir / "pgbench-logs"
    logs.mkdir(exist_ok=True)
    argv = [pg.bin / "pgbench", "-n", "-T", max(1, round(seconds)), "-h", "127.0.0.1", "-p", port, "-U", user,
            "--log", f"--log-prefix={logs / 'log'}", *args]
    if sampling < 1:
        argv.append(f"--sampling-rate={sampling}")
    if each_second:
        argv += ["-P", 1]
    argv.append(database or pg.database)
    done = lab.run(argv, seconds + 60, each_line=progress_reader(each_second) if each_second else None, env=env)
    report = read_output(done.stdout, done.stderr)
    report.ok = done.returncode == 0 and report.failed == 0 and not report.errors
    report.latencies = read_latencies(logs)
    return report


def progress_reader(each_second):
    def each_line(line: str) -> None:
        found = re.match(r"progress: [\d.]+ s, ([\d.]+) tps", line)
        if found:
            each_second(float(found.group(1)))
    return each_line


def read_output(out: str, err: str) -> Report:
    report = Report()
    for pattern, name, kind in ((r"transactions actually processed: (\d+)", "transactions", int),
                                (r"number of failed transactions: (\d+)", "failed", int),
                                (r"tps = ([\d.]+)", "tps", float)):
        found = re.search(pattern, out)
        if found:
            setattr(report, name, kind(found.group(1)))
    report.errors = [line for line in err.splitlines()
                     if re.search(r"error|fatal|aborted|without an end", line, re.IGNORECASE)]
    return report


def read_latencies(logs: Path) -> list:
    """All transaction times from the logs, which are removed. Column 3 is the time in microseconds."""
    found: list = []
    for path in logs.iterdir():
        with open(path) as lines:
            for line in lines:
                columns = line.split(None, 3)
                if len(columns) > 2 and columns[2].isdigit():
                    found.append(int(columns[2]))
        path.unlink()
    found.sort()
    return found
