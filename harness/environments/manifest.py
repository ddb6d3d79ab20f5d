"""What an environment looks like on disk, as digests: a quick one, and one of every file.

The kernel sets an inode's change time, so a file that was written, replaced or given other rights
shows, whatever modification time it was given back.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path


def whole(folder: Path) -> str:
    """Stand for every entry of an environment. Raises OSError."""
    return _digest(folder, _below(folder, _EVERYTHING))


def quick(folder: Path) -> str:
    """Stand for its uppermost entries, and those of its site-packages. Raises OSError."""
    places = [folder, *folder.glob("lib/python*/site-packages"), folder / "bin"]
    return _digest(folder, (entry for place in places for entry in _below(place, 0)))


def seal(folder: Path) -> None:
    """Take everybody's right to write from an environment. Raises OSError."""
    for entry in _below(folder, _EVERYTHING):
        if not entry.is_symlink():
            os.chmod(entry.path, entry.stat(follow_symlinks=False).st_mode & _NOT_WRITABLE)
    os.chmod(folder, os.stat(folder).st_mode & _NOT_WRITABLE)


_EVERYTHING = 64
_NOT_WRITABLE = 0o7777 & ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH)


def _digest(folder: Path, entries: Iterator[os.DirEntry[str]]) -> str:
    found = hashlib.sha256(_line(str(folder), os.stat(folder)))
    for entry in entries:
        found.update(_line(entry.path, entry.stat(follow_symlinks=False)))
    return found.hexdigest()


def _line(path: str, of: os.stat_result) -> bytes:
    told = (of.st_mode, of.st_size, of.st_mtime_ns, of.st_ctime_ns, of.st_ino)
    return f"{path}\0{told}\n".encode(errors="surrogateescape")


def _below(folder: Path | str, depth: int) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        yield entry
        if depth and entry.is_dir(follow_symlinks=False):
            yield from _below(entry.path, depth - 1)
