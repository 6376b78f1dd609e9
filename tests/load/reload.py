"""100 RELOADs under load, each of another configuration: clients hear what the change says, and nothing else."""

from __future__ import annotations

import ssl
import time

from bank import Fleet, check_books, open_bank
from ini import Console, Ini
from lab.children import fail
from lab.wire import Client, ConnectionLost, ServerError
from proof import USER, Proof

RELOADS = 100
SIDE, LEAVES = "side", "leaves"
# When the database that clients are on is taken away, and when it comes back.
GOES, RETURNS = 40, 60
GUEST = "guest"

# What may be said of each, in turn; primes, so that most combinations are met. Nothing here keeps a client
# from what it does.
TURNS = {
    "auth_type": ("trust", "hba"),
    "auth_query": ("SELECT usename, passwd FROM pg_shadow WHERE usename = $1", "SELECT 'nobody', NULL"),
    "max_client_conn": (500, 400, 300, 450, 350),
    "max_db_connections": (0, 60, 50),
    "max_user_connections": (0, 90, 80, 100, 70),
    "query_wait_timeout": (60, 120),
    "client_idle_timeout": (0, 60, 90),
    "idle_transaction_timeout": (0, 60),
    "server_lifetime": (3600, 1, 600, 3600, 3600),
    "server_idle_timeout": (600, 60),
    "server_round_robin": (0, 1),
    "min_pool_size": (0, 1, 2),
    "max_prepared_statements": (200, 100, 50),
    "client_tls_sslmode": ("allow", "prefer"),
}


class Book:
    """What the file says in each turn, and what must follow from it."""

    def __init__(self, proof: Proof):
        self.proof, self.turn = proof, 0
        self.main = proof.pg.database
        self.certificates = [certificate(proof, name) for name in ("first", "second")]
        self.ini = Ini(proof, 5)
        self.hba = proof.lab.dir / "hba.conf"
        self.ini.general["auth_hba_file"] = self.hba
        self.open(0)

    def open(self, turn: int) -> None:
        """The page of that turn."""
        ini, self.turn = self.ini, turn
        ini.general |= {key: values[turn % len(values)] for key, values in TURNS.items()}
        certificate, key = self.certificates[self.shown()]
        ini.general |= {"client_tls_cert_file": certificate, "client_tls_key_file": key}
        ini.general["default_pool_size"] = self.of_all()
        ini.users = {USER: {"max_user_client_connections": 200 + turn}}
        if self.of_user():
            ini.users[USER]["pool_size"] = self.of_user()
        ini.databases = {}
        ini.add(self.main, **({"pool_size": self.of_database()} if self.of_database() else {}))
        ini.add(SIDE, max_db_client_connections=50 + turn % 7)
        if not GOES <= turn < RETURNS:
            ini.add(LEAVES)
        for number in self.there():
            ini.add(f"comes_{number}", LEAVES)
        ini.known = {USER: "", GUEST: "", f"another_{turn}": "secret"}
        rule = f"host all {GUEST} 127.0.0.1/32 reject\n" if self.rejects_guest() else ""
        self.hba.write_text(f"{rule}host all all 127.0.0.1/32 trust\n")
        self.proof.lab.give(self.hba)

    def of_all(self) -> int:
        return 2 + self.turn % 5

    def of_database(self) -> int:
        return 3 + self.turn % 4 if self.turn % 3 == 1 else 0

    def of_user(self) -> int:
        return 4 + self.turn % 2 if self.turn % 7 == 2 else 0

    def pool_size(self, database: str) -> int:
        of_database = self.of_database() if database == self.main else 0
        return self.of_user() or of_database or self.of_all()

    def there(self) -> set:
        """Databases that come and go."""
        return {self.turn % 3, 3 + self.turn % 2}

    def rejects_guest(self) -> bool:
        """There is a rule that does; it counts if rules do."""
        return self.turn % 4 < 3

    def lets_guest_in(self) -> bool:
        return self.ini.general["auth_type"] == "trust" or not self.rejects_guest()

    def shown(self) -> int:
        """Which certificate is shown to clients."""
        return self.turn // 5 % 2


def certificate(proof: Proof, name: str) -> tuple:
    cert, key = proof.lab.dir / f"{name}.crt", proof.lab.dir / f"{name}.key"
    done = proof.lab.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                          "-nodes", "-days", "2", "-subj", f"/CN={name}", "-keyout", key, "-out", cert], 60)
    if done.returncode:
        fail(f"openssl: {done.stderr.strip()}")
    for path in (cert, key):
        proof.lab.give(path)
    return cert, key


def as_shown(path) -> str:
    """A certificate as the handshake shows it."""
    return ssl.PEM_cert_to_DER_cert(path.read_text()).hex()


def reread(book: Book, console: Console) -> None:
    """By turns over the console and by the signal, which says nothing when it is done."""
    book.ini.write()
    if book.turn % 2:
        console.query("RELOAD")
        return
    book.ini.hang_up()
    marker, end = str(200 + book.turn), time.monotonic() + 5
    while console.row("USERS", "name", USER).get("max_user_client_connections") != marker:
        book.proof.check(time.monotonic() < end, f"SIGHUP, turn {book.turn}: the file was not read")
        time.sleep(0.005)


def enter(book: Book, database: str, user: str = USER, tls: bool = False) -> str:
    """What somebody hears who comes in: for a TLS client, whose certificate it was shown."""
    try:
        client = Client(book.proof.pooler.port, user, database, timeout=10, tls=tls)
        client.query("select 1")
        heard = client.sock.getpeercert(True).hex() if tls else "welcome"
        client.close()
        return heard
    except ServerError as error:
        return error.sqlstate
    except ConnectionLost as cause:
        return f"silence: {cause}"


def check_doors(book: Book, shown: list) -> None:
    """Who comes now comes in where the file says so, and nowhere else: one door in each turn."""
    check, turn, there = book.proof.check, book.turn, book.there()
    if turn % 3 == 0:
        heard = enter(book, f"comes_{min(there)}")
        check(heard == "welcome", f"turn {turn}: a database that has come says {heard}")
    elif turn % 3 == 1:
        heard = enter(book, f"comes_{min(set(range(5)) - there)}")
        check(heard == "3D000", f"turn {turn}: a database that has gone says {heard}")
    else:
        heard, expected = enter(book, SIDE, GUEST), "welcome" if book.lets_guest_in() else "28000"
        check(heard == expected, f"turn {turn}: a guest hears {heard}, not {expected}")
    if turn % 5 == 0:
        heard = enter(book, SIDE, tls=True)
        check(heard == shown[book.shown()], f"turn {turn}: not the certificate of the file: {heard[:40]}")


def check_pool(book: Book, database: str) -> float:
    """The pool gets the size of the file, since more clients than that are there; answers how long it took."""
    size, begun = book.pool_size(database), time.monotonic()
    with book.proof.pg.connect("postgres") as control:
        while True:
            found = int(control.value("select count(*) from pg_stat_activity"
                                      f" where usename = '{USER}' and datname = '{database}'"
                                      f" and backend_type = 'client backend'"))
            if found == size:
                return time.monotonic() - begun
            book.proof.check(time.monotonic() < begun + 5, f"turn {book.turn}: {found} server connections of"
                             f" {database}, and the file says {size}")
            time.sleep(0.005)


def check_gone(book: Book, fleet: Fleet) -> None:
    """Its clients are told, each once, and nobody comes in there."""
    end = time.monotonic() + 10
    while not all(worker.ended for worker in fleet.workers):
        book.proof.check(time.monotonic() < end, f"clients of {LEAVES} were told nothing")
        time.sleep(0.01)
    fleet.stop()
    words = fleet.check_each_heard_once("57P01", f"turn {book.turn}")
    book.proof.check(LEAVES in words, f"the error does not say which database it was: {words}")
    heard = enter(book, LEAVES)
    book.proof.check(heard == "3D000", f"{LEAVES} has gone, and who comes hears {heard}")
    book.proof.say(f"the database that was taken away: {len(fleet.workers)} clients heard 57P01 ({words}), once each")


def prove(proof: Proof) -> None:
    if proof.stand_in:
        return proof.say("this pooler has no SHOW that says when a SIGHUP was followed, and other words for errors")
    book = Book(proof)
    open_bank(proof, book.main, SIDE, LEAVES)
    with proof.pg.connect() as control:
        control.query(f"drop role if exists {GUEST}; create role {GUEST} login")
    book.ini.start()
    console = Console(proof)
    shown = [as_shown(cert) for cert, _ in book.certificates]
    # More clients than the largest pool has connections, in blocks that take a moment: all connections are wanted.
    main, side = Fleet(proof, book.main, 10, pause=0.005), Fleet(proof, SIDE, 10, pause=0.005)
    encrypted = Fleet(proof, book.main, 2, pause=0.005, tls=True)
    leaving = [Fleet(proof, LEAVES, 4, once=True)]
    slowest = 0.0
    begun = time.monotonic()
    for turn in range(1, RELOADS + 1):
        book.open(turn)
        reread(book, console)
        check_doors(book, shown)
        slowest = max(slowest, check_pool(book, book.main), check_pool(book, SIDE))
        if turn == GOES:
            check_gone(book, leaving[0])
        if turn == RETURNS:
            leaving.append(Fleet(proof, LEAVES, 4, once=True))
        time.sleep(max(0.0, begun + proof.seconds * turn / RELOADS - time.monotonic()))
    fleets = [main, encrypted, side, *leaving]
    for fleet in fleets:
        if fleet is not leaving[0]:
            fleet.wait_until_all_work()
        fleet.stop()
        fleet.check_heard_nothing("100 RELOADs")
    proof.say(f"{RELOADS} RELOADs in {time.monotonic() - begun:.1f} s, half of them by SIGHUP; pools had their new size"
              f" after {slowest * 1000:.0f} ms at most; {sum(len(one.workers) for one in fleets)} clients heard no"
              " other error")
    check_books(proof, *fleets)
    proof.check_nothing_open()

