"""Poolers in front of the throwaway PostgreSQL, started with like settings."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

from .children import Lab, fail, tail
from .postgres import Postgres, free_port
from .wire import ConnectionLost, ServerError, wait_until_listening, wait_until_served

ROOT = Path(__file__).resolve().parents[3]


def find_pgweave(profiles=("release", "debug")) -> Path | None:
    """PGWEAVE_BIN, else the first of the build profiles that is there."""
    if os.environ.get("PGWEAVE_BIN"):
        return Path(os.environ["PGWEAVE_BIN"]).resolve()
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    if not target.is_absolute():
        target = ROOT / target
    for profile in profiles:
        if (target / profile / "pgweave").exists():
            return target / profile / "pgweave"
    return None


def find_pgbouncer() -> Path | None:
    """PGBOUNCER, else the one on PATH or where Debian puts it."""
    place = os.environ.get("PGBOUNCER") or shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"
    return Path(place) if os.access(place, os.X_OK) else None


class Pooler:
    """A running pooler: `port`, `child`, and the database names to ask for."""

    name = "pooler"
    unprivileged = False

    def __init__(self, lab: Lab, pg: Postgres, user: str, pool_size: int, port: int | None = None, tag: str = "",
                 tls: tuple | None = None, password: str | None = None):
        """`tls`: the files of a certificate and its key, offered to clients; `password`: asked for by SCRAM."""
        self.lab, self.pg, self.user, self.pool_size = lab, pg, user, pool_size
        self.tls, self.password = tls, password
        self.port = port or free_port()
        self.label = f"{self.name}{tag}"
        self.log = lab.dir / f"{self.label}-{self.port}.log"
        self.child: subprocess.Popen | None = None

    def argv(self) -> list:
        raise NotImplementedError

    def start(self) -> "Pooler":
        self.child = self.lab.start(self.argv(), self.log, self.unprivileged)
        try:
            if self.password:
                wait_until_listening(self.port, 15, self.alive)
            else:
                wait_until_served(self.port, self.user, self.pg.database, 15, self.alive)
        except (ServerError, ConnectionLost) as cause:
            fail(f"{self.label} did not start ({cause}):\n{tail(self.log)}")
        return self

    def alive(self) -> bool:
        return self.child is not None and self.child.poll() is None

    def stop(self) -> None:
        self.lab.stop(self.child, wait=10)

    def write(self, suffix: str, text: str) -> Path:
        path = self.lab.dir / f"{self.label}-{self.port}{suffix}"
        path.write_text(text)
        self.lab.give(path)
        return path


class PgWeave(Pooler):
    name = "pgweave"

    def __init__(self, *args, binary: Path | None = None, workers: int | None = None, **kwargs):
        super().__init__(*args, **kwargs)
        self.binary = binary or find_pgweave()
        if self.binary is None or not self.binary.exists():
            fail("no pgweave binary: build one, or name it in PGWEAVE_BIN")
        self.workers = workers

    def argv(self) -> list:
        workers = "" if self.workers is None else f"workers = {self.workers}\n"
        if self.tls:
            cert, key = self.tls
            workers += ('client_tls_sslmode = "prefer"\n'
                        f'client_tls_cert_file = "{cert}"\nclient_tls_key_file = "{key}"\n')
        auth_type = "scram-sha-256" if self.password else "trust"
        config = self.write(".toml", f"""[pgweave]
listen_addr = "127.0.0.1"
listen_port = {self.port}
pool_mode = "transaction"
default_pool_size = {self.pool_size}
max_client_conn = 20000
auth_type = "{auth_type}"
pin_process = 0
{workers}
[databases.{self.pg.database}]
host = "127.0.0.1"
port = {self.pg.port}

[databases.{self.pg.database}_session]
host = "127.0.0.1"
port = {self.pg.port}
dbname = "{self.pg.database}"
pool_mode = "session"

[users.{self.user}]
password = "{self.password or 'not-asked-for'}"
""")
        return [self.binary, "-q", config]


class PgBouncer(Pooler):
    name = "pgbouncer"
    unprivileged = True

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.binary = find_pgbouncer()
        if self.binary is None:
            fail("PgBouncer not found; scripts/lib/install pgbouncer gets it")
        self.version = self.read_version()

    def read_version(self) -> tuple:
        done = subprocess.run([str(self.binary), "--version"], capture_output=True, text=True, timeout=10)
        found = re.search(r"PgBouncer (\d+)\.(\d+)", done.stdout)
        return (int(found.group(1)), int(found.group(2))) if found else (0, 0)

    @property
    def prepares(self) -> bool:
        """Named statements in transaction mode came with 1.21."""
        return self.version >= (1, 21)

    def argv(self) -> list:
        users = self.write(".users", f'"{self.user}" "{self.password or ""}"\n')
        prepared = "max_prepared_statements = 200\n" if self.prepares else ""
        if self.tls:
            cert, key = self.tls
            prepared += f"client_tls_sslmode = prefer\nclient_tls_cert_file = {cert}\nclient_tls_key_file = {key}\n"
        auth_type = "scram-sha-256" if self.password else "trust"
        config = self.write(".ini", f"""[databases]
{self.pg.database} = host=127.0.0.1 port={self.pg.port}
{self.pg.database}_session = host=127.0.0.1 port={self.pg.port} dbname={self.pg.database} pool_mode=session
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {self.port}
unix_socket_dir =
auth_type = {auth_type}
auth_file = {users}
pool_mode = transaction
default_pool_size = {self.pool_size}
max_client_conn = 20000
listen_backlog = 4096
server_login_retry = 1
ignore_startup_parameters = extra_float_digits
log_connections = 0
log_disconnections = 0
log_pooler_errors = 0
log_stats = 0
{prepared}""")
        return [self.binary, "-q", config]
