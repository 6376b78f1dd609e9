"""Runs the steps of a Dockerfile where there is no container engine.

Each stage is a folder: empty for `scratch`, else a layer over a Debian that mmdebstrap
has put together. RUN has its processes, its mounts and its root to itself. Nothing is
cached but the bases, below `target/container`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import dockerfile
from dockerfile import Instruction, Unknown
from ignored import copy_context

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# Handed to every RUN by container engines, too.
PROXIES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")

CARGO_HOME = Path(os.environ.get("CARGO_HOME") or Path.home() / ".cargo")

# As long as a Debian is taken for the present one.
BASE_LASTS = 7 * 24 * 3600


class StepFailed(Exception):
    """A step has ended badly, or not in time."""


@dataclass
class Stage:
    """What has become of a FROM so far."""

    name: str
    root: Path
    env: dict
    args: dict = field(default_factory=dict)
    user: str = ""
    workdir: str = "/"
    entrypoint: list = field(default_factory=list)
    health: list = field(default_factory=list)
    health_timeout: str = "30s"
    labels: dict = field(default_factory=dict)
    ports: list = field(default_factory=list)
    stop_signal: str = "SIGTERM"

    def inside(self, path: str) -> Path:
        """Where a path of the image is, from here."""
        return self.root / os.path.normpath(os.path.join(self.workdir, path)).lstrip("/")


def call(*argv, timeout: float = 60) -> None:
    done = subprocess.run([str(word) for word in argv], capture_output=True, text=True, timeout=timeout)
    if done.returncode:
        raise StepFailed(f"{' '.join(map(str, argv))}: {done.stderr.strip()}")


class Builder:
    """Runs the stages of one Dockerfile in the folder `work`.

    Its process must be alone with its mounts, and must not remove `work`: what is mounted there
    is other people's. Once the process has ended nothing is mounted any more.
    """

    def __init__(self, top: Path, work: Path, args: dict, seeds: dict, patience: float):
        """`seeds`: what a cache begins with, by where it is mounted. It is not written to."""
        self.top, self.work, self.given, self.seeds = top, work, args, seeds
        self.deadline = time.monotonic() + patience
        self.bases = top / "target" / "container"
        self.stages: dict[str, Stage] = {}
        self.context = work / "context"
        self.stage: Stage | None = None

    def build(self) -> Stage:
        """Every instruction in its order; the last stage."""
        self.context.mkdir()
        copy_context(self.top, self.context, lambda a, b: call("cp", "-a", a, b))
        instructions = dockerfile.parse((self.top / "Dockerfile").read_text())
        for instruction in instructions:
            began = time.monotonic()
            print(f"  {instruction}", flush=True)
            self.carry_out(instruction)
            if instruction.name == "RUN":
                print(f"      {time.monotonic() - began:.0f} s", flush=True)
        unused = set(self.given) - {name for stage in self.stages.values() for name in stage.args}
        if unused:
            raise Unknown(f"no stage has ARG {', '.join(sorted(unused))}")
        return self.stage

    def carry_out(self, instruction: Instruction) -> None:
        if instruction.name != "FROM" and self.stage is None:
            raise Unknown(f"{instruction}: stands before FROM")
        if instruction.name in dockerfile.EXPANDED and self.stage and not instruction.array:
            instruction.text = dockerfile.expand(instruction.text, {**self.stage.args, **self.stage.env})
        # Every known name has a method; a missing one is a mistake here.
        getattr(self, instruction.name.lower())(instruction)

    # Each instruction, by its name.

    def from_(self, instruction: Instruction) -> None:
        words = instruction.text.split()
        image, name = words[0], str(len(self.stages))
        if len(words) == 3 and words[1].upper() == "AS":
            name = words[2]
        elif len(words) != 1:
            raise Unknown(f"{instruction}: is not understood")
        root = self.work / f"root-{len(self.stages)}"
        root.mkdir()
        env = {"PATH": PATH}
        if image != "scratch":
            env.update(self.put_base(image, root))
        self.stage = self.stages[name] = Stage(name, root, env)

    def arg(self, instruction: Instruction) -> None:
        name, _, default = instruction.text.partition("=")
        self.stage.args[name] = self.given.get(name, default.strip('"'))

    def env(self, instruction: Instruction) -> None:
        self.stage.env.update(dockerfile.pairs(instruction.text))

    def label(self, instruction: Instruction) -> None:
        self.stage.labels.update(dockerfile.pairs(instruction.text))

    def user(self, instruction: Instruction) -> None:
        self.stage.user = instruction.text

    def expose(self, instruction: Instruction) -> None:
        self.stage.ports += [int(port) for port in instruction.text.split()]

    def stopsignal(self, instruction: Instruction) -> None:
        self.stage.stop_signal = instruction.text

    def entrypoint(self, instruction: Instruction) -> None:
        self.stage.entrypoint = self.needs_array(instruction, instruction.array)

    def healthcheck(self, instruction: Instruction) -> None:
        word, _, command = instruction.text.partition(" ")
        if word != "CMD":
            raise Unknown(f"{instruction}: is not understood")
        self.stage.health = self.needs_array(instruction, Instruction(0, "CMD", command.strip()).array)
        self.stage.health_timeout = instruction.flag("timeout") or "30s"

    def workdir(self, instruction: Instruction) -> None:
        self.stage.workdir = os.path.normpath(os.path.join(self.stage.workdir, instruction.text))
        self.stage.inside(".").mkdir(parents=True, exist_ok=True)

    def copy(self, instruction: Instruction) -> None:
        *sources, target = instruction.text.split()
        source = instruction.flag("from")
        root = self.stages[source].root if source else self.context
        into = self.stage.inside(target)
        is_folder = target.endswith("/") or len(sources) > 1
        (into if is_folder else into.parent).mkdir(parents=True, exist_ok=True)
        for name in sources:
            path = root / name.lstrip("/")
            if not path.exists():
                raise StepFailed(f"{instruction}: {name} is not there, or .dockerignore leaves it out")
            if path.is_dir():
                into.mkdir(parents=True, exist_ok=True)
                path = f"{path}/."
            call("cp", "-r", "--preserve=mode,links,timestamps", "--no-dereference", path, into)

    def run(self, instruction: Instruction) -> None:
        if instruction.array:
            raise Unknown(f"{instruction}: RUN is a line for the shell here")
        stage, mounted = self.stage, []
        try:
            for target in dockerfile.mounts(instruction):
                mounted.append(self.mount_cache(target))
            self.in_chroot(stage, instruction)
        finally:
            for path in reversed(mounted):
                call("umount", path)

    @staticmethod
    def needs_array(instruction: Instruction, array: list | None) -> list:
        if not array:
            raise Unknown(f"{instruction}: a shell would run it, and there is none: write it as [\"...\"]")
        return array

    # What they are made of.

    def in_chroot(self, stage: Stage, instruction: Instruction) -> None:
        if stage.user:
            raise Unknown(f"{instruction}: RUN after USER is not done here")
        left = self.deadline - time.monotonic()
        proxies = {name: os.environ[name] for name in PROXIES if name in os.environ}
        argv = ["unshare", "--mount", "--pid", "--fork", "--kill-child", f"--mount-proc={stage.root}/proc",
                "chroot", stage.root, "/bin/sh", "-c", f'cd "$0" && {instruction.text}', stage.workdir]
        log = self.work / "step.log"
        with open(log, "w") as out:
            try:
                done = subprocess.run([str(word) for word in argv], env={**proxies, **stage.env, **stage.args},
                                      stdin=subprocess.DEVNULL, stdout=out, stderr=out, timeout=max(left, 1))
            except subprocess.TimeoutExpired:
                raise StepFailed(f"{instruction}: not done in time\n{end_of(log)}") from None
        if done.returncode:
            raise StepFailed(f"{instruction}: status {done.returncode}\n{end_of(log)}")

    def mount_cache(self, target: str) -> Path:
        """An empty folder, or what there is already as a layer below it."""
        path = self.stage.inside(target)
        path.mkdir(parents=True, exist_ok=True)
        cache = self.work / f"cache{target.replace('/', '-')}"
        cache.mkdir(exist_ok=True)
        if target in self.seeds:
            self.mount_over(self.seeds[target], cache, path)
        else:
            call("mount", "--bind", cache, path)
        return path

    def mount_over(self, lower: Path, scratch: Path, path: Path) -> None:
        for name in ("upper", "work"):
            (scratch / name).mkdir(exist_ok=True)
        call("mount", "-t", "overlay", "overlay", "-o",
             f"lowerdir={lower},upperdir={scratch}/upper,workdir={scratch}/work", path)

    def put_base(self, image: str, root: Path) -> dict:
        """What stands for an image of the registry, and the variables that it has."""
        name, _, tag = image.partition(":")
        suite = next((suite for suite in ("bookworm", "trixie") if suite in tag.split("-")), None)
        if name not in ("debian", "rust") or suite is None:
            raise Unknown(f"FROM {image}: nothing here can stand for it")
        # The image of Rust has a compiler of C, too.
        packages = ["ca-certificates"] + (["gcc", "libc6-dev"] if name == "rust" else [])
        scratch = self.work / f"{root.name}-layer"
        scratch.mkdir()
        self.mount_over(self.debian(suite, packages), scratch, root)
        self.put_devices(root / "dev")
        (root / "etc" / "resolv.conf").touch()
        call("mount", "--bind", "/etc/resolv.conf", root / "etc" / "resolv.conf")
        return self.put_rust(root) if name == "rust" else {}

    @staticmethod
    def put_devices(path: Path) -> None:
        """The few that steps need; not this machine's own, which a step could remove."""
        call("mount", "-t", "tmpfs", "tmpfs", path)
        for name, minor in (("null", 3), ("zero", 5), ("full", 7), ("random", 8), ("urandom", 9)):
            call("mknod", "-m", "666", path / name, "c", 1, minor)
        (path / "fd").symlink_to("/proc/self/fd")

    def debian(self, suite: str, packages: list) -> Path:
        base = self.bases / "-".join([suite, *packages])
        if base.exists() and time.time() - base.stat().st_ctime < BASE_LASTS:
            return base
        print(f"      a Debian {suite} with {', '.join(packages)}", flush=True)
        self.bases.mkdir(parents=True, exist_ok=True)
        fresh = Path(f"{base}.{os.getpid()}")
        try:
            call("mmdebstrap", "--mode=root", "--variant=minbase", f"--include={','.join(packages)}",
                 suite, fresh, timeout=max(self.deadline - time.monotonic(), 1))
            shutil.rmtree(base, ignore_errors=True)
            fresh.rename(base)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
        return base

    def put_rust(self, root: Path) -> dict:
        """The toolchain of this machine, where the image of Rust has its own."""
        sysroot = subprocess.run(["rustc", "--print", "sysroot"], capture_output=True, text=True,
                                 check=True, cwd=self.top).stdout.strip()
        home = root / "usr" / "local" / "rustup"
        home.mkdir(parents=True)
        call("mount", "--bind", "-o", "ro", sysroot, home)
        # By this machine's name for it as well: cargo builds anew what it knows from another place.
        (root / "usr" / "local" / "cargo").mkdir()
        name = root / str(CARGO_HOME).lstrip("/")
        name.parent.mkdir(parents=True, exist_ok=True)
        if not name.exists():
            name.symlink_to("/usr/local/cargo")
        return {"CARGO_HOME": str(CARGO_HOME), "RUSTUP_HOME": "/usr/local/rustup",
                "PATH": f"/usr/local/cargo/bin:/usr/local/rustup/bin:{PATH}"}


# `from` is a word of Python.
setattr(Builder, "from", Builder.from_)


def end_of(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-30:])
