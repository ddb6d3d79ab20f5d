"""Run directories of testers that were killed: found and removed by the next one to start.

A living tester holds a lock on each of its run directories, which the kernel drops with it.
"""

import contextlib
import fcntl
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

NAME = re.compile(r"handlerproof-(\d+)-\w+")


def lock(path: Path) -> int:
    """Hold a run directory as ours; give the descriptor that holds it. Raises OSError."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(folder)
        raise
    return folder


def owner_of(path: Path) -> int:
    """Give the id of the tester that made a directory."""
    match = NAME.fullmatch(path.name)
    return int(match[1]) if match else 0


def found_in(parent: Path) -> Iterator[Path]:
    """Find run directories below parent whose tester is dead, each locked while it is yours.

    Those of other users, and of a process that lives, are left alone.
    """
    with contextlib.suppress(OSError), os.scandir(parent) as entries:
        for entry in entries:
            match = NAME.fullmatch(entry.name)
            if match is None or _lives(int(match[1])) or not _is_our_directory(entry):
                continue
            with contextlib.suppress(OSError):
                folder = lock(Path(entry.path))
                try:
                    yield Path(entry.path)
                finally:
                    os.close(folder)


def _is_our_directory(entry: os.DirEntry[str]) -> bool:
    status = entry.stat(follow_symlinks=False)
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid()


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True
