"""What a .dockerignore leaves out of the context: the last pattern that fits decides."""

from __future__ import annotations

import fnmatch
from pathlib import Path


def copy_context(root: Path, into: Path, copy) -> list:
    """Has `copy(from, to)` copy every file at the top of `root` that is not ignored. Returns their names."""
    patterns = [line.strip() for line in (root / ".dockerignore").read_text().splitlines()
                if line.strip() and not line.startswith("#")]
    if any("/" in pattern for pattern in patterns):
        raise ValueError(".dockerignore: only names at the top are understood here")
    names = [path.name for path in sorted(root.iterdir()) if not is_ignored(path.name, patterns)]
    for name in names:
        copy(root / name, into / name)
    return names


def is_ignored(name: str, patterns: list) -> bool:
    ignored = False
    for pattern in patterns:
        if fnmatch.fnmatchcase(name, pattern.lstrip("!")):
            ignored = not pattern.startswith("!")
    return ignored
