"""Runs the cases of one driver, in order, one line of output each.

    case.py DRIVER MODULE...

A case is a function, plain or async, under `@case("what holds")`. It fails by
raising, by taking longer than its time, or by leaving a transaction open on the
server: that is looked at after each one, past the pooler.
"""

import asyncio
import importlib
import inspect
import os
import signal
import sys
import traceback

import server

SECONDS = 60
CASES = []

def case(name):
    """Registers a case."""

    def register(function):
        CASES.append((name, function))
        return function

    return register


class TookTooLong(Exception):
    pass


def out_of_time(_signal, _frame):
    raise TookTooLong(f"not done after {SECONDS} s")


def run(function):
    signal.signal(signal.SIGALRM, out_of_time)
    signal.alarm(SECONDS)
    try:
        if inspect.iscoroutinefunction(function):
            asyncio.run(asyncio.wait_for(function(), SECONDS - 5))
        else:
            function()
    finally:
        signal.alarm(0)
    server.wait_until_no_transaction_is_open()


def reason(error):
    """One line that says what and where."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if os.path.dirname(__file__) in f.filename]
    place = f" at {os.path.basename(frames[-1].filename)}:{frames[-1].lineno}: {frames[-1].line}" if frames else ""
    text = " ".join(str(error).split())[:300]
    return f"{type(error).__name__}: {text}{place}"


def main():
    # `import case` in the modules must find these lists, not a second copy.
    sys.modules["case"] = sys.modules["__main__"]
    driver, failed = sys.argv[1], 0
    for module in sys.argv[2:]:
        first = len(CASES)
        importlib.import_module(module)
        for name, function in CASES[first:]:
            try:
                run(function)
                print(f"ok {driver}: {name}", flush=True)
            except BaseException as error:
                if isinstance(error, KeyboardInterrupt):
                    raise
                failed += 1
                print(f"FAILED {driver}: {name}: {reason(error)}", flush=True)
                traceback.print_exc()
                server.end_what_is_left()
    sys.exit(1 if failed or not CASES else 0)


if __name__ == "__main__":
    main()
