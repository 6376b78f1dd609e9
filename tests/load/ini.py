"""A pooler that runs from a PgBouncer ini file, which a proof writes and writes again."""

from __future__ import annotations

import signal

from lab.poolers import Pooler
from lab.wire import Client
from proof import USER, Proof

CONSOLE = "pgbouncer"


def quoted(value: object) -> str:
    return f"'{value}'" if " " in str(value) else str(value)


class Ini:
    """What stands in the file: `databases`, `users` and `general` may be changed between two readings."""

    def __init__(self, proof: Proof, pool_size: int):
        self.proof = proof
        self.databases: dict = {}
        self.users: dict = {}
        self.known: dict = {USER: ""}
        self.general: dict = {
            "listen_addr": "127.0.0.1", "unix_socket_dir": "", "auth_type": "trust", "admin_users": USER,
            "pool_mode": "transaction", "default_pool_size": pool_size, "max_client_conn": 500,
            "max_prepared_statements": 200, "server_login_retry": 1, "log_connections": 0,
            "log_disconnections": 0, "log_pooler_errors": 0, "log_stats": 0, "stats_period": 3600,
        }

    def add(self, name: str, dbname: str | None = None, **keys) -> None:
        self.databases[name] = {"host": "127.0.0.1", "port": self.proof.pg.port, "dbname": dbname or name, **keys}

    def text(self, port: int, auth_file: object) -> str:
        def line(name: str, keys: dict) -> str:
            return f"{name} = " + " ".join(f"{key}={quoted(value)}" for key, value in keys.items())

        return "\n".join([
            "[databases]", *(line(*each) for each in self.databases.items()),
            "[users]", *(line(*each) for each in self.users.items()),
            "[pgbouncer]", f"listen_port = {port}", f"auth_file = {auth_file}",
            *(f"{key} = {value}" for key, value in self.general.items()), ""])

    def start(self) -> Pooler:
        """Starts the proof's kind of pooler from what stands here now."""
        pooler = reading(self)(self.proof.lab, self.proof.pg, USER, 0)
        if not prepares(pooler):
            self.general.pop("max_prepared_statements")
        self.proof.pooler = pooler
        return pooler.start()

    def write(self) -> None:
        self.proof.pooler.argv()

    def hang_up(self) -> None:
        self.proof.pooler.child.send_signal(signal.SIGHUP)


def prepares(pooler: Pooler) -> bool:
    """Are there named statements in transaction mode? An old stand-in has none."""
    return getattr(pooler, "prepares", True)


def reading(ini: Ini) -> type:
    class Reading(ini.proof.kind):
        def argv(self) -> list:
            known = "".join(f'"{name}" "{secret}"\n' for name, secret in ini.known.items())
            auth_file = self.write(".users", known)
            return [self.binary, "-q", self.write(".ini", ini.text(self.port, auth_file))]

    return Reading


class Console(Client):
    """The pooler's console, with its tables as dictionaries."""

    def __init__(self, proof: Proof, timeout: float = 30.0):
        super().__init__(proof.pooler.port, USER, CONSOLE, timeout=timeout, application_name="console")
        self.names: list = []

    def read_frame(self) -> tuple:
        tag, body = super().read_frame()
        if tag == b"T":
            self.names, at = [], 2
            while at < len(body):
                end = body.index(0, at)
                self.names.append(body[at:end].decode())
                at = end + 19
        return tag, body

    def show(self, what: str) -> list:
        rows = self.query(f"SHOW {what}")
        return [dict(zip(self.names, row)) for row in rows]

    def row(self, what: str, key: str, value: str) -> dict:
        return next((row for row in self.show(what) if row[key] == value), {})
