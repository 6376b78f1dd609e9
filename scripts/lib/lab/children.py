"""Processes that this run started, each ended by its own process id."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import sys
import tempfile
import threading
import shutil
from pathlib import Path


def unprivileged_user() -> str | None:
    """The user for servers that refuse to run as root; None when we are not root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            pwd.getpwnam(name)
            return name
        except KeyError:
            continue
    raise SystemExit("running as root, and there is neither a user postgres nor nobody")


class Lab:
    """Owns a scratch directory and every child process; `close` ends both.

    Use as a context manager. Termination signals become SystemExit, so that
    the exit runs for them as well.
    """

    def __init__(self, name: str):
        # Servers run as another user, who must be able to reach this directory.
        base = "/tmp" if os.path.isdir("/tmp") else None
        self.dir = Path(tempfile.mkdtemp(prefix=f"{name}.", dir=base))
        self.user = unprivileged_user()
        self.children: list[subprocess.Popen] = []
        self.signals: dict = {}
        self.lock = threading.Lock()
        os.chmod(self.dir, 0o755)

    def __enter__(self) -> "Lab":
        def leave(signum, _frame):
            raise SystemExit(128 + signum)

        for signum in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(signum, leave)
        return self

    def __exit__(self, *_exc) -> None:
        self.close()

    def directory(self, name: str) -> Path:
        """A directory that belongs to the unprivileged user."""
        path = self.dir / name
        path.mkdir()
        self.give(path)
        return path

    def give(self, path: Path) -> None:
        if self.user:
            who = pwd.getpwnam(self.user)
            os.chown(path, who.pw_uid, who.pw_gid)

    def identity(self, unprivileged: bool) -> dict:
        """Popen's arguments for running as the unprivileged user, if we are root."""
        if not (unprivileged and self.user):
            return {}
        who = pwd.getpwnam(self.user)
        return {"user": who.pw_uid, "group": who.pw_gid, "extra_groups": []}

    def start(self, argv: list, log: Path, unprivileged: bool = False,
              ends_by: int = signal.SIGTERM) -> subprocess.Popen:
        """Starts a child with its output in `log`; `close` ends it by the signal `ends_by`.

        It gets a session of its own: Ctrl-C in the terminal reaches only us,
        and we end the children in the right order.
        """
        with open(log, "ab") as out:
            child = subprocess.Popen(
                [str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                cwd=self.dir, start_new_session=True, **self.identity(unprivileged),
            )
        with self.lock:
            self.children.append(child)
            self.signals[child.pid] = ends_by
        return child

    def run(self, argv: list, timeout: float, unprivileged: bool = False,
            each_line=None, env: dict | None = None) -> subprocess.CompletedProcess:
        """Runs a child to its end; it is killed after `timeout` seconds. `env` adds to the environment.

        `each_line` is called with each line that the child writes to stderr, as it comes; what the
        child writes to stdout must then fit into a pipe.
        """
        child = subprocess.Popen(
            [str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, errors="replace", cwd=self.dir, start_new_session=True, **self.identity(unprivileged),
            env={**os.environ, **env} if env else None,
        )
        with self.lock:
            self.children.append(child)
        overdue = threading.Timer(timeout, child.kill)
        overdue.start()
        try:
            lines = []
            for line in child.stderr if each_line else ():
                lines.append(line)
                each_line(line)
            out, err = child.communicate()
            err = "".join(lines) + err
            if overdue.finished.is_set():
                err += f"\nended after {timeout:.0f} s without an end of its own"
        finally:
            overdue.cancel()
            with self.lock:
                if child.poll() is not None and child in self.children:
                    self.children.remove(child)
        return subprocess.CompletedProcess(argv, child.returncode, out, err)

    def stop(self, child: subprocess.Popen, signum: int = signal.SIGTERM, wait: float = 10.0) -> None:
        """Ends one child: politely, then not."""
        if child.poll() is None:
            child.send_signal(signum)
            try:
                child.wait(wait)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait(10)
        with self.lock:
            if child in self.children:
                self.children.remove(child)

    def close(self) -> None:
        # A second Ctrl-C must not leave anything behind.
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(signum, signal.SIG_IGN)
        with self.lock:
            left = list(reversed(self.children))
        for child in left:
            self.stop(child, self.signals.get(child.pid, signal.SIGTERM), 5)
        shutil.rmtree(self.dir, ignore_errors=True)


def tail(path: Path, lines: int = 15) -> str:
    """The end of a log, for an error message."""
    try:
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return ""


def fail(message: str) -> None:
    print(f"error: {message}", file=sys.stderr)
    raise SystemExit(1)
