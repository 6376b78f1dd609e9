"""A Dockerfile as a list of instructions: the part of the language that ours uses.

What is not known here is an error: a step that would be left out in silence would
not have been tried.
"""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass, field

KNOWN = {"FROM", "ARG", "RUN", "COPY", "ENV", "LABEL", "USER", "WORKDIR", "EXPOSE", "STOPSIGNAL",
         "HEALTHCHECK", "ENTRYPOINT"}

# Where `$NAME` stands for a variable; RUN leaves that to its shell.
EXPANDED = {"COPY", "ENV", "LABEL", "USER", "WORKDIR", "EXPOSE", "STOPSIGNAL", "FROM"}

FLAGS = {"COPY": {"from"}, "RUN": {"mount"},
         "HEALTHCHECK": {"interval", "timeout", "start-period", "retries"}}


class Unknown(Exception):
    """The Dockerfile holds something that is not run here."""


@dataclass
class Instruction:
    """One of them: `flags` are its `--name=value`, `text` what follows."""

    line: int
    name: str
    text: str
    flags: list = field(default_factory=list)

    def flag(self, name: str) -> str | None:
        values = [value for key, value in self.flags if key == name]
        return values[-1] if values else None

    @property
    def array(self) -> list | None:
        """The JSON form, as ENTRYPOINT and CMD have it."""
        if not self.text.startswith("["):
            return None
        return json.loads(self.text)

    def __str__(self) -> str:
        words = [f"--{key}={value}" for key, value in self.flags] + self.text.split()
        return f"Dockerfile:{self.line}: {self.name} {' '.join(words)[:90]}"


def parse(text: str) -> list:
    """Every instruction, comments and continued lines resolved."""
    found, begun, at = [], "", 0
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("#") or not (line.strip() or begun):
            continue
        at = at if begun else number
        if line.rstrip().endswith("\\"):
            begun += line.rstrip()[:-1]
            continue
        found.append(instruction(at, begun + line))
        begun = ""
    if begun:
        raise Unknown(f"Dockerfile:{at}: the last line goes on")
    if not found or found[0].name not in ("FROM", "ARG"):
        raise Unknown("it does not begin with FROM")
    return found


def instruction(line: int, text: str) -> Instruction:
    name, _, rest = text.strip().partition(" ")
    name, rest = name.upper(), rest.strip()
    if name not in KNOWN:
        raise Unknown(f"Dockerfile:{line}: {name} is not run here")
    flags = []
    while rest.startswith("--"):
        word, rest = re.match(r"(\S+)\s*(.*)", rest, re.S).groups()
        key, _, value = word[2:].partition("=")
        if key not in FLAGS.get(name, ()):
            raise Unknown(f"Dockerfile:{line}: {name} --{key} is not done here")
        flags.append((key, value))
    return Instruction(line, name, rest, flags)


def expand(text: str, variables: dict) -> str:
    """`$NAME`, `${NAME}`, `${NAME:-else}`; `\\$` is a dollar."""
    def value(found: re.Match) -> str:
        if found.group(0).startswith("\\"):
            return found.group(0)[1:]
        return variables.get(found.group(1) or found.group(2)) or found.group(3) or ""
    return re.sub(r"\\\$|\$(\w+)|\$\{(\w+)(?::-([^}]*))?\}", value, text)


def pairs(text: str) -> dict:
    """`KEY=VALUE KEY="VALUE"`, as ENV and LABEL have it."""
    found = {}
    for word in shlex.split(text):
        key, equals, value = word.partition("=")
        if not equals:
            raise Unknown(f"{word}: is not KEY=VALUE")
        found[key] = value
    return found


def mounts(run: Instruction) -> list:
    """The targets of `--mount=type=cache,target=...`."""
    targets = []
    for _, value in run.flags:
        options = dict(option.partition("=")[::2] for option in value.split(","))
        if options.pop("type", None) != "cache" or set(options) != {"target"}:
            raise Unknown(f"{run}: --mount={value} is not done here")
        targets.append(options["target"])
    return targets
