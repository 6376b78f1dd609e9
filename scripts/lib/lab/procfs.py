"""What a process has used, from /proc (man 5 proc)."""

from __future__ import annotations

import os
import re
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")


class CpuClock:
    """On-CPU seconds of a process and its threads since this was made."""

    def __init__(self, pid: int):
        self.pid = pid
        self.ticks, self.threads = self.read_ticks(), self.read_threads()

    def read_ticks(self) -> int:
        # The command name may hold spaces and parentheses: cut it off at the last one.
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    def read_threads(self) -> dict:
        """Nanoseconds on the CPU for each thread that is there now."""
        found = {}
        for task in Path(f"/proc/{self.pid}/task").iterdir():
            try:
                found[task.name] = int((task / "schedstat").read_text().split()[0])
            except (OSError, IndexError):
                continue
        return found

    def seconds(self) -> float:
        """To the nanosecond, or in ticks of 10 ms when a thread has ended meanwhile and took its count along."""
        now = self.read_threads()
        if now and self.threads and set(self.threads) <= set(now):
            return sum(spent - self.threads.get(thread, 0) for thread, spent in now.items()) / 1e9
        return (self.read_ticks() - self.ticks) / TICK


def anonymous_bytes(pid: int) -> int:
    """Resident memory of its own: heap and stacks, no mapped files."""
    found = re.search(r"RssAnon:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found.group(1)) * 1024 if found else 0
