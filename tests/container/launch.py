"""Becomes a container's first process: `launch.py IMAGE.json`, within namespaces of its own.

The root is a layer over the image, and read-only; the user has no rights and
cannot get any, and nothing of this machine's environment is left.
"""

import ctypes
import json
import os
import subprocess
import sys

PR_SET_NO_NEW_PRIVS = 38


def main() -> None:
    with open(sys.argv[1]) as file:
        plan = json.load(file)
    mount("--make-rprivate", "/")
    root = layer_over(plan["image"], plan["scratch"])
    for path, source in plan["files"].items():
        # As engines do: an empty place for it in the image.
        os.makedirs(os.path.dirname(root + path), exist_ok=True)
        open(root + path, "a").close()
        mount("--bind", source, root + path)
        mount("-o", "remount,bind,ro", root + path)
    os.makedirs(root + "/proc", exist_ok=True)
    mount("-t", "proc", "proc", root + "/proc")
    mount("-o", "remount,bind,ro", root)
    os.chroot(root)
    os.chdir(plan["workdir"])
    user, _, group = plan["user"].partition(":")
    os.setgroups([])
    os.setgid(int(group))
    os.setuid(int(user))
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "no_new_privs")
    os.execve(plan["argv"][0], plan["argv"], plan["env"])


def layer_over(image: str, scratch: str) -> str:
    for name in ("upper", "work", "root"):
        os.makedirs(f"{scratch}/{name}")
    mount("-t", "overlay", "overlay", "-o", f"lowerdir={image},upperdir={scratch}/upper,workdir={scratch}/work",
          f"{scratch}/root")
    return f"{scratch}/root"


def mount(*argv: str) -> None:
    subprocess.run(["mount", *argv], check=True)


main()
