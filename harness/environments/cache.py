"""Environments kept by key: built once under a lock, checked before reuse, leased while in use.

A tree of its own name becomes an environment when its record, written aside, is renamed into place;
until then it is a leftover that the next builder of its key removes. It is never moved, because
scripts and compiled files hold its path.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from harness.artifacts import workspace
from harness.artifacts.manifest import whole
from harness.environments import manifest, places
from harness.errors import HandlerEnvironmentError, HarnessError

Build = Callable[[Path], None]
_EXPOSED = ".exposed"


@dataclass(frozen=True)
class Record:
    """What is known of an environment: where it is, what it is of, and how it looked when done."""

    key: str
    folder: str
    python: str
    builder: str
    requirements: list[str]
    created: float
    quick: str
    whole: str


@dataclass(frozen=True)
class Stored:
    """A kept environment, for a list of them: seconds since the epoch, bytes on disk."""

    record: Record
    used: float
    size_bytes: int


class Cache:
    """The environments below one directory."""

    def __init__(self) -> None:
        """Raise HandlerEnvironmentError when the directory cannot be had."""
        with places.errors():
            self._root = places.environments()

    @contextmanager
    def leased(
        self, key: str, build: Build, about: Callable[[], dict[str, object]], *, exposed: bool
    ) -> Iterator[Path]:
        """Give the environment of a key, built when there is none; it stays while it is leased.

        `exposed` says that nothing stops who uses it from writing to it: the next one looks at
        every file. Raises HandlerEnvironmentError.
        """
        with places.errors():
            held = self._lease(key) or self._made(key, build, about)
        record, descriptor = held
        try:
            with places.errors():
                os.utime(self._record_path(key))
                if exposed:
                    self._mark(record).touch()
            yield self._root / record.folder
        finally:
            os.close(descriptor)

    def stored(self) -> list[Stored]:
        """List the environments, the latest used first."""
        found = []
        for path in self._root.glob("*.json"):
            record = self._read(path.stem)
            if record is not None:
                with suppress(OSError):
                    size = _size(self._root / record.folder)
                    found.append(Stored(record, path.stat().st_mtime, size))
        return sorted(found, key=lambda stored: stored.used, reverse=True)

    def clean(self, older_than_s: float) -> list[Record]:
        """Remove what was not used for so long, and what is half built; never what is in use."""
        removed = []
        for path in sorted(self._root.glob("*.lock")):
            with suppress(BlockingIOError), self._locked(path.stem, wait=False):
                removed += self._clean_key(path.stem, older_than_s)
                self._remove_leftovers(path.stem)
        return removed

    def _clean_key(self, key: str, older_than_s: float) -> list[Record]:
        record, path = self._read(key), self._record_path(key)
        if record is None or _age(path) < older_than_s:
            return []
        return [record] if self._remove_unused(self._root / record.folder, path) else []

    # ------------------------------------------------------------ leasing

    def _lease(self, key: str) -> tuple[Record, int] | None:
        """Take an environment that needs no closer look."""
        record = self._read(key)
        if record is None or self._mark(record).exists():
            return None
        return self._held(record)

    def _held(self, record: Record) -> tuple[Record, int] | None:
        descriptor = _shared(self._root / record.folder)
        if descriptor is None:
            return None
        with suppress(OSError):
            if manifest.quick(self._root / record.folder) == record.quick:
                return record, descriptor
        os.close(descriptor)
        return None

    def _made(
        self, key: str, build: Build, about: Callable[[], dict[str, object]]
    ) -> tuple[Record, int]:
        with self._locked(key):
            found = self._lease(key) or self._unmarked(key)
            if found is not None:
                return found
            with suppress(FileNotFoundError):
                self._record_path(key).unlink()
            self._remove_leftovers(key)
            record = self._built(key, build, about)
            held = self._held(record)
            if held is None:
                raise HandlerEnvironmentError(
                    f"environment: {self._root / record.folder} was changed as soon as it was "
                    "built; see who writes there, or name another directory in " + places.VARIABLE
                )
            return held

    def _unmarked(self, key: str) -> tuple[Record, int] | None:
        """Look at every file of an environment that somebody could write to."""
        record = self._read(key)
        if record is None:
            return None
        folder = self._root / record.folder
        try:
            if whole(folder) != record.whole:
                return None
        except OSError:
            return None
        with _alone(folder) as alone:
            if alone:
                self._mark(record).unlink(missing_ok=True)
        return self._held(record)

    # ------------------------------------------------------------ building and removing

    def _built(self, key: str, build: Build, about: Callable[[], dict[str, object]]) -> Record:
        folder = self._root / f"{key}-{secrets.token_hex(4)}"
        with ExitStack() as undo:
            undo.callback(self._remove_unused, folder, None)
            folder.mkdir(mode=0o700)
            build(folder)
            manifest.seal(folder)
            record = Record(
                key=key,
                folder=folder.name,
                created=time.time(),
                quick=manifest.quick(folder),
                whole=whole(folder),
                **about(),  # type: ignore[arg-type]
            )
            places.write(self._record_path(key), json.dumps(asdict(record), indent=1).encode())
            undo.pop_all()
        return record

    def _remove_leftovers(self, key: str) -> None:
        """Remove the trees of a key that no record names and nobody uses."""
        record = self._read(key)
        for path in self._root.glob(f"{key}-*"):
            if record is None or not path.name.startswith(record.folder):
                self._remove_unused(path, None)

    def _remove_unused(self, folder: Path, record: Path | None) -> bool:
        if not folder.is_dir():
            folder.unlink(missing_ok=True)  # the mark of a tree that is gone
        with _alone(folder) as alone:
            if not alone and folder.exists():
                return False
            if record is not None:
                record.unlink(missing_ok=True)
            with suppress(HarnessError, OSError):  # the next one tries again
                workspace.remove(folder)
        folder.with_name(folder.name + _EXPOSED).unlink(missing_ok=True)
        return True

    # ------------------------------------------------------------ files

    @contextmanager
    def _locked(self, key: str, *, wait: bool = True) -> Iterator[None]:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        descriptor = os.open(self._root / f"{key}.lock", flags, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            yield
        finally:
            os.close(descriptor)

    def _record_path(self, key: str) -> Path:
        return self._root / f"{key}.json"

    def _mark(self, record: Record) -> Path:
        return self._root / (record.folder + _EXPOSED)

    def _read(self, key: str) -> Record | None:
        try:
            record = Record(**json.loads(self._record_path(key).read_bytes()))
        except (OSError, ValueError, TypeError):
            return None
        inside = record.key == key and record.folder.startswith(f"{key}-")
        return record if inside and "/" not in record.folder else None


def _shared(folder: Path) -> int | None:
    """Lease a directory; None when it is gone or about to be."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            return None
        return descriptor
    return None


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[bool]:
    """Keep others from leasing a directory meanwhile, if nobody has."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        yield False
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        yield False
        return
    try:
        yield True
    finally:
        os.close(descriptor)


def _age(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return 0.0


def _size(folder: Path) -> int:
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            total += os.lstat(os.path.join(place, name)).st_size
    return total
