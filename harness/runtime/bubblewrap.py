"""bubblewrap: a worker's tree in namespaces of its own, with the tool that is made for it.

No process of the host is visible, the root is read-only, /tmp and the home directory are private,
and there is no network unless it is asked for. The supervisor is process 1 inside, so the worker's
true wait status comes back, and the handler cannot end it. Memory is not limited by it.
"""

import os
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

TOOL = "bwrap"
SHM_BYTES = 1 << 30
PROBE_TIMEOUT_S = 10.0
PRIVATE = ("/tmp", "/var/tmp", "/run/user")


@dataclass(frozen=True)
class View:
    """What of the host's files a sandbox shows: paths it may write, others it must read.

    `private` is the directory that stands for /tmp inside.
    """

    writable: tuple[str, ...]
    readable: tuple[str, ...]
    private: str


def prefix(view: View, *, network: bool, shm_bytes: int) -> list[str]:
    """Give the words before a supervisor's command line that put it into the sandbox."""
    words = [
        shutil.which(TOOL) or TOOL,
        "--unshare-all",
        "--unshare-user",
        "--disable-userns",
        "--as-pid-1",
        "--new-session",
        "--cap-drop",
        "ALL",
        *(["--share-net"] if network else []),
        *("--ro-bind", "/", "/"),
        *("--proc", "/proc"),
        *("--dev", "/dev"),
        *("--size", str(shm_bytes), "--tmpfs", "/dev/shm"),
        *("--bind", view.private, "/tmp"),
    ]
    hidden = _hidden_directories()
    for folder in hidden:
        words += ["--tmpfs", folder]
    for path in _to_show_again(view.readable, ("/tmp", *hidden)):
        words += ["--ro-bind", path, path]
    for path in view.writable:
        words += ["--bind", path, path]
    return [*words, "--"]


def probe() -> str | None:
    """Run the very sandbox with `true` in it; give the tool's own words when it fails."""
    if shutil.which(TOOL) is None:
        return f"{TOOL} is not installed; install the package bubblewrap"
    program = shutil.which("true") or "/bin/true"
    command = prefix(View((), (), "/var"), network=False, shm_bytes=SHM_BYTES)
    try:
        done = subprocess.run(
            [*command, program],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PROBE_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{TOOL} could not be run: {error}"
    if done.returncode == 0:
        return None
    said = done.stderr.decode("utf-8", "replace").strip() or f"exit code {done.returncode}"
    return f"{TOOL} cannot make the sandbox: {said.splitlines()[-1]}"


def version() -> str:
    """Give the tool's version, or an empty text."""
    try:
        done = subprocess.run(
            [TOOL, "--version"], capture_output=True, timeout=PROBE_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode("utf-8", "replace").strip().rpartition(" ")[2]


def _hidden_directories() -> list[str]:
    """List what nobody but the user should read: the home directory, other places of passage."""
    home = os.path.expanduser("~")
    places = [*PRIVATE[1:], *([home] if home not in ("/", "~") else [])]
    return [place for place in places if os.path.isdir(place)]


def _to_show_again(readable: Iterable[str], hidden: Iterable[str]) -> list[str]:
    """Pick the readable paths that a hidden directory would hide, outer ones first."""
    chosen: list[str] = []
    for path in sorted({os.path.abspath(path) for path in readable if os.path.exists(path)}):
        covered = any(_within(path, other) for other in chosen)
        if not covered and any(_within(path, folder) for folder in hidden):
            chosen.append(path)
    return chosen


def _within(path: str, folder: str) -> bool:
    return Path(path).is_relative_to(folder)
