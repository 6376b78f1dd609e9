"""What must hold of a container that has nothing but DATABASE_URL."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import urllib.request
from pathlib import Path

from lab.children import Lab
from lab.postgres import Postgres
from lab.wire import wait_until_listening

PORT, HTTP = 6432, 9127


class Failed(Exception):
    """What does not hold, and why."""


def check(holds: bool, reason: str) -> None:
    if not holds:
        raise Failed(reason)


class Checks:
    """`start` makes a container; `host` is PostgreSQL's name in it."""

    def __init__(self, lab: Lab, pg: Postgres, start, host: str, stop_signal: int, version: str):
        self.lab, self.pg, self.start, self.host, self.stop_signal = lab, pg, start, host, stop_signal
        # What the binary says of itself is a password, for an image holds no other program.
        self.spoken = f"pgweave {version}"
        self.url = f"postgres://app:secret@{host}:{pg.port}/{pg.database}"

    def all(self) -> None:
        with self.pg.connect() as control:
            control.query("alter role app password 'secret'")
            control.query(f"create role spoken login password '{self.spoken}'")
        (self.pg.data / "pg_hba.conf").write_text(
            "host all postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n")
        with self.pg.connect() as control:
            control.query("select pg_reload_conf()")
        for holds in (self.serves_with_the_url_alone, self.ends_in_order, self.reads_a_file_that_is_mounted,
                      self.needs_something):
            holds()
            print(f"  ok: {holds.__name__.replace('_', ' ')}", flush=True)

    def psql(self, text: str, user: str = "app", password: str = "secret") -> subprocess.CompletedProcess:
        return subprocess.run(
            [self.pg.bin / "psql", "-X", "-A", "-t", "-h", "127.0.0.1", "-p", str(PORT), "-U", user,
             "-d", self.pg.database, "-c", text], capture_output=True, text=True, timeout=30,
            env={**os.environ, "PGPASSWORD": password})

    def began(self, container) -> None:
        up = lambda: container.child.poll() is None  # noqa: E731
        try:
            wait_until_listening(PORT, 30, up)
        except Exception as cause:
            raise Failed(f"it does not listen ({cause}): {container.lines}") from None
        check(up(), f"it has ended: {container.lines}")

    def serves_with_the_url_alone(self) -> None:
        with self.start({"DATABASE_URL": self.url}) as container:
            self.began(container)
            done = self.psql("select 40 + 2")
            check(done.stdout.strip() == "42", f"psql: {done.stdout}{done.stderr} {container.lines}")
            check(self.psql("select 1", password="wrong").returncode != 0, "a wrong password was taken")
            check(container.health() == 0, "it says that it is not well")
            page = urllib.request.urlopen(f"http://127.0.0.1:{HTTP}/metrics", timeout=10).read().decode()
            check("pgweave_pool_queries_total" in page, "the metrics are not there")
            self.has_no_rights(container.pid)
            container.signal(self.stop_signal)
            status = container.wait(15)
            check(status == 0, f"it ended with {status}")
            self.logged_as_json(container.lines)

    def has_no_rights(self, pid: int) -> None:
        status = Path(f"/proc/{pid}/status").read_text()
        told = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        uids = set(told["Uid"].split())
        check(uids == {"10432"}, f"it runs as {uids}")
        check(told["NSpid"].split()[-1] == "1", "it is not the first process")
        for key in ("CapEff", "CapPrm", "CapInh", "CapAmb"):
            check(int(told[key], 16) == 0, f"it has rights: {key} {told[key]}")
        check(told["NoNewPrivs"].strip() == "1", "it can get rights")
        options = [line.split()[5] for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines()
                   if line.split()[4] == "/"]
        check(bool(options) and options[-1].split(",")[0] == "ro", f"its root can be written to: {options}")

    def logged_as_json(self, lines: list) -> None:
        check(len(lines) > 3, f"few lines: {lines}")
        for line in lines:
            try:
                entry = json.loads(line)
            except ValueError:
                raise Failed(f"no JSON: {line}") from None
            check({"timestamp", "level"} <= set(entry), f"without a time or a level: {line}")
            check("secret" not in line, f"a secret: {line}")

    def ends_in_order(self) -> None:
        """A transaction that runs ends first; then its client is told."""
        with self.start({"DATABASE_URL": self.url}) as container:
            self.began(container)
            busy = self.lab.start([self.pg.bin / "psql", "-X", "-A", "-t", self.through(), "-c",
                                   "begin", "-c", "select pg_sleep(2)", "-c", "commit", "-c", "\\! sleep 1",
                                   "-c", "select 'never'"],
                                  self.lab.dir / "busy.log")
            self.wait_for(lambda: self.busy() == 1, "the transaction to run")
            container.signal(self.stop_signal)
            self.wait_for(lambda: container.health() == 1, "it to say that it ends")
            status = container.wait(20)
            busy.wait(10)
            said = (self.lab.dir / "busy.log").read_text()
            check(status == 0, f"it ended with {status}")
            check("COMMIT" in said and "terminating connection" in said and "never" not in said,
                  f"the transaction: {said}")

    def through(self) -> str:
        return f"postgres://app:secret@127.0.0.1:{PORT}/{self.pg.database}"

    def busy(self) -> int:
        with self.pg.connect() as control:
            return int(control.value("select count(*) from pg_stat_activity where usename = 'app'"
                                     " and query like '%pg_sleep%' and state = 'active'"))

    def wait_for(self, is_so, what: str) -> None:
        end = time.monotonic() + 15
        while not is_so():
            check(time.monotonic() < end, f"waited in vain for {what}")
            time.sleep(0.02)

    def reads_a_file_that_is_mounted(self) -> None:
        """Its own program tells the password, so that children of the first process are seen to end."""
        config = self.lab.dir / "pgweave.toml"
        config.write_text(f"""[pgweave]
auth_type = "trust"
[databases."*"]
host = "{self.host}"
port = {self.pg.port}
user = "spoken"
password_command = ["/usr/local/bin/pgweave", "--version"]
""")
        with self.start({}, {"/etc/pgweave/pgweave.toml": config}) as container:
            self.began(container)
            done = self.psql("select current_user")
            check(done.stdout.strip() == "spoken", f"psql: {done.stderr} {container.lines}")
            left = Path(f"/proc/{container.pid}/task/{container.pid}/children").read_text().split()
            check(not left, f"processes were left behind: {left}")
            container.signal(signal.SIGHUP)
            check(container.says("SIGHUP: the configuration was read again", 10), f"SIGHUP: {container.lines}")
            container.signal(self.stop_signal)
            check(container.wait(15) == 0, "it did not end in order")

    def needs_something(self) -> None:
        with self.start({}) as container:
            status = container.wait(15)
            check(status == 1, f"it ended with {status}")
            check(any("DATABASE_URL" in line for line in container.lines), f"it said {container.lines}")
