"""Digests of local archives, projects and directories of archives that requirements name."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from harness.errors import HandlerEnvironmentError

_BLOCK = 1 << 20
MAX_FILES = 20_000
MAX_BYTES = 8 << 30


def tree_digest(path: Path, *, contents: bool) -> str:
    """Stand for a file or all files below a directory, by content or by name and size.

    What is not there has a digest too: the installer will say that it is missing. A package names
    the path, so what is no regular file is not opened. Raises HandlerEnvironmentError for more
    than MAX_FILES files or MAX_BYTES.
    """
    found = hashlib.sha256()
    total = 0
    for count, file in enumerate(_files(path)):
        try:
            size = file.stat().st_size
            found.update(f"{os.path.relpath(file, path)}\0{size}\0".encode())
            total += size
            _check(path, count, total)
            if contents:
                _add(found, file)
        except OSError as error:
            found.update(f"{error.errno}".encode())
    return found.hexdigest()


def _check(path: Path, count: int, total: int) -> None:
    if count >= MAX_FILES or total > MAX_BYTES:
        raise HandlerEnvironmentError(
            f"environment: {path}, which the requirements name, has more than {MAX_FILES} files or "
            f"{MAX_BYTES >> 30} GiB; name a wheel or the project's own directory"
        )


def _files(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        if path.is_file():
            yield path
        return
    for folder, names, files in os.walk(path):
        names.sort()
        every = (Path(folder, name) for name in sorted(files))
        yield from (file for file in every if file.is_file())


def _add(found: hashlib._Hash, file: Path) -> None:
    with file.open("rb") as content:
        while block := content.read(_BLOCK):
            found.update(block)
