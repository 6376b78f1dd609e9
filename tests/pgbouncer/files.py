"""Each file in tests/ini is run as it is, but for ports and directories, and its console asked what it has understood."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from pathlib import Path

from lab.children import Lab, tail
from lab.poolers import find_pgweave
from lab.postgres import free_port

HERE = Path(__file__).resolve().parent
FILES = HERE.parent / "ini"

HBA = "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\nhostssl all all all cert\n"


def put_files(lab: Lab, folder: Path) -> None:
    """What the ini files name, by the names that they have for it."""
    (folder / "users.txt").write_text('"alice" "secret"\n"pgbouncer" "x"\n')
    (folder / "hba.conf").write_text(HBA)
    (folder / "ident.conf").write_text("m alice alice\n")
    done = lab.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-keyout", folder / "server.key", "-out", folder / "server.crt", "-days", 2,
                    "-subj", "/CN=localhost"], 30)
    if done.returncode:
        raise OSError(f"openssl: {done.stderr.strip()}")
    shutil.copy(folder / "server.crt", folder / "root.crt")


def databases_of(toml: Path) -> set:
    """The names in what the file means; `*` is no database of its own."""
    names = re.findall(r'^\[databases\.(?:"((?:[^"\\]|\\.)*)"|([^\]"]+))\]', toml.read_text(), re.M)
    return {quoted.replace('\\"', '"') or bare for quoted, bare in names} - {"*"}


def run_one(lab: Lab, psql: Path, name: str) -> str | None:
    """What is wrong, if something is."""
    folder = lab.dir / name
    shutil.copytree(FILES, folder)
    put_files(lab, folder)
    ini, port = folder / f"{name}.ini", free_port()
    # Of two lines that are about one thing the last counts.
    with open(ini, "a") as file:
        file.write(f"\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir = {folder}\n"
                   f"unix_socket_group =\nlogfile =\npidfile = {folder}/pid\nsyslog = 0\n")
    log = folder / "log"
    with open(log, "w") as out:
        child = subprocess.Popen([find_pgweave(("debug", "release")), ini.name], cwd=folder, stdout=out, stderr=out)
    lab.children.append(child)
    socket = folder / f".s.PGSQL.{port}"
    if not wait_for(lambda: socket.exists() or child.poll() is not None) or child.poll() is not None:
        return f"it did not start: {tail(log)}"
    # The same system user is the console's owner, whatever the file says of logins.
    asked = subprocess.run([psql, "-X", "-A", "-t", "-h", folder, "-p", str(port), "-U", "pgbouncer", "-d", "pgbouncer",
                            "-c", "SHOW DATABASES"], capture_output=True, text=True, timeout=20)
    shown = {line.split("|")[0] for line in asked.stdout.splitlines()} - {"pgbouncer", "pgweave"}
    lab.stop(child, wait=10)
    expected = databases_of(FILES / f"{name}.toml")
    if asked.returncode or shown != expected:
        return f"it shows the databases {sorted(shown)}, not {sorted(expected)}: {asked.stderr.strip()}"
    return f"it ended with status {child.returncode}" if child.returncode else None


def wait_for(is_so) -> bool:
    deadline = time.monotonic() + 15
    while not is_so():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def run_all(lab: Lab, psql: Path) -> tuple:
    """How many there are, and how many do not run."""
    names = sorted(path.stem for path in FILES.glob("*.ini"))
    wrong = 0
    for name in names:
        trouble = run_one(lab, psql, name)
        if trouble:
            wrong += 1
            print(f"FAILS    {name}.ini: {trouble}")
    return len(names), wrong
