"""The console under load: a command does what it says to the clients that it says, and counts are exact."""

from __future__ import annotations

import collections
import subprocess
import time

from bank import Fleet, check_books, open_bank
from ini import Console, Ini, prepares
from lab.wire import Client, ConnectionLost, ServerError, frame
from pause import ASIDE, backends, check_all_stand_still
from proof import USER, Proof

POOL = 5
# PgBouncer's words for it have this SQLSTATE.
STAND_IN_FORCED = "08P01"
FORCED = "57P01"


class Scene:
    """A pooler with its console, clients of two databases, and what they have counted in those that have left."""

    def __init__(self, proof: Proof):
        self.proof = proof
        ini = Ini(proof, POOL)
        ini.add(proof.pg.database)
        ini.add(ASIDE, pool_size=2)
        ini.start()
        self.console = Console(proof)
        self.forced = STAND_IN_FORCED if proof.stand_in else FORCED
        # What was asked before anybody counted.
        self.before = {name: self.counted(name) for name in (proof.pg.database, ASIDE)}
        self.main, self.aside = Fleet(proof, proof.pg.database, 16), Fleet(proof, ASIDE, 4)

    @property
    def fleets(self) -> tuple:
        return self.main, self.aside

    def counted(self, database: str) -> collections.Counter:
        """Nothing, if nobody has come yet."""
        row = self.console.row("STATS", "database", database)
        totals = {key: int(value) for key, value in row.items() if key.startswith("total_")}
        return collections.Counter(totals)

    def press(self, seconds: float = 0.0) -> None:
        """Everybody gets something done, and hears nothing."""
        time.sleep(seconds)
        for fleet in self.fleets:
            fleet.wait_until_all_work()
            fleet.check_heard_nothing("at work")

    def login(self, database: str) -> str:
        """What somebody hears who comes in."""
        try:
            client = Client(self.proof.pooler.port, USER, database, timeout=2)
            client.close()
            return "welcome"
        except ServerError as error:
            return error.sqlstate
        except ConnectionLost as cause:
            return f"silence: {cause}"


def replaces_connections(scene: Scene) -> None:
    """RECONNECT and WAIT_CLOSE: all server connections are others, nobody hears of it."""
    proof = scene.proof
    for database in (proof.pg.database, None):
        watched = (proof.pg.database,) if database else (proof.pg.database, ASIDE)
        before = {name: backends(proof, name) for name in (proof.pg.database, ASIDE)}
        scene.console.query("RECONNECT" + (f" {database}" if database else ""))
        scene.console.query("WAIT_CLOSE" + (f" {database}" if database else ""))
        scene.press()
        for name in watched:
            end = time.monotonic() + 2
            while kept := before[name] & backends(proof, name):
                proof.check(time.monotonic() < end, f"RECONNECT: {name} has kept {kept}")
                time.sleep(0.01)
        if database:
            proof.check(before[ASIDE] == backends(proof, ASIDE), f"RECONNECT {database} reached {ASIDE}, too")
    proof.say("RECONNECT: every server connection is another one, nobody heard of it")


def suspends(scene: Scene) -> None:
    """SUSPEND holds everybody, keeps the connections, and ends with RESUME or with who said it."""
    proof, before = scene.proof, backends(scene.proof, ASIDE)
    if proof.stand_in:
        return proof.say("SUSPEND: this pooler closes what is in use then")
    for ending in ("RESUME", "leave"):
        suspending = Console(proof)
        suspending.query("SUSPEND")
        for fleet in scene.fleets:
            check_all_stand_still(proof, fleet, 0.1)
        if ending == "RESUME":
            suspending.query("RESUME")
        suspending.close()
        scene.press()
    proof.check(before == backends(proof, ASIDE), "SUSPEND closed connections")
    proof.say("SUSPEND: all stood still, nobody heard of it, the connections stayed")


def disables(scene: Scene) -> None:
    """DISABLE refuses who comes, and touches nobody who is there."""
    proof, name = scene.proof, scene.proof.pg.database
    scene.console.query(f"DISABLE {name}")
    heard = scene.login(name)
    proof.check(heard in ({"08P01", "3D000"} if proof.stand_in else {"55000"}), f"DISABLE: who comes hears {heard}")
    proof.check(scene.login(ASIDE) == "welcome", "DISABLE of one refused clients of another")
    scene.press(0.1)
    scene.console.query(f"ENABLE {name}")
    heard = scene.login(name)
    proof.check(heard == "welcome", f"ENABLE: who comes hears {heard}")
    proof.say("DISABLE: who came was refused, who was there went on")
    # Whoever tried the door has logged in and said goodbye, and is no worker.
    for database in (name, ASIDE):
        scene.before[database] += collections.Counter(total_client_login_count=1, total_received=len(frame(b"X")))


def counts(scene: Scene) -> None:
    """SHOW STATS says of each database what its clients have counted."""
    for fleet in scene.fleets:
        fleet.stop()
        expected = {
            "total_xact_count": fleet.done(), "total_query_count": fleet.sum("queries"),
            "total_client_login_count": fleet.sum("logins"), "total_client_parse_count": fleet.sum("parses"),
            "total_bind_count": fleet.sum("binds"),
            "total_received": fleet.sum("sent"), "total_sent": fleet.sum("received"),
        }
        if scene.proof.stand_in:
            # It counts what is said at login, too, and logins since a version that is not there yet.
            expected = {key: value for key, value in expected.items() if key.endswith(("xact_count", "query_count"))}
        check_counts(scene, fleet, expected)
    scene.proof.say(f"SHOW STATS: {scene.main.done() + scene.aside.done()} transactions,"
                    f" {scene.main.sum('queries') + scene.aside.sum('queries')} queries,"
                    f" {scene.main.sum('received') + scene.aside.sum('received')} bytes sent: as the clients counted")


def check_counts(scene: Scene, fleet: Fleet, expected: dict) -> None:
    end, before = time.monotonic() + 5, scene.before[fleet.database]
    while True:
        now = scene.counted(fleet.database)
        found = {key: now[key] - before[key] for key in expected}
        # Counts are added a moment after the answer.
        if found == expected:
            break
        wrong = {key: (found[key], expected[key]) for key in expected if found[key] != expected[key]}
        scene.proof.check(time.monotonic() < end, f"{fleet.database}: SHOW STATS says, and clients counted: {wrong}")
        time.sleep(0.02)
    # A client that goes on before its turn has been wound up keeps its server connection.
    assigned = now["total_server_assignment_count"] - before["total_server_assignment_count"]
    scene.proof.check(scene.proof.stand_in or 0.9 * fleet.done() < assigned <= fleet.done(),
                      f"{fleet.database}: {assigned} assignments for {fleet.done()} transactions")
    time.sleep(0.1)
    scene.proof.check(scene.counted(fleet.database) == now, "SHOW STATS counts while nobody asks anything")


def kills_one(scene: Scene) -> None:
    """KILL_CLIENT ends exactly the one, who may come again."""
    if not any("id" in row for row in scene.console.show("CLIENTS")):
        return scene.proof.say("KILL_CLIENT: this pooler has none")
    for worker in scene.main.workers[:3]:
        row = scene.console.row("CLIENTS", "application_name", worker.name)
        scene.proof.check(bool(row), f"SHOW CLIENTS does not show {worker.name}")
        scene.console.query(f"KILL_CLIENT {row['id']}")
        wait_until_heard(scene, [worker])
        said, words = worker.heard.pop()
        scene.proof.check(said == scene.forced and not worker.heard, f"KILL_CLIENT: it heard {said} {words}")
        scene.press()
    scene.proof.say(f"KILL_CLIENT: it alone heard {said} ({words})")


def wait_until_heard(scene: Scene, workers: list) -> None:
    end = time.monotonic() + 10
    while not all(worker.heard for worker in workers):
        scene.proof.check(time.monotonic() < end, "who was sent away heard nothing")
        time.sleep(0.01)


def kills_all(scene: Scene) -> None:
    """KILL ends the clients of a database; who comes waits until RESUME, others notice nothing."""
    proof, name = scene.proof, scene.proof.pg.database
    scene.console.query(f"KILL {name}")
    wait_until_heard(scene, scene.main.workers)
    check_all_stand_still(proof, scene.main, 0.2)
    words = scene.main.check_each_heard_once(scene.forced, "KILL")
    proof.check(scene.console.row("DATABASES", "name", name)["paused"] == "1", "KILL has not paused it")
    proof.check(not backends(proof, name), f"KILL left {backends(proof, name)}")
    scene.aside.wait_until_all_work()
    scene.console.query(f"RESUME {name}")
    scene.press()
    proof.say(f"KILL: {len(scene.main.workers)} clients heard {scene.forced} ({words}) once each,"
              " came again and waited until RESUME; others heard nothing")


def shuts_down(scene: Scene) -> None:
    """SHUTDOWN WAIT_FOR_CLIENTS: nobody comes in, who is there goes on, and the last one ends it."""
    proof, child = scene.proof, scene.proof.pooler.child
    if not prepares(proof.pooler):
        scene.main.stop()
        scene.aside.stop()
        return proof.say("SHUTDOWN WAIT_FOR_CLIENTS: this pooler is too old for it")
    scene.console.query("SHUTDOWN WAIT_FOR_CLIENTS")
    heard = scene.login(ASIDE)
    proof.check(heard.startswith("silence") or heard == "57P03", f"after SHUTDOWN, who comes hears {heard}")
    scene.press(0.1)
    scene.main.stop()
    scene.aside.wait_until_all_work()
    proof.check(child.poll() is None, "SHUTDOWN WAIT_FOR_CLIENTS has not waited for the last client")
    scene.aside.stop()
    scene.console.close()
    try:
        ended = child.wait(10)
    except subprocess.TimeoutExpired:
        ended = "nothing"
    proof.check(ended == 0, f"SHUTDOWN WAIT_FOR_CLIENTS ended with {ended}")
    for fleet in scene.fleets:
        fleet.check_heard_nothing("SHUTDOWN WAIT_FOR_CLIENTS")
    proof.say("SHUTDOWN WAIT_FOR_CLIENTS: nobody came in, who was there went on until the last one left")


def prove(proof: Proof) -> None:
    open_bank(proof, proof.pg.database, ASIDE)
    scene = Scene(proof)
    pause = proof.seconds / 20
    counted = scene.fleets
    for act in (replaces_connections, suspends, disables):
        scene.press(pause)
        act(scene)
    scene.press(pause)
    counts(scene)
    scene.main, scene.aside = Fleet(proof, proof.pg.database, 16), Fleet(proof, ASIDE, 4)
    for act in (kills_one, kills_all, shuts_down):
        scene.press(pause)
        act(scene)
    check_books(proof, *counted, *scene.fleets)
    proof.check_nothing_open()
