"""psql, with the libpq of the system."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts" / "lib"))
from cases import Wrong, case, equal, plan  # noqa: E402
from lab.postgres import find_bin_dir  # noqa: E402

PSQL = (find_bin_dir() or Path(shutil.which("psql")).parent) / "psql"


def run(told: dict, way: dict, sql: list, password: str | None = None, **more) -> subprocess.CompletedProcess:
    settings = {"host": "localhost", "hostaddr": "127.0.0.1", "port": way["port"], "user": way["user"],
                "dbname": told["database"], "sslmode": "verify-full", "sslrootcert": told["ca"], **more}
    if way.get("cert") and "sslcert" not in more:
        settings |= {"sslcert": way["cert"], "sslkey": way["key"]}
    line = " ".join(f"{key}='{value}'" for key, value in settings.items())
    env = {**os.environ, "PGPASSWORD": way["password"] if password is None else password}
    commands = [part for text in sql for part in ("-c", text)]
    return subprocess.run([str(PSQL), "-X", "-A", "-t", "-q", "-v", "VERBOSITY=verbose", *commands, line],
                          capture_output=True, text=True, env=env, timeout=60)


def works(told: dict, way: dict, **more) -> None:
    done = run(told, way, ["SELECT 6 * 7", "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
                           "SELECT session_user"], **more)
    if done.returncode:
        raise Wrong(done.stderr)
    equal(done.stdout.split(), ["42", "t", way["user"]])


def refused(told: dict, way: dict, text: str, **more) -> None:
    done = run(told, way, ["SELECT 1"], **more)
    equal((done.returncode != 0, text in done.stderr or done.stderr), (True, True))


def main() -> None:
    told = plan()
    for way in told["ways"]:
        case(f"{way['name']}: a query", lambda: works(told, way))
        if way["scram"]:
            case(f"{way['name']}: channel_binding=require", lambda: works(told, way, channel_binding="require"))
        elif way["wrong"] == "28P01":
            case(f"{way['name']}: channel_binding=require is not to be had",
                 lambda: refused(told, way, "channel binding", channel_binding="require"))
        if way["wrong"] == "28P01":
            case(f"{way['name']}: a wrong password",
                 lambda: refused(told, way, "password authentication failed", password="wrong"))
        elif way["wrong"] == "28000":
            case(f"{way['name']}: no certificate",
                 lambda: refused(told, way, "certificate", sslcert="/nowhere", sslkey="/nowhere"))
        case(f"{way['name']}: not without TLS", lambda: refused(told, way, "TLS", sslmode="disable"))


main()
