"""Archives unpacked once for each content, and lent to the runs of one tester or batch.

A run that may write, or that nothing keeps from writing, gets a copy of its own; the others read
the tree on the shelf. Directories are not kept: to know one again costs what copying it does.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import threading
import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.artifacts import archive, manifest, tree, workspace
from harness.artifacts.workspace import RunDirectory
from harness.errors import HarnessError, PackageError

MAX_BYTES = 4 << 30
SHARE_OF_DISK = 4  # at most this part of what is free
# A file that was changed this lately can change again with no trace in its times (the coarsest
# clock of a file system has steps of two seconds).
SETTLED_NS = 2 * 10**9

Unpack = Callable[[Path, RunDirectory], Path]


def unpacked(source: Path, run: RunDirectory) -> Path:
    """Unpack a package, or copy a directory, for one run alone; give the directory."""
    folder = run.make("model")
    archive.unpack(source, folder)
    return folder


@contextlib.contextmanager
def alone() -> Iterator[Unpack]:
    """Give `unpacked` itself, where nothing is kept."""
    yield unpacked


@dataclass(frozen=True)
class _Archive:
    """A file as the kernel tells it from others: device, inode, size, times.

    `settled`: when this was looked at, it had not been changed for so long that a later change
    shows.
    """

    path: Path
    identity: tuple[int, ...]
    size_bytes: int
    settled: bool

    @classmethod
    def at(cls, path: Path) -> _Archive | None:
        """Look at a file; None for a directory, or what cannot be looked at."""
        try:
            status = os.stat(path)
        except OSError:
            return None
        if not stat.S_ISREG(status.st_mode):
            return None
        times = (status.st_mtime_ns, status.st_ctime_ns)
        identity = (status.st_dev, status.st_ino, status.st_size, *times)
        return cls(path, identity, status.st_size, time.time_ns() - max(times) > SETTLED_NS)


@dataclass
class _Tree:
    """A tree on the shelf: of which content, how it looked when it was done, how many use it.

    `spare`: lent once and not kept; `gone`: removed as soon as nobody uses it.
    """

    folder: Path
    sha256: str
    archive_bytes: int
    size_bytes: int
    looks: str
    users: int = 1
    spare: bool = False
    gone: bool = False


class Shelf:
    """The packages of one tester. Use it in a `with` block: leaving it removes them all."""

    def __init__(
        self, workspace: Path | None = None, *, max_bytes: int = MAX_BYTES, sharers: int = 1
    ) -> None:
        """Keep trees below a directory, at most so many bytes of them on all `sharers` shelves."""
        self._workspace = workspace
        self._sharers = sharers
        self._max_bytes = max_bytes // sharers
        self._lock = threading.Lock()
        self._turns: defaultdict[tuple[int, ...], threading.Lock] = defaultdict(threading.Lock)
        self._open = contextlib.ExitStack()
        self._folder: RunDirectory | None = None
        self._trees: OrderedDict[str, _Tree] = OrderedDict()
        self._contents: dict[tuple[int, ...], str] = {}

    def __enter__(self) -> Shelf:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._trees.clear()
            self._contents.clear()
            self._folder = None
        self._open.close()

    @contextlib.contextmanager
    def lending(self, *, in_place: bool) -> Iterator[Unpack]:
        """Give what stands for `unpacked` in one run; what it lends is the run's until the end.

        `in_place`: the run cannot write to it, and reads the tree that others read.
        """
        with contextlib.ExitStack() as held:

            def unpack(source: Path, run: RunDirectory) -> Path:
                found = _Archive.at(source)
                if found is None:
                    return unpacked(source, run)
                if in_place:
                    kept = held.enter_context(self._borrowed(found))
                    folder = kept and kept.folder
                else:
                    with self._borrowed(found) as kept:
                        folder = kept and self._copy(kept, run)
                return folder or unpacked(source, run)

            yield unpack

    # ------------------------------------------------------------ one tree

    @contextlib.contextmanager
    def _borrowed(self, source: _Archive) -> Iterator[_Tree | None]:
        """Hold the tree of an archive, unpacked where there is none; None where it has no room."""
        with self._turn(source):
            kept = self._found(source) or self._made(source)
        try:
            yield kept
        finally:
            if kept is not None:
                self._release(kept)

    def _turn(self, source: _Archive) -> threading.Lock:
        with self._lock:
            return self._turns[source.identity]

    def _found(self, source: _Archive) -> _Tree | None:
        """Take the tree that is there, if it looks as it did."""
        content = self._contents.get(source.identity) or self._hash_of_one_alike(source)
        with self._lock:
            kept = self._trees.get(content or "")
            if kept is None:
                return None
            kept.users += 1
            self._trees.move_to_end(kept.sha256)
        with contextlib.suppress(OSError):
            if manifest.whole(kept.folder) == kept.looks:
                return kept
        self._drop(kept)
        self._release(kept)
        return None

    def _hash_of_one_alike(self, source: _Archive) -> str | None:
        """Read the hash of an archive when there is a tree of one that has its size."""
        with self._lock:
            if all(kept.archive_bytes != source.size_bytes for kept in self._trees.values()):
                return None
        content = archive.sha256(source.path)
        self._remember(source, content)
        return content

    def _made(self, source: _Archive) -> _Tree | None:
        folder = self._directory()
        try:
            done = archive.unpack(source.path, folder, hashed=True)
        except PackageError:
            raise
        except HarnessError:  # no room: perhaps there is some without what is kept
            self._trim(0)
            return None
        assert done.sha256 is not None
        self._remember(source, done.sha256)
        looks = manifest.whole(folder)
        made = _Tree(folder, done.sha256, source.size_bytes, done.total_bytes, looks)
        with self._lock:
            # There is one by another path meanwhile, or it is too large.
            made.spare = made.sha256 in self._trees or made.size_bytes > self._max_bytes
            made.gone = made.spare
            if not made.spare:
                self._trees[made.sha256] = made
        self._trim(self._max_bytes)
        return made

    def _remember(self, source: _Archive, content: str) -> None:
        """Know the file without reading it the next time, if its times can be trusted."""
        again = _Archive.at(source.path)
        if source.settled and again is not None and again.identity == source.identity:
            self._contents[source.identity] = content

    def _copy(self, kept: _Tree, run: RunDirectory) -> Path | None:
        """Give a run its own copy, or the tree itself where it is not kept; None without room."""
        folder = run.make("model")
        if kept.spare:
            return kept.folder.rename(folder)
        try:
            tree.duplicate(kept.folder, folder)
        except (OSError, shutil.Error):  # or somebody was at the tree
            workspace.remove(folder)
            self._drop(kept)
            return None
        return folder

    # ------------------------------------------------------------ room

    def _directory(self) -> Path:
        with self._lock:
            if self._folder is None:
                self._folder = self._open.enter_context(RunDirectory(self._workspace))
                free = shutil.disk_usage(self._folder.path).free
                self._max_bytes = min(self._max_bytes, free // SHARE_OF_DISK // self._sharers)
            return self._folder.make("model")

    def _release(self, kept: _Tree) -> None:
        with self._lock:
            kept.users -= 1
            unused = kept.gone and not kept.users
        if unused:
            workspace.remove(kept.folder)

    def _drop(self, kept: _Tree) -> None:
        """Lend a tree to nobody else; it is removed when nobody uses it."""
        with self._lock:
            kept.gone = True
            if self._trees.get(kept.sha256) is kept:
                del self._trees[kept.sha256]

    def _trim(self, max_bytes: int) -> None:
        """Remove the trees that were not used for longest, and never one in use."""
        removed = []
        with self._lock:
            total = sum(kept.size_bytes for kept in self._trees.values())
            for kept in [kept for kept in self._trees.values() if not kept.users]:
                if total <= max_bytes:
                    break
                total -= kept.size_bytes
                kept.gone = True
                removed.append(self._trees.pop(kept.sha256))
        for kept in removed:
            workspace.remove(kept.folder)
