"""How a tree looks on disk, as a digest of every entry's status.

The kernel sets an inode's change time, so a file that was written, replaced or given other rights
shows, whatever modification time it was given back.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

EVERYTHING = 64  # levels; no deeper archive or environment is accepted


def whole(folder: Path) -> str:
    """Stand for every entry of a tree. Raises OSError."""
    return digest(folder, below(folder, EVERYTHING))


def digest(folder: Path, entries: Iterable[os.DirEntry[str]]) -> str:
    """Stand for a directory and these entries. Raises OSError."""
    found = hashlib.sha256(_line(str(folder), os.stat(folder)))
    for entry in entries:
        found.update(_line(entry.path, entry.stat(follow_symlinks=False)))
    return found.hexdigest()


def below(folder: Path | str, depth: int) -> Iterator[os.DirEntry[str]]:
    """Yield the entries of a directory in the order of their names, so many levels deeper."""
    with os.scandir(folder) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        yield entry
        if depth and entry.is_dir(follow_symlinks=False):
            yield from below(entry.path, depth - 1)


def _line(path: str, of: os.stat_result) -> bytes:
    told = (of.st_mode, of.st_size, of.st_mtime_ns, of.st_ctime_ns, of.st_ino)
    return f"{path}\0{told}\n".encode(errors="surrogateescape")
