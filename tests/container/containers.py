"""A container of the image: of an engine where there is one, else of namespaces."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent


def engine(bases: list) -> str | None:
    """An engine that answers, and not only its client, and that has these images or gets them."""
    for name in ("docker", "podman"):
        if not shutil.which(name) or not works([name, "info"]):
            continue
        lacking = [base for base in bases
                   if not works([name, "image", "inspect", base]) and not works([name, "pull", "-q", base])]
        if not lacking:
            return name
        print(f"{name} cannot get {', '.join(lacking)}: without it", flush=True)
    return None


def works(argv: list) -> bool:
    try:
        return subprocess.run(argv, capture_output=True, timeout=300).returncode == 0
    except subprocess.TimeoutExpired:
        return False


class Container:
    """One that runs. What it writes is in `lines`, what it has ended with in `wait`."""

    def __init__(self, variables: dict, files: dict | None = None, arguments: list | None = None):
        """`files`: paths inside, and what is to be there."""
        self.variables, self.files, self.arguments = variables, files or {}, arguments or []
        self.lines: list[str] = []
        self.child = subprocess.Popen([str(word) for word in self.argv()], stdin=subprocess.DEVNULL,
                                      stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self) -> None:
        for line in self.child.stdout:
            self.lines.append(line.rstrip("\n"))

    def argv(self) -> list:
        raise NotImplementedError

    def health(self) -> int:
        raise NotImplementedError

    def signal(self, number: int) -> None:
        raise NotImplementedError

    def wait(self, seconds: float) -> int:
        status = self.child.wait(seconds)
        self.reader.join(5)
        return status

    def says(self, text: str, seconds: float) -> bool:
        end = time.monotonic() + seconds
        while not any(text in line for line in self.lines):
            if time.monotonic() > end or self.child.poll() is not None and not self.reader.is_alive():
                return any(text in line for line in self.lines)
            time.sleep(0.02)
        return True

    def __enter__(self) -> "Container":
        return self

    def __exit__(self, *_exc) -> None:
        if self.child.poll() is None:
            self.end()
            self.child.wait(10)

    def end(self) -> None:
        self.child.kill()


class OfNamespaces(Container):
    """The steps of `launch.py`; the network is the one we are in."""

    image = None  # the last Stage
    scratch: Path

    def plan(self, argv: list, files: dict) -> Path:
        stage = self.image
        own = self.scratch / f"container-{time.monotonic_ns()}"
        own.mkdir()
        # Whoever it runs as must come through.
        own.chmod(0o755)
        path = own / "plan.json"
        path.write_text(json.dumps({
            "image": str(stage.root), "scratch": str(own), "argv": argv, "env": {**stage.env, **self.variables}, "user": stage.user,
            "workdir": stage.workdir, "files": {"/dev/null": "/dev/null", **files}}))
        return path

    def isolated(self, argv: list, files: dict) -> list:
        return ["unshare", "--mount", "--pid", "--ipc", "--uts", "--fork", "--kill-child",
                sys.executable, "-B", HERE / "launch.py", self.plan(argv, files)]

    def argv(self) -> list:
        return self.isolated([*self.image.entrypoint, *self.arguments],
                             {path: str(source) for path, source in self.files.items()})

    def health(self) -> int:
        argv = [str(word) for word in self.isolated(self.image.health, {})]
        patience = float(self.image.health_timeout.rstrip("s"))
        return subprocess.run(argv, capture_output=True, timeout=patience).returncode

    @property
    def pid(self) -> int:
        """Of its first process, as seen from here: the only child of unshare."""
        children = Path(f"/proc/{self.child.pid}/task/{self.child.pid}/children").read_text().split()
        return int(children[0])

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)


class OfAnEngine(Container):
    """The same with docker or podman; its network is the host's."""

    tool = "docker"
    tag = ""
    serial = 0

    @property
    def name(self) -> str:
        return f"pgweave-test-{os.getpid()}-{self.number}"

    def argv(self) -> list:
        OfAnEngine.serial += 1
        self.number = OfAnEngine.serial
        variables = [word for key, value in self.variables.items() for word in ("-e", f"{key}={value}")]
        files = [word for path, source in self.files.items() for word in ("-v", f"{source}:{path}:ro")]
        return [self.tool, "run", "--rm", "--name", self.name, "--network=host", "--read-only", "--cap-drop=ALL",
                "--security-opt=no-new-privileges", *variables, *files, self.tag, *self.arguments]

    def health(self) -> int:
        return subprocess.run([self.tool, "exec", self.name, *self.health_command()], capture_output=True,
                              timeout=30).returncode

    def health_command(self) -> list:
        told = subprocess.run([self.tool, "image", "inspect", self.tag], capture_output=True, text=True, check=True)
        image = json.loads(told.stdout)[0]
        check = (image.get("Config", {}).get("Healthcheck") or image.get("Healthcheck") or {}).get("Test")
        # An image in OCI's format has none: podman build --format docker keeps it.
        assert check and check[0] == "CMD", f"the image has no health check: {check}"
        return check[1:]

    @property
    def pid(self) -> int:
        told = subprocess.run([self.tool, "inspect", "-f", "{{.State.Pid}}", self.name], capture_output=True,
                              text=True, check=True)
        return int(told.stdout)

    def signal(self, number: int) -> None:
        subprocess.run([self.tool, "kill", "-s", signal.Signals(number).name, self.name], capture_output=True,
                       check=True, timeout=30)

    def end(self) -> None:
        subprocess.run([self.tool, "rm", "-f", self.name], capture_output=True, timeout=60)
