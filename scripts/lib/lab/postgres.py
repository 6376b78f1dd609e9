"""A throwaway PostgreSQL: own data directory, free port, loopback only."""

from __future__ import annotations

import glob
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

from .children import Lab, fail, tail
from .wire import Client, ConnectionLost, ServerError, wait_until_served

SUPERUSER = "postgres"


def find_bin_dir() -> Path | None:
    """The newest directory that holds a whole server: PG_BIN, Debian's, brew's, else PATH."""
    places = []
    if os.environ.get("PG_BIN"):
        places.append(os.environ["PG_BIN"])
    versioned = []
    for pattern in ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql*/bin",
                    "/usr/local/opt/postgresql*/bin", "/home/linuxbrew/.linuxbrew/opt/postgresql*/bin",
                    "/Applications/Postgres.app/Contents/Versions/*/bin"):
        versioned += glob.glob(pattern)
    places += sorted(versioned, key=lambda p: [int(n) for n in re.findall(r"\d+", p)] or [0], reverse=True)
    on_path = shutil.which("postgres")
    if on_path:
        places.append(str(Path(on_path).parent))
    for place in places:
        if all(os.access(Path(place) / tool, os.X_OK) for tool in ("initdb", "postgres", "pgbench", "psql")):
            return Path(place)
    return None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Postgres:
    """A running server with password-free login from loopback."""

    def __init__(self, lab: Lab, database: str, users: list, settings: dict | None = None):
        bin_dir = find_bin_dir()
        if bin_dir is None:
            fail("PostgreSQL (initdb, postgres, pgbench, psql) not found; scripts/lib/install postgresql gets it")
        self.lab, self.bin, self.database = lab, bin_dir, database
        self.port = free_port()
        self.data = lab.directory("data")
        self.log = lab.dir / "postgresql.log"
        self.child: subprocess.Popen | None = None
        self.initdb(settings or {})
        self.start()
        with self.connect("postgres") as control:
            for user in users:
                control.query(f"create role {user} login")
            owner = f" owner {users[0]}" if users else ""
            control.query(f"create database {database}{owner}")

    def initdb(self, settings: dict) -> None:
        done = self.lab.run([self.bin / "initdb", "-D", self.data, "-U", SUPERUSER, "--auth=trust",
                             "--encoding=UTF8", "--locale=C", "--no-sync"], 120, unprivileged=True)
        if done.returncode:
            fail(f"initdb: {done.stderr.strip()}")
        merged = {
            # Thrown away anyway: durability would only measure the disk.
            "fsync": "off", "synchronous_commit": "off", "full_page_writes": "off",
            "listen_addresses": "'127.0.0.1'", "unix_socket_directories": "''", "port": self.port,
            "shared_buffers": "'256MB'", "max_connections": 200, "max_wal_size": "'4GB'",
            "autovacuum": "off", "log_checkpoints": "off", **settings,
        }
        with open(self.data / "postgresql.conf", "a") as conf:
            conf.writelines(f"{key} = {value}\n" for key, value in merged.items())

    @property
    def version(self) -> str:
        with self.connect() as control:
            return control.value("show server_version").split()[0]

    def start(self, seconds: float = 30) -> None:
        # SIGINT is the fast shutdown: it does not wait for clients to leave.
        self.child = self.lab.start([self.bin / "postgres", "-D", self.data], self.log, unprivileged=True,
                                    ends_by=signal.SIGINT)
        try:
            wait_until_served(self.port, SUPERUSER, "postgres", seconds, lambda: self.child.poll() is None)
        except (ServerError, ConnectionLost) as cause:
            fail(f"PostgreSQL did not start ({cause}):\n{tail(self.log)}")

    def stop(self, mode: str = "fast") -> None:
        """`fast` rolls back and disconnects clients, `immediate` ends without a checkpoint."""
        self.lab.stop(self.child, signal.SIGINT if mode == "fast" else signal.SIGQUIT, 60)

    def connect(self, database: str | None = None) -> "Control":
        return Control(self.port, SUPERUSER, database or self.database, application_name="observer")

    def pgbench_init(self, user: str, scale: int) -> None:
        done = self.lab.run([self.bin / "pgbench", "-i", "-q", "-s", scale, "-h", "127.0.0.1", "-p", self.port,
                             "-U", user, self.database], 300)
        if done.returncode:
            fail(f"pgbench -i: {done.stderr.strip()}")


class Control(Client):
    """A direct connection as superuser, closed at the end of its block."""

    def __enter__(self) -> "Control":
        return self

    def __exit__(self, *_exc) -> None:
        self.close()


class ServerSampler:
    """Watches pg_stat_activity for the server connections of `user`, from a direct connection."""

    def __init__(self, pg: Postgres, user: str, every: float = 0.05):
        self.pg, self.user, self.every = pg, user, every
        # `lasting`: seen in two looks running. A backend that was told to end needs a moment to go.
        self.most, self.lasting, self.samples = 0, 0, 0
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.watch, daemon=True)

    def count(self, control: Client) -> int:
        return int(control.value("select count(*) from pg_stat_activity where backend_type = 'client backend'"
                                 f" and usename = '{self.user}'"))

    def watch(self) -> None:
        with self.pg.connect() as control:
            before = 0
            while not self.ended.is_set():
                now = self.count(control)
                self.most = max(self.most, now)
                self.lasting = max(self.lasting, min(before, now))
                before = now
                self.samples += 1
                time.sleep(self.every)

    def __enter__(self) -> "ServerSampler":
        self.thread.start()
        return self

    def __exit__(self, *_exc) -> None:
        self.ended.set()
        self.thread.join(10)
