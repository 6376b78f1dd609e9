"""What the Python suites share: the plan on standard input, a line for each case."""

from __future__ import annotations

import json
import sys
import traceback


def plan() -> dict:
    return json.load(sys.stdin)


class Wrong(Exception):
    """A case came out otherwise than it must."""


def equal(found, expected) -> None:
    if found != expected:
        raise Wrong(f"{found!r}, not {expected!r}")


def report(name: str, failure: BaseException | None) -> None:
    if failure is None:
        print(f"ok {name}", flush=True)
        return
    traceback.print_exception(failure, file=sys.stderr)
    text = " ".join(str(failure).split()) or type(failure).__name__
    print(f"FAILED {name}: {type(failure).__name__}: {text[:300]}", flush=True)


def case(name: str, body) -> None:
    """Runs a case that is no coroutine."""
    try:
        body()
    except BaseException as failure:  # noqa: BLE001 - whatever it is, it is told
        report(name, failure)
    else:
        report(name, None)
