"""PAUSE, a restart of PostgreSQL, RESUME under load: nobody hears a word of it; one database paused, another not."""

from __future__ import annotations

import threading
import time

from bank import Fleet, check_books, open_bank
from ini import Console, Ini
from lab.wire import ConnectionLost, ServerError
from proof import USER, Proof

POOL, ROUNDS = 5, 3
ASIDE = "aside"


def backends(proof: Proof, database: str) -> set:
    """The server connections, by their processes."""
    with proof.pg.connect("postgres") as control:
        rows = control.query(f"select pid from pg_stat_activity where usename = '{USER}' and datname = '{database}'")
    return {row[0] for row in rows}


def check_none_left(proof: Proof, database: str) -> None:
    """PAUSE ends when connections are closed; their processes need a moment to go."""
    end = time.monotonic() + 2.0
    while left := backends(proof, database):
        proof.check(time.monotonic() < end, f"{len(left)} server connections of {database} are left after PAUSE")
        time.sleep(0.01)


class Newcomer:
    """Comes in a pause, and asks one thing."""

    def __init__(self, proof: Proof):
        self.proof, self.said = proof, "no answer"
        self.thread = threading.Thread(target=self.come, daemon=True)
        self.thread.start()

    def come(self) -> None:
        try:
            client = self.proof.client(timeout=60)
            self.said = client.value("select 'welcome'")
            client.close()
        except (ServerError, ConnectionLost) as cause:
            self.said = str(cause)


def check_all_stand_still(proof: Proof, fleet: Fleet, seconds: float) -> None:
    # The answer to the last commit is perhaps still on its way to the client that reads it.
    time.sleep(0.1)
    before = fleet.done()
    time.sleep(seconds)
    proof.check(fleet.done() == before, f"{fleet.database}: {fleet.done() - before} transfers in a pause")


def check_shown(proof: Proof, console: Console, name: str, is_paused: bool) -> None:
    paused = console.row("DATABASES", "name", name).get("paused")
    proof.check(paused == str(int(is_paused)), f"SHOW DATABASES says paused = {paused} of {name}")


def restart_in_a_pause(proof: Proof, console: Console, fleets: list) -> float:
    """Answers how long PAUSE took."""
    begun = time.monotonic()
    console.query("PAUSE")
    took = time.monotonic() - begun
    for fleet in fleets:
        check_none_left(proof, fleet.database)
    newcomers = [Newcomer(proof) for _ in range(3)]
    check_all_stand_still(proof, fleets[0], 0.2)
    proof.pg.stop("fast")
    proof.pg.start()
    proof.check(all(one.said == "no answer" for one in newcomers), f"came in: {[one.said for one in newcomers]}")
    console.query("RESUME")
    for fleet in fleets:
        fleet.wait_until_all_work()
        fleet.check_heard_nothing("a restart in a pause")
    for one in newcomers:
        one.thread.join(30)
        proof.check(one.said == "welcome", f"who came in the pause heard: {one.said}")
    return took


def pause_one(proof: Proof, console: Console, paused: Fleet, other: Fleet) -> None:
    """`other` notices nothing, and keeps its server connections."""
    kept = backends(proof, other.database)
    console.query(f"PAUSE {paused.database}")
    check_shown(proof, console, paused.database, True)
    check_shown(proof, console, other.database, False)
    check_none_left(proof, paused.database)
    before = paused.done()
    other.wait_until_all_work(10)
    check_all_stand_still(proof, paused, 0.2)
    proof.check(paused.done() - before <= len(paused.workers), "transfers in a pause")
    now = backends(proof, other.database)
    proof.check(kept == now, f"{other.database} has other server connections: {kept} {now}")
    console.query(f"RESUME {paused.database}")
    check_shown(proof, console, paused.database, False)
    for fleet in (paused, other):
        fleet.wait_until_all_work()
        fleet.check_heard_nothing("a pause of one database")


def prove(proof: Proof) -> None:
    open_bank(proof, proof.pg.database, ASIDE)
    ini = Ini(proof, POOL)
    ini.add(proof.pg.database)
    ini.add(ASIDE, pool_size=2)
    ini.start()
    console = Console(proof)
    fleet, aside = Fleet(proof, proof.pg.database, 20), Fleet(proof, ASIDE, 4)
    took = []
    for _ in range(ROUNDS):
        time.sleep(proof.seconds / 10)
        took.append(restart_in_a_pause(proof, console, [fleet, aside]))
    for paused, other in ((fleet, aside), (aside, fleet)):
        for _ in range(2):
            time.sleep(proof.seconds / 20)
            pause_one(proof, console, paused, other)
    fleet.stop()
    aside.stop()
    proof.say(f"{ROUNDS} restarts of PostgreSQL in a PAUSE (which took {max(took) * 1000:.0f} ms at most),"
              f" 4 pauses of one database: {len(fleet.workers) + len(aside.workers)} clients heard no error")
    for one in (fleet, aside):
        one.check_heard_nothing("at the end")
        proof.check(not one.sum_in_doubt(), "a transfer is in doubt")
    check_books(proof, fleet, aside)
    proof.check_nothing_open()
