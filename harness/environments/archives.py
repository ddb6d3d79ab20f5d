"""Digests of local archives, projects and directories of archives that requirements name."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

_BLOCK = 1 << 20


def tree_digest(path: Path, *, contents: bool) -> str:
    """Stand for a file or all files below a directory, by content or by name and size.

    What is not there has a digest too: the installer will say that it is missing.
    """
    found = hashlib.sha256()
    for file in _files(path):
        try:
            found.update(f"{os.path.relpath(file, path)}\0{file.stat().st_size}\0".encode())
            if contents:
                _add(found, file)
        except OSError as error:
            found.update(f"{error.errno}".encode())
    return found.hexdigest()


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
        return
    for folder, names, files in os.walk(path):
        names.sort()
        yield from (Path(folder, name) for name in sorted(files))


def _add(found: hashlib._Hash, file: Path) -> None:
    with file.open("rb") as content:
        while block := content.read(_BLOCK):
            found.update(block)
