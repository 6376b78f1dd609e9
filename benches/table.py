"""The tables: medians over the rounds, and of the ratios within each round."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from statistics import median

from rig import POOL, YARDSTICK

# A figure's heading, how it is written, and whether its ratio to the yardstick is shown.
FIGURES = {
    "tps": ("tps", "{:.0f}", True),
    "p50": ("p50 us", "{:.0f}", False),
    "p99": ("p99 us", "{:.0f}", False),
    "tail": ("p99/p50", "{:.2f}", False),
    "cpu": ("CPU us/tx", "{:.1f}", True),
    "mbps": ("MB/s", "{:.0f}", True),
    "cpu_gb": ("CPU ms/GB", "{:.0f}", True),
    "idle": ("bytes/client", "{:.0f}", True),
    "logins": ("logins/s", "{:.0f}", False),
    "p99_storm": ("p99 us in it", "{:.0f}", False),
    "storm": ("in it / without", "{:.2f}", False),
    "storm_beside": ("in one beside / without", "{:.2f}", False),
    "login_cpu": ("CPU us/login, queries too", "{:.0f}", True),
    "scrape_ms": ("ms/scrape", "{:.0f}", False),
    "scrape_most_ms": ("at most", "{:.0f}", False),
    "scrape_mb": ("MB", "{:.1f}", False),
    "scraped": ("p99 scraped / alone", "{:.2f}", False),
    "scraped_beside": ("one beside scraped / alone", "{:.2f}", False),
    "look_ms": ("ms for SHOW CLIENTS, POOLS", "{:.0f}", False),
    "looked": ("p99 with these / alone", "{:.2f}", False),
    "syscalls": ("syscalls/tx", "{:.2f}", True),
}


def heading(rig, chosen) -> str:
    model = next((line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                  if line.startswith("model name")), platform.machine())
    lines = [f"{os.cpu_count()} cores ({model}), Linux {platform.release()}, PostgreSQL {rig.pg.version},"
             f" pool {POOL}, loopback, trust, {'TLS toward clients' if chosen.tls else 'no TLS'}; {chosen.rounds} rounds of {chosen.seconds:g} s"]
    yardstick = rig.poolers.get(YARDSTICK)
    if yardstick:
        lines.append(f"ratios (x) are to PgBouncer {'.'.join(map(str, yardstick.version))} in the same round: median"
                     " (least-most)")
    load = os.getloadavg()[0]
    if load > 0.5:
        lines.append(f"the machine is not quiet: load average {load:.1f} at the start")
    return "\n".join(lines) + "\n"


def values(turns: list, figure: str) -> list:
    return [turn.figures[figure] for turn in turns if turn.figures.get(figure) is not None]


def ratios(turns: list, yardstick: list, figure: str) -> list:
    """Round by round; a round in which one of the two failed is left out."""
    found = []
    for ours, theirs in zip(turns, yardstick):
        mine, other = ours.figures.get(figure), theirs.figures.get(figure)
        if mine is not None and other:
            found.append(mine / other)
    return found


def cells(variant: str, turns: list, yardstick: list, figures: tuple) -> list:
    row = [variant]
    for figure in figures:
        _, style, compared = FIGURES[figure]
        found = values(turns, figure)
        row.append(style.format(median(found)) if found else "-")
        if compared:
            times = ratios(turns, yardstick, figure) if variant != YARDSTICK else []
            row.append(f"{median(times):.2f} ({min(times):.2f}-{max(times):.2f})" if times else "-")
    return row


def of_case(name: str, case, results: dict) -> str:
    """A table in Markdown, its columns lined up."""
    header = ["variant"]
    for figure in case.figures:
        title, _, compared = FIGURES[figure]
        header += [title, "x"] if compared else [title]
    rows = [cells(variant, turns, results.get(YARDSTICK, []), case.figures) for variant, turns in results.items()]
    widths = [max(len(row[at]) for row in [header, *rows]) for at in range(len(header))]

    def line(row: list) -> str:
        return "| " + " | ".join(text.rjust(width) if at else text.ljust(width)
                                 for at, (text, width) in enumerate(zip(row, widths))) + " |"

    ruler = "|" + "|".join("-" * (width + 1) + (":" if at else "-") for at, width in enumerate(widths)) + "|"
    notes = sorted({f"{variant}: {turn.note}" for variant, turns in results.items() for turn in turns if turn.note})
    return "\n".join([f"### {name}: {case.title}", f"Target: {case.targets}", "", line(header), ruler,
                      *map(line, rows), *[f"\n{note}" for note in notes]]) + "\n"
