"""What an environment looks like, quickly; `artifacts.manifest` looks at every file."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from harness.artifacts.manifest import EVERYTHING, below, digest

_NOT_WRITABLE = 0o7777 & ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH)


def quick(folder: Path) -> str:
    """Stand for its uppermost entries, and those of its site-packages. Raises OSError."""
    places = [folder, *folder.glob("lib/python*/site-packages"), folder / "bin"]
    return digest(folder, (entry for place in places for entry in below(place, 0)))


def seal(folder: Path) -> None:
    """Take everybody's right to write from an environment. Raises OSError."""
    for entry in below(folder, EVERYTHING):
        if not entry.is_symlink():
            os.chmod(entry.path, entry.stat(follow_symlinks=False).st_mode & _NOT_WRITABLE)
    os.chmod(folder, os.stat(folder).st_mode & _NOT_WRITABLE)
